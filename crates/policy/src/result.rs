//! What an evaluation says: per rule a status, and for a failure every violation.

use std::sync::Arc;

use provost_manifest::path::FieldPath;
use serde_json::{Map, Value};

use crate::request::Key;

/// How an evaluation ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every rule is decided.
    Done(Vec<RuleResult>),
    /// Fetch these and call again; never empty.
    Needs(Vec<Key>),
}

/// The status of one rule (Kyverno's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The object is as the rule wants it.
    Pass,
    /// The object violates the rule.
    Fail,
    /// A failure of a policy that is not scored.
    Warn,
    /// A condition of the rule excludes the object.
    Skip,
    /// The rule could not be evaluated.
    Error,
}

/// What a failure does to the request (`failureAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureAction {
    /// Denies the request.
    Enforce,
    /// Lets it in, with a warning.
    Audit,
}

/// What one rule says of one request.
#[derive(Clone, Debug)]
pub struct RuleResult {
    /// The policy: its name, for a namespaced Policy `namespace/name`.
    pub policy: Arc<str>,
    /// The rule as executed, `autogen-check-registry` for a rule generated for pod controllers.
    pub rule: Arc<str>,
    /// The status.
    pub status: Status,
    /// What a failure does, after overrides.
    pub action: FailureAction,
    /// Whether an error of this rule denies (`failurePolicy: Fail`) or admits with a warning (`Ignore`).
    pub fails_closed: bool,
    /// The author's message, or what went wrong for an error; empty on pass.
    pub message: String,
    /// Every violation, for [`Status::Fail`] and [`Status::Warn`]; the most important first.
    pub violations: Vec<Violation>,
    /// Whether the rule was stopped because it took longer than its deadline; its status is an error then.
    pub overran: bool,
    /// What the rule's author wants reports to carry (`reportProperties`), with variables completed.
    pub properties: Vec<(String, String)>,
}

/// One field that is not as a rule wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Where, inside the object.
    pub path: FieldPath,
    /// What stands there.
    pub found: Found,
    /// What would be accepted.
    pub accepted: Accepted,
    /// The nearest named list element around the field, such as `container "web"`.
    pub within: Option<String>,
}

/// What was found at a violation's path.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing: the field is not there, or null.
    Missing,
    /// This value.
    Value(Value),
    /// A value that a condition worked out from the object, or from the element at the violation's path, and that
    /// stands in none of its fields.
    Computed {
        /// What was worked out, as the policy writes it.
        expression: String,
        /// What came out.
        value: Value,
    },
    /// A value that must not be shown, since it may be a secret.
    Hidden,
}

/// Of a value that was found, this much is kept, in bytes: enough for every text about it.
pub(crate) const MAX_FOUND_BYTES: usize = 1024;

/// What would be accepted at a violation's path, in words that finish the sentence "needs …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted(pub String);

// === impl Found ===

impl Found {
    /// A copy of what stands there; of what is large the beginning, and `…` for the rest. An object that violates many
    /// rules at many places would be copied as often else.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Missing,
            value => Self::Value(beginning_of(value)),
        }
    }
}

/// What stands for what was left out.
const LEFT_OUT: &str = "…";

/// A copy of a value; of what is large the beginning.
pub(crate) fn beginning_of(value: &Value) -> Value {
    beginning(value, &mut { MAX_FOUND_BYTES })
}

/// The beginning of a value, as far as there is room.
fn beginning(value: &Value, room: &mut usize) -> Value {
    *room = room.saturating_sub(1);
    match value {
        Value::String(text) => {
            let shown = text.floor_char_boundary(*room);
            let is_whole = shown == text.len();
            *room = room.saturating_sub(text.len());
            Value::from(if is_whole {
                text.clone()
            } else {
                format!("{}{LEFT_OUT}", &text[..shown])
            })
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            for item in items {
                if *room == 0 {
                    kept.push(Value::from(LEFT_OUT));
                    break;
                }
                kept.push(beginning(item, room));
            }
            Value::Array(kept)
        }
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, value) in map {
                *room = room.saturating_sub(key.len());
                if *room == 0 {
                    kept.insert(LEFT_OUT.to_owned(), Value::from(LEFT_OUT));
                    break;
                }
                kept.insert(key.clone(), beginning(value, room));
            }
            Value::Object(kept)
        }
        scalar => scalar.clone(),
    }
}

// === impl RuleResult ===

impl RuleResult {
    /// Whether this result denies the request: a failure that is enforced, or an error of an enforced rule whose
    /// policy fails closed.
    pub fn denies(&self) -> bool {
        match self.status {
            Status::Fail => self.action == FailureAction::Enforce,
            Status::Error => self.action == FailureAction::Enforce && self.fails_closed,
            Status::Pass | Status::Warn | Status::Skip => false,
        }
    }

    /// Whether this result is worth a warning though it does not deny.
    pub fn warns(&self) -> bool {
        !self.denies() && matches!(self.status, Status::Fail | Status::Warn | Status::Error)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(value: &Value) -> Value {
        match Found::of(value) {
            Found::Value(value) => value,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn what_is_small_is_kept_whole_and_of_what_is_large_the_beginning() {
        let small = json!({"a": [1, {"b": "c"}], "d": true});
        assert_eq!(found(&small), small);

        let texts = found(&json!(["é".repeat(MAX_FOUND_BYTES), "b"]));
        let shown = texts[0].as_str().unwrap();
        assert!(shown.ends_with("é…") && shown.len() <= MAX_FOUND_BYTES + LEFT_OUT.len());
        assert_eq!(texts[1], LEFT_OUT);

        let many = json!({"l": vec![0; 100_000], "m": 1});
        assert!(found(&many).to_string().len() < 3 * MAX_FOUND_BYTES);
        assert_eq!(found(&many)[LEFT_OUT], LEFT_OUT);
    }
}
