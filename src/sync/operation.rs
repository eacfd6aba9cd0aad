//! `operation`: a sync that somebody asks for, taken off the Application and carried out once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use provost_manifest::object::ObjectKey;
use serde_json::{Value, json};

use super::application::Task;
use super::error::Error;
use super::finalize::patch_application;
use super::record::Tally;
use super::settings::Asked;
use super::stage::Planned;
use super::standing::Converged;
use super::state::Standing;
use super::status::{SyncOutcome, SyncRun};
use crate::api::argoproj::{ApplicationSpec, Operation, OperationResource, SyncCode};

/// How many digits the id of a commit has.
const COMMIT_DIGITS: usize = 40;

/// A sync that somebody asked for, until it is done.
#[derive(Clone, Debug)]
pub(super) struct AskedSync {
    pub(super) operation: Operation,
    /// As it was written, for the status.
    pub(super) written: Value,
    pub(super) started_at: Timestamp,
}

/// How it is said that an operation, as it was written, is not understood; `None` where that is not what is wrong.
pub(super) fn unread_operation(written: Value, error: &Error) -> Option<SyncRun> {
    matches!(error, Error::Spec(_)).then(|| SyncRun {
        revision: String::new(),
        started_at: Timestamp::now(),
        brings_revision: false,
        operation: Some(written),
        failures: 0,
        outcome: SyncOutcome::Failed(error.sentence()),
    })
}

// === impl AskedSync ===

impl AskedSync {
    /// What it changes of what may be done.
    pub(super) fn settings(&self) -> Asked {
        Asked {
            prunes: self.operation.prune,
            is_dry_run: self.operation.dry_run,
            options: self.operation.options,
        }
    }

    /// Whether it is about some objects only.
    pub(super) fn is_partial(&self) -> bool {
        !self.operation.resources.is_empty()
    }

    /// Whether it brings a revision as a whole.
    pub(super) fn brings_revision(&self) -> bool {
        !self.is_partial() && !self.operation.dry_run
    }

    /// Whether it names each source's commit in full, so that no fetch can say anything else.
    fn names_commits(&self) -> bool {
        let is_commit = |revision: &String| {
            revision.len() == COMMIT_DIGITS && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        !self.operation.revisions.is_empty() && self.operation.revisions.iter().all(is_commit)
    }

    /// Whether no hook runs: some objects alone are no sync.
    pub(super) fn skips_hooks(&self) -> bool {
        self.operation.skips_hooks || self.is_partial()
    }

    /// Whether it is about this object.
    pub(super) fn is_about(&self, key: &ObjectKey) -> bool {
        let is = |wanted: &OperationResource| {
            (&wanted.group, &wanted.kind, &wanted.name) == (&key.group, &key.kind, &key.name)
                && (wanted.namespace.is_empty() || key.namespace.as_ref() == Some(&wanted.namespace))
        };
        !self.is_partial() || self.operation.resources.iter().any(is)
    }

    /// The spec with the revisions that are asked for.
    pub(super) fn spec(&self, spec: &ApplicationSpec) -> ApplicationSpec {
        let mut spec = spec.clone();
        for (source, revision) in spec.sources.iter_mut().zip(&self.operation.revisions) {
            source.target_revision.clone_from(revision);
        }
        spec
    }
}

// === impl Task ===

impl Task {
    /// Takes what somebody asked for off the Application; what was asked for before and is not done yet gives way.
    pub(super) async fn take_operation(&mut self) -> Result<(), Error> {
        let Some(written) = self.application.operation.clone() else {
            return self.take_up_operation();
        };
        let parsed = Operation::parse(&written);
        let change = json!({ "operation": Value::Null });
        patch_application(&self.context.cluster, &self.application, change).await?;
        let mut application = (*self.application).clone();
        application.operation = None;
        self.application = application.into();
        self.begin_asked(parsed?, written, Timestamp::now());
        Ok(())
    }

