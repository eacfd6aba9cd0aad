//! What the agent answers for, written down before it is done.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use provost_delivery::owner::{self, Owner};
use provost_manifest::object::ObjectKey;

use super::error::Error;
use super::packed::Packed;
use crate::api::argoproj::Application;
use crate::api::provost::{Inventory as InventoryObject, InventoryEntry, InventorySpec};

pub(super) use crate::api::provost::SyncProgress as Progress;
use crate::cluster::{self, Cluster};

/// The most entries of one Inventory object.
const CHUNK_ENTRIES: usize = 1_000;
/// The most bytes of one Inventory object's entries, as JSON.
const CHUNK_BYTES: usize = 256 << 10;
const WRITE: &str = "write the inventory";

/// The inventory of one Application, over all its objects in the cluster.
pub(super) struct Inventory {
    cluster: Cluster,
    api: Api<InventoryObject>,
    owner: Owner,
    full_name: String,
    reference: OwnerReference,
    name: String,
    /// What was read or written last, without who manages what of it: the apiserver keeps that by itself.
    chunks: Vec<Packed<Kept>>,
}

/// What is kept of an inventory object.
type Kept = (ObjectMeta, InventorySpec);

/// What an inventory says beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) repository: String,
    pub(super) path: String,
    pub(super) revision: String,
    pub(super) rendered_tree: String,
}

/// The entries by the objects' identities.
pub(super) type Entries = BTreeMap<ObjectKey, InventoryEntry>;

// === impl Inventory ===

impl Inventory {
    /// Reads what the cluster keeps for this Application.
    pub(super) async fn load(
        cluster: &Cluster,
        application: &Application,
        owner: &Owner,
    ) -> Result<Self, Error> {
        let namespace = application.metadata.namespace.clone().unwrap_or_default();
        let api: Api<InventoryObject> = Api::namespaced(cluster.client().clone(), &namespace);
        let full_name = application.full_name();
        let selector = ListParams::default().labels(&owner.selector());
        let list = cluster.ask("read the inventory", api.list(&selector)).await?;
        let mut chunks: Vec<_> = list
            .items
            .into_iter()
            .filter(|chunk| chunk.spec.application == full_name)
            .collect();
        chunks.sort_by_key(|chunk| index_of(chunk).unwrap_or(usize::MAX));
        Ok(Self {
            cluster: cluster.clone(),
            api,
            owner: owner.clone(),
            full_name,
            reference: OwnerReference {
                api_version: "argoproj.io/v1alpha1".to_owned(),
                kind: "Application".to_owned(),
                name: application.metadata.name.clone().unwrap_or_default(),
                uid: application.metadata.uid.clone().unwrap_or_default(),
                ..OwnerReference::default()
            },
            name: application.metadata.name.clone().unwrap_or_default(),
            chunks: chunks.into_iter().map(kept).collect(),
        })
    }

