//! From a document to the objects it declares.

use serde_json::Value;

/// The document itself, or what its list holds, lists in lists included. An item of a typed list (`RoleList`) that
/// does not say what it is takes its kind from the list.
pub(super) fn flatten(document: Value, into: &mut Vec<Value>) {
    let text = |key| document.get(key).and_then(Value::as_str).map(str::to_owned);
    let (kind, api_version) = (text("kind").unwrap_or_default(), text("apiVersion"));
    let Some(item_kind) = kind.strip_suffix("List").map(str::to_owned) else {
        into.push(document);
        return;
    };
    let Value::Object(mut list) = document else { return };
    match list.remove("items") {
        Some(Value::Array(items)) => {
            for mut item in items {
                if let (Value::Object(item), false) = (&mut item, item_kind.is_empty()) {
                    item.entry("kind").or_insert_with(|| item_kind.clone().into());
                    if let Some(version) = &api_version {
                        item.entry("apiVersion").or_insert_with(|| version.clone().into());
                    }
                }
                flatten(item, into);
            }
        }
        Some(Value::Null) => {}
        // A kind of a CRD may well end in "List" and hold no items: then it is an object like any other.
        None if item_kind.is_empty() => {}
        None => into.push(Value::Object(list)),
        Some(other) => {
            list.insert("items".to_owned(), other);
            into.push(Value::Object(list));
        }
    }
}

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

    fn flat(document: Value) -> Vec<Value> {
        let mut objects = Vec::new();
        flatten(document, &mut objects);
        objects
    }

    #[test]
    fn lists_are_flattened_at_any_depth() {
        let inner = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "A"}]});
        let outer = json!({"apiVersion": "v1", "kind": "List", "items": [inner, {"kind": "B"}]});
        assert_eq!(flat(outer), [json!({"kind": "A"}), json!({"kind": "B"})]);
    }

    #[test]
    fn items_of_a_typed_list_take_their_kind_from_it() {
        let list = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleList", "items": [{"rules": []}]});
        assert_eq!(
            flat(list),
            [json!({"rules": [], "kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1"})]
        );
    }

    #[rstest]
    #[case(json!({"kind": "List", "apiVersion": "v1", "items": null}), 0)]
    #[case(json!({"kind": "List", "apiVersion": "v1"}), 0)]
    #[case(json!({"kind": "AllowList", "apiVersion": "example.com/v1", "spec": {}}), 1)]
    fn empty_lists_hold_nothing_and_kinds_may_end_in_list(#[case] document: Value, #[case] objects: usize) {
        assert_eq!(flat(document).len(), objects);
    }

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
