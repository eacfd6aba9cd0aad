//! Kubernetes events about Applications: one for each change of how one stands.
//!
//! What repeats itself within minutes is counted on the event that is there, so that nothing that flaps floods anybody.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use provost_manifest::digest::Digest;

use crate::api::argoproj::{Application, ApplicationStatus, SyncCode};
use crate::cluster::Cluster;

/// The longest note that the apiserver takes is 1 KiB.
const MAX_NOTE: usize = 500;

/// Tells the cluster what happens to Applications.
pub(super) struct Events {
    cluster: Cluster,
    recorder: Recorder,
}

/// One thing that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Happened {
    is_bad: bool,
    reason: &'static str,
    note: String,
}

// === impl Events ===

impl Events {
    pub(super) fn new(cluster: &Cluster, instance: &str) -> Self {
        let reporter = Reporter {
            controller: "provost.dev/agent".to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            cluster: cluster.clone(),
            recorder: Recorder::new(cluster.client().clone(), reporter),
        }
    }

    /// Tells what is otherwise now than it was before.
    pub(super) async fn tell(&self, before: &ApplicationStatus, application: &Application) {
        let about = ObjectReference {
            resource_version: None,
            ..application.object_ref(&())
        };
        for happened in happened(before, &application.status) {
            let digest = Digest::of_value(&happened.note.as_str().into());
            let event = Event {
                type_: if happened.is_bad {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: happened.reason.to_owned(),
                note: Some(provost_manifest::escape::shorten(&happened.note, MAX_NOTE).into_owned()),
                // What is counted together: what says the same.
                action: format!("Reconcile-{:.8}", digest.to_string()),
                secondary: None,
            };
            let publish = self.recorder.publish(&event, &about);
            if let Err(error) = self.cluster.ask("tell of an event", publish).await {
                tracing::debug!(application = application.full_name(), %error, "An event was not told.");
            }
        }
    }
}

/// What has changed between two statuses, as far as people want to hear of it.
fn happened(before: &ApplicationStatus, after: &ApplicationStatus) -> Vec<Happened> {
    let mut all = Vec::new();
    let mut add = |is_bad, reason, note| all.push(Happened { is_bad, reason, note });
    if let Some(state) = &after.operation_state
        && state.phase == "Failed"
        && before
            .operation_state
            .as_ref()
            .is_none_or(|old| (&old.phase, &old.message) != (&state.phase, &state.message))
    {
        add(true, "SyncFailed", state.message.clone());
    }
    let code = |status: &ApplicationStatus| status.sync.as_ref().map(|sync| sync.status);
    match code(after).filter(|now| code(before) != Some(*now)) {
        Some(SyncCode::Synced) => {
            let revision = after
                .sync
                .as_ref()
                .map(|sync| sync.revision.as_str())
                .unwrap_or_default();
            add(false, "Synced", format!("The cluster is as {revision} says"));
        }
        Some(SyncCode::OutOfSync) => {
            let differ = after
                .resources
                .iter()
                .filter(|resource| resource.status == SyncCode::OutOfSync);
            add(
                false,
                "OutOfSync",
                format!("{} objects are not as Git says", differ.count()),
            );
        }
        Some(SyncCode::Unknown) | None => {}
    }
    let health = |status: &ApplicationStatus| status.health.clone().unwrap_or_default();
    let (was, is) = (health(before), health(after));
    // What is still on its way is no news.
    if was.status != is.status && ["Healthy", "Degraded", "Suspended"].contains(&is.status.as_str()) {
        let from = if was.status.is_empty() {
            "nothing"
        } else {
            &was.status
        };
        let why = if is.message.is_empty() {
            String::new()
        } else {
            format!(": {}", is.message)
        };
        add(
            is.status == "Degraded",
            "HealthChanged",
            format!("From {from} to {}{why}", is.status),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reasons(before: Value, after: Value) -> Vec<&'static str> {
        let status = |value| serde_json::from_value::<ApplicationStatus>(value).unwrap();
        let all = happened(&status(before), &status(after));
        all.into_iter().map(|happened| happened.reason).collect()
    }

    #[test]
    fn an_event_is_told_where_something_changes_and_not_again() {
        let status =
            |sync: &str, health: &str| json!({"sync": {"status": sync}, "health": {"status": health}});
        assert_eq!(reasons(json!({}), status("Synced", "Progressing")), ["Synced"]);
        assert_eq!(
            reasons(status("Synced", "Progressing"), status("Synced", "Healthy")),
            ["HealthChanged"]
        );
        assert_eq!(
            reasons(status("Synced", "Healthy"), status("Synced", "Healthy")),
            [""; 0]
        );
        assert_eq!(
            reasons(status("Synced", "Healthy"), status("OutOfSync", "Missing")),
            ["OutOfSync"]
        );
        let failed = json!({"operationState": {"phase": "Failed", "message": "denied"}});
        assert_eq!(reasons(json!({}), failed.clone()), ["SyncFailed"]);
        assert_eq!(reasons(failed.clone(), failed), [""; 0]);
    }
}
