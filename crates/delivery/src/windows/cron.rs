//! Schedules in the five fields of cron: minute, hour, day of the month, month, day of the week.
//!
//! Lists, ranges, steps, `*`, `?` and English names of months and days. As with every cron, where both days are
//! narrowed one of them is enough; a field that begins with `*` narrows nothing. Times are wall-clock times.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, time};

/// Days that are looked through for the next time: a 29th of February is at most eight years away.
const MOST_DAYS: usize = 9 * 366;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A schedule, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// A field: the numbers that it allows, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    bits: u64,
    /// It narrows nothing.
    is_any: bool,
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no schedule of five fields (minute, hour, day of month, month, day of week): {reason}")]
pub struct ScheduleError {
    text: String,
    reason: String,
}

/// What a field may hold.
struct Range {
    what: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const FIELDS: [Range; 5] = [
    Range {
        what: "minute",
        low: 0,
        high: 59,
        names: &[],
    },
    Range {
        what: "hour",
        low: 0,
        high: 23,
        names: &[],
    },
    Range {
        what: "day of month",
        low: 1,
        high: 31,
        names: &[],
    },
    Range {
        what: "month",
        low: 1,
        high: 12,
        names: &MONTHS,
    },
    Range {
        what: "day of week",
        low: 0,
        high: 6,
        names: &DAYS,
    },
];

// === impl Schedule ===

impl Schedule {
    /// The first time of the schedule that is not before `from`; `None` where there is none (a 30th of February).
    pub fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = minute_of_day(from);
        for _ in 0..MOST_DAYS {
            if self.is_day(date)
                && let Some(minute) = self.first_minute(earliest)
            {
                let at = time(
                    i8::try_from(minute / 60).ok()?,
                    i8::try_from(minute % 60).ok()?,
                    0,
                    0,
                );
                return Some(date.to_datetime(at));
            }
            date = date.tomorrow().ok()?;
            earliest = 0;
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let number = |value: i8| u32::try_from(value).unwrap_or_default();
        let month = self.months.has(number(date.month()));
        let day = self.days.has(number(date.day()));
        let weekday = self.weekdays.has(number(date.weekday().to_sunday_zero_offset()));
        month
            && if self.days.is_any || self.weekdays.is_any {
                day && weekday
            } else {
                day || weekday
            }
    }

    fn first_minute(&self, earliest: u32) -> Option<u32> {
        (earliest..24 * 60).find(|minute| self.hours.has(minute / 60) && self.minutes.has(minute % 60))
    }
}

/// Minutes since midnight, a begun one counted whole.
fn minute_of_day(at: DateTime) -> u32 {
    let number = |value: i8| u32::try_from(value).unwrap_or_default();
    let is_begun = at.second() > 0 || at.subsec_nanosecond() > 0;
    number(at.hour()) * 60 + number(at.minute()) + u32::from(is_begun)
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let refuse = |reason: String| ScheduleError {
            text: text.chars().take(80).collect(),
            reason,
        };
        let fields: Vec<_> = text.split_whitespace().collect();
        let fields: [&str; 5] = fields
            .try_into()
            .map_err(|fields: Vec<_>| refuse(format!("it has {} fields", fields.len())))?;
        let mut sets = [Set {
            bits: 0,
            is_any: false,
        }; 5];
        for ((set, field), range) in sets.iter_mut().zip(fields).zip(&FIELDS) {
            *set = range.read(field).map_err(refuse)?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            weekdays,
        })
    }
}

// === impl Set ===

impl Set {
    fn has(self, number: u32) -> bool {
        number < 64 && self.bits >> number & 1 == 1
    }
}

// === impl Range ===

