//! The functions of CEL and of Kubernetes' libraries: the standard ones, strings, lists, sets, regular expressions,
//! quantities, addresses, URLs, versions, formats, times and optional values.

mod arithmetic;
mod format;
mod formats;
mod lists;
mod network;
mod optional;
mod quantity;
mod regular;
mod sets;
mod standard;
mod strings;
mod time;
mod url;
mod version;

pub(super) use arithmetic::{arithmetic, negate};
pub use formats::Format;
pub use network::Network;
pub(super) use standard::shown;
pub use url::Url;

use std::sync::Arc;

use provost_manifest::escape;
use regex::Regex;

use super::error::Error;
use super::evaluator::no_overload;
use super::value::{List, Value, View};
use crate::budget::Budget;
use crate::datum::Text;
use crate::function::regular as expressions;

/// Characters of a value that an error repeats.
const SHOWN: usize = 80;

const TABLES: [&[Function]; 13] = [
    standard::FUNCTIONS,
    strings::FUNCTIONS,
    format::FUNCTIONS,
    lists::FUNCTIONS,
    sets::FUNCTIONS,
    regular::FUNCTIONS,
    quantity::FUNCTIONS,
    network::FUNCTIONS,
    url::FUNCTIONS,
    version::FUNCTIONS,
    formats::FUNCTIONS,
    time::FUNCTIONS,
    optional::FUNCTIONS,
];

pub(super) type Outcome<'a> = Result<Value<'a>, Error>;
type Run = for<'c, 'a> fn(&mut Call<'c, 'a>) -> Outcome<'a>;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`, where `x` is the first argument.
    Member,
}

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    style: Style,
    /// How many arguments it takes, the one it is called on among them.
    least: usize,
    most: usize,
    /// The argument that is a regular expression.
    pub(super) regex: Option<usize>,
    run: Run,
}

/// One call of a function.
pub(super) struct Call<'c, 'a> {
    function: &'static str,
    arguments: &'c [Value<'a>],
    budget: &'c mut Budget,
}

/// Whether a function is called by this name, as in `sets.contains(…)`.
pub(super) fn is_function(name: &str) -> bool {
    all().any(|function| function.name == name && function.style == Style::Global)
}

/// Whether functions are called as `name.…(…)`.
pub(super) fn is_namespace(name: &str) -> bool {
    all().any(|function| {
        function
            .name
            .split_once('.')
            .is_some_and(|(namespace, _)| namespace == name)
    })
}

/// The function of this name that takes so many arguments; else what is wrong.
pub(super) fn find(name: &str, style: Style, count: usize) -> Result<&'static Function, String> {
    let named = || all().filter(|function| function.name == name);
    let styled = || named().filter(|function| function.style == style);
    if let Some(function) = styled().find(|function| (function.least..=function.most).contains(&count)) {
        return Ok(function);
    }
    let shown = escape::shorten(name, SHOWN);
    // The value that a function is called on is no argument to whoever writes it.
    let written = |count: usize| match style {
        Style::Global => count,
        Style::Member => count.saturating_sub(1),
    };
    Err(match (styled().next(), named().next()) {
        (Some(function), _) => format!(
            "{shown}() takes {}, not {}",
            range(written(function.least), written(function.most)),
            written(count)
        ),
        (None, Some(_)) if style == Style::Member => {
            format!("{shown} is no function of a value; write {shown}(…)")
        }
        (None, Some(_)) => format!("{shown}() is called on a value; write x.{shown}(…)"),
        (None, None) => format!("there is no function {shown}()"),
    })
}

fn range(least: usize, most: usize) -> String {
    match (least, most) {
        (1, 1) => "1 argument".to_owned(),
        _ if least == most => format!("{least} arguments"),
        _ => format!("{least} to {most} arguments"),
    }
}

fn all() -> impl Iterator<Item = &'static Function> {
    TABLES.into_iter().flatten()
}

/// Compiles a regular expression in Go's syntax, that is a literal.
pub(super) fn regex(pattern: &str) -> Result<Arc<Regex>, String> {
    expressions::interned(pattern)
}

/// A text in an error: in quotes, hostile characters escaped, cut where it is long.
fn quoted(text: &str) -> String {
    format!("{:?}", escape::shorten(text, SHOWN))
}

// === impl Function ===

impl Function {
    const fn global(name: &'static str, least: usize, most: usize, run: Run) -> Self {
        Self {
            name,
            style: Style::Global,
            least,
            most,
            regex: None,
            run,
        }
    }

    /// A function that is called on a value, with so many arguments beside.
    const fn member(name: &'static str, least: usize, most: usize, run: Run) -> Self {
        Self {
            name,
            style: Style::Member,
            least: least + 1,
            most: most + 1,
            regex: None,
            run,
        }
    }

    /// The same, with a regular expression as this argument.
    const fn with_regex(self, index: usize) -> Self {
        Self {
            regex: Some(index),
            ..self
        }
    }

    pub(super) fn call<'a>(&self, arguments: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
        (self.run)(&mut Call {
            function: self.name,
            arguments,
            budget,
        })
    }
}

// === impl Call ===

impl<'c, 'a> Call<'c, 'a> {
    fn count(&self) -> usize {
        self.arguments.len()
    }

    fn value(&self, index: usize) -> &'c Value<'a> {
        &self.arguments[index]
    }

    fn view(&self, index: usize) -> View<'c, 'a> {
        self.arguments[index].view()
    }

    /// An argument that is a string; reading it costs steps.
    fn text(&mut self, index: usize) -> Result<Text<'a>, Error> {
        let text = self.value(index).as_text().ok_or_else(|| self.overload())?;
        self.budget.read(text.len())?;
        Ok(text)
    }

    fn int(&self, index: usize) -> Result<i64, Error> {
        match self.view(index) {
            View::Int(value) => Ok(value),
            _ => Err(self.overload()),
        }
    }

    /// An argument that is a position or a number of things.
    fn position(&self, index: usize) -> Result<usize, Error> {
        let value = self.int(index)?;
        usize::try_from(value).map_err(|_| Error::OutOfBounds(value))
    }

    fn list(&mut self, index: usize) -> Result<List<'c, 'a>, Error> {
        match self.view(index) {
            View::List(list) => {
                self.budget.spend(list.len() as u64)?;
                Ok(list)
            }
            _ => Err(self.overload()),
        }
    }

    /// What a function says to values of types that it does not take.
    fn overload(&self) -> Error {
        no_overload(self.function, &self.arguments.iter().collect::<Vec<_>>())
    }

    fn failure(&self, reason: impl Into<String>) -> Error {
        Error::Function {
            function: self.function,
            reason: reason.into(),
        }
    }

    fn give_text(&mut self, text: String) -> Outcome<'a> {
        self.budget.allocate(text.len())?;
        Ok(Value::Text(Text::from(text)))
    }

    fn give_list(&mut self, items: Vec<Value<'a>>) -> Outcome<'a> {
        self.budget.allocate(items.len() * size_of::<Value<'_>>())?;
        Ok(Value::list(items))
    }
}
