//! Bringing the cluster to a goal: plan, inventory, apply step by step, prune, confirm.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use provost_delivery::hook::Phase;
use provost_delivery::options::Propagation;
use provost_manifest::object::ObjectKey;
use tokio_util::sync::CancellationToken;

use super::application::{Goal, Task};
use super::desired::Desired;
use super::error::Error;
use super::hooks::HooksState;
use super::inventory::{Entries, Inventory, Progress};
use super::operation::AskedSync;
use super::projects;
use super::prune;
use super::record::Tally;
use super::run::Run;
use super::settings::Settings;
use super::stage::Planned;
use super::standing::Converged;
use super::state::Standing;
use super::status::{SyncOutcome, SyncRun};
use crate::api::argoproj::{ApplicationSpec, SyncCode};
use crate::api::provost::InventoryEntry;

/// What the last pass left behind.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The key of the render that was carried out without an error.
    key: Option<String>,
    /// What is no longer declared and still there.
    pub(super) removals: Entries,
    /// Those of them whose being there is no difference.
    pub(super) ignored: BTreeSet<ObjectKey>,
}

/// How far a pass came.
enum Advance {
    /// Everything is as it should be, or is left as it is.
    Done,
    /// A sync waits: for what, in words.
    Waiting(String),
}

// === impl Task ===

impl Task {
    /// Makes the cluster as the goal says, as far as the spec allows; whatever was done before an error stays done.
    ///
    /// # Guarantees
    /// No request where nothing has changed since the last pass that went well. Nothing here waits for health: a sync
    /// that has to is taken up again by a later pass, and a newer goal takes its place.
    pub(super) async fn converge(
        &mut self,
        spec: &ApplicationSpec,
        goal: &Goal,
        end: &CancellationToken,
    ) -> (Converged, Option<Error>) {
        let started_at = Timestamp::now();
        let mut tally = Tally::default();
        let advanced = self.carry_out(spec, goal, end, &mut tally).await;
        let mut converged = self.standing(goal);
        converged.waiting = tally.waiting;
        if let (Some(closed), SyncCode::OutOfSync) = (&self.closed, converged.sync) {
            converged.warning = Some(("SyncWindowWarning", closed.sentence()));
        }
        let outcome = match &advanced {
            Ok(Advance::Done) => SyncOutcome::Succeeded(self.summary(&tally, &converged)),
            Ok(Advance::Waiting(what)) => {
                converged.waiting = true;
                SyncOutcome::Running(format!("waiting for {what}"))
            }
            Err(error) => SyncOutcome::Failed(error.sentence()),
        };
        let error = advanced.err();
        let is_running = matches!(outcome, SyncOutcome::Running(_));
        let asked = self.asked.clone();
        let may_sync = spec.automated.is_some() || asked.is_some();
        if may_sync && (tally.is_sync() || is_running || asked.is_some() || error.is_some()) {
            let is_news = self.last_result.as_ref() != Some(&(goal.origin.revision.clone(), outcome.clone()));
            if !is_running && (tally.is_sync() || is_news) {
                let by = asked.as_ref().map(|asked| asked.operation.username.as_str());
                self.record_sync(&goal.origin, &tally, &outcome, by);
                let began_at = self.run.as_ref().map_or(started_at, |run| run.started_at);
                let took = Timestamp::now().duration_since(began_at).try_into();
                self.context
                    .metrics
                    .count_sync(&outcome, took.unwrap_or_default());
            }
            self.last_result = Some((goal.origin.revision.clone(), outcome.clone()));
            converged.sync_run = Some(SyncRun {
                revision: goal.origin.revision.clone(),
                started_at: match (&asked, &self.run) {
                    (Some(asked), _) => asked.started_at,
                    (None, Some(run)) => run.started_at,
                    (None, None) => started_at,
                },
                brings_revision: asked.as_ref().is_none_or(AskedSync::brings_revision),
                failures: 0,
                operation: asked.map(|asked| asked.written),
                outcome,
            });
        }
        if !is_running {
            self.end_asked(error.is_some());
        }
        // What is fought over is left alone for a while: looking whether that is over is no try.
        let is_tried = error
            .as_ref()
            .is_some_and(|error| !matches!(error, Error::Fight(_)));
        if let (Some(run), true) = (&mut converged.sync_run, is_tried)
            && (spec.automated.is_some() || self.asked.is_some())
        {
            run.failures = self.failures + 1;
        }
        (converged, error)
    }

