//! The CustomResourceDefinitions of policies: ours are installed where the cluster has none, and never over another's.
//! They are watched: a kind that is defined later is watched from then on, without a restart.
//!
//! RBAC: list, watch on the definitions; get on those of policies, by name, and create with `--install-crds`; discovery.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use serde_json::Value;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Contents, Policies, PolicyKind, ServedKind, Source, cluster::GROUP};
use crate::cluster::{Cluster, Error, ensure_crd, is_established};

/// How long to wait before a definition that could not be read is asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// When the webhook configuration is looked at after a kind was defined: the apiserver tells which kinds it serves a
/// moment after it has the definition.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Installs our definitions where the cluster has none of the name, if `install` says so, and names the kinds that
/// stay unserved.
pub async fn ensure(cluster: &Cluster, install: bool) -> Result<(), Error> {
    for kind in PolicyKind::ALL {
        let definition = ensure_crd(cluster, manifest(kind), install).await?;
        if definition
            .and_then(|definition| served(kind, &definition))
            .is_none()
        {
            tracing::warn!(
                kind = kind.name(),
                versions = ?kind.versions(),
                "The cluster does not serve this kind of policy: where it is absent, install it with --install-crds. \
                 Once it is served, it is read without a restart."
            );
        }
    }
    Ok(())
}

/// Keeps `policies` at what the cluster holds of every kind that it serves, until `stop`. Ready conditions are for the
/// webhook to write: `tells` says whether this process is one.
pub async fn keep(client: Client, policies: Arc<Policies>, tells: bool, stop: CancellationToken) {
    let defined = Arc::new(Notify::new());
    tokio::spawn(
        stop.clone()
            .run_until_cancelled_owned(look_again(Arc::clone(&policies), Arc::clone(&defined))),
    );
    let mut keeper = Keeper {
        client,
        policies,
        tells,
        stop: stop.clone(),
        running: BTreeMap::new(),
    };
    stop.run_until_cancelled(keeper.follow(&defined)).await;
}

/// Has the webhook configuration looked at after definitions changed. A burst of them is one occasion.
async fn look_again(policies: Arc<Policies>, defined: Arc<Notify>) {
    loop {
        defined.notified().await;
        for wait in LOOKS {
            sleep(wait).await;
            policies.kinds_changed();
        }
    }
}

/// Follows the definitions, and the objects of those that are kinds of policies.
struct Keeper {
    client: Client,
    policies: Arc<Policies>,
    /// Whether Ready conditions are written.
    tells: bool,
    stop: CancellationToken,
    /// What ends the watch of a kind's objects.
    running: BTreeMap<PolicyKind, (ServedKind, CancellationToken)>,
}

// === impl Keeper ===

impl Keeper {
    async fn follow(&mut self, defined: &Notify) {
        let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let mut events = watcher(definitions, Config::default()).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init | Event::InitApply(_)) => {}
                // What changed while nobody watched is not told one by one.
                Ok(Event::InitDone) => {
                    for kind in PolicyKind::ALL {
                        self.reconcile(kind).await;
                    }
                    defined.notify_one();
                }
                Ok(Event::Apply(definition) | Event::Delete(definition)) => {
                    let name = definition.name_any();
                    let mut kinds = PolicyKind::ALL.into_iter();
                    if let Some(kind) = kinds.find(|kind| definition_name(*kind) == name) {
                        self.reconcile(kind).await;
                    }
                    defined.notify_one();
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "The watch of CustomResourceDefinitions failed; it is tried again."
                    );
                }
            }
        }
    }

    /// Begins, ends or changes the watch of a kind's objects, as its definition wants it.
    async fn reconcile(&mut self, kind: PolicyKind) {
        let wanted = self
            .definition(kind)
            .await
            .and_then(|definition| served(kind, &definition))
            .map(|served| ServedKind {
                has_status: served.has_status && self.tells,
                ..served
            });
        if self.running.get(&kind).map(|(served, _)| *served) == wanted && wanted.is_some() {
            return;
        }
        if let Some((_, stop)) = self.running.remove(&kind) {
            stop.cancel();
        }
        let Some(served) = wanted else {
            // Its objects are gone with it.
            self.policies.replace(Source::Cluster(kind), Contents::default());
            return;
        };
        let stop = self.stop.child_token();
        let (client, policies) = (self.client.clone(), Arc::clone(&self.policies));
        tokio::spawn(super::cluster::watch(client, served, policies, stop.clone()));
        self.running.insert(kind, (served, stop));
    }

    /// A kind's definition, where its kind is served by now. Its next change is an event.
    async fn definition(&self, kind: PolicyKind) -> Option<Value> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = definition_name(kind);
        loop {
            match definitions.get_opt(&name).await {
                Ok(definition) => {
                    let definition = serde_json::to_value(definition?).unwrap_or_default();
                    return is_established(&definition).then_some(definition);
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::warn!(
                        name,
                        error,
                        "A CustomResourceDefinition could not be read; it is tried again."
                    );
                }
            }
            sleep(AGAIN).await;
        }
    }
}

fn definition_name(kind: PolicyKind) -> String {
    format!("{}.{GROUP}", kind.plural())
}

/// The kind as it is to be watched; none where the cluster serves no version that is understood.
fn served(kind: PolicyKind, definition: &Value) -> Option<ServedKind> {
    let versions = definition["spec"]["versions"].as_array()?;
    let is_served = |version: &str| {
        let mut served = versions.iter().filter(|candidate| candidate["served"] == true);
        served.find(|candidate| candidate["name"] == version)
    };
    let mut understood = kind.versions().iter();
    understood.find_map(|version| {
        let definition = is_served(version)?;
        Some(ServedKind {
            kind,
            version,
            has_status: definition.pointer("/subresources/status").is_some(),
        })
    })
}

/// Our definition of a kind, as YAML.
pub fn manifest(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::ClusterPolicy => include_str!("../../deploy/crds/kyverno-clusterpolicy.yaml"),
        PolicyKind::Policy => include_str!("../../deploy/crds/kyverno-policy.yaml"),
        PolicyKind::PolicyException => include_str!("../../deploy/crds/kyverno-policyexception.yaml"),
        PolicyKind::GlobalContextEntry => include_str!("../../deploy/crds/kyverno-globalcontextentry.yaml"),
    }
}

#[cfg(test)]
mod tests {
    use provost_manifest::yaml;

    use super::*;

    fn definition(kind: PolicyKind) -> Value {
        yaml::parse_one(manifest(kind)).unwrap().value
    }

    #[test]
    fn the_built_in_definitions_are_for_the_kinds_that_are_watched() {
        for kind in PolicyKind::ALL {
            let definition = definition(kind);
            let served = served(kind, &definition).unwrap();
            let resource = kind.api_resource(served.version);
            assert!(served.has_status);
            assert_eq!(definition["metadata"]["name"], definition_name(kind));
            assert_eq!(definition["spec"]["names"]["kind"], kind.name());
            assert_eq!(definition["spec"]["names"]["plural"], resource.plural);
            assert_eq!(definition["spec"]["group"], resource.group);
            assert_eq!(served.version, kind.versions()[0]);
        }
    }

    #[test]
    fn an_older_version_is_watched_where_the_cluster_has_no_other() {
        let kind = PolicyKind::PolicyException;
        let mut definition = definition(kind);
        definition["spec"]["versions"][0]["served"] = false.into();
        assert_eq!(served(kind, &definition).unwrap().version, "v2beta1");
        definition["spec"]["versions"][1]["served"] = false.into();
        assert_eq!(served(kind, &definition), None);
    }
}
