//! Which fields made a condition false: found by walking the expression and following the values that were
//! borrowed from the object.

use provost_manifest::path::Segment;
use serde_json::Value as Json;

use super::evaluator::Evaluator;
use super::node::{Macro, MacroKind, Node};
use super::scope::Scope;
use super::value::{Key, Value};
use crate::budget::Budget;

/// A field: one that lies in an object, or one that is missing below it.
#[derive(Clone, Debug)]
pub struct Blame<'a> {
    /// The value of the field, or of the nearest one above that is there.
    pub at: &'a Json,
    /// The way from there to a field that is missing; empty where the field is there.
    pub below: Vec<Segment>,
}

/// The fields to blame for a node that is not true.
pub(super) fn of<'a>(node: &'a Node, scope: &Scope<'a>, budget: &mut Budget, most: usize) -> Vec<Blame<'a>> {
    let mut search = Search {
        evaluator: Evaluator::new(scope, budget),
        found: Vec::new(),
        most,
    };
    search.blame(node, true);
    search.found
}

struct Search<'e, 'a> {
    evaluator: Evaluator<'e, 'a>,
    found: Vec<Blame<'a>>,
    most: usize,
}

impl<'a> Search<'_, 'a> {
    fn is(&mut self, node: &'a Node, wanted: bool) -> bool {
        let value = self.evaluator.evaluate(node);
        value.is_ok_and(|value| value.as_bool() == Some(wanted))
    }

    /// Whether a field was found to blame for a node that is not as `wanted`.
    fn blame(&mut self, node: &'a Node, wanted: bool) -> bool {
        let before = self.found.len();
        match node {
            Node::Not(operand) => {
                self.blame(operand, !wanted);
            }
            Node::And(operands) => self.operands(operands, wanted, true),
            Node::Or(operands) => self.operands(operands, wanted, false),
            Node::Conditional(parts) => {
                let [condition, then, other] = &**parts;
                let branch = if self.is(condition, true) { then } else { other };
                if !self.blame(branch, wanted) {
                    self.blame(condition, wanted);
                }
            }
            Node::Macro(parts) => self.elements(parts, wanted),
            Node::Variable(index) => {
                let locals = std::mem::take(&mut self.evaluator.locals);
                self.blame(self.evaluator.scope.variable_node(*index), wanted);
                self.evaluator.locals = locals;
            }
            Node::Bind(parts) => {
                if let Ok(value) = self.evaluator.evaluate(&parts[0]) {
                    self.evaluator.locals.push(value);
                    self.blame(&parts[1], wanted);
                    self.evaluator.locals.pop();
                }
            }
            other => {
                let place = self.place(other);
                self.add(place);
            }
        }
        self.found.len() > before
    }

    /// Of `a && b` that should be true, each operand that is not is to blame; where it should be false, the last one
    /// is that names a field: those before it are its conditions. With `||` it is the other way round.
    fn operands(&mut self, operands: &'a [Node], wanted: bool, all: bool) {
        if wanted == all {
            for operand in operands {
                if !self.is(operand, wanted) {
                    self.blame(operand, wanted);
                }
            }
        } else {
            for operand in operands.iter().rev() {
                if self.blame(operand, wanted) {
                    break;
                }
            }
        }
    }

    /// Of `all` that should be true and `exists` that should be false, each element that is not so is to blame; else
    /// the list is.
    fn elements(&mut self, parts: &'a Macro, wanted: bool) {
        let by_element = matches!(
            (parts.kind, wanted),
            (MacroKind::All, true) | (MacroKind::Exists, false)
        );
        if let (true, Some(filter), Ok(items)) = (by_element, &parts.filter, self.evaluator.items(parts)) {
            for item in items {
                let outside = self.evaluator.locals.len();
                self.evaluator.enter(&item);
                if !self.is(filter, wanted)
                    && !self.blame(filter, wanted)
                    && let Value::Json(at) = item.value
                {
                    self.add(Some(Blame {
                        at,
                        below: Vec::new(),
                    }));
                }
                self.evaluator.locals.truncate(outside);
                if self.found.len() >= self.most {
                    break;
                }
            }
        } else {
            let place = self.place(&parts.range);
            self.add(place);
        }
    }

    fn add(&mut self, place: Option<Blame<'a>>) {
        let Some(place) = place else { return };
        let is_known = |known: &Blame<'_>| std::ptr::eq(known.at, place.at) && known.below == place.below;
        if self.found.len() < self.most && !self.found.iter().any(is_known) {
            self.found.push(place);
        }
    }

    /// The field that a node speaks of.
    fn place(&mut self, node: &'a Node) -> Option<Blame<'a>> {
        let here = |value: Value<'a>| match value {
            Value::Json(at) => Some(Blame {
                at,
                below: Vec::new(),
            }),
            Value::Optional(Some(inner)) => match &*inner {
                Value::Json(at) => Some(Blame {
                    at,
                    below: Vec::new(),
                }),
                _ => None,
            },
            _ => None,
        };
        match node {
            Node::Root(_) | Node::Local(_) => self.evaluator.evaluate(node).ok().and_then(here),
            Node::Select(select) => {
                let found = self.evaluator.evaluate(node).ok().and_then(here);
                found.or_else(|| self.below(&select.operand, Segment::Key(select.field.clone())))
            }
            Node::Has(operand, field) => self.below(operand, Segment::Key(field.clone())),
            Node::Index(index) => {
                let found = self.evaluator.evaluate(node).ok().and_then(here);
                found.or_else(|| {
                    let at = self.evaluator.evaluate(&index.key).ok()?.key()?;
                    let segment = match at {
                        Key::Text(text) => Segment::Key(text.to_string()),
                        Key::Int(index) => Segment::Index(usize::try_from(index).ok()?),
                        _ => return None,
                    };
                    self.below(&index.operand, segment)
                })
            }
            Node::Variable(index) => {
                if let Some(found) = self.evaluator.evaluate(node).ok().and_then(here) {
                    return Some(found);
                }
                let locals = std::mem::take(&mut self.evaluator.locals);
                let found = self.place(self.evaluator.scope.variable_node(*index));
                self.evaluator.locals = locals;
                found
            }
            Node::Macro(parts) => self.place(&parts.range),
            Node::Not(operand) | Node::Negate(operand) => self.place(operand),
            Node::Binary(_, operands) => self.first(operands.iter()),
            Node::OptionalMap(parts, _) | Node::Fallback(parts, _) => self.place(&parts[0]),
            Node::Conditional(parts) => self.first(parts.iter().skip(1)),
            Node::Call(_, arguments) => self.first(arguments.iter()),
            Node::List(elements) => self.first(elements.iter().map(|element| &element.node)),
            Node::And(operands) | Node::Or(operands) => self.first(operands.iter()),
            Node::Literal(_) | Node::Map(_) | Node::Bind(_) => None,
        }
    }

    fn first(&mut self, nodes: impl Iterator<Item = &'a Node>) -> Option<Blame<'a>> {
        let mut nodes = nodes;
        nodes.find_map(|node| self.place(node))
    }

    /// A field that is missing below what a node speaks of. It may be there: then its value was made otherwise, and
    /// the way to it is the same.
    fn below(&mut self, operand: &'a Node, segment: Segment) -> Option<Blame<'a>> {
        let mut place = self.place(operand)?;
        let there = match (&segment, place.below.is_empty()) {
            (Segment::Key(key), true) => place.at.get(key),
            (Segment::Index(index), true) => place.at.get(index),
            _ => None,
        };
        match there {
            Some(at) => place.at = at,
            None => place.below.push(segment),
        }
        Some(place)
    }
}
