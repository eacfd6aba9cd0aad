//! `validate.pattern`: a shape that an object must have.
//!
//! ```text
//! JSON pattern ──compile──▶ Pattern ──walk──▶ pass, skip, fail or error     (the verdict: stops at the first)
//!                              └──collect──▶ every violation                 (only after the verdict is a failure)
//! ```
//!
//! A pattern compiles once: anchors are split from their keys, keys put into the order in which they decide,
//! operators, ranges, quantities and durations parsed. The walk then allocates nothing for an object that passes.

mod anchors;
mod collect;
mod compare;
pub(crate) mod demands;
mod describe;
mod parse;
mod walk;

pub(crate) use anchors::Anchor;
pub(crate) use collect::MAX_VIOLATIONS;
pub(crate) use compare::{in_range, is_range, whole_number};
pub(crate) use parse::Numbers;
pub(crate) use walk::Verdict;

use compare::Scalar;
use provost_expression::{Budget, EvalError};
use provost_manifest::path::FieldPath;
use provost_manifest::wildcard::Wildcard;
use serde_json::Value;

use crate::result::Violation;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    root: Node,
    /// How many distinct `(k)` and `^(k)` keys it has; each has a number below this.
    tracked: usize,
}

/// One value of a pattern.
#[derive(Debug)]
enum Node {
    Map(MapNode),
    List(ListNode),
    Scalar(Scalar),
    /// The value of `^(k)`: for each, some element of the list must be like it.
    Existence(Vec<MapNode>),
}

/// A list of a pattern: what its first element is decides what the list means.
#[derive(Debug)]
enum ListNode {
    /// Nothing satisfies an empty list.
    Empty,
    /// Every element must be like this map.
    Each(MapNode),
    /// The list is compared with this scalar, element by element.
    Scalar(Scalar),
    /// Element by element, the rest is free.
    Positional(Vec<Node>),
}

/// A map of a pattern, its keys in the order in which they decide.
#[derive(Debug, Default)]
struct MapNode {
    /// First `(k)`, `=(k)`, `X(k)`, `^(k)`, in the byte order of their text.
    anchored: Vec<Entry>,
    /// Then all others: last those without anchors, before them, in reverse order, those with.
    fields: Vec<Entry>,
}

/// One key of a pattern's map.
#[derive(Debug)]
struct Entry {
    /// Where the key stands among those of its map, as written.
    position: usize,
    anchor: Anchor,
    /// The key without its anchor.
    key: String,
    node: Node,
    /// The value is exactly `"*"` under a plain key: anything but null.
    anything: bool,
    /// The key stands below labels or annotations and holds a wildcard: it means the first key that matches.
    wildcard: Option<Wildcard>,
    /// The number of this `(k)` or `^(k)` key among those of the pattern.
    tracked: Option<usize>,
}

// === impl Pattern ===

impl Pattern {
    /// Compares an object with the pattern; a step of the budget for each map and each element.
    pub(crate) fn check(&self, value: &Value, budget: &mut Budget) -> Result<Verdict, EvalError> {
        walk::check(self, value, budget)
    }

    /// Adds every violation of `value`, whose place in the object is `path`, as far as the budget reaches.
    pub(crate) fn collect(
        &self,
        value: &Value,
        path: &FieldPath,
        budget: &mut Budget,
        violations: &mut Vec<Violation>,
    ) {
        collect::collect(self, value, path, budget, violations);
    }
}

/// Whether a scalar of a pattern is satisfied by a field that is not there.
pub(crate) fn passes_where_missing(scalar: &Value) -> bool {
    Scalar::compile(scalar, Numbers::AsWritten).is_ok_and(|scalar| scalar.matches(None))
}

#[cfg(test)]
mod tests;
