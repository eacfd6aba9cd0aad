//! The functions: a table per subject, looked up once, when an expression is parsed.

mod arithmetic;
mod certificate;
mod collection;
mod der;
mod encoding;
mod layout;
mod md5;
mod network;
mod random;
pub(crate) mod regular;
mod standard;
mod text;
mod time;
mod version;

use std::fmt;

use crate::ast::{CallNode, Node};
use crate::datum::{Datum, List, Map, Text, View};
use crate::error::{EvalError, quoted};
use crate::evaluator::Evaluator;
use crate::print;
use crate::scope::Root;

/// Finds a function by name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|function| function.name == name)
}

const TABLES: &[&[Function]] = &[
    standard::FUNCTIONS,
    text::FUNCTIONS,
    regular::FUNCTIONS,
    collection::FUNCTIONS,
    encoding::FUNCTIONS,
    version::FUNCTIONS,
    arithmetic::FUNCTIONS,
    time::FUNCTIONS,
    random::FUNCTIONS,
    network::FUNCTIONS,
    certificate::FUNCTIONS,
];

/// A function: its name, how many arguments it takes, and what it does.
pub(crate) struct Function {
    name: &'static str,
    arguments: Count,
    run: for<'a> fn(&mut Call<'_, 'a>) -> Outcome<'a>,
}

/// What a function gives.
pub(crate) type Outcome<'a> = Result<Datum<'a>, EvalError>;

/// How many arguments a function takes.
#[derive(Clone, Copy)]
enum Count {
    Exactly(usize),
    AtLeast(usize),
}

/// One argument of a call.
pub(crate) enum Argument<'a> {
    /// A value.
    Datum(Datum<'a>),
    /// `&expression`
    Expression(&'a Node),
}

/// One call in progress: the arguments, and what is needed to answer.
pub(crate) struct Call<'c, 'a> {
    pub(crate) function: &'static Function,
    pub(crate) arguments: Vec<Argument<'a>>,
    pub(crate) node: &'a CallNode,
    pub(crate) evaluator: Evaluator<'c>,
}

// === impl Function ===

impl Function {
    const fn new(
        name: &'static str,
        arguments: usize,
        run: for<'a> fn(&mut Call<'_, 'a>) -> Outcome<'a>,
    ) -> Self {
        Self {
            name,
            arguments: Count::Exactly(arguments),
            run,
        }
    }

    const fn variadic(
        name: &'static str,
        at_least: usize,
        run: for<'a> fn(&mut Call<'_, 'a>) -> Outcome<'a>,
    ) -> Self {
        Self {
            name,
            arguments: Count::AtLeast(at_least),
            run,
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}()", self.name)
    }
}

// === impl Count ===

impl Count {
    fn accepts(self, found: usize) -> bool {
        match self {
            Self::Exactly(count) => found == count,
            Self::AtLeast(count) => found >= count,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, count) = match self {
            Self::Exactly(count) => ("", *count),
            Self::AtLeast(count) => ("at least ", *count),
        };
        write!(
            formatter,
            "{prefix}{count} argument{}",
            if count == 1 { "" } else { "s" }
        )
    }
}

// === impl Call: arguments ===

impl<'a> Call<'_, 'a> {
    /// Checks the number of arguments and answers.
    pub(crate) fn run(mut self) -> Outcome<'a> {
        if !self.function.arguments.accepts(self.arguments.len()) {
            return Err(EvalError::ArgumentCount {
                function: self.function.name,
                expected: self.function.arguments.to_string(),
                found: self.arguments.len(),
            });
        }
        (self.function.run)(&mut self)
    }

    fn argument(&self, index: usize) -> Option<&Argument<'a>> {
        self.arguments.get(index)
    }

    /// Any value.
    fn datum(&self, index: usize) -> Result<&Datum<'a>, EvalError> {
        match self.argument(index) {
            Some(Argument::Datum(datum)) => Ok(datum),
            _ => Err(self.type_error(index, "a value")),
        }
    }

    fn text(&self, index: usize) -> Result<Text<'a>, EvalError> {
        self.datum(index)?
            .as_text()
            .ok_or_else(|| self.type_error(index, "a string"))
    }

    /// A string; a number without exponent or a boolean as text.
    fn scalar_text(&self, index: usize) -> Result<Text<'a>, EvalError> {
        scalar_text(self.datum(index)?)
            .ok_or_else(|| self.type_error(index, "a string, a number or a boolean"))
    }

    fn number(&self, index: usize) -> Result<f64, EvalError> {
        self.datum(index)?
            .as_f64()
            .ok_or_else(|| self.type_error(index, "a number"))
    }

    fn list(&self, index: usize) -> Result<List<'_, 'a>, EvalError> {
        self.datum(index)?
            .as_list()
            .ok_or_else(|| self.type_error(index, "a list"))
    }

    fn map(&self, index: usize) -> Result<Map<'_, 'a>, EvalError> {
        self.datum(index)?
            .as_map()
            .ok_or_else(|| self.type_error(index, "an object"))
    }

    fn expression(&self, index: usize) -> Result<&'a Node, EvalError> {
        match self.argument(index) {
            Some(Argument::Expression(node)) => Ok(node),
            _ => Err(self.type_error(index, "an expression reference (&…)")),
        }
    }

    /// The numbers of a list that holds nothing else.
    fn numbers(&self, index: usize) -> Result<Vec<f64>, EvalError> {
        let numbers: Option<Vec<_>> = self.list(index)?.iter().map(|datum| datum.as_f64()).collect();
        numbers.ok_or_else(|| self.type_error(index, "a list of numbers"))
    }

    /// The strings of a list that holds nothing else.
    fn texts(&self, index: usize) -> Result<Vec<Text<'a>>, EvalError> {
        let texts: Option<Vec<_>> = self.list(index)?.iter().map(|datum| datum.as_text()).collect();
        texts.ok_or_else(|| self.type_error(index, "a list of strings"))
    }

    fn type_error(&self, index: usize, expected: &'static str) -> EvalError {
        let found = match self.argument(index) {
            None => "missing",
            Some(Argument::Expression(_)) => "an expression reference",
            Some(Argument::Datum(datum)) => match datum.type_name() {
                "boolean" => "a boolean",
                "number" => "a number",
                "string" => "a string",
                "array" => "a list",
                "object" => "an object",
                _ => "null",
            },
        };
        EvalError::ArgumentType {
            function: self.function.name,
            position: index + 1,
            expected,
            found,
        }
    }

    /// An error about the arguments' values.
    fn failure(&self, reason: impl Into<String>) -> EvalError {
        EvalError::Function {
            function: self.function.name,
            reason: reason.into(),
        }
    }
}

