-- policy_coverage: one row for each policy and exception that a process had in force in the period, for each that it
-- refused, and for each namespace whose requests nobody judges: what the admission control looks at, and what it does not.
SELECT p.policy,
       p.kind          AS kind_of,
       p.valid_from,
       p.valid_to,
       CASE p.kind
         WHEN 'refused' THEN 'off'
         ELSE                'in force'
       END             AS mode,
       l.writer,
       p.policy_set,
       CASE WHEN p.kind = 'policy' THEN
         (SELECT COUNT(*) FROM evaluations e
          WHERE e.chain = p.chain AND e.recorded_at >= p.valid_from AND e.recorded_at <= p.valid_to
            AND e.policy_set = p.policy_set)
       END             AS judged,
       CASE WHEN p.kind = 'policy' THEN
         (SELECT COUNT(DISTINCT r.uid) FROM evaluation_rules r
          JOIN evaluations e ON e.uid = r.uid
          WHERE r.policy = p.policy AND e.chain = p.chain
            AND e.recorded_at >= p.valid_from AND e.recorded_at <= p.valid_to)
       END             AS violating,
       CASE p.kind
         WHEN 'refused' THEN 'not in force: could not be used'
       END             AS exempt
FROM policies_in_force p
JOIN ledger_chains l ON l.chain = p.chain
UNION ALL
SELECT namespace,
       'namespace',
       opened_at,
       last_at,
       'off',
       writer,
       NULL,
       NULL,
       NULL,
       'exempt namespace: its requests are not judged'
FROM (
  WITH RECURSIVE split(chain, namespace, rest) AS (
    SELECT chain, NULL, exempt_namespaces || '; ' FROM ledger_chains WHERE exempt_namespaces IS NOT NULL
    UNION ALL
    SELECT chain, substr(rest, 1, instr(rest, '; ') - 1), substr(rest, instr(rest, '; ') + 2) FROM split WHERE rest <> ''
  )
  SELECT l.chain, l.writer, l.opened_at, l.last_at, s.namespace
  FROM split s
  JOIN ledger_chains l ON l.chain = s.chain
  WHERE s.namespace IS NOT NULL AND l.roles LIKE '%webhook%'
)
ORDER BY 2, 1, 3, 6, 7;
