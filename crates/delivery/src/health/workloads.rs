//! What runs: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Pods.

use serde_json::Value;

use super::conditions::{Condition, condition, conditions};
use super::{Health, Status, behind, is_behind, items, number, text};

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
    let mut health = Health::progressing("is running");
    for condition in conditions(object).filter(Condition::is_true) {
        match condition.kind {
            "Failed" => return Health::degraded(condition.words()),
            "Suspended" => health = Health::suspended(condition.words()),
            "Complete" => health = Health::new(Status::Healthy, condition.words()),
            _ => {}
        }
    }
    health
}

pub(super) fn cron_job(object: &Value) -> Health {
    if object["spec"]["suspend"] == true {
        return Health::new(Status::Healthy, "is suspended");
    }
    let Some(status) = object.get("status") else {
        return Health::progressing("has no status yet");
    };
    let (last, success) = (&status["lastScheduleTime"], &status["lastSuccessfulTime"]);
    let (Some(last), Some(success)) = (last.as_str(), success.as_str()) else {
        return Health::new(Status::Healthy, "has not run to its end yet");
    };
    // RFC 3339 in UTC and whole seconds, as the API writes it: the order of the texts is the order of the times.
    if items(object, "/status/active").is_empty() && success < last {
        return Health::degraded(format!("the run of {last} has not succeeded"));
    }
    Health::healthy()
}

pub(super) fn pod(object: &Value) -> Health {
    let restarts_always = matches!(text(object, "/spec/restartPolicy"), "" | "Always");
    if restarts_always && let Some(problem) = cannot_start(object) {
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
        "Running" if restarts_always => running_pod(object),
        "Running" => Health::progressing("is running to its end"),
        phase => Health::new(Status::Unknown, format!("phase is {phase:?}")),
    }
}

fn running_pod(object: &Value) -> Health {
    if condition(object, "Ready").is_some_and(|ready| ready.is_true()) {
        return Health::healthy();
    }
    let restarted = containers(object).find(|container| !container["lastState"]["terminated"].is_null());
    match restarted {
        Some(container) => Health::degraded(format!(
            "container {} has ended before and is not ready",
            container["name"]
        )),
        None => Health::progressing("is not ready"),
    }
}

/// A container that waits for what will not come by itself: a wrong image, a crash loop.
fn cannot_start(object: &Value) -> Option<String> {
    containers(object).find_map(|container| {
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
}

fn pending_words(object: &Value) -> String {
    match condition(object, "PodScheduled").filter(Condition::is_false) {
        Some(scheduled) => scheduled.words(),
        None => "is pending".to_owned(),
    }
}

/// Why the first container that failed did so.
fn exit_words(object: &Value) -> String {
    containers(object)
        .find_map(|container| {
            let ended = &container["state"]["terminated"];
            let code = ended["exitCode"].as_i64().filter(|code| *code != 0)?;
            let cause = match (ended["message"].as_str(), ended["reason"].as_str()) {
                (Some(message), _) if !message.is_empty() => message.to_owned(),
                (_, Some("OOMKilled")) => "OOMKilled".to_owned(),
                _ => format!("exit code {code}"),
            };
            Some(format!("container {}: {cause}", container["name"]))
        })
        .unwrap_or_else(|| "has failed".to_owned())
}

fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    let init = items(object, "/status/initContainerStatuses");
    init.iter().chain(items(object, "/status/containerStatuses"))
}
