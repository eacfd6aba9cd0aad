//! What an expression is evaluated over, and the clock and chance it may see.

use serde_json::Value;

use crate::budget::Budget;
use crate::datum::Datum;
use crate::error::EvalError;

/// Named values that are found when asked for: `request`, `element`, context entries.
///
/// A scope may compute a value at its first use, with the budget of the evaluation that asks, and must bound how
/// deep such computations nest. What has to be fetched first is [`EvalError::Needs`].
pub trait Scope {
    /// The value of a name; `None` where the name is not defined.
    fn get(&self, name: &str, budget: &mut Budget) -> Result<Option<Datum<'_>>, EvalError>;

    /// All names, for an expression that uses the scope as a whole (`@`, `*`, `keys(@)`).
    fn names(&self) -> Vec<&str>;
}

/// Where an evaluation starts: a scope, or one value.
#[derive(Clone)]
pub enum Root<'a> {
    /// Named values; behaves as a map of them.
    Scope(&'a dyn Scope),
    /// One value.
    Datum(Datum<'a>),
}

/// The time and the seed of an evaluation: inputs, so that evaluating again gives the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    /// What `time_now()` says.
    pub now: jiff::Timestamp,
    /// What `random()` starts from.
    pub seed: u64,
}

// === impl Root ===

impl<'a> From<&'a Value> for Root<'a> {
    fn from(value: &'a Value) -> Self {
        Self::Datum(Datum::Borrowed(value))
    }
}

impl<'a> From<Datum<'a>> for Root<'a> {
    fn from(datum: Datum<'a>) -> Self {
        Self::Datum(datum)
    }
}

impl<'a> From<&'a dyn Scope> for Root<'a> {
    fn from(scope: &'a dyn Scope) -> Self {
        Self::Scope(scope)
    }
}
