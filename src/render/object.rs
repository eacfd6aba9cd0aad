//! What makes a value an object that can be applied.

use serde_json::Value;

/// Why a value is no object that can be applied, or `None` where it is one.
pub(super) fn flaw(object: &Value) -> Option<String> {
    let Some(fields) = object.as_object() else {
        return Some(
            "this is not a Kubernetes object: a map with apiVersion, kind and metadata is wanted".into(),
        );
    };
    let has = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    for field in ["apiVersion", "kind"] {
        if !has(fields.get(field)) {
            return Some(format!("this is not a Kubernetes object: {field} is missing"));
        }
    }
    let metadata = fields.get("metadata");
    if has(metadata.and_then(|metadata| metadata.get("name"))) {
        return None;
    }
    if has(metadata.and_then(|metadata| metadata.get("generateName"))) {
        return Some("metadata.generateName is not supported: what Git declares needs a name".into());
    }
    Some("metadata.name is missing".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}), None)]
    #[case(json!({"kind": "Service", "metadata": {"name": "a"}}), Some("apiVersion is missing"))]
    #[case(json!({"apiVersion": "v1", "kind": "Job", "metadata": {"generateName": "a-"}}), Some("metadata.generateName"))]
    #[case(json!({"apiVersion": "v1", "kind": "Job"}), Some("metadata.name is missing"))]
    #[case(json!(["a"]), Some("not a Kubernetes object"))]
    fn says_what_an_object_lacks(#[case] object: Value, #[case] reason: Option<&str>) {
        match (flaw(&object), reason) {
            (Some(flaw), Some(reason)) => assert!(flaw.contains(reason), "{flaw}"),
            (flaw, reason) => assert_eq!(flaw.as_deref(), reason),
        }
    }
}
