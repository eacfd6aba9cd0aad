//! Expressions, evaluated in place and under fuel: JMESPath in Kyverno's dialect here, CEL in [`cel`].
//!
//! ```text
//! text ──parse──▶ Expression ─┐
//! Scope or JSON value ─▶ Root ┼─search──▶ Datum (borrowed where it can be) | EvalError
//! Budget, Environment ────────┘
//! string with {{…}} ──variables::substitute──▶ text or typed value, through a callback per expression
//! ```
//!
//! Guarantees: an expression is parsed once, and is `Send + Sync`. Evaluation never panics, ends within its
//! [`Budget`] of steps and bytes, reads no clock, no random source and no network: the same expression, root and
//! [`Environment`] give the same result. What is only passed through is not copied.
//!
//! The dialect: classic JMESPath, where a key that a map lacks is an error ([`EvalError::UnknownKey`]) and null is
//! a value; some fifty functions for arithmetic, time and text are added.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod ast;
pub mod budget;
pub mod cel;
pub mod datum;
pub mod error;
mod evaluator;
mod function;
pub mod image;
mod lexer;
mod parser;
pub mod print;
mod references;
pub mod scope;
pub mod variables;

pub use budget::{Budget, Deadline};
pub use datum::{Datum, List, Map, Text, View};
pub use error::{EvalError, SyntaxError};
pub use parser::{MAX_HEIGHT, MAX_LENGTH};
pub use scope::{Environment, Root, Scope};

use evaluator::Evaluator;

/// A parsed expression: kept with the policy, searched once per object.
#[derive(Debug)]
pub struct Expression {
    text: String,
    root: ast::Node,
}

/// Parses an expression; [`MAX_LENGTH`] and [`MAX_HEIGHT`] bound it.
pub fn parse(text: &str) -> Result<Expression, SyntaxError> {
    Ok(Expression {
        text: text.to_owned(),
        root: parser::parse(text)?,
    })
}

// === impl Expression ===

impl Expression {
    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of functions that it calls and that do not exist: an error where such a call is reached, so worth a
    /// warning before.
    pub fn unknown_functions(&self) -> Vec<&str> {
        self.root.unknown_functions()
    }

    /// What it takes from its root: for each reference the plain fields that it begins with, `request`, `object` for
    /// `request.object[0].name`.
    pub fn references(&self) -> Vec<Vec<&str>> {
        references::references(&self.root)
    }

    /// Evaluates the expression over `root`. The result borrows from the expression (its literals) and the root.
    pub fn search<'a>(
        &'a self,
        root: impl Into<Root<'a>>,
        budget: &mut Budget,
        environment: &Environment,
    ) -> Result<Datum<'a>, EvalError> {
        Evaluator { budget, environment }.evaluate(&self.root, &root.into())
    }
}
