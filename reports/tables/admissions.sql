-- admissions ("Admission evaluations", not requests): one row for each evaluation of the webhook in the period, and one for
-- each write that the audit log or a watch tells of and that nobody evaluated. What was allowed may still have failed
-- afterwards; write_state says what became of it, as all witnesses together tell. Dry runs are rows, and are not tested.
SELECT e.recorded_at,
       e.uid          AS request_uid,
       'evaluation'   AS row_kind,
       w.audit_id,
       e.operation    AS verb,
       e.api_group,
       e.version,
       e.kind,
       w.resource,
       e.subresource,
       e.namespace,
       e.name,
       e.user,
       w.user         AS audited_user,
       w.impersonated,
       e.dry_run,
       e.verdict      AS decision,
       e.class,
       e.policy_set,
       e.rules        AS policies,
       e.object_sha256,
       w.state        AS write_state,
       w.code         AS response_code,
       w.manager,
       w.witnesses,
       e.chain,
       e.seq          AS ledger_index,
       CASE
         WHEN e.dry_run = 'true' THEN NULL
         ELSE                         'pass'
       END            AS verdict,
       CASE
         WHEN e.dry_run = 'true'                  THEN 'a dry run, which changes nothing'
         WHEN w.state = 'refused_after_admission' THEN 'let in, and refused afterwards: ' || COALESCE(w.reason, 'the answer gives no reason')
         ELSE                                          w.reason
       END            AS reason
FROM evaluations e
LEFT JOIN write_reviews r ON r.uid = e.uid
LEFT JOIN writes w        ON w.write_id = r.write_id
UNION ALL
SELECT w.at,
       NULL,
       'write without evaluation',
       w.audit_id,
       w.verb,
       w.api_group,
       w.version,
       w.kind,
       w.resource,
       w.subresource,
       w.namespace,
       w.name,
       COALESCE(w.impersonated, w.user),
       w.user,
       w.impersonated,
       'false',
       CASE w.state
         WHEN 'not_evaluated' THEN 'not evaluated'
         ELSE                      'not known'
       END,
       NULL,
       NULL,
       NULL,
       NULL,
       w.state,
       w.code,
       w.manager,
       w.witnesses,
       NULL,
       NULL,
       CASE w.state
         WHEN 'not_evaluated' THEN 'fail'
         ELSE                      'unknown'
       END,
       COALESCE(w.reason, 'only a watch tells of it: whether it was evaluated nobody knows')
FROM writes w
WHERE w.state IN ('not_evaluated', 'observed_not_admitted')
ORDER BY 1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 26, 27;
