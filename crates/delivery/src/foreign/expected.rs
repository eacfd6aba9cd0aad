//! What is on live objects without anybody having put it there against Git: fields that the server and its
//! controllers write, and values that the server would write by itself.
//!
//! Both are tables of places, never of managers' names: a name can be borrowed. In a pattern the steps are parted
//! by spaces, and `*` is any one step.

use provost_manifest::object::GroupVersionKind;
use provost_manifest::path::{FieldPath, Segment};
use serde_json::{Value, json};

/// Where the server and its controllers write: kinds (`*` is any), place, who and why.
const BY_CONTROLLERS: &[(&str, &str, &str)] = &[
    ("*", "status", "its controller"),
    ("*", "metadata uid", "the server's own"),
    ("*", "metadata name", "the object's identity"),
    ("*", "metadata namespace", "the object's identity"),
    ("*", "metadata generateName", "the object's identity"),
    ("*", "metadata resourceVersion", "the server's own"),
    ("*", "metadata generation", "the server's own"),
    ("*", "metadata creationTimestamp", "the server's own"),
    ("*", "metadata deletionTimestamp", "the server's own"),
    ("*", "metadata deletionGracePeriodSeconds", "the server's own"),
    ("*", "metadata managedFields", "the server's own"),
    ("*", "metadata selfLink", "the server's own, of old"),
    (
        "*",
        "metadata finalizers",
        "whoever must clean up before deletion; taking one away leaks what it guards",
    ),
    (
        "Deployment ReplicaSet StatefulSet ReplicationController Rollout",
        "spec replicas",
        "autoscalers, where Git leaves the number to them",
    ),
    (
        "Deployment ReplicaSet",
        "metadata annotations deployment.kubernetes.io/revision",
        "deployment controller",
    ),
    (
        "Deployment",
        "metadata annotations rollout.argoproj.io/revision",
        "rollout controller",
    ),
    (
        "DaemonSet",
        "metadata annotations deprecated.daemonset.template.generation",
        "daemon set controller",
    ),
    ("Service", "spec clusterIP", "allocated"),
    ("Service", "spec clusterIPs", "allocated"),
    ("Service", "spec ipFamilies", "chosen by the server"),
    ("Service", "spec ipFamilyPolicy", "chosen by the server"),
    ("Service", "spec healthCheckNodePort", "allocated"),
    ("Service", "spec ports * nodePort", "allocated"),
    ("PersistentVolumeClaim", "spec volumeName", "volume binder"),
    (
        "PersistentVolumeClaim",
        "spec storageClassName",
        "the default class",
    ),
    (
        "PersistentVolumeClaim",
        "metadata annotations pv.kubernetes.io/bind-completed",
        "volume binder",
    ),
    (
        "PersistentVolumeClaim",
        "metadata annotations pv.kubernetes.io/bound-by-controller",
        "volume binder",
    ),
    (
        "PersistentVolumeClaim",
        "metadata annotations volume.kubernetes.io/storage-provisioner",
        "volume provisioner",
    ),
    (
        "PersistentVolumeClaim",
        "metadata annotations volume.beta.kubernetes.io/storage-provisioner",
        "volume provisioner",
    ),
    (
        "PersistentVolumeClaim",
        "metadata annotations volume.kubernetes.io/selected-node",
        "scheduler",
    ),
    ("PersistentVolume", "spec claimRef", "volume binder"),
    (
        "PersistentVolume",
        "metadata annotations pv.kubernetes.io/bound-by-controller",
        "volume binder",
    ),
    (
        "PersistentVolume",
        "metadata annotations pv.kubernetes.io/provisioned-by",
        "volume provisioner",
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * clientConfig caBundle",
        "certificate injectors",
    ),
    (
        "CustomResourceDefinition",
        "spec conversion webhook clientConfig caBundle",
        "certificate injectors",
    ),
    ("APIService", "spec caBundle", "certificate injectors"),
    ("ServiceAccount", "secrets", "token controller, of old"),
    ("Namespace", "spec finalizers", "the server's own"),
    (
        "Namespace",
        "metadata labels kubernetes.io/metadata.name",
        "the server's own",
    ),
    ("Job", "spec selector", "job controller"),
    (
        "Job",
        "spec template metadata labels controller-uid",
        "job controller",
    ),
    ("Job", "spec template metadata labels job-name", "job controller"),
    (
        "Job",
        "spec template metadata labels batch.kubernetes.io/controller-uid",
        "job controller",
    ),
    (
        "Job",
        "spec template metadata labels batch.kubernetes.io/job-name",
        "job controller",
    ),
    ("Job", "metadata labels controller-uid", "job controller"),
    ("Job", "metadata labels job-name", "job controller"),
    (
        "Job",
        "metadata labels batch.kubernetes.io/controller-uid",
        "job controller",
    ),
    (
        "Job",
        "metadata labels batch.kubernetes.io/job-name",
        "job controller",
    ),
    (
        "HorizontalPodAutoscaler",
        "metadata annotations autoscaling.alpha.kubernetes.io/conditions",
        "autoscaler",
    ),
    (
        "HorizontalPodAutoscaler",
        "metadata annotations autoscaling.alpha.kubernetes.io/current-metrics",
        "autoscaler",
    ),
    (
        "Endpoints",
        "metadata annotations endpoints.kubernetes.io/last-change-trigger-time",
        "endpoints controller",
    ),
    ("Pod", "spec nodeName", "scheduler"),
    ("Pod", "spec priority", "priority admission"),
    ("Pod", "spec preemptionPolicy", "priority admission"),
    (
        "Pod",
        "spec serviceAccount",
        "the older name of serviceAccountName",
    ),
    (
        "Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Job",
        "spec template spec serviceAccount",
        "the older name of serviceAccountName",
    ),
    (
        "CronJob",
        "spec jobTemplate spec template spec serviceAccount",
        "the older name of serviceAccountName",
    ),
];

