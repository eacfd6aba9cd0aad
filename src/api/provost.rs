//! Our own kinds, under `provost.dev/v1alpha1`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the agent applied for one Application: written before it is applied, read before anything is pruned.
///
/// An Application has as many as it needs, `NAME-0`, `NAME-1`, …, each of at most 1,000 entries, in its own namespace.
/// The resourceVersion is the fencing token: who cannot write it may not apply or prune.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "Inventory",
    plural = "inventories",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct InventorySpec {
    /// The Application, `namespace/name`.
    pub application: String,
    /// Repository URL as the Application writes it.
    pub repository: String,
    /// Path inside the repository.
    pub path: String,
    /// Commit of the configuration repository, 40 hex digits.
    pub revision: String,
    /// Tree id of this render in the rendered history.
    pub rendered_tree: String,
    /// The objects.
    pub entries: Vec<InventoryEntry>,
    /// The sync that was begun and has not ended; in the first of an Application's inventories only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncProgress>,
}

/// How far a sync came, so that an agent that starts anew takes it up where it stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncProgress {
    /// Tree id of the render that it brings, in the rendered history.
    pub render: String,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// How many of its steps are done.
    #[serde(default)]
    pub completed: usize,
}

/// One object that the agent answers for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// API group, empty for the core group.
    #[serde(default)]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for what is cluster-scoped.
    #[serde(default)]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID of the live object, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// File in the repository that the object is written in, relative to its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Why the object is there, where it is not declared to stay: `CreateNamespace`, the sync option that asked for it;
    /// `Hook`, a hook that was made, or is about to be; `DeletionHook`, one that runs when the Application is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_option: Option<String>,
    /// Digest of the rendered object.
    #[serde(default)]
    pub digest: String,
}
