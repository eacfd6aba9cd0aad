//! What workloads stand on: Services, Ingresses, autoscalers, disruption budgets, CRDs, API services.

use serde_json::Value;

use super::conditions::{Condition, condition, conditions};
use super::{Health, Status, items, text};

pub(super) fn service(object: &Value) -> Health {
    if object["spec"]["type"] == "LoadBalancer" {
        return has_address(object);
    }
    Health::healthy()
}

pub(super) fn ingress(object: &Value) -> Health {
    has_address(object)
}

fn has_address(object: &Value) -> Health {
    if items(object, "/status/loadBalancer/ingress").is_empty() {
        return Health::progressing("waits for an address from a load balancer");
    }
    Health::healthy()
}

pub(super) fn namespace(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Terminating" => Health::progressing("is being deleted"),
        _ => Health::healthy(),
    }
}

/// Version 1 of the API keeps its conditions as text in this annotation.
const AUTOSCALER_CONDITIONS: &str = "/metadata/annotations/autoscaling.alpha.kubernetes.io~1conditions";

pub(super) fn pod_autoscaler(object: &Value) -> Health {
    if object["apiVersion"] != "autoscaling/v1" {
        return scaling(object);
    }
    match text(object, AUTOSCALER_CONDITIONS) {
        "" => Health::progressing("has not scaled anything yet"),
        listed => match serde_json::from_str::<Vec<Value>>(listed) {
            Ok(conditions) => scaling(&serde_json::json!({"status": {"conditions": conditions}})),
            Err(error) => Health::new(
                Status::Unknown,
                format!("the annotation autoscaling.alpha.kubernetes.io/conditions is no list: {error}"),
            ),
        },
    }
}

fn scaling(object: &Value) -> Health {
    if let Some(failed) = conditions(object).find(is_autoscaler_failure) {
        return Health::degraded(failed.words());
    }
    let works = |condition: &Condition<'_>| {
        condition.is_true() && matches!(condition.kind, "AbleToScale" | "ScalingLimited")
    };
    match conditions(object).find(works) {
        Some(works) => Health::new(Status::Healthy, works.words()),
        None => Health::progressing("has not scaled anything yet"),
    }
}

fn is_autoscaler_failure(condition: &Condition<'_>) -> bool {
    matches!(
        (condition.kind, condition.reason),
        ("AbleToScale", "FailedGetScale" | "FailedUpdateScale")
            | (
                "ScalingActive",
                "FailedGetResourceMetric"
                    | "FailedGetObjectMetric"
                    | "FailedGetPodsMetric"
                    | "FailedGetExternalMetric"
                    | "FailedComputeMetricsReplicas"
                    | "InvalidSelector"
            )
    )
}

pub(super) fn api_service(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(available) if available.is_true() => Health::new(Status::Healthy, available.words()),
        Some(available) => Health::progressing(available.words()),
        None => Health::progressing("has not been tried yet"),
    }
}

pub(super) fn custom_resource_definition(object: &Value) -> Health {
    if items(object, "/status/conditions").is_empty() {
        return Health::progressing("is not established yet");
    }
    let find = |kind| condition(object, kind);
    if let Some(ending) = find("Terminating").filter(Condition::is_true) {
        return Health::progressing(ending.words());
    }
    if let Some(names) = find("NamesAccepted").filter(Condition::is_false) {
        return Health::degraded(names.words());
    }
    if let Some(schema) = find("NonStructuralSchema").filter(Condition::is_true) {
        return Health::degraded(schema.words());
    }
    match find("Established") {
        Some(established) if established.is_true() => Health::healthy(),
        Some(established) if established.is_false() && established.reason == "Installing" => {
            Health::progressing(established.words())
        }
        Some(established) => Health::degraded(established.words()),
        None => Health::degraded("is not established"),
    }
}

pub(super) fn disruption_budget(object: &Value) -> Health {
    if items(object, "/status/conditions").is_empty() {
        return Health::progressing("has no status yet");
    }
    let refused = |condition: &Condition<'_>| condition.is_false() && condition.reason != "InsufficientPods";
    match conditions(object).find(refused) {
        Some(refused) => Health::degraded(refused.words()),
        None => Health::healthy(),
    }
}