/// Values that the server puts where nothing is given: kinds, place, value as JSON.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("Deployment", "spec replicas", "1"),
    ("Deployment", "spec revisionHistoryLimit", "10"),
    ("Deployment", "spec progressDeadlineSeconds", "600"),
    ("Deployment", "spec strategy type", r#""RollingUpdate""#),
    ("Deployment", "spec strategy rollingUpdate maxSurge", r#""25%""#),
    (
        "Deployment",
        "spec strategy rollingUpdate maxUnavailable",
        r#""25%""#,
    ),
    ("StatefulSet", "spec podManagementPolicy", r#""OrderedReady""#),
    ("StatefulSet DaemonSet", "spec revisionHistoryLimit", "10"),
    (
        "StatefulSet DaemonSet",
        "spec updateStrategy type",
        r#""RollingUpdate""#,
    ),
    ("StatefulSet", "spec updateStrategy rollingUpdate partition", "0"),
    (
        "StatefulSet",
        "spec persistentVolumeClaimRetentionPolicy *",
        r#""Retain""#,
    ),
    ("DaemonSet", "spec updateStrategy rollingUpdate maxSurge", "0"),
    (
        "DaemonSet",
        "spec updateStrategy rollingUpdate maxUnavailable",
        "1",
    ),
    ("Job", "spec backoffLimit", "6"),
    ("Job", "spec completions", "1"),
    ("Job", "spec parallelism", "1"),
    ("Job", "spec suspend", "false"),
    ("Job", "spec manualSelector", "false"),
    ("Job", "spec completionMode", r#""NonIndexed""#),
    ("Job", "spec podReplacementPolicy", r#""TerminatingOrFailed""#),
    ("CronJob", "spec concurrencyPolicy", r#""Allow""#),
    ("CronJob", "spec failedJobsHistoryLimit", "1"),
    ("CronJob", "spec successfulJobsHistoryLimit", "3"),
    ("CronJob", "spec suspend", "false"),
    ("Service", "spec type", r#""ClusterIP""#),
    ("Service", "spec sessionAffinity", r#""None""#),
    ("Service", "spec internalTrafficPolicy", r#""Cluster""#),
    ("Service", "spec externalTrafficPolicy", r#""Cluster""#),
    ("Service", "spec allocateLoadBalancerNodePorts", "true"),
    ("Service", "spec ports * protocol", r#""TCP""#),
    ("Secret", "type", r#""Opaque""#),
    (
        "PersistentVolumeClaim PersistentVolume",
        "spec volumeMode",
        r#""Filesystem""#,
    ),
    (
        "PersistentVolume",
        "spec persistentVolumeReclaimPolicy",
        r#""Retain""#,
    ),
    ("HorizontalPodAutoscaler", "spec minReplicas", "1"),
    (
        "CustomResourceDefinition",
        "spec conversion strategy",
        r#""None""#,
    ),
    ("StorageClass", "reclaimPolicy", r#""Delete""#),
    ("StorageClass", "volumeBindingMode", r#""Immediate""#),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * failurePolicy",
        r#""Fail""#,
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * matchPolicy",
        r#""Equivalent""#,
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * timeoutSeconds",
        "10",
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * namespaceSelector",
        "{}",
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * objectSelector",
        "{}",
    ),
    (
        "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
        "webhooks * clientConfig service port",
        "443",
    ),
    (
        "MutatingWebhookConfiguration",
        "webhooks * reinvocationPolicy",
        r#""Never""#,
    ),
];

/// The same inside the specification of a pod.
const POD_DEFAULTS: &[(&str, &str)] = &[
    ("restartPolicy", r#""Always""#),
    ("terminationGracePeriodSeconds", "30"),
    ("dnsPolicy", r#""ClusterFirst""#),
    ("schedulerName", r#""default-scheduler""#),
    ("securityContext", "{}"),
    ("enableServiceLinks", "true"),
    ("volumes * configMap defaultMode", "420"),
    ("volumes * secret defaultMode", "420"),
    ("volumes * projected defaultMode", "420"),
    ("volumes * downwardAPI defaultMode", "420"),
    ("volumes * hostPath type", r#""""#),
    ("volumes * emptyDir", "{}"),
];

/// The same inside a container.
const CONTAINER_DEFAULTS: &[(&str, &str)] = &[
    ("terminationMessagePath", r#""/dev/termination-log""#),
    ("terminationMessagePolicy", r#""File""#),
    ("resources", "{}"),
    ("ports * protocol", r#""TCP""#),
    ("env * valueFrom fieldRef apiVersion", r#""v1""#),
    ("livenessProbe timeoutSeconds", "1"),
    ("livenessProbe periodSeconds", "10"),
    ("livenessProbe successThreshold", "1"),
    ("livenessProbe failureThreshold", "3"),
    ("livenessProbe httpGet scheme", r#""HTTP""#),
    ("readinessProbe timeoutSeconds", "1"),
    ("readinessProbe periodSeconds", "10"),
    ("readinessProbe successThreshold", "1"),
    ("readinessProbe failureThreshold", "3"),
    ("readinessProbe httpGet scheme", r#""HTTP""#),
    ("startupProbe timeoutSeconds", "1"),
    ("startupProbe periodSeconds", "10"),
    ("startupProbe successThreshold", "1"),
    ("startupProbe failureThreshold", "3"),
    ("startupProbe httpGet scheme", r#""HTTP""#),
];

/// Where the service account's token is mounted.
const TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What is expected on a live object.
pub(super) struct Expected<'v> {
    kind: String,
    live: &'v Value,
    /// Where the specification of a pod is in objects of this kind.
    pod: Option<&'static str>,
}

// === impl Expected ===

impl<'v> Expected<'v> {
    pub(super) fn of(kind: &GroupVersionKind, live: &'v Value) -> Self {
        Self {
            kind: kind.kind.clone(),
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

    /// The token of its service account, as admission mounts it into a pod: nothing but projected sources under
    /// the well-known name.
    fn is_token(&self, path: &FieldPath, value: &Value) -> bool {
        if self.kind != "Pod" {
            return false;
        }
        let is_named = value["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("kube-api-access-"));
        let Some(place) = self.in_pod(path) else {
            return false;
        };
        if matches("volumes *", place) {
            return is_named
                && value
                    .as_object()
                    .is_some_and(|volume| volume.keys().all(|key| key == "name" || key == "projected"));
        }
        in_container(Some(place)).is_some_and(|place| matches("volumeMounts *", place))
            && is_named
            && value["mountPath"] == TOKEN_FOLDER
            && value["readOnly"] == true
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
