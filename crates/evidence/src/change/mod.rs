//! What became of each write, as its witnesses together tell it.
//!
//! ```text
//! audit event ──uid of our answer──▶ admission, witness
//!      └───────object, user, time──▶ admissions that the audit log does not name (tries that met a conflict, a collection)
//! all of these ──object, time──▶ observation
//! ```
//!
//! Witnesses have ranks. The apiserver's audit event is the authority for who asked and what was answered. An admission
//! is an evaluation, not a write. An observation says that something happened, not who did it: a field manager's name is
//! its own claim.
//!
//! # Guarantees
//! - Order, lateness and repetition of records change nothing of the result.
//! - Each admission and each observation belongs to one change at most, and none is left out: [`Counts`] add up.

mod draft;
mod join;
mod scope;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::witness::Subject;

pub use join::{MAX_CHANGES, Reconciler, TooMany};
pub use scope::{EVERYWHERE, SUBRESOURCES};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was let in, and it happened.
    Witnessed,
    /// It was let in; whether it happened nobody tells.
    AdmittedNotObserved,
    /// It happened; that it was let in nobody tells.
    ObservedNotAdmitted,
    /// It happened, and nobody was asked, or nobody answered.
    NotEvaluated,
    /// It was let in, and did not happen: a quota, a conflict, another webhook.
    RefusedAfterAdmission,
    /// Policies refused it.
    Denied,
    /// It was refused before anybody was asked: RBAC, its form, its absence.
    Refused,
    /// It is none of ours: an exempt namespace, a kind that nobody asks about.
    NotAsked,
}

/// Somebody who tells of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The apiserver's audit log.
    Audit,
    /// A judgement of ours.
    Admission,
    /// The witness webhook.
    Witness,
    /// A watch.
    Watch,
}

/// One request, and all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When the apiserver got it; else when the first witness told of it.
    pub time: String,
    /// What became of it.
    pub state: State,
    /// Who asked, as the best witness has it; empty where only a watch tells.
    pub user: String,
    /// As whom they acted; empty where as themselves, or where no audit log tells.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub impersonated: String,
    /// `create`, `patch`, `delete`, …
    pub verb: String,
    /// What about.
    pub object: Subject,
    /// What policies said, the sternest word; empty where none judged.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verdict: String,
    /// The apiserver's answer; 0 where no audit log tells.
    pub code: u16,
    /// The field manager that wrote, by its own claim.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// Who tells of it.
    pub witnesses: Vec<Source>,
    /// `auditID` of the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub audit_id: String,
    /// `uid` of each AdmissionRequest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<String>,
    /// Why the state is what it is, where the word does not say it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How many requests have which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Audit events of requests that were carried out and that we are asked about.
    pub audited_writes: u64,
    /// Requests that our webhooks let in, as the ledger has them.
    pub admitted: u64,
    /// Of these, the ones that both tell of.
    pub both: u64,
    /// Carried out without any evaluation.
    pub not_evaluated: u64,
    /// Let in, and refused afterwards.
    pub refused_after_admission: u64,
    /// Let in, and of no audit event.
    pub admitted_without_audit: u64,
    /// Seen by a watch alone.
    pub observed_not_admitted: u64,
    /// Refused by policies.
    pub denied: u64,
    /// Refused before anybody was asked.
    pub refused: u64,
    /// None of ours.
    pub not_asked: u64,
    /// Dry runs, which change nothing and are not listed.
    pub dry_runs: u64,
    /// Audit events that came more than once.
    pub repeated: u64,
}

/// What a ledger says of the writes of a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Each change, by time.
    pub changes: Vec<Change>,
    /// How many there are of each sort.
    pub counts: Counts,
    /// Whether there is any audit event at all.
    pub has_audit: bool,
}

// === impl State ===

impl State {
    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Witnessed => "witnessed",
            Self::AdmittedNotObserved => "admitted, not observed",
            Self::ObservedNotAdmitted => "observed, not admitted",
            Self::NotEvaluated => "written without evaluation",
            Self::RefusedAfterAdmission => "refused after admission",
            Self::Denied => "denied",
            Self::Refused => "refused before admission",
            Self::NotAsked => "not asked about",
        }
    }
}

// === impl Source ===

impl Source {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Admission => "admission",
            Self::Witness => "witness",
            Self::Watch => "watch",
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Whether audit log and admissions tell of the same writes.
    pub fn agree(&self) -> bool {
        self.audited_writes == self.admitted && self.both == self.admitted
    }
}
