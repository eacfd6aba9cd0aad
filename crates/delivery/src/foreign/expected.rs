//! What is on live objects without anybody having put it there against Git: fields that the server and its
//! controllers write, and values that the server would write by itself.
//!
//! Both go by place ([`super::tables`]), never by a manager's name: a name can be borrowed.

use provost_manifest::object::GroupVersionKind;
use provost_manifest::path::{FieldPath, Segment};
use serde_json::{Value, json};

use super::tables::{BY_CONTROLLERS, CONTAINER_DEFAULTS, DEFAULTS, POD_DEFAULTS};

/// Where the service account's token is mounted.
const TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What is expected on a live object.
pub(super) struct Expected<'v> {
    kind: String,
    rendered: &'v Value,
    live: &'v Value,
    /// Where the specification of a pod is in objects of this kind.
    pod: Option<&'static str>,
}

// === impl Expected ===

impl<'v> Expected<'v> {
    pub(super) fn of(kind: &GroupVersionKind, rendered: &'v Value, live: &'v Value) -> Self {
        Self {
            kind: kind.kind.clone(),
            rendered,
            live,
            pod: pod_place(kind),
        }
    }

    /// Whether the server or a controller writes here.
    pub(super) fn is_by_controller(&self, path: &FieldPath, value: &Value) -> bool {
        BY_CONTROLLERS
            .iter()
            .any(|(kinds, place, _)| self.is_of(kinds) && matches(place, path.segments()))
            || self.is_aggregated_rules(path)
            || self.is_token(path, value)
            || self.is_default_toleration(path, value)
    }

    /// Whether the server would put this value here by itself.
    pub(super) fn is_default(&self, path: &FieldPath, value: &Value) -> bool {
        let is = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|default| default == *value);
        let segments = path.segments();
        DEFAULTS
            .iter()
            .any(|(kinds, place, default)| self.is_of(kinds) && matches(place, segments) && is(default))
            || self.in_pod(path).is_some_and(|in_pod| {
                POD_DEFAULTS
                    .iter()
                    .any(|(place, default)| matches(place, in_pod) && is(default))
            })
            || in_container(self.in_pod(path)).is_some_and(|in_container| {
                CONTAINER_DEFAULTS
                    .iter()
                    .any(|(place, default)| matches(place, in_container) && is(default))
            })
            || self
                .computed_default(path)
                .is_some_and(|default| default == *value)
    }

    /// The older name of a field, by which the server knows it too.
    pub(super) fn older_name(&self, path: &FieldPath) -> Option<FieldPath> {
        let is_account = matches("serviceAccountName", self.in_pod(path)?);
        is_account.then(|| Some(path.parent()?.key("serviceAccount")))?
    }

    /// Defaults that depend on the fields around them.
    fn computed_default(&self, path: &FieldPath) -> Option<Value> {
        let segments = path.segments();
        let around = path.parent()?;
        let sibling = |key: &str| around.get(self.live).and_then(|around| around.get(key));
        match self.kind.as_str() {
            "Service" if matches("spec ports * targetPort", segments) => sibling("port").cloned(),
            "NetworkPolicy" if matches("spec policyTypes", segments) => {
                let has_egress = sibling("egress")
                    .and_then(Value::as_array)
                    .is_some_and(|rules| !rules.is_empty());
                Some(if has_egress {
                    json!(["Ingress", "Egress"])
                } else {
                    json!(["Ingress"])
                })
            }
            "CustomResourceDefinition" if matches("spec names listKind", segments) => {
                Some(json!(format!("{}List", sibling("kind")?.as_str()?)))
            }
            "CustomResourceDefinition" if matches("spec names singular", segments) => {
                Some(json!(sibling("kind")?.as_str()?.to_lowercase()))
            }
            // The older name of serviceAccountName, which the server keeps equal: both come from Git or neither.
            _ if self
                .in_pod(path)
                .is_some_and(|place| matches("serviceAccount", place)) =>
            {
                around.get(self.rendered)?.get("serviceAccountName").cloned()
            }
            _ if in_container(self.in_pod(path)).is_some_and(|place| matches("imagePullPolicy", place)) => {
                Some(json!(default_pull_policy(sibling("image")?.as_str()?)))
            }
            _ => None,
        }
    }

    fn is_of(&self, kinds: &str) -> bool {
        kinds == "*" || kinds.split(' ').any(|kind| kind == self.kind)
    }

    /// The path's steps inside the specification of the pod.
    fn in_pod<'p>(&self, path: &'p FieldPath) -> Option<&'p [Segment]> {
        let place = self.pod?;
        let (head, tail) = path.segments().split_at_checked(place.split(' ').count())?;
        matches(place, head).then_some(tail)
    }

    /// The rules of a ClusterRole that gathers them from others.
    fn is_aggregated_rules(&self, path: &FieldPath) -> bool {
        self.kind == "ClusterRole"
            && self.live["aggregationRule"].is_object()
            && matches("rules", path.segments())
    }

    /// The token of its service account, exactly as admission mounts it into a pod.
    fn is_token(&self, path: &FieldPath, value: &Value) -> bool {
        if self.kind != "Pod"
            || !value["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("kube-api-access-"))
        {
            return false;
        }
        let place = self.in_pod(path).unwrap_or_default();
        let expected = if matches("volumes *", place) {
            json!({"name": value["name"], "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}})
        } else if in_container(Some(place)).is_some_and(|place| matches("volumeMounts *", place)) {
            json!({"name": value["name"], "mountPath": TOKEN_FOLDER, "readOnly": true})
        } else {
            return false;
        };
        *value == expected
    }

    /// The two tolerations that admission gives every pod, so that it survives a node's short absence.
    fn is_default_toleration(&self, path: &FieldPath, value: &Value) -> bool {
        self.kind == "Pod"
            && matches("spec tolerations", path.segments())
            && value.as_array().is_some_and(|tolerations| {
                tolerations.iter().all(|toleration| {
                    matches!(
                        toleration["key"].as_str(),
                        Some("node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable")
                    ) && toleration["effect"] == "NoExecute"
                        && toleration["operator"] == "Exists"
                })
            })
    }
}

fn pod_place(kind: &GroupVersionKind) -> Option<&'static str> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => Some("spec"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => Some("spec template spec"),
        ("batch", "CronJob") => Some("spec jobTemplate spec template spec"),
        _ => None,
    }
}

