//! Kubernetes quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! Held as a whole number of billionths in 128 bits, which is exact for everything the API's own type can hold
//! between 1n and 10^29; what is larger saturates, what is finer than a billionth is rounded away from zero, as
//! Kubernetes does. The notation (`Ki`, `k`, `e3`) is kept for printing and does not count in comparisons.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde_json::Value;

/// Billionths in one.
const NANOS: i128 = 1_000_000_000;
/// The longest text that is read as a quantity.
const MAX_LENGTH: usize = 256;

/// An amount of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    notation: Notation,
}

/// How a quantity was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Notation {
    /// `100m`, `1`, `2k`.
    #[default]
    Decimal,
    /// `1Ki`, `2Gi`.
    Binary,
    /// `1e3`.
    Exponent,
}

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity such as 100m, 0.5 or 1.5Gi")]
pub struct QuantityError {
    text: String,
}

/// A suffix: what the number before it is multiplied with.
#[derive(Clone, Copy)]
enum Scale {
    Ten(i32),
    Two(u32),
}

// === impl Quantity ===

impl Quantity {
    /// From billionths.
    pub fn from_nanos(nanos: i128, notation: Notation) -> Self {
        Self { nanos, notation }
    }

    /// From whole units.
    pub fn from_units(units: i64) -> Self {
        Self::from_nanos(i128::from(units) * NANOS, Notation::Decimal)
    }

    /// From a field of an object, where the API takes text and bare numbers alike.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.to_string().parse().ok(),
            _ => None,
        }
    }

    /// The amount in billionths.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// How it was written.
    pub fn notation(self) -> Notation {
        self.notation
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// The sum, in the first one's notation unless that is zero; `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let nanos = self.nanos.checked_add(other.nanos)?;
        Some(Self::from_nanos(nanos, self.notation_with(other)))
    }

    /// The difference, in the first one's notation unless that is zero; `None` on overflow.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let nanos = self.nanos.checked_sub(other.nanos)?;
        Some(Self::from_nanos(nanos, self.notation_with(other)))
    }

    fn notation_with(self, other: Self) -> Notation {
        if self.is_zero() {
            other.notation
        } else {
            self.notation
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError {
            text: text.chars().take(MAX_LENGTH).collect(),
        })
    }
}

/// The canonical form: no fraction, and the largest suffix that loses nothing.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.notation {
            // What is small or broken has no binary form.
            Notation::Binary if self.nanos % NANOS == 0 && (self.nanos / NANOS).abs() >= 1024 => {
                let (units, power) = shorten(self.nanos / NANOS, 1024, 6);
                write!(f, "{units}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
            }
            Notation::Binary | Notation::Decimal => {
                let (number, power) = shorten(self.nanos, 1000, 9);
                write!(
                    f,
                    "{number}{}",
                    ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power]
                )
            }
            Notation::Exponent => {
                let (number, power) = shorten(self.nanos, 1000, 12);
                match power {
                    NO_SUFFIX => write!(f, "{number}"),
                    power => write!(
                        f,
                        "{number}e{}",
                        [-9, -6, -3, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27][power]
                    ),
                }
            }
        }
    }
}

/// Where the decimal suffixes have none: zero and whole units.
const NO_SUFFIX: usize = 3;

/// Divides by the base as often as nothing is lost, and says how often; zero has no suffix.
fn shorten(mut number: i128, base: i128, most: usize) -> (i128, usize) {
    if number == 0 {
        return (0, NO_SUFFIX);
    }
    let mut power = 0;
    while power < most && number % base == 0 {
        number /= base;
        power += 1;
    }
    (number, power)
}

/// Reads `[+-]digits[.digits][suffix]`. The API takes a suffix alone as zero of that unit; so do we.
fn parse(text: &str) -> Option<Quantity> {
    if text.is_empty() || text.len() > MAX_LENGTH {
        return None;
    }
    let (negative, rest) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, rest) = split_digits(rest);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    let (scale, notation) = scale_of(rest)?;
    let nanos = match scale {
        Scale::Two(bits) => multiply(whole, fraction, NANOS << bits),
        Scale::Ten(exponent) => {
            let power = exponent.saturating_add(9);
            let (whole, fraction) = shift(whole, fraction, power.min(0).unsigned_abs());
            match 10_i128.checked_pow(power.max(0).unsigned_abs()) {
                Some(factor) => multiply(&whole, &fraction, factor),
                // Beyond all bounds, unless there is nothing to multiply.
                None if is_zero(&whole) && is_zero(&fraction) => 0,
                None => i128::MAX,
            }
        }
    };
    Some(Quantity::from_nanos(
        if negative { -nanos } else { nanos },
        notation,
    ))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn scale_of(suffix: &str) -> Option<(Scale, Notation)> {
    let decimal = |exponent| Some((Scale::Ten(exponent), Notation::Decimal));
    let binary = |bits| Some((Scale::Two(bits), Notation::Binary));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            Some((Scale::Ten(exponent.parse().ok()?), Notation::Exponent))
        }
    }
}

