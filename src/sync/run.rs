//! One sync: the steps that bring a render into the cluster, each of which waits for the one before to be healthy.
//!
//! A run outlives passes. A pass takes it as far as it goes without waiting; what happens to its objects wakes the
//! next pass, and a newer goal begins a run of its own in its place. How far it came is kept in the inventory, so that
//! an agent that starts anew takes it up where it stood.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;
use provost_delivery::health::Status;
use provost_delivery::hook::Phase;
use provost_delivery::order;
use provost_manifest::object::ObjectKey;

use super::application::{Goal, Task};
use super::apply::apply_object;
use super::desired::{Desired, DesiredHook};
use super::error::Error;
use super::hooks::Hooks;
use super::inventory::{Entries, Progress};
use super::plan::{self, PARALLEL, Verdict};
use super::record::Tally;
use super::settings::Settings;
use super::stage::{Deferred, Planned, Write, refusal};
use super::state::Standing;
use crate::cluster::{Folded, wait_established};

/// Stands for the render in the progress of an Application's deletion.
const DELETION: &str = "deletion";

/// One sync that is under way.
#[derive(Debug)]
pub(super) struct Run {
    /// The key of the render that it brings.
    pub(super) goal: String,
    /// Its tree id in the rendered history.
    render: String,
    pub(super) started_at: Timestamp,
    /// How many steps are done.
    pub(super) completed: usize,
    /// Whether the inventory has what will be applied.
    pub(super) is_promised: bool,
    pub(super) tally: Tally,
    pub(super) hooks: Hooks,
    /// Whether no hook runs.
    pub(super) skips_hooks: bool,
    /// Whether what is no longer declared was deleted.
    pub(super) has_pruned: bool,
    /// Why it failed, while the hooks that run then are not done.
    pub(super) failure: Option<Error>,
    pending: BTreeMap<ObjectKey, Write>,
    deferred: BTreeMap<ObjectKey, Deferred>,
}

/// The objects and hooks of one wave of one phase, objects in the order of applying.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) wave: i64,
    pub(super) objects: Vec<Arc<Desired>>,
    pub(super) hooks: Vec<Arc<DesiredHook>>,
}

// === impl Run ===

impl Run {
    /// Begins a sync, or takes one up that the inventory says was begun.
    pub(super) fn new(goal: &Goal, progress: Option<Progress>) -> Self {
        let progress = progress.filter(|progress| progress.render == goal.origin.rendered_tree);
        let started_at = progress
            .as_ref()
            .and_then(|progress| progress.started_at.parse().ok());
        Self {
            goal: goal.key.clone(),
            render: goal.origin.rendered_tree.clone(),
            started_at: started_at.unwrap_or_else(Timestamp::now),
            completed: progress.as_ref().map_or(0, |progress| progress.completed),
            is_promised: false,
            tally: Tally::default(),
            hooks: Hooks::new(),
            skips_hooks: false,
            has_pruned: false,
            failure: None,
            pending: BTreeMap::new(),
            deferred: BTreeMap::new(),
        }
    }

    /// Begins an Application's deletion, or takes one up that the inventory says was begun.
    pub(super) fn of_deletion(goal: &Goal, began_at: Timestamp, progress: Option<Progress>) -> Self {
        let progress = progress.filter(|progress| progress.render == DELETION);
        Self {
            render: DELETION.to_owned(),
            started_at: began_at,
            completed: progress.map_or(0, |progress| progress.completed),
            ..Self::new(goal, None)
        }
    }

