//! Points in time and spans between them. Times are RFC 3339 unless a layout says otherwise.

use jiff::SignedDuration;
use provost_manifest::duration::Duration;

use super::layout::{self, Moment};
use super::{Call, Function, Outcome, quoted};
use crate::datum::Datum;
use crate::error::EvalError;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("time_add", 2, |call| {
        let moment = moment(call, 0)?;
        let duration = SignedDuration::from_nanos(duration(call, 1)?.nanos());
        let sum = moment.timestamp.checked_add(duration);
        let timestamp = sum.map_err(|_| call.failure("the result is beyond the year 9999"))?;
        call.give_text(Moment { timestamp, ..moment }.to_string())
    }),
    Function::new("time_after", 2, |call| {
        Ok(Datum::Bool(
            moment(call, 0)?.timestamp > moment(call, 1)?.timestamp,
        ))
    }),
    Function::new("time_before", 2, |call| {
        Ok(Datum::Bool(
            moment(call, 0)?.timestamp < moment(call, 1)?.timestamp,
        ))
    }),
    Function::new("time_between", 3, |call| {
        let (time, start, end) = (moment(call, 0)?, moment(call, 1)?, moment(call, 2)?);
        Ok(Datum::Bool(
            start.timestamp < time.timestamp && time.timestamp < end.timestamp,
        ))
    }),
    Function::new("time_diff", 2, |call| {
        let (start, end) = (moment(call, 0)?, moment(call, 1)?);
        call.give_text(between(start, end).to_string())
    }),
    Function::new("time_now", 0, now),
    Function::new("time_now_utc", 0, now),
    Function::new("time_parse", 2, parse),
    Function::new("time_since", 3, since),
    Function::new("time_to_cron", 1, |call| {
        let time = moment(call, 0)?.civil();
        let weekday = time.weekday().to_sunday_zero_offset();
        let cron = format!(
            "{} {} {} {} {weekday}",
            time.minute(),
            time.hour(),
            time.day(),
            time.month()
        );
        call.give_text(cron)
    }),
    Function::new("time_truncate", 2, truncate),
    Function::new("time_utc", 1, |call| {
        let utc = Moment::utc(moment(call, 0)?.timestamp);
        call.give_text(utc.to_string())
    }),
];

/// Seconds from the year 1, from which Go counts when it truncates, to 1970.
const YEAR_ONE_TO_EPOCH: i128 = 62_135_596_800;

fn moment(call: &Call<'_, '_>, index: usize) -> Result<Moment, EvalError> {
    read(call, layout::RFC3339, index)
}

fn read(call: &Call<'_, '_>, layout: &str, index: usize) -> Result<Moment, EvalError> {
    let text = call.text(index)?;
    layout::parse(layout, &text).ok_or_else(|| {
        call.failure(format!(
            "{} is not a time written as {}",
            quoted(&text),
            quoted(layout)
        ))
    })
}

fn duration(call: &Call<'_, '_>, index: usize) -> Result<Duration, EvalError> {
    let text = call.text(index)?;
    text.parse()
        .map_err(|_| call.failure(format!("{} is not a duration such as 1h30m", quoted(&text))))
}

/// From one to the other; as long as a duration can be where it is longer.
fn between(start: Moment, end: Moment) -> Duration {
    let nanos = end.timestamp.as_nanosecond() - start.timestamp.as_nanosecond();
    let nearest = if nanos < 0 { i64::MIN } else { i64::MAX };
    Duration::from_nanos(i64::try_from(nanos).unwrap_or(nearest))
}

fn now<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    call.give_text(Moment::utc(call.evaluator.environment.now).to_string())
}

/// `time_parse(layout, time)`; where the layout is a number, so is the time: seconds since 1970.
fn parse<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (layout, text) = (call.text(0)?, call.text(1)?);
    if layout.parse::<i64>().is_err() {
        let moment = read(call, &layout, 1)?;
        return call.give_text(moment.to_string());
    }
    let seconds = text.parse().ok();
    let timestamp = seconds
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .ok_or_else(|| call.failure(format!("{} is no number of seconds since 1970", quoted(&text))))?;
    call.give_text(Moment::utc(timestamp).to_string())
}

/// `time_since(layout, start, end)`; an empty layout is RFC 3339, an empty end is now.
fn since<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let layout = call.text(0)?;
    let layout = if layout.is_empty() {
        layout::RFC3339
    } else {
        &layout
    };
    let start = read(call, layout, 1)?;
    let end = if call.text(2)?.is_empty() {
        Moment::utc(call.evaluator.environment.now)
    } else {
        read(call, layout, 2)?
    };
    call.give_text(between(start, end).to_string())
}

/// Down to a multiple of a duration since the year 1.
fn truncate<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let moment = moment(call, 0)?;
    let step = i128::from(duration(call, 1)?.nanos());
    if step <= 0 {
        return call.give_text(moment.to_string());
    }
    let nanos = moment.timestamp.as_nanosecond();
    let since_year_one = nanos + YEAR_ONE_TO_EPOCH * 1_000_000_000;
    let truncated = jiff::Timestamp::from_nanosecond(nanos - since_year_one.rem_euclid(step));
    let timestamp = truncated.map_err(|_| call.failure("the result is before the first year"))?;
    call.give_text(Moment { timestamp, ..moment }.to_string())
}
