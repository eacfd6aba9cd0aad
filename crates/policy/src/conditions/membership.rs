//! In and its like: texts among texts, with wildcards on both sides.

use std::borrow::Cow;

use provost_expression::print::shortest;
use provost_expression::{Budget, EvalError};
use provost_manifest::wildcard::has_wildcard;
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
pub(super) fn holds(
    membership: Membership,
    key: &Value,
    value: &Value,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    match key {
        Value::Null | Value::Object(_) => Ok(false),
        Value::Array(keys) => list(membership, keys, value, budget),
        scalar => Ok(match scalar_found(scalar, value, budget)? {
            None => false,
            Some(found) => found == matches!(membership, Membership::AnyIn | Membership::AllIn),
        }),
    }
}

/// Texts that keys are looked for among.
struct Texts<'v> {
    texts: Vec<Cow<'v, str>>,
    /// How many of them are wildcards, and how long all are together.
    wildcards: usize,
    bytes: usize,
}

impl<'v> Texts<'v> {
    fn new(texts: Vec<Cow<'v, str>>) -> Self {
        Self {
            wildcards: texts.iter().filter(|text| has_wildcard(text)).count(),
            bytes: texts.iter().map(|text| text.len()).sum(),
            texts,
        }
    }

    fn of(values: &'v [Value], budget: &mut Budget) -> Result<Self, EvalError> {
        budget.spend(values.len() as u64)?;
        Ok(Self::new(values.iter().map(text).collect()))
    }

    /// Whether one of them matches the key, or the key one of them.
    fn has(&self, key: &str, budget: &mut Budget) -> Result<bool, EvalError> {
        budget.spend(1 + self.texts.len() as u64)?;
        budget.read(key.len().saturating_mul(self.wildcards))?;
        if has_wildcard(key) {
            budget.read(self.bytes)?;
        }
        Ok(self.texts.iter().any(|text| either_way(text, key)))
    }
}

/// Whether a scalar is among the value; `None` where the question has no answer and every operator is false.
fn scalar_found(key: &Value, value: &Value, budget: &mut Budget) -> Result<Option<bool>, EvalError> {
    let key_text = text(key);
    Ok(match value {
        Value::Array(items) => Some(Texts::of(items, budget)?.has(&key_text, budget)?),
        Value::String(pattern) => {
            if matches_wildcard(pattern, &key_text) {
                return Ok(Some(true));
            }
            if is_range(pattern) {
                return Ok(Some(in_range(key, pattern)));
            }
            match json_texts(pattern) {
                Json::Texts(texts) => Some(texts.iter().any(|text| **text == *key_text)),
                Json::Other => None,
                Json::No => Some(*key_text == **pattern),
            }
        }
        _ => None,
    })
}

fn list(
    membership: Membership,
    keys: &[Value],
    value: &Value,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    if let Value::String(value) = value {
        return list_in_text(membership, keys, value, budget);
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
        _ => return Ok(false),
    };
    let values = Texts::of(values, budget)?;
    quantified(membership, keys, |key| values.has(&text(key), budget))
}

fn list_in_text(
    membership: Membership,
    keys: &[Value],
    value: &str,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    if let [only] = keys
        && text(only) == value
    {
        return Ok(matches!(membership, Membership::AnyIn | Membership::AllIn));
    }
    if is_range(value) {
        budget.spend(keys.len() as u64)?;
        let outside = value.replacen('-', "!-", 1);
        return Ok(match membership {
            Membership::AnyIn => keys.iter().any(|key| in_range(key, value)),
            Membership::AllIn => keys.iter().all(|key| in_range(key, value)),
            Membership::AnyNotIn => keys.iter().any(|key| in_range(key, &outside)),
            Membership::AllNotIn => !keys.iter().any(|key| in_range(key, value)),
        });
    }
    let texts = match json_texts(value) {
        Json::Texts(texts) => texts.into_iter().map(Cow::Owned).collect(),
        Json::Other | Json::No => vec![Cow::Borrowed(value)],
    };
    let texts = Texts::new(texts);
    quantified(membership, keys, |key| texts.has(&text(key), budget))
}

fn quantified(
    membership: Membership,
    keys: &[Value],
    mut found: impl FnMut(&Value) -> Result<bool, EvalError>,
) -> Result<bool, EvalError> {
    // What decides is a key that is found, or one that is not.
    let (deciding, decided) = match membership {
        Membership::AnyIn => (true, true),
        Membership::AllIn => (false, false),
        Membership::AnyNotIn => (false, true),
        Membership::AllNotIn => (true, false),
    };
    for key in keys {
        if found(key)? == deciding {
            return Ok(decided);
        }
    }
    Ok(!decided)
}

/// In and NotIn, as they were before there was "any" and "all".
pub(super) fn deprecated(
    key: &Value,
    value: &Value,
    negated: bool,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    Ok(match (key, value) {
        (Value::Null | Value::Object(_), _) => false,
        (Value::Array(keys), Value::Array(values)) => {
            if !keys.iter().chain(values).all(Value::is_string) {
                return Ok(false);
            }
            budget.spend(keys.len() as u64 * values.len() as u64)?;
            keys.iter().all(|key| values.contains(key)) != negated
        }
        (Value::Array(keys), Value::String(text)) => {
            if let [only] = keys.as_slice()
                && only == text
            {
                return Ok(true);
            }
            match json_texts(text) {
                Json::Texts(texts) => {
                    budget.spend(keys.len() as u64 * texts.len() as u64)?;
                    let found = |key: &Value| {
                        key.as_str()
                            .is_some_and(|key| texts.iter().any(|text| text == key))
                    };
                    keys.iter().all(found) != negated
                }
                Json::Other | Json::No => false,
            }
        }
        (scalar, Value::Array(values)) => Texts::of(values, budget)?.has(&text(scalar), budget)? != negated,
        (scalar, Value::String(value)) => {
            let key = text(scalar);
            if matches_wildcard(value, &key) {
                return Ok(!negated);
            }
            match json_texts(value) {
                Json::Texts(texts) => texts.iter().any(|text| **text == *key) != negated,
                Json::Other | Json::No => false,
            }
        }
        _ => false,
    })
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
