//! The violations of conditions that deny: which field each compared, and what it may be instead.

use provost_expression::{Budget, Datum};
use provost_manifest::escape::shorten;
use provost_manifest::path::FieldPath;
use serde_json::Value;

use crate::conditions::{Held, Operator};
use crate::context::View;
use crate::pattern::MAX_VIOLATIONS;
use crate::result::{Accepted, Found, Violation};
use crate::violations::place_of;

/// What is accepted is described with at most this many characters.
const MAX_ACCEPTED_CHARS: usize = 200;

/// Adds the fields that a condition which denies has compared. A condition on something that lies in no field of the
/// object, such as a number that was computed, adds none: the author's message has to tell.
pub(crate) fn collect(
    held: &Held<'_>,
    view: &View<'_>,
    object: &Value,
    budget: &mut Budget,
    violations: &mut Vec<Violation>,
) {
    let Some(expression) = held.condition.key_expression() else {
        return;
    };
    let accepted = Accepted(accepted(held.condition.operator, &held.value));
    let mut add = |path: FieldPath, found: Found| {
        let violation = Violation {
            path,
            found,
            accepted: accepted.clone(),
            within: None,
        };
        if violations.len() < MAX_VIOLATIONS && !violations.contains(&violation) {
            violations.push(violation);
        }
    };
    let Ok(datum) = view.search(expression, budget) else {
        return;
    };
    let place = |datum: &Datum<'_>, budget: &mut Budget| match datum {
        Datum::Borrowed(value) => Some((place_of(value, object, budget)?, Found::of(value))),
        _ => None,
    };
    if let Some((path, found)) = place(&datum, budget) {
        return add(path, found);
    }
    if let Some(items) = datum.as_list() {
        for item in items.iter() {
            let alone = match &item {
                Datum::Borrowed(value) => Value::Array(vec![(*value).clone()]),
                _ => continue,
            };
            if held.condition.holds(&alone, &held.value)
                && let Some((path, found)) = place(&item, budget)
            {
                add(path, found);
            }
        }
        return;
    }
    if let Some(path) = plain_path(expression.text())
        && path.get(object).is_none()
    {
        add(path, Found::Missing);
    }
}

/// The path of `request.object.spec.hostNetwork || false`.
fn plain_path(expression: &str) -> Option<FieldPath> {
    let (path, _) = expression.split_once("||").unwrap_or((expression, ""));
    let path = path.trim().strip_prefix("request.object.")?;
    let mut field = FieldPath::root();
    for name in path.split('.') {
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return None;
        }
        field.push_key(name);
    }
    Some(field)
}

/// What the opposite of a condition accepts.
fn accepted(operator: Operator, value: &Value) -> String {
    let value = shorten(&in_words(value), MAX_ACCEPTED_CHARS).into_owned();
    match operator {
        Operator::Equals | Operator::In | Operator::AnyIn | Operator::AllIn => {
            format!("anything but {value}")
        }
        Operator::NotEquals | Operator::NotIn | Operator::AnyNotIn | Operator::AllNotIn => value,
        Operator::GreaterThan | Operator::DurationGreaterThan => format!("at most {value}"),
        Operator::GreaterThanOrEquals | Operator::DurationGreaterThanOrEquals => format!("less than {value}"),
        Operator::LessThan | Operator::DurationLessThan => format!("at least {value}"),
        Operator::LessThanOrEquals | Operator::DurationLessThanOrEquals => format!("more than {value}"),
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "no value".to_owned(),
        Value::String(text) if text.is_empty() => "an empty value".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => provost_expression::print::number(number),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_words).collect();
            match items.as_slice() {
                [] => "nothing".to_owned(),
                [init @ .., last] if !init.is_empty() => format!("{} or {last}", init.join(", ")),
                [only, ..] => only.clone(),
            }
        }
        other => other.to_string(),
    }
}