    async fn carry_out(
        &mut self,
        spec: &ApplicationSpec,
        goal: &Goal,
        end: &CancellationToken,
        tally: &mut Tally,
    ) -> Result<Advance, Error> {
        self.look_at_windows(spec)?;
        self.judge_again(goal).await?;
        if let (Some(closed), Some(_)) = (&self.closed, &self.asked) {
            return Ok(Advance::Waiting(format!("a sync window: {}", closed.sentence())));
        }
        let todo = self.unknown(goal);
        if self.settled.key.as_ref() == Some(&goal.key) && todo.is_empty() {
            return Ok(Advance::Done);
        }
        self.settled.key = None;
        let inventory = self.inventory().await?;
        let (recorded, before, progress) = (inventory.entries(), inventory.origin(), inventory.progress());
        let removals = self.undeclared(goal, &recorded);
        self.settled.removals = removals.clone();
        let asked = self.asked.as_ref().map(AskedSync::settings);
        let mut settings = Settings::of(spec, &self.application, asked)?;
        if settings.is_drift_only && self.asked.is_some() {
            return Err(Error::DriftOnly);
        }
        settings.writes &= self.closed.is_none();
        let removals = self.still_there(removals, settings.prunes).await?;

        let (held, todo): (Vec<_>, Vec<_>) = todo
            .into_iter()
            .partition(|desired| self.state.held(&desired.key).is_some());
        let held = held.iter().filter_map(|desired| self.state.held(&desired.key));
        let mut fights: Vec<String> = held.map(str::to_owned).collect();
        let coming = self.run.as_ref().map(Run::pending).cloned().unwrap_or_default();
        let (mut planned, refusals) = self.plan_all(&settings, &recorded, &todo, &coming).await?;
        self.leave_unasked(&mut planned);
        if !settings.writes {
            fights.append(&mut planned.fights);
            refusals.map_or(Ok(()), Err)?;
            self.settled.key = fights.is_empty().then(|| goal.key.clone());
            return Ok(Advance::Done);
        }
        let is_new = before.rendered_tree != goal.origin.rendered_tree;
        let is_sync = is_new
            || planned.brings_news()
            || progress.is_some()
            || (settings.prunes && !removals.is_empty());
        if refusals.is_some() && is_new {
            self.seek_last_good(spec, goal, progress.is_none()).await;
        }
        self.put_back(&settings, goal, &recorded, &mut planned, tally)
            .await?;
        fights.append(&mut planned.fights);
        if let Some(refusals) = refusals {
            // Nothing of a sync is written.
            return Err(refusals);
        }
        self.carry_namespace_metadata(spec, goal).await?;
        if is_sync && self.run.as_ref().is_none_or(|run| run.goal != goal.key) {
            let is_unfinished = progress.is_some();
            let mut run = Run::new(goal, progress.filter(|_| !self.begins_anew));
            run.tally.is_new = is_new || is_unfinished;
            run.skips_hooks = self.asked.as_ref().is_some_and(AskedSync::skips_hooks);
            run.tally.previous = Some(before.revision).filter(|revision| !revision.is_empty());
            self.run = Some(run);
        } else if !is_sync {
            self.run = None;
        }
        let advance = self
            .go_on(&settings, goal, &recorded, planned, end, tally)
            .await?;
        if !fights.is_empty() {
            return Err(Error::Fight(fights));
        }
        if matches!(advance, Advance::Waiting(_)) {
            return Ok(advance);
        }
        let kept = if settings.prunes {
            std::mem::take(&mut self.settled.removals)
        } else {
            removals
        };
        let entries = self.confirmed(goal, &recorded, &kept);
        self.inventory().await?.save(&goal.origin, &entries, None).await?;
        self.gone.clear();
        self.last_good.clear();
        self.state.retain(|key| goal.desired.contains_key(key));
        self.settled.removals = kept;
        // While something is still going, each pass has to look.
        self.settled.key = (!tally.waiting).then(|| goal.key.clone());
        Ok(Advance::Done)
    }

