//! `+`, `-`, `*`, `/` and `%`: of numbers of one type, and of what can be put together.

use std::sync::Arc;

use jiff::SignedDuration;
use provost_manifest::duration::Duration;

use super::super::error::Error;
use super::super::evaluator::no_overload;
use super::super::node::Operator;
use super::super::value::{Value, View};
use super::Outcome;
use crate::budget::Budget;
use crate::datum::Text;

/// The result of an operator on two values.
pub(in crate::cel) fn arithmetic<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
    budget: &mut Budget,
) -> Outcome<'a> {
    let overload = || no_overload(operator.name(), &[left, right]);
    match (left.view(), right.view()) {
        (View::Int(left), View::Int(right)) => ints(operator, left, right).map(Value::Int),
        (View::Uint(left), View::Uint(right)) => uints(operator, left, right).map(Value::Uint),
        (View::Double(left), View::Double(right)) => match operator {
            Operator::Add => Ok(Value::Double(left + right)),
            Operator::Subtract => Ok(Value::Double(left - right)),
            Operator::Multiply => Ok(Value::Double(left * right)),
            Operator::Divide => Ok(Value::Double(left / right)),
            _ => Err(overload()),
        },
        (View::Text(left), View::Text(right)) if operator == Operator::Add => {
            budget.allocate(left.len() + right.len())?;
            Ok(Value::Text(Text::from(format!("{left}{right}"))))
        }
        (View::List(left), View::List(right)) if operator == Operator::Add => {
            budget.allocate((left.len() + right.len()) * size_of::<Value<'_>>())?;
            Ok(Value::list(left.iter().chain(right.iter()).collect()))
        }
        (View::Other(left), View::Other(right)) => {
            others(operator, left, right, budget).unwrap_or_else(|| Err(overload()))
        }
        _ => Err(overload()),
    }
}

fn ints(operator: Operator, left: i64, right: i64) -> Result<i64, Error> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Modulo if right == 0 => return Err(Error::DivisionByZero),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.ok_or(Error::Overflow)
}

fn uints(operator: Operator, left: u64, right: u64) -> Result<u64, Error> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Modulo if right == 0 => return Err(Error::DivisionByZero),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.ok_or(Error::Overflow)
}

/// Bytes and times; `None` where they do not go together.
fn others<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
    budget: &mut Budget,
) -> Option<Outcome<'a>> {
    let overflow = |value: Option<Value<'a>>| value.ok_or(Error::Overflow);
    Some(match (operator, left, right) {
        (Operator::Add, Value::Bytes(left), Value::Bytes(right)) => {
            let joined: Arc<[u8]> = left.iter().chain(&**right).copied().collect();
            budget
                .allocate(joined.len())
                .map_err(Error::from)
                .map(|()| Value::Bytes(joined))
        }
        (Operator::Add, Value::Duration(left), Value::Duration(right)) => {
            overflow(left.checked_add(*right).map(Value::Duration))
        }
        (Operator::Subtract, Value::Duration(left), Value::Duration(right)) => {
            overflow(left.checked_sub(*right).map(Value::Duration))
        }
        (Operator::Add, Value::Timestamp(time), Value::Duration(span))
        | (Operator::Add, Value::Duration(span), Value::Timestamp(time)) => overflow(
            time.checked_add(SignedDuration::from_nanos(span.nanos()))
                .ok()
                .map(Value::Timestamp),
        ),
        (Operator::Subtract, Value::Timestamp(time), Value::Duration(span)) => overflow(
            time.checked_sub(SignedDuration::from_nanos(span.nanos()))
                .ok()
                .map(Value::Timestamp),
        ),
        (Operator::Subtract, Value::Timestamp(left), Value::Timestamp(right)) => {
            let nanos = i64::try_from(left.duration_since(*right).as_nanos()).ok();
            overflow(nanos.map(|nanos| Value::Duration(Duration::from_nanos(nanos))))
        }
        _ => return None,
    })
}

/// The same span of time backwards.
pub(in crate::cel) fn negate(span: Duration) -> Option<Duration> {
    span.nanos().checked_neg().map(Duration::from_nanos)
}
