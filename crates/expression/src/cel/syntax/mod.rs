//! From text to a syntax tree.
//!
//! ```text
//! text ──lexer──▶ tokens ──parser──▶ Expression (borrows names from the text)
//!                            └─ literal: what strings, bytes and numbers mean
//! ```
//!
//! The grammar is that of the language's specification, with optional fields (`.?`, `[?`) and quoted ones. Macros are
//! calls here: they are resolved when the tree is compiled.

mod lexer;
mod literal;
mod parser;
#[cfg(test)]
mod tests;

pub(super) use parser::parse;

use super::node::Operator;
use super::value::Value;

/// The longest text that is compiled, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;

/// A part of a text, and what it says.
#[derive(Debug)]
pub(super) struct Expression<'t> {
    /// Where it stands: for an operator the operator, in bytes from the start of the text.
    pub(super) offset: usize,
    /// How many nodes lie on the way to its deepest leaf, itself included.
    height: usize,
    pub(super) kind: Kind<'t>,
}

#[derive(Debug)]
pub(super) enum Kind<'t> {
    Literal(Value<'static>),
    Name(&'t str),
    /// `operand.field`, `operand.?field`
    Select {
        operand: Box<Expression<'t>>,
        field: &'t str,
        optional: bool,
    },
    /// `operand[key]`, `operand[?key]`
    Index {
        operand: Box<Expression<'t>>,
        key: Box<Expression<'t>>,
        optional: bool,
    },
    Not(Box<Expression<'t>>),
    Negate(Box<Expression<'t>>),
    /// `a && b && c`, however many: a chain is not a nesting.
    And(Vec<Expression<'t>>),
    Or(Vec<Expression<'t>>),
    /// Condition, then, else.
    Conditional(Box<[Expression<'t>; 3]>),
    Binary(Operator, Box<[Expression<'t>; 2]>),
    List(Vec<Element<'t>>),
    Map(Vec<Entry<'t>>),
    /// `name(arguments)`, `target.name(arguments)`
    Call {
        target: Option<Box<Expression<'t>>>,
        name: &'t str,
        arguments: Vec<Expression<'t>>,
    },
}

/// An element of a list; optional where it is written `?element`.
#[derive(Debug)]
pub(super) struct Element<'t> {
    pub(super) value: Expression<'t>,
    pub(super) optional: bool,
}

/// An entry of a map; optional where it is written `?key: value`.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) key: Expression<'t>,
    pub(super) value: Expression<'t>,
    pub(super) optional: bool,
}
