//! Policies from the cluster: ClusterPolicy objects, watched.

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

/// How many policies are taken from a cluster; what is over the bound is out, by name.
pub const MAX_POLICIES: usize = 5_000;

/// ClusterPolicy objects as they are, understood or not.
type Objects = BTreeMap<String, Result<Policy, Vec<Fault>>>;

/// The kind that is watched.
pub fn cluster_policies() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("kyverno.io", "v1", "ClusterPolicy"),
        "clusterpolicies",
    )
}

/// Keeps `policies` at what the cluster holds, until `stop`. Errors of the watch are tried again with backoff; the
/// policies that were read stay in force meanwhile.
pub async fn watch(client: Client, policies: Arc<Policies>, stop: CancellationToken) {
    let api: Api<DynamicObject> = Api::all_with(client, &cluster_policies());
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
                tracing::warn!(%error, "The watch of policies failed; it is tried again.");
                continue;
            }
            Some(Ok(watcher::Event::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(watcher::Event::InitApply(object))) => {
                insert(&mut listed, &object);
                continue;
            }
            Some(Ok(watcher::Event::InitDone)) => objects = std::mem::take(&mut listed),
            Some(Ok(watcher::Event::Apply(object))) => insert(&mut objects, &object),
            Some(Ok(watcher::Event::Delete(object))) => {
                objects.remove(&object.metadata.name.unwrap_or_default());
            }
        }
        policies.replace(Source::Cluster, contents(&objects));
    }
}

fn insert(objects: &mut Objects, object: &DynamicObject) {
    let name = object.metadata.name.clone().unwrap_or_default();
    let subject = || format!("ClusterPolicy {name}");
    let fault = |message: String| Fault {
        message,
        subject: subject(),
        place: None,
    };
    let policy = if objects.len() >= MAX_POLICIES && !objects.contains_key(&name) {
        Err(vec![fault(format!(
            "the cluster holds more than {MAX_POLICIES} policies"
        ))])
    } else {
        serde_json::to_value(object)
            .map_err(|error| vec![fault(format!("the object cannot be read: {error}"))])
            .and_then(|object| Policy::from_object(&object))
    };
    objects.insert(name, policy);
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
