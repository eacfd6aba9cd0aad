-- documentation: one row for each change: what the messages of its commits hold, against the rules that were in force
-- before it (.provost/rules.yaml, or defaults). Presence is tested, never quality. A pull request's own text is not in
-- Git and is not seen here.
SELECT w.step         AS result_commit,
       c.committed_at AS claimed_at,
       w.characters   AS description_len,
       w.reason       AS reason_present,
       w.subject_flag AS subject_flags,
       w.tickets      AS ticket_ref,
       w.impact       AS impact_present,
       w.test         AS test_evidence,
       w.back_out     AS backout_present,
       r.documentation AS required,
       t.rules        AS rule_version,
       w.missing,
       CASE
         WHEN t.before IS NULL      THEN NULL
         WHEN t.rules IS NULL       THEN 'unknown'
         WHEN w.missing IS NOT NULL THEN 'fail'
         ELSE                            'pass'
       END            AS verdict,
       CASE
         WHEN t.before IS NULL      THEN 'the first commit: nothing was changed'
         WHEN t.rules IS NULL       THEN 'the rules in force could not be read'
         WHEN w.missing IS NOT NULL THEN 'missing: ' || w.missing
       END            AS reason,
       c.subject
FROM words w
JOIN steps t      ON t.step = w.step
JOIN commits c    ON c.commit_id = w.step
LEFT JOIN rules r ON r.rules = t.rules
ORDER BY c.committed_at, w.step;
