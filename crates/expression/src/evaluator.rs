//! Walks the tree over a root.
//!
//! A key that a map lacks is an error. Where the dialect turns it into null, [`Evaluator::known`] is called;
//! where it turns every error into null, [`Evaluator::lenient`]; elsewhere the error passes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{ArgumentNode, CallNode, Comparator, FilterNode, Node, Slice};
use crate::budget::Budget;
use crate::datum::{Datum, List, Map, Text};
use crate::error::EvalError;
use crate::function::{Argument, Call, Outcome};
use crate::scope::{Environment, Root, Scope};

/// What one evaluation carries along.
pub(crate) struct Evaluator<'e> {
    pub(crate) budget: &'e mut Budget,
    pub(crate) environment: &'e Environment,
}

// === impl Evaluator ===

impl Evaluator<'_> {
    /// The value of a node over what is current. It only tells the kinds apart, so that its stack frame, of which
    /// there is one for each level of the tree, stays small.
    pub(crate) fn evaluate<'a>(&mut self, node: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        self.budget.step()?;
        match node {
            Node::Current => self.current(current),
            Node::Literal(value) => Ok(Datum::Borrowed(value)),
            Node::Field(name) => self.field(name, current),
            Node::Subexpression(left, right) => self.subexpression(left, right, current),
            Node::Index(left, index) => self.index(left, *index, current),
            Node::Slice(left, slice) => self.slice(left, *slice, current),
            Node::Flatten(left) => self.flatten(left, current),
            Node::Projection(left, right) => self.project(left, right, current),
            Node::ValueProjection(left, right) => self.project_values(left, right, current),
            Node::Filter(filter) => self.filter(filter, current),
            Node::Pipe(left, right) => self.pipe(left, right, current),
            Node::Or(left, right) => self.or(left, right, current),
            Node::And(left, right) => self.and(left, right, current),
            Node::Not(operand) => self.not(operand, current),
            Node::Comparison(comparator, left, right) => self.compare(*comparator, left, right, current),
            Node::MultiselectList(nodes) => self.multiselect_list(nodes, current),
            Node::MultiselectHash(nodes) => self.multiselect_hash(nodes, current),
            Node::Call(call) => self.call(call, current),
        }
    }

    /// As [`Self::evaluate`], with null for an unknown key.
    pub(crate) fn known<'a>(&mut self, node: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        match self.evaluate(node, current) {
            Err(EvalError::UnknownKey { .. }) => Ok(Datum::Null),
            result => result,
        }
    }

    /// As [`Self::evaluate`], with null for every error but those that end the evaluation.
    fn lenient<'a>(&mut self, node: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        match self.evaluate(node, current) {
            Err(error) if !error.is_final() => Ok(Datum::Null),
            result => result,
        }
    }

    fn current<'a>(&mut self, current: &Root<'a>) -> Outcome<'a> {
        match current {
            Root::Datum(datum) => Ok(datum.clone()),
            Root::Scope(scope) => self.whole(*scope),
        }
    }

    /// All of a scope as one map.
    fn whole<'a>(&mut self, scope: &'a dyn Scope) -> Outcome<'a> {
        let mut entries = BTreeMap::new();
        for name in scope.names() {
            if let Some(datum) = scope.get(name, self.budget)? {
                entries.insert(Text::Borrowed(name), datum);
            }
        }
        self.map(entries)
    }

    fn field<'a>(&mut self, name: &str, current: &Root<'a>) -> Outcome<'a> {
        let found = match current {
            Root::Scope(scope) => scope.get(name, self.budget)?,
            Root::Datum(datum) => match datum.as_map() {
                Some(map) => map.get(name),
                None => return Ok(Datum::Null),
            },
        };
        found.ok_or_else(|| EvalError::UnknownKey { key: name.to_owned() })
    }

    fn subexpression<'a>(&mut self, left: &'a Node, right: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.evaluate(left, current)?;
        self.evaluate(right, &Root::Datum(left))
    }

    fn pipe<'a>(&mut self, left: &'a Node, right: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.known(left, current)?;
        self.known(right, &Root::Datum(left))
    }

    fn or<'a>(&mut self, left: &'a Node, right: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.known(left, current)?;
        if left.is_truthy() {
            Ok(left)
        } else {
            self.known(right, current)
        }
    }

    fn and<'a>(&mut self, left: &'a Node, right: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.known(left, current)?;
        if left.is_truthy() {
            self.evaluate(right, current)
        } else {
            Ok(left)
        }
    }

    fn not<'a>(&mut self, operand: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        Ok(Datum::Bool(!self.known(operand, current)?.is_truthy()))
    }

    fn index<'a>(&mut self, left: &'a Node, index: i64, current: &Root<'a>) -> Outcome<'a> {
        let left = self.evaluate(left, current)?;
        Ok(element(&left, index))
    }

    fn slice<'a>(&mut self, left: &'a Node, slice: Slice, current: &Root<'a>) -> Outcome<'a> {
        let left = self.evaluate(left, current)?;
        let Some(list) = left.as_list() else {
            return Ok(Datum::Null);
        };
        let step = slice.step.unwrap_or(1);
        if step == 0 {
            return Err(EvalError::SliceStep);
        }
        let mut elements = Vec::new();
        let mut index = bound(slice.start, list.len(), step, true);
        let end = bound(slice.stop, list.len(), step, false);
        while if step > 0 { index < end } else { index > end } {
            self.budget.step()?;
            elements.extend(usize::try_from(index).ok().and_then(|index| list.get(index)));
            index = index.saturating_add(step);
        }
        self.list(elements)
    }

    fn flatten<'a>(&mut self, left: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.lenient(left, current)?;
        let Some(list) = left.as_list() else {
            return Ok(Datum::Null);
        };
        let mut elements = Vec::new();
        for element in list.iter() {
            self.budget.step()?;
            match element.as_list() {
                Some(inner) => {
                    self.budget.spend(inner.len() as u64)?;
                    elements.extend(inner.iter());
                }
                None => elements.push(element),
            }
        }
        self.list(elements)
    }

    fn project<'a>(&mut self, left: &'a Node, right: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.known(left, current)?;
        match left.as_list() {
            Some(list) => self.project_each(list.iter(), right),
            None => Ok(Datum::Null),
        }
    }

    fn project_values<'a>(&mut self, left: &'a Node, right: &'a Node, current: &Root<'a>) -> Outcome<'a> {
        let left = self.lenient(left, current)?;
        let Some(map) = left.as_map() else {
            return Ok(Datum::Null);
        };
        let entries = self.entries(map)?;
        self.project_each(entries.into_iter().map(|(_, value)| value), right)
    }

    /// `right` over each element, without what comes out null.
    fn project_each<'a>(
        &mut self,
        elements: impl Iterator<Item = Datum<'a>>,
        right: &'a Node,
    ) -> Outcome<'a> {
        let mut projected = Vec::new();
        for element in elements {
            let value = self.known(right, &Root::Datum(element))?;
            if !value.is_null() {
                projected.push(value);
            }
        }
        self.list(projected)
    }

    fn filter<'a>(&mut self, filter: &'a FilterNode, current: &Root<'a>) -> Outcome<'a> {
        let left = self.lenient(&filter.left, current)?;
        let Some(list) = left.as_list() else {
            return Ok(Datum::Null);
        };
        let mut matching = Vec::new();
        for element in list.iter() {
            let element = Root::Datum(element);
            if self.known(&filter.condition, &element)?.is_truthy() {
                let value = self.known(&filter.right, &element)?;
                if !value.is_null() {
                    matching.push(value);
                }
            }
        }
        self.list(matching)
    }

    fn compare<'a>(
        &mut self,
        comparator: Comparator,
        left: &'a Node,
        right: &'a Node,
        current: &Root<'a>,
    ) -> Outcome<'a> {
        let left = self.known(left, current)?;
        let right = self.known(right, current)?;
        let ordered = |holds: fn(&f64, &f64) -> bool| match (left.as_f64(), right.as_f64()) {
            (Some(left), Some(right)) => Datum::Bool(holds(&left, &right)),
            _ => Datum::Null,
        };
        Ok(match comparator {
            Comparator::Equal => Datum::Bool(left.equals(&right, self.budget)?),
            Comparator::NotEqual => Datum::Bool(!left.equals(&right, self.budget)?),
            Comparator::Less => ordered(f64::lt),
            Comparator::LessOrEqual => ordered(f64::le),
            Comparator::Greater => ordered(f64::gt),
            Comparator::GreaterOrEqual => ordered(f64::ge),
        })
    }

    fn multiselect_list<'a>(&mut self, nodes: &'a [Node], current: &Root<'a>) -> Outcome<'a> {
        if is_null(current) {
            return Ok(Datum::Null);
        }
        let elements = nodes
            .iter()
            .map(|node| self.known(node, current))
            .collect::<Result<_, _>>()?;
        self.list(elements)
    }

    fn multiselect_hash<'a>(&mut self, nodes: &'a [(String, Node)], current: &Root<'a>) -> Outcome<'a> {
        if is_null(current) {
            return Ok(Datum::Null);
        }
        let mut entries = BTreeMap::new();
        for (key, node) in nodes {
            entries.insert(Text::Borrowed(key), self.known(node, current)?);
        }
        self.map(entries)
    }

    fn call<'a>(&mut self, call: &'a CallNode, current: &Root<'a>) -> Outcome<'a> {
        let Some(function) = call.function else {
            return Err(EvalError::UnknownFunction {
                name: call.name.clone(),
            });
        };
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(match argument {
                ArgumentNode::Value(node) => Argument::Datum(self.known(node, current)?),
                ArgumentNode::Expression(node) => Argument::Expression(node),
            });
        }
        let evaluator = Evaluator {
            budget: self.budget,
            environment: self.environment,
        };
        Call {
            function,
            arguments,
            node: call,
            evaluator,
        }
        .run()
    }

    /// The entries of a map, sorted by key.
    pub(crate) fn entries<'a>(&mut self, map: Map<'_, 'a>) -> Result<Vec<(Text<'a>, Datum<'a>)>, EvalError> {
        self.budget.spend(map.len() as u64)?;
        Ok(map.sorted())
    }

    /// A list that was built.
    pub(crate) fn list<'a>(&mut self, elements: Vec<Datum<'a>>) -> Outcome<'a> {
        self.budget.spend(elements.len() as u64)?;
        self.budget.allocate(size_of_val(elements.as_slice()))?;
        Ok(Datum::List(Arc::new(elements)))
    }

    /// A map that was built.
    pub(crate) fn map<'a>(&mut self, entries: BTreeMap<Text<'a>, Datum<'a>>) -> Outcome<'a> {
        self.budget.spend(entries.len() as u64)?;
        self.budget
            .allocate(entries.len() * size_of::<(Text<'_>, Datum<'_>)>())?;
        Ok(Datum::Map(Arc::new(entries)))
    }
}

fn is_null(current: &Root<'_>) -> bool {
    matches!(current, Root::Datum(datum) if datum.is_null())
}

/// The element at an index that counts from the end where it is negative; null where there is none.
fn element<'a>(datum: &Datum<'a>, index: i64) -> Datum<'a> {
    datum
        .as_list()
        .and_then(|list| list.get(position(index, list)?))
        .unwrap_or(Datum::Null)
}

fn position(index: i64, list: List<'_, '_>) -> Option<usize> {
    let length = i64::try_from(list.len()).ok()?;
    usize::try_from(if index < 0 {
        index.checked_add(length)?
    } else {
        index
    })
    .ok()
}

/// Where a slice starts or stops, within what its direction can reach.
fn bound(given: Option<i64>, length: usize, step: i64, is_start: bool) -> i64 {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    match given {
        None if is_start == (step > 0) => lowest,
        None => highest,
        Some(index) if index < 0 => index.saturating_add(length).clamp(lowest, highest),
        Some(index) => index.clamp(lowest, highest),
    }
}
