//! Named formats of text: `format.dns1123Label().validate(name)`.

use jiff::Timestamp;
use jiff::civil::Date;

use super::super::value::Value;
use super::url::Url;
use super::{Function, quoted};
use crate::datum::Text;

/// A format of text.
#[derive(Clone, Copy, Debug)]
pub struct Format(&'static Named);

#[derive(Debug)]
struct Named {
    name: &'static str,
    /// What such a text is, for whoever wrote another.
    words: &'static str,
    is_good: fn(&str) -> bool,
}

/// Labels of DNS have at most this many characters, names this many.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

const LABEL: &str =
    "at most 63 lower-case letters, digits and '-', that begins and ends with a letter or digit";
const SUBDOMAIN: &str = "at most 253 lower-case letters, digits, '-' and '.', each part like a DNS label";

static NAMED: [Named; 13] = [
    Named::new("dns1123Label", LABEL, is_label),
    Named::new("dns1123Subdomain", SUBDOMAIN, is_subdomain),
    Named::new(
        "dns1035Label",
        "a DNS label that begins with a letter",
        is_old_label,
    ),
    Named::new("dns1123LabelPrefix", LABEL, |text| is_label(without_dash(text))),
    Named::new("dns1123SubdomainPrefix", SUBDOMAIN, |text| {
        is_subdomain(without_dash(text))
    }),
    Named::new(
        "dns1035LabelPrefix",
        "a DNS label that begins with a letter",
        |text| is_old_label(without_dash(text)),
    ),
    Named::new(
        "qualifiedName",
        "a name, with a DNS name and '/' before it or without",
        is_qualified_name,
    ),
    Named::new(
        "labelValue",
        "empty, or at most 63 letters, digits, '-', '_' and '.', that begins and ends with a letter or digit",
        |text| text.is_empty() || is_name(text),
    ),
    Named::new("uri", "a URI", |text| Url::parse(text).is_some()),
    Named::new("uuid", "a UUID", is_uuid),
    Named::new("byte", "base64", is_base64),
    Named::new("date", "a date such as 2026-11-24", |text| {
        text.parse::<Date>().is_ok() && text.len() == 10
    }),
    Named::new("datetime", "a time such as 2026-11-24T11:12:13Z", |text| {
        text.parse::<Timestamp>().is_ok()
    }),
];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::global("format.named", 1, 1, |call| {
        let name = call.text(0)?;
        let found = NAMED.iter().find(|named| named.name == &*name);
        Ok(found.map_or(Value::NONE, |named| Value::some(Value::Format(Format(named)))))
    }),
    Function::global("format.dns1123Label", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[0])))
    }),
    Function::global("format.dns1123Subdomain", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[1])))
    }),
    Function::global("format.dns1035Label", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[2])))
    }),
    Function::global("format.dns1123LabelPrefix", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[3])))
    }),
    Function::global("format.dns1123SubdomainPrefix", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[4])))
    }),
    Function::global("format.dns1035LabelPrefix", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[5])))
    }),
    Function::global("format.qualifiedName", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[6])))
    }),
    Function::global("format.labelValue", 0, 0, |_| {
        Ok(Value::Format(Format(&NAMED[7])))
    }),
    Function::global("format.uri", 0, 0, |_| Ok(Value::Format(Format(&NAMED[8])))),
    Function::global("format.uuid", 0, 0, |_| Ok(Value::Format(Format(&NAMED[9])))),
    Function::global("format.byte", 0, 0, |_| Ok(Value::Format(Format(&NAMED[10])))),
    Function::global("format.date", 0, 0, |_| Ok(Value::Format(Format(&NAMED[11])))),
    Function::global("format.datetime", 0, 0, |_| Ok(Value::Format(Format(&NAMED[12])))),
    Function::member("validate", 1, 1, |call| {
        let Value::Format(format) = call.value(0) else {
            return Err(call.overload());
        };
        let text = call.text(1)?;
        if (format.0.is_good)(&text) {
            return Ok(Value::NONE);
        }
        let complaint = format!("{} must be {}", quoted(&text), format.0.words);
        Ok(Value::some(Value::list(vec![Value::Text(Text::from(complaint))])))
    }),
];

// === impl Format ===

impl Format {
    pub(in crate::cel) fn name(self) -> &'static str {
        self.0.name
    }
}

impl Named {
    const fn new(name: &'static str, words: &'static str, is_good: fn(&str) -> bool) -> Self {
        Self { name, words, is_good }
    }
}

fn is_label(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MAX_LABEL && bounded_by(text, is_letter, b"-")
}

fn is_old_label(text: &str) -> bool {
    is_label(text) && text.starts_with(|letter: char| letter.is_ascii_lowercase())
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.split('.').all(|part| {
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            bounded_by(part, is_letter, b"-")
        })
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_LABEL && bounded_by(text, |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(text),
    }
}

/// Whether a text is of such letters, with these others between them.
fn bounded_by(text: &str, is_letter: impl Fn(u8) -> bool, between: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| is_letter(*first) && is_letter(*last))
        && bytes
            .iter()
            .all(|byte| is_letter(*byte) || between.contains(byte))
}

/// A name that the apiserver completes may end with a dash.
fn without_dash(text: &str) -> &str {
    text.strip_suffix('-').unwrap_or(text)
}

fn is_uuid(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = text.split('-').collect();
    let has_form = groups.len() == GROUPS.len()
        && groups
            .iter()
            .zip(GROUPS)
            .all(|(group, length)| group.len() == length);
    has_form
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    text.len().is_multiple_of(4) && text.len() - digits.len() <= 2 && digits.bytes().all(is_digit)
}
