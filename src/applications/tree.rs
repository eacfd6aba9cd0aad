//! What an Application is made of, down to its pods.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use provost_delivery::health::{self, Health};
use provost_delivery::owner::Owner;
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::Value;

use super::{Applications, Error};
use crate::api::argoproj::Application;
use crate::api::provost::Inventory;
use crate::cluster::Kind;

/// Kinds of what controllers make of what is declared.
const MADE: [(&str, &str); 6] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
    ("", "Pod"),
];
/// The most objects of one kind that are looked through in one namespace.
const MAX_LISTED: usize = 5_000;
/// How many objects one request lists.
const PAGE: u32 = 500;
/// How many requests are under way at a time.
const PARALLEL: usize = 8;
/// How deep owners are followed.
const MAX_DEPTH: usize = 8;

/// An Application's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// What it declares.
    pub roots: Vec<Node>,
    /// What could not be looked at, a sentence each, safe to print only once defused.
    pub gaps: Vec<String>,
}

/// One object, and what its controller made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The object.
    pub key: ObjectKey,
    /// How it fares; `None` where nobody can tell.
    pub health: Option<Health>,
    /// Whether it is an old generation with nothing in it, as a Deployment keeps for a rollback.
    pub is_idle: bool,
    /// What it owns.
    pub children: Vec<Self>,
}

// === impl Applications ===

impl Applications {
    /// The Application's objects, and what controllers made of them.
    pub async fn tree(&self, application: &Application) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        let roots = self.declared(application, &mut tree.gaps).await;
        let looked: Vec<_> = futures::stream::iter(roots)
            .map(|(key, kind)| async move {
                let live = match &kind {
                    Some(kind) => self.cluster.get(&kind.target(&key)).await,
                    None => Ok(None),
                };
                (key, live)
            })
            .buffered(PARALLEL)
            .collect()
            .await;
        let namespaces: Vec<String> = {
            let mut all: Vec<_> = looked
                .iter()
                .filter_map(|(key, _)| key.namespace.clone())
                .collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let made = self.made(&namespaces, &mut tree.gaps).await;
        for (key, live) in looked {
            let node = match live {
                Ok(Some(live)) => grow(key, &live, &made, MAX_DEPTH),
                Ok(None) => Node {
                    key,
                    health: Some(Health::missing()),
                    is_idle: false,
                    children: Vec::new(),
                },
                Err(error) => {
                    tree.gaps.push(error.to_string());
                    Node {
                        key,
                        health: None,
                        is_idle: false,
                        children: Vec::new(),
                    }
                }
            };
            tree.roots.push(node);
        }
        Ok(tree)
    }

    /// What it declares: by the inventories, or where those may not be read by the status.
    async fn declared(
        &self,
        application: &Application,
        gaps: &mut Vec<String>,
    ) -> BTreeMap<ObjectKey, Option<Kind>> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let namespace = text(&application.metadata.namespace);
        let owner = Owner::of_application(&namespace, &text(&application.metadata.name));
        let api: Api<Inventory> = Api::namespaced(self.cluster.client().clone(), &namespace);
        let selector = ListParams::default().labels(&owner.selector());
        let kinds = self.cluster.kinds();
        let kind_of = |group: &str, version: &str, kind: &str| {
            let exact = kinds.get(&GroupVersionKind::new(group, version, kind));
            exact.or_else(|| kinds.preferred(group, kind)).cloned()
        };
        let key = |group: &str, kind: &str, namespace: &str, name: &str| ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
            name: name.to_owned(),
        };
        match self
            .cluster
            .ask("read the inventories", api.list(&selector))
            .await
        {
            Ok(list) => {
                let entries = list.items.iter().flat_map(|chunk| &chunk.spec.entries);
                entries
                    .map(|entry| {
                        let key = key(&entry.group, &entry.kind, &entry.namespace, &entry.name);
                        (key, kind_of(&entry.group, &entry.version, &entry.kind))
                    })
                    .collect()
            }
            Err(error) => {
                gaps.push(format!(
                    "{error}: the objects are those of the status, 500 at most"
                ));
                let resources = application.status.resources.iter();
                resources
                    .map(|one| {
                        let key = key(&one.group, &one.kind, &one.namespace, &one.name);
                        (key, kind_of(&one.group, &one.version, &one.kind))
                    })
                    .collect()
            }
        }
    }

    /// What has a controlling owner in these namespaces, by the owner's uid.
    async fn made(&self, namespaces: &[String], gaps: &mut Vec<String>) -> HashMap<String, Vec<Value>> {
        let mut made: HashMap<String, Vec<Value>> = HashMap::new();
        for namespace in namespaces {
            for (group, kind) in MADE {
                let Some(kind) = self.cluster.kinds().preferred(group, kind).cloned() else {
                    continue;
                };
                match self.all(namespace, &kind).await {
                    Ok((objects, is_whole)) => {
                        if !is_whole {
                            gaps.push(format!(
                                "namespace {namespace} has more than {MAX_LISTED} {}: the others are not shown",
                                kind.plural
                            ));
                        }
                        for object in objects {
                            for owner in controllers(&object) {
                                made.entry(owner).or_default().push(object.clone());
                            }
                        }
                    }
                    Err(error) => gaps.push(error.to_string()),
                }
            }
        }
        made
    }

    async fn all(&self, namespace: &str, kind: &Kind) -> Result<(Vec<Value>, bool), Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.cluster.client().clone(), namespace, &kind.api_resource());
        let what = format!("list {} of namespace {namespace}", kind.plural);
        let mut parameters = ListParams::default().limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = self.cluster.ask(&what, api.list(&parameters)).await?;
            for object in page.items {
                let mut object = serde_json::to_value(object).unwrap_or_default();
                // Items of a list do not say their kind.
                object["apiVersion"] = kind.gvk.api_version().into();
                object["kind"] = kind.gvk.kind.clone().into();
                found.push(object);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                None => return Ok((found, true)),
                Some(_) if found.len() >= MAX_LISTED => return Ok((found, false)),
                Some(token) => parameters = parameters.continue_token(&token),
            }
        }
    }
}

fn controllers(object: &Value) -> impl Iterator<Item = String> + '_ {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let owners = owners.map(Vec::as_slice).unwrap_or_default().iter();
    owners
        .filter(|owner| owner["controller"] == true)
        .filter_map(|owner| owner["uid"].as_str().map(str::to_owned))
}

fn grow(key: ObjectKey, live: &Value, made: &HashMap<String, Vec<Value>>, depth: usize) -> Node {
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    let mut children = Vec::new();
    if depth > 0 {
        for child in made.get(uid).map(Vec::as_slice).unwrap_or_default() {
            children.extend(ObjectKey::of(child).map(|key| grow(key, child, made, depth - 1)));
        }
    }
    children.sort_by(|one: &Node, other| one.key.cmp(&other.key));
    let is_idle = key.kind == "ReplicaSet" && live["spec"]["replicas"] == 0;
    Node {
        key,
        health: Some(health::assess(live)),
        is_idle,
        children,
    }
}