    /// One that an agent began before this one started, by what the status says.
    fn take_up_operation(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.has_started, true) {
            return Ok(());
        }
        let Some(state) = self.application.status.operation_state.clone() else {
            return Ok(());
        };
        let is_automated = state.operation["initiatedBy"]["automated"] == true;
        if state.phase != "Running" || is_automated {
            return Ok(());
        }
        let started_at = state.started_at.parse().unwrap_or_else(|_| Timestamp::now());
        let operation = Operation::parse(&state.operation)?;
        self.begin_asked(operation, state.operation, started_at);
        Ok(())
    }

    /// What nobody asked for stays as it is.
    pub(super) fn leave_unasked(&mut self, planned: &mut Planned) {
        let Some(asked) = self.asked.as_ref().filter(|asked| asked.is_partial()) else {
            return;
        };
        planned.deferred.retain(|key, _| asked.is_about(key));
        let (writes, left): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut planned.writes)
            .into_iter()
            .partition(|(key, _)| asked.is_about(key));
        planned.writes = writes;
        for (key, write) in left {
            let live = write.verdict.live().cloned();
            self.state
                .record(&key, write.desired.digest, live, Standing::OutOfSync);
        }
    }

    /// What was done, in one line.
    pub(super) fn summary(&self, tally: &Tally, converged: &Converged) -> String {
        if self.asked.as_ref().is_none_or(|asked| !asked.operation.dry_run) {
            return tally.summary();
        }
        let differ = converged.resources.iter();
        let differ = differ
            .filter(|resource| resource.status == SyncCode::OutOfSync)
            .count();
        let noun = if differ == 1 { "object" } else { "objects" };
        format!("dry run: {differ} {noun} would change")
    }

    /// What was asked for is over, since the Application's project does not allow it.
    pub(super) fn refuse_asked(&mut self, error: &Error) -> Option<SyncRun> {
        let asked = self.asked.take()?;
        let goal = self.goal.as_ref();
        Some(SyncRun {
            revision: goal.map(|goal| goal.origin.revision.clone()).unwrap_or_default(),
            started_at: asked.started_at,
            brings_revision: asked.brings_revision(),
            operation: Some(asked.written),
            failures: 0,
            outcome: SyncOutcome::Failed(error.sentence()),
        })
    }

    /// What was asked for cannot begin, since Git cannot be read as it wants it: how that is said. `None` where nothing
    /// was asked for, where the answer is still to come, and where the very commits are at hand that were asked for.
    pub(super) fn fail_asked(&mut self, error: &Error) -> Option<SyncRun> {
        let asked = self.asked.as_ref()?;
        let is_at_hand = matches!(error, Error::Fetch(_)) && asked.names_commits() && self.compared.is_some();
        if matches!(error, Error::Waiting) || is_at_hand {
            return None;
        }
        let run = SyncRun {
            revision: asked.operation.revisions.first().cloned().unwrap_or_default(),
            started_at: asked.started_at,
            brings_revision: false,
            operation: Some(asked.written.clone()),
            failures: 0,
            outcome: SyncOutcome::Failed(error.sentence()),
        };
        self.end_asked(true);
        Some(SyncRun {
            failures: if self.asked.is_some() {
                self.failures + 1
            } else {
                0
            },
            ..run
        })
    }

    /// What was asked for is over, unless it is to be tried again.
    pub(super) fn end_asked(&mut self, has_failed: bool) {
        let Some(asked) = &self.asked else { return };
        let retry = asked.operation.retry.filter(|_| has_failed);
        let is_tried_again = retry.is_some_and(|retry| retry.limit.is_none_or(|limit| self.failures < limit));
        if !is_tried_again {
            self.asked = None;
            // What was not asked for may be wanted all the same.
            self.look_anew();
        }
    }

    fn begin_asked(&mut self, operation: Operation, written: Value, started_at: Timestamp) {
        self.look_anew();
        self.asked = Some(AskedSync {
            operation,
            written,
            started_at,
        });
    }
}
