//! Label selectors, as Kubernetes has them, with wildcards in `matchLabels`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::values::wildcard_match;

/// A label selector: all its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    pub(crate) match_labels: Vec<(String, String)>,
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
            if has_wildcard(key) || has_wildcard(value) {
                labels.is_some_and(|labels| {
                    labels
                        .iter()
                        .any(|(k, v)| wildcard_match(key, k) && v.as_str().is_some_and(|v| wildcard_match(value, v)))
                }) || value_of(&plain(key)) == Some(&plain(value))
            } else {
                value_of(key) == Some(value)
            }
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

pub(crate) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// A wildcard that found no label is read as this text.
fn plain(text: &str) -> Cow<'_, str> {
    if has_wildcard(text) {
        Cow::Owned(text.replace(['*', '?'], "0"))
    } else {
        Cow::Borrowed(text)
    }
}