    /// Takes the sync that is under way, if one is, as far as it goes without waiting.
    async fn go_on(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        planned: Planned,
        end: &CancellationToken,
        tally: &mut Tally,
    ) -> Result<Advance, Error> {
        let Some(mut run) = self.run.take() else {
            return Ok(Advance::Done);
        };
        // Of a sync that waits, the first plan is the whole one.
        run.tally.judged = run.tally.judged.max(planned.judged);
        run.tally.healed += tally.healed;
        run.take_in(planned);
        let advanced = self
            .advance_or_fail(settings, goal, recorded, &mut run, end)
            .await;
        *tally = run.tally.clone();
        // It is taken up again where it stands, unless it is done or has failed.
        let is_over = match &advanced {
            Ok(Advance::Done) => true,
            Ok(Advance::Waiting(_)) => false,
            Err(error) => error.ends_sync(),
        };
        self.begins_anew = is_over && advanced.is_err();
        self.run = (!is_over).then_some(run);
        advanced
    }

    /// What the inventory has and the goal has not, as far as it is asked about.
    fn undeclared(&self, goal: &Goal, recorded: &Entries) -> Entries {
        let is_asked = |key| self.asked.as_ref().is_none_or(|asked| asked.is_about(key));
        let undeclared = recorded
            .iter()
            .filter(|(key, entry)| !goal.keeps(key, entry) && is_asked(key));
        undeclared
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    /// Those of the removals that are there still, where nothing is deleted; what is deleted is looked at then.
    async fn still_there(&mut self, mut removals: Entries, prunes: bool) -> Result<Entries, Error> {
        self.settled.ignored.clear();
        if prunes {
            return Ok(removals);
        }
        let left = self.left(&removals).await?;
        removals.retain(|key, _| !left.gone.contains(key));
        self.settled.removals.clone_from(&removals);
        self.settled.ignored = left.ignored;
        Ok(removals)
    }

    /// What has to be compared: all that changed here or in Git since it last was.
    fn unknown(&self, goal: &Goal) -> Vec<Arc<Desired>> {
        let is_pending = |desired: &Desired| {
            let run = self.run.as_ref().filter(|run| run.goal == goal.key);
            run.is_some_and(|run| run.is_pending(&desired.key))
        };
        let unknown = |desired: &&Arc<Desired>| {
            !self.state.is_known(&desired.key, &desired.digest) && !is_pending(desired)
        };
        goal.desired.values().filter(unknown).cloned().collect()
    }

    /// Takes a sync as far as it goes without waiting; where it fails, the hooks that run then come before the error.
    async fn advance_or_fail(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        run: &mut Run,
        end: &CancellationToken,
    ) -> Result<Advance, Error> {
        if run.failure.is_none() {
            match self.advance(settings, goal, recorded, run, end).await {
                Err(error) if error.ends_sync() => run.failure = Some(error),
                advanced => return advanced,
            }
        }
        for step in goal.failure_steps() {
            match self.run_hooks(goal, &step, run).await {
                Ok(HooksState::Succeeded) => self.end_hooks(goal, &step, run, true).await?,
                Ok(HooksState::Waiting(what)) => return Ok(Advance::Waiting(what)),
                Err(error) => {
                    tracing::warn!(
                        application = self.name,
                        error = error.sentence(),
                        "A SyncFail hook did not do its work."
                    );
                }
            }
        }
        Err(run.failure.take().unwrap_or(Error::Stopping))
    }

    /// Takes a sync as far as it goes without waiting.
    async fn advance(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        run: &mut Run,
        end: &CancellationToken,
    ) -> Result<Advance, Error> {
        let steps = goal.steps(run.skips_hooks);
        let is_gated = steps.len() > 1;
        if !run.is_promised {
            self.promise(goal, recorded, Some(run.progress())).await?;
            run.is_promised = true;
            let done = steps.get(..run.completed).unwrap_or_default();
            self.end_left_hooks(goal, done, run).await?;
        }
        while let Some(step) = steps.get(run.completed) {
            if end.is_cancelled() {
                return Err(Error::Stopping);
            }
            if step.phase == Phase::PostSync {
                self.prune_once(settings, goal, recorded, run).await?;
            }
            self.apply_step(settings, recorded, step, run).await?;
            if let HooksState::Waiting(waiting) = self.run_hooks(goal, step, run).await? {
                return Ok(Advance::Waiting(waiting));
            }
            if is_gated && let Some(waiting) = self.gate(step)? {
                return Ok(Advance::Waiting(waiting));
            }
            run.completed += 1;
            if !step.hooks.is_empty() {
                // First that they are done, then their end: no agent that starts anew runs them twice.
                self.promise(goal, recorded, Some(run.progress())).await?;
                self.end_hooks(goal, step, run, true).await?;
            }
        }
        self.prune_once(settings, goal, recorded, run).await?;
        Ok(Advance::Done)
    }

    /// Prunes at the end of the Sync phase, once in a run.
    async fn prune_once(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        run: &mut Run,
    ) -> Result<(), Error> {
        if settings.prunes && !run.has_pruned && !self.settled.removals.is_empty() {
            let removals = self.settled.removals.clone();
            self.settled.removals = self
                .prune(settings, goal, recorded, removals, &mut run.tally)
                .await?;
        }
        run.has_pruned = true;
        Ok(())
    }

    /// Deletes what is no longer declared, last things first; returns what is not seen to be gone.
    async fn prune(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        mut removals: Entries,
        tally: &mut Tally,
    ) -> Result<Entries, Error> {
        let cluster = self.actor()?;
        let began_at = self.asked.as_ref().map(|asked| asked.started_at);
        let removal = settings.removal(began_at);
        if let Some(leave) = &self.leave {
            projects::check_objects(leave.project()?, removals.keys())?;
        }
        let looked = prune::look(&cluster, &self.owner, &removals, &removal).await?;
        let declared = goal
            .desired
            .values()
            .filter(|desired| !desired.only_if_absent)
            .count();
        let owned = recorded.values().filter(|entry| !is_hook(entry)).count();
        settings.guard.check(&looked.plan(), owned, declared)?;
        self.last_good.give_up(&removals);
        let propagation = settings.options.prune_propagation_policy;
        let propagation = propagation.unwrap_or(Propagation::Background);
        prune::delete(&cluster, &looked.doomed, propagation).await?;
        tally.pruned += looked.doomed.len() as u64;
        tally.waiting = !looked.doomed.is_empty() || !looked.going.is_empty();
        for key in &looked.forgotten {
            removals.remove(key);
        }
        for (key, protection) in &looked.kept {
            tracing::info!(application = self.name, object = %key, %protection, "An object is not deleted.");
        }
        Ok(removals)
    }

    /// The inventory before anything is applied: all that was, and all that is wanted.
    async fn promise(
        &mut self,
        goal: &Goal,
        recorded: &Entries,
        progress: Option<Progress>,
    ) -> Result<(), Error> {
        let mut entries = recorded.clone();
        for (key, desired) in &goal.desired {
            if self.is_ours(key) {
                entries
                    .entry(key.clone())
                    .or_insert_with(|| entry_of(desired, None, String::new()));
            }
        }
        if let Some(started_at) = progress
            .as_ref()
            .and_then(|progress| progress.started_at.parse().ok())
        {
            entries.extend(goal.hook_entries(started_at));
        }
        let origin = &goal.origin;
        self.inventory().await?.save(origin, &entries, progress).await
    }

    /// The hooks that the inventory has and that are not seen to be gone, and those of a deletion as Git has them now.
    fn hooks_left(&self, goal: &Goal) -> Entries {
        let mut entries = self
            .inventory
            .as_ref()
            .map(Inventory::entries)
            .unwrap_or_default();
        entries.retain(|key, entry| {
            entry.sync_option.as_deref() == Some(super::HOOK) && !self.gone.contains(key)
        });
        let declared = goal.hook_entries(Timestamp::UNIX_EPOCH);
        let is_of_deletion =
            |entry: &InventoryEntry| entry.sync_option.as_deref() == Some(super::DELETION_HOOK);
        entries.extend(declared.into_iter().filter(|(_, entry)| is_of_deletion(entry)));
        entries
    }

    /// The inventory after a pass: what is there, and what is not seen to be gone.
    fn confirmed(&self, goal: &Goal, recorded: &Entries, kept: &Entries) -> Entries {
        let mut entries = self.hooks_left(goal);
        entries.extend(kept.clone());
        for (key, desired) in goal.desired.iter().filter(|(key, _)| self.is_ours(key)) {
            let before = recorded.get(key);
            let seen = self.state.get(key);
            let uid = seen.and_then(|seen| Some(seen.live.as_ref()?.uid.clone()));
            let entry = match (seen.map(|seen| seen.standing), before) {
                (Some(Standing::InSync), _) => entry_of(desired, uid, desired.digest.to_string()),
                (_, Some(before)) => before.clone(),
                (_, None) => entry_of(desired, uid, String::new()),
            };
            entries.insert(key.clone(), entry);
        }
        entries
    }
}

// === impl Goal ===

impl Goal {
    /// Whether the object of an entry is not to be pruned: it is declared, or is a hook.
    fn keeps(&self, key: &ObjectKey, entry: &InventoryEntry) -> bool {
        let is_declared_hook = || self.hooks.iter().any(|hook| hook.desired.key == *key);
        self.desired.contains_key(key) || is_hook(entry) || is_declared_hook()
    }

