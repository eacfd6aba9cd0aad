//! The Common Expression Language as Kubernetes has it, evaluated in place and under fuel.
//!
//! ```text
//! text ──compile──▶ Program ─┐
//! Scope (object, request, variables …) ─┼─evaluate─▶ Value (borrowed where it can be) | Error
//! Budget ──────────────────────────────┘      └─blame─▶ the fields that made it false
//! ```
//!
//! Guarantees: an unknown name, function or number of arguments is found when an expression is compiled, as is what
//! Kubernetes has and Provost does not; evaluation never panics and ends within its [`Budget`]; texts are bounded by
//! [`MAX_LENGTH`] and [`MAX_HEIGHT`], loops in loops by a plausible cost. Types are found out when values meet, not before: `1 + 'a'` is an error of the
//! evaluation.

mod blame;
mod compile;
mod cost;
mod error;
mod evaluator;
mod library;
mod node;
mod scope;
mod syntax;
mod value;

pub use blame::Blame;
pub use compile::MAX_HEIGHT;
pub use cost::Repeated;
pub use error::{CompileError, Error};
pub use library::{Format, Network, Url};
pub use scope::Scope;
pub use syntax::MAX_LENGTH;
pub use value::{Key, Value};

use crate::budget::Budget;
use evaluator::Evaluator;
use node::{Node, Root};

/// A compiled expression: kept with the policy, evaluated once per object.
#[derive(Debug)]
pub struct Program {
    text: String,
    node: Node,
    roots: Vec<Root>,
    /// How deep it nests, with the variables that it uses.
    height: usize,
    /// What evaluating it takes, at the least that is plausible.
    cost: u64,
    repeated: Option<Repeated>,
}

/// A named expression, that others use as `variables.name`.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What its value is.
    pub program: Program,
}

// === impl Program ===

impl Program {
    /// Compiles an expression that may use these variables; it is to be evaluated with the same ones, and perhaps
    /// further ones behind them.
    pub fn compile(text: &str, variables: &[Variable]) -> Result<Self, CompileError> {
        let compiled = compile::compile(text, variables)?;
        Ok(Self {
            text: text.to_owned(),
            node: compiled.node,
            roots: compiled.roots,
            height: compiled.height,
            cost: compiled.cost,
            repeated: compiled.repeated,
        })
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of `request` itself; variables that it uses may too.
    pub fn uses_request(&self) -> bool {
        self.roots.contains(&Root::Request)
    }

    /// Whether it speaks of `namespaceObject` itself; variables that it uses may too.
    pub fn uses_namespace(&self) -> bool {
        self.roots.contains(&Root::NamespaceObject)
    }

    /// A list that it goes through for each of that list's own elements.
    pub fn repeated(&self) -> Option<&Repeated> {
        self.repeated.as_ref()
    }

    /// Evaluates the expression.
    pub fn evaluate<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Value<'a>, Error> {
        Evaluator::new(scope, budget).evaluate(&self.node)
    }

    /// The fields to blame for an expression that is false: as far as its form tells, and at most `most`.
    pub fn blame<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget, most: usize) -> Vec<Blame<'a>> {
        blame::of(&self.node, scope, budget, most)
    }
}
