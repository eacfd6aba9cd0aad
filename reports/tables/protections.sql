-- protections: what the forge asked for before something reached a branch, in intervals that tile the period. The forge
-- keeps of a rule when it was last edited: since then it says what it says now, and until then it is not known what it
-- said (unknown is not "no rule"). A rule that was deleted leaves nothing behind, so where there is no rule now nothing is
-- known of before. The last interval ends with the period, or, where that is open, when the forge was read (run.json).
-- pass: at least as many approvals as the rules in force wanted, and nobody may push past pull requests.
WITH wanted AS (
  SELECT MAX(approvals) AS approvals FROM rules
),
known AS (
  SELECT p.*, s.period_from, s.period_to,
         CASE WHEN p.edited_at > s.period_from OR s.period_from IS NULL THEN p.edited_at ELSE s.period_from END AS since
  FROM forge_protections p
  JOIN scope s ON TRUE
),
interval AS (
  SELECT pattern, period_from AS valid_from,
         CASE WHEN edited_at IS NULL OR edited_at >= period_to THEN period_to ELSE edited_at END AS valid_to,
         'unknown' AS state, NULL AS required_approvals, NULL AS lets_push, NULL AS holds_administrators,
         NULL AS settings, 'the rule was edited later, and the forge does not keep what it said before' AS basis
  FROM known
  WHERE edited_at IS NULL OR period_from IS NULL OR edited_at > period_from
  UNION ALL
  SELECT pattern, since, period_to, 'in force', required_approvals, lets_push, holds_administrators, settings,
         'not edited since ' || edited_at
  FROM known
  WHERE edited_at IS NOT NULL AND (period_to IS NULL OR edited_at < period_to)
  UNION ALL
  SELECT NULL, s.period_from, s.period_to, 'unknown', NULL, NULL, NULL, NULL,
         CASE WHEN f.has_protections = 'true'
              THEN 'the forge has no rule now, and keeps nothing of rules that were deleted'
              ELSE 'the forge did not show its rules' END
  FROM forge f
  JOIN scope s ON TRUE
  WHERE NOT EXISTS (SELECT 1 FROM forge_protections)
)
SELECT i.pattern,
       i.valid_from,
       i.valid_to,
       i.state,
       i.required_approvals,
       i.lets_push,
       i.holds_administrators,
       i.settings,
       i.basis,
       CASE
         WHEN i.state = 'unknown' OR w.approvals IS NULL                             THEN 'unknown'
         WHEN i.required_approvals >= w.approvals AND i.lets_push = 'false'          THEN 'pass'
         ELSE                                                                             'fail'
       END AS verdict
FROM interval i
JOIN wanted w ON TRUE
ORDER BY i.pattern, i.valid_from;
