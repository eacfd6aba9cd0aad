//! The functions of classic JMESPath.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Call, Function, Outcome};
use crate::datum::{Datum, View};
use crate::error::EvalError;
use crate::print;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("abs", 1, |call| call.give_number(call.number(0)?.abs())),
    Function::new("avg", 1, average),
    Function::new("ceil", 1, |call| call.give_number(call.number(0)?.ceil())),
    Function::new("contains", 2, contains),
    Function::new("ends_with", 2, |call| {
        Ok(Datum::Bool(call.text(0)?.ends_with(&*call.text(1)?)))
    }),
    Function::new("floor", 1, |call| call.give_number(call.number(0)?.floor())),
    Function::new("join", 2, join),
    Function::new("keys", 1, keys),
    Function::new("length", 1, length),
    Function::new("map", 2, map),
    Function::new("max", 1, |call| extreme(call, Ordering::Greater)),
    Function::new("max_by", 2, |call| extreme_by(call, Ordering::Greater)),
    Function::variadic("merge", 1, merge),
    Function::new("min", 1, |call| extreme(call, Ordering::Less)),
    Function::new("min_by", 2, |call| extreme_by(call, Ordering::Less)),
    Function::variadic("not_null", 1, not_null),
    Function::new("reverse", 1, reverse),
    Function::new("sort", 1, sort),
    Function::new("sort_by", 2, sort_by),
    Function::new("starts_with", 2, |call| {
        Ok(Datum::Bool(call.text(0)?.starts_with(&*call.text(1)?)))
    }),
    Function::new("to_array", 1, to_array),
    Function::new("to_number", 1, to_number),
    Function::new("to_string", 1, to_string),
    Function::new("type", 1, |call| {
        Ok(Datum::Text(super::Text::Borrowed(call.datum(0)?.type_name())))
    }),
    Function::new("values", 1, values),
];

fn average<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let numbers = call.numbers(0)?;
    if numbers.is_empty() {
        return Ok(Datum::Null);
    }
    #[expect(clippy::cast_precision_loss, reason = "no list comes near 2^52 elements")]
    let count = numbers.len() as f64;
    call.give_number(numbers.iter().sum::<f64>() / count)
}

fn contains<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let needle = call.datum(1)?.clone();
    match call.datum(0)?.clone().view() {
        View::Text(text) => {
            call.evaluator.budget.read(text.len())?;
            Ok(Datum::Bool(
                needle.as_text().is_some_and(|needle| text.contains(&*needle)),
            ))
        }
        View::List(list) => {
            if matches!(needle.view(), View::List(_) | View::Map(_)) {
                return Ok(Datum::Bool(false));
            }
            for element in list.iter() {
                if element.equals(&needle, call.evaluator.budget)? {
                    return Ok(Datum::Bool(true));
                }
            }
            Ok(Datum::Bool(false))
        }
        _ => Err(call.type_error(0, "a string or a list")),
    }
}

fn join<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (glue, texts) = (call.text(0)?, call.texts(1)?);
    let size = texts.iter().map(|text| text.len() + glue.len()).sum();
    call.evaluator.budget.allocate(size)?;
    let parts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    call.give_text(parts.join(&glue))
}

fn keys<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let datum = call.datum(0)?.clone();
    let map = datum.as_map().ok_or_else(|| call.type_error(0, "an object"))?;
    let entries = call.evaluator.entries(map)?;
    call.evaluator
        .list(entries.into_iter().map(|(key, _)| Datum::Text(key)).collect())
}

fn values<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let datum = call.datum(0)?.clone();
    let map = datum.as_map().ok_or_else(|| call.type_error(0, "an object"))?;
    let entries = call.evaluator.entries(map)?;
    call.evaluator
        .list(entries.into_iter().map(|(_, value)| value).collect())
}

fn length<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let length = match call.datum(0)?.view() {
        View::Text(text) => text.chars().count(),
        View::List(list) => list.len(),
        View::Map(map) => map.len(),
        _ => return Err(call.type_error(0, "a string, a list or an object")),
    };
    #[expect(clippy::cast_precision_loss, reason = "nothing comes near 2^52 elements")]
    call.give_number(length as f64)
}

fn map<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let node = call.expression(0)?;
    let elements: Vec<_> = call.list(1)?.iter().collect();
    let mapped = elements
        .into_iter()
        .map(|element| call.apply(node, element))
        .collect::<Result<_, _>>()?;
    call.evaluator.list(mapped)
}

fn merge<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut merged = BTreeMap::new();
    for index in 0..call.arguments.len() {
        let length = call.map(index)?.len();
        call.evaluator.budget.spend(length as u64)?;
        merged.extend(call.map(index)?.iter());
    }
    call.evaluator.map(merged)
}

