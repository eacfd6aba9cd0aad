#![expect(
    clippy::needless_pass_by_value,
    reason = "json! reads best where the value is wanted"
)]

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::Status::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};
use super::*;

/// An object of a kind with what else it has.
fn object(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind});
    let Value::Object(rest) = rest else {
        panic!("not an object: {rest}")
    };
    object.as_object_mut().unwrap().extend(rest);
    object
}

fn assert_health(api_version: &str, kind: &str, rest: Value, status: Status, message: &str) {
    let health = assess(&object(api_version, kind, rest.clone()));
    assert_eq!(health.status, status, "{kind} {rest}: {health}");
    assert!(health.message.contains(message), "{kind} {rest}: {health}");
}

#[rstest]
#[case(json!({"spec": {"paused": true}}), Suspended, "paused")]
#[case(json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Progressing, "newest spec")]
#[case(json!({"metadata": {"generation": 1}}), Progressing, "newest spec")]
#[case(json!({"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]}}), Degraded, "timed out")]
#[case(json!({"spec": {"replicas": 3}, "status": {"updatedReplicas": 1}}), Progressing, "1 of 3 pods are updated")]
#[case(json!({"spec": {"replicas": 2}, "status": {"updatedReplicas": 2, "replicas": 3}}), Progressing, "1 old pod is still")]
#[case(json!({"spec": {"replicas": 2}, "status": {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}}), Progressing, "1 of 2 updated pods are available")]
#[case(json!({"spec": {"replicas": 2}, "status": {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}}), Healthy, "")]
#[case(json!({"spec": {"replicas": 0}}), Healthy, "")]
#[case(json!({"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]}, "spec": {"paused": true}}), Suspended, "paused")]
#[case(json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 2}}), Healthy, "")]
#[case(json!({"status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}}), Degraded, "ProgressDeadlineExceeded")]
#[case(json!({"spec": {"replicas": 1}, "status": {"updatedReplicas": 1, "replicas": 3, "availableReplicas": 1}}), Progressing, "2 old pods are still")]
#[case(json!({"spec": {"replicas": "three"}}), Unknown, "spec.replicas is not a whole number")]
#[case(json!({"spec": []}), Unknown, "spec is not a map")]
#[case(json!({"status": "odd"}), Unknown, "status is not a map")]
#[case(json!({"status": {"conditions": {}}}), Unknown, "status.conditions is not a list")]
fn deployments(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("apps/v1", "Deployment", rest, status, message);
}

#[rstest]
#[case(json!({"spec": {"replicas": 1}}), Progressing, "newest spec")]
#[case(json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Progressing, "newest spec")]
#[case(json!({"spec": {"replicas": 2}, "status": {"observedGeneration": 1, "readyReplicas": 1}}), Progressing, "1 of 2 pods are ready")]
#[case(json!({"spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
    "status": {"observedGeneration": 1, "readyReplicas": 3, "updatedReplicas": 1}}), Progressing, "1 of 2 pods are updated")]
#[case(json!({"spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
    "status": {"observedGeneration": 1, "readyReplicas": 3, "updatedReplicas": 2}}), Healthy, "")]
#[case(json!({"spec": {"replicas": 1, "updateStrategy": {"type": "OnDelete"}},
    "status": {"observedGeneration": 1, "readyReplicas": 1, "updateRevision": "b", "currentRevision": "a"}}), Healthy, "")]
#[case(json!({"spec": {"replicas": 1, "updateStrategy": {"type": "RollingUpdate"}},
    "status": {"observedGeneration": 1, "readyReplicas": 1, "updateRevision": "b", "currentRevision": "a"}}), Progressing, "new revision")]
#[case(json!({"spec": {"replicas": 1}, "status": {"observedGeneration": 1, "readyReplicas": 1, "updateRevision": "a", "currentRevision": "a"}}), Healthy, "")]
#[case(json!({"spec": {"replicas": 1, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {}}},
    "status": {"observedGeneration": 1, "readyReplicas": 1, "updateRevision": "b", "currentRevision": "a"}}), Healthy, "")]
#[case(json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": null}},
    "status": {"observedGeneration": 1, "updateRevision": "b", "currentRevision": "a", "updatedReplicas": 2}}), Progressing, "2 pods have the new revision")]
fn stateful_sets(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("apps/v1", "StatefulSet", rest, status, message);
}

