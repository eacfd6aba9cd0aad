//! What a pass did, counted, and written into the ledger.

use jiff::Timestamp;
use provost_evidence::event::{Drift, DriftField, Event, Sync};
use provost_manifest::object::ObjectKey;
use provost_manifest::path::FieldPath;

use super::application::Task;
use super::inventory::Origin;
use super::plan::Verdict;
use super::settings;
use super::status::SyncOutcome;

/// What a pass does, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) created: u64,
    pub(super) changed: u64,
    pub(super) pruned: u64,
    pub(super) healed: u64,
    pub(super) waiting: bool,
    /// How many objects the policies in force judged.
    pub(super) judged: u64,
    /// Whether the render is another than the inventory's.
    pub(super) is_new: bool,
    pub(super) previous: Option<String>,
}

// === impl Task ===

impl Task {
    /// An object was not as Git says: which fields, by whom, and what became of it.
    pub(super) fn record_drift(&self, key: &ObjectKey, verdict: &Verdict, resolution: &str) {
        let mut details = match verdict {
            Verdict::Update(update) => update.details.clone(),
            Verdict::Reported(_, details) => details.clone(),
            // It was deleted: that is the whole of it.
            Verdict::Create => vec![DriftField {
                path: FieldPath::root().to_string(),
                ..DriftField::default()
            }],
            _ => Vec::new(),
        };
        // What is put back leaves no values behind; where nothing is written, the record is all that there is.
        if !settings::is_drift_only(&self.application) {
            for field in &mut details {
                (field.desired, field.live) = (None, None);
            }
        }
        let mut managers: Vec<String> = details.iter().filter_map(|field| field.manager.clone()).collect();
        managers.sort_unstable();
        managers.dedup();
        let fields: Vec<String> = details.iter().map(|field| field.path.clone()).collect();
        tracing::info!(application = self.name, object = %key, ?fields, ?managers, resolution, "An object has drifted.");
        let since = self.state.get(key).and_then(|seen| seen.differs_since);
        self.context.ledger.append(Event::Drift(Drift {
            application: self.name.clone(),
            object: key.to_string(),
            fields,
            managers,
            resolution: resolution.to_owned(),
            details,
            seen_since: since.unwrap_or_else(Timestamp::now).to_string(),
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
            outcome: if matches!(outcome, SyncOutcome::Failed(_)) {
                "failed"
            } else {
                "succeeded"
            }
            .to_owned(),
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
        let judged = match self.judged {
            0 => String::new(),
            judged => format!("; policies: {judged} judged, 0 refused"),
        };
        format!(
            "{} created, {} changed, {} deleted{judged}",
            self.created, self.changed, self.pruned
        )
    }
}
