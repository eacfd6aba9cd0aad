//! An Application's end.

use kube::api::{Api, Patch, PatchParams};
use provost_delivery::owner::Owner;
use provost_delivery::plan::Identity;
use provost_delivery::options::Propagation;
use provost_delivery::prune::{Cause, DELETION_APPROVED_ANNOTATION, Protection, Removal};
use serde_json::{Value, json};

use super::error::Error;
use super::inventory::{Entries, Inventory, key_of};
use super::prune;
use crate::api::argoproj::{Application, ApplicationSpec, RESOURCES_FINALIZER};
use crate::cluster::{Cluster, FIELD_MANAGER};

/// Whether an Application that is being deleted still has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finalized {
    Done,
    /// Some of its objects are not gone yet.
    Waiting,
}

/// Deletes what the Application owns, if its finalizer says so, and then lets it go. Without the finalizer its objects
/// stay as they are.
///
/// # Guarantees
/// The finalizer goes only once everything in the inventory is seen to be gone, or not to be ours.
pub(super) async fn finalize(
    cluster: &Cluster,
    owner: &Owner,
    application: &Application,
    inventory: &mut Inventory,
) -> Result<Finalized, Error> {
    if !application.deletes_resources() {
        return Ok(Finalized::Done);
    }
    let entries = inventory.entries();
    let options = ApplicationSpec::parse_whole(&application.spec)
        .map(|spec| spec.sync_policy.options)
        .unwrap_or_default();
    let approved = application.metadata.annotations.as_ref();
    let removal = Removal {
        cause: Cause::ApplicationDeleted,
        options,
        approved: approved
            .and_then(|annotations| annotations.get(DELETION_APPROVED_ANNOTATION))
            .map(String::as_str),
        began_at: None,
    };
    let mut removals = prune::look(cluster, owner, &entries, &removal).await?;
    // Deleting the Application confirms the end of the namespace that was made for it, and of no other.
    let (confirmed, kept): (Vec<_>, Vec<_>) =
        std::mem::take(&mut removals.kept)
            .into_iter()
            .partition(|(key, protection)| {
                *protection == Protection::NeedsConfirmation && is_made(&entries, key)
            });
    let propagation = options.prune_propagation_policy.unwrap_or(Propagation::Background);
    prune::delete(cluster, &removals.doomed, propagation).await?;
    for (key, _) in &confirmed {
        delete_made_namespace(cluster, &entries, key).await?;
    }
    if !kept.is_empty() {
        let sentences = kept.iter().map(|(key, protection)| format!("{key} {protection}"));
        return Err(Error::Deletion(sentences.collect()));
    }
    if removals.forgotten.len() < entries.len() {
        return Ok(Finalized::Waiting);
    }
    inventory.remove().await?;
    let finalizers = application.metadata.finalizers.iter().flatten();
    let left: Vec<&String> = finalizers
        .filter(|name| !name.starts_with(RESOURCES_FINALIZER))
        .collect();
    patch_metadata(cluster, application, json!({ "finalizers": left })).await?;
    Ok(Finalized::Done)
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
fn is_made(entries: &Entries, key: &provost_manifest::object::ObjectKey) -> bool {
    entries.get(key).is_some_and(|entry| entry.sync_option.is_some())
}

async fn delete_made_namespace(
    cluster: &Cluster,
    entries: &Entries,
    key: &provost_manifest::object::ObjectKey,
) -> Result<(), Error> {
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
