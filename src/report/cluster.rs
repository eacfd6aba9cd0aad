//! Capture of the cluster: what the agent applied, from its inventories, and what is live, by metadata alone.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectMeta};
use kube::discovery::{self, Scope, verbs};
use kube::{Api, Client};
use provost_evidence::chain::format_time;
use provost_evidence::facts::{Gap, InventoryEntry, LiveObject};
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use tokio::time::timeout;

use super::capture::object_name;
use crate::api::provost::Inventory;

/// Kinds that are not listed at all, as `Kind.group` or `*.group`, and why.
pub const NEVER_LISTED: &[(&str, &str)] = &[
    ("Event", "says what happened to other objects"),
    ("Event.events.k8s.io", "says what happened to other objects"),
    (
        "Lease.coordination.k8s.io",
        "renewed by controllers every few seconds",
    ),
    (
        "EndpointSlice.discovery.k8s.io",
        "computed from Services and Pods",
    ),
    ("Endpoints", "computed from Services and Pods"),
    ("Inventory.provost.dev", "Provost's own record"),
    ("*.metrics.k8s.io", "measurements"),
    ("*.custom.metrics.k8s.io", "measurements"),
    ("*.external.metrics.k8s.io", "measurements"),
];

/// Objects that Kubernetes makes in every namespace.
const MADE_BY_KUBERNETES: &[(&str, &str)] =
    &[("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")];
const MADE_BY_KUBERNETES_REASON: &str = "made by Kubernetes in every namespace";

/// How long an API group may take to say which kinds it has. The client asks a backend that is away again and again,
/// for minutes.
const GROUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one answer of the apiserver may take.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Objects of one answer of the apiserver.
const PAGE: u32 = 500;
/// Objects of one kind that are read; more is a gap.
const MAX_OBJECTS_OF_A_KIND: usize = 200_000;
/// How long a chain of controllers is followed.
const MAX_OWNERS: usize = 16;

