//! The standard functions: sizes, conversions, and questions about text.

use std::sync::Arc;

use super::super::error::Error;
use super::super::value::{Value, View};
use super::{Call, Function, Outcome, quoted};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("size", 1, 1, size),
    Function::member("size", 0, 0, size),
    Function::global("type", 1, 1, |call| Ok(Value::Type(call.value(0).type_name()))),
    Function::global("dyn", 1, 1, |call| Ok(call.value(0).clone())),
    Function::global("int", 1, 1, int),
    Function::global("uint", 1, 1, uint),
    Function::global("double", 1, 1, double),
    Function::global("string", 1, 1, |call| {
        let text = text_of(call.value(0)).ok_or_else(|| call.overload())?;
        call.give_text(text)
    }),
    Function::global("bytes", 1, 1, |call| {
        if let bytes @ Value::Bytes(_) = call.value(0) {
            return Ok(bytes.clone());
        }
        let text = call.text(0)?;
        call.budget.allocate(text.len())?;
        Ok(Value::Bytes(Arc::from(text.as_bytes())))
    }),
    Function::global("bool", 1, 1, |call| match call.view(0) {
        View::Bool(value) => Ok(Value::Bool(value)),
        View::Text("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(Value::Bool(true)),
        View::Text("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(Value::Bool(false)),
        View::Text(text) => Err(call.failure(format!("{} is not true or false", quoted(text)))),
        _ => Err(call.overload()),
    }),
    Function::member("contains", 1, 1, |call| {
        let (text, part) = (call.text(0)?, call.text(1)?);
        Ok(Value::Bool(text.contains(&*part)))
    }),
    Function::member("startsWith", 1, 1, |call| {
        let (text, part) = (call.text(0)?, call.text(1)?);
        Ok(Value::Bool(text.starts_with(&*part)))
    }),
    Function::member("endsWith", 1, 1, |call| {
        let (text, part) = (call.text(0)?, call.text(1)?);
        Ok(Value::Bool(text.ends_with(&*part)))
    }),
];

fn size<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let size = match call.view(0) {
        View::Text(_) => call.text(0)?.chars().count(),
        View::List(list) => list.len(),
        View::Map(map) => map.len(),
        View::Other(Value::Bytes(bytes)) => bytes.len(),
        _ => return Err(call.overload()),
    };
    i64::try_from(size).map(Value::Int).map_err(|_| Error::Overflow)
}

fn int<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match call.view(0) {
        View::Int(value) => Ok(Value::Int(value)),
        View::Uint(value) => i64::try_from(value).map(Value::Int).map_err(|_| Error::Overflow),
        View::Double(value) => super::super::value::whole(value.trunc())
            .map(Value::Int)
            .ok_or(Error::Overflow),
        View::Text(text) => text
            .parse()
            .map(Value::Int)
            .map_err(|_| call.failure(format!("{} is not a whole number", quoted(text)))),
        View::Other(Value::Timestamp(time)) => Ok(Value::Int(time.as_second())),
        _ => Err(call.overload()),
    }
}

fn uint<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match call.view(0) {
        View::Uint(value) => Ok(Value::Uint(value)),
        View::Int(value) => u64::try_from(value).map(Value::Uint).map_err(|_| Error::Overflow),
        View::Double(value) => super::super::value::whole(value.trunc())
            .and_then(|value| u64::try_from(value).ok())
            .map(Value::Uint)
            .ok_or(Error::Overflow),
        View::Text(text) => text
            .parse()
            .map(Value::Uint)
            .map_err(|_| call.failure(format!("{} is not a whole number without sign", quoted(text)))),
        _ => Err(call.overload()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "that is what double() does")]
fn double<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    match call.view(0) {
        View::Double(value) => Ok(Value::Double(value)),
        View::Int(value) => Ok(Value::Double(value as f64)),
        View::Uint(value) => Ok(Value::Double(value as f64)),
        View::Text(text) => text
            .parse()
            .map(Value::Double)
            .map_err(|_| call.failure(format!("{} is not a number", quoted(text)))),
        _ => Err(call.overload()),
    }
}

/// What `string()` makes of a value.
pub(super) fn text_of(value: &Value<'_>) -> Option<String> {
    Some(match value.view() {
        View::Bool(value) => value.to_string(),
        View::Int(value) => value.to_string(),
        View::Uint(value) => value.to_string(),
        View::Double(value) => double_text(value),
        View::Text(text) => text.to_owned(),
        View::Other(other) => match other {
            Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
            Value::Duration(span) => seconds(span.nanos()),
            Value::Timestamp(time) => time.to_string(),
            Value::Address(address) => address.to_string(),
            Value::Network(network) => network.to_string(),
            Value::Type(name) => (*name).to_owned(),
            _ => return None,
        },
        View::Null | View::List(_) | View::Map(_) => return None,
    })
}

/// A span of time as a number of seconds.
fn seconds(nanos: i64) -> String {
    let (whole, rest) = (
        nanos.unsigned_abs() / 1_000_000_000,
        nanos.unsigned_abs() % 1_000_000_000,
    );
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = format!(".{rest:09}");
    format!(
        "{sign}{whole}{}s",
        fraction.trim_end_matches('0').trim_end_matches('.')
    )
}

/// A number as Go's `%g` prints it: with an exponent where that is below -4 or at least 6.
pub(super) fn double_text(value: f64) -> String {
    /// Where Go begins to write exponents.
    const LARGE: f64 = 1e6;
    const SMALL: f64 = 1e-4;
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (SMALL..LARGE).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A key in an error.
pub(in crate::cel) fn shown(value: &Value<'_>) -> String {
    text_of(value).unwrap_or_else(|| value.type_name().to_owned())
}
