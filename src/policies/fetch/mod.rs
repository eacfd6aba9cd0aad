//! Fetches what rules ask for: from what is watched where many requests need it, with a request where few do.
//!
//! | asked for | answered from | a miss |
//! |---|---|---|
//! | labels of a namespace | a watch, names and labels only | one GET: the namespace may be newer than the watch |
//! | roles of the user | a watch of the bindings | no role |
//! | ConfigMap | a GET, kept for [`config_map::FRESH`] | an error |
//! | API call | a GET, or the POST of a review | an error |
//! | HTTP call | a request, to hosts that a setting lists ([`service`]) | an error |
//! | global context | a watch, or an answer asked for again at intervals ([`global`]) | an error |
//!
//! A watch begins with the first rule that asks, so that a cluster whose policies ask for nothing is not watched.
//!
//! # Guarantees
//! - What could not be read is an error, never "none".
//! - Nothing is changed anywhere, and nobody is asked but the apiserver and the hosts that a setting lists.
//!
//! RBAC: get, list, watch on namespaces; list, watch on rolebindings and clusterrolebindings; get on the ConfigMaps, and
//! on whatever else the policies' API calls read; list, watch on what the global context keeps.

mod address;
mod api_call;
mod bindings;
mod config_map;
mod global;
mod service;
mod watched;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures::StreamExt as _;
use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::watcher::{Config, watcher},
};
use provost_policy::{GlobalEntry, Input, Key, UserInfo};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Reads;
use bindings::Binding;
use config_map::ConfigMaps;
use watched::Watched;

pub use service::{CallHost, CallHostError, ServiceCalls};

/// Why nothing is known where there is no cluster.
pub const NO_CLUSTER: &str = "there is no cluster to ask";

/// Fetches what rules ask for; from nowhere where there is no cluster.
#[derive(Clone, Default)]
pub struct Fetcher {
    cluster: Option<Arc<Cluster>>,
    origin: Origin,
    globals: Arc<global::Kept>,
}

/// The entries of the global context, by name.
pub type Globals = BTreeMap<Arc<str>, Arc<GlobalEntry>>;

/// Whom calls go to, and until when.
#[derive(Clone, Default)]
struct Origin {
    client: Option<Client>,
    services: Arc<ServiceCalls>,
    stop: CancellationToken,
    /// Where it is told how reading the global context went.
    reads: Reads,
}

/// A cluster to ask.
struct Cluster {
    client: Client,
    /// Ends the watches.
    stop: CancellationToken,
    namespaces: OnceLock<Arc<Watched<Labels>>>,
    bindings_in_namespaces: OnceLock<Arc<Watched<Binding>>>,
    bindings_everywhere: OnceLock<Arc<Watched<Binding>>>,
    config_maps: ConfigMaps,
    /// Where namespaces are read once each and not watched: those read so far.
    read_once: Option<Mutex<HashMap<String, Input>>>,
}

type Labels = BTreeMap<String, String>;

// === impl Fetcher ===

impl Fetcher {
    /// Fetches from the cluster that `client` speaks to, until `stop`.
    pub fn cluster(client: Client, stop: CancellationToken) -> Self {
        Self::of(client, stop, None)
    }

    /// Fetches from the cluster for one run of a command: the labels of a namespace are read once and not watched, unless
    /// they are `known` already.
    pub fn once(client: Client, known: HashMap<String, Input>) -> Self {
        Self::of(client, CancellationToken::new(), Some(Mutex::new(known)))
    }

    fn of(client: Client, stop: CancellationToken, read_once: Option<Mutex<HashMap<String, Input>>>) -> Self {
        let origin = Origin {
            client: Some(client.clone()),
            services: Arc::default(),
            stop: stop.clone(),
            reads: Reads::default(),
        };
        let cluster = Cluster {
            read_once,
            client,
            stop,
            namespaces: OnceLock::new(),
            bindings_in_namespaces: OnceLock::new(),
            bindings_everywhere: OnceLock::new(),
            config_maps: ConfigMaps::default(),
        };
        Self {
            cluster: Some(Arc::new(cluster)),
            origin,
            globals: Arc::default(),
        }
    }

    /// With the servers that policies may call.
    #[must_use]
    pub fn calling(mut self, services: ServiceCalls) -> Self {
        self.origin.services = Arc::new(services);
        self
    }

    /// Telling there how reading the global context goes.
    #[must_use]
    pub fn telling(mut self, reads: Reads) -> Self {
        self.origin.reads = reads;
        self
    }

