//! Which Applications there are, and what each one's task has to hear of.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use provost_delivery::owner::Owner;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::SyncConfig;
use super::application::Task;
use super::configuration::{self, ConfigurationSource};
use super::error::Error;
use super::events::Events;
use super::mailbox::Mailbox;
use super::metrics::SyncMetrics;
use super::precheck::Precheck;
use super::projects::{self, Projects};
use super::push;
use super::sources::Sources;
use crate::api::argoproj::Application;
use crate::cluster::{Cluster, Kind, Observation, watch_owned};
use crate::git::{LocalRepositories, Mirrors};
use crate::ledger::Ledger;
use crate::render::{Capabilities, History, RenderConfig, Renderer};

/// How many Applications are read and rendered at a time.
const MAX_READINGS: usize = 8;
/// How many Applications are applied at a time.
const MAX_PASSES: usize = 8;
/// How long tasks may take to end when the agent stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What every task shares.
pub(super) struct Context {
    pub(super) cluster: Cluster,
    pub(super) precheck: Precheck,
    pub(super) sources: Arc<Sources>,
    pub(super) renderer: Renderer,
    /// What the apiserver called itself at the start.
    pub(super) kube_version: String,
    pub(super) history: Arc<History>,
    pub(super) ledger: Ledger,
    pub(super) local_repositories: LocalRepositories,
    pub(super) projects: Projects,
    pub(super) metrics: SyncMetrics,
    pub(super) events: Events,
    /// Who reads Git and renders.
    pub(super) readings: Semaphore,
    /// Who writes to the cluster.
    pub(super) passes: Arc<Semaphore>,
    pub(super) shutdown: CancellationToken,
    watches: Watches,
}

/// The watches over live objects, one per kind, and whom they tell.
#[derive(Default)]
struct Watches {
    started: Mutex<HashSet<(String, String)>>,
    mailboxes: Arc<RwLock<HashMap<String, Weak<Mailbox>>>>,
}

/// Starts and ends the Applications' tasks.
pub(super) struct Controller {
    context: Arc<Context>,
    namespace: Option<String>,
    tasks: HashMap<String, Handle>,
    running: JoinSet<String>,
}

/// One Application's task, from outside.
struct Handle {
    mailbox: Arc<Mailbox>,
    end: CancellationToken,
    turn: Arc<tokio::sync::Mutex<()>>,
}

// === impl Context ===

impl Context {
    /// Watches this kind from now on.
    pub(super) fn watch(&self, kind: &Kind) {
        if !kind.watchable {
            return;
        }
        // Versions of a kind are the same objects: one watch is enough.
        let name = (kind.gvk.group.clone(), kind.gvk.kind.clone());
        let mut started = self
            .watches
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !started.insert(name) {
            return;
        }
        let mailboxes = Arc::clone(&self.watches.mailboxes);
        let observe = move |observation: Observation| {
            let mailboxes = mailboxes.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(mailbox) = mailboxes.get(&observation.owner).and_then(Weak::upgrade) {
                mailbox.put_observation(observation.key, observation.seen);
            }
        };
        let watch = watch_owned(self.cluster.clone(), kind.clone(), observe);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _ = shutdown.run_until_cancelled(watch).await;
        });
    }

    /// What charts may ask of the cluster.
    pub(super) fn capabilities(&self) -> Capabilities {
        capabilities(&self.cluster, &self.kube_version)
    }

    fn route(&self, owner: &Owner, mailbox: &Arc<Mailbox>) {
        let mut mailboxes = self
            .watches
            .mailboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        mailboxes.retain(|_, mailbox| mailbox.strong_count() > 0);
        mailboxes.insert(owner.label().to_owned(), Arc::downgrade(mailbox));
    }
}

/// What charts may ask of the cluster.
pub(super) fn capabilities(cluster: &Cluster, kube_version: &str) -> Capabilities {
    let kinds = cluster.kinds();
    let served = kinds.served().flat_map(|gvk| {
        let version = gvk.api_version();
        let kind = format!("{version}/{}", gvk.kind);
        [version, kind]
    });
    let api_versions: BTreeSet<String> = served.collect();
    Capabilities {
        kube_version: kube_version.to_owned(),
        api_versions: api_versions.into_iter().collect(),
    }
}

// === impl Handle ===

impl Handle {
    /// Whether the task is there and was not told to end; it holds its mailbox for as long as it runs.
    fn is_alive(&self) -> bool {
        !self.end.is_cancelled() && Arc::strong_count(&self.mailbox) > 1
    }
}

// === impl Controller ===