impl Range {
    fn read(&self, field: &str) -> Result<Set, String> {
        let mut set = Set {
            bits: 0,
            is_any: false,
        };
        for part in field.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => (range, Some(self.step(step)?)),
            };
            let (low, high) = match range {
                "*" | "?" => {
                    set.is_any |= step.is_none_or(|step| step == 1);
                    (self.low, self.high)
                }
                _ => self.bounds(range, step.is_some())?,
            };
            let step = step.unwrap_or(1);
            for number in (low..=high).step_by(step as usize) {
                set.bits |= 1 << number;
            }
        }
        Ok(set)
    }

    /// `5`, `5-9`; `5` with a step goes on to the end.
    fn bounds(&self, range: &str, has_step: bool) -> Result<(u32, u32), String> {
        let (low, high) = if let Some((low, high)) = range.split_once('-') {
            (self.number(low)?, self.number(high)?)
        } else {
            let low = self.number(range)?;
            (low, if has_step { self.high } else { low })
        };
        if low > high {
            return Err(format!("{range:?} ends before it begins in the {}", self.what));
        }
        Ok((low, high))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let by_name = self
            .names
            .iter()
            .zip(self.low..)
            .find(|(name, _)| text.eq_ignore_ascii_case(name))
            .map(|(_, number)| number);
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        by_name
            .or_else(|| text.parse().ok().filter(|_| is_number))
            .filter(|number| (self.low..=self.high).contains(number))
            .ok_or_else(|| {
                format!(
                    "the {} {text:?} is not from {} to {}",
                    self.what, self.low, self.high
                )
            })
    }

    fn step(&self, text: &str) -> Result<u32, String> {
        let step = text.parse().ok().filter(|step| (1..=self.high).contains(step));
        step.ok_or_else(|| format!("the step {text:?} of the {} is no number from 1", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("0 22 * * *", "2026-11-24T21:59:59", "2026-11-24T22:00:00")]
    #[case("0 22 * * *", "2026-11-24T22:00:00", "2026-11-24T22:00:00")]
    #[case("0 22 * * *", "2026-11-24T22:00:01", "2026-11-25T22:00:00")]
    #[case("*/15 * * * *", "2026-11-24T10:01:00", "2026-11-24T10:15:00")]
    #[case("5/20 * * * *", "2026-11-24T10:26:00", "2026-11-24T10:45:00")]
    #[case("0 9-17/4 * * *", "2026-11-24T10:00:00", "2026-11-24T13:00:00")]
    #[case("0 0 1 * *", "2026-11-24T00:00:00", "2026-12-01T00:00:00")]
    #[case("0 0 * * MON-FRI", "2026-11-28T00:00:00", "2026-11-30T00:00:00")]
    #[case("0 0 * * 0", "2026-11-24T00:00:00", "2026-11-29T00:00:00")]
    #[case("0 0 ? jan,Jul ?", "2026-11-24T00:00:00", "2027-01-01T00:00:00")]
    #[case("0 0 29 2 *", "2026-11-24T00:00:00", "2028-02-29T00:00:00")]
    // Where both days are narrowed, one of them is enough.
    #[case("0 0 13 * 5", "2026-11-24T00:00:00", "2026-11-27T00:00:00")]
    // A step is narrower than nothing, so that here one is enough too.
    #[case("0 0 */10 * 2", "2026-11-25T00:00:00", "2026-12-01T00:00:00")]
    #[case("59 23 31 12 *", "2026-12-31T23:59:30", "2027-12-31T23:59:00")]
    fn the_next_time(#[case] schedule: &str, #[case] from: &str, #[case] expected: &str) {
        let schedule: Schedule = schedule.parse().unwrap();
        let next = schedule.at_or_after(from.parse().unwrap()).unwrap();
        assert_eq!(next.to_string(), expected);
    }

    #[test]
    fn what_never_comes_has_no_next_time() {
        let schedule: Schedule = "0 0 30 2 *".parse().unwrap();
        assert_eq!(schedule.at_or_after("2026-11-24T00:00:00".parse().unwrap()), None);
    }

    #[rstest]
    #[case("", "it has 0 fields")]
    #[case("0 0 * *", "it has 4 fields")]
    #[case("0 0 * * * *", "it has 6 fields")]
    #[case("@daily", "it has 1 fields")]
    #[case("60 0 * * *", "the minute \"60\" is not from 0 to 59")]
    #[case("0 24 * * *", "the hour \"24\"")]
    #[case("0 0 0 * *", "the day of month \"0\"")]
    #[case("0 0 * 13 *", "the month \"13\"")]
    #[case("0 0 * * 7", "the day of week \"7\"")]
    #[case("0 0 * * noday", "the day of week \"noday\"")]
    #[case("9-5 0 * * *", "\"9-5\" ends before it begins")]
    #[case("*/0 0 * * *", "the step \"0\"")]
    #[case("1, 0 * * *", "the minute \"\"")]
    #[case("+1 0 * * *", "the minute \"+1\"")]
    fn what_is_no_schedule_is_refused(#[case] text: &str, #[case] reason: &str) {
        let error = text.parse::<Schedule>().unwrap_err();
        assert!(error.reason.starts_with(reason), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9*/,? a-z-]{0,20}") {
            let _ = text.parse::<Schedule>();
        }

        #[test]
        fn the_next_time_is_the_first_of_the_schedule(minute in 0_u32..60, hour in 0_u32..24, day in 1_i8..28, at in 0_i8..24) {
            let schedule: Schedule = format!("{minute} {hour} * * *").parse().unwrap();
            let from = jiff::civil::date(2026, 3, day).at(at, 30, 0, 0);
            let next = schedule.at_or_after(from).unwrap();
            prop_assert!(next >= from);
            prop_assert!(next < from.checked_add(jiff::Span::new().days(1)).unwrap());
            prop_assert_eq!(schedule.at_or_after(next), Some(next));
        }
    }
}