    /// The value for a key, for a request of `user`; in an error, why there is none.
    pub(super) async fn fetch(&self, key: &Key, user: Option<&UserInfo>, globals: &Globals) -> Input {
        if let Some(answer) = self.origin.call(key).await {
            return answer;
        }
        if let Key::GlobalContext(name) = key {
            return self.globals.get(name, globals, &self.origin).await;
        }
        let Some(cluster) = &self.cluster else {
            return Err(NO_CLUSTER.to_owned());
        };
        match key {
            Key::NamespaceLabels(name) => cluster.namespace_labels(name).await,
            Key::ConfigMap { namespace, name } => {
                cluster.config_maps.get(&cluster.client, namespace, name).await
            }
            Key::Roles => match user {
                Some(user) => cluster.roles(user).await,
                None => Err("the roles of nobody cannot be told".to_owned()),
            },
            Key::Stated { name, .. } => Err(format!("{name} is stated by policy tests only")),
            Key::ApiCall { .. } | Key::ApiPost { .. } | Key::Service(_) | Key::GlobalContext(_) => {
                Err("it was answered before".to_owned())
            }
        }
    }
}

/// The apiserver's own words where it answered.
fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cluster = self.cluster.is_some();
        f.debug_struct("Fetcher")
            .field("cluster", &cluster)
            .finish_non_exhaustive()
    }
}

// === impl Origin ===

impl Origin {
    /// The answer to a call; none where the key is no call.
    async fn call(&self, key: &Key) -> Option<Input> {
        let client = self.client.as_ref().ok_or_else(|| NO_CLUSTER.to_owned());
        match (key, client) {
            (Key::Service(call), _) => Some(self.services.call(call).await),
            (Key::ApiCall { .. } | Key::ApiPost { .. }, Err(why)) => Some(Err(why)),
            (Key::ApiCall { path }, Ok(client)) => Some(api_call::get(client, path).await),
            (Key::ApiPost { path, body }, Ok(client)) => Some(api_call::review(client, path, body).await),
            _ => None,
        }
    }
}

// === impl Cluster ===

impl Cluster {
    async fn namespace_labels(&self, name: &str) -> Input {
        if let Some(read) = &self.read_once {
            let known = || read.lock().unwrap_or_else(PoisonError::into_inner);
            let input = known().get(name).cloned();
            if let Some(input) = input {
                return input;
            }
            let input = self.read_namespace(name).await;
            known().insert(name.to_owned(), input.clone());
            return input;
        }
        let namespaces = self.namespaces();
        namespaces.current().await?;
        if let Some(labels) = namespaces.read(|all| all.get(&(String::new(), name.to_owned())).cloned()) {
            return Ok(json!(labels));
        }
        self.read_namespace(name).await
    }

    async fn read_namespace(&self, name: &str) -> Input {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let read = api.get_metadata(name).await;
        let namespace = read.map_err(|error| format!("cannot read namespace {name}: {}", why(&error)))?;
        Ok(json!(namespace.metadata.labels.unwrap_or_default()))
    }

    async fn roles(&self, user: &UserInfo) -> Input {
        let (of_namespaces, of_cluster) = (self.bindings_in_namespaces(), self.bindings_everywhere());
        let (first, second) = futures::join!(of_namespaces.current(), of_cluster.current());
        first.and(second)?;
        Ok(of_namespaces.read(|some| {
            of_cluster.read(|others| bindings::roles(some.values().chain(others.values()), user))
        }))
    }

    fn namespaces(&self) -> &Arc<Watched<Labels>> {
        self.namespaces.get_or_init(|| {
            let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
            Watched::start(
                "namespaces",
                move || watcher(api.clone(), Config::default()).boxed(),
                |namespace| namespace.metadata.labels.unwrap_or_default(),
                self.stop.clone(),
            )
        })
    }

    fn bindings_in_namespaces(&self) -> &Arc<Watched<Binding>> {
        self.bindings_in_namespaces.get_or_init(|| {
            let api: Api<RoleBinding> = Api::all(self.client.clone());
            Watched::start(
                "rolebindings",
                move || watcher(api.clone(), Config::default()).boxed(),
                Binding::from,
                self.stop.clone(),
            )
        })
    }

    fn bindings_everywhere(&self) -> &Arc<Watched<Binding>> {
        self.bindings_everywhere.get_or_init(|| {
            let api: Api<ClusterRoleBinding> = Api::all(self.client.clone());
            Watched::start(
                "clusterrolebindings",
                move || watcher(api.clone(), Config::default()).boxed(),
                Binding::from,
                self.stop.clone(),
            )
        })
    }
}
