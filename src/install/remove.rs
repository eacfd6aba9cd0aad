//! `provost uninstall`: what of an installation a cluster still holds, and taking it out in an order in which nobody is
//! locked out.
//!
//! # Guarantees
//! - The webhook configurations go first, and are looked for once more after nobody is left who could write it.
//! - Only what carries our label, or has one of our two fixed names, is removed, and only the very object that was
//!   planned (by its uid).
//! - A namespace that holds anything else is kept, with its other objects; CRDs, and with them users' objects, are kept
//!   unless they are asked for.
//! - Removing what is gone already is no error.

use provost_delivery::options::Propagation;
use std::{collections::BTreeSet, fmt, time::Duration};

use kube::{
    Api,
    api::ListParams,
    core::{DynamicObject, ObjectList},
};
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Manifest, Namespace, PART_OF, PROVOST, Settings, certificates, manifests};
use crate::{
    cluster::{self, Cluster, Target},
    config::{SERVICE_ANNOTATION, WEBHOOK_CONFIGURATION, WEBHOOK_SECRET, WITNESS_CONFIGURATION},
};

/// How long the namespace may take to go.
pub const NAMESPACE_DEADLINE: Duration = Duration::from_mins(2);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How many objects of a kind are looked at in the namespace: more than an installation has, so that others' are seen.
const MAX_LISTED: u32 = 500;

/// The kinds of an installation in the order in which they go.
const ORDER: [&str; 12] = [
    "StatefulSet",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Service",
    "NetworkPolicy",
    "ClusterRoleBinding",
    "RoleBinding",
    "ClusterRole",
    "Role",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
];

/// What would be removed, and what not.
#[derive(Debug, Default)]
pub struct Plan {
    /// In this order.
    pub removals: Vec<Removal>,
    /// What stays although it is Provost's, or keeps what is Provost's.
    pub kept: Vec<Kept>,
    /// The webhook configurations, there or not, but for another's.
    configurations: Vec<Target>,
}

/// An object that goes.
#[derive(Debug)]
pub struct Removal {
    target: Target,
    uid: String,
}

/// An object that stays.
#[derive(Debug)]
pub struct Kept {
    /// The object.
    pub what: String,
    /// Why it does.
    pub why: String,
}

/// Why an installation cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster refuses or does not answer.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// What an installation consists of is not known.
    #[error(transparent)]
    Manifests(#[from] super::Error),
    /// The namespace does not go.
    #[error(
        "Namespace {name} is still being deleted after {} s: `kubectl describe namespace {name}` says what holds it",
        NAMESPACE_DEADLINE.as_secs()
    )]
    NamespaceStays {
        /// Its name.
        name: String,
    },
}

/// Reads what the cluster holds of an installation in `namespace`. Nothing is written.
pub async fn plan(cluster: &Cluster, namespace: &Namespace, crds: bool) -> Result<Plan, Error> {
    let installed = manifests(&Settings::whole(namespace.clone()))?;
    let mut plan = Plan::default();
    for name in [WEBHOOK_CONFIGURATION, WITNESS_CONFIGURATION] {
        plan.add_configuration(cluster, namespace, name).await?;
    }
    for kind in ORDER {
        match kind {
            "PersistentVolumeClaim" => plan.add_volumes(cluster, namespace).await?,
            "Secret" => plan.add_secret(cluster, namespace).await?,
            _ => plan.add_kind(cluster, &installed, kind).await?,
        }
    }
    plan.add_namespace(cluster, &installed, namespace).await?;
    if crds {
        plan.add_kind(cluster, &installed, "CustomResourceDefinition")
            .await?;
    } else {
        plan.keep_definitions(cluster, &installed).await?;
    }
    Ok(plan)
}

/// Removes what was planned, telling `done` of each object, and waits until the namespace is gone.
pub async fn carry_out(cluster: &Cluster, plan: &Plan, mut done: impl FnMut(&Removal)) -> Result<(), Error> {
    for removal in &plan.removals {
        // A webhook that was still running may have written its configuration anew, before its role was taken away.
        if removal.kind() == "Namespace" {
            remove_configuration(cluster, plan, &mut done).await?;
        }
        cluster
            .delete(&removal.target, &removal.uid, Propagation::Background)
            .await?;
        done(removal);
    }
    remove_configuration(cluster, plan, &mut done).await?;
    let namespaces = plan
        .removals
        .iter()
        .filter(|removal| removal.kind() == "Namespace");
    for removal in namespaces {
        wait_gone(cluster, &removal.target).await?;
    }
    Ok(())
}

