//! `{{ expression }}` in strings: found, evaluated by a callback, and put in its place.
//!
//! ```text
//! "{{ a }}"         the whole string: becomes the value, with its type, and is not looked at again
//! "x-{{ a }}"       becomes text; what was inserted is looked at again, so `{{` in it is evaluated too
//! "{{ a.{{ b }} }}" the inner one first
//! "{{- a }}"        what was inserted is not looked at again
//! "\{{ a }}"        stays, as "{{ a }}"
//! ```

use std::sync::LazyLock;

use regex::Regex;

use crate::budget::Budget;
use crate::datum::{Datum, Text, View};
use crate::error::{EvalError, quoted};
use crate::print;

/// How often one string's variables are replaced: inserted text may hold variables that insert themselves.
pub const MAX_REPLACEMENTS: usize = 1024;

/// A variable: braces with no braces inside but for one level of `{…}`.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(^|[^\\])(\{\{(?:\{[^{}]*\}|[^{}])*\}\})").expect("the pattern is a constant")
});

/// Stands for the `{{` of inserted text that is not to be looked at again. It is no character that text should hold.
const PROTECTED: &str = "\u{10fffe}\u{10fffe}";

/// Why a string could not be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubstitutionError<E> {
    /// The callback could not evaluate a variable.
    #[error("variable {} cannot be resolved", quoted(expression))]
    Variable {
        /// The expression between the braces.
        expression: String,
        /// What the callback said.
        #[source]
        source: E,
    },
    /// The budget ended while the text was put together.
    #[error("the text cannot be put together")]
    Budget(#[source] EvalError),
    /// Inserted text brought ever more variables.
    #[error("variables in inserted text go on without end ({MAX_REPLACEMENTS} replacements)")]
    Endless,
}

/// The expressions of a string's variables, as they are written, the innermost of nested ones.
pub fn variables(text: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let found = VARIABLE.captures_at(text, start)?.get(2)?;
        // The next variable may follow at once: the brace before it is the last of this one.
        start = found.end() - 1;
        Some(expression(found.as_str()).0)
    })
}

/// Completes a string: a string that is one variable becomes its value, any other becomes text.
///
/// `evaluate` gets each expression's text, trimmed.
pub fn substitute<'a, E>(
    text: &'a str,
    budget: &mut Budget,
    mut evaluate: impl FnMut(&str, &mut Budget) -> Result<Datum<'a>, E>,
) -> Result<Datum<'a>, SubstitutionError<E>> {
    if !text.contains("{{") {
        return Ok(Datum::Text(Text::Borrowed(text)));
    }
    let mut current = text.to_owned();
    for _ in 0..MAX_REPLACEMENTS {
        budget.read(current.len()).map_err(SubstitutionError::Budget)?;
        let Some(range) = VARIABLE
            .captures(&current)
            .and_then(|captures| captures.get(2))
            .map(|found| found.range())
        else {
            return Ok(Datum::Text(
                current.replace("\\{{", "{{").replace(PROTECTED, "{{").into(),
            ));
        };
        let (expression, protect) = expression(&current[range.clone()]);
        let value = evaluate(expression, budget).map_err(|source| SubstitutionError::Variable {
            expression: expression.to_owned(),
            source,
        })?;
        if range == (0..current.len()) {
            return Ok(value);
        }
        let inserted = inserted(&value, budget).map_err(SubstitutionError::Budget)?;
        let inserted = if protect {
            inserted.replace("{{", PROTECTED)
        } else {
            inserted
        };
        budget
            .allocate(current.len() + inserted.len())
            .map_err(SubstitutionError::Budget)?;
        current.replace_range(range, &inserted);
    }
    Err(SubstitutionError::Endless)
}

/// What a value looks like inside of a text.
fn inserted(value: &Datum<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    match value.view() {
        View::Text(text) => Ok(text.to_owned()),
        _ => print::json(value, budget),
    }
}

/// The expression of a variable, and whether what it inserts is protected.
fn expression(variable: &str) -> (&str, bool) {
    let inner = variable
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .unwrap_or(variable);
    match inner.strip_prefix('-') {
        Some(rest) => (rest.trim(), true),
        None => (inner.trim(), false),
    }
}
