//! Evaluates nodes, a step of the budget for each.

use std::cmp::Ordering;

use super::error::Error;
use super::library;
use super::node::{Entry, Flat, Index, Macro, MacroKind, Node, Operator, Root, Select};
use super::scope::Scope;
use super::value::{Key, Value, View};
use crate::budget::Budget;

/// One evaluation of one expression.
pub(super) struct Evaluator<'e, 'a> {
    pub(super) scope: &'e Scope<'a>,
    pub(super) budget: &'e mut Budget,
    /// The variables of the macros around.
    pub(super) locals: Vec<Value<'a>>,
}

/// The values of a loop's variables, for one element.
pub(super) struct Item<'a> {
    /// The index or key, where the loop has two variables.
    first: Option<Value<'a>>,
    pub(super) value: Value<'a>,
}

type Outcome<'a> = Result<Value<'a>, Error>;

impl<'e, 'a> Evaluator<'e, 'a> {
    pub(super) fn new(scope: &'e Scope<'a>, budget: &'e mut Budget) -> Self {
        Self {
            scope,
            budget,
            locals: Vec::new(),
        }
    }

    pub(super) fn evaluate(&mut self, node: &'a Node) -> Outcome<'a> {
        self.budget.step()?;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Root(root) => Ok(self.root(*root)),
            Node::Variable(index) => self.scope.variable(*index, self.budget),
            Node::Local(depth) => Ok(self.locals[*depth].clone()),
            Node::Select(select) => self.select(select),
            Node::Has(operand, field) => match self.evaluate(operand)? {
                Value::Optional(inner) => Ok(Value::Bool(
                    inner.is_some_and(|inner| inner.field(field).is_some()),
                )),
                value => Ok(Value::Bool(value.field(field).is_some())),
            },
            Node::Index(index) => self.index(index),
            Node::Not(operand) => match self.evaluate(operand)? {
                value if value.as_bool().is_some() => Ok(Value::Bool(value.as_bool() == Some(false))),
                other => Err(no_overload("!_", &[&other])),
            },
            Node::Negate(operand) => match self.evaluate(operand)?.view() {
                View::Int(value) => value.checked_neg().map(Value::Int).ok_or(Error::Overflow),
                View::Double(value) => Ok(Value::Double(-value)),
                View::Other(Value::Duration(value)) => library::negate(*value)
                    .map(Value::Duration)
                    .ok_or(Error::Overflow),
                _ => Err(Error::NoSuchOverload {
                    operation: "-_",
                    types: String::new(),
                }),
            },
            Node::And(operands) => self.logic(operands, false),
            Node::Or(operands) => self.logic(operands, true),
            Node::Conditional(parts) => {
                let [condition, then, other] = &**parts;
                let decided = self.evaluate(condition)?;
                match decided.as_bool() {
                    Some(true) => self.evaluate(then),
                    Some(false) => self.evaluate(other),
                    None => Err(no_overload("_?_:_", &[&decided])),
                }
            }
            Node::Binary(operator, operands) => {
                let left = self.evaluate(&operands[0])?;
                let right = self.evaluate(&operands[1])?;
                self.binary(*operator, &left, &right)
            }
            Node::List(elements) => {
                let mut values = Vec::with_capacity(elements.len());
                for element in elements {
                    let value = self.evaluate(&element.node)?;
                    values.extend(present(value, element.optional)?);
                }
                self.list(values)
            }
            Node::Map(entries) => self.map(entries),
            Node::Macro(parts) => self.run_macro(parts),
            Node::Bind(parts) => {
                let value = self.evaluate(&parts[0])?;
                self.with(value, &parts[1])
            }
            Node::OptionalMap(parts, flat) => match self.evaluate(&parts[0])? {
                Value::Optional(None) => Ok(Value::NONE),
                Value::Optional(Some(inner)) => {
                    let mapped = self.with((*inner).clone(), &parts[1])?;
                    match (flat, mapped) {
                        (Flat::No, mapped) => Ok(Value::some(mapped)),
                        (Flat::Yes, mapped @ Value::Optional(_)) => Ok(mapped),
                        (Flat::Yes, other) => Err(no_overload("optFlatMap", &[&other])),
                    }
                }
                other => Err(no_overload("optMap", &[&other])),
            },
            Node::Fallback(parts, flat) => match (self.evaluate(&parts[0])?, flat) {
                (Value::Optional(None), _) => self.evaluate(&parts[1]),
                (Value::Optional(Some(inner)), Flat::No) => Ok((*inner).clone()),
                // Also a value that is no optional is there, as Kubernetes has it.
                (value, _) => Ok(value),
            },
            Node::Call(function, nodes) => {
                let mut arguments = Vec::with_capacity(nodes.len());
                for node in nodes {
                    arguments.push(self.evaluate(node)?);
                }
                function.call(&arguments, self.budget)
            }
        }
    }

