//! Reads times by a layout in Go's manner, where `2006-01-02T15:04:05Z07:00` shows how the time is written.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// The layout of RFC 3339.
pub(super) const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// A point in time and the offset it is told in; prints as RFC 3339 in whole seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) timestamp: Timestamp,
    pub(super) offset: Offset,
}

/// What a part of a layout stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'l> {
    Literal(&'l str),
    /// `2006` or `06`
    Year,
    ShortYear,
    /// `January` or `Jan`
    MonthName,
    ShortMonthName,
    /// `1` or `01`
    Month(Width),
    /// `Monday` or `Mon`, which say nothing more
    WeekdayName,
    ShortWeekdayName,
    /// `2`, `_2` or `02`
    Day(Width),
    /// `002` or `__2`
    DayOfYear,
    /// `15`
    Hour,
    /// `3` or `03`
    HalfDayHour(Width),
    Minute(Width),
    Second(Width),
    /// `PM` or `pm`
    HalfDay,
    /// `.000`: so many digits
    Fraction(usize),
    /// `.999`: any digits, or none
    OptionalFraction,
    /// `MST`
    ZoneName,
    /// `-07:00`, `Z0700` and the like
    Offset(OffsetForm),
}

/// How many digits a number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    OneOrTwo,
    Two,
}

/// How an offset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetForm {
    /// Whether `Z` stands for none.
    z: bool,
    /// Whether a colon separates its parts.
    colon: bool,
    /// How many parts are written behind the hours: none, minutes, minutes and seconds.
    parts: usize,
}