#[rstest]
#[case(json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Progressing, "newest spec")]
#[case(json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"desiredNumberScheduled": 2}}), Healthy, "")]
#[case(json!({"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1}}), Progressing, "1 of 2 pods are updated")]
#[case(json!({"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}}), Progressing, "1 of 2 pods are available")]
#[case(json!({"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}}), Healthy, "")]
#[case(json!({"metadata": {"generation": 2}, "spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"observedGeneration": 1}}), Progressing, "newest spec")]
fn daemon_sets(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("apps/v1", "DaemonSet", rest, status, message);
}

#[rstest]
#[case(json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Progressing, "newest spec")]
#[case(json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}}), Degraded, "quota")]
#[case(json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "False"}]}}), Healthy, "")]
#[case(json!({"spec": {"replicas": 2}, "status": {"availableReplicas": 1}}), Progressing, "1 of 2")]
#[case(json!({"spec": {"replicas": 2}, "status": {"availableReplicas": 2}}), Healthy, "")]
#[case(json!({"status": {"availableReplicas": 0}}), Healthy, "")]
fn replica_sets(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("apps/v1", "ReplicaSet", rest, status, message);
}

#[rstest]
#[case(json!({}), Progressing, "running")]
#[case(json!({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}), Progressing, "running")]
#[case(json!({"status": {"conditions": [{"type": "Failed", "status": "True", "message": "deadline"}]}}), Degraded, "deadline")]
#[case(json!({"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}), Suspended, "")]
#[case(json!({"status": {"conditions": [{"type": "Suspended", "status": "False"}, {"type": "Complete", "status": "True"}]}}), Healthy, "")]
#[case(json!({"status": {"conditions": [{"type": "Complete", "status": "False"}]}}), Progressing, "running")]
#[case(json!({"status": {"conditions": [{"type": "Suspended", "status": "False"}]}}), Progressing, "running")]
#[case(json!({"status": {"conditions": [{"type": "Complete", "status": "True"}, {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]}}), Degraded, "BackoffLimitExceeded: too often")]
#[case(json!({"status": {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}}), Progressing, "running")]
fn jobs(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("batch/v1", "Job", rest, status, message);
}

#[rstest]
#[case(json!({"spec": {"suspend": true}}), Healthy, "suspended")]
#[case(json!({}), Progressing, "no status")]
#[case(json!({"status": null}), Progressing, "no status")]
#[case(json!({"status": {}}), Healthy, "not been scheduled")]
#[case(json!({"status": {"lastScheduleTime": "2026-01-02T01:00:00+02:00", "lastSuccessfulTime": "2026-01-02T00:00:00Z"}}), Healthy, "")]
#[case(json!({"status": {"lastScheduleTime": "today", "lastSuccessfulTime": "2026-01-02T00:00:00Z"}}), Unknown, "no time")]
#[case(json!({"status": {"lastScheduleTime": "2026-01-02T00:00:00Z"}}), Healthy, "not run")]
#[case(json!({"status": {"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:00:09Z", "active": [{}]}}), Healthy, "")]
#[case(json!({"status": {"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:00:09Z"}}), Degraded, "2026-01-02")]
#[case(json!({"status": {"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-02T00:00:09Z"}}), Healthy, "")]
fn cron_jobs(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("batch/v1", "CronJob", rest, status, message);
}

