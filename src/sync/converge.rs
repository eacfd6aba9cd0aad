//! Bringing the cluster to a goal: plan, inventory, apply, prune.

use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;
use provost_delivery::order;
use provost_manifest::object::ObjectKey;
use tokio_util::sync::CancellationToken;

use super::application::{Goal, Task};
use super::apply::apply_object;
use super::desired::Desired;
use super::error::Error;
use super::inventory::Entries;
use super::plan::{self, PARALLEL, Verdict, plan_stage};
use super::prune;
use super::record::Tally;
use super::settings::Settings;
use super::standing::Converged;
use super::state::Standing;
use super::status::SyncRun;
use crate::api::argoproj::ApplicationSpec;
use crate::api::provost::InventoryEntry;
use crate::cluster::{Folded, wait_established};

/// What the last pass left behind.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The key of the render that was carried out without an error.
    key: Option<String>,
    /// What is no longer declared and still there.
    pub(super) removals: Entries,
}

/// One object that is to be written.
struct Write {
    desired: Arc<Desired>,
    verdict: Verdict,
    is_drift: bool,
}

// === impl Task ===

impl Task {
    /// Makes the cluster as the goal says, as far as the spec allows; whatever was done before an error stays done.
    ///
    /// # Guarantees
    /// No request where nothing has changed since the last pass that went well.
    pub(super) async fn converge(
        &mut self,
        spec: &ApplicationSpec,
        goal: &Goal,
        end: &CancellationToken,
    ) -> (Converged, Option<Error>) {
        let started_at = Timestamp::now();
        let mut tally = Tally::default();
        let error = self.carry_out(spec, goal, end, &mut tally).await.err();
        let mut converged = self.standing(goal);
        converged.waiting = tally.waiting;
        if spec.automated.is_some() && (tally.is_sync() || error.is_some()) {
            let result = match &error {
                None => Ok(tally.summary()),
                Some(error) => Err(error.sentence()),
            };
            let is_news = self.last_result.as_ref() != Some(&(goal.origin.revision.clone(), result.clone()));
            if tally.is_sync() || is_news {
                self.record_sync(&goal.origin, &tally, &result);
            }
            self.last_result = Some((goal.origin.revision.clone(), result.clone()));
            converged.sync_run = Some(SyncRun {
                revision: goal.origin.revision.clone(),
                started_at,
                result,
            });
        }
        (converged, error)
    }

    async fn carry_out(
        &mut self,
        spec: &ApplicationSpec,
        goal: &Goal,
        end: &CancellationToken,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let is_settled = self.settled.key.as_ref() == Some(&goal.key);
        let unknown = |desired: &&Arc<Desired>| !self.state.is_known(&desired.key, &desired.digest);
        let todo: Vec<Arc<Desired>> = goal.desired.values().filter(unknown).cloned().collect();
        if is_settled && todo.is_empty() {
            return Ok(());
        }
        self.settled.key = None;
        let inventory = self.inventory().await?;
        let (recorded, before) = (inventory.entries(), inventory.origin());
        tally.is_new = before.rendered_tree != goal.origin.rendered_tree;
        tally.previous = Some(before.revision).filter(|revision| !revision.is_empty());
        let removals: Entries = recorded
            .iter()
            .filter(|(key, _)| !goal.desired.contains_key(*key))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        self.settled.removals = removals.clone();
        let settings = Settings::of(spec, &self.application)?;

        let (held, todo): (Vec<_>, Vec<_>) = todo
            .into_iter()
            .partition(|desired| self.state.held(&desired.key).is_some());
        let held = held.iter().filter_map(|desired| self.state.held(&desired.key));
        let mut fights: Vec<String> = held.map(str::to_owned).collect();
        let mut promised = false;
        for stage in stages(&todo) {
            let writes = self.plan(&settings, &recorded, &stage, &mut fights).await?;
            if writes.is_empty() {
                continue;
            }
            if end.is_cancelled() {
                return Err(Error::Stopping);
            }
            if !promised {
                let entries = self.promised(goal, &recorded);
                self.inventory().await?.save(&goal.origin, &entries).await?;
                promised = true;
            }
            self.apply(&settings, writes, tally).await?;
        }
        if !fights.is_empty() {
            return Err(Error::Fight(fights));
        }
        if !settings.writes {
            self.settled.key = Some(goal.key.clone());
            return Ok(());
        }
        let kept = if settings.prunes && !removals.is_empty() {
            self.prune(&settings, goal, &recorded, removals, tally).await?
        } else {
            removals
        };
        let entries = self.confirmed(goal, &recorded, &kept);
        self.inventory().await?.save(&goal.origin, &entries).await?;
        self.settled.removals = kept;
        // While something is still going, each pass has to look.
        self.settled.key = (!tally.waiting).then(|| goal.key.clone());
        Ok(())
    }

