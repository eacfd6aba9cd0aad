//! In and its like: texts among texts, with wildcards on both sides.

use std::borrow::Cow;

use provost_expression::print::shortest;
use serde_json::Value;

use super::compare::matches_wildcard;
use crate::pattern::{in_range, is_range};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "these are the operators' names")]
pub(super) enum Membership {
    AnyIn,
    AllIn,
    AnyNotIn,
    AllNotIn,
}

/// AnyIn, AllIn, AnyNotIn, AllNotIn.
pub(super) fn holds(membership: Membership, key: &Value, value: &Value) -> bool {
    match key {
        Value::Null | Value::Object(_) => false,
        Value::Array(keys) => list(membership, keys, value),
        scalar => match scalar_found(scalar, value) {
            None => false,
            Some(found) => found == matches!(membership, Membership::AnyIn | Membership::AllIn),
        },
    }
}

/// Whether a scalar is among the value; `None` where the question has no answer and every operator is false.
fn scalar_found(key: &Value, value: &Value) -> Option<bool> {
    let key_text = text(key);
    match value {
        Value::Array(items) => Some(items.iter().any(|item| either_way(&text(item), &key_text))),
        Value::String(pattern) => {
            if matches_wildcard(pattern, &key_text) {
                return Some(true);
            }
            if is_range(pattern) {
                return Some(in_range(key, pattern));
            }
            match json_texts(pattern) {
                Json::Texts(texts) => Some(texts.iter().any(|text| **text == *key_text)),
                Json::Other => None,
                Json::No => Some(*key_text == **pattern),
            }
        }
        _ => None,
    }
}

fn list(membership: Membership, keys: &[Value], value: &Value) -> bool {
    if let Value::String(value) = value {
        return list_in_text(membership, keys, value);
    }
    let single;
    let values: &[Value] = match value {
        Value::Array(values) => values,
        Value::Number(_) | Value::Bool(_)
            if matches!(membership, Membership::AnyIn | Membership::AnyNotIn) =>
        {
            single = [value.clone()];
            &single
        }
        _ => return false,
    };
    let values: Vec<Cow<'_, str>> = values.iter().map(text).collect();
    quantified(membership, keys, |key| {
        let key = text(key);
        values.iter().any(|value| either_way(value, &key))
    })
}

fn list_in_text(membership: Membership, keys: &[Value], value: &str) -> bool {
    if let [only] = keys
        && text(only) == value
    {
        return matches!(membership, Membership::AnyIn | Membership::AllIn);
    }
    if is_range(value) {
        let outside = value.replacen('-', "!-", 1);
        return match membership {
            Membership::AnyIn => keys.iter().any(|key| in_range(key, value)),
            Membership::AllIn => keys.iter().all(|key| in_range(key, value)),
            Membership::AnyNotIn => keys.iter().any(|key| in_range(key, &outside)),
            Membership::AllNotIn => !keys.iter().any(|key| in_range(key, value)),
        };
    }
    let texts = match json_texts(value) {
        Json::Texts(texts) => texts,
        Json::Other | Json::No => vec![value.to_owned()],
    };
    quantified(membership, keys, |key| {
        let key = text(key);
        texts.iter().any(|value| either_way(value, &key))
    })
}

fn quantified(membership: Membership, keys: &[Value], found: impl Fn(&Value) -> bool) -> bool {
    match membership {
        Membership::AnyIn => keys.iter().any(found),
        Membership::AllIn => keys.iter().all(found),
        Membership::AnyNotIn => !keys.iter().all(found),
        Membership::AllNotIn => !keys.iter().any(found),
    }
}

/// In and NotIn, as they were before there was "any" and "all".
pub(super) fn deprecated(key: &Value, value: &Value, negated: bool) -> bool {
    match (key, value) {
        (Value::Null | Value::Object(_), _) => false,
        (Value::Array(keys), Value::Array(values)) => {
            if !keys.iter().chain(values).all(Value::is_string) {
                return false;
            }
            keys.iter().all(|key| values.contains(key)) != negated
        }
        (Value::Array(keys), Value::String(text)) => {
            if let [only] = keys.as_slice()
                && only == text
            {
                return true;
            }
            match json_texts(text) {
                Json::Texts(texts) => {
                    let found = |key: &Value| {
                        key.as_str()
                            .is_some_and(|key| texts.iter().any(|text| text == key))
                    };
                    keys.iter().all(found) != negated
                }
                Json::Other | Json::No => false,
            }
        }
        (scalar, Value::Array(values)) => {
            let key = text(scalar);
            values.iter().any(|value| either_way(&text(value), &key)) != negated
        }
        (scalar, Value::String(value)) => {
            let key = text(scalar);
            if matches_wildcard(value, &key) {
                return !negated;
            }
            match json_texts(value) {
                Json::Texts(texts) => texts.iter().any(|text| **text == *key) != negated,
                Json::Other | Json::No => false,
            }
        }
        _ => false,
    }
}

fn either_way(a: &str, b: &str) -> bool {
    matches_wildcard(a, b) || matches_wildcard(b, a)
}

/// A value as Go's `%v` prints it.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed("<nil>"),
        Value::Number(number) if number.is_f64() => Cow::Owned(shortest(number.as_f64().unwrap_or_default())),
        other => Cow::Owned(other.to_string()),
    }
}

/// A text read as JSON.
enum Json {
    /// It is a list of texts.
    Texts(Vec<String>),
    /// It is JSON of another shape.
    Other,
    /// It is no JSON.
    No,
}

fn json_texts(text: &str) -> Json {
    match serde_json::from_str::<Value>(text) {
        Err(_) => Json::No,
        Ok(value) => serde_json::from_value(value).map_or(Json::Other, Json::Texts),
    }
}
