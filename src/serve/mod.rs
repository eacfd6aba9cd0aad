//! `provost serve`: which roles run, in what order they start and stop.
//!
//! ```text
//! start: ledger ─▶ recorder ─▶ cluster ─▶ policies read ─▶ certificate, listener ─▶ webhook configuration ─▶ agent
//! stop:  not ready, agent takes no more work ─▶ configuration withdrawn (workstation), or whoever follows readiness
//!        given time to hear (cluster) ─▶ reviews drained ─▶ ledger ─▶ last checkpoint
//! ```
//!
//! # Guarantees
//! - The apiserver is told to call the webhook only once it answers.
//! - On a workstation, it is told to stop calling before the webhook stops answering; in a cluster the configuration
//!   stays, since another replica answers or will.
//! - The first signal finishes what is in flight, within a bound; a second one ends everything at once.

mod admin;
mod agent;
mod audit;
mod connect;
mod heartbeat;
mod ledger;
mod policies;
mod webhook;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use provost_evidence::event;

use crate::{
    cluster,
    config::{Address, ClientCertificates, FailurePolicy, LedgerListener, Role, WitnessScope},
    ledger::Ledger,
    policies::{Admission, ServiceCalls, Snapshot},
    recorder::{self, PullConfig, RecorderConfig, observe::Observer, sample::Sampler},
    server::{self, Drained, Shutdown, outlive_full_disks},
    sync::{self, SyncConfig},
    telemetry::Metrics,
    webhook::{rotation::Lifetimes, run::AnnounceError, store},
};

pub use audit::AuditConfig;
pub use connect::Connection;

/// All that `provost serve` is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; `None` stands alone.
    pub cluster: Option<Connection>,
    /// Whether the webhook answers reviews.
    pub webhook: bool,
    /// What the agent is told, where it reconciles.
    pub agent: Option<SyncConfig>,
    /// What the recorder is told, where it works.
    pub recorder: Option<RecorderConfig>,
    /// Whose chains the recorder takes, where they lie elsewhere.
    pub pull: Option<PullConfig>,
    /// Where the recorder may read this process's chains.
    pub ledger_listener: Option<LedgerListener>,
    /// Where the apiserver's audit log comes from, where the recorder takes it.
    pub audit: Option<AuditConfig>,
    /// A folder of policies, beside those of the cluster.
    pub policies: Option<PathBuf>,
    /// Where the admission listener binds.
    pub listen: SocketAddr,
    /// Where metrics are served, where not on the admission listener.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the apiserver finds us; `None` is the address that the listener binds.
    pub address: Option<Address>,
    /// The folder of certificates, on a workstation.
    pub certificates: PathBuf,
    /// How long the webhook's certificates live.
    pub lifetimes: Lifetimes,
    /// Who may ask for verdicts, where not everybody who knows the path.
    pub client_certificates: Option<ClientCertificates>,
    /// How long reviews are still taken once the process is to stop and no longer ready.
    pub drain_delay: Duration,
    /// What happens to writes while the webhook does not answer.
    pub failure_policy: FailurePolicy,
    /// Of which writes the apiserver is to tell, whether or not a policy judges them.
    pub witness: WitnessScope,
    /// Namespaces that are not judged, besides the usual.
    pub exempt_namespaces: Vec<String>,
    /// Namespaces whose PolicyExceptions count.
    pub exception_namespaces: Vec<String>,
    /// Which servers policies may call.
    pub service_calls: ServiceCalls,
    /// Whether CRDs are installed where they are absent.
    pub install_crds: bool,
}

