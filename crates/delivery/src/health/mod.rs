//! How an object is doing, by the rules that Argo CD's users know, where those are right.
//!
//! [`assess`] knows the built-in kinds and some others by name; what it does not know it judges by its conditions.
//! The rules look at the live object alone. Where they differ from Argo CD's: the conditions of a Job count only when
//! they are true, an Application has the health that its status says, and a kind without a rule of its own is judged
//! by its conditions. [`rules::Rules`] puts an organisation's own rules, in CEL, before these.

mod conditions;
mod gateway;
mod gitops;
mod platform;
pub mod rules;
mod storage;
mod workloads;

use std::fmt;

use provost_manifest::object::GroupVersionKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hook;

/// Annotation by which somebody says that an object's health does not count.
pub const IGNORE_ANNOTATION: &str = "argocd.argoproj.io/ignore-healthcheck";
/// Annotation by which somebody says that a pod's restart policy does not mean that it runs to its end.
pub const IGNORE_RESTART_POLICY_ANNOTATION: &str = "argocd.argoproj.io/ignore-restart-policy";
/// A finalizer that only keeps a finished hook readable.
const HOOK_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";

/// Counts that the rules compare; where one is no whole number, nothing can be said.
const COUNTS: [&str; 10] = [
    "/metadata/generation",
    "/spec/replicas",
    "/spec/updateStrategy/rollingUpdate/partition",
    "/status/replicas",
    "/status/updatedReplicas",
    "/status/availableReplicas",
    "/status/readyReplicas",
    "/status/desiredNumberScheduled",
    "/status/updatedNumberScheduled",
    "/status/numberAvailable",
];

/// From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// As it should be.
    Healthy,
    /// Held on purpose.
    Suspended,
    /// On its way.
    Progressing,
    /// Not in the cluster.
    Missing,
    /// Failed, and will not get better by itself.
    Degraded,
    /// Could not be judged.
    Unknown,
}

/// How one object is doing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// The cause; empty where there is nothing to say. May hold text from the cluster: escape it when printing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How the live object is doing.
pub fn assess(object: &Value) -> Health {
    if is_being_deleted(object) {
        return being_deleted(object);
    }
    by_kind(object)
}

/// The rule of a kind.
type Rule = fn(&Value) -> Health;

/// The same, of an object that nobody deletes.
fn by_kind(object: &Value) -> Health {
    let Some(GroupVersionKind { group, kind, .. }) = GroupVersionKind::of(object) else {
        return Health::new(Status::Unknown, "has no apiVersion or no kind");
    };
    match (rule_of(&group, &kind), malformed(object)) {
        (None, _) => conditions::by_conditions(object),
        (Some(_), Some(flaw)) => Health::new(Status::Unknown, flaw),
        (Some(rule), None) => rule(object),
    }
}

fn rule_of(group: &str, kind: &str) -> Option<Rule> {
    Some(match (group, kind) {
        ("apps" | "extensions", "Deployment") => workloads::deployment,
        ("apps", "StatefulSet") => workloads::stateful_set,
        ("apps" | "extensions", "DaemonSet") => workloads::daemon_set,
        ("apps" | "extensions", "ReplicaSet") | ("", "ReplicationController") => workloads::replica_set,
        ("batch", "Job") => workloads::job,
        ("batch", "CronJob") => workloads::cron_job,
        ("", "Pod") => workloads::pod,
        ("", "Service") => platform::service,
        ("networking.k8s.io" | "extensions", "Ingress") => platform::ingress,
        ("", "Namespace") => platform::namespace,
        ("autoscaling", "HorizontalPodAutoscaler") => platform::pod_autoscaler,
        ("apiregistration.k8s.io", "APIService") => platform::api_service,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => platform::custom_resource_definition,
        ("policy", "PodDisruptionBudget") => platform::disruption_budget,
        ("", "PersistentVolumeClaim") => storage::volume_claim,
        ("", "PersistentVolume") => storage::volume,
        ("snapshot.storage.k8s.io", "VolumeSnapshot" | "VolumeSnapshotContent")
        | ("groupsnapshot.storage.k8s.io", "VolumeGroupSnapshot" | "VolumeGroupSnapshotContent") => {
            storage::snapshot
        }
        ("gateway.networking.k8s.io" | "gateway.networking.x-k8s.io", kind) => return gateway::rule_of(kind),
        ("argoproj.io", "Workflow") => gitops::workflow,
        ("argoproj.io", "Rollout") => gitops::rollout,
        ("argoproj.io", "AnalysisRun" | "Experiment") => gitops::analysis,
        ("argoproj.io", "Application") => gitops::application,
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => gitops::flux_kustomization,
        _ => return None,
    })
}

