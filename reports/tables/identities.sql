-- identities: each account that had to do with a change of the period or may do something in the repository, and whose it
-- is. basis says how that is known: `customer-file` (.provost/identities.yaml at the report's revision), `forge` (an
-- address that the forge knows to be an account's), or none. Names that look alike are never taken for one person.
WITH account AS (
  SELECT 'forge' AS system, opened_by AS account, NULL AS login FROM forge_pulls
  UNION SELECT 'forge', merged_by, NULL FROM forge_pulls
  UNION SELECT 'forge', reviewer, NULL FROM forge_reviews
  UNION SELECT 'forge', reported_by, NULL FROM forge_checks
  UNION SELECT 'forge', login, NULL FROM forge_contributors
  UNION SELECT 'forge', principal, NULL FROM forge_access WHERE path <> 'deploy key'
  UNION SELECT 'git-email', lower(email), NULL FROM forge_contributors
  UNION SELECT 'git-email', lower(c.author_email), NULL FROM commits c JOIN steps t ON t.step = c.step
  UNION SELECT 'git-email', lower(c.committer_email), NULL FROM commits c JOIN steps t ON t.step = c.step
),
named AS (
  SELECT a.system, a.account,
         CASE WHEN a.system = 'git-email'
              THEN (SELECT MIN(c.login) FROM forge_contributors c WHERE lower(c.email) = a.account) END AS login
  FROM account a
  WHERE a.account IS NOT NULL AND a.account <> ''
)
SELECT COALESCE(i.person, l.person)  AS person,
       n.system,
       n.account,
       n.login                       AS forge_login,
       COALESCE(i.kind, l.kind)      AS kind,
       CASE WHEN i.person IS NOT NULL THEN 'customer-file'
            WHEN n.login IS NOT NULL  THEN 'forge'
            ELSE                           'none' END AS basis
FROM named n
LEFT JOIN forge f          ON TRUE
LEFT JOIN identity_links i ON i.identities = f.identities AND i.system = n.system AND i.account = lower(n.account)
LEFT JOIN identity_links l ON l.identities = f.identities AND l.system = 'forge' AND l.account = lower(n.login)
ORDER BY person, n.system, n.account;
