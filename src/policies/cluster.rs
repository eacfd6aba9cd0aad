//! Policies from the cluster: ClusterPolicy and Policy objects, watched.
//!
//! RBAC: get, list, watch on clusterpolicies and policies of kyverno.io.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt as _, watcher},
};
use provost_policy::{Fault, Policy};
use tokio_util::sync::CancellationToken;

use super::{Contents, Policies, Source};

/// How many policies of a kind are taken from a cluster; what is over the bound is out, by name.
pub const MAX_POLICIES: usize = 5_000;

/// A kind of policy in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Concerns the whole cluster.
    ClusterPolicy,
    /// Concerns its own namespace.
    Policy,
}

/// The objects of a kind as they are, understood or not, by namespace and name.
type Objects = BTreeMap<(String, String), Result<Policy, Vec<Fault>>>;

// === impl PolicyKind ===

impl PolicyKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ClusterPolicy, Self::Policy];

    /// `ClusterPolicy` or `Policy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "ClusterPolicy",
            Self::Policy => "Policy",
        }
    }

    /// As kube's client wants it.
    pub fn api_resource(self) -> ApiResource {
        let plural = match self {
            Self::ClusterPolicy => "clusterpolicies",
            Self::Policy => "policies",
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kyverno.io", "v1", self.name()), plural)
    }
}

/// Keeps `policies` at what the cluster holds of a kind, until `stop`. Errors of the watch are tried again with
/// backoff; the policies that were read stay in force meanwhile.
pub async fn watch(client: Client, kind: PolicyKind, policies: Arc<Policies>, stop: CancellationToken) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.api_resource());
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut objects = Objects::new();
    // A list that is under way: it replaces the objects once it is whole, so that none is out in between.
    let mut listed = Objects::new();
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    kind = kind.name(),
                    error,
                    "The watch of policies failed; it is tried again."
                );
                continue;
            }
            Some(Ok(watcher::Event::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(watcher::Event::InitApply(object))) => {
                insert(&mut listed, kind, &object);
                continue;
            }
            Some(Ok(watcher::Event::InitDone)) => objects = std::mem::take(&mut listed),
            Some(Ok(watcher::Event::Apply(object))) => insert(&mut objects, kind, &object),
            Some(Ok(watcher::Event::Delete(object))) => {
                objects.remove(&key(&object));
            }
        }
        policies.replace(Source::Cluster(kind), contents(&objects));
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    (text(&object.metadata.namespace), text(&object.metadata.name))
}

fn insert(objects: &mut Objects, kind: PolicyKind, object: &DynamicObject) {
    let key = key(object);
    let fault = |message: String| Fault {
        message,
        subject: match key.0.as_str() {
            "" => format!("{} {}", kind.name(), key.1),
            namespace => format!("{} {namespace}/{}", kind.name(), key.1),
        },
        place: None,
    };
    let policy = if objects.len() >= MAX_POLICIES && !objects.contains_key(&key) {
        Err(vec![fault(format!(
            "the cluster holds more than {MAX_POLICIES} policies of this kind"
        ))])
    } else {
        serde_json::to_value(object)
            .map_err(|error| vec![fault(format!("the object cannot be read: {error}"))])
            .and_then(|object| Policy::from_object(&object))
    };
    objects.insert(key, policy);
}

fn contents(objects: &Objects) -> Contents {
    let mut contents = Contents::default();
    for policy in objects.values() {
        match policy {
            Ok(policy) => contents.policies.push(policy.clone()),
            Err(faults) => contents.faults.extend(faults.iter().cloned()),
        }
    }
    contents
}
