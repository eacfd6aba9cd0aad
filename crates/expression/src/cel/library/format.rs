//! `'%s has %d'.format([name, count])`.

use std::fmt::Write as _;

use super::super::error::Error;
use super::super::value::{List, Value, View};
use super::standard::text_of;
use super::{Call, Function, Outcome};

/// The most digits that a text may ask for behind the point.
const MAX_PRECISION: usize = 100;
/// How deep lists and maps are written.
const MAX_DEPTH: usize = 32;

pub(super) const FUNCTIONS: &[Function] = &[Function::member("format", 1, 1, format)];

fn format<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let template = call.text(0)?;
    let mut arguments = Arguments {
        list: call.list(1)?,
        next: 0,
    };
    let mut out = String::new();
    let mut rest = &*template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) =
            precision(after).ok_or_else(|| call.failure("the precision is no number up to 100"))?;
        let mut letters = after.chars();
        let letter = letters.next().ok_or_else(|| call.failure("a % ends the text"))?;
        let value = arguments
            .next()
            .ok_or_else(|| call.failure("there are too few values"))?;
        let before = out.len();
        clause(call, letter, precision, &value, &mut out)?;
        call.budget.allocate(out.len() - before)?;
        rest = letters.as_str();
    }
    out.push_str(rest);
    call.give_text(out)
}

struct Arguments<'c, 'a> {
    list: List<'c, 'a>,
    next: usize,
}

impl<'a> Arguments<'_, 'a> {
    fn next(&mut self) -> Option<Value<'a>> {
        self.next += 1;
        self.list.get(self.next - 1)
    }
}

/// The `.2` of `%.2f`, and what follows.
fn precision(text: &str) -> Option<(Option<usize>, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((None, text));
    };
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    let precision = digits[..end]
        .parse()
        .ok()
        .filter(|precision| *precision <= MAX_PRECISION)?;
    Some((Some(precision), &digits[end..]))
}

fn clause(
    call: &mut Call<'_, '_>,
    letter: char,
    precision: Option<usize>,
    value: &Value<'_>,
    out: &mut String,
) -> Result<(), Error> {
    let wrong = || call.failure(format!("%{letter} does not take a {}", value.type_name()));
    #[expect(clippy::cast_precision_loss, reason = "%f and %e write doubles")]
    let double = || match value.view() {
        View::Double(value) => Ok(value),
        View::Int(value) => Ok(value as f64),
        View::Uint(value) => Ok(value as f64),
        _ => Err(wrong()),
    };
    // Writing to a String cannot fail.
    let _ = match (letter, value.view()) {
        ('s', _) => {
            let text = written(call, value, 0)?;
            out.push_str(&text);
            Ok(())
        }
        ('d', View::Int(value)) => write!(out, "{value}"),
        ('d', View::Uint(value)) => write!(out, "{value}"),
        ('d', View::Double(value)) if !value.is_finite() => {
            write!(out, "{}", super::standard::double_text(value))
        }
        ('f', _) => write!(out, "{:.*}", precision.unwrap_or(6), double()?),
        ('e', _) => write!(out, "{:.*e}", precision.unwrap_or(6), double()?),
        ('b', View::Bool(value)) => write!(out, "{}", u8::from(value)),
        ('b', View::Int(value)) => signed(out, value, |size| format!("{size:b}")),
        ('b', View::Uint(value)) => write!(out, "{value:b}"),
        ('o', View::Int(value)) => signed(out, value, |size| format!("{size:o}")),
        ('o', View::Uint(value)) => write!(out, "{value:o}"),
        ('x', View::Int(value)) => signed(out, value, |size| format!("{size:x}")),
        ('x', View::Uint(value)) => write!(out, "{value:x}"),
        ('X', View::Int(value)) => signed(out, value, |size| format!("{size:X}")),
        ('X', View::Uint(value)) => write!(out, "{value:X}"),
        ('x', View::Text(text)) => text.bytes().try_for_each(|byte| write!(out, "{byte:02x}")),
        ('X', View::Text(text)) => text.bytes().try_for_each(|byte| write!(out, "{byte:02X}")),
        ('d' | 'b' | 'o' | 'x' | 'X', _) => return Err(wrong()),
        _ => return Err(call.failure(format!("%{} is not known", letter.escape_debug()))),
    };
    Ok(())
}

fn signed(out: &mut String, value: i64, digits: fn(u64) -> String) -> std::fmt::Result {
    let sign = if value < 0 { "-" } else { "" };
    write!(out, "{sign}{}", digits(value.unsigned_abs()))
}

/// What `%s` writes: lists and maps too.
fn written(call: &mut Call<'_, '_>, value: &Value<'_>, depth: usize) -> Result<String, Error> {
    call.budget.step()?;
    if depth == MAX_DEPTH {
        return Err(call.failure(format!("the value nests more than {MAX_DEPTH} deep")));
    }
    let text = match value.view() {
        View::Null => "null".to_owned(),
        View::List(list) => {
            let mut items = Vec::new();
            for item in list.iter() {
                items.push(written(call, &item, depth + 1)?);
            }
            format!("[{}]", items.join(", "))
        }
        View::Map(map) => {
            let mut entries = Vec::new();
            for (key, value) in map.entries() {
                let key = written(call, &Value::from(key), depth + 1)?;
                entries.push(format!("{key}: {}", written(call, &value, depth + 1)?));
            }
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        _ => {
            text_of(value).ok_or_else(|| call.failure(format!("%s does not take a {}", value.type_name())))?
        }
    };
    call.budget.allocate(text.len())?;
    Ok(text)
}
