//! Functions over text.

use super::{Call, Function, Outcome, quoted};
use crate::datum::{Datum, Text};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("compare", 2, |call| {
        Ok(Datum::Number((call.text(0)?.cmp(&call.text(1)?) as i64).into()))
    }),
    Function::new("equal_fold", 2, |call| {
        Ok(Datum::Bool(equal_fold(&call.text(0)?, &call.text(1)?)))
    }),
    Function::new("path_canonicalize", 1, |call| {
        call.give_text(clean_path(&call.text(0)?))
    }),
    Function::new("replace", 4, |call| {
        let count = call.number(3)?;
        replace(call, count)
    }),
    Function::new("replace_all", 3, |call| replace(call, -1.0)),
    Function::new("split", 2, split),
    Function::new("to_boolean", 1, to_boolean),
    Function::new("to_lower", 1, |call| {
        call.give_text(call.text(0)?.chars().map(lower).collect::<String>())
    }),
    Function::new("to_upper", 1, |call| {
        call.give_text(call.text(0)?.chars().map(upper).collect::<String>())
    }),
    Function::new("trim", 2, |call| {
        let cutset = call.text(1)?;
        call.give_part(0, |text| text.trim_matches(|letter| cutset.contains(letter)))
    }),
    Function::new("trim_prefix", 2, |call| {
        let prefix = call.text(1)?;
        call.give_part(0, |text| text.strip_prefix(&*prefix).unwrap_or(text))
    }),
    Function::new("truncate", 2, |call| {
        let length = call.number(1)?;
        call.give_part(0, |text| first_letters(text, length))
    }),
];

/// Letter by letter, as Go has it: a letter whose upper case is several letters stays.
fn upper(letter: char) -> char {
    let mut letters = letter.to_uppercase();
    if letters.len() == 1 {
        letters.next().unwrap_or(letter)
    } else {
        letter
    }
}

fn lower(letter: char) -> char {
    let mut letters = letter.to_lowercase();
    if letters.len() == 1 {
        letters.next().unwrap_or(letter)
    } else {
        letter
    }
}

/// Equality without regard to case: through the upper case, so that letters with two lower cases are one.
fn equal_fold(left: &str, right: &str) -> bool {
    let fold = |letter| lower(upper(letter));
    left.chars().map(fold).eq(right.chars().map(fold))
}

/// `replace(text, old, new, count)`; a negative count replaces all.
fn replace<'a>(call: &mut Call<'_, 'a>, count: f64) -> Outcome<'a> {
    let (text, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let matches = text.matches(&*old).count();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative here, and it saturates"
    )]
    let count = if count < 0.0 {
        matches
    } else {
        matches.min(count as usize)
    };
    let size = text.len().saturating_add(count.saturating_mul(new.len()));
    call.evaluator.budget.allocate(size)?;
    call.give_text(text.replacen(&*old, &new, count))
}

/// Pieces between separators; letters where the separator is empty.
fn split<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (text, separator) = (call.text(0)?, call.text(1)?);
    let pieces = pieces(&text, &separator);
    if let Text::Shared(text) = &text {
        call.evaluator.budget.allocate(text.len())?;
    }
    call.evaluator.budget.read(text.len())?;
    call.evaluator.list(pieces)
}

fn pieces<'a>(text: &Text<'a>, separator: &str) -> Vec<Datum<'a>> {
    fn cut<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
        if separator.is_empty() {
            text.split_inclusive(|_| true).collect()
        } else {
            text.split(separator).collect()
        }
    }
    match text {
        Text::Borrowed(text) => cut(text, separator)
            .into_iter()
            .map(|piece| Datum::Text(Text::Borrowed(piece)))
            .collect(),
        Text::Shared(text) => cut(text, separator)
            .into_iter()
            .map(|piece| Datum::Text(piece.to_owned().into()))
            .collect(),
    }
}

fn to_boolean<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0)?;
    match text.to_lowercase().as_str() {
        "true" => Ok(Datum::Bool(true)),
        "false" => Ok(Datum::Bool(false)),
        _ => Err(call.failure(format!("{} is neither true nor false", quoted(&text)))),
    }
}

fn first_letters(text: &str, length: f64) -> &str {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates at 0 and the maximum"
    )]
    let length = length as usize;
    text.char_indices()
        .nth(length)
        .map_or(text, |(end, _)| &text[..end])
}

/// A path without `//`, `.` and `..` where they can be resolved by reading; an empty path stays empty.
fn clean_path(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
