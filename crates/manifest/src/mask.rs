//! The values of Secrets hidden, so that objects can be shown and compared.
//!
//! Each distinct value becomes a run of `+` of its own length: that two values differ stays visible, what they are
//! or how long they are does not. One [`Masker`] is used for everything that is shown together (rendered, live,
//! dry-run), so that equal values look equal in all of it.

use std::collections::HashMap;

use serde_json::Value;

use crate::digest::Digest;

/// The annotation in which `kubectl apply` keeps a copy of the whole object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The shortest run: too short to be taken for a value.
const SHORTEST: usize = 8;

/// Hides the values of Secrets.
#[derive(Debug, Default)]
pub struct Masker {
    /// Digests, not values: a masker may live long.
    seen: HashMap<Digest, usize>,
}

/// Whether the object is a Secret, whose values are never shown.
pub fn is_secret(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object
            .get("apiVersion")
            .and_then(Value::as_str)
            .is_none_or(|version| !version.contains('/'))
}

// === impl Masker ===

impl Masker {
    /// With nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hides the values of a Secret, of its last-applied copy, and of the Secrets in a list; leaves everything
    /// else as it is.
    pub fn mask(&mut self, object: &mut Value) {
        if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
            for item in items {
                self.mask(item);
            }
        }
        if !is_secret(object) {
            return;
        }
        for field in ["data", "stringData"] {
            if let Some(value) = object.get_mut(field) {
                self.mask_values(value);
            }
        }
        if let Some(copy) =
            object.pointer_mut("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration")
        {
            self.mask_copy(copy);
        }
    }

    /// A value that does not come as part of an object.
    pub fn mask_value(&mut self, value: &Value) -> String {
        let next = SHORTEST + self.seen.len();
        let length = *self.seen.entry(Digest::of_value(value)).or_insert(next);
        "+".repeat(length)
    }

    fn mask_values(&mut self, values: &mut Value) {
        match values {
            Value::Object(map) => {
                for value in map.values_mut().filter(|value| !value.is_null()) {
                    *value = Value::String(self.mask_value(value));
                }
            }
            Value::Null => {}
            // No Secret has such data; whatever it is, it is not shown.
            other => *other = Value::String(self.mask_value(other)),
        }
    }

    /// The copy is the object as text; where it can't be read it is hidden as a whole.
    fn mask_copy(&mut self, copy: &mut Value) {
        let object = copy
            .as_str()
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .filter(Value::is_object);
        *copy = Value::String(match object {
            Some(mut object) => {
                // The copy of a Secret is a Secret, whatever it says.
                for field in ["data", "stringData"] {
                    if let Some(values) = object.get_mut(field) {
                        self.mask_values(values);
                    }
                }
                if let Some(annotations) = object
                    .pointer_mut("/metadata/annotations")
                    .and_then(Value::as_object_mut)
                {
                    annotations.remove(LAST_APPLIED);
                }
                object.to_string()
            }
            None => self.mask_value(copy),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masked(mut object: Value) -> Value {
        Masker::new().mask(&mut object);
        object
    }

    #[test]
    fn equal_values_look_equal_and_different_ones_different() {
        let mut masker = Masker::new();
        let mut rendered =
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "b25l", "b": "dHdv", "c": null}});
        let mut live = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "b25l", "b": "dGhyZWU="}});
        masker.mask(&mut rendered);
        masker.mask(&mut live);
        assert_eq!(
            rendered["data"],
            json!({"a": "++++++++", "b": "+++++++++", "c": null})
        );
        assert_eq!(live["data"], json!({"a": "++++++++", "b": "++++++++++"}));
    }

    #[test]
    fn the_copy_in_the_annotation_is_masked_too() {
        let copy = r#"{"kind":"Secret","stringData":{"a":"hunter2"},"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}}}"#;
        for copy in [
            copy,
            "{broken hunter2",
            "\"hunter2\"",
            r#"{"data":{"a":"hunter2"}}"#,
        ] {
            let object = masked(
                json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "hunter2"},
                "metadata": {"annotations": {LAST_APPLIED: copy, "note": "kept"}}}),
            );
            assert!(!object.to_string().contains("hunter2"), "{object}");
            assert_eq!(object["metadata"]["annotations"]["note"], "kept");
        }
    }

    #[test]
    fn odd_data_is_hidden_whole() {
        for data in [
            json!("hunter2"),
            json!(["hunter2"]),
            json!({"a": {"b": "hunter2"}}),
        ] {
            let object = masked(
                json!({"kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "data": data}]}),
            );
            assert!(!object.to_string().contains("hunter2"), "{object}");
        }
    }

    #[test]
    fn other_objects_stay_as_they_are() {
        for object in [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}),
            json!({"apiVersion": "example.com/v1", "kind": "Secret", "data": {"a": "b"}}),
            json!("text"),
        ] {
            assert_eq!(masked(object.clone()), object);
        }
    }
}
