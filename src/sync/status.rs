//! An Application's status: composed from what is known, written only where it says something new.

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Map, Value, json};

use super::error::Error;
use crate::api::argoproj::{
    Application, ApplicationStatus, ComparedTo, Condition, HealthStatus, OperationState, ResourceStatus,
    RevisionHistory, SyncCode, SyncResult, SyncStatus,
};
use crate::cluster::{Cluster, FIELD_MANAGER};

/// The most objects that `status.resources` lists; the inventory has them all.
const MAX_RESOURCES: usize = 500;
/// The longest message of a condition, in characters.
const MAX_MESSAGE: usize = 4_096;
/// The condition that says what policies object to and do not refuse.
pub(super) const POLICY_WARNING: &str = "PolicyWarning";

/// What a pass came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether the cluster is as Git says.
    pub(super) sync: SyncCode,
    /// The commit that was compared with; empty where none could be.
    pub(super) revision: String,
    /// The commit of each source.
    pub(super) revisions: Vec<String>,
    /// How the objects fare.
    pub(super) health: HealthStatus,
    /// The objects.
    pub(super) resources: Vec<ResourceStatus>,
    /// What went wrong.
    pub(super) errors: Vec<Error>,
    /// The sync that the pass was, if it was one.
    pub(super) sync_run: Option<SyncRun>,
    /// A sync that somebody asked for and that could not begin.
    pub(super) unmet: Option<SyncRun>,
    /// Whether something is being deleted and not gone yet.
    pub(super) waiting: bool,
    /// Types of conditions that are no errors, and their messages.
    pub(super) warnings: Vec<(&'static str, String)>,
}

/// A sync: a pass that brought something new from Git, or tried to.
#[derive(Clone, Debug)]
pub(super) struct SyncRun {
    /// The commit.
    pub(super) revision: String,
    /// When it began.
    pub(super) started_at: Timestamp,
    /// What somebody asked for, as it was written; `None` for the agent's own.
    pub(super) operation: Option<Value>,
    /// Whether it brings the revision as a whole, so that it belongs into the history.
    pub(super) brings_revision: bool,
    /// How often it failed in a row, this time included, where it is tried again.
    pub(super) failures: u32,
    /// What came of it.
    pub(super) outcome: SyncOutcome,
}

/// How a sync stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    /// It waits: for what.
    Running(String),
    /// It is done: a summary.
    Succeeded(String),
    /// It failed: why.
    Failed(String),
}

/// The status after this pass; times change only where something else does.
pub(super) fn compose(
    application: &Application,
    outcome: Outcome,
    history_limit: usize,
) -> ApplicationStatus {
    let before = &application.status;
    let spec = |field: &str| application.spec.get(field).cloned().unwrap_or(Value::Null);
    let from = From::of(&application.spec, outcome.revisions);
    let compared_to = ComparedTo {
        source: from.source.clone(),
        sources: from.sources.clone(),
        destination: spec("destination"),
    };
    let mut status = ApplicationStatus {
        sync: Some(SyncStatus {
            status: outcome.sync,
            revision: outcome.revision,
            revisions: from.revisions.clone(),
            compared_to: compared_to.destination.is_object().then_some(compared_to),
        }),
        health: Some(outcome.health),
        history: before.history.clone(),
        operation_state: before.operation_state.clone(),
        conditions: conditions(&before.conditions, &outcome.errors, outcome.warnings),
        resources: outcome.resources,
        reconciled_at: before.reconciled_at.clone(),
    };
    status.resources.truncate(MAX_RESOURCES);
    for run in outcome.sync_run.into_iter().chain(outcome.unmet) {
        add_run(&mut status, run, &from, history_limit);
    }
    if status != *before {
        status.reconciled_at = Some(time(Timestamp::now()));
    }
    status
}

/// Where an Application comes from: one source, or several with the commit of each.
#[derive(Clone, Debug, Default)]
struct From {
    source: Value,
    sources: Value,
    revisions: Vec<String>,
}

// === impl From ===