// === impl Call: results ===

impl<'a> Call<'_, 'a> {
    /// A string that was built.
    fn give_text(&mut self, text: impl Into<String>) -> Outcome<'a> {
        let text = text.into();
        self.evaluator.budget.read(text.len())?;
        self.evaluator.budget.allocate(text.len())?;
        Ok(Datum::Text(text.into()))
    }

    /// A part of the string at `index`, borrowed where that is.
    fn give_part(&mut self, index: usize, part: impl FnOnce(&str) -> &str) -> Outcome<'a> {
        match self.text(index)? {
            Text::Borrowed(text) => {
                self.evaluator.budget.read(text.len())?;
                Ok(Datum::Text(Text::Borrowed(part(text))))
            }
            Text::Shared(text) => self.give_text(part(&text)),
        }
    }

    /// A number, which must be finite.
    fn give_number(&self, value: f64) -> Outcome<'a> {
        match Datum::number(value) {
            Datum::Null => Err(self.failure("the result is not a finite number")),
            number => Ok(number),
        }
    }

    /// The value of an expression reference over one element.
    fn apply(&mut self, node: &'a Node, element: Datum<'a>) -> Outcome<'a> {
        self.evaluator.known(node, &Root::Datum(element))
    }
}

/// A scalar as text; `None` for null, lists and objects.
fn scalar_text<'a>(datum: &Datum<'a>) -> Option<Text<'a>> {
    match datum.view() {
        View::Text(_) => datum.as_text(),
        View::Number(number) => number.as_f64().map(|number| print::decimal(number).into()),
        View::Bool(value) => Some(Text::Borrowed(if value { "true" } else { "false" })),
        View::Null | View::List(_) | View::Map(_) => None,
    }
}
