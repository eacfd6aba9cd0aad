-- objects: one row for each live object of the namespaces that Applications manage, and for each cluster-scoped object
-- that an inventory names; with its Git file and the commit that last changed that file, or "not in Git".
-- An object that a controller made has the file and the commit of the object at the end of its chain of controllers.
-- Without a cluster: one row for each object that is written in a file of the revision.
WITH placed AS (
  SELECT o.object, o.uid, o.api_group, o.version, o.kind, o.namespace, o.name, o.created_at,
         NULLIF(o.root, o.object) AS controlled_by,
         i.application,
         i.revision,
         i.file,
         NULL AS line,
         CASE
           WHEN i.object IS NULL            THEN 'not in Git'
           WHEN i.sync_option IS NOT NULL   THEN 'by Application'
           WHEN f.path   IS NULL            THEN 'not known'
           ELSE                                  'in Git'
         END AS origin,
         CASE
           WHEN i.object IS NULL            THEN 'no inventory names it'
           WHEN i.sync_option IS NOT NULL   THEN 'asked for by the sync option ' || i.sync_option || ' of ' || i.application
           WHEN i.file   IS NULL            THEN 'the inventory names no file'
           WHEN f.path   IS NULL            THEN 'the repository that was read does not have this file at this revision'
         END AS reason,
         f.last_commit
  FROM live_objects o
  LEFT JOIN inventory i ON i.object = o.root AND (i.uid IS NULL OR i.uid = o.root_uid)
  LEFT JOIN files f     ON f.revision = i.revision AND f.path = i.file
  WHERE o.excluded IS NULL
  UNION ALL
  SELECT m.object, NULL, m.api_group, m.version, m.kind, m.namespace, m.name, NULL,
         NULL,
         NULL,
         s.revision,
         m.path,
         m.line,
         'in Git',
         NULL,
         f.last_commit
  FROM scope s
  JOIN manifests m
  JOIN files f ON f.revision = s.revision AND f.path = m.path
  WHERE s.cluster IS NULL
)
SELECT o.object,
       o.origin,
       o.reason,
       o.file,
       o.line,
       o.last_commit    AS commit_id,
       c.author_name    AS author,
       c.author_email,
       c.authored_at,
       c.committer_name AS committer,
       c.committer_email,
       c.committed_at,
       p.number         AS pull_request,
       c.subject,
       o.application,
       o.revision,
       o.controlled_by,
       o.namespace,
       o.api_group,
       o.version,
       o.kind,
       o.name,
       o.uid,
       o.created_at
FROM placed o
LEFT JOIN commits c       ON c.commit_id = o.last_commit
LEFT JOIN pull_requests p ON p.commit_id = COALESCE(c.brought_in_by, c.commit_id)
ORDER BY o.object, o.uid, o.file, o.line, o.application;
