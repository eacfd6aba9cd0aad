//! What runs: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Pods.

use jiff::Timestamp;
use serde_json::Value;

use super::conditions::{Condition, condition};
use super::{Health, IGNORE_RESTART_POLICY_ANNOTATION, Status, behind, is_behind, items, number, text};
use crate::hook;

pub(super) fn deployment(object: &Value) -> Health {
    if object["spec"]["paused"] == true {
        return Health::suspended("is paused");
    }
    if is_behind(object) {
        return behind();
    }
    if let Some(progressing) = condition(object, "Progressing")
        && progressing.reason == "ProgressDeadlineExceeded"
    {
        return Health::degraded(progressing.words());
    }
    replicas(object).unwrap_or_else(Health::healthy)
}

/// How far the replicas of a Deployment or a Rollout are; `None` where all are there.
pub(super) fn replicas(object: &Value) -> Option<Health> {
    let updated = number(object, "/status/updatedReplicas");
    let existing = number(object, "/status/replicas");
    let available = number(object, "/status/availableReplicas");
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64);
    if let Some(wanted) = wanted
        && updated < wanted
    {
        return Some(Health::progressing(format!(
            "{updated} of {wanted} pods are updated"
        )));
    }
    if existing > updated {
        let old = existing - updated;
        return Some(Health::progressing(format!(
            "{old} old {} still to end",
            pods(old)
        )));
    }
    (available < updated)
        .then(|| Health::progressing(format!("{available} of {updated} updated pods are available")))
}

fn pods(count: i64) -> &'static str {
    if count == 1 { "pod is" } else { "pods are" }
}

pub(super) fn stateful_set(object: &Value) -> Health {
    if number(object, "/status/observedGeneration") == 0 || is_behind(object) {
        return behind();
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64);
    let ready = number(object, "/status/readyReplicas");
    if let Some(wanted) = wanted
        && ready < wanted
    {
        return Health::progressing(format!("{ready} of {wanted} pods are ready"));
    }
    let strategy = &object["spec"]["updateStrategy"];
    if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_object() {
        let partition = strategy["rollingUpdate"]["partition"].as_i64();
        let updated = number(object, "/status/updatedReplicas");
        return match (partition, wanted) {
            (Some(partition), Some(wanted)) if updated < wanted - partition => {
                Health::progressing(format!("{updated} of {} pods are updated", wanted - partition))
            }
            _ => Health::healthy(),
        };
    }
    if strategy["type"] != "OnDelete"
        && object["status"]["updateRevision"] != object["status"]["currentRevision"]
    {
        let updated = number(object, "/status/updatedReplicas");
        return Health::progressing(format!("{updated} pods have the new revision"));
    }
    Health::healthy()
}

pub(super) fn daemon_set(object: &Value) -> Health {
    if is_behind(object) {
        return behind();
    }
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Health::healthy();
    }
    let wanted = number(object, "/status/desiredNumberScheduled");
    let updated = number(object, "/status/updatedNumberScheduled");
    if updated < wanted {
        return Health::progressing(format!("{updated} of {wanted} pods are updated"));
    }
    let available = number(object, "/status/numberAvailable");
    if available < wanted {
        return Health::progressing(format!("{available} of {wanted} pods are available"));
    }
    Health::healthy()
}

