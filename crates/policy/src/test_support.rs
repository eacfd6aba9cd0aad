//! What several tests need.

use proptest::prelude::*;
use serde_json::{Value, json};

/// JSON as hostile as small can be: keys and texts that mean something to patterns among them.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("a".to_owned()),
        Just("(a)".to_owned()),
        Just("=(a)".to_owned()),
        Just("X(b)".to_owned()),
        Just("^(b)".to_owned()),
        Just("<(a)".to_owned()),
        Just("b".to_owned()),
        Just("metadata".to_owned()),
        Just("labels".to_owned()),
        "[a-z*?|&!<>=0-9.-]{0,6}",
        ".{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        any::<f64>().prop_map(|float| json!(float)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

use jiff::Timestamp;
use provost_manifest::object::GroupVersionKind;
use provost_manifest::yaml;

use crate::request::{Inputs, Operation, Request};
use crate::result::{Outcome, RuleResult, Status};
use crate::{Policy, PolicySet, evaluate};

/// The seed's three policies.
pub(crate) const SEED: [(&str, &str); 3] = [
    (
        "policies/require-approved-registry.yaml",
        include_str!("../../../policies/require-approved-registry.yaml"),
    ),
    (
        "policies/require-labels.yaml",
        include_str!("../../../policies/require-labels.yaml"),
    ),
    (
        "policies/require-resource-limits.yaml",
        include_str!("../../../policies/require-resource-limits.yaml"),
    ),
];

/// A set of the policies in a stream, which must be good.
pub(crate) fn set(policies: &str) -> PolicySet {
    let parsed = Policy::parse(policies, "policies.yaml");
    assert_eq!(parsed.faults, [], "the policies must be good");
    let (set, faults) = PolicySet::compile(parsed.policies);
    assert_eq!(faults, []);
    set
}

pub(crate) fn seed() -> PolicySet {
    set(&SEED.map(|(_, text)| text).join("---\n"))
}

/// An object, written as YAML.
pub(crate) fn object(text: &str) -> Value {
    yaml::parse_one(text).unwrap().value
}

/// Calls `then` with the request that would create `object`.
pub(crate) fn creating<T>(object: &Value, then: impl FnOnce(&Request<'_>) -> T) -> T {
    let kind = GroupVersionKind::of(object).unwrap();
    let metadata = |key: &str| object["metadata"][key].as_str().unwrap_or("");
    then(&Request {
        operation: Operation::Create,
        kind: &kind,
        subresource: "",
        namespace: metadata("namespace"),
        name: metadata("name"),
        object: Some(object),
        old_object: None,
        user: None,
        dry_run: false,
        review: None,
    })
}

pub(crate) fn done(set: &PolicySet, request: &Request<'_>, inputs: &Inputs) -> Vec<RuleResult> {
    match evaluate(set, request, inputs, Timestamp::UNIX_EPOCH, 0) {
        Outcome::Done(results) => results,
        Outcome::Needs(keys) => unreachable!("needs {keys:?}"),
    }
}

/// Rule and status of each result, for an object that is created.
pub(crate) fn statuses(set: &PolicySet, object: &Value) -> Vec<(String, Status)> {
    creating(object, |request| {
        let results = done(set, request, &Inputs::new());
        results
            .into_iter()
            .map(|result| (result.rule.to_string(), result.status))
            .collect()
    })
}
