-- commits: one row for each commit that the revision reaches and whose committer's date is in the period (its end is
-- not in it). The pull request is the one whose merge brought the commit in, else the one that its own subject names.
-- Files are those that differ from the first parent, for a merge too; objects are those that these files hold at the
-- report's revision.
SELECT c.commit_id,
       c.author_name    AS author,
       c.author_email,
       c.authored_at,
       c.committer_name AS committer,
       c.committer_email,
       c.committed_at,
       p.number         AS pull_request,
       c.brought_in_by,
       n.number         AS named_pull_request,
       n.named_by,
       c.parent_count,
       c.on_first_parent_line,
       (SELECT COUNT(*) FROM commit_files f WHERE f.commit_id = c.commit_id) AS file_count,
       (SELECT group_concat(path, '; ')
        FROM (SELECT f.path FROM commit_files f WHERE f.commit_id = c.commit_id ORDER BY f.path)) AS files,
       (SELECT group_concat(object, '; ')
        FROM (SELECT DISTINCT m.object
              FROM commit_files f
              JOIN manifests m ON m.path = f.path
              WHERE f.commit_id = c.commit_id
              ORDER BY m.object)) AS objects,
       c.subject
FROM scope s
JOIN commits c
LEFT JOIN pull_requests n ON n.commit_id = c.commit_id
LEFT JOIN pull_requests p ON p.commit_id = COALESCE(c.brought_in_by, c.commit_id)
WHERE c.in_revision = 'true'
  AND (s.period_from IS NULL OR c.committed_at >= s.period_from)
  AND (s.period_to   IS NULL OR c.committed_at <  s.period_to)
ORDER BY c.committed_at, c.commit_id;
