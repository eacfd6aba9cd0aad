//! What a pass did, counted, and written into the ledger.

use provost_delivery::foreign::ForeignField;
use provost_delivery::plan::Change;
use provost_evidence::event::{Drift, Event, Sync};
use provost_manifest::object::ObjectKey;
use provost_manifest::path::FieldPath;

use super::application::Task;
use super::inventory::Origin;
use super::plan::{Update, Verdict};
use super::status::SyncOutcome;

/// The most field paths that one drift record names.
const MAX_DRIFT_FIELDS: usize = 100;

/// What a pass does, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) created: u64,
    pub(super) changed: u64,
    pub(super) pruned: u64,
    pub(super) healed: u64,
    pub(super) waiting: bool,
    /// Whether the render is another than the inventory's.
    pub(super) is_new: bool,
    pub(super) previous: Option<String>,
}

// === impl Task ===

impl Task {
    /// An object was not as Git says: which fields, by whom, and what became of it. Values are not recorded.
    pub(super) fn record_drift(&self, key: &ObjectKey, verdict: &Verdict, resolution: &str) {
        let (declared, foreign, managers): (&[Change], &[ForeignField], Vec<String>) = match verdict {
            Verdict::Update(Update {
                declared,
                foreign,
                managers,
                ..
            }) => (declared, foreign, managers.clone()),
            Verdict::Reported(_, foreign) => {
                let mut names: Vec<_> = foreign.iter().map(|field| field.manager.name.clone()).collect();
                names.dedup();
                (&[], foreign, names)
            }
            _ => (&[], &[], Vec::new()),
        };
        let paths = declared
            .iter()
            .map(|change| &change.path)
            .chain(foreign.iter().map(|field| &field.path));
        let mut fields: Vec<String> = paths.take(MAX_DRIFT_FIELDS).map(FieldPath::to_string).collect();
        if matches!(verdict, Verdict::Create) {
            // It was deleted: that is the whole of it.
            fields.push(FieldPath::root().to_string());
        }
        tracing::info!(application = self.name, object = %key, ?fields, ?managers, resolution, "An object has drifted.");
        self.context.ledger.append(Event::Drift(Drift {
            application: self.name.clone(),
            object: key.to_string(),
            fields,
            managers,
            resolution: resolution.to_owned(),
        }));
    }

    /// The cluster was brought to a commit, or could not be.
    pub(super) fn record_sync(
        &self,
        origin: &Origin,
        tally: &Tally,
        outcome: &SyncOutcome,
        asked_by: Option<&str>,
    ) {
        tracing::info!(
            application = self.name,
            revision = origin.revision,
            asked_by,
            created = tally.created,
            changed = tally.changed,
            pruned = tally.pruned,
            requests = self.context.cluster.requests(),
            "An Application was synced."
        );
        self.context.ledger.append(Event::Sync(Sync {
            application: self.name.clone(),
            repository: origin.repository.clone(),
            revision: origin.revision.clone(),
            previous: tally.previous.clone(),
            rendered_tree: origin.rendered_tree.clone(),
            outcome: if matches!(outcome, SyncOutcome::Failed(_)) { "failed" } else { "succeeded" }.to_owned(),
            message: match outcome {
                SyncOutcome::Failed(reason) => reason.clone(),
                SyncOutcome::Running(_) | SyncOutcome::Succeeded(_) => String::new(),
            },
            created: tally.created,
            changed: tally.changed,
            pruned: tally.pruned,
        }));
    }
}

// === impl Tally ===

impl Tally {
    /// Whether the pass brought something new from Git.
    pub(super) fn is_sync(&self) -> bool {
        self.is_new || self.created + self.changed + self.pruned > 0
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} created, {} changed, {} deleted",
            self.created, self.changed, self.pruned
        )
    }
}