/// What about an object of a kind with a rule is not of the form of its kind, so that the rule cannot be asked.
fn malformed(object: &Value) -> Option<String> {
    for part in ["metadata", "spec", "status"] {
        if !matches!(object[part], Value::Null | Value::Object(_)) {
            return Some(format!("{part} is not a map"));
        }
    }
    let conditions = &object["status"]["conditions"];
    if !matches!(conditions, Value::Null | Value::Array(_)) {
        return Some("status.conditions is not a list".to_owned());
    }
    COUNTS.into_iter().find_map(|pointer| {
        let value = object.pointer(pointer)?;
        (!value.is_null() && value.as_i64().is_none())
            .then(|| format!("{} is not a whole number", pointer[1..].replace('/', ".")))
    })
}

/// Whether the object's health counts in that of the whole it is part of: not that of hooks, whose time is over, and
/// not where somebody says that it doesn't, as for an Ingress that never gets an address.
pub fn counts(object: &Value) -> bool {
    object["metadata"]["annotations"][IGNORE_ANNOTATION] != "true" && !hook::is_hook(object)
}

/// The health of a whole: the worst of its parts. Something missing is out of sync rather than ill, so that it
/// counts only where everything is missing; nothing at all is healthy.
pub fn worst(parts: impl IntoIterator<Item = Status>) -> Status {
    let mut is_any_there = false;
    let mut is_any_missing = false;
    let mut worst = Status::Healthy;
    for part in parts {
        if part == Status::Missing {
            is_any_missing = true;
        } else {
            is_any_there = true;
            worst = worst.max(part);
        }
    }
    if is_any_missing && !is_any_there {
        Status::Missing
    } else {
        worst
    }
}

// === impl Status ===

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// === impl Health ===

impl Health {
    /// A status with its cause.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// Of an object that is not in the cluster.
    pub fn missing() -> Self {
        Self::new(Status::Missing, "is not in the cluster")
    }

    fn healthy() -> Self {
        Self::new(Status::Healthy, "")
    }

    fn progressing(message: impl Into<String>) -> Self {
        Self::new(Status::Progressing, message)
    }

    fn degraded(message: impl Into<String>) -> Self {
        Self::new(Status::Degraded, message)
    }

    fn suspended(message: impl Into<String>) -> Self {
        Self::new(Status::Suspended, message)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "{}", self.status)
        } else {
            write!(f, "{}: {}", self.status, self.message)
        }
    }
}

/// Marked for deletion, and not merely kept readable as a finished hook.
fn is_being_deleted(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let is_kept_hook = metadata["finalizers"]
        .as_array()
        .is_some_and(|finalizers| matches!(finalizers.as_slice(), [only] if *only == HOOK_FINALIZER));
    metadata["deletionTimestamp"].is_string() && !is_kept_hook
}

/// With what holds it up, where somebody asked to be waited for.
fn being_deleted(object: &Value) -> Health {
    let finalizers: Vec<_> = items(object, "/metadata/finalizers")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    Health::progressing(match finalizers.as_slice() {
        [] => "is being deleted".to_owned(),
        finalizers => format!("is being deleted; waits for {}", finalizers.join(", ")),
    })
}

/// Whether the controller has not seen the newest spec yet.
fn is_behind(object: &Value) -> bool {
    number(object, "/metadata/generation") > number(object, "/status/observedGeneration")
}

/// Says so, for the kinds whose controller notes what it has seen.
fn behind() -> Health {
    Health::progressing("the newest spec has not been taken up yet")
}

/// A count at a JSON pointer; 0 where there is none, as the API means it.
fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// A text at a JSON pointer; empty where there is none.
fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A list at a JSON pointer; empty where there is none.
fn items<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
