//! What can go wrong: with the text of an expression, and with its evaluation.

use provost_manifest::escape;
use thiserror::Error;

/// Characters of a text that an error repeats.
const SHOWN: usize = 80;

/// A text that is no expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (at byte {offset} of the expression)")]
pub struct SyntaxError {
    /// Where, in bytes from the start of the expression.
    pub offset: usize,
    /// What stands there and what was expected.
    pub message: String,
}

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvalError {
    /// A map lacks this key. Many places turn it into null; at the end of an evaluation it is an error.
    #[error("Unknown key {} in path", quoted(key))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The budget's steps are used up.
    #[error("the evaluation took more steps than its budget allows")]
    FuelExhausted,
    /// The budget's bytes are used up.
    #[error("the evaluation built more data than its budget allows")]
    AllocationExhausted,
    /// The clock ran out first.
    #[error("the evaluation took longer than its deadline allows")]
    DeadlineExceeded,
    /// The scope cannot give a value before something is fetched. The number is the scope's own, for finding out
    /// what that is; nothing in an expression turns this error into null.
    #[error("an input has to be fetched first")]
    Needs(usize),
    /// The scope knows the name, and failed to give its value.
    #[error("{0}")]
    Scope(String),
    /// There is no such function.
    #[error("there is no function {}()", escape::shorten(name, SHOWN))]
    UnknownFunction {
        /// The name that was called.
        name: String,
    },
    /// A function got too few or too many arguments.
    #[error("{function}() takes {expected}, not {found}")]
    ArgumentCount {
        /// The function.
        function: &'static str,
        /// How many it takes, in words.
        expected: String,
        /// How many it got.
        found: usize,
    },
    /// A function got an argument of a wrong type.
    #[error("{function}(): argument {position} is {found}, but must be {expected}")]
    ArgumentType {
        /// The function.
        function: &'static str,
        /// The argument's position, from 1.
        position: usize,
        /// The types it takes, in words.
        expected: &'static str,
        /// The type it got.
        found: &'static str,
    },
    /// A function could not work with the values it got.
    #[error("{function}(): {reason}")]
    Function {
        /// The function.
        function: &'static str,
        /// What is wrong with which value.
        reason: String,
    },
    /// A slice `[::0]`.
    #[error("a slice's step cannot be 0")]
    SliceStep,
}

// === impl EvalError ===

impl EvalError {
    /// Whether the evaluation has to stop, whatever stands around: such an error never becomes null.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::FuelExhausted | Self::AllocationExhausted | Self::DeadlineExceeded | Self::Needs(_)
        )
    }
}

/// A text in an error: in quotes, with hostile characters escaped, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", escape::shorten(text, SHOWN))
}
