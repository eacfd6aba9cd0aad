//! Deleting what is no longer declared.

use futures::StreamExt as _;
use provost_delivery::options::Propagation;
use provost_delivery::order;
use provost_delivery::owner::Owner;
use provost_delivery::plan::{Action, Entry, Identity, Plan};
use provost_delivery::prune::{Protection, Removal, Verdict, verdict_of};
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::Value;

use super::error::Error;
use super::inventory::{Entries, key_of};
use super::plan::PARALLEL;
use crate::api::provost::InventoryEntry;
use crate::cluster::{Cluster, Kind, Target};

/// What the inventory has and the render has not, as it is now.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Gone, or somebody else's: the inventory forgets it.
    pub(super) forgotten: Vec<ObjectKey>,
    /// To be deleted, in order.
    pub(super) doomed: Vec<Doomed>,
    /// On their way already.
    pub(super) going: Vec<ObjectKey>,
    /// What stays, and why.
    pub(super) kept: Vec<(ObjectKey, Protection)>,
}

/// An object that is to be deleted.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) key: ObjectKey,
    pub(super) identity: Identity,
    target: Target,
    wave: i64,
}

/// Looks at every candidate and decides. One whose kind cannot be found out stays in the inventory.
pub(super) async fn look(
    cluster: &Cluster,
    owner: &Owner,
    candidates: &Entries,
    removal: &Removal<'_>,
) -> Result<Removals, Error> {
    let looks: Vec<_> = futures::stream::iter(candidates.values().cloned().collect::<Vec<_>>())
        .map(|entry| {
            let cluster = cluster.clone();
            async move {
                let Some(target) = target_of(&cluster, &entry) else {
                    let gone = is_kind_gone(&cluster, &entry).await?;
                    return Ok(gone.then_some((entry, None)));
                };
                let live = cluster.get(&target).await?;
                Ok::<_, Error>(Some((entry, live.map(|live| (target, live)))))
            }
        })
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut removals = Removals::default();
    let mut doomed: Vec<(Value, Doomed)> = Vec::new();
    for look in looks {
        let Some((entry, found)) = look? else { continue };
        let key = key_of(&entry);
        let (target, live) = found.unzip();
        // Another object under this name is not the one that we applied.
        let is_other = |live: &Value| {
            entry
                .uid
                .as_deref()
                .is_some_and(|uid| live["metadata"]["uid"] != uid)
        };
        match verdict_of(live.as_ref().filter(|live| !is_other(live)), owner, removal) {
            Verdict::Gone | Verdict::Keep(Protection::NotOurs) => removals.forgotten.push(key),
            Verdict::Keep(Protection::BeingDeleted) => removals.going.push(key),
            Verdict::Keep(protection) => removals.kept.push((key, protection)),
            Verdict::Prune(identity) => {
                if let (Some(live), Some(target)) = (live, target) {
                    let doomed_one = Doomed {
                        key,
                        identity,
                        target,
                        wave: order::wave(&live),
                    };
                    doomed.push((live, doomed_one));
                }
            }
        }
    }
    removals.doomed = in_order(doomed);
    Ok(removals)
}

/// Deletes, last things first; what has changed hands meanwhile is left alone.
pub(super) async fn delete(
    cluster: &Cluster,
    doomed: &[Doomed],
    propagation: Propagation,
) -> Result<(), Error> {
    for doomed in doomed {
        cluster
            .delete(&doomed.target, &doomed.identity.uid, propagation)
            .await?;
    }
    Ok(())
}

/// The kind of an entry, in its own version or else in the one that the cluster prefers now.
pub(super) fn kind_of(cluster: &Cluster, entry: &InventoryEntry) -> Option<Kind> {
    let kinds = cluster.kinds();
    let gvk = GroupVersionKind::new(&*entry.group, &*entry.version, &*entry.kind);
    kinds
        .get(&gvk)
        .or_else(|| kinds.preferred(&entry.group, &entry.kind))
        .cloned()
}

/// Whether no object of this kind can be there, because the cluster has no such kind any more. A group whose backend
/// does not answer is another matter.
async fn is_kind_gone(cluster: &Cluster, entry: &InventoryEntry) -> Result<bool, Error> {
    let kinds = cluster.rediscover().await?;
    if kind_of(cluster, entry).is_some() {
        return Ok(false);
    }
    if kinds.serves(&entry.group, &entry.version) {
        return Ok(true);
    }
    let service = GroupVersionKind::new("apiregistration.k8s.io", "v1", "APIService");
    let Some(kind) = kinds.get(&service) else {
        return Ok(false);
    };
    let target = kind.target(&ObjectKey {
        group: service.group,
        kind: service.kind,
        namespace: None,
        name: format!("{}.{}", entry.version, entry.group),
    });
    Ok(cluster.as_ourselves().get(&target).await?.is_none())
}

fn target_of(cluster: &Cluster, entry: &InventoryEntry) -> Option<Target> {
    Some(kind_of(cluster, entry)?.target(&key_of(entry)))
}

fn in_order(objects: Vec<(Value, Doomed)>) -> Vec<Doomed> {
    let (lives, objects): (Vec<Value>, Vec<Doomed>) = objects.into_iter().unzip();
    let mut objects: Vec<Option<Doomed>> = objects.into_iter().map(Some).collect();
    let steps = order::prune_steps(&lives.iter().collect::<Vec<_>>());
    steps
        .iter()
        .flat_map(|step| &step.objects)
        .filter_map(|position| objects[*position].take())
        .collect()
}

// === impl Removals ===

impl Removals {
    /// Those of the wave that goes first.
    pub(super) fn first_wave(&self) -> &[Doomed] {
        let first = self.doomed.first().map(|doomed| doomed.wave);
        let others = self.doomed.iter().position(|doomed| Some(doomed.wave) != first);
        &self.doomed[..others.unwrap_or(self.doomed.len())]
    }

    /// The deletions as a plan, which a person may approve of.
    pub(super) fn plan(&self) -> Plan {
        let entry = |doomed: &Doomed| Entry {
            key: doomed.key.clone(),
            action: Action::Prune(doomed.identity.clone()),
            reported: Vec::new(),
        };
        Plan {
            entries: self.doomed.iter().map(entry).collect(),
        }
    }
}
