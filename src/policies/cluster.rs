//! Policies from the cluster: ClusterPolicy, Policy, PolicyException and GlobalContextEntry objects, watched.
//!
//! RBAC: list, watch on clusterpolicies, policies, policyexceptions and globalcontextentries of kyverno.io; more in
//! [`status`] and [`super::crds`].

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt as _, watcher},
};
use provost_manifest::digest::Digest;
use provost_policy::{Exception, Fault, GlobalEntry, Policy};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Contents, Policies, Source,
    status::{self, Observed},
};
use crate::cluster::Folded;

/// The API group of policies.
pub const GROUP: &str = "kyverno.io";
/// How many policies of a kind are taken from a cluster; what is over the bound is out, by name.
pub const MAX_POLICIES: usize = 5_000;

/// A kind of policy in the cluster, or of what belongs to policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Concerns the whole cluster.
    ClusterPolicy,
    /// Concerns its own namespace.
    Policy,
    /// Excuses from rules of policies.
    PolicyException,
    /// A value that many rules read.
    GlobalContextEntry,
}

/// A kind in the version in which the cluster serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedKind {
    /// The kind.
    pub kind: PolicyKind,
    /// One of its [`PolicyKind::versions`].
    pub version: &'static str,
    /// Whether its objects have a status, which then tells what became of them.
    pub has_status: bool,
}

/// The objects of a kind, by namespace and name.
type Objects = BTreeMap<(String, String), Object>;

/// One object.
#[derive(Clone, Debug)]
struct Object {
    /// Of all but its status: what it says has changed only where this has.
    digest: Digest,
    contents: Contents,
    observed: Observed,
}

// === impl PolicyKind ===

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ClusterPolicy,
        Self::Policy,
        Self::PolicyException,
        Self::GlobalContextEntry,
    ];

    /// As objects name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "ClusterPolicy",
            Self::Policy => "Policy",
            Self::PolicyException => "PolicyException",
            Self::GlobalContextEntry => "GlobalContextEntry",
        }
    }

    /// The versions that are understood, the preferred one first.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::ClusterPolicy | Self::Policy => &["v1"],
            Self::PolicyException => &["v2", "v2beta1"],
            Self::GlobalContextEntry => &["v2", "v2beta1", "v2alpha1"],
        }
    }

    /// Its name in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "clusterpolicies",
            Self::Policy => "policies",
            Self::PolicyException => "policyexceptions",
            Self::GlobalContextEntry => "globalcontextentries",
        }
    }

    /// As kube's client wants it, in a version that the cluster serves.
    pub fn api_resource(self, version: &str) -> ApiResource {
        let kind = GroupVersionKind::gvk(GROUP, version, self.name());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }

    /// What is understood of an object of this kind, and what is not.
    pub fn read(self, object: &Value) -> Contents {
        let mut contents = Contents::default();
        match self {
            Self::ClusterPolicy | Self::Policy => match Policy::from_object(object) {
                Ok(policy) => contents.policies.push(policy),
                Err(faults) => contents.faults = faults,
            },
            Self::PolicyException => match Exception::from_object(object) {
                Ok(exception) => contents.exceptions.push(exception),
                Err(fault) => contents.faults.push(fault),
            },
            Self::GlobalContextEntry => match GlobalEntry::from_object(object) {
                Ok(entry) => contents.globals.push(entry),
                Err(fault) => contents.faults.push(fault),
            },
        }
        contents
    }
}

/// Keeps `policies` at what the cluster holds of a kind, and the Ready conditions at what became of it, until `stop`.
/// Errors of the watch are tried again with backoff; the policies that were read stay in force meanwhile.
pub async fn watch(client: Client, served: ServedKind, policies: Arc<Policies>, stop: CancellationToken) {
    let observed = watch::Sender::new(Vec::new());
    if served.has_status {
        let (client, policies) = (client.clone(), Arc::clone(&policies));
        let keep = status::keep(client, served, policies, observed.subscribe());
        tokio::spawn(stop.clone().run_until_cancelled_owned(keep));
    }
    stop.run_until_cancelled(follow(client, served, &policies, &observed))
        .await;
}

async fn follow(
    client: Client,
    served: ServedKind,
    policies: &Policies,
    observed: &watch::Sender<Vec<Observed>>,
) {
    let ServedKind { kind, version, .. } = served;
    let api: Api<DynamicObject> = Api::all_with(client, &kind.api_resource(version));
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut objects = Objects::new();
    // A list that is under way: it replaces the objects once it is whole, so that none is out in between.
    let mut listed = Objects::new();
    while let Some(event) = events.next().await {
        let changed = match event {
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    kind = kind.name(),
                    error,
                    "The watch of policies failed; it is tried again."
                );
                continue;
            }
            Ok(watcher::Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                insert(&mut listed, kind, &object);
                continue;
            }
            Ok(watcher::Event::InitDone) => {
                objects = std::mem::take(&mut listed);
                true
            }
            Ok(watcher::Event::Apply(object)) => insert(&mut objects, kind, &object),
            Ok(watcher::Event::Delete(object)) => objects.remove(&key(&object)).is_some(),
        };
        if changed {
            policies.replace(Source::Cluster(kind), contents(&objects));
        }
        observed.send_replace(objects.values().map(|object| object.observed.clone()).collect());
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    (text(&object.metadata.namespace), text(&object.metadata.name))
}

/// Takes an object in; false where it says what it said before.
fn insert(objects: &mut Objects, kind: PolicyKind, object: &DynamicObject) -> bool {
    let key = key(object);
    let over = objects.len() >= MAX_POLICIES && !objects.contains_key(&key);
    // What the apiserver gave as JSON is JSON again.
    let value = serde_json::to_value(object).unwrap_or_default();
    let digest = Folded::of(&value).digest;
    let known = objects.get(&key).filter(|known| known.digest == digest);
    let changed = known.is_none();
    let contents = match known {
        Some(known) => known.contents.clone(),
        None if over => too_many(kind, &key),
        None => kind.read(&value),
    };
    let observed = Observed::new(object, &contents);
    let object = Object {
        digest,
        contents,
        observed,
    };
    objects.insert(key, object);
    changed
}

fn too_many(kind: PolicyKind, (namespace, name): &(String, String)) -> Contents {
    let slash = if namespace.is_empty() { "" } else { "/" };
    let message = format!("the cluster holds more than {MAX_POLICIES} objects of this kind");
    let fault = Fault::mistake(message, format!("{} {namespace}{slash}{name}", kind.name()));
    Contents {
        faults: vec![fault],
        ..Contents::default()
    }
}

fn contents(objects: &Objects) -> Contents {
    let mut contents = Contents::default();
    for object in objects.values() {
        contents.extend(object.contents.clone());
    }
    contents
}