/// Removes the configuration where one is there again.
async fn remove_configuration(
    cluster: &Cluster,
    plan: &Plan,
    done: &mut impl FnMut(&Removal),
) -> Result<(), Error> {
    for target in &plan.configurations {
        if let Some(live) = cluster.get(target).await? {
            let again = Removal::of(target.clone(), &live);
            cluster
                .delete(&again.target, &again.uid, Propagation::Background)
                .await?;
            done(&again);
        }
    }
    Ok(())
}

async fn wait_gone(cluster: &Cluster, target: &Target) -> Result<(), Error> {
    let deadline = Instant::now() + NAMESPACE_DEADLINE;
    while cluster.get(target).await?.is_some() {
        if Instant::now() > deadline {
            let name = target.name.clone();
            return Err(Error::NamespaceStays { name });
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

fn target(cluster: &Cluster, object: &Value) -> Option<Target> {
    let kinds = cluster.kinds();
    let kind = kinds.get(&GroupVersionKind::of(object)?)?;
    Some(kind.target(&ObjectKey::of(object)?))
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][PART_OF] == PROVOST
}

/// The namespace of the Service that a webhook configuration leads to; empty where it leads to a workstation.
fn owner_of(configuration: &Value) -> &str {
    let annotation = configuration["metadata"]["annotations"][SERVICE_ANNOTATION].as_str();
    let service = configuration["webhooks"][0]["clientConfig"]["service"]["namespace"].as_str();
    annotation
        .and_then(|owner| owner.split('/').next())
        .or(service)
        .unwrap_or_default()
}

// === impl Plan ===

impl Plan {
    /// Another installation's configuration stays; one that leads to a workstation is nobody's once we are asked.
    async fn add_configuration(
        &mut self,
        cluster: &Cluster,
        namespace: &Namespace,
        name: &str,
    ) -> Result<(), Error> {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
        });
        let Some(target) = target(cluster, &object) else {
            return Ok(());
        };
        let live = cluster.get(&target).await?;
        let owner = live.as_ref().map_or("", owner_of);
        if !owner.is_empty() && owner != namespace.to_string() {
            self.keep(&target, format!("it belongs to the Provost in namespace {owner}"));
            return Ok(());
        }
        self.configurations.push(target.clone());
        self.removals.extend(live.map(|live| Removal::of(target, &live)));
        Ok(())
    }

    async fn add_kind(&mut self, cluster: &Cluster, installed: &[Manifest], kind: &str) -> Result<(), Error> {
        for Manifest { object, .. } in installed
            .iter()
            .filter(|manifest| manifest.object["kind"] == kind)
        {
            self.add(cluster, object, is_ours).await?;
        }
        Ok(())
    }

    /// The webhook's Secret has no label: it is made by the webhook, and known by its name.
    async fn add_secret(&mut self, cluster: &Cluster, namespace: &Namespace) -> Result<(), Error> {
        for name in [
            WEBHOOK_SECRET,
            certificates::WRITERS,
            certificates::RECORDER,
            certificates::AUDIT,
        ] {
            let secret = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace.to_string()},
            });
            let by_name = name == WEBHOOK_SECRET;
            self.add(cluster, &secret, |live| by_name || is_ours(live))
                .await?;
        }
        Ok(())
    }

    async fn add(
        &mut self,
        cluster: &Cluster,
        object: &Value,
        ours: impl Fn(&Value) -> bool,
    ) -> Result<(), Error> {
        let Some(target) = target(cluster, object) else {
            return Ok(());
        };
        match cluster.get(&target).await? {
            Some(live) if ours(&live) => self.removals.push(Removal::of(target, &live)),
            Some(_) => self.keep(&target, format!("it has no label {PART_OF}: {PROVOST}")),
            None => {}
        }
        Ok(())
    }

    /// The volumes that the StatefulSets' pods left.
    async fn add_volumes(&mut self, cluster: &Cluster, namespace: &Namespace) -> Result<(), Error> {
        let kinds = cluster.kinds();
        let Some(kind) = kinds.preferred("", "PersistentVolumeClaim") else {
            return Ok(());
        };
        for live in list(cluster, kind, namespace).await? {
            let Ok(value) = serde_json::to_value(&live) else {
                continue;
            };
            if !is_ours(&value) {
                continue;
            }
            let target = Target {
                kind: kind.clone(),
                namespace: Some(namespace.to_string()),
                name: live.metadata.name.unwrap_or_default(),
            };
            self.removals.push(Removal::of(target, &value));
        }
        Ok(())
    }

    async fn add_namespace(
        &mut self,
        cluster: &Cluster,
        installed: &[Manifest],
        namespace: &Namespace,
    ) -> Result<(), Error> {
        let before = self.removals.len();
        self.add_kind(cluster, installed, "Namespace").await?;
        if self.removals.len() == before {
            return Ok(());
        }
        let others = others(cluster, namespace).await?;
        if let (Some(first), Some(_)) = (others.first(), self.removals.get(before)) {
            let more = match others.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            let why = format!("it holds objects that are not Provost's: {first}{more}");
            if let Some(namespace) = self.removals.pop() {
                self.keep(&namespace.target, why);
            }
        }
        Ok(())
    }

    async fn keep_definitions(&mut self, cluster: &Cluster, installed: &[Manifest]) -> Result<(), Error> {
        let is_definition = |manifest: &&Manifest| manifest.object["kind"] == "CustomResourceDefinition";
        for Manifest { object, .. } in installed.iter().filter(is_definition) {
            let Some(target) = target(cluster, object) else {
                continue;
            };
            if cluster.get(&target).await?.is_some_and(|live| is_ours(&live)) {
                let why = "with it would go every object of its kind; --crds removes it".to_owned();
                self.keep(&target, why);
            }
        }
        Ok(())
    }

    fn keep(&mut self, target: &Target, why: String) {
        let what = target.to_string();
        self.kept.push(Kept { what, why });
    }
}