pub(super) fn replica_set(object: &Value) -> Health {
    if is_behind(object) {
        return behind();
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(Condition::is_true) {
        return Health::degraded(failure.words());
    }
    let wanted = number(object, "/spec/replicas");
    let available = number(object, "/status/availableReplicas");
    if available < wanted {
        return Health::progressing(format!("{available} of {wanted} pods are available"));
    }
    Health::healthy()
}

pub(super) fn job(object: &Value) -> Health {
    let is_true = |kind| condition(object, kind).filter(Condition::is_true);
    if let Some(failed) = is_true("Failed") {
        return Health::degraded(failed.words());
    }
    if let Some(suspended) = is_true("Suspended") {
        return Health::suspended(suspended.words());
    }
    match is_true("Complete") {
        Some(complete) => Health::new(Status::Healthy, complete.words()),
        None => Health::progressing("is running"),
    }
}

pub(super) fn cron_job(object: &Value) -> Health {
    if object["spec"]["suspend"] == true {
        return Health::new(Status::Healthy, "is suspended");
    }
    let status = &object["status"];
    if status.is_null() {
        return Health::progressing("has no status yet");
    }
    let Some(last) = status["lastScheduleTime"].as_str() else {
        return Health::new(Status::Healthy, "has not been scheduled yet");
    };
    let Some(success) = status["lastSuccessfulTime"].as_str() else {
        return Health::new(Status::Healthy, "has not run to its end yet");
    };
    if !items(object, "/status/active").is_empty() {
        return Health::new(Status::Healthy, "is running");
    }
    match (success.parse::<Timestamp>(), last.parse::<Timestamp>()) {
        (Ok(succeeded), Ok(scheduled)) if succeeded < scheduled => {
            Health::degraded(format!("the run of {last} has not succeeded"))
        }
        (Ok(_), Ok(_)) => Health::healthy(),
        _ => Health::new(
            Status::Unknown,
            "status.lastScheduleTime or status.lastSuccessfulTime is no time",
        ),
    }
}

pub(super) fn pod(object: &Value) -> Health {
    let is_to_run_on = runs_on(object);
    if is_to_run_on && let Some(problem) = cannot_start(items(object, CONTAINERS)) {
        return Health::degraded(problem);
    }
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "Pending" => Health::progressing(pending_words(object)),
        "Succeeded" => Health::new(Status::Healthy, message),
        "Failed" => Health::degraded(if message.is_empty() {
            exit_words(object)
        } else {
            message.to_owned()
        }),
        "Running" if is_to_run_on => running_pod(object),
        "Running" => Health::progressing("is running to its end"),
        "" => Health::new(Status::Unknown, "has no phase yet"),
        phase => Health::new(Status::Unknown, format!("phase is {phase:?}")),
    }
}

const INIT_CONTAINERS: &str = "/status/initContainerStatuses";
const CONTAINERS: &str = "/status/containerStatuses";

/// Whether the pod is meant to run on and on: one that ends is waited for as a hook is. Operators that restart pods
/// by themselves say by an annotation that theirs only look as if they ended.
fn runs_on(object: &Value) -> bool {
    let annotation = &object["metadata"]["annotations"][IGNORE_RESTART_POLICY_ANNOTATION];
    let is_ignored = annotation.is_string() && *annotation != "false" && !hook::is_hook(object);
    is_ignored || matches!(text(object, "/spec/restartPolicy"), "" | "Always")
}

fn running_pod(object: &Value) -> Health {
    if condition(object, "Ready").is_some_and(|ready| ready.is_true()) {
        return Health::healthy();
    }
    let restarted = items(object, CONTAINERS)
        .iter()
        .find(|container| !container["lastState"]["terminated"].is_null());
    match restarted {
        Some(container) => Health::degraded(format!(
            "container {} has ended before and is not ready",
            container["name"]
        )),
        None => Health::progressing("is not ready"),
    }
}

/// Containers that wait for what will not come by itself: a wrong image, a crash loop.
fn cannot_start(containers: &[Value]) -> Option<String> {
    let problems: Vec<_> = containers
        .iter()
        .filter_map(|container| {
            let waiting = &container["state"]["waiting"];
            let reason = waiting["reason"].as_str()?;
            if !(reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff")) {
                return None;
            }
            let message = waiting["message"].as_str().unwrap_or_default();
            let separator = if message.is_empty() { "" } else { ": " };
            Some(format!(
                "container {}: {reason}{separator}{message}",
                container["name"]
            ))
        })
        .collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// What a pod waits for; an init container that cannot start may still come to it.
fn pending_words(object: &Value) -> String {
    if let Some(problem) = cannot_start(items(object, INIT_CONTAINERS)) {
        return problem;
    }
    match condition(object, "PodScheduled").filter(Condition::is_false) {
        Some(scheduled) => scheduled.words(),
        None => "is pending".to_owned(),
    }
}

/// Why the first container that failed did so.
fn exit_words(object: &Value) -> String {
    let init = items(object, INIT_CONTAINERS).iter();
    init.chain(items(object, CONTAINERS))
        .find_map(|container| {
            let ended = &container["state"]["terminated"];
            let code = ended["exitCode"].as_i64().unwrap_or_default();
            let cause = match (ended["message"].as_str(), ended["reason"].as_str()) {
                (Some(message), _) if !message.is_empty() => message.to_owned(),
                (_, Some("OOMKilled")) => "OOMKilled".to_owned(),
                _ if code != 0 => format!("exit code {code}"),
                _ => return None,
            };
            Some(format!("container {}: {cause}", container["name"]))
        })
        .unwrap_or_else(|| "has failed".to_owned())
}
