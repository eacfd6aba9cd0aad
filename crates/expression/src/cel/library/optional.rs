//! Optional values. `or` and `orValue` are nodes: they evaluate the other value only where it is needed.

use super::super::value::{Value, View};
use super::Function;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("optional.of", 1, 1, |call| Ok(Value::some(call.value(0).clone()))),
    Function::global("optional.none", 0, 0, |_| Ok(Value::NONE)),
    Function::global("optional.ofNonZeroValue", 1, 1, |call| {
        let is_zero = match call.view(0) {
            View::Null => true,
            View::Bool(value) => !value,
            View::Int(value) => value == 0,
            View::Uint(value) => value == 0,
            View::Double(value) => value == 0.0,
            View::Text(text) => text.is_empty(),
            View::List(list) => list.len() == 0,
            View::Map(map) => map.len() == 0,
            View::Other(Value::Bytes(bytes)) => bytes.is_empty(),
            View::Other(Value::Duration(span)) => span.nanos() == 0,
            View::Other(_) => false,
        };
        Ok(if is_zero {
            Value::NONE
        } else {
            Value::some(call.value(0).clone())
        })
    }),
    Function::member("hasValue", 0, 0, |call| match call.value(0) {
        Value::Optional(inner) => Ok(Value::Bool(inner.is_some())),
        _ => Err(call.overload()),
    }),
    Function::member("value", 0, 0, |call| match call.value(0) {
        Value::Optional(Some(inner)) => Ok((**inner).clone()),
        Value::Optional(None) => Err(call.failure("there is no value")),
        _ => Err(call.overload()),
    }),
];
