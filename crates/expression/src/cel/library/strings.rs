//! The strings library. Positions count characters.

use super::super::error::Error;
use super::super::value::{Value, View};
use super::{Call, Function, Outcome};
use crate::datum::Text;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::member("lowerAscii", 0, 0, |call| {
        let text = call.text(0)?;
        call.give_text(text.to_ascii_lowercase())
    }),
    Function::member("upperAscii", 0, 0, |call| {
        let text = call.text(0)?;
        call.give_text(text.to_ascii_uppercase())
    }),
    Function::member("trim", 0, 0, |call| {
        let text = call.text(0)?;
        call.give_text(text.trim().to_owned())
    }),
    Function::member("charAt", 1, 1, |call| {
        let (text, position) = (call.text(0)?, call.position(1)?);
        let from = offset(&text, position)?;
        let letter = text[from..].chars().next();
        call.give_text(letter.map(String::from).unwrap_or_default())
    }),
    Function::member("substring", 1, 2, |call| {
        let (text, from) = (call.text(0)?, call.position(1)?);
        let start = offset(&text, from)?;
        let end = match call.count() {
            2 => text.len(),
            _ => offset(&text, call.position(2)?)?,
        };
        if start > end {
            return Err(call.failure("the end is before the start"));
        }
        call.give_text(text[start..end].to_owned())
    }),
    Function::member("split", 1, 2, split),
    Function::member("join", 0, 1, join),
    Function::member("replace", 2, 3, replace),
    Function::global("strings.quote", 1, 1, |call| {
        let text = call.text(0)?;
        call.give_text(quote(&text))
    }),
];

/// The offset in bytes of a character, or of the end.
fn offset(text: &str, position: usize) -> Result<usize, Error> {
    let ends = std::iter::once(text.len());
    let found = text
        .char_indices()
        .map(|(offset, _)| offset)
        .chain(ends)
        .nth(position);
    found.ok_or_else(|| Error::OutOfBounds(i64::try_from(position).unwrap_or(i64::MAX)))
}

/// `text.indexOf(part[, from])`, for the function that lists have too.
pub(super) fn index_of<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    let start = match call.count() {
        2 => 0,
        _ => offset(&text, call.position(2)?)?,
    };
    Ok(position(
        &text,
        text[start..].find(&*part).map(|found| start + found),
    ))
}

/// `text.lastIndexOf(part[, from])`: the last that begins at `from` or before.
pub(super) fn last_index_of<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    if call.count() == 2 {
        return Ok(position(&text, text.rfind(&*part)));
    }
    let last = offset(&text, call.position(2)?)?;
    let end = last.saturating_add(part.len()).min(text.len());
    let end = (end..=text.len())
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(text.len());
    let found = text[..end].rfind(&*part).filter(|found| *found <= last);
    Ok(position(&text, found))
}

fn position<'a>(text: &str, found: Option<usize>) -> Value<'a> {
    let position = found.map(|offset| i64::try_from(text[..offset].chars().count()).unwrap_or(i64::MAX));
    Value::Int(position.unwrap_or(-1))
}

/// How many parts a function makes at most: all where the number is negative.
fn limit(call: &Call<'_, '_>, index: usize) -> Result<usize, Error> {
    if call.count() <= index {
        return Ok(usize::MAX);
    }
    Ok(usize::try_from(call.int(index)?).unwrap_or(usize::MAX))
}

fn split<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (text, separator) = (call.text(0)?, call.text(1)?);
    let most = limit(call, 2)?;
    let count = if separator.is_empty() {
        text.len()
    } else {
        text.matches(&*separator).count() + 1
    };
    call.budget
        .allocate(text.len() + count.min(most) * size_of::<Value<'_>>() * 2)?;
    let made = |part: &str| Value::Text(Text::from(part.to_owned()));
    let parts = if most == 0 {
        Vec::new()
    } else if separator.is_empty() {
        let mut parts = Vec::new();
        let mut rest = &*text;
        while let Some(letter) = rest.chars().next() {
            let end = if parts.len() + 1 == most {
                rest.len()
            } else {
                letter.len_utf8()
            };
            parts.push(made(&rest[..end]));
            rest = &rest[end..];
        }
        parts
    } else {
        text.splitn(most, &*separator).map(made).collect()
    };
    call.give_list(parts)
}

fn join<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let list = call.list(0)?;
    let separator = match call.count() {
        1 => Text::Borrowed(""),
        _ => call.text(1)?,
    };
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let View::Text(text) = item.view() else {
            return Err(call.overload());
        };
        call.budget.allocate(text.len() + separator.len())?;
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(text);
    }
    Ok(Value::Text(Text::from(joined)))
}

fn replace<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let most = limit(call, 3)?;
    let count = text.matches(&*from).count().min(most);
    call.budget
        .allocate(text.len().saturating_add(count.saturating_mul(to.len())))?;
    Ok(Value::Text(Text::from(text.replacen(&*from, &to, most))))
}

/// A text in double quotes, with what cannot stand in them escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