    /// Dry-runs a stage as a whole and decides what is to be written.
    async fn plan(
        &mut self,
        settings: &Settings,
        recorded: &Entries,
        stage: &[Arc<Desired>],
        fights: &mut Vec<String>,
    ) -> Result<Vec<Write>, Error> {
        let cluster = self.context.cluster.clone();
        for desired in stage {
            if let Some(kind) = cluster.kinds().get(&desired.gvk) {
                self.context.watch(kind);
            }
        }
        let mut refused = Vec::new();
        let mut writes = Vec::new();
        for (desired, verdict) in plan_stage(&cluster, &self.owner, stage, settings.foreign).await {
            match verdict {
                Ok(verdict) => writes.extend(self.decide(settings, recorded, desired, verdict, fights)),
                // Without leave to write, the stage before was not brought in, and this is no error.
                Err(error) if !settings.writes && error.waits_for_others() => {
                    self.state
                        .record(&desired.key, desired.digest, None, Standing::OutOfSync);
                }
                Err(error) => {
                    if error.waits_for_others() {
                        // A namespace that is not ours may be gone, and then it is to be made.
                        self.state.distrust_standing(Standing::NotOurs);
                    }
                    let file = desired.file.as_deref().unwrap_or("the render");
                    refused.push(format!("{} ({file}): {}", desired.key, error.sentence()));
                }
            }
        }
        if refused.is_empty() {
            return Ok(writes);
        }
        Err(Error::Stage {
            refused,
            total: stage.len(),
        })
    }

    /// Whether the object is to be written; if not, how it stands is remembered.
    fn decide(
        &mut self,
        settings: &Settings,
        recorded: &Entries,
        desired: Arc<Desired>,
        verdict: Verdict,
        fights: &mut Vec<String>,
    ) -> Option<Write> {
        let (key, wanted) = (&desired.key, desired.digest);
        let live = match &verdict {
            Verdict::Unchanged(live) => {
                self.state
                    .record(key, wanted, Some(live.clone()), Standing::InSync);
                return None;
            }
            Verdict::NotOurs(live) => {
                self.state
                    .record(key, wanted, Some(live.clone()), Standing::NotOurs);
                return None;
            }
            Verdict::Reported(live, _) => {
                if self
                    .state
                    .record(key, wanted, Some(live.clone()), Standing::OutOfSync)
                {
                    self.record_drift(key, &verdict, "reported");
                }
                return None;
            }
            Verdict::Create => None,
            Verdict::Update(update) => Some(update.live.clone()),
        };
        // What was applied like this before has drifted; anything else is news from Git.
        let was_applied = |entry: &InventoryEntry| entry.uid.is_some() && entry.digest == wanted.to_string();
        let is_drift = recorded.get(key).is_some_and(was_applied);
        let may_write = settings.writes && (settings.heals || !is_drift);
        let is_fight = may_write && is_drift && !self.state.may_heal(key);
        if may_write && !is_fight {
            return Some(Write {
                desired,
                verdict,
                is_drift,
            });
        }
        if self.state.record(key, wanted, live, Standing::OutOfSync) && is_drift {
            self.record_drift(key, &verdict, "reported");
        }
        if is_fight {
            let fight = fight(key, &verdict);
            fights.push(fight.clone());
            self.state.hold(key, fight);
        }
        None
    }

