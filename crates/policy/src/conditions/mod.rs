//! Conditions: `preconditions`, `deny.conditions`, and those of exceptions.

mod compare;
mod membership;
mod order;

use std::borrow::Cow;

use provost_expression::{Budget, EvalError};
use serde_json::Value;

use crate::context::View;
use crate::matching::Halt;
use crate::template::{Template, TextTemplate};
use crate::violations::is_secret_kind;

/// Conditions joined by "any" and "all".
#[derive(Debug)]
pub(crate) struct Conditions {
    /// One must be true; none can be, of an empty list. `None` where nothing of the kind is asked.
    pub(crate) any: Option<Vec<Condition>>,
    /// All must be true.
    pub(crate) all: Vec<Condition>,
}

/// A comparison of two values.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) key: Template,
    pub(crate) operator: Operator,
    pub(crate) value: Template,
    pub(crate) message: Option<TextTemplate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equals,
    NotEquals,
    In,
    NotIn,
    AnyIn,
    AllIn,
    AnyNotIn,
    AllNotIn,
    GreaterThan,
    GreaterThanOrEquals,
    LessThan,
    LessThanOrEquals,
    DurationGreaterThan,
    DurationGreaterThanOrEquals,
    DurationLessThan,
    DurationLessThanOrEquals,
}

/// Every operator by its names.
pub(crate) const OPERATORS: [(&str, Operator); 18] = [
    ("Equals", Operator::Equals),
    ("Equal", Operator::Equals),
    ("NotEquals", Operator::NotEquals),
    ("NotEqual", Operator::NotEquals),
    ("AnyIn", Operator::AnyIn),
    ("AllIn", Operator::AllIn),
    ("AnyNotIn", Operator::AnyNotIn),
    ("AllNotIn", Operator::AllNotIn),
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("GreaterThan", Operator::GreaterThan),
    ("GreaterThanOrEquals", Operator::GreaterThanOrEquals),
    ("LessThan", Operator::LessThan),
    ("LessThanOrEquals", Operator::LessThanOrEquals),
    ("DurationGreaterThan", Operator::DurationGreaterThan),
    (
        "DurationGreaterThanOrEquals",
        Operator::DurationGreaterThanOrEquals,
    ),
    ("DurationLessThan", Operator::DurationLessThan),
    ("DurationLessThanOrEquals", Operator::DurationLessThanOrEquals),
];

/// How conditions came out, and which of them decided.
pub(crate) struct Decision<'c> {
    pub(crate) holds: bool,
    /// The conditions that were true.
    pub(crate) held: Vec<Held<'c>>,
}

/// A condition that was true, and what was compared.
pub(crate) struct Held<'c> {
    pub(crate) condition: &'c Condition,
    pub(crate) key: Cow<'c, Value>,
    pub(crate) value: Cow<'c, Value>,
}

// === impl Conditions ===

impl Conditions {
    /// `any` is looked at first, up to its first true condition; then `all`, up to its first false one.
    pub(crate) fn decide<'c>(&'c self, view: &View<'_>, budget: &mut Budget) -> Result<Decision<'c>, Halt> {
        let mut held = Vec::new();
        let mut any_holds = self.any.is_none();
        for condition in self.any.iter().flatten() {
            if let Some(true_one) = condition.decide(view, budget)? {
                held.push(true_one);
                any_holds = true;
                break;
            }
        }
        let mut all_hold = true;
        for condition in &self.all {
            let Some(true_one) = condition.decide(view, budget)? else {
                all_hold = false;
                break;
            };
            held.push(true_one);
        }
        Ok(Decision {
            holds: any_holds && all_hold,
            held,
        })
    }

    /// Every condition that is true, also those that the decision did not need; what cannot be decided is left out.
    pub(crate) fn held<'c>(&'c self, view: &View<'_>, budget: &mut Budget) -> Vec<Held<'c>> {
        let all = self.any.iter().flatten().chain(&self.all);
        all.filter_map(|condition| condition.decide(view, budget).ok().flatten())
            .collect()
    }
}

// === impl Condition ===

impl Condition {
    /// Whether it would be true of this key.
    pub(crate) fn holds(&self, key: &Value, value: &Value, budget: &mut Budget) -> Result<bool, EvalError> {
        compare::holds(self.operator, key, value, budget)
    }

    /// What was compared, where the comparison is true.
    pub(crate) fn decide(&self, view: &View<'_>, budget: &mut Budget) -> Result<Option<Held<'_>>, Halt> {
        let key = operand(&self.key, view, budget)?;
        let value = operand(&self.value, view, budget)?;
        let holds = compare::holds(self.operator, &key, &value, budget);
        let holds = holds.map_err(|error| view.halt(&error))?;
        Ok(holds.then_some(Held {
            condition: self,
            key,
            value,
        }))
    }
}

// === impl Held ===

impl Held<'_> {
    /// What its author says about it; nothing where that cannot be completed, or would tell of a Secret.
    pub(crate) fn message(&self, view: &View<'_>, budget: &mut Budget) -> Option<String> {
        let message = self.condition.message.as_ref()?;
        if message.has_variables() && is_secret_kind(view.shared().request.kind) {
            return None;
        }
        let text = message.text(view, budget).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

/// A side of a comparison; what has no variables is not copied.
fn operand<'t>(template: &'t Template, view: &View<'_>, budget: &mut Budget) -> Result<Cow<'t, Value>, Halt> {
    match template.as_static() {
        Some(value) => Ok(Cow::Borrowed(value)),
        None => template.complete(view, budget).map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests;