/// What is in the namespace and is neither ours nor made by the cluster itself, by kind and name.
async fn others(cluster: &Cluster, namespace: &Namespace) -> Result<BTreeSet<String>, Error> {
    let mut others = BTreeSet::new();
    for kind in cluster.kinds().all() {
        // An Event tells of an object and is none that anybody keeps.
        if !kind.namespaced || !kind.watchable || kind.gvk.kind == "Event" {
            continue;
        }
        for object in list(cluster, kind, namespace).await? {
            let labels = object.metadata.labels.unwrap_or_default();
            let name = object.metadata.name.unwrap_or_default();
            let ours = labels.get(PART_OF).is_some_and(|value| value == PROVOST)
                || [
                    ("Secret", WEBHOOK_SECRET),
                    // The agent's, of the name that its other objects have.
                    ("Lease", "provost-agent"),
                    ("ServiceAccount", "default"),
                    ("ConfigMap", "kube-root-ca.crt"),
                ]
                .contains(&(kind.gvk.kind.as_str(), name.as_str()));
            if !ours {
                others.insert(format!("{} {name}", kind.gvk.kind));
            }
        }
    }
    Ok(others)
}

async fn list(
    cluster: &Cluster,
    kind: &cluster::Kind,
    namespace: &Namespace,
) -> Result<Vec<DynamicObject>, Error> {
    let client = cluster.client().clone();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace.to_string(), &kind.api_resource());
    let parameters = ListParams::default().limit(MAX_LISTED);
    let what = format!("list {} in {namespace}", kind.plural);
    let list: ObjectList<DynamicObject> = cluster.ask(&what, api.list(&parameters)).await?;
    Ok(list.items)
}

// === impl Removal ===

impl Removal {
    fn of(target: Target, live: &Value) -> Self {
        let uid = live["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        Self { target, uid }
    }

    /// The object's kind.
    pub fn kind(&self) -> &str {
        &self.target.kind.gvk.kind
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}
