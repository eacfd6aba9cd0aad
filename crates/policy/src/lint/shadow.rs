//! Rules that an earlier one leaves nothing to do.

use serde_json::Value;

use super::{Findings, Lint, Subject};
use crate::pattern::Anchor;
use crate::rule::{Check, Rule};
use crate::source::Cursor;

/// What of a rule says when and what it checks.
const SAME: [&str; 4] = ["match", "exclude", "context", "preconditions"];

pub(super) fn lint(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let first_rule_only = subject
        .spec
        .get("applyRules")
        .is_some_and(|apply| apply.value() == "One");
    for (at, (cursor, rule)) in subject.rules.iter().enumerate() {
        for (earlier, earlier_rule) in &subject.rules[..at] {
            let Some(name) = cursor.get("name") else { continue };
            let (fault, advice) = if is_same(earlier, cursor) {
                let why = format!(
                    "rule \"{}\" already says the same of the same objects",
                    earlier_rule.name
                );
                (
                    name.fault(why),
                    "Take one of them out: each violation is told twice.",
                )
            } else if first_rule_only
                && always_decides(earlier, earlier_rule)
                && earlier_rule.matches.covers(&rule.matches)
            {
                let why = format!(
                    "the rule is never reached: with applyRules One, rule \"{}\" decides before",
                    earlier_rule.name
                );
                (
                    name.fault(why),
                    "Put the narrower rule first, or set applyRules: All.",
                )
            } else {
                continue;
            };
            let from = findings.found.len();
            findings.warn(Lint::Shadowed, &fault, advice);
            findings.label(from, &format!("rule \"{}\"", rule.name));
            break;
        }
    }
}

fn is_same(one: &Cursor<'_>, other: &Cursor<'_>) -> bool {
    let check = |rule: &Cursor<'_>| {
        let mut check = rule.value().get("validate").cloned().unwrap_or_default();
        if let Value::Object(map) = &mut check {
            map.remove("message");
        }
        check
    };
    SAME.iter()
        .all(|key| one.value().get(*key) == other.value().get(*key))
        && check(one) == check(other)
}

/// Whether a rule passes or fails wherever it matches: nothing makes it skip, err or say nothing.
fn always_decides(cursor: &Cursor<'_>, rule: &Rule) -> bool {
    let is_plain = rule.is_static() && rule.exclude.is_none() && rule.context.is_empty();
    is_plain
        && match &rule.check {
            Check::Pattern(_) => {
                let pattern = cursor.value().pointer("/validate/pattern");
                pattern.is_some_and(|pattern| !has_anchor(pattern))
            }
            _ => false,
        }
}

fn has_anchor(pattern: &Value) -> bool {
    match pattern {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| Anchor::split(key).0 != Anchor::Plain || has_anchor(value)),
        Value::Array(items) => items.iter().any(has_anchor),
        _ => false,
    }
}