#[rstest]
#[case(json!({"status": {"phase": "Pending"}}), Progressing, "pending")]
#[case(json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "no node fits"}]}}), Progressing, "no node fits")]
#[case(json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]}}), Degraded, "container \"web\": ErrImagePull: not found")]
#[case(json!({"status": {"phase": "Pending", "initContainerStatuses": [{"name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}), Progressing, "container \"init\": CrashLoopBackOff")]
#[case(json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImagePull"}}}]}}), Progressing, "")]
#[case(json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}]}}), Progressing, "")]
#[case(json!({"status": {"phase": "Succeeded"}}), Healthy, "")]
#[case(json!({"status": {"phase": "Failed", "message": "evicted"}}), Degraded, "evicted")]
#[case(json!({"status": {"phase": "Failed", "containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}), Degraded, "OOMKilled")]
#[case(json!({"status": {"phase": "Failed", "containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 3}}}]}}), Degraded, "exit code 3")]
#[case(json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}), Healthy, "")]
#[case(json!({"status": {"phase": "Running", "containerStatuses": [{"name": "web", "lastState": {"terminated": {"exitCode": 1}}}]}}), Degraded, "ended before")]
#[case(json!({"status": {"phase": "Running"}}), Progressing, "not ready")]
#[case(json!({"spec": {"restartPolicy": "OnFailure"}, "status": {"phase": "Running"}}), Progressing, "")]
#[case(json!({"status": {"phase": "Odd"}}), Unknown, "Odd")]
#[case(json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}, {"name": "b", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}), Degraded, "container \"a\": CreateContainerConfigError; container \"b\": CrashLoopBackOff")]
#[case(json!({"status": {"phase": "Running", "initContainerStatuses": [{"name": "init", "lastState": {"terminated": {"exitCode": 1}}}]}}), Progressing, "not ready")]
#[case(json!({"status": {"phase": "Failed", "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 1, "message": "no database"}}}]}}), Degraded, "container \"init\": no database")]
#[case(json!({"status": {"phase": "Failed"}}), Degraded, "has failed")]
#[case(json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}), Progressing, "to its end")]
#[case(json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Failed", "message": "x"}}), Degraded, "x")]
#[case(json!({"metadata": {"annotations": {IGNORE_RESTART_POLICY_ANNOTATION: "true"}}, "spec": {"restartPolicy": "Never"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}), Healthy, "")]
#[case(json!({"metadata": {"annotations": {IGNORE_RESTART_POLICY_ANNOTATION: "true"}}, "spec": {"restartPolicy": "Never"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}), Degraded, "ImagePullBackOff")]
#[case(json!({"metadata": {"annotations": {IGNORE_RESTART_POLICY_ANNOTATION: "true", "argocd.argoproj.io/hook": "Sync"}}, "spec": {"restartPolicy": "Never"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}), Progressing, "to its end")]
#[case(json!({}), Unknown, "no phase")]
fn pods(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("v1", "Pod", rest, status, message);
}