    /// Writes a stage, kind by kind, and waits for the kinds that it adds.
    async fn apply(
        &mut self,
        settings: &Settings,
        writes: Vec<Write>,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let foreign = settings.foreign;
        let mut crds = Vec::new();
        for group in by_rank(writes) {
            let cluster = self.context.cluster.clone();
            let applied: Vec<_> = futures::stream::iter(group)
                .map(|write| {
                    let cluster = cluster.clone();
                    async move {
                        let applied = apply_object(&cluster, &write.desired, &write.verdict, foreign).await;
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

    /// Deletes what is no longer declared, last things first; returns what is not seen to be gone.
    async fn prune(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        mut removals: Entries,
        tally: &mut Tally,
    ) -> Result<Entries, Error> {
        let cluster = self.context.cluster.clone();
        let looked = prune::look(&cluster, &self.owner, &removals).await?;
        let declared = goal
            .desired
            .values()
            .filter(|desired| !desired.only_if_absent)
            .count();
        settings.guard.check(&looked.plan(), recorded.len(), declared)?;
        prune::delete(&cluster, &looked.doomed).await?;
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
    fn promised(&self, goal: &Goal, recorded: &Entries) -> Entries {
        let mut entries = recorded.clone();
        for (key, desired) in &goal.desired {
            if self.is_ours(key) {
                entries
                    .entry(key.clone())
                    .or_insert_with(|| entry_of(desired, None, String::new()));
            }
        }
        entries
    }

    /// The inventory after a pass: what is there, and what is not seen to be gone.
    fn confirmed(&self, goal: &Goal, recorded: &Entries, kept: &Entries) -> Entries {
        let mut entries = kept.clone();
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

/// Objects in the order of applying, in stages: each is dry-run as a whole, and the next one may need it.
fn stages(objects: &[Arc<Desired>]) -> Vec<Vec<Arc<Desired>>> {
    let values: Vec<_> = objects.iter().map(|desired| &desired.object).collect();
    let mut stages: Vec<Vec<Arc<Desired>>> = Vec::new();
    let mut last = None;
    for step in order::apply_steps(&values) {
        let step_objects = step
            .objects
            .iter()
            .map(|position| Arc::clone(&objects[*position]));
        match stages.last_mut() {
            Some(stage) if last == Some(step.is_foundation) => stage.extend(step_objects),
            _ => stages.push(step_objects.collect()),
        }
        last = Some(step.is_foundation);
    }
    stages
}

fn is_crd(key: &ObjectKey) -> bool {
    key.group == "apiextensions.k8s.io" && key.kind == "CustomResourceDefinition"
}

/// Writes of one kind's rank may run side by side; they come in the order of applying.
fn by_rank(mut writes: Vec<Write>) -> Vec<Vec<Write>> {
    let rank = |write: &Write| order::kind_rank(&write.desired.key.group, &write.desired.key.kind);
    let mut groups: Vec<Vec<Write>> = Vec::new();
    for write in writes.drain(..) {
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

fn entry_of(desired: &Desired, uid: Option<String>, digest: String) -> InventoryEntry {
    InventoryEntry {
        group: desired.gvk.group.clone(),
        version: desired.gvk.version.clone(),
        kind: desired.gvk.kind.clone(),
        namespace: desired.key.namespace.clone().unwrap_or_default(),
        name: desired.key.name.clone(),
        uid,
        file: desired.file.clone(),
        digest,
    }
}

fn fight(key: &ObjectKey, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Update(update) if !update.managers.is_empty() => {
            format!(
                "{key} is changed again and again by {}",
                update.managers.join(", ")
            )
        }
        _ => format!("{key} is changed or deleted again and again"),
    }
}
