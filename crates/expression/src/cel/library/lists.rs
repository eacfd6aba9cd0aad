//! The lists library.

use std::cmp::Ordering;

use super::super::error::Error;
use super::super::node::Operator;
use super::super::value::{Value, View};
use super::{Call, Function, Outcome, arithmetic, strings};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::member("isSorted", 0, 0, |call| {
        let items: Vec<_> = call.list(0)?.iter().collect();
        for pair in items.windows(2) {
            if order(call, &pair[0], &pair[1])?.is_gt() {
                return Ok(Value::Bool(false));
            }
        }
        Ok(Value::Bool(true))
    }),
    Function::member("sum", 0, 0, |call| {
        let mut items = call.list(0)?.iter();
        let Some(mut sum) = items.next() else {
            return Ok(Value::Int(0));
        };
        for item in items {
            sum = arithmetic(Operator::Add, &sum, &item, call.budget)?;
        }
        Ok(sum)
    }),
    Function::member("min", 0, 0, |call| extreme(call, Ordering::Less)),
    Function::member("max", 0, 0, |call| extreme(call, Ordering::Greater)),
    Function::member("indexOf", 1, 2, |call| match call.view(0) {
        View::List(list) if call.count() == 2 => {
            for (index, item) in list.iter().enumerate() {
                if item.equals(call.value(1), call.budget)? {
                    return Ok(position(index));
                }
            }
            Ok(Value::Int(-1))
        }
        _ => strings::index_of(call),
    }),
    Function::member("lastIndexOf", 1, 2, |call| match call.view(0) {
        View::List(list) if call.count() == 2 => {
            for (index, item) in list.iter().enumerate().collect::<Vec<_>>().into_iter().rev() {
                if item.equals(call.value(1), call.budget)? {
                    return Ok(position(index));
                }
            }
            Ok(Value::Int(-1))
        }
        _ => strings::last_index_of(call),
    }),
    Function::member("slice", 2, 2, |call| {
        let list = call.list(0)?;
        let (from, to) = (call.position(1)?, call.position(2)?);
        if from > to || to > list.len() {
            return Err(call.failure(format!("there are no elements {from} to {to}")));
        }
        call.give_list(list.iter().skip(from).take(to - from).collect())
    }),
    Function::member("reverse", 0, 0, |call| {
        if let View::Text(_) = call.view(0) {
            let text = call.text(0)?;
            return call.give_text(text.chars().rev().collect());
        }
        let reversed = call.list(0)?.iter().rev().collect();
        call.give_list(reversed)
    }),
    Function::member("distinct", 0, 0, |call| {
        let mut distinct: Vec<Value<'_>> = Vec::new();
        for item in call.list(0)?.iter() {
            if !contains(call, &distinct, &item)? {
                distinct.push(item);
            }
        }
        call.give_list(distinct)
    }),
    Function::member("sort", 0, 0, |call| {
        let mut items: Vec<_> = call.list(0)?.iter().collect();
        call.budget
            .spend((items.len() * items.len().max(1).ilog2() as usize) as u64)?;
        let mut failed = None;
        items.sort_by(|left, right| {
            order(call, left, right).unwrap_or_else(|error| {
                failed = Some(error);
                Ordering::Equal
            })
        });
        failed.map_or_else(|| call.give_list(items), Err)
    }),
    Function::member("flatten", 0, 1, |call| {
        let depth = match call.count() {
            1 => 1,
            _ => call.position(1)?,
        };
        let mut flat: Vec<Value<'_>> = call.list(0)?.iter().collect();
        for _ in 0..depth {
            if !flat.iter().any(|item| matches!(item.view(), View::List(_))) {
                break;
            }
            let mut next = Vec::new();
            for item in flat {
                match item.view() {
                    View::List(list) => {
                        call.budget.allocate(list.len() * size_of::<Value<'_>>())?;
                        next.extend(list.iter());
                    }
                    _ => next.push(item),
                }
            }
            call.budget.spend(next.len() as u64)?;
            flat = next;
        }
        call.give_list(flat)
    }),
    Function::member("first", 0, 0, |call| {
        let first = call.list(0)?.get(0);
        Ok(first.map_or(Value::NONE, Value::some))
    }),
    Function::member("last", 0, 0, |call| {
        let list = call.list(0)?;
        let last = list.len().checked_sub(1).and_then(|last| list.get(last));
        Ok(last.map_or(Value::NONE, Value::some))
    }),
    Function::global("lists.range", 1, 1, |call| {
        let count = call.position(0)?;
        call.budget
            .allocate(count.saturating_mul(size_of::<Value<'_>>()))?;
        Ok(Value::list((0..count).map(position).collect()))
    }),
];

fn position<'a>(index: usize) -> Value<'a> {
    Value::Int(i64::try_from(index).unwrap_or(i64::MAX))
}

/// The order of two elements of one type.
fn order(call: &mut Call<'_, '_>, left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Error> {
    call.budget.step()?;
    left.order(right).flatten().ok_or_else(|| call.overload())
}

fn extreme<'a>(call: &mut Call<'_, 'a>, wanted: Ordering) -> Outcome<'a> {
    let mut items = call.list(0)?.iter();
    let mut extreme = items.next().ok_or_else(|| call.failure("the list is empty"))?;
    for item in items {
        if order(call, &item, &extreme)? == wanted {
            extreme = item;
        }
    }
    Ok(extreme)
}

/// Whether a list has an element.
pub(super) fn contains<'a>(
    call: &mut Call<'_, 'a>,
    list: &[Value<'a>],
    item: &Value<'a>,
) -> Result<bool, Error> {
    for known in list {
        if known.equals(item, call.budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}
