//! Checks that are content where the field is missing.

use serde_json::Value;

use super::{Findings, Lint, children, items};
use crate::pattern::{Anchor, passes_where_missing};
use crate::source::Cursor;

pub(super) fn lint(rule: &Cursor<'_>, findings: &mut Findings<'_>) {
    if let Some(validate) = rule.get("validate") {
        check(&validate, findings);
    }
}

/// Looks at the patterns of `validate` or of a foreach.
fn check(owner: &Cursor<'_>, findings: &mut Findings<'_>) {
    for pattern in owner.get("pattern").into_iter().chain(items(owner, "anyPattern")) {
        look_at(&pattern, findings);
    }
    for foreach in items(owner, "foreach") {
        check(&foreach, findings);
    }
}

fn look_at(pattern: &Cursor<'_>, findings: &mut Findings<'_>) {
    match pattern.value() {
        Value::Object(_) => {
            for (text, child) in children(pattern) {
                let (anchor, key) = Anchor::split(text);
                match child.value() {
                    // Under any anchor, the author has thought of the field that is not there.
                    Value::String(wanted) if anchor == Anchor::Plain => scalar(key, wanted, &child, findings),
                    _ if anchor == Anchor::Negation => {}
                    _ => look_at(&child, findings),
                }
            }
        }
        Value::Array(_) => {
            // Only the first element counts, where it is a map.
            if let Some(first) = pattern.list().unwrap_or_default().first() {
                look_at(first, findings);
            }
        }
        _ => {}
    }
}

fn scalar(key: &str, wanted: &str, place: &Cursor<'_>, findings: &mut Findings<'_>) {
    if wanted.contains("{{") || !passes_where_missing(place.value()) {
        return;
    }
    let fault = place.fault(format!("\"{wanted}\" is also met where {key} is missing"));
    findings.warn(
        Lint::PassesWhereMissing,
        &fault,
        &format!("A missing field counts as 0. Write \"?* & {wanted}\" to demand it, =({key}) where it may be missing."),
    );
}
