//! Every violation of a pattern: runs only once the verdict is a failure, and never changes it.
//!
//! Unlike the verdict it does not stop: all fields, all elements of all lists. What an anchor excludes is left out,
//! as the verdict leaves it out.

use provost_expression::Budget;
use provost_manifest::escape::shorten;
use provost_manifest::path::FieldPath;
use serde_json::{Map, Value};

use super::compare::Scalar;
use super::walk::{Verdict, outcome_of_entry, outcome_of_map};
use super::{Anchor, Entry, ListNode, MapNode, Node, Pattern, describe};
use crate::result::{Accepted, Found, Violation};

/// A rule reports at most this many violations of one object.
pub(crate) const MAX_VIOLATIONS: usize = 1_000;

/// What is needed is said in so many characters at most.
const MAX_ACCEPTED_CHARS: usize = 1_000;

pub(super) fn collect(
    pattern: &Pattern,
    value: &Value,
    path: &FieldPath,
    budget: &mut Budget,
    violations: &mut Vec<Violation>,
) {
    let mut collector = Collector {
        path: path.clone(),
        budget,
        violations,
    };
    collector.node(&pattern.root, Some(value));
}

struct Collector<'v> {
    path: FieldPath,
    budget: &'v mut Budget,
    violations: &'v mut Vec<Violation>,
}

impl Collector<'_> {
    fn node(&mut self, node: &Node, value: Option<&Value>) {
        if self.budget.step().is_err() {
            return;
        }
        match node {
            Node::Map(map) => self.map(map, value),
            Node::List(list) => self.list(list, value),
            Node::Scalar(scalar) => self.scalar(scalar, value),
            Node::Existence(maps) => self.add(value, &describe::existence(maps)),
        }
    }

    fn scalar(&mut self, scalar: &Scalar, value: Option<&Value>) {
        if let Some(Value::Array(items)) = value {
            self.each(items, |collector, item| collector.scalar_item(scalar, Some(item)));
        } else {
            self.scalar_item(scalar, value);
        }
    }

    fn scalar_item(&mut self, scalar: &Scalar, value: Option<&Value>) {
        if !scalar.matches(value) {
            self.add(value, &describe::scalar(scalar, is_missing(value)));
        }
    }

    fn list(&mut self, list: &ListNode, value: Option<&Value>) {
        let Some(Value::Array(items)) = value else {
            return self.add(value, &describe::list(list));
        };
        match list {
            ListNode::Empty => self.add(value, &describe::list(list)),
            ListNode::Each(map) => self.each(items, |collector, item| collector.map(map, Some(item))),
            ListNode::Scalar(scalar) => {
                self.each(items, |collector, item| collector.scalar_item(scalar, Some(item)));
            }
            ListNode::Positional(nodes) if items.len() < nodes.len() => {
                self.add(value, &describe::list(list));
            }
            ListNode::Positional(nodes) => {
                let mut nodes = nodes.iter();
                self.each(items, |collector, item| {
                    if let Some(node) = nodes.next() {
                        collector.node(node, Some(item));
                    }
                });
            }
        }
    }

    fn each(&mut self, items: &[Value], mut visit: impl FnMut(&mut Self, &Value)) {
        for (index, item) in items.iter().enumerate() {
            self.path.push_index(index);
            visit(self, item);
            self.path.pop();
        }
    }

    fn map(&mut self, map: &MapNode, value: Option<&Value>) {
        let Some(Value::Object(object)) = value else {
            return self.no_map(map, value);
        };
        if outcome_of_map(map, value, self.budget) == Verdict::Skip {
            return;
        }
        for entry in map.anchored.iter().chain(&map.fields) {
            self.entry(entry, object);
        }
    }

    /// A map that is not there. Where it wants a single map in turn, that one is named: `resources.limits`.
    fn no_map(&mut self, map: &MapNode, value: Option<&Value>) {
        if let ([], [entry]) = (map.anchored.as_slice(), map.fields.as_slice())
            && let Node::Map(below) = &entry.node
            && entry.anchor == Anchor::Plain
            && is_missing(value)
        {
            self.path.push_key(&entry.key);
            self.no_map(below, None);
            self.path.pop();
        } else {
            self.add(value, &describe::map(map));
        }
    }

    fn entry(&mut self, entry: &Entry, object: &Map<String, Value>) {
        if outcome_of_entry(entry, object, self.budget) != Verdict::Fail {
            return;
        }
        let value = entry.value_in(object);
        self.path.push_key(entry.key_in(object));
        if entry.anything || entry.anchor == Anchor::Negation {
            self.add(value, &describe::entry(entry, is_missing(value)));
        } else {
            self.node(&entry.node, value);
        }
        self.path.pop();
    }

    fn add(&mut self, value: Option<&Value>, accepted: &str) {
        if self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        self.violations.push(Violation {
            path: self.path.clone(),
            found: value.map_or(Found::Missing, Found::of),
            accepted: Accepted(shorten(accepted, MAX_ACCEPTED_CHARS).into_owned()),
            within: None,
        });
    }
}

fn is_missing(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}
