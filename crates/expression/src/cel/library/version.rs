//! Semantic versions.

use std::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use super::super::error::Error;
use super::super::value::Value;
use super::{Call, Function, Outcome, quoted};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("semver", 1, 2, |call| {
        let text = call.text(0)?;
        let version = parsed(call)?.map(|version| Value::Version(Arc::new(version)));
        version.ok_or_else(|| call.failure(format!("{} is not a semantic version", quoted(&text))))
    }),
    Function::global("isSemver", 1, 2, |call| Ok(Value::Bool(parsed(call)?.is_some()))),
    Function::member("major", 0, 0, |call| part(call, |version| version.major)),
    Function::member("minor", 0, 0, |call| part(call, |version| version.minor)),
    Function::member("patch", 0, 0, |call| part(call, |version| version.patch)),
];

/// The version; where the second argument is true, `v1.2` and `01.2.3` are ones too.
fn parsed(call: &mut Call<'_, '_>) -> Result<Option<Version>, Error> {
    let text = call.text(0)?;
    let lenient = match call.count() {
        1 => false,
        _ => call.value(1).as_bool().ok_or_else(|| call.overload())?,
    };
    Ok(if lenient {
        Version::parse(&normalized(&text)).ok()
    } else {
        Version::parse(&text).ok()
    })
}

fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let mut parts: Vec<&str> = numbers
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            part => part,
        })
        .collect();
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn part<'a>(call: &mut Call<'_, 'a>, of: fn(&Version) -> u64) -> Outcome<'a> {
    match call.value(0) {
        Value::Version(version) => i64::try_from(of(version))
            .map(Value::Int)
            .map_err(|_| Error::Overflow),
        _ => Err(call.overload()),
    }
}

/// The order of two versions; `None` where one is none.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Version(left), Value::Version(right)) => Some(left.cmp_precedence(right)),
        _ => None,
    }
}