#[rstest]
#[case("v1", "Service", json!({"spec": {"type": "ClusterIP"}}), Healthy, "")]
#[case("v1", "Service", json!({"spec": {"type": "LoadBalancer"}}), Progressing, "address")]
#[case("v1", "Service", json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}), Healthy, "")]
#[case("networking.k8s.io/v1", "Ingress", json!({}), Progressing, "address")]
#[case("networking.k8s.io/v1", "Ingress", json!({"status": {"loadBalancer": {"ingress": [{}]}}}), Healthy, "")]
#[case("v1", "PersistentVolumeClaim", json!({"status": {"phase": "Bound"}}), Healthy, "")]
#[case("v1", "PersistentVolumeClaim", json!({"status": {"phase": "Pending"}}), Progressing, "volume")]
#[case("v1", "PersistentVolumeClaim", json!({"status": {"phase": "Lost"}}), Degraded, "lost")]
#[case("v1", "PersistentVolumeClaim", json!({}), Unknown, "")]
#[case("v1", "Namespace", json!({"status": {"phase": "Terminating"}}), Progressing, "deleted")]
#[case("v1", "Namespace", json!({"status": {"phase": "Active"}}), Healthy, "")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({}), Progressing, "")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}]}}), Degraded, "no metrics")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale"}]}}), Degraded, "FailedGetScale")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "ScalingLimited", "status": "True"}]}}), Healthy, "")]
#[case("autoscaling/v1", "HorizontalPodAutoscaler", json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/conditions": "[{\"type\":\"AbleToScale\",\"status\":\"True\"}]"}}}), Healthy, "")]
#[case("apiregistration.k8s.io/v1", "APIService", json!({}), Progressing, "")]
#[case("apiregistration.k8s.io/v1", "APIService", json!({"status": {"conditions": [{"type": "Available", "status": "False", "message": "no endpoints"}]}}), Progressing, "no endpoints")]
#[case("apiregistration.k8s.io/v1", "APIService", json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}}), Healthy, "")]
#[case("policy/v1", "PodDisruptionBudget", json!({}), Progressing, "")]
#[case("policy/v1", "PodDisruptionBudget", json!({"status": {"conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods"}]}}), Healthy, "")]
#[case("policy/v1", "PodDisruptionBudget", json!({"status": {"conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "two budgets"}]}}), Degraded, "two budgets")]
#[case("policy/v1", "PodDisruptionBudget", json!({}), Progressing, "no status")]
#[case("policy/v1", "PodDisruptionBudget", json!({"metadata": {"generation": 1}, "status": {"conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"}]}}), Healthy, "")]
#[case("autoscaling/v1", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "AbleToScale", "status": "True"}]}}), Progressing, "not scaled")]
#[case("autoscaling/v1", "HorizontalPodAutoscaler", json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/conditions": "{"}}}), Unknown, "is no list")]
#[case("autoscaling/v1", "HorizontalPodAutoscaler", json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/conditions": "[{\"type\":\"AbleToScale\",\"status\":\"True\",\"reason\":\"ReadyForNewScale\"}]"}}}), Healthy, "ReadyForNewScale")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}]}}), Degraded, "FailedGetResourceMetric: no metrics")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "AbleToScale", "status": "False", "reason": "FailedUpdateScale"}]}}), Degraded, "FailedUpdateScale")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}]}}), Progressing, "not scaled")]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"status": {"conditions": [{"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas"}]}}), Healthy, "TooFewReplicas")]
#[case("v1", "PersistentVolume", json!({"status": {"phase": "Available"}}), Healthy, "")]
#[case("v1", "PersistentVolume", json!({"status": {"phase": "Released"}}), Healthy, "")]
#[case("v1", "PersistentVolume", json!({"status": {"phase": "Pending"}}), Progressing, "")]
#[case("v1", "PersistentVolume", json!({"status": {"phase": "Failed", "message": "no recycler"}}), Degraded, "no recycler")]
#[case("v1", "PersistentVolume", json!({}), Unknown, "no phase")]
#[case("v1", "ReplicationController", json!({"spec": {"replicas": 2}, "status": {"availableReplicas": 1}}), Progressing, "1 of 2")]
#[case("snapshot.storage.k8s.io/v1", "VolumeSnapshot", json!({}), Progressing, "not ready")]
#[case("snapshot.storage.k8s.io/v1", "VolumeSnapshot", json!({"status": {"readyToUse": true, "error": {"message": "earlier"}}}), Healthy, "")]
#[case("snapshot.storage.k8s.io/v1", "VolumeSnapshot", json!({"status": {"readyToUse": false, "error": {"message": "no driver"}}}), Degraded, "no driver")]
#[case("snapshot.storage.k8s.io/v1", "VolumeSnapshotContent", json!({"status": {"readyToUse": false}}), Progressing, "not ready")]
#[case("snapshot.storage.k8s.io/v1", "VolumeSnapshotClass", json!({"driver": "a"}), Healthy, "")]
fn platform_kinds(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] rest: Value,
    #[case] status: Status,
    #[case] message: &str,
) {
    assert_health(api_version, kind, rest, status, message);
}

#[rstest]
#[case(json!([]), Progressing, "established")]
#[case(json!([{"type": "Terminating", "status": "True"}, {"type": "Established", "status": "True"}]), Progressing, "")]
#[case(json!([{"type": "NamesAccepted", "status": "False", "message": "taken"}]), Degraded, "taken")]
#[case(json!([{"type": "NonStructuralSchema", "status": "True", "message": "odd"}, {"type": "Established", "status": "True"}]), Degraded, "odd")]
#[case(json!([{"type": "Established", "status": "False", "reason": "Installing"}]), Progressing, "Installing")]
#[case(json!([{"type": "Established", "status": "False", "reason": "NotAccepted"}]), Degraded, "NotAccepted")]
#[case(json!([{"type": "NamesAccepted", "status": "True"}]), Degraded, "")]
#[case(json!([{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]), Healthy, "")]
fn custom_resource_definitions(#[case] conditions: Value, #[case] status: Status, #[case] message: &str) {
    let rest = json!({"status": {"conditions": conditions}});
    assert_health(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        rest,
        status,
        message,
    );
}

