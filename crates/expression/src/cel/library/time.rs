//! Points and spans of time. Times are in UTC unless an offset such as `+02:00` is given: names of zones would need
//! a database that differs from machine to machine.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use provost_manifest::duration::Duration;

use super::super::error::Error;
use super::super::value::{Value, View};
use super::{Call, Function, Outcome, quoted};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("timestamp", 1, 1, |call| match call.view(0) {
        View::Other(Value::Timestamp(time)) => Ok(Value::Timestamp(*time)),
        View::Int(seconds) => Timestamp::from_second(seconds)
            .map(Value::Timestamp)
            .map_err(|_| Error::Overflow),
        View::Text(text) => {
            let time = text.parse().map(Value::Timestamp);
            time.map_err(|_| call.failure(format!("{} is not a time", quoted(text))))
        }
        _ => Err(call.overload()),
    }),
    Function::global("duration", 1, 1, |call| match call.view(0) {
        View::Other(Value::Duration(span)) => Ok(Value::Duration(*span)),
        View::Text(text) => {
            let span = text.parse().map(Value::Duration);
            span.map_err(|_| call.failure(format!("{} is not a duration", quoted(text))))
        }
        _ => Err(call.overload()),
    }),
    Function::member("getFullYear", 0, 1, |call| {
        of_time(call, |time| i64::from(time.year()))
    }),
    Function::member("getMonth", 0, 1, |call| {
        of_time(call, |time| i64::from(time.month()) - 1)
    }),
    Function::member("getDate", 0, 1, |call| {
        of_time(call, |time| i64::from(time.day()))
    }),
    Function::member("getDayOfMonth", 0, 1, |call| {
        of_time(call, |time| i64::from(time.day()) - 1)
    }),
    Function::member("getDayOfWeek", 0, 1, |call| {
        of_time(call, |time| i64::from(time.weekday().to_sunday_zero_offset()))
    }),
    Function::member("getDayOfYear", 0, 1, |call| {
        of_time(call, |time| i64::from(time.day_of_year()) - 1)
    }),
    Function::member("getHours", 0, 1, |call| {
        of_either(call, |time| i64::from(time.hour()), |span| span.nanos() / HOUR)
    }),
    Function::member("getMinutes", 0, 1, |call| {
        of_either(
            call,
            |time| i64::from(time.minute()),
            |span| span.nanos() / MINUTE,
        )
    }),
    Function::member("getSeconds", 0, 1, |call| {
        of_either(
            call,
            |time| i64::from(time.second()),
            |span| span.nanos() / SECOND,
        )
    }),
    Function::member("getMilliseconds", 0, 1, |call| {
        of_either(
            call,
            |time| i64::from(time.millisecond()),
            |span| span.nanos() / 1_000_000 % 1_000,
        )
    }),
];

fn of_either<'a>(call: &mut Call<'_, 'a>, time: fn(&Zoned) -> i64, span: fn(Duration) -> i64) -> Outcome<'a> {
    match call.value(0) {
        Value::Duration(value) if call.count() == 1 => Ok(Value::Int(span(*value))),
        _ => of_time(call, time),
    }
}

fn of_time<'a>(call: &mut Call<'_, 'a>, part: fn(&Zoned) -> i64) -> Outcome<'a> {
    let Value::Timestamp(time) = call.value(0) else {
        return Err(call.overload());
    };
    let zone = if call.count() == 1 {
        TimeZone::UTC
    } else {
        let text = call.text(1)?;
        zone(&text)
            .ok_or_else(|| call.failure(format!("{} is no offset such as +02:00, nor UTC", quoted(&text))))?
    };
    Ok(Value::Int(part(&time.to_zoned(zone))))
}

fn zone(text: &str) -> Option<TimeZone> {
    if text == "UTC" {
        return Some(TimeZone::UTC);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60);
    Offset::from_seconds(seconds).ok().map(TimeZone::fixed)
}