impl From {
    fn of(spec: &Value, revisions: Vec<String>) -> Self {
        let sources = spec["sources"].as_array().filter(|sources| !sources.is_empty());
        match sources {
            Some(sources) => Self {
                source: Value::Null,
                sources: json!(sources),
                revisions,
            },
            None => Self {
                source: spec.get("source").cloned().unwrap_or(Value::Null),
                ..Self::default()
            },
        }
    }
}

/// Whether a new revision is all that the status says: a commit elsewhere in the repository.
pub(super) fn is_revision_alone(before: &ApplicationStatus, after: &ApplicationStatus) -> bool {
    let (Some(old), Some(new)) = (&before.sync, &after.sync) else {
        return false;
    };
    let with_old = ApplicationStatus {
        sync: Some(SyncStatus {
            revision: old.revision.clone(),
            revisions: old.revisions.clone(),
            ..new.clone()
        }),
        reconciled_at: before.reconciled_at.clone(),
        ..after.clone()
    };
    (&old.revision, &old.revisions) != (&new.revision, &new.revisions) && with_old == *before
}

/// Writes the status, if it says something new, and returns the Application as it then is.
///
/// A merge patch of the object itself: users' CRD has no status subresource.
pub(super) async fn write(
    cluster: &Cluster,
    application: &Application,
    status: &ApplicationStatus,
) -> Result<Option<Application>, Error> {
    let (Some(namespace), Some(name)) = (&application.metadata.namespace, &application.metadata.name) else {
        return Ok(None);
    };
    let Some(change) = merge_patch(&json!(application.status), &json!(status)) else {
        return Ok(None);
    };
    let api: Api<Application> = Api::namespaced(cluster.client().clone(), namespace);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "status": change }));
    let write = api.patch(name, &parameters, &patch);
    match cluster.ask("write the Application's status", write).await {
        Ok(application) => Ok(Some(application)),
        // It was deleted meanwhile: there is nobody left to tell.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn add_run(status: &mut ApplicationStatus, run: SyncRun, from: &From, history_limit: usize) {
    let now = time(Timestamp::now());
    let (phase, message) = match &run.outcome {
        SyncOutcome::Running(waiting) => ("Running", waiting),
        SyncOutcome::Succeeded(summary) => ("Succeeded", summary),
        SyncOutcome::Failed(reason) => ("Failed", reason),
    };
    let is_success = matches!(run.outcome, SyncOutcome::Succeeded(_));
    let state = OperationState {
        operation: run.operation.unwrap_or_else(
            || json!({"sync": {"revision": run.revision}, "initiatedBy": {"automated": true}}),
        ),
        phase: phase.to_owned(),
        message: shorten(message),
        started_at: time(run.started_at),
        finished_at: (phase != "Running").then(|| now.clone()),
        retry_count: i64::from(run.failures),
        sync_result: Some(SyncResult {
            revision: run.revision.clone(),
        }),
    };
    let same = |old: &&mut OperationState| {
        (&old.phase, &old.message, &old.operation) == (&state.phase, &state.message, &state.operation)
    };
    match status.operation_state.as_mut().filter(same) {
        // A failure that repeats itself is one failure, which began when it first did.
        Some(old) if !is_success => {
            if old.retry_count != state.retry_count {
                old.retry_count = state.retry_count;
                old.finished_at = state.finished_at;
            }
        }
        _ => status.operation_state = Some(state),
    }
    let is_new = status
        .history
        .last()
        .is_none_or(|last| last.revision != run.revision || last.revisions != from.revisions);
    if is_success && is_new && run.brings_revision {
        status.history.push(RevisionHistory {
            id: status.history.last().map_or(0, |last| last.id + 1),
            revision: run.revision,
            deployed_at: now,
            deploy_started_at: Some(time(run.started_at)),
            source: from.source.clone(),
            revisions: from.revisions.clone(),
            sources: from.sources.clone(),
        });
        let surplus = status.history.len().saturating_sub(history_limit);
        status.history.drain(..surplus);
    }
}

