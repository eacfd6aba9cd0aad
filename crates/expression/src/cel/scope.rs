//! What an expression is evaluated over.

use std::cell::RefCell;

use serde_json::Value as Json;

use super::Variable;
use super::error::Error;
use super::evaluator::Evaluator;
use super::node::Node;
use super::value::{Key, Value};
use crate::budget::Budget;
use crate::datum::Text;

/// The object and what else is known; the variables, each worked out when it is first used.
#[derive(Debug)]
pub struct Scope<'a> {
    pub(super) object: Value<'a>,
    pub(super) old_object: Value<'a>,
    pub(super) request: Value<'a>,
    pub(super) namespace: Value<'a>,
    variables: &'a [Variable],
    worked_out: RefCell<Vec<Option<Result<Value<'a>, Error>>>>,
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// A scope of an object and the one before it. The variables are those that the program was compiled with, in
    /// the same order, and each uses only those before it.
    pub fn new(object: Option<&'a Json>, old_object: Option<&'a Json>, variables: &'a [Variable]) -> Self {
        Self {
            object: object.map_or(Value::Null, Value::Json),
            old_object: old_object.map_or(Value::Null, Value::Json),
            request: Value::Null,
            namespace: Value::Null,
            variables,
            worked_out: RefCell::new(vec![None; variables.len()]),
        }
    }

    /// The same, with the admission request.
    #[must_use]
    pub fn with_request(self, request: Value<'a>) -> Self {
        Self { request, ..self }
    }

    /// The same, with the namespace of the object.
    #[must_use]
    pub fn with_namespace(self, name: &'a str, labels: Option<&'a Json>) -> Self {
        let key = |name| Key::Text(Text::Borrowed(name));
        let mut metadata = vec![(key("name"), Value::Text(Text::Borrowed(name)))];
        metadata.extend(labels.map(|labels| (key("labels"), Value::Json(labels))));
        Self {
            namespace: Value::map(vec![(key("metadata"), Value::map(metadata))]),
            ..self
        }
    }

    pub(super) fn variable(&self, index: usize, budget: &mut Budget) -> Result<Value<'a>, Error> {
        if let Some(known) = &self.worked_out.borrow()[index] {
            return known.clone();
        }
        let value = Evaluator::new(self, budget).evaluate(self.variable_node(index));
        self.worked_out.borrow_mut()[index] = Some(value.clone());
        value
    }

    pub(super) fn variable_node(&self, index: usize) -> &'a Node {
        &self.variables[index].program.node
    }
}
