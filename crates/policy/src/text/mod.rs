//! What people read: the denial, the warning, the report of a check.
//!
//! All three say the same in the same order: which rule and its author's words, then one line for each field: where,
//! what was found, what is needed. Whatever comes from objects and policies is escaped and cut at named bounds.

mod denial;
mod objection;
mod report;
mod table;
mod warning;

pub use denial::{HINT, MAX_DENIAL_BYTES, denial};
pub use objection::objections;
pub use report::report;
pub use warning::{MAX_WARNING_CHARS, MAX_WARNINGS, warnings};

use std::fmt::Write as _;

use provost_manifest::escape::{self, shorten};
use provost_manifest::path::{FieldPath, Segment};
use serde_json::Value;

use crate::request::Request;
use crate::result::{Found, RuleResult, Status, Violation};

/// A value in a violation is cut at this many characters.
pub const MAX_VALUE_CHARS: usize = 120;
/// A list or map is shown as it is written up to this many characters.
const MAX_COMPOUND_CHARS: usize = 80;
/// An author's message, and what is needed, is cut at this many characters.
pub const MAX_MESSAGE_CHARS: usize = 500;
/// A path or a name is cut at this many characters.
pub const MAX_PATH_CHARS: usize = 300;

/// `Deployment shop/my-app`, `Pod shop/web (exec)`.
pub fn object_name(request: &Request<'_>) -> String {
    let metadata = request
        .object
        .or(request.old_object)
        .and_then(|object| object.get("metadata"));
    let generated = || {
        let prefix = metadata?.get("generateName")?.as_str()?;
        Some(format!("{prefix}…"))
    };
    let name = if request.name.is_empty() {
        let written = metadata
            .and_then(|m| m.get("name"))
            .and_then(Value::as_str)
            .map(str::to_owned);
        written
            .filter(|name| !name.is_empty())
            .or_else(generated)
            .unwrap_or_else(|| "without a name".to_owned())
    } else {
        request.name.to_owned()
    };
    let mut text = format!("{} ", request.kind.kind);
    // A Namespace is in itself, as the apiserver says it.
    if !request.namespace.is_empty() && request.kind.kind != "Namespace" {
        text.push_str(request.namespace);
        text.push('/');
    }
    text.push_str(&name);
    if !request.subresource.is_empty() {
        let _ = write!(text, " ({})", request.subresource);
    }
    shorten(&escape::line(&text), MAX_PATH_CHARS).into_owned()
}

/// `4 violations of 2 policies`, `1 violation of 1 policy and 1 rule that could not be judged`.
fn counts(results: &[&RuleResult]) -> String {
    let mut policies: Vec<&str> = results
        .iter()
        .filter(|r| r.status != Status::Error)
        .map(|r| &*r.policy)
        .collect();
    policies.sort_unstable();
    policies.dedup();
    let errors = results
        .iter()
        .filter(|result| result.status == Status::Error)
        .count();
    let violations: usize = results.iter().map(|result| weight(result)).sum::<usize>() - errors;
    let broken = match errors {
        0 => String::new(),
        1 => "1 rule that could not be judged".to_owned(),
        errors => format!("{errors} rules that could not be judged"),
    };
    if violations == 0 {
        return broken;
    }
    let text = format!(
        "{} of {}",
        plural(violations, "violation", "violations"),
        plural(policies.len(), "policy", "policies")
    );
    if errors == 0 {
        text
    } else {
        format!("{text} and {broken}")
    }
}

/// How many violations a result stands for: a rule that fails without naming a field is one.
fn weight(result: &RuleResult) -> usize {
    result.violations.len().max(1)
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `require-labels/check-labels: Resources must have required labels`; `note` stands behind the name.
fn heading(result: &RuleResult, note: &str) -> String {
    let name = format!(
        "{}/{}{note}",
        escape::line(&result.policy),
        escape::line(&result.rule)
    );
    let message = message(result);
    if message.is_empty() {
        name
    } else {
        format!("{name}: {message}")
    }
}

/// The author's words, or what went wrong, on one line.
fn message(result: &RuleResult) -> String {
    let words = result.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = match result.status {
        Status::Error => format!("could not be judged: {words}"),
        _ => words,
    };
    shorten(&escape::line(&text), MAX_MESSAGE_CHARS).into_owned()
}

/// `missing (container "web")`, `is "nginx:latest"`.
fn found(violation: &Violation) -> String {
    let mut text = match &violation.found {
        Found::Missing => "missing".to_owned(),
        Found::Hidden => "is a secret, not shown".to_owned(),
        Found::Value(value) => is(value),
        Found::Computed { value, .. } if violation.path.is_root() => is(value),
        Found::Computed { expression, value } => {
            format!(
                "{} {}",
                shorten(&escape::line(expression), MAX_VALUE_CHARS),
                is(value)
            )
        }
    };
    if let Some(within) = &violation.within {
        let _ = write!(text, " ({})", shorten(&escape::line(within), MAX_VALUE_CHARS));
    }
    text
}

/// What a value is; a list or map that does not fit into a line by what it holds.
fn is(value: &Value) -> String {
    let text = value.to_string();
    match value {
        Value::Number(number) => format!("is {}", provost_expression::print::number(number)),
        Value::Array(items) if text.len() > MAX_COMPOUND_CHARS => match items.split_last() {
            // Of a long list only the beginning is kept.
            Some((last, kept)) if last == "…" => format!("has more than {} elements", kept.len()),
            _ => format!("has {}", plural(items.len(), "element", "elements")),
        },
        Value::Object(map) if text.len() > MAX_COMPOUND_CHARS => {
            let keys: Vec<&str> = map.keys().map(String::as_str).collect();
            format!(
                "has {}",
                shorten(&escape::line(&keys.join(", ")), MAX_VALUE_CHARS)
            )
        }
        _ => format!("is {}", shorten(&escape::line(&text), MAX_VALUE_CHARS)),
    }
}

/// A violation as a part of a sentence: `spec.replicas is 1, needs >1`.
pub fn sentence(violation: &Violation) -> String {
    format!("{} {}, {}", path(violation), found(violation), needs(violation))
}

/// Where the violation is; for what was worked out of the whole object, what that is.
fn path(violation: &Violation) -> String {
    let text = match &violation.found {
        Found::Computed { expression, .. } if violation.path.is_root() => expression.clone(),
        _ => violation.path.to_string(),
    };
    shorten(&escape::line(&text), MAX_PATH_CHARS).into_owned()
}

fn needs(violation: &Violation) -> String {
    format!(
        "needs {}",
        shorten(&escape::line(&violation.accepted.0), MAX_MESSAGE_CHARS)
    )
}

/// What runs comes before what it is called: rules about labels and annotations alone come last.
fn by_importance<'r>(results: impl Iterator<Item = &'r RuleResult>) -> Vec<&'r RuleResult> {
    let in_metadata =
        |path: &FieldPath| matches!(path.segments().first(), Some(Segment::Key(key)) if key == "metadata");
    let mut results: Vec<&RuleResult> = results.collect();
    results.sort_by_key(|result| {
        !result.violations.is_empty()
            && result
                .violations
                .iter()
                .all(|violation| in_metadata(&violation.path))
    });
    results
}

#[cfg(test)]
mod tests;
