//! Arithmetic over numbers, quantities and durations.
//!
//! A string is tried as a quantity first, then as a duration: `30m` is a quantity, `1h` a duration.

use provost_manifest::duration::Duration;
use provost_manifest::quantity::Quantity;

use super::{Call, Function, Outcome};
use crate::datum::{Datum, View};
use crate::error::EvalError;
use crate::print;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("add", 2, |call| calculate(call, add)),
    Function::new("divide", 2, |call| calculate(call, divide)),
    Function::new("modulo", 2, |call| calculate(call, modulo)),
    Function::new("multiply", 2, |call| calculate(call, multiply)),
    Function::new("round", 2, round),
    Function::new("subtract", 2, |call| calculate(call, subtract)),
    Function::new("sum", 1, sum),
];

/// Billionths in one.
const NANOS: i128 = 1_000_000_000;
/// Decimals of a billionth.
const NANO_SCALE: i32 = 9;
/// Nanoseconds in a second.
const NANOS_PER_SECOND: f64 = 1e9;

/// What is calculated with.
#[derive(Clone, Copy, Debug)]
enum Operand {
    Number(f64),
    /// A quantity, and how many decimals it was written with; negative for thousands.
    Quantity(Quantity, i32),
    Duration(Duration),
}

/// A calculation over two operands; its error says what is wrong.
type Calculation = fn(Operand, Operand) -> Result<Operand, String>;

fn calculate<'a>(call: &mut Call<'_, 'a>, calculation: Calculation) -> Outcome<'a> {
    let operand = |index| {
        Operand::of(call.datum(index)?)
            .ok_or_else(|| call.type_error(index, "a number, a quantity or a duration"))
    };
    let (left, right) = (operand(0)?, operand(1)?);
    let result = calculation(left, right).map_err(|reason| call.failure(reason))?;
    give(call, result)
}

fn sum<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let mut total: Option<Operand> = None;
    let elements: Vec<Datum<'a>> = call.list(0)?.iter().collect();
    call.evaluator.budget.spend(elements.len() as u64)?;
    if let [only] = elements.as_slice() {
        return Ok(only.clone());
    }
    for element in &elements {
        let operand = Operand::of(element)
            .ok_or_else(|| call.type_error(0, "a list of numbers, of quantities or of durations"))?;
        total = Some(match total {
            None => operand,
            Some(total) => add(total, operand).map_err(|reason| call.failure(reason))?,
        });
    }
    let total = total.ok_or_else(|| call.failure("the list is empty"))?;
    give(call, total)
}

fn round<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (number, places) = (call.number(0)?, call.number(1)?);
    if places < 0.0 || places.fract() != 0.0 {
        return Err(call.failure(format!("{places} is no number of decimals")));
    }
    let shift = 10_f64.powf(places);
    call.give_number((number * shift).round() / shift)
}

fn give<'a>(call: &mut Call<'_, 'a>, result: Operand) -> Result<Datum<'a>, EvalError> {
    match result {
        Operand::Number(number) => call.give_number(number),
        Operand::Quantity(quantity, _) => call.give_text(quantity.to_string()),
        Operand::Duration(duration) => call.give_text(duration.to_string()),
    }
}

// === impl Operand ===

impl Operand {
    fn of(datum: &Datum<'_>) -> Option<Self> {
        match datum.view() {
            View::Number(number) => number.as_f64().map(Self::Number),
            View::Text(text) => Self::quantity(text).or_else(|| text.parse().ok().map(Self::Duration)),
            _ => None,
        }
    }

    fn quantity(text: &str) -> Option<Self> {
        text.parse()
            .ok()
            .map(|quantity| Self::Quantity(quantity, scale(text)))
    }

    /// What the operand is called in an error.
    fn kind(self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Quantity(..) => "a quantity",
            Self::Duration(_) => "a duration",
        }
    }
}

/// How many decimals a quantity is written with: `1.5` has one, `100m` three, `2k` minus three, `1Gi` none.
fn scale(text: &str) -> i32 {
    let digits = text.trim_start_matches(['+', '-']);
    let suffix = digits.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let number = &digits[..digits.len() - suffix.len()];
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let shift = match suffix {
        "n" => 9,
        "u" => 6,
        "m" => 3,
        "k" => -3,
        "M" => -6,
        "G" => -9,
        "T" => -12,
        "P" => -15,
        "E" => -18,
        _ => suffix
            .strip_prefix(['e', 'E'])
            .and_then(|exponent| exponent.parse::<i32>().ok())
            .map_or(0, i32::saturating_neg),
    };
    i32::try_from(decimals)
        .unwrap_or(i32::MAX)
        .saturating_add(shift)
        .min(NANO_SCALE)
}

// --- calculations ---

fn mismatch(word: &str, left: Operand, right: Operand) -> String {
    format!("types mismatch: {} {word} {}", left.kind(), right.kind())
}

fn too_large() -> String {
    "the result is too large".to_owned()
}

fn add(left: Operand, right: Operand) -> Result<Operand, String> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Ok(Operand::Number(left + right)),
        (Operand::Quantity(left, scale), Operand::Quantity(right, other)) => left
            .checked_add(right)
            .map(|sum| Operand::Quantity(sum, scale.max(other)))
            .ok_or_else(too_large),
        (Operand::Duration(left), Operand::Duration(right)) => left
            .checked_add(right)
            .map(Operand::Duration)
            .ok_or_else(too_large),
        _ => Err(mismatch("and", left, right)),
    }
}

