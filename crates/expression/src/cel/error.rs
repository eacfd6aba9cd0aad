//! Why an expression is refused, and why its evaluation gave no value.

use provost_manifest::escape;
use thiserror::Error;

use crate::error::EvalError;

/// Characters of a text that an error repeats.
const SHOWN: usize = 80;

/// A text that is no expression, or one that asks for what is not done here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}{}", at(*offset))]
pub struct CompileError {
    /// Where, in bytes from the start of the expression; `None` for a complaint about the whole.
    pub offset: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A map lacks a key.
    #[error("no such key: {}", escape::shorten(&escape::line(.0), SHOWN))]
    NoSuchKey(String),
    /// An operator or function does not take values of these types.
    #[error("no such overload: {operation}({types})")]
    NoSuchOverload {
        /// The operator or function.
        operation: &'static str,
        /// The types it got.
        types: String,
    },
    /// A list is shorter.
    #[error("index out of bounds: {0}")]
    OutOfBounds(i64),
    /// A number is too large or too small for its type.
    #[error("integer overflow")]
    Overflow,
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A map literal has a key twice.
    #[error("a map has a key twice")]
    RepeatedKey,
    /// A function could not work with the values it got.
    #[error("{function}(): {reason}")]
    Function {
        /// The function.
        function: &'static str,
        /// What is wrong with which value.
        reason: String,
    },
    /// The evaluation has to stop.
    #[error(transparent)]
    Stopped(#[from] EvalError),
}

// === impl CompileError ===

impl CompileError {
    pub(super) fn at(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            message: message.into(),
        }
    }

    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self {
            offset: None,
            message: message.into(),
        }
    }
}

fn at(offset: Option<usize>) -> String {
    offset.map_or_else(String::new, |offset| {
        format!(" (at byte {offset} of the expression)")
    })
}

// === impl Error ===

impl Error {
    /// Whether the evaluation has to stop, whatever stands around: `true || …` does not make such an error good.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }
}
