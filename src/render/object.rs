//! What makes a value an object that can be applied.

use provost_delivery::hook;
use serde_json::Value;

/// The group of what only kustomize reads: no cluster has such objects, and theirs need no name.
const KUSTOMIZE_GROUP: &str = "kustomize.config.k8s.io/";

/// What a document of a folder of manifests is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// An object that can be applied.
    Object,
    /// An object that lacks something: what. It may have been whole before, and must not be taken for a removal.
    Flawed(String),
    /// Something else, a chart's values say, that may lie beside manifests.
    Other,
}

// === impl Document ===

impl Document {
    /// By what it has of an object: with two of `apiVersion`, `kind` and `metadata`, or a name in its metadata, it is
    /// meant as one.
    pub(super) fn of(value: &Value) -> Self {
        let has = |field: &str| value.get(field).is_some_and(|value| !value.is_null());
        let metadata = value.get("metadata").filter(|metadata| metadata.is_object());
        let is_named = metadata
            .is_some_and(|metadata| metadata.get("name").is_some() || metadata.get("generateName").is_some());
        let has_some = [has("apiVersion"), has("kind"), metadata.is_some()];
        let api_version = value.get("apiVersion").and_then(Value::as_str);
        let is_kustomizes = api_version.is_some_and(|version| version.starts_with(KUSTOMIZE_GROUP));
        let is_much = has_some.iter().filter(|has| **has).count() >= 2;
        if !is_named && (is_kustomizes || !is_much) {
            return Self::Other;
        }
        flaw(value).map_or(Self::Object, Self::Flawed)
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
        // Each run of a hook makes one of its own.
        if hook::is_hook(object) {
            return None;
        }
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
    #[case(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}), Document::Object)]
    #[case(json!({"kind": "Service", "metadata": {"name": "a"}}), flawed("apiVersion is missing"))]
    #[case(json!({"apiVersion": null, "kind": "Service", "metadata": {}}), flawed("apiVersion is missing"))]
    #[case(json!({"apiVersion": "v1", "metadata": {"name": "a"}}), flawed("kind is missing"))]
    #[case(json!({"apiVersion": "v1", "kind": "Service"}), flawed("metadata.name is missing"))]
    #[case(json!({"metadata": {"name": "a"}, "spec": {}}), flawed("apiVersion is missing"))]
    #[case(json!({"apiVersion": "v2", "name": "web", "version": "1.0.0"}), Document::Other)]
    #[case(json!({"kind": "DaemonSet", "image": {"tag": "v1"}}), Document::Other)]
    #[case(json!({"metadata": {"labels": {}}, "replicas": 2}), Document::Other)]
    #[case(json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}), Document::Other)]
    #[case(json!({"replicas": 2}), Document::Other)]
    #[case(json!(["a"]), Document::Other)]
    fn tells_a_flawed_object_from_what_never_was_one(#[case] value: Value, #[case] document: Document) {
        let same = match (Document::of(&value), &document) {
            (Document::Flawed(found), Document::Flawed(wanted)) => found.contains(wanted),
            (found, wanted) => found == *wanted,
        };
        assert!(same, "{value} is {:?}", Document::of(&value));
    }

    fn flawed(reason: &str) -> Document {
        Document::Flawed(reason.to_owned())
    }

    #[rstest]
    #[case(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}), None)]
    #[case(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "a-", "annotations": {"argocd.argoproj.io/hook": "PreSync"}}}), None)]
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
