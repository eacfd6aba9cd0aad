-- repo_access: who may do what in the repository, one row for each way by which somebody may, as it was when the forge was
-- read (run.json). The forge keeps no history of it, and does not show who administrates the whole server: these may do
-- everything, and are not here. A person is one of .provost/identities.yaml at the report's revision.
SELECT a.principal,
       i.person,
       i.kind,
       a.level,
       a.path,
       CASE WHEN a.level IN ('owner', 'admin', 'write') THEN 'true' ELSE 'false' END                AS can_push,
       CASE WHEN a.level IN ('owner', 'admin', 'write') AND a.path <> 'deploy key'
            THEN 'true' ELSE 'false' END                                                            AS can_merge,
       CASE WHEN a.level IN ('owner', 'admin') THEN 'true' ELSE 'false' END                         AS can_change_rules
FROM forge_access a
JOIN forge f               ON TRUE
LEFT JOIN identity_links i ON i.identities = f.identities AND i.system = 'forge' AND i.account = lower(a.principal)
                          AND a.path <> 'deploy key'
ORDER BY a.principal, a.path, a.level;
