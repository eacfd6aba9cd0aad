-- control_matrix: one row for each control of each framework and each table that evidences it, with how many rows that
-- table has in this report, how many of them were tested and with what outcome. A control that nothing here evidences
-- has one row that says so. The words are about what was observed: whether a control is suitable is for its auditor.
WITH counted AS (
  SELECT table_name,
         SUM(CASE WHEN verdict IS NULL       THEN row_count ELSE 0 END) AS population,
         SUM(CASE WHEN verdict IS NOT NULL   THEN row_count ELSE 0 END) AS tested,
         SUM(CASE WHEN verdict = 'pass'      THEN row_count ELSE 0 END) AS pass,
         SUM(CASE WHEN verdict = 'fail'      THEN row_count ELSE 0 END) AS fail,
         SUM(CASE WHEN verdict = 'exception' THEN row_count ELSE 0 END) AS exception,
         SUM(CASE WHEN verdict = 'unknown'   THEN row_count ELSE 0 END) AS unknown
  FROM results
  GROUP BY table_name
)
SELECT c.framework,
       c.framework_version,
       c.control,
       c.asks,
       c.strength,
       t.table_name,
       n.population,
       n.tested,
       n.pass,
       n.fail,
       n.exception,
       n.unknown,
       CASE
         WHEN t.table_name IS NULL THEN 'not evidenced by this tool'
         WHEN n.table_name IS NULL THEN 'table not in this report'
         -- An empty table whose source was not read says nothing.
         WHEN (SELECT has_ledger FROM scope) = 'false' AND t.table_name IN
              ('admissions', 'control_ops', 'deployments', 'drift', 'policy_coverage')
                                   THEN 'not known: no ledger was read'
         WHEN n.fail > 0           THEN 'deviations'
         WHEN n.unknown > 0        THEN 'could not be determined'
         WHEN n.exception > 0      THEN 'deviations with an exception on file'
         WHEN n.population = 0     THEN 'did not operate'
         WHEN n.tested = 0         THEN 'shown, not tested'
         ELSE                           'no deviation observed'
       END AS status,
       c.not_evidenced
FROM controls c
LEFT JOIN control_tables t ON t.framework = c.framework AND t.control = c.control
LEFT JOIN counted n        ON n.table_name = t.table_name
ORDER BY c.framework, c.position, t.table_name;
