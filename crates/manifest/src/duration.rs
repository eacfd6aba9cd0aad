//! Durations in Go's notation: `1h30m`, `250ms`, `-1.5s`.

use std::fmt;
use std::str::FromStr;

/// A span of time in whole nanoseconds, negative too, as Go's `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as 30s, 1h30m or 250ms")]
pub struct DurationError {
    text: String,
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// 2^63: one more than the longest duration, and the length of the most negative one.
const LIMIT: u64 = 1 << 63;
/// Characters of a refused text that its error repeats.
const SHOWN: usize = 64;

// === impl Duration ===

impl Duration {
    /// From nanoseconds.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds; `None` beyond 292 years.
    pub fn from_secs(seconds: i64) -> Option<Self> {
        seconds.checked_mul(1_000_000_000).map(Self)
    }

    /// In nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// For the standard library; `None` if negative.
    pub fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.0).ok().map(std::time::Duration::from_nanos)
    }

    /// The sum; `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` on overflow.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).ok_or_else(|| DurationError {
            text: text.chars().take(SHOWN).collect(),
        })
    }
}

/// As Go prints it: `1h30m0s`, `1.5s`, `250ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanos {
            0 => f.write_str("0s"),
            1..MICROSECOND => write!(f, "{nanos}ns"),
            MICROSECOND..MILLISECOND => write_unit(f, nanos, MICROSECOND, "µs"),
            MILLISECOND..SECOND => write_unit(f, nanos, MILLISECOND, "ms"),
            _ => {
                let (hours, minutes) = (nanos / HOUR, nanos / MINUTE % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if nanos >= MINUTE {
                    write!(f, "{minutes}m")?;
                }
                write_unit(f, nanos % MINUTE, SECOND, "s")
            }
        }
    }
}

/// A number of units with its fraction, trailing zeros left out.
fn write_unit(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    let fraction = nanos % unit;
    if fraction > 0 {
        let width = usize::try_from(unit.ilog10()).unwrap_or_default();
        let digits = format!("{fraction:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(Duration(0));
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        total = total.checked_add(part).filter(|total| *total <= LIMIT)?;
        rest = after;
    }
    let magnitude = i128::from(total);
    i64::try_from(if negative { -magnitude } else { magnitude })
        .ok()
        .map(Duration)
}

/// One `number unit` in nanoseconds, and what stands after it.
fn parse_part(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let unit = match name {
        "ns" => 1,
        // Both the micro sign and the Greek letter.
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    let nanos = whole
        .checked_mul(unit)?
        .checked_add(fraction_of(fraction, unit))?;
    (nanos <= LIMIT).then_some((nanos, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.digits × unit`, cut off below a nanosecond.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let part = digits.bytes().rev().fold(0_u128, |part, byte| {
        (u128::from(byte - b'0') * u128::from(unit) + part) / 10
    });
    u64::try_from(part).unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What Go makes of each text: input, nanoseconds or `error`, Go's own print.
    #[test]
    fn reads_and_prints_as_go_does() {
        for line in include_str!("../testdata/durations.tsv").lines() {
            let mut columns = line.split('\t');
            let (input, nanos) = (columns.next().unwrap(), columns.next().unwrap());
            match input.parse::<Duration>() {
                Ok(duration) => {
                    assert_eq!(duration.nanos().to_string(), nanos, "{input}");
                    assert_eq!(Some(duration.to_string().as_str()), columns.next(), "{input}");
                }
                Err(_) => assert_eq!(nanos, "error", "{input}"),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same(nanos in any::<i64>()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.nuµmsh]{0,30}") {
            let _ = text.parse::<Duration>();
        }
    }
}