/// What was read so far.
#[derive(Default)]
struct Fields {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    offset_seconds: i32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// How a layout shows each part; longer ones before those they begin with.
const PARTS: [(&str, Part<'static>); 24] = [
    ("January", Part::MonthName),
    ("Monday", Part::WeekdayName),
    ("MST", Part::ZoneName),
    ("2006", Part::Year),
    ("__2", Part::DayOfYear),
    ("002", Part::DayOfYear),
    ("_2", Part::Day(Width::OneOrTwo)),
    ("01", Part::Month(Width::Two)),
    ("02", Part::Day(Width::Two)),
    ("03", Part::HalfDayHour(Width::Two)),
    ("04", Part::Minute(Width::Two)),
    ("05", Part::Second(Width::Two)),
    ("06", Part::ShortYear),
    ("15", Part::Hour),
    ("PM", Part::HalfDay),
    ("pm", Part::HalfDay),
    ("1", Part::Month(Width::OneOrTwo)),
    ("2", Part::Day(Width::OneOrTwo)),
    ("3", Part::HalfDayHour(Width::OneOrTwo)),
    ("4", Part::Minute(Width::OneOrTwo)),
    ("5", Part::Second(Width::OneOrTwo)),
    // These only where no small letter follows.
    ("Jan", Part::ShortMonthName),
    ("Mon", Part::ShortWeekdayName),
    ("", Part::Literal("")),
];

/// Reads a time; `None` where it is not written as the layout shows.
pub(super) fn parse(layout: &str, text: &str) -> Option<Moment> {
    let mut fields = Fields::default();
    let (mut layout, mut rest) = (layout, text);
    while !layout.is_empty() {
        let (part, next) = next_part(layout);
        let (following, _) = next_part(next);
        rest = fields.read(part, rest)?;
        // Fractions of seconds are taken though the layout shows none.
        if matches!(part, Part::Second(_)) && !matches!(following, Part::Fraction(_) | Part::OptionalFraction)
        {
            rest = fields.optional_fraction(rest);
        }
        layout = next;
    }
    if rest.is_empty() { fields.moment() } else { None }
}

/// The part that a layout begins with, and what follows.
fn next_part(layout: &str) -> (Part<'_>, &str) {
    let mut length = 0;
    for (index, letter) in layout.char_indices() {
        if let Some((part, size)) = part_at(&layout[index..]) {
            return if index == 0 {
                (part, &layout[size..])
            } else {
                (Part::Literal(&layout[..index]), &layout[index..])
            };
        }
        length = index + letter.len_utf8();
    }
    (Part::Literal(&layout[..length]), "")
}

/// The part that stands at the beginning, and its length.
fn part_at(layout: &str) -> Option<(Part<'static>, usize)> {
    // `_2006` is a `_` and a year.
    if layout.starts_with("_2006") {
        return None;
    }
    offset_at(layout).or_else(|| fraction_at(layout)).or_else(|| {
        let (shown, part) = PARTS.iter().find(|(shown, part)| {
            let small_follows =
                || layout[shown.len()..].starts_with(|letter: char| letter.is_ascii_lowercase());
            let is_short = matches!(part, Part::ShortMonthName | Part::ShortWeekdayName);
            layout.starts_with(shown) && !(is_short && small_follows())
        })?;
        if shown.is_empty() {
            None
        } else {
            Some((*part, shown.len()))
        }
    })
}

fn offset_at(layout: &str) -> Option<(Part<'static>, usize)> {
    const FORMS: [(&str, bool, usize); 5] = [
        ("07:00:00", true, 2),
        ("070000", false, 2),
        ("07:00", true, 1),
        ("0700", false, 1),
        ("07", false, 0),
    ];
    let z = layout.starts_with('Z');
    let rest = layout.strip_prefix(['Z', '-'])?;
    let (shown, colon, parts) = FORMS.into_iter().find(|(shown, ..)| rest.starts_with(shown))?;
    Some((Part::Offset(OffsetForm { z, colon, parts }), 1 + shown.len()))
}

fn fraction_at(layout: &str) -> Option<(Part<'static>, usize)> {
    let rest = layout.strip_prefix(['.', ','])?;
    let digit = rest.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let after = rest.trim_start_matches(digit);
    if after.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let count = rest.len() - after.len();
    Some((
        if digit == '0' {
            Part::Fraction(count)
        } else {
            Part::OptionalFraction
        },
        1 + count,
    ))
}

// === impl Fields ===

impl Fields {
    /// Reads one part from the text; gives what follows.
    fn read<'t>(&mut self, part: Part<'_>, text: &'t str) -> Option<&'t str> {
        match part {
            Part::Literal(literal) => skip(literal, text),
            Part::Year => store(&mut self.year, digits(text, 4, 4)?),
            Part::ShortYear => {
                let (year, rest) = digits(text, 2, 2)?;
                self.year = i16::try_from(if year >= 69 { year + 1900 } else { year + 2000 }).ok()?;
                Some(rest)
            }
            Part::MonthName => store(&mut self.month, name(text, &MONTHS, usize::MAX)?),
            Part::ShortMonthName => store(&mut self.month, name(text, &MONTHS, 3)?),
            Part::WeekdayName => Some(name(text, &WEEKDAYS, usize::MAX)?.1),
            Part::ShortWeekdayName => Some(name(text, &WEEKDAYS, 3)?.1),
            Part::Month(width) => store(&mut self.month, width.number(text)?),
            Part::Day(width) => {
                let text = text
                    .strip_prefix(' ')
                    .filter(|_| width == Width::OneOrTwo)
                    .unwrap_or(text);
                store(&mut self.day, width.number(text)?)
            }
            Part::DayOfYear => store(&mut self.day_of_year, digits(text.trim_start_matches(' '), 1, 3)?),
            Part::Hour => store(&mut self.hour, Width::OneOrTwo.number(text)?),
            Part::HalfDayHour(width) => {
                store(&mut self.hour, width.number(text).filter(|found| found.0 <= 12)?)
            }
            Part::Minute(width) => store(&mut self.minute, width.number(text)?),
            Part::Second(width) => store(&mut self.second, width.number(text)?),
            Part::HalfDay => {
                let half = text.get(..2)?;
                self.afternoon = match half {
                    "AM" | "am" => Some(false),
                    "PM" | "pm" => Some(true),
                    _ => return None,
                };
                Some(&text[2..])
            }
            Part::Fraction(count) => {
                let rest = text.strip_prefix(['.', ','])?;
                let fraction = rest
                    .get(..count)
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
                self.nanosecond = nanoseconds(fraction);
                Some(&rest[count..])
            }
            Part::OptionalFraction => Some(self.optional_fraction(text)),
            Part::ZoneName => zone_name(text),
            Part::Offset(form) => self.offset(form, text),
        }
    }

    fn optional_fraction<'t>(&mut self, text: &'t str) -> &'t str {
        let Some(rest) = text.strip_prefix(['.', ',']) else {
            return text;
        };
        let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if after.len() == rest.len() {
            return text;
        }
        self.nanosecond = nanoseconds(&rest[..rest.len() - after.len()]);
        after
    }