#[rstest]
#[case("Workflow", json!({}), Progressing, "")]
#[case("Workflow", json!({"status": {"phase": "Succeeded"}}), Healthy, "")]
#[case("Workflow", json!({"status": {"phase": "Error", "message": "oom"}}), Degraded, "oom")]
#[case("Rollout", json!({"metadata": {"generation": 3}, "status": {"observedGeneration": "2", "phase": "Healthy"}}), Progressing, "newest")]
#[case("Rollout", json!({"metadata": {"generation": 3}, "status": {"observedGeneration": "3", "phase": "Healthy"}}), Healthy, "")]
#[case("Rollout", json!({"metadata": {"generation": 3, "annotations": {"rollout.argoproj.io/workload-generation": "2"}}, "status": {"observedGeneration": "3", "workloadObservedGeneration": "1", "phase": "Healthy"}}), Progressing, "newest")]
#[case("Rollout", json!({"status": {"phase": "Paused", "message": "CanaryPauseStep"}}), Suspended, "CanaryPauseStep")]
#[case("Rollout", json!({"status": {"phase": "Degraded"}}), Degraded, "")]
#[case("Rollout", json!({"spec": {"replicas": 2}, "status": {"updatedReplicas": 1}}), Progressing, "1 of 2")]
#[case("Application", json!({}), Progressing, "not been synced")]
#[case("Application", json!({"status": {"health": {"status": "Degraded", "message": "a pod fails"}}}), Degraded, "a pod fails")]
#[case("Application", json!({"status": {"health": {"status": "Healthy"}}}), Healthy, "")]
#[case("Workflow", json!({"status": {"phase": "Odd"}}), Unknown, "Odd")]
#[case("Workflow", json!({"status": {"phase": "Failed", "message": "exit 1"}}), Degraded, "exit 1")]
#[case("Workflow", json!({"status": {"phase": "Pending"}}), Progressing, "")]
#[case("Rollout", json!({"status": {"phase": "Progressing", "message": "more replicas"}}), Progressing, "more replicas")]
#[case("Rollout", json!({}), Progressing, "no status")]
#[case("Rollout", json!({"status": {"pauseConditions": [{"reason": "CanaryPauseStep"}]}}), Suspended, "paused")]
#[case("Rollout", json!({"status": {"conditions": [{"type": "InvalidSpec", "status": "True", "message": "no service"}]}}), Degraded, "no service")]
#[case("AnalysisRun", json!({}), Progressing, "")]
#[case("AnalysisRun", json!({"status": {"phase": "Running"}}), Progressing, "")]
#[case("AnalysisRun", json!({"status": {"phase": "Successful"}}), Healthy, "")]
#[case("AnalysisRun", json!({"status": {"phase": "Failed", "message": "rate too high"}}), Degraded, "rate too high")]
#[case("AnalysisRun", json!({"status": {"phase": "Inconclusive"}}), Unknown, "inconclusive")]
#[case("Experiment", json!({"status": {"phase": "Error", "message": "no metric"}}), Degraded, "no metric")]
#[case("Application", json!({"status": {"health": {"status": "Suspended"}}}), Suspended, "")]
#[case("Application", json!({"status": {"health": {"status": "Missing"}}}), Missing, "")]
#[case("Application", json!({"status": {"health": {"status": "Unknown"}}}), Unknown, "")]
fn argo_kinds(#[case] kind: &str, #[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("argoproj.io/v1alpha1", kind, rest, status, message);
}

#[rstest]
#[case(json!({"spec": {"suspend": true}}), Suspended, "")]
#[case(json!({}), Progressing, "")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "Reconciling", "status": "True"}]}}), Progressing, "")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}), Degraded, "")]
#[case(json!({"status": {"conditions": [{"type": "Reconciling", "status": "True"}]}}), Degraded, "no condition Ready")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}), Healthy, "")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no path"}]}}), Degraded, "no path")]
fn flux_kustomizations(#[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        rest,
        status,
        message,
    );
}

#[rstest]
#[case(json!({}), Healthy, "")]
#[case(json!({"metadata": {"generation": 2}}), Healthy, "")]
#[case(json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Progressing, "newest")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}), Healthy, "")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "waits"}]}}), Progressing, "waits")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Reconciling", "status": "True"}]}}), Progressing, "")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Stalled", "status": "True", "reason": "BadSpec"}]}}), Degraded, "BadSpec")]
#[case(json!({"status": {"conditions": [{"type": "Available", "status": "False"}]}}), Progressing, "")]
#[case(json!({"status": {"conditions": [{"type": "Reconciling", "status": "True"}, {"type": "Stalled", "status": "True"}]}}), Progressing, "Reconciling")]
#[case(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "Waiting"}]}}), Progressing, "Waiting")]
#[case(json!({"status": {"conditions": [{"type": "Degraded", "status": "True", "reason": "Broken"}, {"type": "Available", "status": "True"}]}}), Degraded, "Broken")]
#[case(json!({"status": "odd", "spec": {"replicas": "many"}}), Healthy, "")]
fn unknown_kinds_are_judged_by_their_conditions(
    #[case] rest: Value,
    #[case] status: Status,
    #[case] message: &str,
) {
    assert_health("example.com/v1", "Widget", rest, status, message);
}

