//! Functions over lists and objects.

use std::collections::BTreeMap;

use super::{Call, Function, Outcome, scalar_text};
use crate::datum::{Datum, List, Text, View};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("items", 3, items),
    Function::new("label_match", 2, label_match),
    Function::new("lookup", 2, lookup),
    Function::new("object_from_lists", 2, object_from_lists),
];

/// `items(collection, key_name, value_name)`: an object for each entry, sorted by key.
fn items<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (key_name, value_name) = (call.text(1)?, call.text(2)?);
    let collection = call.datum(0)?.clone();
    let entries: Vec<(Datum<'a>, Datum<'a>)> = match collection.view() {
        View::Map(map) => call
            .evaluator
            .entries(map)?
            .into_iter()
            .map(|(key, value)| (Datum::Text(key), value))
            .collect(),
        View::List(list) => (0_u64..)
            .map(|index| Datum::Number(index.into()))
            .zip(list.iter())
            .collect(),
        _ => return Err(call.type_error(0, "an object or a list")),
    };
    let mut objects = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let object = BTreeMap::from([(key_name.clone(), key), (value_name.clone(), value)]);
        objects.push(call.evaluator.map(object)?);
    }
    call.evaluator.list(objects)
}

/// Whether the second object has every entry of the first.
fn label_match<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (wanted, labels) = (call.datum(0)?.clone(), call.datum(1)?.clone());
    let wanted = wanted.as_map().ok_or_else(|| call.type_error(0, "an object"))?;
    let labels = labels.as_map().ok_or_else(|| call.type_error(1, "an object"))?;
    for (key, value) in wanted.iter() {
        call.evaluator.budget.step()?;
        match labels.get(&key) {
            Some(found) if found.equals(&value, call.evaluator.budget)? => {}
            _ => return Ok(Datum::Bool(false)),
        }
    }
    Ok(Datum::Bool(true))
}

/// `lookup(collection, key_or_index)`; null where there is nothing.
fn lookup<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let found = match call.datum(0)?.view() {
        View::Map(map) => map.get(&call.text(1)?),
        View::List(list) => element(list, call.number(1)?).map_err(|reason| call.failure(reason))?,
        _ => return Err(call.type_error(0, "an object or a list")),
    };
    Ok(found.unwrap_or(Datum::Null))
}

fn element<'a>(list: List<'_, 'a>, index: f64) -> Result<Option<Datum<'a>>, String> {
    if index.fract() != 0.0 {
        return Err(format!("the index {index} is not a whole number"));
    }
    if index < 0.0 {
        return Ok(None);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative, saturating"
    )]
    let index = index as usize;
    Ok(list.get(index))
}

/// An object of a list of keys and a list of values; null where the values end first.
fn object_from_lists<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let keys: Option<Vec<Text<'a>>> = call.list(0)?.iter().map(|key| scalar_text(&key)).collect();
    let keys = keys.ok_or_else(|| call.type_error(0, "a list of strings"))?;
    let values = call.list(1)?;
    let object: BTreeMap<Text<'a>, Datum<'a>> = keys
        .into_iter()
        .enumerate()
        .map(|(index, key)| (key, values.get(index).unwrap_or(Datum::Null)))
        .collect();
    call.evaluator.map(object)
}
