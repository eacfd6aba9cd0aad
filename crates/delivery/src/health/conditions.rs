//! Conditions, as nearly every kind has them in its status.

use serde_json::Value;

use super::{Health, Status, behind, items};

/// One condition.
#[derive(Clone, Copy)]
pub(super) struct Condition<'v> {
    pub(super) kind: &'v str,
    pub(super) status: &'v str,
    pub(super) reason: &'v str,
    pub(super) message: &'v str,
    /// The generation it speaks of, where it says so itself.
    pub(super) observed_generation: Option<i64>,
}

/// All conditions of an object.
pub(super) fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    items(object, "/status/conditions").iter().map(Condition::of)
}

/// The conditions in a part of a status (a listener's, a parent's).
pub(super) fn conditions_of(part: &Value) -> impl Iterator<Item = Condition<'_>> {
    items(part, "/conditions").iter().map(Condition::of)
}

/// The condition of that type.
pub(super) fn condition<'v>(object: &'v Value, kind: &str) -> Option<Condition<'v>> {
    conditions(object).find(|condition| condition.kind == kind)
}

/// For kinds that nobody told us about: what their conditions say in the words that most controllers share. Where
/// there is nothing to go by, the object is as it should be: being there is all that is asked of a ConfigMap.
pub(super) fn by_conditions(object: &Value) -> Health {
    // Only those who note a generation at all can be behind it.
    if object.pointer("/status/observedGeneration").is_some() && super::is_behind(object) {
        return behind();
    }
    let is_true = |kind| condition(object, kind).filter(Condition::is_true);
    if let Some(busy) = is_true("Reconciling") {
        return Health::progressing(busy.words());
    }
    if let Some(failed) = ["Stalled", "Failed", "Degraded"].into_iter().find_map(is_true) {
        return Health::degraded(failed.words());
    }
    match condition(object, "Ready").or_else(|| condition(object, "Available")) {
        Some(ready) if !ready.is_true() => Health::progressing(ready.words()),
        Some(ready) => Health::new(Status::Healthy, ready.words()),
        None => Health::healthy(),
    }
}

// === impl Condition ===

impl<'v> Condition<'v> {
    fn of(value: &'v Value) -> Self {
        let text = |key| value.get(key).and_then(Value::as_str).unwrap_or_default();
        Self {
            kind: text("type"),
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
            observed_generation: value["observedGeneration"].as_i64(),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }

    pub(super) fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// What it says: the reason by which people search, and the controller's own words.
    pub(super) fn words(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => format!("{} is {}", self.kind, self.status),
            (reason, "") => format!("{} is {}: {reason}", self.kind, self.status),
            ("", message) => message.to_owned(),
            (reason, message) if message.contains(reason) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}
