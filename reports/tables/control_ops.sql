-- control_ops: for each component of Provost the intervals in which it was up, degraded, down, open (fail_open) or in which
-- nobody knows; they tile the period. An interval in which the webhook was open passes only where every write in it was
-- evaluated afterwards: the ledger has a later evaluation of the same object.
WITH unjudged AS (
  SELECT w.write_id, w.at,
         EXISTS (SELECT 1 FROM evaluations e
                 WHERE e.api_group IS w.api_group AND e.kind = w.kind AND e.namespace IS w.namespace AND e.name = w.name
                   AND e.dry_run = 'false' AND e.recorded_at > w.at) AS is_re_evaluated
  FROM writes w
  WHERE w.state = 'not_evaluated'
), counted AS (
  SELECT i.component, i.valid_from, i.valid_to, i.state, i.basis, i.seconds,
         (SELECT COUNT(*) FROM writes w
          WHERE i.component = 'webhook' AND w.at >= i.valid_from AND w.at < i.valid_to
            AND w.state IN ('witnessed', 'admitted_not_observed', 'observed_not_admitted', 'not_evaluated')) AS writes_during,
         (SELECT COUNT(*) FROM unjudged u
          WHERE i.component = 'webhook' AND u.at >= i.valid_from AND u.at < i.valid_to) AS not_evaluated,
         (SELECT COUNT(*) FROM unjudged u
          WHERE i.component = 'webhook' AND u.at >= i.valid_from AND u.at < i.valid_to AND u.is_re_evaluated) AS re_evaluated
  FROM control_intervals i
)
SELECT component,
       valid_from,
       valid_to,
       state,
       basis,
       seconds        AS window,
       CASE WHEN component = 'webhook' THEN writes_during END AS writes_during,
       CASE WHEN component = 'webhook' THEN not_evaluated END AS not_evaluated,
       CASE WHEN component = 'webhook' THEN re_evaluated  END AS re_evaluated,
       CASE
         WHEN state = 'up'                                           THEN 'pass'
         WHEN state = 'fail_open' AND re_evaluated = not_evaluated   THEN 'pass'
         WHEN state = 'fail_open'                                    THEN 'fail'
         ELSE                                                             'unknown'
       END            AS verdict,
       CASE
         WHEN state = 'fail_open' AND re_evaluated = not_evaluated THEN 'every write in it was evaluated afterwards'
         WHEN state = 'fail_open' THEN (not_evaluated - re_evaluated) || ' of ' || not_evaluated || ' writes were never evaluated'
         WHEN state = 'up'        THEN NULL
         WHEN state = 'degraded'  THEN 'what the lost records would have said nobody knows'
         WHEN state = 'down'      THEN 'it did not work: no write without an evaluation is known'
         ELSE                          'nobody knows whether it worked'
       END            AS reason
FROM counted
ORDER BY component, valid_from;
