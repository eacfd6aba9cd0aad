-- deployments: one row for each sync of the agent that changed something in the cluster, failed ones too: which revision,
-- after which, and which changes of the branch came live with it. A revision that the branch does not have was deployed
-- around it. Who approved a change is the forge's to say: where no forge was read, a deployment cannot pass.
SELECT s.recorded_at  AS finished_at,
       s.application  AS app,
       s.revision,
       s.previous     AS previous_revision,
       s.direction,
       s.repository,
       s.agent        AS agent_identity,
       s.agent_version,
       s.outcome,
       s.message,
       s.objects_changed,
       s.rendered_tree AS render_sha256,
       (SELECT group_concat(step, '; ')
        FROM (SELECT c.step FROM sync_changes c WHERE c.sync = s.sync ORDER BY c.step)) AS changes_included,
       (SELECT COUNT(*) FROM sync_changes c WHERE c.sync = s.sync)                      AS change_count,
       (SELECT MAX(c.seconds) FROM sync_changes c WHERE c.sync = s.sync)                AS lead_time,
       (SELECT COUNT(*) FROM sync_changes c WHERE c.sync = s.sync AND c.seconds IS NULL) AS changes_dated_later,
       s.sync         AS ledger_index,
       CASE
         WHEN s.in_revision = 'false' THEN 'fail'
         ELSE                              'unknown'
       END            AS verdict,
       CASE
         WHEN s.in_revision IS NULL   THEN 'the repository that was read does not have the revision'
         WHEN s.in_revision = 'false' THEN 'deployed from outside of the branch: the report''s revision does not reach it'
         ELSE                              'who approved the changes is not known: no forge was read'
       END            AS reason
FROM syncs s
WHERE s.objects_changed > 0 OR s.outcome = 'failed' OR s.direction <> 'same'
ORDER BY s.application, s.recorded_at, s.sync;
