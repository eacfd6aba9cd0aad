-- drift: one row for each time that the agent saw a live object differ from Git, and one for each write that nobody
-- evaluated. Who wrote it is the last write to the object before the agent saw it, as audit log or webhook tell; where
-- neither does, the field managers' own claim. Values are not among it. What came and went between two looks of the
-- agent is not seen.
WITH last_write AS (
  SELECT d.chain, d.seq, MAX(w.write_id) AS write_id
  FROM drifts d
  JOIN writes w ON w.object = d.object AND w.at <= d.seen_since AND w.user IS NOT NULL
               AND w.state IN ('witnessed', 'admitted_not_observed', 'not_evaluated')
  GROUP BY d.chain, d.seq
), put_back AS (
  SELECT object, application, MAX(recorded_at) AS last_at
  FROM drifts
  WHERE resolution = 'put back'
  GROUP BY object, application
)
SELECT COALESCE(d.seen_since, d.recorded_at)            AS first_seen,
       d.object,
       d.application,
       'field_changed'                                  AS kind_of,
       d.fields,
       COALESCE(w.impersonated, w.user, d.managers)     AS writer,
       CASE
         WHEN w.audit_id IS NOT NULL THEN 'audit'
         WHEN w.write_id IS NOT NULL THEN 'admission'
         WHEN d.managers IS NOT NULL THEN 'managedFields'
         ELSE                             'unknown'
       END                                              AS basis,
       d.managers                                       AS field_managers,
       COALESCE(w.at, d.managers_at)                    AS written_at,
       CASE WHEN d.resolution = 'put back' THEN d.recorded_at END AS resolved_at,
       CASE d.resolution
         WHEN 'put back' THEN 'reverted_by_agent'
         WHEN 'reported' THEN 'open'
         ELSE                 d.resolution
       END                                              AS resolution,
       CASE WHEN d.resolution = 'put back' THEN d.seconds END AS window,
       d.chain || ':' || d.seq                          AS ledger_index,
       CASE
         WHEN d.resolution = 'put back'   THEN 'pass'
         WHEN p.last_at > d.recorded_at   THEN 'pass'
         ELSE                                  'fail'
       END                                              AS verdict,
       CASE
         WHEN d.resolution = 'put back'   THEN NULL
         WHEN p.last_at > d.recorded_at   THEN 'reported here, and put back later in the period'
         ELSE                                  'not put back in the period'
       END                                              AS reason
FROM drifts d
LEFT JOIN last_write l ON l.chain = d.chain AND l.seq = d.seq
LEFT JOIN writes w     ON w.write_id = l.write_id
LEFT JOIN put_back p   ON p.object = d.object AND p.application = d.application
UNION ALL
SELECT w.at,
       w.object,
       NULL,
       'unmanaged_write',
       NULL,
       COALESCE(w.impersonated, w.user, w.manager),
       CASE
         WHEN w.user IS NOT NULL    THEN 'audit'
         WHEN w.manager IS NOT NULL THEN 'managedFields'
         ELSE                            'unknown'
       END,
       w.manager,
       w.at,
       NULL,
       NULL,
       NULL,
       NULL,
       'unknown',
       'written without an evaluation: whether it differs from Git nobody recorded'
FROM writes w
WHERE w.state IN ('not_evaluated', 'observed_not_admitted')
ORDER BY 1, 2, 4, 13, 6, 5;
