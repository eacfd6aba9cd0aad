//! Plain configuration: what a person decides, as data. The command line builds it; rooms read it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

mod secret;

pub use secret::Secret;

/// Where the token for a forge is found that no file holds.
pub const FORGE_TOKEN: &str = "PROVOST_FORGE_TOKEN";

/// Namespaces that are never judged: without them a cluster cannot heal itself.
pub const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];
/// Provost's own namespace where nobody says otherwise.
pub const OWN_NAMESPACE: &str = "provost";

/// Name of the ValidatingWebhookConfiguration.
pub const WEBHOOK_CONFIGURATION: &str = "provost";
/// Name of the ValidatingWebhookConfiguration that only witnesses.
pub const WITNESS_CONFIGURATION: &str = "provost-witness";
/// Annotation of the configuration with the namespace and name of the Service whose replicas own it.
pub const SERVICE_ANNOTATION: &str = "provost.dev/service";
/// Name of the Secret that keeps the webhook's certificates in a cluster.
pub const WEBHOOK_SECRET: &str = "provost-webhook";

/// The name in the certificate of whoever gives its ledger to the recorder, wherever it runs.
pub const LEDGER_NAME: &str = "ledger.provost";
/// The name in the certificate of the recorder.
pub const RECORDER_NAME: &str = "recorder.provost";

/// How long a replica of a Service goes on taking reviews after it is told to stop, and no longer ready: until kube-proxy
/// everywhere has heard of it.
pub const DRAIN_DELAY: Duration = Duration::from_secs(5);

/// A part that a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Answers admission reviews.
    Webhook,
    /// Reconciles Applications.
    Agent,
    /// Signs the checkpoints of the ledger.
    Recorder,
}

/// Where the apiserver finds the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Service in its cluster.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Its name.
        name: String,
        /// The URL that leads to the same replicas, for an apiserver that reaches no Service.
        url: Option<String>,
    },
    /// A URL that the apiserver's host reaches, without the path.
    Url(String),
}

/// Clients of the admission listener that have to show a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// File with the authorities that sign them, PEM.
    pub authority: PathBuf,
    /// Common names and DNS names, one of which a certificate has to have; all where it is empty.
    pub names: Vec<String>,
}

/// Where the recorder may read this process's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerListener {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Folder with the certificate `tls.crt`, its key `tls.key`, and the recorder's authority `ca.crt`. They may come
    /// later, and change.
    pub certificates: PathBuf,
    /// Where the digest key is kept that the recorder hands over; `None` where it may hand over none.
    pub digest_key: Option<PathBuf>,
}

// === impl LedgerListener ===

impl From<(std::net::SocketAddr, PathBuf)> for LedgerListener {
    fn from((address, certificates): (std::net::SocketAddr, PathBuf)) -> Self {
        Self {
            address,
            certificates,
            digest_key: None,
        }
    }
}

/// What happens to a write while the webhook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailurePolicy {
    /// It is denied where a policy that fails closed could have denied it.
    #[default]
    Fail,
    /// It is let in.
    Ignore,
}

/// Of which namespaces the apiserver tells of every write, whether or not a policy judges it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WitnessScope {
    /// Of none, and of nothing else either.
    Nothing,
    /// Of all that are not exempt.
    #[default]
    Governed,
    /// Of these.
    Named(BTreeSet<String>),
}

/// Where Provost keeps what outlives a process, below the user's state directory; `None` where the user has none.
pub fn state_directory() -> Option<PathBuf> {
    below_home("XDG_STATE_HOME", ".local/state")
}

/// Where Provost keeps what it can fetch again, below the user's cache directory; `None` where the user has none.
pub fn cache_directory() -> Option<PathBuf> {
    below_home("XDG_CACHE_HOME", ".cache")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the XDG directories are the environment's to name; this is the one place"
)]
fn below_home(variable: &str, default: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = || absolute("HOME").map(|home| home.join(default));
    absolute(variable)
        .or_else(home)
        .map(|folder| folder.join("provost"))
}

/// The name of this machine, or of this pod; `localhost` where the system does not tell.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The folders in which programs are looked for, as `PATH` has them.
#[expect(
    clippy::disallowed_methods,
    reason = "PATH is the environment's to name; this is the one place"
)]
pub fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

/// The token for a forge that the environment holds, so that no command line shows it.
#[expect(
    clippy::disallowed_methods,
    reason = "clap would show on the command line what it reads from the environment; this is the one place"
)]
pub fn forge_token() -> Option<Secret> {
    let token = std::env::var(FORGE_TOKEN).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| Secret::new(token))
}

// === impl Role ===

impl Role {
    /// As it is written on the command line and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Agent => "agent",
            Self::Recorder => "recorder",
        }
    }
}

// === impl FailurePolicy ===

impl FailurePolicy {
    /// As the Kubernetes API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Ignore => "Ignore",
        }
    }
}

/// All namespaces that are not judged: the system's, Provost's own and those that were named.
pub fn exempt_namespaces(own: &str, named: &[String]) -> BTreeSet<String> {
    let system = SYSTEM_NAMESPACES.into_iter().map(str::to_owned);
    system
        .chain([own.to_owned()])
        .chain(named.iter().cloned())
        .collect()
}
