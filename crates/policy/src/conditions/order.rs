//! GreaterThan and its like.

use std::cmp::Ordering;

use provost_manifest::quantity::Quantity;
use semver::Version;
use serde_json::Value;

use super::compare::{both_durations, duration};

/// As durations, quantities, numbers or versions, whichever both are.
pub(super) fn compare(key: &Value, value: &Value) -> Option<Ordering> {
    match key {
        Value::Number(number) => number_order(number.as_f64()?, value),
        Value::String(text) => text_order(text, value),
        _ => None,
    }
}

/// As durations, or numbers of seconds.
pub(super) fn durations(key: &Value, value: &Value) -> Option<Ordering> {
    Some(duration(key)?.cmp(&duration(value)?))
}

fn number_order(key: f64, value: &Value) -> Option<Ordering> {
    match value {
        Value::Number(number) => key.partial_cmp(&number.as_f64()?),
        Value::String(text) => match duration(value) {
            Some(other) => Some(duration(&Value::from(key))?.cmp(&other)),
            None => key.partial_cmp(&text.parse().ok()?),
        },
        _ => None,
    }
}

fn text_order(key: &str, value: &Value) -> Option<Ordering> {
    if let Some((key, value)) = both_durations(key, value) {
        return Some(key.cmp(&value));
    }
    if let (Ok(key), Some(Ok(value))) = (
        key.parse::<Quantity>(),
        value.as_str().map(str::parse::<Quantity>),
    ) {
        return Some(key.cmp(&value));
    }
    if let Ok(number) = key.parse::<f64>() {
        return number_order(number, value);
    }
    let (key, value) = (Version::parse(key).ok()?, Version::parse(value.as_str()?).ok()?);
    Some(key.cmp_precedence(&value))
}
