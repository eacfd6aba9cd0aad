-- rollbacks: one row for each commit that undoes another, in the period, and for each time that the agent brought an
-- Application back to an earlier revision. Of a commit: because its message says so, or because it brings
-- back the tree that the line had before. What a message says is a claim; the evidence is that the change is the inverse
-- of the one that it names, or that the old tree is back. A claim without either undid a part of it, or nothing.
SELECT r.commit_id,
       c.committed_at          AS claimed_at,
       r.step                  AS change_row,
       CASE
         WHEN u.parent_count > 1 THEN 'revert_of_merge'
         ELSE                         'git_revert'
       END                     AS method,
       r.undoes,
       r.undone_step           AS undone_change,
       CASE
         WHEN r.proof IS NOT NULL THEN r.proof
         WHEN u.commit_id IS NULL THEN 'message; the repository does not have what it names'
         ELSE                          'message'
       END                     AS evidence,
       r.is_claimed            AS message_says_so,
       CASE WHEN r.proof = 'tree_equal' THEN 'true' ELSE 'false' END AS restored_tree_equal,
       r.seconds               AS time_to_restore,
       p.number                AS pull_request,
       (SELECT group_concat(commit_id, '; ')
        FROM (SELECT DISTINCT a.commit_id FROM reverts a
              WHERE a.undoes = r.commit_id AND a.proof IS NOT NULL
              ORDER BY a.commit_id)) AS reapplied_by,
       u.subject               AS undone_subject,
       c.subject
FROM reverts r
JOIN commits c            ON c.commit_id = r.commit_id
LEFT JOIN commits u       ON u.commit_id = r.undoes
LEFT JOIN pull_requests p ON p.commit_id = r.step
UNION ALL
SELECT s.revision,
       s.recorded_at,
       NULL,
       'agent_rollback',
       s.previous,
       s.previous,
       'the earlier revision was brought again: ' || s.application,
       NULL,
       CASE s.outcome WHEN 'succeeded' THEN 'true' ELSE 'false' END,
       s.seconds_since_previous,
       NULL,
       NULL,
       u.subject,
       c.subject
FROM syncs s
LEFT JOIN commits c ON c.commit_id = s.revision
LEFT JOIN commits u ON u.commit_id = s.previous
WHERE s.direction = 'back'
ORDER BY 2, 1, 5, 7;
