//! Objects of delivery tools: Argo Workflows, Rollouts, analysis runs and Applications, Flux Kustomizations.

use serde_json::Value;

use super::conditions::{Condition, condition};
use super::workloads::replicas;
use super::{Health, Status, behind, items, text};

pub(super) fn workflow(object: &Value) -> Health {
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "" | "Pending" | "Running" => Health::progressing(message),
        "Succeeded" => Health::new(Status::Healthy, message),
        "Failed" | "Error" => Health::degraded(message),
        phase => Health::new(Status::Unknown, format!("phase is {phase:?}")),
    }
}

pub(super) fn rollout(object: &Value) -> Health {
    if is_rollout_behind(object) {
        return behind();
    }
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "Healthy" => Health::new(Status::Healthy, message),
        "Degraded" => Health::degraded(message),
        "Progressing" => Health::progressing(message),
        "Paused" => Health::suspended(message),
        "" => rollout_without_phase(object),
        phase => Health::new(Status::Unknown, format!("phase is {phase:?}")),
    }
}

/// As old controllers leave it.
fn rollout_without_phase(object: &Value) -> Health {
    if let Some(invalid) = condition(object, "InvalidSpec").filter(|invalid| !invalid.is_false()) {
        return Health::degraded(invalid.words());
    }
    if object["spec"]["paused"] == true || !items(object, "/status/pauseConditions").is_empty() {
        return Health::suspended("is paused");
    }
    if object["status"].is_null() {
        return Health::progressing("has no status yet");
    }
    replicas(object).unwrap_or_else(Health::healthy)
}

/// An analysis run or an experiment: both end in a judgement.
pub(super) fn analysis(object: &Value) -> Health {
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "" | "Pending" | "Running" => Health::progressing(message),
        "Successful" => Health::new(Status::Healthy, message),
        "Failed" | "Error" => Health::degraded(message),
        "Inconclusive" => Health::new(
            Status::Unknown,
            if message.is_empty() {
                "is inconclusive"
            } else {
                message
            },
        ),
        phase => Health::new(Status::Unknown, format!("phase is {phase:?}")),
    }
}

/// A Rollout writes the generation it has seen as text; old ones wrote a hash there, which says nothing.
fn is_rollout_behind(object: &Value) -> bool {
    let observed = &object["status"]["observedGeneration"];
    let observed = observed.as_i64().or_else(|| observed.as_str()?.parse().ok());
    let lags =
        |seen: Option<i64>, now: Option<i64>| matches!((seen, now), (Some(seen), Some(now)) if seen < now);
    let workload = &object["status"]["workloadObservedGeneration"];
    let workload = workload.as_i64().or_else(|| workload.as_str()?.parse().ok());
    let referenced = text(
        object,
        "/metadata/annotations/rollout.argoproj.io~1workload-generation",
    );
    lags(observed, object["metadata"]["generation"].as_i64()) || lags(workload, referenced.parse().ok())
}

pub(super) fn application(object: &Value) -> Health {
    let message = text(object, "/status/health/message");
    match text(object, "/status/health/status") {
        "Healthy" => Health::new(Status::Healthy, message),
        "Suspended" => Health::suspended(message),
        "Progressing" => Health::progressing(message),
        "Missing" => Health::new(Status::Missing, message),
        "Degraded" => Health::degraded(message),
        "" => Health::progressing("has not been synced yet"),
        status => Health::new(Status::Unknown, format!("health is {status:?}")),
    }
}

pub(super) fn flux_kustomization(object: &Value) -> Health {
    if object["spec"]["suspend"] == true {
        return Health::suspended("is suspended");
    }
    if items(object, "/status/conditions").is_empty() {
        return Health::progressing("has no status yet");
    }
    let reconciles = condition(object, "Reconciling").is_some_and(|reconciling| reconciling.is_true());
    match condition(object, "Ready") {
        Some(ready) if ready.is_true() => Health::new(Status::Healthy, ready.words()),
        Some(Condition {
            status: "Unknown", ..
        }) if reconciles => Health::progressing("is being reconciled"),
        Some(ready) => Health::degraded(ready.words()),
        None => Health::degraded("has no condition Ready"),
    }
}