fn subtract(left: Operand, right: Operand) -> Result<Operand, String> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Ok(Operand::Number(left - right)),
        (Operand::Quantity(left, scale), Operand::Quantity(right, other)) => left
            .checked_sub(right)
            .map(|difference| Operand::Quantity(difference, scale.max(other)))
            .ok_or_else(too_large),
        (Operand::Duration(left), Operand::Duration(right)) => left
            .checked_sub(right)
            .map(Operand::Duration)
            .ok_or_else(too_large),
        _ => Err(mismatch("and", left, right)),
    }
}

fn multiply(left: Operand, right: Operand) -> Result<Operand, String> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Ok(Operand::Number(left * right)),
        (Operand::Quantity(quantity, scale), Operand::Number(number))
        | (Operand::Number(number), Operand::Quantity(quantity, scale)) => {
            let (factor, _) = factor(number)?;
            let product = quantity
                .nanos()
                .checked_mul(factor.nanos())
                .ok_or_else(too_large)?;
            // Finer than a billionth is rounded away from zero, as quantities are.
            let inexact = i128::from(product % NANOS != 0) * product.signum();
            Ok(Operand::Quantity(
                Quantity::from_nanos(product / NANOS + inexact, quantity.notation()),
                scale,
            ))
        }
        (Operand::Duration(duration), Operand::Number(number))
        | (Operand::Number(number), Operand::Duration(duration)) => {
            Ok(Operand::Duration(from_seconds(seconds(duration) * number)))
        }
        _ => Err(mismatch("times", left, right)),
    }
}

fn divide(left: Operand, right: Operand) -> Result<Operand, String> {
    let is_zero = match right {
        Operand::Number(number) => number == 0.0,
        Operand::Quantity(quantity, _) => quantity.is_zero(),
        Operand::Duration(duration) => duration.nanos() == 0,
    };
    if is_zero {
        return Err("division by zero".to_owned());
    }
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Ok(Operand::Number(left / right)),
        #[expect(clippy::cast_precision_loss, reason = "the result is a double")]
        (Operand::Quantity(left, _), Operand::Quantity(right, _)) => {
            Ok(Operand::Number(left.nanos() as f64 / right.nanos() as f64))
        }
        (Operand::Quantity(quantity, decimals), Operand::Number(number)) => {
            let (divisor, other) = factor(number)?;
            let scale = decimals.max(other);
            let nanos = quotient(quantity.nanos(), divisor.nanos(), scale).ok_or_else(too_large)?;
            Ok(Operand::Quantity(
                Quantity::from_nanos(nanos, quantity.notation()),
                scale,
            ))
        }
        (Operand::Duration(left), Operand::Duration(right)) => {
            Ok(Operand::Number(seconds(left) / seconds(right)))
        }
        (Operand::Duration(duration), Operand::Number(number)) => {
            Ok(Operand::Duration(from_seconds(seconds(duration) / number)))
        }
        _ => Err(mismatch("divided by", left, right)),
    }
}

fn modulo(left: Operand, right: Operand) -> Result<Operand, String> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => {
            let (left, right) = (whole(left)?, whole(right)?);
            #[expect(clippy::cast_precision_loss, reason = "the result is a double")]
            let rest = remainder(left, right)? as f64;
            Ok(Operand::Number(rest))
        }
        (Operand::Quantity(left, scale), Operand::Quantity(right, _)) => {
            if left.nanos() % NANOS != 0 || right.nanos() % NANOS != 0 {
                return Err("both must be whole".to_owned());
            }
            let rest = remainder(left.nanos(), right.nanos())?;
            Ok(Operand::Quantity(
                Quantity::from_nanos(rest, left.notation()),
                scale,
            ))
        }
        (Operand::Duration(left), Operand::Duration(right)) => {
            let rest = remainder(left.nanos().into(), right.nanos().into())?;
            Ok(Operand::Duration(Duration::from_nanos(
                i64::try_from(rest).unwrap_or_default(),
            )))
        }
        _ => Err(mismatch("modulo", left, right)),
    }
}

/// The rest of a division, with the sign of the dividend.
fn remainder(left: i128, right: i128) -> Result<i128, String> {
    left.checked_rem(right)
        .ok_or_else(|| "division by zero".to_owned())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers only, and it saturates"
)]
fn whole(number: f64) -> Result<i128, String> {
    if number.fract() == 0.0 {
        Ok(number as i128)
    } else {
        Err("both must be whole".to_owned())
    }
}

/// A number as a quantity, as its Go text reads, with its decimals.
fn factor(number: f64) -> Result<(Quantity, i32), String> {
    let text = print::shortest(number);
    let quantity = text
        .parse()
        .map_err(|_| format!("{text} is too exact for a quantity"))?;
    Ok((quantity, scale(&text)))
}

/// `left / right` in billionths, cut off behind `scale` decimals.
fn quotient(left: i128, right: i128, scale: i32) -> Option<i128> {
    let power = |exponent: i32| 10_i128.checked_pow(exponent.unsigned_abs());
    let quotient = if scale >= 0 {
        left.checked_mul(power(scale)?)?.checked_div(right)?
    } else {
        left.checked_div(right.checked_mul(power(scale)?)?)?
    };
    quotient.checked_mul(power(NANO_SCALE - scale)?)
}

#[expect(clippy::cast_precision_loss, reason = "Go counts with doubles here")]
fn seconds(duration: Duration) -> f64 {
    duration.nanos() as f64 / NANOS_PER_SECOND
}

#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn from_seconds(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * NANOS_PER_SECOND) as i64)
}