    /// The entries of the hooks of a sync that began then, and of those that run when the Application is deleted.
    fn hook_entries(&self, started_at: Timestamp) -> Entries {
        let mut entries = Entries::new();
        for hook in &self.hooks {
            for phase in &hook.hook.phases {
                let (key, mark) = if matches!(phase, Phase::PreDelete | Phase::PostDelete) {
                    (hook.desired.key.clone(), super::DELETION_HOOK)
                } else {
                    (hook.named(self, *phase, started_at).0, super::HOOK)
                };
                entries.insert(key.clone(), hook_entry(&hook.desired, key, mark));
            }
        }
        entries
    }
}

/// Whether the entry is about a hook.
pub(super) fn is_hook(entry: &InventoryEntry) -> bool {
    let mark = entry.sync_option.as_deref();
    matches!(mark, Some(super::HOOK | super::DELETION_HOOK))
}

/// The entry of a hook under the name that it runs with.
pub(super) fn hook_entry(desired: &Desired, key: ObjectKey, mark: &str) -> InventoryEntry {
    InventoryEntry {
        name: key.name,
        sync_option: Some(mark.to_owned()),
        ..entry_of(desired, None, String::new())
    }
}

fn entry_of(desired: &Desired, uid: Option<String>, digest: String) -> InventoryEntry {
    InventoryEntry {
        group: desired.gvk.group.clone(),
        version: desired.gvk.version.clone(),
        kind: desired.gvk.kind.clone(),
        namespace: desired.key.namespace.clone().unwrap_or_default(),
        name: desired.key.name.clone(),
        uid,
        file: desired.file.clone(),
        sync_option: desired.only_if_absent.then(|| super::CREATE_NAMESPACE.to_owned()),
        digest,
    }
}
