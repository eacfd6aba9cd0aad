//! What evaluating an expression takes, told from its text alone: loops in loops over lists that nobody bounds.
//!
//! The estimate is the least that is plausible: each list that is not written out has five elements, and each variable
//! is evaluated once. An expression that is too dear even so would be stopped on every real object, and is refused
//! where it stands; all others are bounded by their budget when they are evaluated.

use super::Variable;
use super::node::{MacroKind, Node, Root};
use super::value::{Value, View};
use crate::budget::DEFAULT_STEPS;

/// What a rule may take, in steps.
pub(super) const MAX_COST: u64 = DEFAULT_STEPS;
/// How many elements a list has at the least that is plausible.
pub(super) const PLAUSIBLE_LENGTH: u64 = 5;

/// A list that is gone through for each of its own elements: for n of them that is n times n steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The list, such as `object.spec.containers`.
    pub list: String,
    /// Where the inner loop is, in bytes from the start of the expression.
    pub offset: usize,
}

/// How many elements a loop goes through.
pub(super) fn length(range: &Node) -> u64 {
    match range {
        Node::Literal(value) => match value.view() {
            View::List(list) => list.len() as u64,
            _ => PLAUSIBLE_LENGTH,
        },
        Node::List(elements) => elements.len() as u64,
        Node::Macro(parts) if parts.kind == MacroKind::List && parts.filter.is_none() => length(&parts.range),
        Node::Call(function, arguments) => made(function.name, arguments).unwrap_or(PLAUSIBLE_LENGTH),
        _ => PLAUSIBLE_LENGTH,
    }
}

/// How many elements a function makes, where its text says so.
pub(super) fn made(function: &str, arguments: &[Node]) -> Option<u64> {
    match (function, arguments) {
        ("lists.range", [Node::Literal(Value::Int(count))]) => Some(u64::try_from(*count).unwrap_or(0)),
        _ => None,
    }
}

/// The list that a loop goes through, wholly or in part, where it is a field or a variable.
pub(super) fn path(range: &Node, variables: &[Variable]) -> Option<String> {
    match range {
        Node::Root(root) => Some(name(*root).to_owned()),
        Node::Variable(index) => Some(format!("variables.{}", variables.get(*index)?.name)),
        Node::Select(select) => Some(format!("{}.{}", path(&select.operand, variables)?, select.field)),
        Node::Fallback(parts, _) => path(&parts[0], variables),
        // has(a.b) ? a.b : []
        Node::Conditional(parts) => path(&parts[1], variables).or_else(|| path(&parts[2], variables)),
        Node::Macro(parts) if parts.kind == MacroKind::List => path(&parts.range, variables),
        _ => None,
    }
}

fn name(root: Root) -> &'static str {
    match root {
        Root::Object => "object",
        Root::OldObject => "oldObject",
        Root::Request => "request",
        Root::NamespaceObject => "namespaceObject",
    }
}
