//! Bringing the cluster to a goal: plan, inventory, apply, prune.

use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;
use provost_delivery::foreign::ForeignField;
use provost_delivery::plan::{Change, ForeignFields};
use provost_delivery::{health, order, prune as rules};
use provost_evidence::event::{Drift, Event, Sync};
use provost_manifest::object::ObjectKey;
use provost_manifest::path::FieldPath;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::application::{Goal, Task};
use super::apply::apply_object;
use super::desired::Desired;
use super::error::Error;
use super::inventory::{Entries, Origin};
use super::plan::{self, PARALLEL, Update, Verdict, plan_stage};
use super::prune;
use super::state::Standing;
use super::status::SyncRun;
use crate::api::argoproj::{Application, ApplicationSpec, HealthStatus, ResourceStatus, SyncCode};
use crate::api::provost::InventoryEntry;
use crate::cluster::{Folded, wait_established};

/// The most field paths that one drift record names.
const MAX_DRIFT_FIELDS: usize = 100;
/// Annotation with the most objects that may be deleted at once without an approval.
const MAX_DELETIONS: &str = "provost.dev/max-deletions";
/// Annotation with the digest of the deletions that somebody approves of.
const APPROVE_DELETIONS: &str = "provost.dev/approve-deletions";

/// How the cluster stands after a pass.
#[derive(Debug, Default)]
pub(super) struct Converged {
    pub(super) sync: SyncCode,
    pub(super) health: HealthStatus,
    pub(super) resources: Vec<ResourceStatus>,
    /// The sync that the pass was, if it was one.
    pub(super) sync_run: Option<SyncRun>,
    /// Whether something is being deleted and not gone yet.
    pub(super) waiting: bool,
}

/// What the last pass left behind.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The key of the render that was carried out without an error.
    key: Option<String>,
    /// What is no longer declared and still there.
    removals: Entries,
}

/// What a pass does, counted.
#[derive(Debug, Default)]
struct Tally {
    created: u64,
    changed: u64,
    pruned: u64,
    healed: u64,
    waiting: bool,
    /// Whether the render is another than the inventory's.
    is_new: bool,
    previous: Option<String>,
}

/// One object that is to be written.
struct Write {
    desired: Arc<Desired>,
    verdict: Verdict,
    is_drift: bool,
}

/// What the Application's spec and annotations allow.
#[derive(Clone, Copy, Debug)]
struct Settings {
    writes: bool,
    heals: bool,
    prunes: bool,
    foreign: ForeignFields,
    guard: rules::Guard,
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

        let mut fights = Vec::new();
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
        if is_fight {
            fights.push(fight(key, &verdict));
        }
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
            self.state.distrust(key);
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

    fn is_ours(&self, key: &ObjectKey) -> bool {
        self.state
            .get(key)
            .is_none_or(|seen| seen.standing != Standing::NotOurs)
    }

    /// How everything stands, by what is remembered.
    fn standing(&self, goal: &Goal) -> Converged {
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
                status: SyncCode::OutOfSync,
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
        }
    }

    fn record_drift(&self, key: &ObjectKey, verdict: &Verdict, resolution: &str) {
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

    fn record_sync(&self, origin: &Origin, tally: &Tally, result: &Result<String, String>) {
        tracing::info!(
            application = self.name,
            revision = origin.revision,
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
            outcome: if result.is_ok() { "succeeded" } else { "failed" }.to_owned(),
            message: result.as_ref().err().cloned().unwrap_or_default(),
            created: tally.created,
            changed: tally.changed,
            pruned: tally.pruned,
        }));
    }
}

// === impl Settings ===

impl Settings {
    fn of(spec: &ApplicationSpec, application: &Application) -> Result<Self, Error> {
        let automated = spec.automated.unwrap_or_default();
        let annotations = application.metadata.annotations.clone().unwrap_or_default();
        let as_value = json!({ "metadata": { "annotations": annotations } });
        let foreign = ForeignFields::of(&as_value).map_err(|error| Error::Annotation(error.to_string()))?;
        let number = |name: &str| {
            let parse = |text: &String| {
                text.parse()
                    .map_err(|_| Error::Annotation(format!("{name} is {text:?}: a number is wanted")))
            };
            annotations.get(name).map(parse).transpose()
        };
        let approved = annotations
            .get(APPROVE_DELETIONS)
            .map(|text| text.parse())
            .transpose();
        Ok(Self {
            writes: spec.automated.is_some(),
            heals: automated.self_heal,
            prunes: automated.prune,
            // Who does not heal does not remove either.
            foreign: match foreign {
                ForeignFields::Remove if !automated.self_heal => ForeignFields::Report,
                setting => setting,
            },
            guard: rules::Guard {
                allow_empty: automated.allow_empty,
                max_deletions: number(MAX_DELETIONS)?,
                approved: approved
                    .map_err(|error| Error::Annotation(format!("{APPROVE_DELETIONS}: {error}")))?,
            },
        })
    }
}

// === impl Tally ===

impl Tally {
    fn is_sync(&self) -> bool {
        self.is_new || self.created + self.changed + self.pruned > 0
    }

    fn summary(&self) -> String {
        format!(
            "{} created, {} changed, {} deleted",
            self.created, self.changed, self.pruned
        )
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