    fn root(&self, root: Root) -> Value<'a> {
        match root {
            Root::Object => self.scope.object.clone(),
            Root::OldObject => self.scope.old_object.clone(),
            Root::Request => self.scope.request.clone(),
            Root::NamespaceObject => self.scope.namespace.clone(),
        }
    }

    /// Evaluates a node that sees one more variable.
    fn with(&mut self, value: Value<'a>, body: &'a Node) -> Outcome<'a> {
        self.locals.push(value);
        let result = self.evaluate(body);
        self.locals.pop();
        result
    }

    /// Evaluates the body of a loop for one element.
    pub(super) fn with_item(&mut self, item: &Item<'a>, body: &'a Node) -> Outcome<'a> {
        let outside = self.locals.len();
        self.enter(item);
        let result = self.evaluate(body);
        self.locals.truncate(outside);
        result
    }

    /// Makes the variables of a loop visible.
    pub(super) fn enter(&mut self, item: &Item<'a>) {
        self.locals.extend(item.first.clone());
        self.locals.push(item.value.clone());
    }

    fn select(&mut self, select: &'a Select) -> Outcome<'a> {
        let operand = self.evaluate(&select.operand)?;
        let field = |value: &Value<'a>| value.field(&select.field).map_or(Value::NONE, Value::some);
        match operand {
            Value::Optional(None) => Ok(Value::NONE),
            Value::Optional(Some(inner)) => Ok(field(&inner)),
            operand if select.optional => Ok(field(&operand)),
            operand => match operand.view() {
                View::Map(map) => map
                    .get(&select.field)
                    .ok_or_else(|| Error::NoSuchKey(select.field.clone())),
                View::Null => Err(Error::NoSuchKey(select.field.clone())),
                _ => Err(no_overload("_._", &[&operand])),
            },
        }
    }

    fn index(&mut self, index: &'a Index) -> Outcome<'a> {
        let operand = self.evaluate(&index.operand)?;
        let at = self.evaluate(&index.key)?;
        let optional = |found: Outcome<'a>| match found {
            Ok(value) => Ok(Value::some(value)),
            Err(error) if error.is_final() => Err(error),
            Err(_) => Ok(Value::NONE),
        };
        match operand {
            Value::Optional(None) => Ok(Value::NONE),
            Value::Optional(Some(inner)) => optional(element(&inner, &at)),
            operand if index.optional => optional(element(&operand, &at)),
            operand => element(&operand, &at),
        }
    }

    /// `&&` and `||`: one operand that decides does so whatever errors the others are.
    fn logic(&mut self, operands: &'a [Node], decides: bool) -> Outcome<'a> {
        let mut error = None;
        for operand in operands {
            match self.truth(operand) {
                Ok(value) if value == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(stop) if stop.is_final() => return Err(stop),
                Err(first) => error = error.or(Some(first)),
            }
        }
        error.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn truth(&mut self, node: &'a Node) -> Result<bool, Error> {
        let value = self.evaluate(node)?;
        value.as_bool().ok_or_else(|| no_overload("_&&_", &[&value]))
    }

    fn binary(&mut self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        let ordered = |holds: fn(Ordering) -> bool| match left.order(right) {
            Some(order) => Ok(Value::Bool(order.is_some_and(holds))),
            None => Err(no_overload(operator.name(), &[left, right])),
        };
        match operator {
            Operator::Equal => left.equals(right, self.budget).map(Value::Bool),
            Operator::NotEqual => left.equals(right, self.budget).map(|equal| Value::Bool(!equal)),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessOrEqual => ordered(Ordering::is_le),
            Operator::Greater => ordered(Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(Ordering::is_ge),
            Operator::In => match right.view() {
                View::List(list) => {
                    for item in list.iter() {
                        if left.equals(&item, self.budget)? {
                            return Ok(Value::Bool(true));
                        }
                    }
                    Ok(Value::Bool(false))
                }
                View::Map(map) => Ok(Value::Bool(left.key().is_some_and(|key| map.at(&key).is_some()))),
                _ => Err(no_overload(operator.name(), &[left, right])),
            },
            _ => library::arithmetic(operator, left, right, self.budget),
        }
    }

    fn list(&mut self, values: Vec<Value<'a>>) -> Outcome<'a> {
        self.budget.allocate(values.len() * size_of::<Value<'_>>())?;
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Outcome<'a> {
        let mut made = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = self.evaluate(&entry.key)?;
            let value = self.evaluate(&entry.value)?;
            if let Some(value) = present(value, entry.optional)? {
                made.push((key.key().ok_or_else(|| no_overload("{_:_}", &[&key]))?, value));
            }
        }
        self.finish_map(made)
    }

    fn finish_map(&mut self, entries: Vec<(Key<'a>, Value<'a>)>) -> Outcome<'a> {
        self.budget
            .allocate(entries.len() * size_of::<(Key<'_>, Value<'_>)>())?;
        let count = entries.len();
        match Value::map(entries) {
            Value::Map(made) if made.len() < count => Err(Error::RepeatedKey),
            made => Ok(made),
        }
    }

    /// What a loop goes over.
    pub(super) fn items(&mut self, parts: &'a Macro) -> Result<Vec<Item<'a>>, Error> {
        let range = self.evaluate(&parts.range)?;
        match range.view() {
            View::Map(map) => {
                self.budget.allocate(map.len() * size_of::<Item<'_>>())?;
                let item = |(key, value)| match Value::from(key) {
                    key if parts.two => Item {
                        first: Some(key),
                        value,
                    },
                    key => Item {
                        first: None,
                        value: key,
                    },
                };
                Ok(map.entries().map(item).collect())
            }
            View::List(list) => {
                self.budget.allocate(list.len() * size_of::<Item<'_>>())?;
                let position = |index| Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                let item = |(index, value)| Item {
                    first: parts.two.then(|| position(index)),
                    value,
                };
                Ok(list.iter().enumerate().map(item).collect())
            }
            _ => Err(no_overload("a loop", &[&range])),
        }
    }

    fn run_macro(&mut self, parts: &'a Macro) -> Outcome<'a> {
        let items = self.items(parts)?;
        match parts.kind {
            MacroKind::All => self.any(parts, &items, false),
            MacroKind::Exists => self.any(parts, &items, true),
            MacroKind::ExistsOne => {
                let mut count = 0;
                for item in &items {
                    count += usize::from(self.holds(parts, item)?);
                }
                Ok(Value::Bool(count == 1))
            }
            MacroKind::List => {
                let mut made = Vec::new();
                for item in &items {
                    if self.holds(parts, item)? {
                        made.push(self.transformed(parts, item)?);
                    }
                }
                self.list(made)
            }
            MacroKind::Map => {
                let mut made = Vec::new();
                for item in &items {
                    if self.holds(parts, item)? {
                        let key = item
                            .first
                            .as_ref()
                            .and_then(Value::key)
                            .ok_or(Error::RepeatedKey)?;
                        made.push((key, self.transformed(parts, item)?));
                    }
                }
                self.finish_map(made)
            }
        }
    }

    /// `all` and `exists`: an element that decides does so whatever errors the others are.
    fn any(&mut self, parts: &'a Macro, items: &[Item<'a>], decides: bool) -> Outcome<'a> {
        let mut error = None;
        for item in items {
            match self.holds(parts, item) {
                Ok(value) if value == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(stop) if stop.is_final() => return Err(stop),
                Err(first) => error = error.or(Some(first)),
            }
        }
        error.map_or(Ok(Value::Bool(!decides)), Err)
    }

    /// Whether the condition of a loop holds for an element.
    fn holds(&mut self, parts: &'a Macro, item: &Item<'a>) -> Result<bool, Error> {
        let Some(filter) = &parts.filter else {
            return Ok(true);
        };
        let value = self.with_item(item, filter)?;
        value
            .as_bool()
            .ok_or_else(|| no_overload("a loop's condition", &[&value]))
    }

    fn transformed(&mut self, parts: &'a Macro, item: &Item<'a>) -> Outcome<'a> {
        match &parts.transform {
            Some(transform) => self.with_item(item, transform),
            None => Ok(item.value.clone()),
        }
    }
}

/// The element of a list or the value of a map.
fn element<'a>(operand: &Value<'a>, at: &Value<'a>) -> Outcome<'a> {
    match operand.view() {
        View::List(list) => {
            let Some(Key::Int(index)) = at.key() else {
                return Err(no_overload("_[_]", &[operand, at]));
            };
            let found = usize::try_from(index).ok().and_then(|index| list.get(index));
            found.ok_or(Error::OutOfBounds(index))
        }
        View::Map(map) => {
            let key = at.key().ok_or_else(|| no_overload("_[_]", &[operand, at]))?;
            map.at(&key).ok_or_else(|| Error::NoSuchKey(library::shown(at)))
        }
        _ => Err(no_overload("_[_]", &[operand, at])),
    }
}

/// The value, where it is there: an entry that may be missing is given as an optional.
fn present(value: Value<'_>, optional: bool) -> Result<Option<Value<'_>>, Error> {
    match value {
        Value::Optional(inner) if optional => Ok(inner.map(|inner| (*inner).clone())),
        other if optional => Err(no_overload("?_", &[&other])),
        value => Ok(Some(value)),
    }
}

/// An operation that takes no values of these types.
pub(super) fn no_overload(operation: &'static str, values: &[&Value<'_>]) -> Error {
    let types: Vec<&str> = values.iter().map(|value| value.type_name()).collect();
    Error::NoSuchOverload {
        operation,
        types: types.join(", "),
    }
}
