//! The tree that a text is parsed into.

use std::sync::{Arc, OnceLock};

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
    Subexpression(Box<Self>, Box<Self>),
    /// `left[index]`
    Index(Box<Self>, i64),
    /// `left[start:stop:step]`
    Slice(Box<Self>, Slice),
    /// `left[]`, before its projection
    Flatten(Box<Self>),
    /// `left[*].right`
    Projection(Box<Self>, Box<Self>),
    /// `left.*.right`
    ValueProjection(Box<Self>, Box<Self>),
    /// `left[?condition].right`
    Filter(Box<FilterNode>),
    /// `left | right`
    Pipe(Box<Self>, Box<Self>),
    /// `left || right`
    Or(Box<Self>, Box<Self>),
    /// `left && right`
    And(Box<Self>, Box<Self>),
    /// `!node`
    Not(Box<Self>),
    /// `left == right` and the like
    Comparison(Comparator, Box<Self>, Box<Self>),
    /// `[a, b]`
    MultiselectList(Vec<Self>),
    /// `{a: b}`
    MultiselectHash(Vec<(String, Self)>),
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
    pub(crate) regex: OnceLock<Result<Arc<Regex>, String>>,
}

/// An argument: a value, or `&expression`.
#[derive(Debug)]
pub(crate) enum ArgumentNode {
    Value(Node),
    Expression(Node),
}

// === impl Node ===

impl Node {
    /// Visits this node and those below it, in the order of the text.
    fn visit<'n>(&'n self, visitor: &mut impl FnMut(&'n Self)) {
        visitor(self);
        let mut below = |node: &'n Self| node.visit(visitor);
        match self {
            Self::Current | Self::Literal(_) | Self::Field(_) => {}
            Self::Index(node, _) | Self::Slice(node, _) | Self::Flatten(node) | Self::Not(node) => {
                below(node);
            }
            Self::Subexpression(left, right)
            | Self::Projection(left, right)
            | Self::ValueProjection(left, right)
            | Self::Pipe(left, right)
            | Self::Or(left, right)
            | Self::And(left, right)
            | Self::Comparison(_, left, right) => {
                below(left);
                below(right);
            }
            Self::Filter(filter) => {
                below(&filter.left);
                below(&filter.condition);
                below(&filter.right);
            }
            Self::MultiselectList(nodes) => nodes.iter().for_each(below),
            Self::MultiselectHash(nodes) => nodes.iter().for_each(|(_, node)| below(node)),
            Self::Call(call) => call.arguments.iter().for_each(|argument| match argument {
                ArgumentNode::Value(node) | ArgumentNode::Expression(node) => below(node),
            }),
        }
    }

    /// The names of functions that are called and do not exist.
    pub(crate) fn unknown_functions<'n>(&'n self) -> Vec<&'n str> {
        let mut unknown = Vec::new();
        self.visit(&mut |node: &'n Self| {
            if let Self::Call(call) = node
                && call.function.is_none()
            {
                unknown.push(call.name.as_str());
            }
        });
        unknown
    }
}