impl Controller {
    pub(super) async fn new(
        config: SyncConfig,
        cluster: Cluster,
        precheck: Precheck,
        ledger: Ledger,
        instance: String,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let renderer = Renderer::start(&RenderConfig {
            folder: config.state.join("renders"),
            kustomize: config.kustomize,
            helm: config.helm,
            search_path: config.search_path,
            launcher: config.launcher,
        })
        .await?;
        let kube_version = cluster.version().await?;
        if let Some(namespace) = config.control_namespaces.first() {
            projects::ensure_default(&cluster, namespace).await;
        }
        let mirrors = Mirrors::new(config.state.join("mirrors"), config.submodules);
        let source = ConfigurationSource {
            namespaces: config.control_namespaces.clone(),
            push_secrets: config.push_secrets,
            gpg: config.gpg,
        };
        let configured = configuration::watch(cluster.client().clone(), source, shutdown.clone()).await;
        let metrics = SyncMetrics::register(&config.metrics, &cluster);
        let sources = Arc::new(Sources::new(
            mirrors,
            config.poll_interval,
            configured.clone(),
            metrics.fetches.clone(),
            shutdown.clone(),
        ));
        let sweep = Arc::clone(&sources).sweep();
        let end = shutdown.clone();
        tokio::spawn(async move {
            let _ = end.run_until_cancelled(sweep).await;
        });
        if let Some(address) = config.hooks_listen {
            let router = push::router(Arc::clone(&sources), configured);
            push::listen(address, router, shutdown.clone()).await?;
        }
        let projects = Projects::start(&cluster, config.control_namespaces, config.fallback, &shutdown);
        let context = Context {
            metrics,
            events: Events::new(&cluster, &instance),
            cluster,
            precheck,
            sources,
            renderer,
            kube_version,
            history: Arc::new(History::open(&config.state)?),
            ledger,
            local_repositories: config.local_repositories,
            projects,
            readings: Semaphore::new(MAX_READINGS),
            passes: Arc::new(Semaphore::new(MAX_PASSES)),
            shutdown,
            watches: Watches::default(),
        };
        Ok(Self {
            context: Arc::new(context),
            namespace: config.namespace,
            tasks: HashMap::new(),
            running: JoinSet::new(),
        })
    }

    /// Runs until the agent is told to stop.
    pub(super) async fn run(mut self) {
        let client = self.context.cluster.client().clone();
        let api: Api<Application> = match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut listed = HashSet::new();
        let shutdown = self.context.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = self.running.join_next() => self.ended(ended),
                event = events.next() => match event {
                    Some(Ok(Event::Init)) => listed.clear(),
                    Some(Ok(Event::InitApply(application))) => {
                        listed.insert(application.full_name());
                        self.tell(application);
                    }
                    Some(Ok(Event::InitDone)) => {
                        self.tasks.iter().filter(|(name, _)| !listed.contains(*name)).for_each(|(_, task)| task.end.cancel());
                    }
                    Some(Ok(Event::Apply(application))) => self.tell(application),
                    Some(Ok(Event::Delete(application))) => {
                        self.context.metrics.forget(&application.full_name());
                        if let Some(task) = self.tasks.get(&application.full_name()) {
                            task.end.cancel();
                        }
                    }
                    Some(Err(error)) => tracing::warn!(%error, "Applications cannot be watched; trying again."),
                    None => break,
                },
            }
        }
        self.stop().await;
    }

    fn tell(&mut self, mut application: Application) {
        // Several times what the rest takes, for each of a thousand Applications, and nobody reads it.
        application.metadata.managed_fields = None;
        let name = application.full_name();
        let before = self.tasks.get(&name);
        if let Some(task) = before.filter(|task| task.is_alive()) {
            task.mailbox.put_application(application);
            return;
        }
        // One that was deleted and made anew waits until its forerunner's last step is done.
        let turn = before.map(|task| Arc::clone(&task.turn)).unwrap_or_default();
        let handle = Handle {
            mailbox: Arc::default(),
            end: self.context.shutdown.child_token(),
            turn,
        };
        let (namespace, own_name) = name.split_once('/').unwrap_or_default();
        let owner = Owner::of_application(namespace, own_name);
        self.context.route(&owner, &handle.mailbox);
        let task = Box::new(Task::new(
            Arc::clone(&self.context),
            Arc::clone(&handle.mailbox),
            owner,
            application,
        ));
        let (end, turn, ended) = (handle.end.clone(), Arc::clone(&handle.turn), name.clone());
        self.running.spawn(async move {
            let _turn = turn.lock_owned().await;
            task.run(end).await;
            ended
        });
        self.tasks.insert(name, handle);
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(name) => {
                if self.tasks.get(&name).is_some_and(|task| task.end.is_cancelled()) {
                    self.tasks.remove(&name);
                }
            }
            Err(error) => tracing::error!(%error, "An Application's task failed; this is a bug in Provost."),
        }
    }

    async fn stop(mut self) {
        self.tasks.clear();
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!(
                "Some Applications were still being worked on; their next pass takes it up again."
            );
        }
    }
}
