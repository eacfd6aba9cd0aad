//! JSON and numbers as Go prints them: the text that people's policies compare with and see.

use std::fmt::Write as _;

use crate::budget::Budget;
use crate::datum::{Datum, View};
use crate::error::EvalError;

/// Compact JSON with sorted keys, where `<`, `>`, `&`, U+2028 and U+2029 are escaped, as Go's `json.Marshal` has it.
pub fn json(datum: &Datum<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    let mut out = String::new();
    write_json(datum, budget, &mut out)?;
    Ok(out)
}

/// A number as Go's `json.Marshal` prints it: whole ones without decimals, an exponent only for the very small and large.
pub fn number(number: &serde_json::Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    number.as_f64().map_or_else(String::new, |value| {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            exponent(value, 1)
        } else {
            decimal(value)
        }
    })
}

/// A number as Go's `%v` prints a double: shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub fn shortest(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        exponent(value, 2)
    } else {
        decimal(value)
    }
}

/// A number without an exponent, with as many digits as it needs (Go's `FormatFloat(x, 'f', -1, 64)`).
pub fn decimal(value: f64) -> String {
    value.to_string()
}

/// Shortest digits with an exponent of at least so many digits, such as `1e-07`.
fn exponent(value: f64, digits: usize) -> String {
    let text = format!("{value:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{exponent:0>digits$}")
}

fn write_json(datum: &Datum<'_>, budget: &mut Budget, out: &mut String) -> Result<(), EvalError> {
    budget.step()?;
    let before = out.len();
    match datum.view() {
        View::Null => out.push_str("null"),
        View::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        View::Number(value) => out.push_str(&number(value)),
        View::Text(text) => {
            budget.read(text.len())?;
            write_text(text, out);
        }
        View::List(list) => {
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(&element, budget, out)?;
            }
            out.push(']');
            return budget.allocate(2 + list.len());
        }
        View::Map(map) => {
            out.push('{');
            for (index, (key, value)) in map.sorted().into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                budget.allocate(key.len() + 3)?;
                write_text(&key, out);
                out.push(':');
                write_json(&value, budget, out)?;
            }
            out.push('}');
            return budget.allocate(2 + map.len());
        }
    }
    budget.allocate(out.len() - before)
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some((start, letter)) = rest.char_indices().find(|(_, letter)| is_escaped(*letter)) {
        out.push_str(&rest[..start]);
        rest = &rest[start + letter.len_utf8()..];
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "\\u{:04x}", u32::from(letter))),
        }
    }
    out.push_str(rest);
    out.push('"');
}

fn is_escaped(letter: char) -> bool {
    matches!(
        letter,
        '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}'
    )
}
