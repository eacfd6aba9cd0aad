//! An Application's end.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use provost_delivery::hook::Phase;
use provost_delivery::options::Propagation;
use provost_delivery::owner::Owner;
use provost_delivery::plan::Identity;
use provost_delivery::prune::{Cause, DELETION_APPROVED_ANNOTATION, Protection, Removal};
use provost_manifest::object::ObjectKey;
use serde_json::{Value, json};

use super::application::{Goal, Task};
use super::converge::{hook_entry, is_hook};
use super::error::Error;
use super::hooks::HooksState;
use super::inventory::{Entries, key_of};
use super::run::Run;
use super::{prune, settings};
use crate::api::argoproj::{Application, ApplicationSpec, RESOURCES_FINALIZER};
use crate::api::provost::InventoryEntry;
use crate::cluster::{Cluster, FIELD_MANAGER};

/// Whether an Application that is being deleted still has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finalized {
    Done,
    /// Some of its objects are not gone yet.
    Waiting,
}

// === impl Task ===

impl Task {
    /// Deletes what the Application owns, if its finalizer says so, and then lets it go. Without the finalizer its
    /// objects stay as they are.
    ///
    /// PreDelete hooks run first; then the objects go, the last wave first, each wave once the one before is gone; then
    /// PostDelete hooks run; hooks that were left behind go, and last the namespace that was made for it all.
    ///
    /// # Guarantees
    /// The finalizer goes only once everything in the inventory is seen to be gone, or not to be ours.
    pub(super) async fn carry_out_deletion(&mut self) -> Result<Finalized, Error> {
        if !self.application.deletes_resources() {
            return Ok(Finalized::Done);
        }
        let entries = self.inventory().await?.entries();
        if !entries.is_empty() && settings::is_drift_only(&self.application) {
            return Err(Error::DriftOnly);
        }
        let actor = self.leave_to_delete(&entries)?;
        self.begin_deletion(&entries).await?;
        if self.run_deletion_hooks(Phase::PreDelete).await? == Finalized::Waiting {
            return Ok(Finalized::Waiting);
        }
        let entries = self.inventory().await?.entries();
        let (hooks, objects): (Entries, Entries) = entries.into_iter().partition(|(_, entry)| is_hook(entry));
        let application = Arc::clone(&self.application);
        let deletion = Deletion::of(&actor, &self.owner, &application);
        let Some(made) = deletion.of_objects(&objects).await? else {
            return Ok(Finalized::Waiting);
        };
        if self.run_deletion_hooks(Phase::PostDelete).await? == Finalized::Waiting {
            return Ok(Finalized::Waiting);
        }
        let deletion = Deletion::of(&actor, &self.owner, &application);
        if deletion.of_objects(&hooks).await?.is_none() {
            return Ok(Finalized::Waiting);
        }
        if !made.is_empty() {
            for key in &made {
                delete_made_namespace(&actor, &objects, key).await?;
            }
            return Ok(Finalized::Waiting);
        }
        self.inventory().await?.remove().await?;
        let finalizers = application.metadata.finalizers.iter().flatten();
        let left: Vec<&String> = finalizers
            .filter(|name| !name.starts_with(RESOURCES_FINALIZER))
            .collect();
        patch_metadata(&self.context.cluster, &application, json!({ "finalizers": left })).await?;
        Ok(Finalized::Done)
    }

    /// Asks Git for the hooks of the deletion, if the inventory says that there are any, and writes down what will be
    /// made. Where Git cannot be read, the Application waits: nobody knows what was to run.
    async fn begin_deletion(&mut self, entries: &Entries) -> Result<(), Error> {
        let mark = |entry: &InventoryEntry| entry.sync_option.as_deref() == Some(super::DELETION_HOOK);
        if self.deletion.is_some() || !entries.values().any(mark) {
            return Ok(());
        }
        let spec = ApplicationSpec::parse(&self.application.spec)?;
        let leave = self.ask_leave(&spec)?;
        self.compare(&spec).await?;
        let Some(goal) = self.goal.clone() else {
            return Err(Error::Waiting);
        };
        goal.check(leave.project()?)?;
        let began_at = self.application.metadata.deletion_timestamp.as_ref();
        let began_at = began_at.map_or_else(Timestamp::now, |time| time.0);
        let inventory = self.inventory().await?;
        let run = Run::of_deletion(&goal, began_at, inventory.progress());
        let mut entries = entries.clone();
        for hook in &goal.hooks {
            for phase in hook.hook.phases.iter().filter(|phase| is_of_deletion(**phase)) {
                let (key, _) = hook.named(&goal, *phase, began_at);
                // The mark of the deletion stays with a name that it is to run under.
                entries
                    .entry(key.clone())
                    .or_insert_with(|| hook_entry(&hook.desired, key, super::HOOK));
            }
        }
        let origin = inventory.origin();
        inventory.save(&origin, &entries, Some(run.progress())).await?;
        self.deletion = Some((goal, run));
        Ok(())
    }

