//! Label selectors, as Kubernetes has them, with wildcards in `matchLabels`.

use serde_json::{Map, Value};

use provost_manifest::wildcard::Wildcard;

/// A label selector: all its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    pub(crate) match_labels: Vec<(Wildcard, Wildcard)>,
    pub(crate) match_expressions: Vec<Requirement>,
}

/// One of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) key: String,
    pub(crate) operator: Relation,
    pub(crate) values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Whether it selects what bears these labels; none are an empty set.
    pub(crate) fn selects(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value_of = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.match_labels.iter().all(|(key, value)| {
            if let (Some(key), Some(value)) = (key.literal(), value.literal()) {
                return value_of(key) == Some(value);
            }
            let matches =
                |(k, v): (&String, &Value)| key.matches(k) && v.as_str().is_some_and(|v| value.matches(v));
            labels.is_some_and(|labels| labels.iter().any(matches))
                || value_of(&zeroed(key)).is_some_and(|found| found == zeroed(value))
        }) && self.match_expressions.iter().all(|requirement| {
            let value = value_of(&requirement.key);
            let listed = || value.is_some_and(|value| requirement.values.iter().any(|v| v == value));
            match requirement.operator {
                Relation::In => listed(),
                Relation::NotIn => !listed(),
                Relation::Exists => value.is_some(),
                Relation::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// What a wildcard that found no label is read as.
fn zeroed(wildcard: &Wildcard) -> String {
    wildcard.as_str().replace(['*', '?'], "0")
}
