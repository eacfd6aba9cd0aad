-- changes: one row for each move of the branch in the period, as far as Git tells: each commit of the first-parent line
-- of the revision, with everything that it brought on to the line. Every commit that the revision reaches belongs to
-- exactly one of them. The period is cut on the committer's date, which its client wrote: Git records no other time. The
-- pull request is the one that the commit's subject names, which who merges may edit; who pushed, Git does not know.
-- Names are as the commits have them; of a merge that Git could have made by itself the committer wrote nothing.
SELECT t.step                                                                          AS result_commit,
       t.before,
       c.tree                                                                          AS result_tree,
       CASE
         WHEN t.before IS NULL     THEN 'initial_import'
         WHEN p.number IS NOT NULL THEN 'pull request named'
         ELSE                           'no pull request named'
       END                                                                             AS change_kind,
       p.number                                                                        AS pull_request,
       p.named_by                                                                      AS link_method,
       t.merge                                                                         AS merge_result,
       (SELECT COUNT(*) FROM commits x WHERE x.step = t.step)                          AS commit_count,
       (SELECT group_concat(commit_id, '; ')
        FROM (SELECT x.commit_id FROM commits x WHERE x.step = t.step ORDER BY x.commit_id))      AS commits,
       (SELECT group_concat(who, '; ')
        FROM (SELECT DISTINCT COALESCE(x.author_name, '') || ' <' || COALESCE(x.author_email, '') || '>' AS who
              FROM commits x
              WHERE x.step = t.step
                AND (x.commit_id <> t.step OR t.merge NOT IN ('automatic', 'octopus'))
              ORDER BY who))                                                           AS authors,
       (SELECT group_concat(who, '; ')
        FROM (SELECT DISTINCT COALESCE(x.committer_name, '') || ' <' || COALESCE(x.committer_email, '') || '>' AS who
              FROM commits x
              WHERE x.step = t.step
              ORDER BY who))                                                           AS committers,
       (SELECT group_concat(value, '; ')
        FROM (SELECT DISTINCT r.value
              FROM commits x
              JOIN trailers r ON r.commit_id = x.commit_id AND r.token = 'co-authored-by'
              WHERE x.step = t.step
              ORDER BY r.value))                                                       AS co_authors,
       (SELECT MIN(x.authored_at) FROM commits x WHERE x.step = t.step)                AS first_authored_at,
       (SELECT MAX(x.authored_at) FROM commits x WHERE x.step = t.step)                AS last_authored_at,
       c.committed_at                                                                  AS claimed_at,
       t.files,
       t.additions,
       t.deletions,
       t.diff_sha256,
       COALESCE(s.state, 'none')                                                       AS signature,
       s.signed_by,
       (SELECT COUNT(*) FROM commits x JOIN signatures g ON g.commit_id = x.commit_id
        WHERE x.step = t.step AND g.state = 'good')                                    AS commits_signed_good,
       c.subject
FROM steps t
JOIN commits c            ON c.commit_id = t.step
LEFT JOIN pull_requests p ON p.commit_id = t.step
LEFT JOIN signatures s    ON s.commit_id = t.step
ORDER BY c.committed_at, t.step;
