//! Regular expressions in Go's syntax, and wildcards.
//!
//! The `regex` crate shares RE2's design, but not all of its syntax: [`translate`] bridges the differences that
//! policies can meet.

use regex::{Regex, RegexBuilder};

use super::{Call, Function, Outcome};
use crate::datum::{Datum, View};
use crate::error::EvalError;
use crate::print;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("regex_match", 2, |call| {
        let text = text_or_number(call, 1)?;
        let regex = compiled(call)?;
        Ok(Datum::Bool(regex.is_match(&text)))
    }),
    Function::new("regex_replace_all", 3, |call| {
        replace_all(call, Replacement::Template)
    }),
    Function::new("regex_replace_all_literal", 3, |call| {
        replace_all(call, Replacement::Literal)
    }),
];

/// The longest regular expression that is compiled, in bytes.
const MAX_LENGTH: usize = 8 * 1024;
/// The largest compiled form, in bytes, also of the automaton that matching builds.
const MAX_SIZE: usize = 512 * 1024;
/// How deep groups nest.
const MAX_NESTING: u32 = 64;
/// How many bytes of text matching reads in one step: slower than reading only.
const BYTES_PER_STEP: usize = 8;
/// What compiling costs, in steps for each byte of the expression.
const STEPS_PER_BYTE: usize = 20;

/// How the replacement of a match is read.
#[derive(Clone, Copy)]
enum Replacement {
    /// With `$1`, `$name` and `${name}` for what groups matched; `$1x` is the group named `1x`, `$$` a dollar.
    Template,
    /// As it stands.
    Literal,
}

/// A string, or a number without exponent.
fn text_or_number(call: &mut Call<'_, '_>, index: usize) -> Result<String, EvalError> {
    let text = match call.datum(index)?.view() {
        View::Text(text) => text.to_owned(),
        View::Number(number) => number.as_f64().map_or_else(String::new, print::decimal),
        _ => return Err(call.type_error(index, "a string or a number")),
    };
    call.evaluator.budget.allocate(text.len())?;
    call.evaluator
        .budget
        .spend((text.len() / BYTES_PER_STEP) as u64)?;
    Ok(text)
}

/// The first argument, compiled; once for all evaluations where it is a literal.
fn compiled(call: &mut Call<'_, '_>) -> Result<Regex, EvalError> {
    let pattern = call.text(0)?;
    let result = if call.node.is_literal_text(0) {
        call.node.regex.get_or_init(|| compile(&pattern)).clone()
    } else {
        call.evaluator
            .budget
            .spend((pattern.len() * STEPS_PER_BYTE) as u64)?;
        compile(&pattern)
    };
    result.map_err(|reason| call.failure(reason))
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_LENGTH {
        return Err(format!(
            "the regular expression is longer than {MAX_LENGTH} bytes"
        ));
    }
    RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_SIZE)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("{pattern:?} is too large a regular expression"),
            _ => format!("{pattern:?} is not a regular expression"),
        })
}

/// `f(pattern, text, replacement)`
fn replace_all<'a>(call: &mut Call<'_, 'a>, replacement: Replacement) -> Outcome<'a> {
    let text = text_or_number(call, 1)?;
    let template = text_or_number(call, 2)?;
    let regex = compiled(call)?;
    let mut replaced = String::new();
    let mut end = 0;
    for captures in regex.captures_iter(&text) {
        let Some(whole) = captures.get(0) else { continue };
        let before = replaced.len();
        replaced.push_str(&text[end..whole.start()]);
        match replacement {
            Replacement::Template => captures.expand(&template, &mut replaced),
            Replacement::Literal => replaced.push_str(&template),
        }
        end = whole.end();
        call.evaluator.budget.step()?;
        call.evaluator.budget.allocate(replaced.len() - before)?;
    }
    replaced.push_str(&text[end..]);
    call.give_text(replaced)
}

/// Go's syntax in that of the `regex` crate: `\d`, `\w`, `\s` and `\b` know ASCII only, `\Q…\E` quotes, `{` that
/// begins no repetition and `[` inside of a class are themselves, and so are `&`, `~`, `\<` and `\>`.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    // Inside of `[…]`, and whether a `]` would be its first character, which does not close it.
    let mut class: Option<bool> = None;
    while let Some(letter) = rest.chars().next() {
        let in_class = class.is_some();
        let first = class == Some(true);
        let length = match letter {
            '\\' => escape(rest, in_class, &mut out),
            '[' if !in_class => {
                class = Some(true);
                let length = if rest.starts_with("[^") { 2 } else { 1 };
                out.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                let length = rest.find(":]").map_or(1, |end| end + 2);
                out.push_str(&rest[..length]);
                length
            }
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(letter);
                1
            }
            ']' if in_class && !first => {
                class = None;
                out.push(']');
                rest = &rest[1..];
                continue;
            }
            '{' if !in_class && !is_repetition(rest) => {
                out.push_str("\\{");
                1
            }
            letter => {
                out.push(letter);
                letter.len_utf8()
            }
        };
        class = class.map(|_| false);
        rest = &rest[length..];
    }
    out
}

/// Translates the escape that `rest` begins with; gives its length.
fn escape(rest: &str, in_class: bool, out: &mut String) -> usize {
    let Some(letter) = rest[1..].chars().next() else {
        out.push('\\');
        return 1;
    };
    let ascii = match letter {
        'd' => Some(("0-9", false)),
        'D' => Some(("0-9", true)),
        'w' => Some(("0-9A-Za-z_", false)),
        'W' => Some(("0-9A-Za-z_", true)),
        's' => Some((r"\t\n\x0c\r ", false)),
        'S' => Some((r"\t\n\x0c\r ", true)),
        _ => None,
    };
    match (letter, ascii) {
        (_, Some((set, true))) => out.push_str(&format!("[^{set}]")),
        (_, Some((set, false))) => out.push_str(&format!("[{set}]")),
        ('b', _) if !in_class => out.push_str(r"(?-u:\b)"),
        ('B', _) if !in_class => out.push_str(r"(?-u:\B)"),
        ('<' | '>', _) => out.push(letter),
        ('Q', _) if !in_class => {
            let quoted = &rest[2..];
            let (quoted, after) = quoted
                .split_once("\\E")
                .map_or((quoted, 0), |(quoted, _)| (quoted, 2));
            out.push_str(&regex::escape(quoted));
            return 2 + quoted.len() + after;
        }
        _ => out.push_str(&rest[..1 + letter.len_utf8()]),
    }
    1 + letter.len_utf8()
}

/// Whether `{1}`, `{1,}` or `{1,2}` comes next.
fn is_repetition(rest: &str) -> bool {
    let Some((inner, _)) = rest[1..].split_once('}') else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match inner.split_once(',') {
        None => is_number(inner),
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
    }
}
