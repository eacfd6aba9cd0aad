//! Scalars of a pattern: literals, and text with operators, ranges, wildcards, quantities and durations.

use std::borrow::Cow;
use std::cmp::Ordering;

use provost_manifest::duration::Duration;
use provost_manifest::quantity::Quantity;
use provost_manifest::wildcard::{Wildcard, WildcardError};
use serde_json::{Number, Value};

use super::Numbers;

/// A compiled scalar.
#[derive(Debug)]
pub(super) enum Scalar {
    /// 0, "", false, null or missing.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
}

/// A compiled text: alternatives (`|`) of atoms that must all hold (`&`).
#[derive(Debug)]
pub(super) struct Text {
    /// As written: the identical text always matches.
    pub(super) raw: String,
    pub(super) alternatives: Vec<Vec<Atom>>,
}

/// One comparison.
#[derive(Debug)]
pub(super) enum Atom {
    Is(Operator, Operand),
    /// `a-b`, both ends included.
    Within(Operand, Operand),
    /// `a!-b`.
    Outside(Operand, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// What a value is compared with, in every reading that it has.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) text: Wildcard,
    duration: Option<Duration>,
    quantity: Option<Quantity>,
}

// === impl Scalar ===

impl Scalar {
    pub(super) fn compile(value: &Value, numbers: Numbers) -> Result<Self, WildcardError> {
        Ok(match value {
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Number(number) => match number.as_i64() {
                Some(int) if numbers == Numbers::AsWritten => Self::Int(int),
                _ => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(Text::compile(text)?),
            // Maps and lists are not scalars and never get here.
            Value::Null | Value::Object(_) | Value::Array(_) => Self::Null,
        })
    }

    /// Compares with a value; with a list, each of its elements.
    pub(super) fn matches_all(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Array(items)) => items.iter().all(|item| self.matches(Some(item))),
            value => self.matches(value),
        }
    }

    /// Compares with one value; what is missing is null.
    pub(super) fn matches(&self, value: Option<&Value>) -> bool {
        let value = value.unwrap_or(&Value::Null);
        match self {
            Self::Null => is_zero(value),
            Self::Bool(bool) => value.as_bool() == Some(*bool),
            Self::Int(int) => as_int(value) == Some(*int),
            Self::Float(float) => as_float(value) == Some(*float),
            Self::Text(text) => text.matches(value),
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(bool) => !bool,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// The value as a whole number: an integer, or a float without fraction.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    value.is_number().then(|| as_int(value)).flatten()
}

/// The value as a whole number: an integer, a float without fraction, a decimal text.
fn as_int(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// `float` as an integer, where it is one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, and `as` saturates at its very edge"
)]
fn whole(float: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (float.fract() == 0.0 && (-LIMIT..LIMIT).contains(&float)).then_some(float as i64)
}

fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

// === impl Text ===

impl Text {
    pub(super) fn compile(raw: &str) -> Result<Self, WildcardError> {
        let alternatives = raw
            .split('|')
            .map(|alternative| {
                alternative
                    .split('&')
                    .map(|atom| Atom::compile(atom.trim()))
                    .collect()
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            raw: raw.to_owned(),
            alternatives,
        })
    }

    pub(super) fn matches(&self, value: &Value) -> bool {
        if value.as_str() == Some(self.raw.as_str()) {
            return true;
        }
        let subject = Subject::of(value);
        self.alternatives
            .iter()
            .any(|atoms| atoms.iter().all(|atom| atom.matches(&subject)))
    }
}

// === impl Atom ===

impl Atom {
    pub(super) fn compile(text: &str) -> Result<Self, WildcardError> {
        const OPERATORS: [(&str, Operator); 5] = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (">", Operator::Above),
            ("<", Operator::Below),
            ("!", Operator::NotEqual),
        ];
        if text.len() >= 2 {
            for (sign, operator) in OPERATORS {
                if let Some(operand) = text.strip_prefix(sign) {
                    return Ok(Self::Is(operator, Operand::parse(operand.trim())?));
                }
            }
            if let Some((low, high)) = split_range(text, "!-") {
                return Ok(Self::Outside(Operand::parse(low)?, Operand::parse(high)?));
            }
            if let Some((low, high)) = split_range(text, "-") {
                return Ok(Self::Within(Operand::parse(low)?, Operand::parse(high)?));
            }
        }
        Ok(Self::Is(Operator::Equal, Operand::parse(text)?))
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Is(operator, operand) => operand.holds(*operator, subject),
            Self::Within(low, high) => {
                low.holds(Operator::AtLeast, subject) && high.holds(Operator::AtMost, subject)
            }
            Self::Outside(low, high) => {
                low.holds(Operator::Below, subject) || high.holds(Operator::Above, subject)
            }
        }
    }
}

