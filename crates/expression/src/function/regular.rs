//! Regular expressions in Go's syntax, and wildcards.
//!
//! The `regex` crate shares RE2's design, but not all of its syntax: [`translate`] bridges the differences that
//! policies can meet. What Go refuses and `regex` takes (`a**`, more than 1,000 repetitions, `(?x)`) is taken.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use provost_manifest::wildcard::Wildcard;
use regex::{Captures, Regex, RegexBuilder};

use super::{Call, Function, Outcome, quoted};
use crate::datum::{Datum, Text};
use crate::error::EvalError;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("pattern_match", 2, |call| {
        let text = searched(call, 1)?;
        let pattern = call.text(0)?;
        if pattern.contains('?') {
            call.evaluator.budget.spend(text.len() as u64)?;
        }
        let pattern = Wildcard::new(&pattern).map_err(|error| call.failure(error.to_string()))?;
        Ok(Datum::Bool(pattern.matches(&text)))
    }),
    Function::new("regex_match", 2, |call| {
        let text = searched(call, 1)?;
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
/// How many expressions that are literals are known by their text, see [`interned`].
const MAX_INTERNED: usize = 4_096;
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

/// What is searched: a scalar as text.
fn searched<'a>(call: &mut Call<'_, 'a>, index: usize) -> Result<Text<'a>, EvalError> {
    let text = call.scalar_text(index)?;
    call.evaluator.budget.spend(search_steps(&text))?;
    Ok(text)
}

/// The first argument, compiled; once for all evaluations where it is a literal, and borrowed then: a clone would
/// start with a cold cache.
fn compiled<'a>(call: &mut Call<'_, 'a>) -> Result<Cow<'a, Regex>, EvalError> {
    let pattern = call.text(0)?;
    if call.node.is_literal_text(0) {
        let result = call.node.regex.get_or_init(|| interned(&pattern));
        return result
            .as_ref()
            .map(|regex| Cow::Borrowed(&**regex))
            .map_err(|reason| call.failure(reason));
    }
    call.evaluator.budget.spend(compile_steps(&pattern))?;
    compile(&pattern)
        .map(Cow::Owned)
        .map_err(|reason| call.failure(reason))
}

/// What searching a text costs.
pub(crate) fn search_steps(text: &str) -> u64 {
    (text.len() / BYTES_PER_STEP) as u64
}

/// What compiling an expression costs.
pub(crate) fn compile_steps(pattern: &str) -> u64 {
    // What is longer is refused, not compiled.
    (pattern.len().min(MAX_LENGTH) * STEPS_PER_BYTE) as u64
}

/// As [`compile`], for an expression that is a literal: rules that were generated from one another hold the same
/// ones, and compiling is what takes longest when policies are read. Whoever uses an expression keeps it alive.
pub(crate) fn interned(pattern: &str) -> Result<Arc<Regex>, String> {
    static INTERNED: Mutex<Option<HashMap<String, Weak<Regex>>>> = Mutex::new(None);
    // A panic in another holder leaves the map whole.
    let lock = || INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = lock().as_ref().and_then(|known| known.get(pattern)?.upgrade());
    if let Some(regex) = known {
        return Ok(regex);
    }
    let regex = Arc::new(compile(pattern)?);
    let mut guard = lock();
    let known = guard.get_or_insert_default();
    if known.len() >= MAX_INTERNED {
        known.retain(|_, regex| regex.strong_count() > 0);
    }
    if known.len() < MAX_INTERNED {
        known.insert(pattern.to_owned(), Arc::downgrade(&regex));
    }
    Ok(regex)
}

/// Compiles an expression in Go's syntax; else says what is wrong with it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
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
            regex::Error::CompiledTooBig(_) => {
                format!("{} is too large a regular expression", quoted(pattern))
            }
            _ => format!("{} is not a regular expression", quoted(pattern)),
        })
}

/// `f(pattern, text, replacement)`
fn replace_all<'a>(call: &mut Call<'_, 'a>, replacement: Replacement) -> Outcome<'a> {
    let text = searched(call, 1)?;
    let template = call.scalar_text(2)?;
    let regex = compiled(call)?;
    let mut replaced = String::new();
    let mut end = 0;
    for captures in regex.captures_iter(&text) {
        let Some(whole) = captures.get(0) else { continue };
        let before = replaced.len();
        replaced.push_str(&text[end..whole.start()]);
        match replacement {
            Replacement::Template => expand(&template, &captures, &mut replaced),
            Replacement::Literal => replaced.push_str(&template),
        }
        end = whole.end();
        call.evaluator.budget.step()?;
        call.evaluator.budget.allocate(replaced.len() - before)?;
    }
    replaced.push_str(&text[end..]);
    call.give_text(replaced)
}

/// Puts what groups matched into a template: `$name` takes the longest name, so that `$1x` is the group named `1x`;
/// a group that there is not is empty, and a `$` that begins no name stays.
fn expand(template: &str, captures: &Captures<'_>, out: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = group_name(after) {
            let group = match name.parse() {
                Ok(number) => captures.get(number),
                Err(_) => captures.name(name),
            };
            out.push_str(group.map_or("", |group| group.as_str()));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
}

/// The name of `name` or `{name}`, and what follows.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let split = |text: &'_ str| text.len() - text.trim_start_matches(is_word).len();
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => {
            let (name, rest) = braced.split_at(split(braced));
            (name, rest.strip_prefix('}')?)
        }
        None => text.split_at(split(text)),
    };
    (!name.is_empty()).then_some((name, rest))
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
        (_, Some((set, negated))) => {
            out.push_str(if negated { "[^" } else { "[" });
            out.push_str(set);
            out.push(']');
        }
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
        ('p' | 'P' | 'x', _) if rest[2..].starts_with('{') => {
            let length = rest.find('}').map_or(rest.len(), |end| end + 1);
            out.push_str(&rest[..length]);
            return length;
        }
        _ => out.push_str(&rest[..=letter.len_utf8()]),
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