    /// How far it came, for the inventory.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            render: self.render.clone(),
            started_at: self.started_at.to_string(),
            completed: self.completed,
        }
    }

    /// What was planned since.
    pub(super) fn take_in(&mut self, planned: Planned) {
        for key in planned.writes.keys().chain(planned.deferred.keys()) {
            self.pending.remove(key);
            self.deferred.remove(key);
        }
        self.pending.extend(planned.writes);
        self.deferred.extend(planned.deferred);
    }

    /// What was planned and not yet written.
    pub(super) fn pending(&self) -> &BTreeMap<ObjectKey, Write> {
        &self.pending
    }

    /// Whether the object was planned and its step has not come yet.
    pub(super) fn is_pending(&self, key: &ObjectKey) -> bool {
        self.pending.contains_key(key) || self.deferred.contains_key(key)
    }

    /// What the watches saw: a planned object is not what it was, a hook has come further.
    pub(super) fn observe(&mut self, observed: &HashMap<ObjectKey, Option<Folded>>) {
        for key in observed.keys() {
            self.pending.remove(key);
            self.deferred.remove(key);
        }
        for ((_, key), hook) in &mut self.hooks {
            if let Some(seen) = observed.get(key) {
                hook.observe(seen.as_ref());
            }
        }
    }
}

// === impl Goal ===

impl Goal {
    /// Phases and waves, first to last, those of a failed sync and of deletion left out.
    pub(super) fn steps(&self, skips_hooks: bool) -> Vec<Step> {
        let mut steps = self.all_steps().to_vec();
        if skips_hooks {
            for step in &mut steps {
                step.hooks.clear();
            }
        }
        steps.retain(|step| step.phase.is_of_sync() && !(step.objects.is_empty() && step.hooks.is_empty()));
        steps
    }

    /// The waves of the hooks that run when a sync has failed.
    pub(super) fn failure_steps(&self) -> Vec<Step> {
        self.steps_of(Phase::SyncFail)
    }

    /// The waves of one phase.
    pub(super) fn steps_of(&self, phase: Phase) -> Vec<Step> {
        let mut steps = self.all_steps().to_vec();
        steps.retain(|step| step.phase == phase);
        steps
    }

    fn all_steps(&self) -> &[Step] {
        self.steps.get_or_init(|| self.find_steps())
    }

    fn find_steps(&self) -> Vec<Step> {
        let kept: Vec<&Arc<Desired>> = self.desired.values().collect();
        let objects = kept.iter().map(|desired| desired.object.open());
        let hooks = self.hooks.iter().map(|hook| hook.desired.object.open());
        let values: Vec<_> = objects.chain(hooks).collect();
        let mut steps: Vec<Step> = Vec::new();
        for ranked in order::steps(&values.iter().collect::<Vec<_>>()) {
            let place = (ranked.phase, ranked.wave);
            if steps.last().map(|step| (step.phase, step.wave)) != Some(place) {
                steps.push(Step::new(place));
            }
            let Some(step) = steps.last_mut() else { continue };
            for position in ranked.objects {
                match kept.get(position) {
                    Some(desired) => step.objects.push(Arc::clone(desired)),
                    None => step.hooks.push(Arc::clone(&self.hooks[position - kept.len()])),
                }
            }
        }
        steps
    }
}

// === impl Step ===

impl Step {
    fn new((phase, wave): (Phase, i64)) -> Self {
        Self {
            phase,
            wave,
            objects: Vec::new(),
            hooks: Vec::new(),
        }
    }
}

// === impl Task ===

impl Task {
    /// Writes what is to be written of a step. What waited for something else is tried as soon as something was
    /// written; what still waits when nothing more can be is refused.
    pub(super) async fn apply_step(
        &mut self,
        settings: &Settings,
        recorded: &Entries,
        step: &Step,
        run: &mut Run,
    ) -> Result<(), Error> {
        loop {
            let mut writes = Vec::new();
            let mut deferred = Vec::new();
            for desired in &step.objects {
                writes.extend(run.pending.remove(&desired.key));
                deferred.extend(run.deferred.remove(&desired.key));
            }
            if writes.is_empty() && deferred.is_empty() {
                return Ok(());
            }
            let has_written = !writes.is_empty();
            let mut tally = std::mem::take(&mut run.tally);
            let applied = self.apply(settings, writes, &mut tally).await;
            run.tally = tally;
            applied?;
            if deferred.is_empty() {
                return Ok(());
            }
            let objects: Vec<_> = deferred.iter().map(|one| Arc::clone(&one.desired)).collect();
            let planned = self.plan(settings, recorded, &objects, &run.pending).await?;
            let is_stuck = planned.deferred.len() == objects.len() && !has_written;
            if is_stuck {
                let waiting = planned.deferred.values();
                return Err(Error::Stage {
                    refused: waiting.map(|one| refusal(&one.desired, &one.reason)).collect(),
                    total: step.objects.len(),
                });
            }
            run.take_in(planned);
        }
    }