    /// The objects.
    pub(super) fn entries(&self) -> Entries {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.open().1.entries);
        entries.map(|entry| (key_of(&entry), entry)).collect()
    }

    /// What it says beside its entries.
    pub(super) fn origin(&self) -> Origin {
        let first = self.chunks.first().map(|chunk| chunk.open().1);
        let spec = first.unwrap_or_default();
        Origin {
            repository: spec.repository,
            path: spec.path,
            revision: spec.revision,
            rendered_tree: spec.rendered_tree,
        }
    }

    /// The sync that was begun and not ended, if there is one.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.chunks.first()?.open().1.sync
    }

    /// Writes what has changed; no request where nothing has.
    ///
    /// # Errors
    /// [`Error::Fenced`] where somebody else wrote meanwhile: nothing may then be applied or pruned on its strength.
    pub(super) async fn save(
        &mut self,
        origin: &Origin,
        entries: &Entries,
        progress: Option<Progress>,
    ) -> Result<(), Error> {
        let wanted = chunks_of(entries);
        for (index, entries) in wanted.iter().enumerate() {
            let spec = InventorySpec {
                application: self.full_name.clone(),
                repository: origin.repository.clone(),
                path: origin.path.clone(),
                revision: origin.revision.clone(),
                rendered_tree: origin.rendered_tree.clone(),
                entries: entries.clone(),
                sync: progress.clone().filter(|_| index == 0),
            };
            match self.chunks.get(index).map(Packed::open) {
                Some((_, before)) if before == spec => {}
                Some((metadata, _)) => {
                    let name = metadata.name.clone().unwrap_or_default();
                    // The whole object with its resourceVersion: this is the fence.
                    let chunk = InventoryObject { metadata, spec };
                    let parameters = PostParams::default();
                    let replace = self.api.replace(&name, &parameters, &chunk);
                    self.chunks[index] = fenced(self.cluster.ask(WRITE, replace).await)?;
                }
                None => {
                    let chunk = self.new_chunk(index, spec);
                    let parameters = PostParams::default();
                    let create = self.api.create(&parameters, &chunk);
                    self.chunks.push(fenced(self.cluster.ask(WRITE, create).await)?);
                }
            }
        }
        while self.chunks.len() > wanted.len() {
            if let Some(chunk) = self.chunks.pop() {
                self.delete(&chunk).await?;
            }
        }
        Ok(())
    }

    /// Deletes it all.
    pub(super) async fn remove(&mut self) -> Result<(), Error> {
        while let Some(chunk) = self.chunks.pop() {
            self.delete(&chunk).await?;
        }
        Ok(())
    }

    async fn delete(&self, chunk: &Packed<Kept>) -> Result<(), Error> {
        let (metadata, _) = chunk.open();
        let parameters = DeleteParams::default().preconditions(Preconditions {
            uid: metadata.uid,
            resource_version: metadata.resource_version,
        });
        let name = metadata.name.unwrap_or_default();
        match self
            .cluster
            .ask("delete an inventory", self.api.delete(&name, &parameters))
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) if error.is_conflict() => Err(Error::Fenced),
            Err(error) => Err(error.into()),
        }
    }

    fn new_chunk(&self, index: usize, spec: InventorySpec) -> InventoryObject {
        let mut chunk = InventoryObject::new(&format!("{}-{index}", self.name), spec);
        chunk.metadata.labels = Some(BTreeMap::from([(
            owner::LABEL.to_owned(),
            self.owner.label().to_owned(),
        )]));
        let name = (owner::ANNOTATION.to_owned(), self.full_name.clone());
        chunk.metadata.annotations = Some(BTreeMap::from([name]));
        // It goes with the Application, however that goes.
        chunk.metadata.owner_references = Some(vec![self.reference.clone()]);
        chunk
    }
}

/// The identity of an entry's object.
pub(super) fn key_of(entry: &InventoryEntry) -> ObjectKey {
    ObjectKey {
        group: entry.group.clone(),
        kind: entry.kind.clone(),
        namespace: Some(entry.namespace.clone()).filter(|namespace| !namespace.is_empty()),
        name: entry.name.clone(),
    }
}

fn chunks_of(entries: &Entries) -> Vec<Vec<InventoryEntry>> {
    let mut chunks: Vec<Vec<InventoryEntry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries.values() {
        let size = serde_json::to_string(entry).map_or(0, |text| text.len() + 1);
        let fits = |chunk: &Vec<InventoryEntry>| chunk.len() < CHUNK_ENTRIES && bytes + size <= CHUNK_BYTES;
        if let Some(chunk) = chunks.last_mut().filter(|chunk| fits(chunk)) {
            chunk.push(entry.clone());
            bytes += size;
        } else {
            chunks.push(vec![entry.clone()]);
            bytes = size;
        }
    }
    // One is always there, so that an Application without objects has its fence too.
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    chunks
}

fn index_of(chunk: &InventoryObject) -> Option<usize> {
    chunk.name_any().rsplit_once('-')?.1.parse().ok()
}

fn kept(chunk: InventoryObject) -> Packed<Kept> {
    let InventoryObject { mut metadata, spec } = chunk;
    metadata.managed_fields = None;
    Packed::of((metadata, spec))
}

fn fenced(answer: Result<InventoryObject, cluster::Error>) -> Result<Packed<Kept>, Error> {
    answer.map(kept).map_err(|error| {
        if error.is_conflict() || error.is_not_found() {
            Error::Fenced
        } else {
            error.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, name_length: usize) -> Entries {
        (0..count)
            .map(|number| {
                let entry = InventoryEntry {
                    version: "v1".to_owned(),
                    kind: "ConfigMap".to_owned(),
                    name: format!("{number:0name_length$}"),
                    ..InventoryEntry::default()
                };
                (key_of(&entry), entry)
            })
            .collect()
    }

    #[test]
    fn chunks_hold_a_thousand_entries_at_most() {
        let sizes: Vec<_> = chunks_of(&entries(2_001, 5)).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1_000, 1_000, 1]);
    }

    #[test]
    fn chunks_stay_below_their_bytes() {
        let chunks = chunks_of(&entries(2_000, 253));
        assert!(
            chunks
                .iter()
                .all(|chunk| serde_json::to_string(chunk).unwrap().len() <= CHUNK_BYTES + 2)
        );
        assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 2_000);
    }

    #[test]
    fn an_application_without_objects_has_its_fence() {
        assert_eq!(chunks_of(&Entries::new()), [Vec::new()]);
    }
}