fn not_null<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    for index in 0..call.arguments.len() {
        let datum = call.datum(index)?;
        if !datum.is_null() {
            return Ok(datum.clone());
        }
    }
    Ok(Datum::Null)
}

fn reverse<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match call.datum(0)?.clone().view() {
        View::Text(text) => call.give_text(text.chars().rev().collect::<String>()),
        View::List(list) => call.evaluator.list(list.iter().rev().collect()),
        _ => Err(call.type_error(0, "a string or a list")),
    }
}

fn to_array<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let datum = call.datum(0)?.clone();
    if datum.as_list().is_some() {
        Ok(datum)
    } else {
        call.evaluator.list(vec![datum])
    }
}

fn to_number<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let datum = call.datum(0)?;
    Ok(match datum.view() {
        View::Number(_) => datum.clone(),
        View::Text(text) => text.parse().map_or(Datum::Null, Datum::number),
        _ => Datum::Null,
    })
}

fn to_string<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let datum = call.datum(0)?.clone();
    if datum.as_text().is_some() {
        return Ok(datum);
    }
    let text = print::json(&datum, call.evaluator.budget)?;
    call.give_text(text)
}

// --- order ---

/// What can be put in order: all numbers, or all strings.
#[derive(Clone)]
enum Key<'a> {
    Number(f64),
    Text(super::Text<'a>),
}

// === impl Key ===

impl<'a> Key<'a> {
    fn of(datum: &Datum<'a>) -> Option<Self> {
        datum
            .as_f64()
            .map(Self::Number)
            .or_else(|| datum.as_text().map(Self::Text))
    }

    /// The order of two keys; `None` where their types differ.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.partial_cmp(right),
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }
}

/// Each element of a list with itself as key.
fn keyed<'a>(call: &mut Call<'_, 'a>) -> Result<Vec<(Key<'a>, Datum<'a>)>, EvalError> {
    let mut keyed: Vec<(Key<'a>, Datum<'a>)> = Vec::new();
    for element in call.list(0)?.iter() {
        match Key::of(&element) {
            Some(key)
                if keyed
                    .first()
                    .is_none_or(|(first, _)| first.compare(&key).is_some()) =>
            {
                keyed.push((key, element));
            }
            _ => return Err(call.type_error(0, "a list of numbers or a list of strings")),
        }
    }
    charge_order(call, keyed.len())?;
    Ok(keyed)
}

/// Each element of a list with what an expression makes of it as key.
fn keyed_by<'a>(call: &mut Call<'_, 'a>) -> Result<Vec<(Key<'a>, Datum<'a>)>, EvalError> {
    let node = call.expression(1)?;
    let elements: Vec<_> = call.list(0)?.iter().collect();
    let mut keyed: Vec<(Key<'a>, Datum<'a>)> = Vec::with_capacity(elements.len());
    for element in elements {
        match Key::of(&call.apply(node, element.clone())?) {
            Some(key)
                if keyed
                    .first()
                    .is_none_or(|(first, _)| first.compare(&key).is_some()) =>
            {
                keyed.push((key, element));
            }
            _ => {
                return Err(call.failure(
                    "the expression must give a number for every element, or a string for every element",
                ));
            }
        }
    }
    charge_order(call, keyed.len())?;
    Ok(keyed)
}

/// Spends what putting so many elements in order takes.
fn charge_order(call: &mut Call<'_, '_>, count: usize) -> Result<(), EvalError> {
    call.evaluator
        .budget
        .spend(count as u64 * u64::from(usize::BITS - count.leading_zeros()))
}

fn in_order(left: &(Key<'_>, Datum<'_>), right: &(Key<'_>, Datum<'_>)) -> Ordering {
    left.0.compare(&right.0).unwrap_or(Ordering::Equal)
}

fn sort<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut elements = keyed(call)?;
    elements.sort_by(in_order);
    call.evaluator
        .list(elements.into_iter().map(|(_, element)| element).collect())
}

fn sort_by<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut elements = keyed_by(call)?;
    elements.sort_by(in_order);
    call.evaluator
        .list(elements.into_iter().map(|(_, element)| element).collect())
}

fn extreme<'a>(call: &mut Call<'_, 'a>, wanted: Ordering) -> Outcome<'a> {
    let elements = keyed(call)?;
    Ok(first_extreme(elements, wanted))
}

fn extreme_by<'a>(call: &mut Call<'_, 'a>, wanted: Ordering) -> Outcome<'a> {
    let elements = keyed_by(call)?;
    Ok(first_extreme(elements, wanted))
}

/// The first of the largest or smallest elements; null of none.
fn first_extreme<'a>(elements: Vec<(Key<'a>, Datum<'a>)>, wanted: Ordering) -> Datum<'a> {
    elements
        .into_iter()
        .reduce(|best, next| {
            if in_order(&next, &best) == wanted {
                next
            } else {
                best
            }
        })
        .map_or(Datum::Null, |(_, element)| element)
}
