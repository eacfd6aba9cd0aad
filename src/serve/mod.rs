//! `provost serve`: which roles run, in what order they start and stop.
//!
//! ```text
//! start: ledger ─▶ cluster ─▶ policies read ─▶ certificate, listener ─▶ webhook configuration ─▶ agent
//! stop:  not ready, agent takes no more work ─▶ configuration withdrawn (workstation) ─▶ reviews drained ─▶ ledger
//! ```
//!
//! # Guarantees
//! - The apiserver is told to call the webhook only once it answers.
//! - On a workstation, it is told to stop calling before the webhook stops answering; in a cluster the configuration
//!   stays, since another replica answers or will.
//! - The first signal finishes what is in flight, within a bound; a second one ends everything at once.

mod admin;
mod connect;
mod webhook;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use provost_evidence::event;

use crate::{
    config::{Address, FailurePolicy, Role},
    ledger::Ledger,
    policies,
    server::{self, Drained, Shutdown},
    telemetry::Metrics,
    webhook::{configuration, store},
};

pub use connect::Connection;

/// All that `provost serve` is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; `None` stands alone.
    pub cluster: Option<Connection>,
    /// The roles to run.
    pub roles: Vec<Role>,
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
    /// What happens to writes while the webhook does not answer.
    pub failure_policy: FailurePolicy,
    /// Namespaces that are not judged, besides the usual.
    pub exempt_namespaces: Vec<String>,
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
    Policies(#[from] policies::Error),
    /// The kinds of policies are not known to the cluster.
    #[error(transparent)]
    Crds(#[from] policies::crds::Error),
    /// The cluster's policies did not come.
    #[error("the cluster's policies could not be read within {} s: see the log for why", webhook::FIRST_LIST.as_secs())]
    FirstList,
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] store::Error),
    /// The listener cannot serve.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The apiserver cannot be told.
    #[error(transparent)]
    Configuration(#[from] configuration::Error),
    /// The token cannot be made.
    #[error("cannot make the webhook's token: the system gives no random bits")]
    Token,
    /// A second signal came while requests were in flight.
    #[error("stopped at once by a second signal; requests in flight were not answered")]
    Aborted,
    /// The drain took too long.
    #[error("{0} connections were cut: their requests were not answered in time")]
    Unfinished(usize),
}

/// What a person reads once everything runs.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Where reviews go, without the token.
    pub url: String,
    /// The certificate to trust, where it is a file.
    pub authority: Option<PathBuf>,
    /// Where metrics are.
    pub metrics: String,
    /// The policies in force and those that are out.
    pub policies: Arc<policies::Snapshot>,
    /// Namespaces that are not judged.
    pub exempt_namespaces: Vec<String>,
}

/// A process that serves.
pub struct Serving {
    /// What a person reads.
    pub announcement: Announcement,
    shutdown: Shutdown,
    webhook: webhook::Running,
}

/// Starts every role, in order.
pub async fn start(config: Config, ledger: Ledger) -> Result<Serving, Error> {
    let shutdown = Shutdown::on_signal()?;
    let metrics = Metrics::default();
    let client = match &config.cluster {
        Some(connection) => Some(connection.client().await?),
        None => None,
    };
    let webhook = webhook::start(&config, client, &ledger, &metrics, &shutdown).await?;
    Ok(Serving {
        announcement: webhook.announcement.clone(),
        shutdown,
        webhook,
    })
}

/// What the ledger's first record says of a process with this configuration.
pub fn boot(config: &Config) -> event::Boot {
    event::Boot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: config.roles.iter().map(|role| role.name().to_owned()).collect(),
        exempt_namespaces: config.all_exempt_namespaces().into_iter().collect(),
    }
}

// === impl Serving ===

impl Serving {
    /// Serves until a signal, then stops every role in order.
    pub async fn wait(self) -> Result<(), Error> {
        let Self {
            announcement: _,
            shutdown,
            webhook,
        } = self;
        shutdown.drain.cancelled().await;
        tracing::info!("Stopping: requests in flight are finished first. A second signal stops at once.");
        let drained = tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => return Err(Error::Aborted),
            drained = webhook.stop() => drained,
        };
        match drained {
            Drained::Completely => Ok(()),
            Drained::Unfinished(connections) => Err(Error::Unfinished(connections)),
        }
    }
}

// === impl Config ===

impl Config {
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
