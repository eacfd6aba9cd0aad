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
