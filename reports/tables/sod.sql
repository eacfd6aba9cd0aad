-- sod: segregation of duties: one row for each change, with who had a hand in it, who approved it so that it counts, who
-- merged it, and the verdict by the rules in force before it. A change that no pull request of the forge holds came past
-- review. The first code decides, and those of approvals that do not count follow. Two are always listed and do not
-- decide by themselves: MERGER_AUTHOR, somebody with a hand in it merged it (it decides where the rules want another), and
-- BYPASS, it was merged with fewer approvals than the forge asked for, which takes an administrator. What the forge asked
-- for (forge_enforced) is known where its rule was not edited since.
WITH judged AS MATERIALIZED (
  SELECT * FROM judged_review
),
counted AS MATERIALIZED (
  SELECT t.step,
         t.before,
         t.rules,
         g.merged AS forge_list,
         p.number,
         p.opened_by,
         p.opened_at,
         p.merged_at,
         p.content,
         p.is_whole,
         p.labels,
         p.method,
         COALESCE(m.person, 'account:' || p.merged_by) AS merger,
         r.approvals                                   AS required,
         r.separate_merger,
         CASE WHEN f.edited_at < p.merged_at THEN f.required_approvals END AS forge_enforced,
         (SELECT COUNT(DISTINCT v.person) FROM judged v WHERE v.number = p.number AND v.class = 'valid') AS valid,
         (SELECT COUNT(DISTINCT COALESCE(u.person, u.review_id)) FROM judged u
          WHERE u.number = p.number AND u.class = 'undetermined'
            AND NOT EXISTS (SELECT 1 FROM judged v
                            WHERE v.number = u.number AND v.class = 'valid' AND v.person = u.person)) AS undetermined,
         -- At most so many counted for the forge.
         (SELECT COUNT(DISTINCT b.reviewer) FROM judged b
          WHERE b.number = p.number AND b.state = 'approved' AND b.submitted_at <= p.merged_at
            AND (b.is_official = 'true' OR b.has_later = 'true')
            AND (b.is_dismissed = 'false' OR b.dismissed_at > p.merged_at)) AS forge_counted,
         (SELECT COUNT(*) FROM judged b
          WHERE b.number = p.number AND b.state = 'changes' AND b.submitted_at <= p.merged_at
            AND b.is_official = 'true'
            AND (b.is_dismissed = 'false' OR b.dismissed_at > p.merged_at)
            AND NOT EXISTS (SELECT 1 FROM contributor c WHERE c.number = b.number AND c.person = b.person)
            AND NOT EXISTS (SELECT 1 FROM judged l
                            WHERE l.number = b.number AND l.person = b.person AND l.state IN ('approved', 'changes')
                              AND l.submitted_at <= p.merged_at AND l.review_id > b.review_id)) AS blocking
  FROM steps t
  LEFT JOIN forge g             ON TRUE
  LEFT JOIN forge_pull_steps s  ON s.step = t.step
  LEFT JOIN forge_pulls p       ON p.number = s.number
  LEFT JOIN forge_protections f ON f.pattern = p.rule
  LEFT JOIN identity_links m    ON m.identities = p.identities AND m.system = 'forge' AND m.account = lower(p.merged_by)
  LEFT JOIN rules r             ON r.rules = t.rules
),
decided AS MATERIALIZED (
  SELECT n.*,
         CASE WHEN EXISTS (SELECT 1 FROM contributor c WHERE c.number = n.number AND c.person = n.merger)
              THEN 'true' ELSE 'false' END AS self_merge,
         CASE
           WHEN n.before IS NULL                                              THEN 'INITIAL_IMPORT'
           WHEN n.forge_list IS NULL                                          THEN 'SRC_MISSING'
           WHEN n.number IS NULL                                              THEN 'NO_PR'
           WHEN n.is_whole = 'false'                                          THEN 'SRC_MISSING'
           WHEN n.required IS NULL                                            THEN 'RULES_UNREADABLE'
           WHEN n.content = 'differs'                                         THEN 'CONTENT_DIFF'
           WHEN n.blocking > 0                                                THEN 'BLOCKED'
           WHEN n.separate_merger = 'true' AND EXISTS (
             SELECT 1 FROM contributor c WHERE c.number = n.number AND c.person = n.merger)
                                                                              THEN 'MERGER_AUTHOR'
           WHEN n.valid + n.undetermined < n.required                         THEN 'TOO_FEW'
           WHEN n.content = 'conflicts'                                       THEN 'MERGE_ENGINE'
           WHEN n.content = 'unknown'                                         THEN 'HEAD_MISSING'
           WHEN n.separate_merger = 'true' AND n.merger IS NULL               THEN 'IDENTITY'
           WHEN n.valid < n.required                                          THEN 'UNDETERMINED'
         END AS decisive
  FROM counted n
)
SELECT d.step          AS result_commit,
       d.number        AS pull_request,
       d.method        AS merge_method,
       d.labels,
       (SELECT group_concat(who, '; ')
        FROM (SELECT DISTINCT COALESCE(c.person, 'unknown') AS who FROM contributor c
              WHERE c.number = d.number ORDER BY who))                                  AS contributors,
       (SELECT group_concat(person, '; ')
        FROM (SELECT DISTINCT v.person FROM judged v
              WHERE v.number = d.number AND v.class = 'valid' ORDER BY v.person))       AS approvers_valid,
       (SELECT group_concat(person, '; ')
        FROM (SELECT DISTINCT COALESCE(u.person, 'unknown') AS person FROM judged u
              WHERE u.number = d.number AND u.class = 'undetermined' ORDER BY person))  AS approvers_undetermined,
       d.merger,
       d.self_merge,
       d.opened_at,
       d.merged_at,
       d.required,
       d.forge_enforced,
       CASE WHEN d.forge_enforced IS NULL              THEN NULL
            WHEN d.forge_counted < d.forge_enforced    THEN 'true'
            ELSE                                            'false' END                 AS bypass_used,
       d.rules         AS rule_version,
       CASE
         WHEN d.decisive IS NULL                                                          THEN 'pass'
         WHEN d.decisive = 'INITIAL_IMPORT'                                               THEN NULL
         WHEN d.decisive IN ('NO_PR', 'CONTENT_DIFF', 'BLOCKED', 'MERGER_AUTHOR', 'TOO_FEW') THEN 'fail'
         ELSE                                                                                  'unknown'
       END             AS verdict,
       (SELECT group_concat(code, '; ')
        FROM (SELECT code, MIN(place) AS first
              FROM (SELECT d.decisive AS code, 0 AS place
                    UNION ALL
                    SELECT v.code, 1 FROM judged v WHERE v.number = d.number
                    UNION ALL
                    SELECT 'MERGER_AUTHOR', 2 WHERE d.self_merge = 'true'
                    UNION ALL
                    SELECT 'BYPASS', 3 WHERE d.forge_counted < d.forge_enforced)
              WHERE code IS NOT NULL
              GROUP BY code
              ORDER BY first, code))                                                     AS reason_codes
FROM decided d
ORDER BY d.merged_at, d.step, d.number;