    /// Whether the next step may begin: what is waited for, or nothing.
    ///
    /// # Errors
    /// An object of the step has failed.
    pub(super) fn gate(&self, step: &Step) -> Result<Option<String>, Error> {
        let mut waiting = None;
        for desired in step.objects.iter().filter(|desired| self.is_ours(&desired.key)) {
            let seen = self.state.get(&desired.key);
            let Some(live) = seen.and_then(|seen| seen.live.as_ref()) else {
                waiting.get_or_insert_with(|| format!("{} to be there", desired.key));
                continue;
            };
            let Some(health) = &live.health else { continue };
            match health.status {
                Status::Healthy | Status::Suspended => {}
                Status::Degraded => {
                    return Err(Error::Unhealthy {
                        object: desired.key.to_string(),
                        wave: step.wave,
                        message: health.message.clone(),
                    });
                }
                Status::Progressing | Status::Missing | Status::Unknown => {
                    waiting.get_or_insert_with(|| {
                        let status = health.status.to_string();
                        let why = if health.message.is_empty() {
                            &status
                        } else {
                            &health.message
                        };
                        format!("{} (wave {}): {why}", desired.key, step.wave)
                    });
                }
            }
        }
        Ok(waiting)
    }

    /// Writes objects, kind by kind, and waits for the kinds that they add.
    pub(super) async fn apply(
        &mut self,
        settings: &Settings,
        writes: Vec<Write>,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let mut crds = Vec::new();
        for group in by_rank(writes) {
            let cluster = self.actor()?;
            let applied: Vec<_> = futures::stream::iter(group)
                .map(|write| {
                    let cluster = cluster.clone();
                    async move {
                        let applied = apply_object(&cluster, &write.desired, &write.verdict, settings).await;
                        (write, applied)
                    }
                })
                .buffered(PARALLEL)
                .collect()
                .await;
            let mut failed = Vec::new();
            for (write, applied) in applied {
                match applied {
                    Ok(live) => {
                        if let (true, Ok(target)) =
                            (is_crd(&write.desired.key), plan::target(&cluster, &write.desired))
                        {
                            crds.push(target);
                        }
                        self.applied(&write, live, tally);
                    }
                    Err(error) => {
                        self.state.distrust(&write.desired.key);
                        failed.push(format!("{}: {}", write.desired.key, error.sentence()));
                    }
                }
            }
            if !failed.is_empty() {
                return Err(Error::Apply(failed));
            }
        }
        for crd in &crds {
            wait_established(&self.context.cluster, crd).await?;
        }
        if !crds.is_empty() {
            self.context.cluster.rediscover().await?;
        }
        Ok(())
    }

    fn applied(&mut self, write: &Write, live: Folded, tally: &mut Tally) {
        let key = &write.desired.key;
        self.state
            .record(key, write.desired.digest, Some(live), Standing::InSync);
        match (&write.verdict, write.is_drift) {
            (_, true) => {
                tally.healed += 1;
                self.record_drift(key, &write.verdict, "put back");
            }
            (Verdict::Create, false) => tally.created += 1,
            (_, false) => tally.changed += 1,
        }
    }
}

fn is_crd(key: &ObjectKey) -> bool {
    key.group == "apiextensions.k8s.io" && key.kind == "CustomResourceDefinition"
}

/// Writes of one kind's rank may run side by side; they go in the order of applying.
fn by_rank(mut writes: Vec<Write>) -> Vec<Vec<Write>> {
    let rank = |write: &Write| order::kind_rank(&write.desired.key.group, &write.desired.key.kind);
    writes.sort_by_key(rank);
    let mut groups: Vec<Vec<Write>> = Vec::new();
    for write in writes {
        match groups
            .last_mut()
            .filter(|group| group.last().map(rank) == Some(rank(&write)))
        {
            Some(group) => group.push(write),
            None => groups.push(vec![write]),
        }
    }
    groups
}
