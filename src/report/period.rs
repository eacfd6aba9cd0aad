//! The period of a report: half-open, in UTC.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use provost_evidence::chain::format_time;

/// From, and up to but not including, each open where it isn't said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub from: Option<Moment>,
    /// The first moment that is no longer in it.
    pub to: Option<Moment>,
}

/// A moment as a person writes it: a date, which means 00:00 UTC, or a time with its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

/// A text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a date (2026-07-01) nor a time with its offset (2026-07-01T08:00:00Z)")]
pub struct MomentError;

// === impl Period ===

impl Period {
    /// Whether a time, in seconds since 1970, is in it.
    pub fn contains(&self, seconds: i64) -> bool {
        // Moments may have fractions of a second, commits have none.
        let Ok(time) = Timestamp::from_second(seconds) else {
            return self.from.is_none() && self.to.is_none();
        };
        self.from.is_none_or(|from| time >= from.0) && self.to.is_none_or(|to| time < to.0)
    }
}

// === impl Moment ===

impl Moment {
    /// As facts have it.
    pub fn text(self) -> String {
        format_time(self.0)
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(time));
        }
        // Stricter than the parser, which takes a date out of a longer text.
        if text.len() != "2026-07-01".len() {
            return Err(MomentError);
        }
        let date: Date = text.parse().map_err(|_| MomentError)?;
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| MomentError)?;
        Ok(Self(midnight.timestamp()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::date("2026-07-01", Some("2026-07-01T00:00:00.000Z"))]
    #[case::time("2026-07-01T08:00:00+02:00", Some("2026-07-01T06:00:00.000Z"))]
    #[case::time_without_offset("2026-07-01T08:00:00", None)]
    #[case::no_such_day("2026-02-30", None)]
    #[case::words("last quarter", None)]
    fn a_moment_is_a_date_or_a_time_with_its_offset(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(text.parse::<Moment>().ok().map(Moment::text).as_deref(), expected);
    }

    #[test]
    fn the_end_is_not_in_the_period() {
        let period = Period {
            from: "2026-07-01".parse().ok(),
            to: "2026-10-01".parse().ok(),
        };
        let seconds = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        assert!(period.contains(seconds("2026-07-01T00:00:00Z")));
        assert!(period.contains(seconds("2026-09-30T23:59:59Z")));
        assert!(!period.contains(seconds("2026-10-01T00:00:00Z")));
        assert!(!period.contains(seconds("2026-06-30T23:59:59Z")));
    }
}