    fn offset<'t>(&mut self, form: OffsetForm, text: &'t str) -> Option<&'t str> {
        if form.z
            && let Some(rest) = text.strip_prefix('Z')
        {
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let separator = if form.colon { ":" } else { "" };
        let (hours, mut rest) = digits(&text[1..], 2, 2)?;
        let mut seconds = hours * 3600;
        for unit in [60, 1].into_iter().take(form.parts) {
            let (number, after) = digits(rest.strip_prefix(separator)?, 2, 2)?;
            seconds += number * unit;
            rest = after;
        }
        self.offset_seconds = sign * seconds;
        Some(rest)
    }

    fn moment(self) -> Option<Moment> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match self.day_of_year {
            Some(day) => Date::new(self.year, 1, 1)
                .ok()?
                .with()
                .day_of_year(day)
                .build()
                .ok()?,
            None => Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let time = jiff::civil::Time::new(hour, self.minute, self.second, self.nanosecond).ok()?;
        let offset = Offset::from_seconds(self.offset_seconds).ok()?;
        let timestamp = offset.to_timestamp(date.to_datetime(time)).ok()?;
        Some(Moment { timestamp, offset })
    }
}

// === impl Width ===

impl Width {
    fn number(self, text: &str) -> Option<(i32, &str)> {
        digits(text, if self == Self::Two { 2 } else { 1 }, 2)
    }
}

/// A number of at least and at most so many digits, and what follows.
fn digits(text: &str, least: usize, most: usize) -> Option<(i32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// Stores a number that was read, and gives what follows.
fn store<'t, T: TryFrom<i32>>(field: &mut impl Store<T>, (number, rest): (i32, &'t str)) -> Option<&'t str> {
    field.store(T::try_from(number).ok()?);
    Some(rest)
}

/// A field that a number is stored in.
trait Store<T> {
    fn store(&mut self, value: T);
}

impl Store<Self> for i8 {
    fn store(&mut self, value: Self) {
        *self = value;
    }
}

impl Store<Self> for i16 {
    fn store(&mut self, value: Self) {
        *self = value;
    }
}

impl<T> Store<T> for Option<T> {
    fn store(&mut self, value: T) {
        *self = Some(value);
    }
}

/// The number from 1 of the name that comes next, whatever its case, of which `length` letters are written.
fn name<'t>(text: &'t str, names: &[&str], length: usize) -> Option<(i32, &'t str)> {
    let (number, length) = (1..).zip(names).find_map(|(number, name)| {
        let written = &name[..length.min(name.len())];
        let found = text.get(..written.len())?;
        found
            .eq_ignore_ascii_case(written)
            .then_some((number, written.len()))
    })?;
    Some((number, &text[length..]))
}

/// Skips what a layout shows as itself; a run of spaces is one space.
fn skip<'t>(literal: &str, text: &'t str) -> Option<&'t str> {
    let (mut literal, mut text) = (literal, text);
    while let Some(letter) = literal.chars().next() {
        if letter == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            (literal, text) = (literal.trim_start_matches(' '), text.trim_start_matches(' '));
        } else {
            (literal, text) = (&literal[letter.len_utf8()..], text.strip_prefix(letter)?);
        }
    }
    Some(text)
}

/// Skips the name of a zone. Names other than UTC tell no offset, as in Go where the machine's own zone is UTC.
fn zone_name(text: &str) -> Option<&str> {
    // Zones without a name are called by their hours.
    if let Some(hours) = text.strip_prefix(['+', '-']) {
        return digits(hours, 2, 2).map(|(_, rest)| rest);
    }
    let rest = text.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
    matches!(text.len() - rest.len(), 3..=5).then_some(rest)
}

/// Digits behind a point, in billionths; further ones are cut off.
fn nanoseconds(digits: &str) -> i32 {
    digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'))
}

// === impl Moment ===

impl Moment {
    /// A point in time, told in UTC.
    pub(super) fn utc(timestamp: Timestamp) -> Self {
        Self {
            timestamp,
            offset: Offset::UTC,
        }
    }

    /// Date and time of day at its offset.
    pub(super) fn civil(self) -> DateTime {
        self.offset.to_datetime(self.timestamp)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.civil();
        write!(f, "{:04}-{:02}-{:02}", time.year(), time.month(), time.day())?;
        write!(f, "T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        let minutes = self.offset.seconds() / 60;
        if minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}
