//! The kinds of the Gateway API: what their controllers say in conditions of the object, of its listeners, and of
//! each parent that a route attaches to.

use serde_json::Value;

use super::conditions::{Condition, conditions, conditions_of};
use super::{Health, Rule, Status, items, text};

pub(super) fn rule_of(kind: &str) -> Option<Rule> {
    Some(match kind {
        "GatewayClass" => class,
        "Gateway" | "ListenerSet" | "XListenerSet" => gateway,
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute" => route,
        "BackendTLSPolicy" | "BackendLBPolicy" => policy,
        _ => return None,
    })
}

/// Accepted by its controller, or not.
fn class(object: &Value) -> Health {
    let generation = object["metadata"]["generation"].as_i64();
    let accepted = conditions(object)
        .find(|condition| condition.kind == "Accepted" && is_of_generation(condition, generation));
    match accepted {
        Some(accepted) if accepted.is_true() => Health::new(Status::Healthy, accepted.words()),
        Some(accepted) if accepted.is_false() => Health::degraded(accepted.words()),
        Some(accepted) => Health::progressing(accepted.words()),
        None => Health::progressing("no controller has accepted it yet"),
    }
}

/// Accepted and programmed, and so is each listener.
fn gateway(object: &Value) -> Health {
    let generation = object["metadata"]["generation"].as_i64();
    let own: Vec<_> = conditions(object).collect();
    let listeners = items(object, "/status/listeners");
    if own.is_empty() && listeners.is_empty() {
        return Health::progressing("no controller has taken it up yet");
    }
    if own
        .iter()
        .any(|condition| !is_of_generation(condition, generation))
    {
        return super::behind();
    }
    if let Some(problem) = problem(&own, "") {
        return problem;
    }
    for listener in listeners {
        let conditions: Vec<_> = conditions_of(listener).collect();
        let name = format!("listener {}: ", text(listener, "/name"));
        if let Some(problem) = problem(&conditions, &name) {
            return problem;
        }
    }
    Health::healthy()
}

/// What each parent says of the newest spec; one that speaks of an older one does not count.
fn route(object: &Value) -> Health {
    let generation = object["metadata"]["generation"].as_i64();
    let mut is_taken_up = false;
    for parent in items(object, "/status/parents") {
        let conditions: Vec<_> = conditions_of(parent).collect();
        let is_current = generation.is_none()
            || conditions
                .iter()
                .any(|condition| condition.observed_generation == generation);
        if conditions.is_empty() || !is_current {
            continue;
        }
        let name = format!("parent {}: ", text(parent, "/parentRef/name"));
        if let Some(problem) = problem(&conditions, &name) {
            return problem;
        }
        is_taken_up = true;
    }
    if is_taken_up {
        Health::healthy()
    } else {
        Health::progressing("no parent has taken it up yet")
    }
}

/// What each ancestor says; one whose controller has nothing to do with the target does not count.
fn policy(object: &Value) -> Health {
    let generation = object["metadata"]["generation"].as_i64();
    let ancestors = items(object, "/status/ancestors");
    let mut all = ancestors.iter().flat_map(conditions_of);
    if all.any(|condition| !is_of_generation(&condition, generation)) {
        return super::behind();
    }
    let mut is_accepted = false;
    for ancestor in ancestors {
        let find = |kind| conditions_of(ancestor).find(|condition| condition.kind == kind);
        let accepted = find("Accepted");
        if accepted.is_some_and(|accepted| !accepted.is_true() && accepted.reason == "TargetNotFound") {
            continue;
        }
        let name = text(ancestor, "/ancestorRef/name");
        for condition in [accepted, find("ResolvedRefs")].into_iter().flatten() {
            if !condition.is_true() {
                return Health::degraded(format!("ancestor {name}: {}", condition.words()));
            }
        }
        is_accepted |= accepted.is_some();
    }
    if is_accepted {
        Health::healthy()
    } else {
        Health::progressing("no ancestor has taken it up yet")
    }
}

/// What is wrong by these conditions, and where.
fn problem(conditions: &[Condition<'_>], place: &str) -> Option<Health> {
    let find = |kind| conditions.iter().find(|condition| condition.kind == kind);
    let refused = ["ResolvedRefs", "Accepted"]
        .into_iter()
        .filter_map(find)
        .find(|condition| condition.is_false())
        .or_else(|| find("Conflicted").filter(|condition| condition.is_true()));
    if let Some(refused) = refused {
        return Some(Health::degraded(format!("{place}{}", refused.words())));
    }
    let waiting = ["Accepted", "Programmed"]
        .into_iter()
        .filter_map(find)
        .find(|condition| !condition.is_true())?;
    Some(Health::progressing(format!("{place}{}", waiting.words())))
}

/// Whether a condition speaks of the object as it is now, as far as it says.
fn is_of_generation(condition: &Condition<'_>, generation: Option<i64>) -> bool {
    match (condition.observed_generation, generation) {
        (Some(seen), Some(now)) => seen == now,
        _ => true,
    }
}
