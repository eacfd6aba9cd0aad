//! Equality, and which operator means which comparison.

use provost_expression::{Budget, EvalError};
use provost_manifest::duration::Duration;
use provost_manifest::quantity::Quantity;
use provost_manifest::wildcard::Wildcard;
use serde_json::Value;

use super::Operator;
use super::membership::{self, Membership};
use super::order;

/// Whether `key OPERATOR value` is true. A null key makes every operator false.
pub(super) fn holds(
    operator: Operator,
    key: &Value,
    value: &Value,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    if key.is_null() {
        return Ok(false);
    }
    Ok(match operator {
        Operator::Equals => equals(key, value),
        Operator::NotEquals => not_equals(key, value),
        Operator::In => membership::deprecated(key, value, false, budget)?,
        Operator::NotIn => membership::deprecated(key, value, true, budget)?,
        Operator::AnyIn => membership::holds(Membership::AnyIn, key, value, budget)?,
        Operator::AllIn => membership::holds(Membership::AllIn, key, value, budget)?,
        Operator::AnyNotIn => membership::holds(Membership::AnyNotIn, key, value, budget)?,
        Operator::AllNotIn => membership::holds(Membership::AllNotIn, key, value, budget)?,
        Operator::GreaterThan => order::compare(key, value).is_some_and(std::cmp::Ordering::is_gt),
        Operator::GreaterThanOrEquals => order::compare(key, value).is_some_and(std::cmp::Ordering::is_ge),
        Operator::LessThan => order::compare(key, value).is_some_and(std::cmp::Ordering::is_lt),
        Operator::LessThanOrEquals => order::compare(key, value).is_some_and(std::cmp::Ordering::is_le),
        Operator::DurationGreaterThan => order::durations(key, value).is_some_and(std::cmp::Ordering::is_gt),
        Operator::DurationGreaterThanOrEquals => {
            order::durations(key, value).is_some_and(std::cmp::Ordering::is_ge)
        }
        Operator::DurationLessThan => order::durations(key, value).is_some_and(std::cmp::Ordering::is_lt),
        Operator::DurationLessThanOrEquals => {
            order::durations(key, value).is_some_and(std::cmp::Ordering::is_le)
        }
    })
}

fn equals(key: &Value, value: &Value) -> bool {
    match key {
        Value::Null => false,
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => key == value,
        Value::Number(_) => number_equals(key, value) == Some(true),
        Value::String(text) => text_equals(text, value) == Some(true),
    }
}

fn not_equals(key: &Value, value: &Value) -> bool {
    match key {
        Value::Null => false,
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => key != value,
        Value::Number(_) => number_equals(key, value) != Some(true),
        Value::String(text) => text_equals(text, value) != Some(true),
    }
}

fn number_equals(key: &Value, value: &Value) -> Option<bool> {
    let value = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }?;
    #[expect(clippy::float_cmp, reason = "the language compares numbers exactly")]
    let equal = key.as_f64()? == value;
    Some(equal)
}

/// As durations, as quantities, as wildcard; `None` where they cannot be compared.
fn text_equals(text: &str, value: &Value) -> Option<bool> {
    if let Some((key, value)) = both_durations(text, value) {
        return Some(key == value);
    }
    let value = value.as_str()?;
    if let Ok(quantity) = text.parse::<Quantity>() {
        return value.parse::<Quantity>().ok().map(|other| quantity == other);
    }
    Some(matches_wildcard(value, text))
}

/// Both as durations: at least one is a text other than "0" that is a duration, and the other one, or a number of
/// seconds.
pub(super) fn both_durations(key: &str, value: &Value) -> Option<(Duration, Duration)> {
    let is_meant = |text: &str| text != "0" && text.parse::<Duration>().is_ok();
    if !is_meant(key) && !value.as_str().is_some_and(is_meant) {
        return None;
    }
    Some((key.parse().ok()?, duration(value)?))
}

/// A duration, or a number of seconds, its fraction cut off.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "seconds are cut to whole ones; `as` saturates"
            )]
            let seconds = number.as_f64()? as i64;
            Duration::from_secs(seconds)
        }
        _ => None,
    }
}

/// Whether a wildcard that comes with the data matches; one that is refused matches nothing.
pub(super) fn matches_wildcard(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == text;
    }
    Wildcard::new(pattern).is_ok_and(|pattern| pattern.matches(text))
}
