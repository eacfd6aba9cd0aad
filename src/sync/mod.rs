//! The Application controller: brings a folder of a Git repository into the cluster and keeps it there.
//!
//! ```text
//! repository ─fetch─▶ source ─commit─▶ render ─objects─▶ desired ─dry-run─▶ plan ─inventory first─▶ apply ─▶ prune
//!                                                            ▲                                       │
//! watches, folded ───────── what differs from what we last saw ┘                 status · ledger ◀───┘
//! ```
//!
//! Each Application is a task of its own with a mailbox that coalesces what happens to it, so that no two passes over
//! one Application ever run at once; one semaphore bounds how many read and render,
//! another how many write.
//!
//! *Guarantees*
//! - The inventory is written before anything is applied, and its resourceVersion fences: who cannot write it neither
//!   applies nor prunes.
//! - A stage is dry-run and judged by the policies in force as a whole before any of it is applied, and all its refusals
//!   are reported together.
//! - Nothing is pruned after an error of any kind, nor what another Application owns, nor an object with another uid
//!   than the one recorded.
//! - A pass in which nothing changed makes no request.
//! - An error leaves the last good state running and healed, is said on the Application's status, and is tried again
//!   for ever, with a capped backoff.
//!
//! - Nothing is read, written or deleted that the Application's project does not allow, and its objects are written as
//!   the service account that the project names.
//! - One agent at a time: the lease says which, and whoever could not renew it in time asks nothing more, by its own
//!   clock. Should two ever take themselves for the holder, the inventory's fence lets one of them write.
//!
//! *Not yet*: policy before write for hooks, which the webhook judges when they are made.

mod application;
mod apply;
mod compare;
mod configuration;
mod controller;
mod converge;
mod desired;
mod drift;
mod error;
mod events;
mod extraneous;
mod finalize;
mod hooks;
mod identity;
mod inventory;
mod mailbox;
mod metrics;
mod namespace;
mod operation;
mod packed;
mod place;
mod plan;
mod precheck;
pub mod preview;
mod projects;
mod prune;
mod push;
mod record;
mod run;
mod settings;
mod settle;
mod signatures;
mod sources;
mod stage;
mod standing;
mod state;
mod status;
mod untangle;
mod window;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use provost_delivery::health::rules::Rules;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Lease};
use crate::git::{LocalRepositories, Submodules};
use crate::ledger::Ledger;
use crate::policies::Admission;
use crate::render::Launcher;
use crate::telemetry::Metrics;

pub use configuration::credentials;
pub use error::Error;
pub use projects::{DefaultServiceAccount, FallbackIdentity, ServiceAccountError};
pub use push::PushSecrets;

/// How often a repository is asked for news where nobody says otherwise.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_mins(3);

/// The lease that an agent holds while it works.
const LEASE: &str = "provost-agent";
/// The sync option by which a namespace comes with its Application.
const CREATE_NAMESPACE: &str = "CreateNamespace";

/// How the inventory marks a hook that was made, or is about to be: it is never pruned, and goes with its Application.
const HOOK: &str = "Hook";
/// How the inventory marks a hook that runs when its Application is deleted: Git is asked for it then.
const DELETION_HOOK: &str = "DeletionHook";

/// What the agent is told.
#[derive(Clone, Debug)]
pub struct SyncConfig {
    /// Folder for mirrors, the rendered history and its key.
    pub state: PathBuf,
    /// How often a repository is asked for news; a fifth of it is added at random.
    pub poll_interval: Duration,
    /// Whether repositories on this machine may be read.
    pub local_repositories: LocalRepositories,
    /// Whether submodules are a part of what is rendered.
    pub submodules: Submodules,
    /// The namespaces with Argo CD's Secrets and ConfigMaps about repositories.
    pub control_namespaces: Vec<String>,
    /// Where push webhooks are taken, if they are.
    pub hooks_listen: Option<SocketAddr>,
    /// Secrets of push webhooks, beside those of `argocd-secret`, which they go before.
    pub push_secrets: PushSecrets,
    /// The gpg program, or its name on PATH.
    pub gpg: PathBuf,
    /// The kustomize program, where it is not to be looked for.
    pub kustomize: Option<PathBuf>,
    /// The helm program, where it is not to be looked for.
    pub helm: Option<PathBuf>,
    /// The folders to look for programs in, as in `PATH`.
    pub search_path: String,
    /// How programs that render are started.
    pub launcher: Launcher,
    /// The only namespace whose Applications are reconciled; `None` for all.
    pub namespace: Option<String>,
    /// As whom objects are written where a project names nobody.
    pub fallback: FallbackIdentity,
    /// Where the agent's metrics are registered.
    pub metrics: Metrics,
    /// Rules of health that come before the built-in ones.
    pub health_rules: Arc<Rules>,
    /// The namespace of the lease that lets one agent at a time work.
    pub lease_namespace: String,
}

/// Runs the agent until `shutdown`, then lets passes that are under way end at their next step.
///
/// Installs our CRDs where the cluster has none of their names.
///
/// # Errors
/// Only what keeps it from starting: afterwards, errors are said where they belong and tried again.
pub async fn run(
    config: SyncConfig,
    client: kube::Client,
    admission: Admission,
    ledger: Ledger,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let cluster = Cluster::connect(client).await?;
    run_on(config, cluster, admission, ledger, shutdown).await
}

/// The same over a [`Cluster`] of the caller's, who may count its requests.
pub async fn run_on(
    config: SyncConfig,
    cluster: Cluster,
    admission: Admission,
    ledger: Ledger,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let cluster = cluster.with_health_rules(Arc::clone(&config.health_rules));
    crate::cluster::install_crds(&cluster).await?;
    let identity = identity::Identity::of(&config.state)?;
    let client = cluster.client().clone();
    let lease = Lease::new(client, &config.lease_namespace, LEASE, identity.name().to_owned());
    let instance = identity.name().to_owned();
    let work = |held| {
        let (config, cluster, ledger) = (config.clone(), cluster.under(lease.validity()), ledger.clone());
        let (admission, instance) = (admission.clone(), instance.clone());
        async {
            let precheck = precheck::Precheck::new(admission, &cluster).await?;
            let controller =
                controller::Controller::new(config, cluster, precheck, ledger, instance, held).await?;
            controller.run().await;
            Ok(())
        }
    };
    lease.hold(&shutdown, work).await
}