/// Why serving ended, or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster cannot be reached as configured.
    #[error("cannot connect to the cluster")]
    Connect(#[from] connect::Error),
    /// The policies cannot be read.
    #[error(transparent)]
    Policies(#[from] crate::policies::Error),
    /// The kinds of policies are not known to the cluster.
    #[error(transparent)]
    Crds(#[from] cluster::Error),
    /// The cluster's policies did not come.
    #[error("the cluster's policies could not be read within {} s: see the log for why", policies::FIRST_LIST.as_secs())]
    FirstList,
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] store::Error),
    /// The listener cannot serve.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The apiserver cannot be told.
    #[error(transparent)]
    Configuration(#[from] AnnounceError),
    /// The authority of clients is not there.
    #[error("cannot read the clients' certificate authority {}", path.display())]
    ReadClientAuthority {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The token cannot be made.
    #[error("cannot make the webhook's token: the system gives no random bits")]
    Token,
    /// The agent cannot run.
    #[error("the agent cannot run")]
    Agent(#[from] sync::Error),
    /// The audit log cannot be taken.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The agent ended although nobody stopped it.
    #[error("the agent ended although nobody stopped it")]
    AgentEnded,
    /// A second signal came while requests were in flight.
    #[error("stopped at once by a second signal; requests in flight were not answered")]
    Aborted,
    /// The drain took too long.
    #[error("{0} connections were cut: their requests were not answered in time")]
    Unfinished(usize),
}

/// What a person reads once everything runs; each part where its role runs.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Of the webhook.
    pub webhook: Option<WebhookAnnouncement>,
    /// What the agent was told.
    pub agent: Option<SyncConfig>,
    /// Where audit events may be sent, and the file of the token.
    pub audit: Option<(String, PathBuf)>,
}

/// What a person reads of the webhook.
#[derive(Clone, Debug)]
pub struct WebhookAnnouncement {
    /// Where reviews go, without the token.
    pub url: String,
    /// Where the listener is bound.
    pub listener: SocketAddr,
    /// The certificate to trust, where it is a file.
    pub authority: Option<PathBuf>,
    /// Where metrics are.
    pub metrics: String,
    /// The policies in force and those that are out.
    pub policies: Arc<Snapshot>,
    /// Namespaces that are not judged.
    pub exempt_namespaces: Vec<String>,
}

/// A process that serves.
pub struct Serving {
    /// What a person reads.
    pub announcement: Announcement,
    shutdown: Shutdown,
    webhook: Option<webhook::Running>,
    agent: Option<agent::Running>,
    /// What hands the ledger on, and what takes others'.
    background: Vec<tokio::task::JoinHandle<()>>,
    audit: Option<audit::Running>,
}

/// Starts every role, in order.
pub async fn start(mut config: Config, ledger: Ledger) -> Result<Serving, Error> {
    let shutdown = Shutdown::on_signal()?;
    outlive_full_disks()?;
    let metrics = Metrics::default();
    if let Some(agent) = &mut config.agent {
        agent.metrics = metrics.clone();
    }
    let client = match &config.cluster {
        Some(connection) => Some(connection.client().await?),
        None => None,
    };
    let cluster = client.as_ref();
    let policies = policies::read(&config, cluster, &ledger, &shutdown).await?;
    let known = Arc::clone(&policies);
    let fetcher = policies::fetcher(&config, cluster, &policies, &shutdown);
    let exempt_namespaces = config.all_exempt_namespaces();
    let admission = Admission::new(Arc::clone(&policies), fetcher.clone(), exempt_namespaces);
    let webhook = if config.webhook {
        let judges = (policies, fetcher);
        Some(webhook::start(&config, client.clone(), judges, &ledger, &metrics, &shutdown).await?)
    } else {
        if let Some(address) = config.metrics_listen {
            admin::start(address, metrics, shutdown.drain.clone()).await?;
        }
        None
    };
    let pulse = heartbeat::Pulse {
        ledger: ledger.clone(),
        webhook: webhook.as_ref().map(|webhook| Arc::clone(&webhook.webhook)),
        client: client.clone(),
    };
    tokio::spawn(pulse.run(shutdown.drain.clone()));
    let handing = match (&config.ledger_listener, ledger.directory()) {
        (Some(listener), Some(directory)) => {
            Some(ledger::start(listener, directory.to_owned(), &ledger, &shutdown).await?)
        }
        _ => None,
    };
    let pulling = config.pull.clone().map(|pull| {
        let writer = boot(&config).writer;
        tokio::spawn(recorder::pull::run(
            pull,
            ledger.clone(),
            writer,
            shutdown.drain.clone(),
        ))
    });
    let audit = match &config.audit {
        Some(audit) => Some(audit::start(audit, config.lifetimes, &ledger, &shutdown).await?),
        None => None,
    };
    if let Some(client) = cluster.filter(|_| config.recorder.is_some()) {
        watch(&config, client, known, &ledger, &shutdown);
    }
    let announcement = Announcement {
        webhook: webhook.as_ref().map(|webhook| webhook.announcement.clone()),
        agent: config.agent.clone(),
        audit: audit.as_ref().and_then(|audit| audit.endpoint.clone()),
    };
    let agent = config
        .agent
        .zip(client)
        .map(|(config, client)| agent::start(config, client, admission, &ledger, &shutdown));
    Ok(Serving {
        announcement,
        shutdown,
        webhook,
        agent,
        background: handing.into_iter().chain(pulling).collect(),
        audit,
    })
}

/// What the recorder sees of the cluster by itself: what happens, and what no API keeps a history of.
fn watch(
    config: &Config,
    client: &kube::Client,
    policies: Arc<crate::policies::Policies>,
    ledger: &Ledger,
    shutdown: &Shutdown,
) {
    let changed = Arc::new(tokio::sync::Notify::new());
    let exempt = config.all_exempt_namespaces();
    if config.witness != WitnessScope::Nothing {
        let observer = Observer {
            client: client.clone(),
            ledger: ledger.clone(),
            scope: config.witness.clone(),
            exempt: exempt.clone(),
            sampled: Arc::clone(&changed),
        };
        tokio::spawn(observer.run(shutdown.drain.clone()));
    }
    let sampler = Sampler {
        client: client.clone(),
        ledger: ledger.clone(),
        policies,
        exempt,
        changed,
    };
    tokio::spawn(sampler.run(shutdown.drain.clone()));
}

/// What the ledger's first record says of a process with this configuration.
pub fn boot(config: &Config) -> event::Boot {
    event::Boot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: config.roles().into_iter().map(str::to_owned).collect(),
        exempt_namespaces: config.all_exempt_namespaces().into_iter().collect(),
        witness: config.webhook && config.cluster.is_some() && config.witness != WitnessScope::Nothing,
        witness_namespaces: match &config.witness {
            WitnessScope::Named(names) => names.iter().cloned().collect(),
            WitnessScope::Nothing | WitnessScope::Governed => Vec::new(),
        },
        writer: format!("{}@{}", config.roles().join("+"), crate::config::host_name()),
        heartbeat_seconds: heartbeat::INTERVAL.as_secs(),
    }
}

/// Starts the recorder, where it has something to record. It stops after the ledger is closed, so that its last
/// checkpoint covers the last record.
pub fn start_recorder(
    config: &Config,
    ledger: &Ledger,
) -> Result<Option<recorder::Running>, recorder::Error> {
    match &config.recorder {
        Some(config) => recorder::start(config.clone(), ledger),
        None => Ok(None),
    }
}

// === impl Serving ===

impl Serving {
    /// Serves until a signal or until a role fails, then stops every role in order.
    pub async fn wait(self) -> Result<(), Error> {
        let Self {
            announcement: _,
            shutdown,
            webhook,
            mut agent,
            background,
            audit,
        } = self;
        let failed = tokio::select! {
            biased; // An agent that was told to stop may have ended by now.
            () = shutdown.drain.cancelled() => None,
            error = ended(&mut agent) => Some(error),
        };
        if failed.is_some() {
            agent = None;
            shutdown.drain.cancel();
        }
        tracing::info!("Stopping: what is in flight is finished first. A second signal stops at once.");
        let stop = async {
            if let Some(agent) = agent {
                agent.stop().await;
            }
            let drained = match webhook {
                Some(webhook) => webhook.stop().await,
                None => Drained::Completely,
            };
            for task in background {
                // One that panicked has nothing left to finish.
                let _ = task.await;
            }
            // Last of all, so that it has what the apiserver answered until the end.
            if let Some(audit) = audit {
                audit.stop().await;
            }
            drained
        };
        let drained = tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => return Err(Error::Aborted),
            drained = stop => drained,
        };
        match (failed, drained) {
            (Some(error), _) => Err(error),
            (None, Drained::Completely) => Ok(()),
            (None, Drained::Unfinished(connections)) => Err(Error::Unfinished(connections)),
        }
    }
}

/// Why the agent ended by itself; never comes back where none runs.
async fn ended(agent: &mut Option<agent::Running>) -> Error {
    match agent {
        Some(agent) => agent.ended().await,
        None => std::future::pending().await,
    }
}

// === impl Config ===

impl Config {
    /// The roles that run, as they are written in the ledger.
    fn roles(&self) -> Vec<&'static str> {
        let webhook = self.webhook.then_some(Role::Webhook);
        let agent = self.agent.as_ref().map(|_| Role::Agent);
        let recorder = self.recorder.as_ref().map(|_| Role::Recorder);
        webhook
            .into_iter()
            .chain(agent)
            .chain(recorder)
            .map(Role::name)
            .collect()
    }

    fn all_exempt_namespaces(&self) -> std::collections::BTreeSet<String> {
        crate::config::exempt_namespaces(self.own_namespace(), &self.exempt_namespaces)
    }

    /// The namespace that Provost itself lives in.
    fn own_namespace(&self) -> &str {
        match &self.address {
            Some(Address::Service { namespace, .. }) => namespace,
            Some(Address::Url(_)) | None => crate::config::OWN_NAMESPACE,
        }
    }
}