/// Whether `text` as a whole is a range, `1-5`.
pub(crate) fn is_range(text: &str) -> bool {
    split_range(text, "-").is_some()
}

/// Whether `value` lies in the range `text`, or in one of the forms of a pattern's text.
pub(crate) fn in_range(value: &Value, text: &str) -> bool {
    Text::compile(text).is_ok_and(|range| range.matches(value))
}

/// Splits `1Mi-5Mi` at its separator: both ends are numbers with an optional sign, fraction and unit.
fn split_range<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    let end = range_end(text)?;
    let (low, rest) = text.split_at(end);
    let high = rest.strip_prefix(separator)?;
    (range_end(high)? == high.len()).then_some((low, high))
}

/// The length of the number with unit that `text` begins with.
fn range_end(text: &str) -> Option<usize> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let start = usize::from(text.starts_with(['-', '+', '|']));
    let whole = digits(start);
    if whole == 0 {
        return None;
    }
    let mut end = start + whole;
    if text[end..].starts_with('.') {
        let fraction = digits(end + 1);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    let unit = text[end..].bytes().take_while(u8::is_ascii_alphabetic).count();
    Some(end + unit)
}

// === impl Operand ===

impl Operand {
    fn parse(text: &str) -> Result<Self, WildcardError> {
        Ok(Self {
            text: Wildcard::new(text)?,
            duration: text.parse().ok(),
            quantity: text.parse().ok(),
        })
    }

    /// Compares as durations where both sides are, else as quantities where both are, else as text.
    fn holds(&self, operator: Operator, subject: &Subject<'_>) -> bool {
        if let Some(operand) = self.duration
            && let Some(value) = subject.duration()
        {
            return operator.admits(value.cmp(&operand));
        }
        if let Some(operand) = self.quantity
            && let Some(value) = subject.quantity()
        {
            return operator.admits(value.cmp(&operand));
        }
        let equal = || subject.text().map(|text| self.text.matches(&text));
        match operator {
            Operator::Equal => equal() == Some(true),
            Operator::NotEqual => equal() == Some(false),
            Operator::AtLeast | Operator::AtMost | Operator::Above | Operator::Below => false,
        }
    }
}

// === impl Operator ===

impl Operator {
    fn admits(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::AtLeast => ordering.is_ge(),
            Self::AtMost => ordering.is_le(),
            Self::Above => ordering.is_gt(),
            Self::Below => ordering.is_lt(),
        }
    }
}

/// A value as an atom sees it.
enum Subject<'v> {
    Text(&'v str),
    Int(i64),
    Float(f64),
    Bool(bool),
    Null,
    /// A map or a list.
    Compound,
}

impl<'v> Subject<'v> {
    fn of(value: &'v Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Number(number) => Self::number(number),
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Null => Self::Null,
            Value::Array(_) | Value::Object(_) => Self::Compound,
        }
    }

    fn number(number: &Number) -> Self {
        match number.as_i64() {
            Some(int) => Self::Int(int),
            None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// What is missing counts as 0; of bare numbers only 0 is a duration.
    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Int(0) | Self::Null => Some(Duration::default()),
            _ => None,
        }
    }

    fn quantity(&self) -> Option<Quantity> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Int(int) => Some(Quantity::from_units(*int)),
            Self::Float(float) => format!("{float:.6}").parse().ok(),
            Self::Null => Some(Quantity::default()),
            Self::Bool(_) | Self::Compound => None,
        }
    }

    /// As text; what is missing, a map or a list has none, and compares with nothing, also not by `!`.
    fn text(&self) -> Option<Cow<'v, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Int(int) => Some(Cow::Owned(int.to_string())),
            Self::Float(float) => Some(Cow::Owned(scientific(*float))),
            Self::Bool(bool) => Some(Cow::Borrowed(if *bool { "true" } else { "false" })),
            Self::Null | Self::Compound => None,
        }
    }
}

/// A float as Go's `strconv.FormatFloat(f, 'E', -1, 64)` prints it: `80` is `8E+01`.
fn scientific(float: f64) -> String {
    let text = format!("{float:E}");
    let Some((digits, exponent)) = text.split_once('E') else {
        return text;
    };
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}E-{exponent:0>2}"),
        None => format!("{digits}E+{exponent:0>2}"),
    }
}
