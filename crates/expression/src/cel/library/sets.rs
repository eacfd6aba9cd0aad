//! The sets library: lists as sets.

use super::super::error::Error;
use super::super::value::Value;
use super::lists::contains;
use super::{Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("sets.contains", 2, 2, |call| {
        let (all, some) = lists(call)?;
        within(call, &some, &all).map(Value::Bool)
    }),
    Function::global("sets.equivalent", 2, 2, |call| {
        let (left, right) = lists(call)?;
        Ok(Value::Bool(
            within(call, &left, &right)? && within(call, &right, &left)?,
        ))
    }),
    Function::global("sets.intersects", 2, 2, |call| {
        let (left, right) = lists(call)?;
        for item in &left {
            if contains(call, &right, item)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
];

fn lists<'a>(call: &mut Call<'_, 'a>) -> Result<(Vec<Value<'a>>, Vec<Value<'a>>), Error> {
    Ok((call.list(0)?.iter().collect(), call.list(1)?.iter().collect()))
}

/// Whether every element of one list is in the other.
fn within<'a>(call: &mut Call<'_, 'a>, some: &[Value<'a>], all: &[Value<'a>]) -> Result<bool, Error> {
    for item in some {
        if !contains(call, all, item)? {
            return Ok(false);
        }
    }
    Ok(true)
}
