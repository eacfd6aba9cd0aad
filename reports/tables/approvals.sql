-- approvals: one row for each review of each pull request that the forge says was merged, whatever it says and whenever
-- it was given. An approval counts (class valid) where a person with no hand in the change, whom the forge lets approve,
-- gave it before the merge, as their latest word, for what was merged; merges of the branch itself may come after it,
-- where they are as Git makes them. It is invalid where it is known not to count, for the reason in code, and
-- undetermined where that can't be known. A person is one of .provost/identities.yaml as it was before the change; an
-- account that it doesn't name stands for itself.
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
FROM judged_review j
ORDER BY j.number, j.submitted_at, j.review_id;
