-- What several tables of a forge's reviews rest on.

-- Everybody with a hand in a pull request, as a person; NULL is somebody of whom only an address is known that is no
-- account's. Where the file and the forge disagree about an address, both are taken.
CREATE VIEW contributor AS
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
WHERE e.person IS NOT NULL OR c.login IS NULL;

-- Reviews, each with the person who gave it, and whether it counts as an approval: of those that do not, the code says
-- why.
CREATE VIEW judged_review AS
WITH review AS (
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
)
SELECT c.*,
       CASE
         WHEN c.state <> 'approved'                                                               THEN NULL
         WHEN c.code IS NULL OR c.code = 'DISMISSED_LATER'                                        THEN 'valid'
         WHEN c.code IN ('DISMISSED_UNPROVEN', 'IDENTITY', 'RIGHT_UNPROVEN', 'STALE_UNPROVEN', 'SRC_MISSING')
                                                                                                  THEN 'undetermined'
         ELSE                                                                                          'invalid'
       END AS class
FROM classed c;