fn accepted(status: &str, generation: i64) -> Value {
    json!({"type": "Accepted", "status": status, "reason": "R", "message": "words", "observedGeneration": generation})
}

fn programmed(status: &str, generation: i64) -> Value {
    json!({"type": "Programmed", "status": status, "reason": "P", "message": "words", "observedGeneration": generation})
}

#[rstest]
#[case("GatewayClass", json!({}), Progressing, "no controller")]
#[case("GatewayClass", json!({"status": {"conditions": [accepted("True", 1)]}}), Healthy, "words")]
#[case("GatewayClass", json!({"status": {"conditions": [accepted("False", 1)]}}), Degraded, "R: words")]
#[case("GatewayClass", json!({"status": {"conditions": [accepted("Unknown", 1)]}}), Progressing, "words")]
#[case("GatewayClass", json!({"metadata": {"generation": 2}, "status": {"conditions": [accepted("True", 1)]}}), Progressing, "no controller")]
#[case("Gateway", json!({}), Progressing, "no controller")]
#[case("Gateway", json!({"status": {"conditions": [accepted("True", 1), programmed("True", 1)]}}), Healthy, "")]
#[case("Gateway", json!({"metadata": {"generation": 2}, "status": {"conditions": [accepted("True", 1), programmed("True", 1)]}}), Progressing, "newest spec")]
#[case("Gateway", json!({"status": {"conditions": [accepted("False", 1)]}}), Degraded, "words")]
#[case("Gateway", json!({"status": {"conditions": [accepted("True", 1), programmed("False", 1)]}}), Progressing, "P: words")]
#[case("Gateway", json!({"status": {"conditions": [accepted("True", 1), programmed("Unknown", 1)]}}), Progressing, "P: words")]
#[case("Gateway", json!({"status": {"conditions": [accepted("True", 1)], "listeners": [{"name": "https", "conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "InvalidCertificateRef"}]}]}}), Degraded, "listener https: ResolvedRefs is False: InvalidCertificateRef")]
#[case("Gateway", json!({"status": {"listeners": [{"name": "http", "conditions": [programmed("False", 1)]}]}}), Progressing, "listener http: ")]
#[case("ListenerSet", json!({"status": {"listeners": [{"name": "http", "conditions": [{"type": "Conflicted", "status": "True", "reason": "HostnameConflict"}]}]}}), Degraded, "HostnameConflict")]
#[case("HTTPRoute", json!({}), Progressing, "no parent")]
#[case("HTTPRoute", json!({"status": {"parents": []}}), Progressing, "no parent")]
#[case("HTTPRoute", json!({"metadata": {"generation": 2}, "status": {"parents": [{"parentRef": {"name": "public"}, "conditions": [accepted("True", 2)]}]}}), Healthy, "")]
#[case("HTTPRoute", json!({"metadata": {"generation": 3}, "status": {"parents": [{"parentRef": {"name": "public"}, "conditions": [accepted("True", 2)]}]}}), Progressing, "no parent")]
#[case("HTTPRoute", json!({"metadata": {"generation": 3}, "status": {"parents": [{"parentRef": {"name": "old"}, "conditions": [accepted("False", 2)]}, {"parentRef": {"name": "new"}, "conditions": [accepted("True", 3)]}]}}), Healthy, "")]
#[case("GRPCRoute", json!({"status": {"parents": [{"parentRef": {"name": "public"}, "conditions": [accepted("True", 1)]}, {"parentRef": {"name": "inner"}, "conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no cart"}]}]}}), Degraded, "parent inner: BackendNotFound: no cart")]
#[case("TLSRoute", json!({"status": {"parents": [{"parentRef": {"name": "public"}, "conditions": [accepted("True", 1), programmed("False", 1)]}]}}), Progressing, "parent public: P: words")]
#[case("BackendTLSPolicy", json!({}), Progressing, "no ancestor")]
#[case("BackendTLSPolicy", json!({"metadata": {"generation": 2}, "status": {"ancestors": [{"conditions": [accepted("True", 1)]}]}}), Progressing, "newest spec")]
#[case("BackendTLSPolicy", json!({"status": {"ancestors": [{"ancestorRef": {"name": "public"}, "conditions": [accepted("False", 1)]}]}}), Degraded, "ancestor public: R: words")]
#[case("BackendTLSPolicy", json!({"status": {"ancestors": [{"conditions": [accepted("True", 1)]}, {"conditions": [{"type": "Accepted", "status": "False", "reason": "TargetNotFound"}]}]}}), Healthy, "")]
#[case("ReferenceGrant", json!({}), Healthy, "")]
fn gateway_kinds(#[case] kind: &str, #[case] rest: Value, #[case] status: Status, #[case] message: &str) {
    assert_health("gateway.networking.k8s.io/v1", kind, rest, status, message);
}