/// The steps inside a container of a pod.
fn in_container(in_pod: Option<&[Segment]>) -> Option<&[Segment]> {
    match in_pod? {
        [Segment::Key(list), Segment::Index(_), place @ ..]
            if matches!(
                list.as_str(),
                "containers" | "initContainers" | "ephemeralContainers"
            ) =>
        {
            Some(place)
        }
        _ => None,
    }
}

/// A tag that may move is pulled always.
fn default_pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_fixed = name.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    if is_fixed { "IfNotPresent" } else { "Always" }
}

/// Whether the steps are those of the pattern, all of them.
fn matches(pattern: &str, segments: &[Segment]) -> bool {
    let mut steps = segments.iter();
    pattern.split(' ').all(|wanted| match steps.next() {
        Some(Segment::Key(key)) => wanted == "*" || wanted == key,
        Some(Segment::Index(_)) => wanted == "*",
        None => false,
    }) && steps.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_json() {
        let texts = DEFAULTS.iter().map(|(_, _, text)| text);
        let inner = POD_DEFAULTS
            .iter()
            .chain(CONTAINER_DEFAULTS)
            .map(|(_, text)| text);
        for text in texts.chain(inner) {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_pull_policy_goes_by_the_tag() {
        assert_eq!(default_pull_policy("nginx"), "Always");
        assert_eq!(default_pull_policy("localhost:5000/nginx:latest"), "Always");
        assert_eq!(default_pull_policy("localhost:5000/nginx:1"), "IfNotPresent");
        assert_eq!(default_pull_policy("nginx@sha256:0"), "IfNotPresent");
    }
}
