-- approvals: one row for each review of each pull request that the forge says was merged, whatever it says and whenever
-- it was given. An approval counts (class valid) where a person with no hand in the change, whom the forge lets approve,
-- gave it before the merge, as their latest word, for what was merged; merges of the branch itself may come after it,
-- where they are as Git makes them. It is invalid where it is known not to count, for the reason in code, and
-- undetermined where that can't be known. A person is one of .provost/identities.yaml as it was before the change; an
-- account that it doesn't name stands for itself.
WITH contributor AS (
  -- Everybody with a hand in a pull request, as a person; NULL is somebody of whom only an address is known that is no
  -- account's. Where the file and the forge disagree about an address, both are taken.
  SELECT c.number, COALESCE(f.person, 'account:' || c.login) AS person
  FROM forge_contributors c
  JOIN forge_pulls p         ON p.number = c.number
  LEFT JOIN identity_links f ON f.identities = p.identities AND f.system = 'forge' AND f.account = lower(c.login)
  WHERE c.login IS NOT NULL
  UNION
  SELECT c.number, e.person
  FROM forge_contributors c
  JOIN forge_pulls p         ON p.number = c.number
  LEFT JOIN identity_links e ON e.identities = p.identities AND e.system = 'git-email' AND e.account = lower(c.email)
  WHERE e.person IS NOT NULL OR c.login IS NULL
),
review AS (
  SELECT r.*, p.merged_at, p.identities, p.retargeted_at,
         COALESCE(i.person, 'account:' || r.reviewer) AS person,
         COALESCE(i.kind, 'human')                    AS kind,
         -- The forge takes "counts" back from earlier reviews of somebody who reviews again, or is asked to.
         CASE WHEN EXISTS (SELECT 1 FROM forge_reviews l
                           WHERE l.number = r.number AND l.reviewer = r.reviewer AND l.review_id > r.review_id)
              THEN 'true' ELSE 'false' END            AS has_later
  FROM forge_reviews r
  JOIN forge_pulls p         ON p.number = r.number
  LEFT JOIN identity_links i ON i.identities = p.identities AND i.system = 'forge' AND i.account = lower(r.reviewer)
),
classed AS MATERIALIZED (
  SELECT r.*,
         CASE
           WHEN r.state <> 'approved'                                       THEN NULL
           WHEN r.submitted_at IS NULL OR r.merged_at IS NULL               THEN 'SRC_MISSING'
           WHEN r.submitted_at > r.merged_at                                THEN 'AFTER_MERGE'
           WHEN EXISTS (SELECT 1 FROM contributor c
                        WHERE c.number = r.number AND c.person = r.person)  THEN 'SELF'
           WHEN r.kind = 'bot'                                              THEN 'BOT_APPROVER'
           WHEN r.kind = 'shared'                                           THEN 'SHARED'
           -- The latest opinion of a person before the merge decides.
           WHEN EXISTS (SELECT 1 FROM review l
                        WHERE l.number = r.number AND l.person = r.person
                          AND l.state IN ('approved', 'changes') AND l.submitted_at <= r.merged_at
                          AND (l.submitted_at > r.submitted_at
                               OR l.submitted_at = r.submitted_at AND l.review_id > r.review_id))
                                                                            THEN 'SUPERSEDED'
           WHEN r.is_dismissed = 'true' AND r.dismissed_at <= r.merged_at   THEN 'DISMISSED'
           WHEN r.content_match = 'stale'
             OR r.retargeted_at > r.submitted_at                            THEN 'STALE'
           WHEN r.is_official = 'false' AND r.has_later = 'false'           THEN 'NO_RIGHT'
           WHEN r.is_dismissed = 'true' AND r.dismissed_at IS NULL          THEN 'DISMISSED_UNPROVEN'
           WHEN r.reviewer IS NULL OR r.identities IS NULL                  THEN 'IDENTITY'
           WHEN r.is_official = 'false'                                     THEN 'RIGHT_UNPROVEN'
           WHEN r.content_match = 'unknown'                                 THEN 'STALE_UNPROVEN'
           WHEN EXISTS (SELECT 1 FROM contributor c
                        WHERE c.number = r.number AND c.person IS NULL)     THEN 'IDENTITY'
           WHEN r.is_dismissed = 'true'                                     THEN 'DISMISSED_LATER'
         END AS code
  FROM review r
),
judged AS MATERIALIZED (
  SELECT c.*,
         CASE
           WHEN c.state <> 'approved'                                                               THEN NULL
           WHEN c.code IS NULL OR c.code = 'DISMISSED_LATER'                                        THEN 'valid'
           WHEN c.code IN ('DISMISSED_UNPROVEN', 'IDENTITY', 'RIGHT_UNPROVEN', 'STALE_UNPROVEN', 'SRC_MISSING')
                                                                                                    THEN 'undetermined'
           ELSE                                                                                          'invalid'
         END AS class
  FROM classed c
)
SELECT j.number         AS pull_request,
       (SELECT MIN(s.step) FROM forge_pull_steps s WHERE s.number = j.number) AS change_row,
       j.review_id,
       j.person         AS reviewer,
       j.reviewer       AS login,
       j.state,
       j.submitted_at,
       j.reviewed_commit,
       j.content_match,
       CASE WHEN j.submitted_at > j.merged_at THEN 'true' ELSE 'false' END AS after_merge,
       j.is_dismissed,
       j.dismissed_at,
       j.dismissed_by,
       j.is_official    AS forge_counts,
       j.class,
       j.code
FROM judged j
ORDER BY j.number, j.submitted_at, j.review_id;
