//! Policies from the cluster: ClusterPolicy, Policy and PolicyException objects, watched.
//!
//! RBAC: get, list, watch on clusterpolicies, policies and policyexceptions of kyverno.io.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt as _, watcher},
};
use provost_policy::{Exception, Fault, Policy};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Contents, Policies, Source};

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
}

/// A kind in the version in which the cluster serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedKind {
    /// The kind.
    pub kind: PolicyKind,
    /// One of its [`PolicyKind::versions`].
    pub version: &'static str,
}

/// What was understood of each object of a kind, by namespace and name.
type Objects = BTreeMap<(String, String), Contents>;

// === impl PolicyKind ===

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClusterPolicy, Self::Policy, Self::PolicyException];

    /// As objects name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "ClusterPolicy",
            Self::Policy => "Policy",
            Self::PolicyException => "PolicyException",
        }
    }

    /// The versions that are understood, the preferred one first.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::ClusterPolicy | Self::Policy => &["v1"],
            Self::PolicyException => &["v2", "v2beta1"],
        }
    }

    /// As kube's client wants it, in a version that the cluster serves.
    pub fn api_resource(self, version: &str) -> ApiResource {
        let plural = match self {
            Self::ClusterPolicy => "clusterpolicies",
            Self::Policy => "policies",
            Self::PolicyException => "policyexceptions",
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kyverno.io", version, self.name()), plural)
    }

    fn read(self, object: &Value) -> Contents {
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
        }
        contents
    }
}

/// Keeps `policies` at what the cluster holds of a kind, until `stop`. Errors of the watch are tried again with
/// backoff; the policies that were read stay in force meanwhile.
pub async fn watch(client: Client, served: ServedKind, policies: Arc<Policies>, stop: CancellationToken) {
    let ServedKind { kind, version } = served;
    let api: Api<DynamicObject> = Api::all_with(client, &kind.api_resource(version));
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
    let read = if objects.len() >= MAX_POLICIES && !objects.contains_key(&key) {
        Err(format!(
            "the cluster holds more than {MAX_POLICIES} objects of this kind"
        ))
    } else {
        serde_json::to_value(object).map_err(|error| format!("the object cannot be read: {error}"))
    };
    let contents = match read {
        Ok(object) => kind.read(&object),
        Err(why) => Contents {
            faults: vec![fault(why)],
            ..Contents::default()
        },
    };
    objects.insert(key, contents);
}

fn contents(objects: &Objects) -> Contents {
    let mut contents = Contents::default();
    for object in objects.values() {
        contents.extend(object.clone());
    }
    contents
}
