//! Whose an object is: one label, by which everything of an Application is found and watched, and an annotation
//! for people. Neither changes from commit to commit, so that a sync of what is in order writes nothing.

use provost_manifest::digest::Digest;
use serde_json::{Map, Value};

/// Label with the owner's digest.
pub const LABEL: &str = "provost.dev/owner";
/// Annotation with the owner's name, `namespace/name` of the Application.
pub const ANNOTATION: &str = "provost.dev/application";

/// Characters of the digest in the label; a label's value has 63 at most.
const LENGTH: usize = 40;

/// The owner of what an Application applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    application: String,
    label: String,
}

/// An object that cannot carry the owner's mark.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a map, so that the object cannot be marked as ours")]
pub struct MarkError(&'static str);

// === impl Owner ===

impl Owner {
    /// The owner named `namespace/name`.
    pub fn of_application(namespace: &str, name: &str) -> Self {
        let application = format!("{namespace}/{name}");
        let mut label = Digest::of_bytes(application.as_bytes()).to_string();
        label.truncate(LENGTH);
        Self { application, label }
    }

    /// The label's value.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What everything of this owner's is listed and watched by.
    pub fn selector(&self) -> String {
        format!("{LABEL}={}", self.label)
    }

    /// Marks a rendered object as this owner's.
    pub fn mark(&self, object: &mut Value) -> Result<(), MarkError> {
        let metadata = entry(object, "metadata").ok_or(MarkError("metadata"))?;
        for (map, key, value) in [
            ("labels", LABEL, &self.label),
            ("annotations", ANNOTATION, &self.application),
        ] {
            let entries = entry(metadata, map)
                .and_then(Value::as_object_mut)
                .ok_or(MarkError(map))?;
            entries.insert(key.to_owned(), Value::from(value.as_str()));
        }
        Ok(())
    }

    /// Whether a live object carries this owner's label.
    pub fn owns(&self, live: &Value) -> bool {
        live["metadata"]["labels"][LABEL] == self.label.as_str()
    }
}

/// A map inside a map, made where there is none.
fn entry<'v>(value: &'v mut Value, key: &'static str) -> Option<&'v mut Value> {
    let entry = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Map::new());
    }
    entry.is_object().then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_and_knows_its_own() {
        let owner = Owner::of_application("argocd", "my-app");
        for metadata in [
            json!(null),
            json!({"name": "a"}),
            json!({"labels": null, "annotations": {"a": "b"}}),
        ] {
            let mut object = json!({"metadata": metadata});
            assert!(!owner.owns(&object));
            owner.mark(&mut object).unwrap();
            assert!(owner.owns(&object), "{object}");
            assert_eq!(object["metadata"]["annotations"][ANNOTATION], "argocd/my-app");
            let marked = object.clone();
            owner.mark(&mut object).unwrap();
            assert_eq!(object, marked);
            assert!(!Owner::of_application("argocd", "other").owns(&object));
        }
        assert_eq!(
            owner.mark(&mut json!({"metadata": {"labels": []}})),
            Err(MarkError("labels"))
        );
        assert_eq!(owner.mark(&mut json!([])), Err(MarkError("metadata")));
    }
}
