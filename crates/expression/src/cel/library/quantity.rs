//! Kubernetes quantities.

use std::cmp::Ordering;

use provost_manifest::quantity::Quantity;

use super::super::error::Error;
use super::super::value::{Value, View};
use super::{Call, Function, Outcome, quoted, version};

/// Billionths in one.
const NANOS: i128 = 1_000_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("quantity", 1, 1, |call| {
        let text = call.text(0)?;
        let quantity = text.parse().map(Value::Quantity);
        quantity.map_err(|_| call.failure(format!("{} is not a quantity", quoted(&text))))
    }),
    Function::global("isQuantity", 1, 1, |call| {
        let text = call.text(0)?;
        Ok(Value::Bool(text.parse::<Quantity>().is_ok()))
    }),
    Function::member("sign", 0, 0, |call| {
        let sign = quantity(call, 0)?.nanos().signum();
        Ok(Value::Int(i64::try_from(sign).unwrap_or_default()))
    }),
    Function::member("isInteger", 0, 0, |call| {
        Ok(Value::Bool(integer(quantity(call, 0)?).is_some()))
    }),
    Function::member("asInteger", 0, 0, |call| {
        let whole = integer(quantity(call, 0)?).map(Value::Int);
        whole.ok_or_else(|| call.failure("the quantity is no whole number of 64 bits"))
    }),
    Function::member("asApproximateFloat", 0, 0, |call| {
        #[expect(clippy::cast_precision_loss, reason = "it is approximate by name")]
        let double = |nanos: i128| nanos as f64 / NANOS as f64;
        Ok(Value::Double(double(quantity(call, 0)?.nanos())))
    }),
    Function::member("add", 1, 1, |call| combined(call, Quantity::checked_add)),
    Function::member("sub", 1, 1, |call| combined(call, Quantity::checked_sub)),
    Function::member("compareTo", 1, 1, |call| {
        Ok(Value::Int(match compared(call)? {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }))
    }),
    Function::member("isGreaterThan", 1, 1, |call| {
        Ok(Value::Bool(compared(call)?.is_gt()))
    }),
    Function::member("isLessThan", 1, 1, |call| {
        Ok(Value::Bool(compared(call)?.is_lt()))
    }),
];

fn quantity(call: &Call<'_, '_>, index: usize) -> Result<Quantity, Error> {
    match call.value(index) {
        Value::Quantity(quantity) => Ok(*quantity),
        _ => Err(call.overload()),
    }
}

fn integer(quantity: Quantity) -> Option<i64> {
    (quantity.nanos() % NANOS == 0)
        .then_some(quantity.nanos() / NANOS)?
        .try_into()
        .ok()
}

type Combine = fn(Quantity, Quantity) -> Option<Quantity>;

/// A quantity with another, or with a whole number.
fn combined<'a>(call: &mut Call<'_, 'a>, combine: Combine) -> Outcome<'a> {
    let left = quantity(call, 0)?;
    let right = match call.view(1) {
        View::Int(units) => Quantity::from_units(units),
        _ => quantity(call, 1)?,
    };
    combine(left, right).map(Value::Quantity).ok_or(Error::Overflow)
}

/// The order of two quantities, or of two versions: both libraries name their comparisons alike.
fn compared(call: &Call<'_, '_>) -> Result<Ordering, Error> {
    if let Some(order) = version::order(call.value(0), call.value(1)) {
        return Ok(order);
    }
    Ok(quantity(call, 0)?.nanos().cmp(&quantity(call, 1)?.nanos()))
}