    /// Runs the hooks of a phase of the deletion, wave by wave, each once.
    async fn run_deletion_hooks(&mut self, phase: Phase) -> Result<Finalized, Error> {
        let Some((goal, mut run)) = self.deletion.take() else {
            return Ok(Finalized::Done);
        };
        let ran = self.run_phase(&goal, phase, &mut run).await;
        // One that has failed is looked at anew the next time: somebody may have taken it away.
        if ran.is_err() {
            run.hooks.clear();
        }
        self.deletion = Some((goal, run));
        ran
    }

    async fn run_phase(&mut self, goal: &Goal, phase: Phase, run: &mut Run) -> Result<Finalized, Error> {
        let before = match phase {
            Phase::PostDelete => goal.steps_of(Phase::PreDelete).len(),
            _ => 0,
        };
        for (index, step) in goal.steps_of(phase).iter().enumerate() {
            if before + index < run.completed {
                continue;
            }
            if let HooksState::Waiting(_) = self.run_hooks(goal, step, run).await? {
                return Ok(Finalized::Waiting);
            }
            run.completed = before + index + 1;
            // First that it is done, then its end: no agent that starts anew runs it twice.
            let inventory = self.inventory().await?;
            let (origin, entries) = (inventory.origin(), inventory.entries());
            inventory.save(&origin, &entries, Some(run.progress())).await?;
            self.end_hooks(goal, step, run, true).await?;
        }
        Ok(Finalized::Done)
    }
}

fn is_of_deletion(phase: Phase) -> bool {
    matches!(phase, Phase::PreDelete | Phase::PostDelete)
}

/// Deleting what an Application owned.
struct Deletion<'t> {
    /// The cluster as whoever may delete it.
    actor: &'t Cluster,
    owner: &'t Owner,
    removal: Removal<'t>,
    propagation: Propagation,
}

// === impl Deletion ===

impl<'t> Deletion<'t> {
    fn of(actor: &'t Cluster, owner: &'t Owner, application: &'t Application) -> Self {
        let options = ApplicationSpec::parse(&application.spec)
            .map(|spec| spec.sync_policy.options)
            .unwrap_or_default();
        let annotations = application.metadata.annotations.as_ref();
        let approved = annotations.and_then(|annotations| annotations.get(DELETION_APPROVED_ANNOTATION));
        Self {
            actor,
            owner,
            removal: Removal {
                cause: Cause::ApplicationDeleted,
                options,
                approved: approved.map(String::as_str),
                began_at: None,
            },
            propagation: options
                .prune_propagation_policy
                .unwrap_or(Propagation::Background),
        }
    }

    /// Deletes the wave that goes first. Once all is gone, but for what was made for the Application: that.
    async fn of_objects(&self, entries: &Entries) -> Result<Option<Vec<ObjectKey>>, Error> {
        let mut removals = prune::look(self.actor, self.owner, entries, &self.removal).await?;
        // Deleting the Application confirms the end of the namespace that was made for it, and of no other.
        let (confirmed, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut removals.kept)
                .into_iter()
                .partition(|(key, protection)| {
                    *protection == Protection::NeedsConfirmation && is_made(entries, key)
                });
        if removals.going.is_empty() {
            prune::delete(self.actor, removals.first_wave(), self.propagation).await?;
        }
        if !kept.is_empty() {
            let sentences = kept.iter().map(|(key, protection)| format!("{key} {protection}"));
            return Err(Error::Deletion(sentences.collect()));
        }
        if removals.forgotten.len() + confirmed.len() < entries.len() {
            return Ok(None);
        }
        Ok(Some(confirmed.into_iter().map(|(key, _)| key).collect()))
    }
}

/// Changes the Application's metadata, if it is still the one that we looked at.
pub(super) async fn patch_metadata(
    cluster: &Cluster,
    application: &Application,
    change: Value,
) -> Result<(), Error> {
    patch_application(cluster, application, json!({ "metadata": change })).await
}

/// Changes the Application, if it is still the one that we looked at.
pub(super) async fn patch_application(
    cluster: &Cluster,
    application: &Application,
    mut change: Value,
) -> Result<(), Error> {
    let (Some(namespace), Some(name)) = (&application.metadata.namespace, &application.metadata.name) else {
        return Ok(());
    };
    change["metadata"]["uid"] = json!(application.metadata.uid);
    let api: Api<Application> = Api::namespaced(cluster.client().clone(), namespace);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(change);
    let write = api.patch(name, &parameters, &patch);
    match cluster.ask("change the Application", write).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether CreateNamespace asked for it: then it goes with the Application.
fn is_made(entries: &Entries, key: &ObjectKey) -> bool {
    entries
        .get(key)
        .is_some_and(|entry| entry.sync_option.as_deref() == Some(super::CREATE_NAMESPACE))
}

async fn delete_made_namespace(cluster: &Cluster, entries: &Entries, key: &ObjectKey) -> Result<(), Error> {
    let Some(entry) = entries.get(key) else {
        return Ok(());
    };
    let Some(kind) = prune::kind_of(cluster, entry) else {
        return Ok(());
    };
    let target = kind.target(&key_of(entry));
    if let Some(identity) = cluster.get(&target).await?.as_ref().and_then(Identity::of) {
        cluster
            .delete(&target, &identity.uid, Propagation::Background)
            .await?;
    }
    Ok(())
}
