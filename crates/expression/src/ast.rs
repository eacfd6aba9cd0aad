//! The tree that a text is parsed into.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use crate::function::Function;

/// One node; its height is bounded by the parser, so that it can be walked by recursion.
#[derive(Debug)]
pub(crate) enum Node {
    /// `@`
    Current,
    /// `` `json` `` or `'text'`
    Literal(Value),
    /// `name` or `"name"`
    Field(String),
    /// `left.right`
    Subexpression(Box<Node>, Box<Node>),
    /// `left[index]`
    Index(Box<Node>, i64),
    /// `left[start:stop:step]`
    Slice(Box<Node>, Slice),
    /// `left[]`, before its projection
    Flatten(Box<Node>),
    /// `left[*].right`
    Projection(Box<Node>, Box<Node>),
    /// `left.*.right`
    ValueProjection(Box<Node>, Box<Node>),
    /// `left[?condition].right`
    Filter(Box<FilterNode>),
    /// `left | right`
    Pipe(Box<Node>, Box<Node>),
    /// `left || right`
    Or(Box<Node>, Box<Node>),
    /// `left && right`
    And(Box<Node>, Box<Node>),
    /// `!node`
    Not(Box<Node>),
    /// `left == right` and the like
    Comparison(Comparator, Box<Node>, Box<Node>),
    /// `[a, b]`
    MultiselectList(Vec<Node>),
    /// `{a: b}`
    MultiselectHash(Vec<(String, Node)>),
    /// `name(arguments)`
    Call(Box<CallNode>),
}

/// The parts of `left[?condition].right`.
#[derive(Debug)]
pub(crate) struct FilterNode {
    pub(crate) left: Node,
    pub(crate) condition: Node,
    pub(crate) right: Node,
}

/// The parts of `[start:stop:step]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) start: Option<i64>,
    pub(crate) stop: Option<i64>,
    pub(crate) step: Option<i64>,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A call of a function.
#[derive(Debug)]
pub(crate) struct CallNode {
    /// The name as written.
    pub(crate) name: String,
    /// The function of that name. That there is none is an error only where the call is reached.
    pub(crate) function: Option<&'static Function>,
    pub(crate) arguments: Vec<ArgumentNode>,
    /// The regular expression of a literal first argument, compiled at its first use; or why it is none.
    pub(crate) regex: OnceLock<Result<Regex, String>>,
}

/// An argument: a value, or `&expression`.
#[derive(Debug)]
pub(crate) enum ArgumentNode {
    Value(Node),
    Expression(Node),
}