fn conditions(
    before: &[Condition],
    errors: &[Error],
    warnings: Vec<(&'static str, String)>,
) -> Vec<Condition> {
    errors
        .iter()
        .map(|error| (error.condition(), error.sentence()))
        .chain(warnings)
        .map(|(kind, message)| {
            let (kind, message) = (kind.to_owned(), shorten(&message));
            let same = before
                .iter()
                .find(|old| old.kind == kind && old.message == message);
            let since = same.and_then(|old| old.last_transition_time.clone());
            Condition {
                kind,
                message,
                last_transition_time: since.or_else(|| Some(time(Timestamp::now()))),
            }
        })
        .collect()
}

fn shorten(text: &str) -> String {
    provost_manifest::escape::shorten(text, MAX_MESSAGE).into_owned()
}

/// RFC 3339 in seconds, as Kubernetes writes times.
fn time(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The JSON merge patch that makes `before` into `after`; `None` where they are the same.
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        let change = match old.get(key) {
            Some(before) => merge_patch(before, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_value() -> impl Strategy<Value = Value> {
        // A merge patch cannot say null, and neither does a status.
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_merge_patch_makes_the_one_into_the_other(before in json_value(), after in json_value()) {
            let mut patched = before.clone();
            if let Some(patch) = merge_patch(&before, &after) {
                // A map that replaces something else keeps no nulls of its own, so this is exact.
                json_patch::merge(&mut patched, &patch);
            }
            prop_assert_eq!(patched, after);
        }
    }

    #[test]
    fn a_failure_that_repeats_itself_is_said_once() {
        let run = || SyncRun {
            revision: "3f9c2ab".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            operation: None,
            failures: 0,
            brings_revision: true,
            outcome: SyncOutcome::Failed("denied".to_owned()),
        };
        let mut status = ApplicationStatus::default();
        add_run(&mut status, run(), &From::default(), 10);
        let first = status.clone();
        add_run(
            &mut status,
            SyncRun {
                started_at: Timestamp::now(),
                ..run()
            },
            &From::default(),
            10,
        );
        assert_eq!(status, first);
        assert_eq!(status.history, []);
    }

    #[test]
    fn a_failure_that_is_tried_again_keeps_its_begin_and_counts() {
        let run = |failures| SyncRun {
            revision: "3f9c2ab".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            operation: None,
            failures,
            brings_revision: true,
            outcome: SyncOutcome::Failed("denied".to_owned()),
        };
        let mut status = ApplicationStatus::default();
        add_run(&mut status, run(1), &From::default(), 10);
        let later = SyncRun {
            started_at: Timestamp::now(),
            ..run(6)
        };
        add_run(&mut status, later, &From::default(), 10);
        let state = status.operation_state.unwrap();
        assert_eq!(
            (state.started_at.as_str(), state.retry_count),
            ("1970-01-01T00:00:00Z", 6)
        );
    }

    #[test]
    fn only_a_status_with_another_revision_and_nothing_else_new_can_wait() {
        let at = |revision: &str, code| ApplicationStatus {
            sync: Some(SyncStatus {
                status: code,
                revision: revision.to_owned(),
                revisions: Vec::new(),
                compared_to: None,
            }),
            reconciled_at: Some(revision.to_owned()),
            ..ApplicationStatus::default()
        };
        let before = at("a", SyncCode::Synced);
        assert!(is_revision_alone(&before, &at("b", SyncCode::Synced)));
        assert!(!is_revision_alone(&before, &at("b", SyncCode::OutOfSync)));
        assert!(!is_revision_alone(&before, &before));
        assert!(!is_revision_alone(&ApplicationStatus::default(), &before));
    }

    #[test]
    fn history_keeps_the_newest() {
        let mut status = ApplicationStatus::default();
        for revision in ["a", "b", "b", "c"] {
            let run = SyncRun {
                revision: revision.to_owned(),
                started_at: Timestamp::UNIX_EPOCH,
                operation: None,
                failures: 0,
                brings_revision: true,
                outcome: SyncOutcome::Succeeded(String::new()),
            };
            add_run(&mut status, run, &From::default(), 2);
        }
        let kept: Vec<_> = status
            .history
            .iter()
            .map(|entry| (entry.id, entry.revision.as_str()))
            .collect();
        assert_eq!(kept, [(1, "b"), (2, "c")]);
    }
}