/// What the cluster had.
#[derive(Clone, Debug, Default)]
pub struct ClusterCapture {
    /// UID of the namespace kube-system.
    pub uid: String,
    /// What the agent applied.
    pub inventory: Vec<InventoryEntry>,
    /// What is live.
    pub live_objects: Vec<LiveObject>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Why nothing can be said about a cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It doesn't answer, or doesn't let us in.
    #[error("could not read the namespace kube-system, whose UID identifies the cluster")]
    Identify(#[source] kube::Error),
    /// Without inventories nothing can be traced to Git.
    #[error("could not list the Inventories (provost.dev), in which the agent writes what it applied")]
    Inventories(#[source] kube::Error),
    /// The kinds that there are could not be found out.
    #[error("could not list the API groups of the cluster")]
    Groups(#[source] kube::Error),
    /// No answer came in time.
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
}

/// A kind that can be listed.
struct Kind {
    resource: ApiResource,
    is_namespaced: bool,
}

/// A live object, before its owner is looked up.
struct Found {
    kind: GroupVersionKind,
    key: ObjectKey,
    uid: String,
    created_at: Option<String>,
    controller: Option<OwnerReference>,
}

/// Reads what a report needs of the cluster.
///
/// # Guarantees
/// Reads only, and of objects only metadata. A kind that can't be listed is a gap.
pub async fn capture(client: &Client) -> Result<ClusterCapture, Error> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let system = in_time(namespaces.get("kube-system"))
        .await?
        .map_err(Error::Identify)?;
    let inventory = inventory(client).await?;
    let mut capture = ClusterCapture {
        uid: system.metadata.uid.unwrap_or_default(),
        ..ClusterCapture::default()
    };
    let governed = Governed::of(&inventory);
    capture.inventory = inventory.into_iter().map(|(_, entry)| entry).collect();
    let mut found = Vec::new();
    for kind in kinds(client, &mut capture.gaps).await? {
        if kind.is_namespaced
            || governed
                .kinds
                .contains(&(kind.resource.group.clone(), kind.resource.kind.clone()))
        {
            let listed = list(client, &kind, &governed, &mut found).await;
            let name = kind_name(&kind.resource.group, &kind.resource.kind);
            capture.gaps.extend(listed.err().map(|reason| Gap {
                source: "kind".to_owned(),
                item: name,
                reason,
            }));
        }
    }
    capture.live_objects = live_objects(&found);
    Ok(capture)
}

async fn inventory(client: &Client) -> Result<Vec<(ObjectKey, InventoryEntry)>, Error> {
    let api = Api::<Inventory>::all(client.clone());
    let mut entries = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = in_time(api.list(&parameters))
            .await?
            .map_err(Error::Inventories)?;
        for spec in page.items.into_iter().map(|inventory| inventory.spec) {
            for entry in spec.entries {
                let key = ObjectKey {
                    group: entry.group,
                    kind: entry.kind,
                    namespace: Some(entry.namespace).filter(|namespace| !namespace.is_empty()),
                    name: entry.name,
                };
                let fact = InventoryEntry {
                    object: object_name(&key),
                    application: spec.application.clone(),
                    uid: entry.uid,
                    repository: spec.repository.clone(),
                    revision: spec.revision.clone(),
                    file: entry.file,
                };
                entries.push((key, fact));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(entries),
        }
    }
}

/// Every kind that can be listed and isn't in [`NEVER_LISTED`]. A group that doesn't answer (an APIService without its
/// backend) is a gap, and the others are still there.
async fn kinds(client: &Client, gaps: &mut Vec<Gap>) -> Result<Vec<Kind>, Error> {
    let groups = in_time(client.list_api_groups()).await?.map_err(Error::Groups)?;
    let mut names: Vec<String> = groups.groups.into_iter().map(|group| group.name).collect();
    names.push(String::new());
    names.sort();
    names.dedup();
    let mut kinds = Vec::new();
    for name in names.iter().filter(|name| !is_never_listed("*", name)) {
        let group = match timeout(GROUP_TIMEOUT, discovery::group(client, name)).await {
            Ok(Ok(group)) => group,
            refused => {
                let reason = match refused {
                    Ok(Err(error)) => format!("the API group cannot be read: {error}"),
                    _ => format!(
                        "the API group does not answer within {} s",
                        GROUP_TIMEOUT.as_secs()
                    ),
                };
                gaps.push(Gap {
                    source: "kind".to_owned(),
                    item: kind_name(name, "*"),
                    reason,
                });
                continue;
            }
        };
        for (resource, capabilities) in group.resources_by_stability() {
            if capabilities.supports_operation(verbs::LIST) && !is_never_listed(&resource.kind, name) {
                let is_namespaced = capabilities.scope == Scope::Namespaced;
                kinds.push(Kind {
                    resource,
                    is_namespaced,
                });
            }
        }
    }
    Ok(kinds)
}

async fn list(
    client: &Client,
    kind: &Kind,
    governed: &Governed,
    found: &mut Vec<Found>,
) -> Result<(), String> {
    let ApiResource {
        group,
        version,
        kind: name,
        ..
    } = &kind.resource;
    let api = Api::<DynamicObject>::all_with(client.clone(), &kind.resource);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut read = 0;
    loop {
        let page = in_time(api.list_metadata(&parameters))
            .await
            .map_err(|error| error.to_string())?;
        let page = page.map_err(|error| format!("could not be listed: {error}"))?;
        read += page.items.len();
        for object in page.items {
            let key = ObjectKey {
                group: group.clone(),
                kind: name.clone(),
                namespace: object.metadata.namespace.clone(),
                name: object.metadata.name.clone().unwrap_or_default(),
            };
            if governed.has(&key) {
                found.push(Found::new(
                    GroupVersionKind::new(group, version, name),
                    key,
                    object.metadata,
                ));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(()),
            Some(_) if read >= MAX_OBJECTS_OF_A_KIND => {
                return Err(format!("only the first {read} objects were read"));
            }
            Some(token) => parameters = parameters.continue_token(&token),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| Error::Timeout)
}

fn live_objects(found: &[Found]) -> Vec<LiveObject> {
    let by_uid: HashMap<&str, &Found> = found.iter().map(|found| (found.uid.as_str(), found)).collect();
    found.iter().map(|object| object.fact(&by_uid)).collect()
}

fn is_never_listed(kind: &str, group: &str) -> bool {
    let is = |name: String| NEVER_LISTED.iter().any(|(never, _)| *never == name);
    is(kind_name(group, kind)) || is(kind_name(group, "*"))
}

fn kind_name(group: &str, kind: &str) -> String {
    if group.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}.{group}")
    }
}

/// What a report answers for: whole namespaces, and single cluster-scoped objects.
struct Governed {
    namespaces: BTreeSet<String>,
    objects: BTreeSet<ObjectKey>,
    /// Group and kind of the cluster-scoped ones.
    kinds: BTreeSet<(String, String)>,
}

// === impl Governed ===

impl Governed {
    fn of(inventory: &[(ObjectKey, InventoryEntry)]) -> Self {
        let namespaces = inventory
            .iter()
            .filter_map(|(key, _)| key.namespace.clone())
            .collect();
        let cluster_scoped = || {
            inventory
                .iter()
                .map(|(key, _)| key)
                .filter(|key| key.namespace.is_none())
        };
        Self {
            namespaces,
            objects: cluster_scoped().cloned().collect(),
            kinds: cluster_scoped()
                .map(|key| (key.group.clone(), key.kind.clone()))
                .collect(),
        }
    }

    fn has(&self, key: &ObjectKey) -> bool {
        match &key.namespace {
            Some(namespace) => self.namespaces.contains(namespace),
            None => self.objects.contains(key),
        }
    }
}

// === impl Found ===

impl Found {
    fn new(kind: GroupVersionKind, key: ObjectKey, metadata: ObjectMeta) -> Self {
        let owners = metadata.owner_references.unwrap_or_default();
        Self {
            kind,
            key,
            uid: metadata.uid.unwrap_or_default(),
            created_at: metadata.creation_timestamp.map(|time| format_time(time.0)),
            controller: owners.into_iter().find(|owner| owner.controller == Some(true)),
        }
    }

    fn fact(&self, by_uid: &HashMap<&str, &Self>) -> LiveObject {
        let (root, root_uid) = self.root(by_uid);
        let is_made_by_kubernetes = self.key.group.is_empty()
            && MADE_BY_KUBERNETES.contains(&(self.key.kind.as_str(), self.key.name.as_str()));
        LiveObject {
            object: object_name(&self.key),
            uid: self.uid.clone(),
            api_group: Some(self.key.group.clone()).filter(|group| !group.is_empty()),
            version: self.kind.version.clone(),
            kind: self.key.kind.clone(),
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            created_at: self.created_at.clone(),
            root: object_name(&root),
            root_uid,
            excluded: is_made_by_kubernetes.then(|| MADE_BY_KUBERNETES_REASON.to_owned()),
        }
    }

    /// The object at the end of the chain of controllers. One that was not listed (it is cluster-scoped, or gone) ends
    /// the chain under the name that its reference gives it.
    fn root(&self, by_uid: &HashMap<&str, &Self>) -> (ObjectKey, String) {
        let mut at = self;
        for _ in 0..MAX_OWNERS {
            let Some(owner) = &at.controller else { break };
            match by_uid.get(owner.uid.as_str()) {
                Some(found) => at = found,
                None => return (referenced(owner, at.key.namespace.clone()), owner.uid.clone()),
            }
        }
        (at.key.clone(), at.uid.clone())
    }
}

fn referenced(owner: &OwnerReference, namespace: Option<String>) -> ObjectKey {
    let kind = GroupVersionKind::from_api_version(&owner.api_version, &owner.kind);
    ObjectKey {
        group: kind.group,
        kind: kind.kind,
        namespace,
        name: owner.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: &str, name: &str, controller: Option<(&str, &str)>) -> Found {
        Found {
            kind: GroupVersionKind::new("", "v1", kind),
            key: ObjectKey {
                group: String::new(),
                kind: kind.into(),
                namespace: Some("shop".into()),
                name: name.into(),
            },
            uid: format!("uid-{name}"),
            created_at: None,
            controller: controller.map(|(kind, name)| OwnerReference {
                api_version: "v1".into(),
                kind: kind.into(),
                name: name.into(),
                uid: format!("uid-{name}"),
                controller: Some(true),
                ..OwnerReference::default()
            }),
        }
    }

    #[test]
    fn an_object_is_traced_to_the_end_of_its_chain_of_controllers() {
        let found = [
            found("Deployment", "web", None),
            found("ReplicaSet", "web-1", Some(("Deployment", "web"))),
            found("Pod", "web-1-a", Some(("ReplicaSet", "web-1"))),
            found("Pod", "lost", Some(("ReplicaSet", "gone"))),
            found("Pod", "ring", Some(("Pod", "ring"))),
        ];
        let facts = live_objects(&found);
        let roots: Vec<&str> = facts.iter().map(|fact| fact.root.as_str()).collect();
        assert_eq!(
            roots,
            [
                "Deployment shop/web",
                "Deployment shop/web",
                "Deployment shop/web",
                "ReplicaSet shop/gone",
                "Pod shop/ring"
            ]
        );
    }

    #[test]
    fn noise_is_not_listed() {
        assert!(is_never_listed("Event", "events.k8s.io") && is_never_listed("PodMetrics", "metrics.k8s.io"));
        assert!(!is_never_listed("Deployment", "apps"));
    }
}