#[test]
fn what_is_being_deleted_is_on_its_way() {
    let deleted = |finalizers: Value| json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}});
    assert_health("v1", "ConfigMap", deleted(json!(null)), Progressing, "deleted");
    assert_health("v1", "ConfigMap", deleted(json!([HOOK_FINALIZER])), Healthy, "");
    assert_health(
        "v1",
        "ConfigMap",
        deleted(json!([HOOK_FINALIZER, "other"])),
        Progressing,
        "deleted",
    );
}

#[test]
fn what_is_no_object_is_unknown() {
    assert_eq!(assess(&json!(null)).status, Unknown);
    assert_eq!(assess(&json!([1])).status, Unknown);
}

#[rstest]
#[case(&[], Healthy)]
#[case(&[Healthy, Progressing, Suspended], Progressing)]
#[case(&[Degraded, Progressing], Degraded)]
#[case(&[Unknown, Degraded], Unknown)]
#[case(&[Missing, Healthy], Healthy)]
#[case(&[Missing, Missing], Missing)]
fn a_whole_is_as_well_as_its_worst_part(#[case] parts: &[Status], #[case] expected: Status) {
    assert_eq!(worst(parts.iter().copied()), expected);
}

#[test]
fn somebody_may_say_that_an_objects_health_does_not_count() {
    let ignored = json!({"metadata": {"annotations": {IGNORE_ANNOTATION: "true"}}});
    assert!(!counts(&ignored));
    assert!(counts(&json!({})));
    let hook = json!({"metadata": {"annotations": {"argocd.argoproj.io/hook": "Skip"}}});
    assert!(!counts(&hook));
}

proptest! {
    #[test]
    fn the_health_of_a_whole_does_not_depend_on_the_order_of_its_parts(
        parts in prop::collection::vec(0_usize..6, 0..8),
        turn in 0_usize..8,
    ) {
        let all = [Healthy, Suspended, Progressing, Missing, Degraded, Unknown];
        let parts: Vec<_> = parts.into_iter().map(|at| all[at]).collect();
        let mut turned = parts.clone();
        turned.rotate_left(if parts.is_empty() { 0 } else { turn % parts.len() });
        prop_assert_eq!(worst(parts.iter().copied()), worst(turned.iter().copied()));
        turned.reverse();
        prop_assert_eq!(worst(parts.iter().copied()), worst(turned));
        // Asking for the whole's health twice changes nothing.
        prop_assert_eq!(worst([worst(parts.iter().copied())]), worst(parts));
    }

    #[test]
    fn every_object_has_a_health(kind in 0_usize..12, status in ".{0,6}", number in any::<i64>()) {
        let kinds = ["Deployment", "StatefulSet", "Job", "CronJob", "Pod", "Ingress", "HTTPRoute", "Gateway", "Rollout", "Application", "HorizontalPodAutoscaler", "Odd"];
        for group in ["", "apps/", "batch/", "argoproj.io/", "gateway.networking.k8s.io/", "autoscaling/"] {
            let object = json!({"apiVersion": format!("{group}v1"), "kind": kinds[kind], "spec": {"replicas": number},
                "status": {"phase": status, "conditions": [{"type": status, "status": "True"}, number, null], "parents": number, "listeners": [1], "updatedReplicas": number}});
            assess(&object);
        }
    }
}
