//! How an Application's objects stand, by what its task remembers of them.

use provost_delivery::health;
use provost_manifest::object::ObjectKey;

use super::application::{Goal, Task};
use super::state::Standing;
use super::status::SyncRun;
use crate::api::argoproj::{HealthStatus, ResourceStatus, SyncCode};

/// How the cluster stands after a pass.
#[derive(Debug, Default)]
pub(super) struct Converged {
    /// Whether the cluster is as Git says.
    pub(super) sync: SyncCode,
    /// How the objects fare.
    pub(super) health: HealthStatus,
    /// The objects.
    pub(super) resources: Vec<ResourceStatus>,
    /// The sync that the pass was, if it was one.
    pub(super) sync_run: Option<SyncRun>,
    /// Whether something is being deleted and not gone yet.
    pub(super) waiting: bool,
    /// The type of a condition that is no error, and its message.
    pub(super) warning: Option<(&'static str, String)>,
}

// === impl Task ===

impl Task {
    /// Whether the object is ours to change and delete.
    pub(super) fn is_ours(&self, key: &ObjectKey) -> bool {
        self.state
            .get(key)
            .is_none_or(|seen| seen.standing != Standing::NotOurs)
    }

    /// How everything stands, by what is remembered.
    pub(super) fn standing(&self, goal: &Goal) -> Converged {
        let mut resources = Vec::with_capacity(goal.desired.len());
        let mut parts: Vec<(ObjectKey, health::Health)> = Vec::new();
        for (key, desired) in goal.desired.iter().filter(|(key, _)| self.is_ours(key)) {
            let seen = self.state.get(key);
            let in_sync = seen.is_some_and(|seen| seen.standing == Standing::InSync);
            let health = match seen.map(|seen| &seen.live) {
                Some(Some(live)) => live.health.clone(),
                _ => Some(health::Health::missing()),
            };
            resources.push(ResourceStatus {
                version: desired.gvk.version.clone(),
                status: if in_sync {
                    SyncCode::Synced
                } else {
                    SyncCode::OutOfSync
                },
                health: health.as_ref().map(health_status),
                ..resource(key)
            });
            parts.extend(health.map(|health| (key.clone(), health)));
        }
        for (key, entry) in &self.settled.removals {
            resources.push(ResourceStatus {
                version: entry.version.clone(),
                status: if self.settled.ignored.contains(key) {
                    SyncCode::Synced
                } else {
                    SyncCode::OutOfSync
                },
                requires_pruning: true,
                ..resource(key)
            });
        }
        let is_synced = resources
            .iter()
            .all(|resource| resource.status == SyncCode::Synced);
        Converged {
            sync: if is_synced {
                SyncCode::Synced
            } else {
                SyncCode::OutOfSync
            },
            health: overall(&parts),
            resources,
            sync_run: None,
            waiting: false,
            warning: None,
        }
    }
}

fn resource(key: &ObjectKey) -> ResourceStatus {
    ResourceStatus {
        group: key.group.clone(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone().unwrap_or_default(),
        name: key.name.clone(),
        ..ResourceStatus::default()
    }
}

fn health_status(health: &health::Health) -> HealthStatus {
    HealthStatus {
        status: health.status.to_string(),
        message: health.message.clone(),
    }
}

/// The worst of all, and the first object that is so.
fn overall(parts: &[(ObjectKey, health::Health)]) -> HealthStatus {
    let worst = health::worst(parts.iter().map(|(_, health)| health.status));
    let culprit = parts
        .iter()
        .find(|(_, health)| health.status == worst && worst != health::Status::Healthy);
    HealthStatus {
        status: worst.to_string(),
        message: culprit.map_or_else(String::new, |(key, health)| format!("{key}: {}", health.message)),
    }
}
