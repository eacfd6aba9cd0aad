//! The paths of an object that a jq expression names, as `del(EXPRESSION)` would delete them.
//!
//! The part of jq that names paths and selects among them: fields, indices, `[]`, `..`, `?`, `|`, `,`, `//`,
//! `select`, conditions, comparisons and the functions of [`FUNCTIONS`]. What makes new values (arithmetic,
//! assignments, `map`, variables, definitions) is refused when it is read: it names no path. There is no recursion
//! to write and every step is paid for, so that each evaluation ends.
//!
//! Where jq would stop with an error (a field of a text, all elements of nothing), that branch names no path.

mod evaluate;
mod parse;

use provost_manifest::path::FieldPath;
use serde_json::Value;

use evaluate::Evaluator;

/// The longest expression.
pub const MAX_LENGTH: usize = 4 * 1024;
/// How deep one may nest.
pub const MAX_DEPTH: usize = 32;
/// Steps that one expression may take over one object: each value it looks at is one.
pub const MAX_STEPS: usize = 200_000;

/// The functions that are known, and how many arguments each takes.
pub const FUNCTIONS: &[(&str, usize)] = &[
    ("select", 1),
    ("empty", 0),
    ("recurse", 0),
    ("first", 1),
    ("last", 1),
    ("not", 0),
    ("has", 1),
    ("contains", 1),
    ("inside", 1),
    ("startswith", 1),
    ("endswith", 1),
    ("test", 1),
    ("any", 0),
    ("any", 1),
    ("all", 0),
    ("all", 1),
    ("length", 0),
    ("keys", 0),
    ("type", 0),
    ("tostring", 0),
    ("ascii_downcase", 0),
    ("index", 1),
    ("getpath", 1),
];

/// An expression, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    node: Node,
}

/// A text that is no expression, or not one of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at character {at}")]
pub struct SyntaxError {
    /// Which character, from 1.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

/// An expression that took too many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expression takes more than {MAX_STEPS} steps")]
pub struct OutOfSteps;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// `.`.
    Identity,
    /// `..`.
    Recurse,
    /// `.name`, `."name"`, `.[expression]`.
    Index(Box<Self>, Box<Self>),
    /// `.[]`.
    Each(Box<Self>),
    /// `expression?`: errors name no path anyway.
    Pipe(Box<Self>, Box<Self>),
    Comma(Box<Self>, Box<Self>),
    /// `a // b`.
    Alternative(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
    Literal(Value),
    /// `[expression]`.
    Array(Option<Box<Self>>),
    Call(&'static str, Vec<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

// === impl Expression ===

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self {
            text: text.to_owned(),
            node: parse::parse(text)?,
        })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The paths of the object that it names, and that are there.
    pub fn paths(&self, object: &Value) -> Result<Vec<FieldPath>, OutOfSteps> {
        Evaluator::new(MAX_STEPS).paths(&self.node, object)
    }
}

#[cfg(test)]
mod tests;