/// Moves the decimal point to the left.
fn shift(whole: &str, fraction: &str, places: u32) -> (String, String) {
    // More zeros than this change nothing: the result is the smallest amount or none.
    let places = usize::try_from(places).unwrap_or(usize::MAX).min(2 * MAX_LENGTH);
    let padded = format!("{whole:0>places$}");
    let (whole, moved) = padded.split_at(padded.len() - places);
    (whole.to_owned(), format!("{moved}{fraction}"))
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

/// `whole.fraction × factor`, rounded away from zero, saturating. The factor is at most 10^38 / 10.
fn multiply(whole: &str, fraction: &str, factor: i128) -> i128 {
    let digit = |byte: u8| i128::from(byte - b'0');
    let units = whole
        .bytes()
        .try_fold(0_i128, |units, byte| {
            units.checked_mul(10)?.checked_add(digit(byte))
        })
        .and_then(|units| units.checked_mul(factor));
    // From the last digit to the first, so that each division by ten is exact but for what `inexact` remembers.
    let mut inexact = false;
    let part = fraction.bytes().rev().try_fold(0_i128, |part, byte| {
        let sum = digit(byte).checked_mul(factor)?.checked_add(part)?;
        inexact |= sum % 10 != 0;
        Some(sum / 10)
    });
    units
        .zip(part)
        .and_then(|(units, part)| units.checked_add(part)?.checked_add(i128::from(inexact)))
        .unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    /// What Kubernetes' own type makes of each text: input, canonical form or `error`, decimal value.
    #[test]
    fn reads_and_prints_as_kubernetes_does() {
        for line in include_str!("../testdata/quantities.tsv").lines() {
            let mut columns = line.split('\t');
            let (input, canonical) = (columns.next().unwrap(), columns.next().unwrap());
            match input.parse::<Quantity>() {
                Ok(quantity) => {
                    assert_eq!(quantity.to_string(), canonical, "{input}");
                    let decimal = columns.next().unwrap();
                    assert_eq!(quantity, self::quantity(decimal), "{input}");
                }
                Err(_) => assert_eq!(canonical, "error", "{input}"),
            }
        }
    }

    #[rstest]
    #[case("1", "1000m")]
    #[case("1Ki", "1024")]
    #[case("0.5Gi", "512Mi")]
    #[case("1e3", "1k")]
    #[case("0", "0Ki")]
    fn compares_by_amount(#[case] one: &str, #[case] other: &str) {
        assert_eq!(quantity(one), quantity(other));
    }

    #[test]
    fn what_is_too_large_saturates() {
        assert_eq!(quantity("1e100").nanos(), i128::MAX);
        assert_eq!(quantity("-1e100").nanos(), -i128::MAX);
        assert!(quantity("1e100") > quantity("8Ei"));
        assert_eq!(quantity("0e2147483647").nanos(), 0);
        assert_eq!(quantity("1e-2147483648").nanos(), 1);
        assert_eq!(quantity("1e100").checked_add(quantity("1")), None);
    }

    #[test]
    fn adds_in_the_first_ones_notation() {
        let sum = |one: &str, other: &str| quantity(one).checked_add(quantity(other)).unwrap().to_string();
        assert_eq!(sum("1Gi", "1024"), "1048577Ki");
        assert_eq!(sum("0", "1Gi"), "1Gi");
        assert_eq!(sum("100m", "900m"), "1");
    }

    proptest! {
        #[test]
        fn the_canonical_form_reads_back_the_same(nanos in any::<i64>(), times in 1_i128..1_000_000) {
            for notation in [Notation::Decimal, Notation::Exponent] {
                let quantity = Quantity::from_nanos(i128::from(nanos) * times, notation);
                prop_assert_eq!(quantity, self::quantity(&quantity.to_string()));
            }
            let whole = Quantity::from_nanos(i128::from(nanos) * NANOS, Notation::Binary);
            prop_assert_eq!(whole, quantity(&whole.to_string()));
        }

        #[test]
        fn decimals_are_exact(units in 0_u32.., nanos in 0_u32..1_000_000_000, shift in 0_usize..6) {
            let text = format!("{units}.{nanos:09}{}", ["n", "u", "m", "", "k", "M"][shift]);
            let exact = i128::from(units) * NANOS + i128::from(nanos);
            let divisor = 10_i128.pow(9_u32.saturating_sub(3 * u32::try_from(shift).unwrap()));
            let factor = 10_i128.pow((3 * u32::try_from(shift).unwrap()).saturating_sub(9));
            let expected = (exact * factor + divisor - 1) / divisor;
            prop_assert_eq!(quantity(&text).nanos(), expected);
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eEinumkKMGTP]{0,40}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
