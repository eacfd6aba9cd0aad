//! A compiled expression: macros are nodes of their own, names are resolved, functions are found.

use super::library::Function;
use super::value::Value;

/// A node of an expression.
#[derive(Debug)]
pub(super) enum Node {
    /// A value, also a list of values.
    Literal(Value<'static>),
    Root(Root),
    /// `variables.name`, by its place among the declared ones.
    Variable(usize),
    /// A variable of a macro, by its depth.
    Local(usize),
    Select(Box<Select>),
    /// `has(operand.field)`
    Has(Box<Self>, String),
    Index(Box<Index>),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    /// Condition, then, else.
    Conditional(Box<[Self; 3]>),
    Binary(Operator, Box<[Self; 2]>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Macro(Box<Macro>),
    /// `cel.bind(name, value, body)`: the value, the body.
    Bind(Box<[Self; 2]>),
    /// `optional.optMap(name, body)`: the optional, the body; flat where the body gives an optional itself.
    OptionalMap(Box<[Self; 2]>, Flat),
    /// `optional.orValue(other)`, and `optional.or(other)`, where the other is an optional itself.
    Fallback(Box<[Self; 2]>, Flat),
    Call(&'static Function, Vec<Self>),
}

/// Whether what stands beside an optional value is an optional itself: in `optFlatMap` and `or` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flat {
    Yes,
    No,
}

/// What an expression is evaluated over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Object,
    OldObject,
    Request,
    NamespaceObject,
}

#[derive(Debug)]
pub(super) struct Select {
    pub(super) operand: Node,
    pub(super) field: String,
    /// `.?field`
    pub(super) optional: bool,
}

#[derive(Debug)]
pub(super) struct Index {
    pub(super) operand: Node,
    pub(super) key: Node,
    /// `[?index]`
    pub(super) optional: bool,
}

/// An element of a list literal.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) node: Node,
    /// `[?element]`
    pub(super) optional: bool,
}

/// An entry of a map literal.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Node,
    pub(super) value: Node,
    /// `{?key: value}`
    pub(super) optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

/// A loop over a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Macro {
    pub(super) kind: MacroKind,
    pub(super) range: Node,
    /// Whether the loop has two variables: index and element, or key and value.
    pub(super) two: bool,
    /// The condition on an element; `None` for a map without one.
    pub(super) filter: Option<Node>,
    /// What is made of an element.
    pub(super) transform: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacroKind {
    All,
    Exists,
    ExistsOne,
    /// `filter`, `map`, `transformList`
    List,
    /// `transformMap`
    Map,
}

// === impl Operator ===

impl Operator {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "_+_",
            Self::Subtract => "_-_",
            Self::Multiply => "_*_",
            Self::Divide => "_/_",
            Self::Modulo => "_%_",
            Self::Equal => "_==_",
            Self::NotEqual => "_!=_",
            Self::Less => "_<_",
            Self::LessOrEqual => "_<=_",
            Self::Greater => "_>_",
            Self::GreaterOrEqual => "_>=_",
            Self::In => "@in",
        }
    }
}
