//! `provost serve`.

mod agent;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use agent::AgentArgs;

use crate::{
    config::{
        Address, ClientCertificates, DRAIN_DELAY, FailurePolicy, LedgerListener, Role, WitnessScope,
        host_name,
    },
    ledger::{
        DIGEST_KEY_FILE, Destination, IDENTITIES_FILE, Ledger, Privacy, SegmentLimits, anchor, digest_key,
        http::Endpoint,
    },
    policies::{self, CallHost, ServiceCalls},
    recorder::{self, PullConfig, RecorderConfig},
    serve::{self, Announcement, AuditConfig, Config, Connection, WebhookAnnouncement},
    telemetry::{self, LogFormat},
    webhook::rotation::Lifetimes,
};

const EXAMPLES: &str = "\
Examples:
  Try the webhook with no cluster at all
    provost serve --standalone --policies policies
    curl --cacert certs/ca.crt https://127.0.0.1:8443/readyz

  Guard a cluster from this workstation, with its own ClusterPolicies and those of a folder
    provost serve --context kind-test --policies policies

  Inside a cluster
    provost serve --service provost/provost --listen 0.0.0.0:8443";

/// Run the admission webhook, the sync agent and the recorder of the ledger
///
/// On a workstation the certificates lie in --certs, and the webhook configuration is removed when the process is
/// stopped. With --service the process runs in a cluster: a Secret keeps the certificates, and the configuration stays.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Serve with no cluster: policies from a folder, everything on one listener
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "service", "webhook_url", "install_crds"])]
    standalone: bool,
    /// Folder of policies, in addition to the cluster's ClusterPolicies [standalone: policies]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Namespace whose PolicyExceptions count; may be given often [default: none count]
    #[arg(long = "exception-namespace", value_name = "NAME")]
    exception_namespaces: Vec<String>,
    /// Host that policies may call, as HOST or HOST:PORT; http:// before it asks in plain HTTP; may be given often
    /// [default: none is called]
    #[arg(long = "policy-call-host", value_name = "HOST")]
    policy_call_hosts: Vec<CallHost>,
    /// Let policies call listed hosts on this machine. For trying policies out: never in a cluster
    #[arg(long, hide = true, requires = "policy_call_hosts", conflicts_with = "service")]
    policy_call_allow_loopback: bool,
    /// Address of the admission listener; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Folder that keeps the certificates on a workstation
    #[arg(long, value_name = "DIR", default_value = "certs")]
    certs: PathBuf,
    /// Folder of the ledger, or "none" [default: below the state directory]
    #[arg(long, value_name = "DIR")]
    ledger: Option<Destination>,
    /// Address at which the recorder of another pod takes this process's ledger, over TLS [default: it does not]
    #[arg(long, value_name = "ADDR", requires = "ledger_certs")]
    ledger_listen: Option<SocketAddr>,
    /// Folder with tls.crt, tls.key and the recorder's authority ca.crt for it
    #[arg(long, value_name = "DIR")]
    ledger_certs: Option<PathBuf>,
    /// Roles to run
    #[arg(
        long = "role",
        value_name = "ROLE",
        value_delimiter = ',',
        default_value = "webhook,agent,recorder"
    )]
    roles: Vec<Role>,
    /// Address of the metrics, in plain HTTP [default: 127.0.0.1:8444; standalone: on the admission listener]
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,

    /// Kubeconfig that names the cluster
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
    /// URL under which the apiserver reaches the listener [default: the Service, or else the listener's address]
    #[arg(long, value_name = "URL", help_heading = "Cluster")]
    webhook_url: Option<String>,
    /// Service through which the apiserver reaches the listener, as NAMESPACE/NAME
    #[arg(long, value_name = "NS/NAME", value_parser = parse_service, help_heading = "Cluster")]
    service: Option<Address>,
    /// What happens to writes while the webhook does not answer
    #[arg(long, value_name = "POLICY", default_value = "fail", help_heading = "Cluster")]
    failure_policy: FailurePolicy,
    /// Another namespace that is not judged; may be given often
    #[arg(long = "exempt-namespace", value_name = "NAME", help_heading = "Cluster")]
    exempt_namespaces: Vec<String>,
    /// Of which namespaces the apiserver tells of every write, for the record
    #[arg(
        long,
        value_name = "SCOPE",
        default_value = "governed",
        help_heading = "Cluster"
    )]
    witness: Witness,
    /// The only namespace whose writes are witnessed; may be given often [default: all that are not exempt]
    #[arg(long = "witness-namespace", value_name = "NAME", help_heading = "Cluster")]
    witness_namespaces: Vec<String>,
    /// How long reviews are still taken once the process is to stop and no longer ready [default: 5s; without --service: 0s]
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Cluster")]
    drain_delay: Option<Duration>,
    /// Install the CRDs where they are absent; on a workstation this is done anyway
    #[arg(long, help_heading = "Cluster")]
    install_crds: bool,

    /// Authority whose client certificate the apiserver has to show; probes need none [default: none is asked for]
    #[arg(long, value_name = "FILE", help_heading = "Certificates")]
    client_ca: Option<PathBuf>,
    /// Common name or DNS name of that certificate; may be given often [default: any]
    #[arg(
        long = "client-name",
        value_name = "NAME",
        requires = "client_ca",
        help_heading = "Certificates"
    )]
    client_names: Vec<String>,
    /// How long a certificate authority of the webhook's own lives; it is replaced in its last third
    #[arg(long, value_name = "TIME", default_value = "87600h", value_parser = parse_time, help_heading = "Certificates")]
    authority_lifetime: Duration,
    /// How long a serving certificate lives; it is replaced in its last third
    #[arg(long, value_name = "TIME", default_value = "2160h", value_parser = parse_time, help_heading = "Certificates")]
    certificate_lifetime: Duration,
    /// How long old and new authority are both trusted, before the switch and after it
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time, help_heading = "Certificates")]
    rotation_overlap: Duration,

    #[command(flatten)]
    privacy: PrivacyArgs,

    #[command(flatten)]
    agent: AgentArgs,

    #[command(flatten)]
    recorder: RecorderArgs,

    /// Form of the log on stderr
    #[arg(long, value_name = "FORM", default_value = "text", help_heading = "Log")]
    log_format: LogFormat,
    /// What is logged, such as "info" or "provost=debug"
    #[arg(
        long,
        value_name = "FILTER",
        env = "PROVOST_LOG",
        default_value = "info",
        help_heading = "Log"
    )]
    log: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Witness {
    /// Those that are not exempt; and of RBAC, CRDs, Applications and policies everywhere
    Governed,
    /// None: the record has only what policies judge
    None,
}

#[derive(Debug, clap::Args)]
struct PrivacyArgs {
    /// Record people as keyed pseudonyms; who they are stands in a map from which a name can be erased
    #[arg(long, help_heading = "Ledger")]
    pseudonyms: bool,
    /// File of that map [default: below the state directory]
    #[arg(long, value_name = "FILE", requires = "pseudonyms", help_heading = "Ledger")]
    identities: Option<PathBuf>,
    /// File of the key for pseudonyms and the digests of Secrets; made where it is missing [default: below the state
    /// directory]
    #[arg(long, value_name = "FILE", help_heading = "Ledger")]
    digest_key: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RecorderArgs {
    /// File of the key that signs the checkpoints of the ledger; made where it is missing [default: below the state
    /// directory]
    #[arg(long, value_name = "FILE", help_heading = "Recorder")]
    signing_key: Option<PathBuf>,
    /// URL of a webhook or an agent whose ledger is taken, https://HOST:PORT; may be given often
    #[arg(
        long = "pull",
        value_name = "URL",
        requires = "pull_certs",
        help_heading = "Recorder"
    )]
    pull: Vec<hyper::Uri>,
    /// Folder with tls.crt, tls.key and the writers' authority ca.crt for it
    #[arg(long, value_name = "DIR", help_heading = "Recorder")]
    pull_certs: Option<PathBuf>,
    /// File of the key that signed until now, where --signing-key is another one: both sign the change
    #[arg(
        long,
        value_name = "FILE",
        requires = "signing_key",
        help_heading = "Recorder"
    )]
    previous_signing_key: Option<PathBuf>,
    /// Git branch that others keep, to which each checkpoint is pushed [default branch: provost-anchor]
    #[arg(long, value_name = "REPO#BRANCH", help_heading = "Recorder")]
    anchor: Option<anchor::Address>,
    /// Authority that stamps each checkpoint (RFC 3161), such as http://timestamps.example.com; may be given often
    #[arg(long = "timestamp-url", value_name = "URL", help_heading = "Recorder")]
    timestamp_urls: Vec<Endpoint>,
    /// Folder with username and password, or with ssh-privatekey, for that repository [default: those of Git's credential
    /// helper and of ssh-agent]
    #[arg(long, value_name = "DIR", requires = "anchor", help_heading = "Recorder")]
    anchor_credentials: Option<PathBuf>,
    /// How far apart checkpoints are, at most 60s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_checkpoint_interval, help_heading = "Recorder")]
    checkpoint_interval: Duration,
    /// File of the apiserver's audit log, which is followed over its rotations; may be given often
    #[arg(long = "audit-log", value_name = "FILE", help_heading = "Recorder")]
    audit_logs: Vec<PathBuf>,
    /// Address to which the apiserver's audit webhook sends its events, as https://ADDR/audit [default: none]
    #[arg(long, value_name = "ADDR", help_heading = "Recorder")]
    audit_listen: Option<SocketAddr>,
    /// Folder with tls.crt, tls.key and the token for it [default: made below the state directory]
    #[arg(
        long,
        value_name = "DIR",
        requires = "audit_listen",
        help_heading = "Recorder"
    )]
    audit_certs: Option<PathBuf>,
    /// Days that the records of the ledger are kept
    #[arg(long, value_name = "DAYS", default_value = "400", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Recorder")]
    ledger_retention: u32,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::start_log(args.log_format, &args.log);
    let (config, destination, privacy) = args.into_config()?;
    let boot = serve::boot(&config);
    let ledger = Ledger::open_private(&destination, boot, SegmentLimits::default(), privacy)?;
    let recorder = serve::start_recorder(&config, &ledger)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let serving = serve::start(config, ledger.clone()).await?;
        print(&serving.announcement, &ledger, recorder.as_ref());
        serving.wait().await
    });
    let reason = match &served {
        Ok(()) => "stopped by a signal".to_owned(),
        Err(error) => format!("{error}"),
    };
    let closed = ledger.close(&reason);
    if let Some(recorder) = recorder {
        recorder.stop();
    }
    closed?;
    served?;
    Ok(ExitCode::SUCCESS)
}

fn print(announcement: &Announcement, ledger: &Ledger, recorder: Option<&recorder::Running>) {
    let Announcement {
        webhook,
        agent,
        audit,
    } = announcement;
    anstream::println!("Provost {}", env!("CARGO_PKG_VERSION"));
    if let Some(webhook) = webhook {
        print_webhook(webhook);
    }
    if let Some(agent) = agent {
        let namespaces = agent.namespace.as_deref().unwrap_or("all namespaces");
        anstream::println!("  applications           of {namespaces}");
        anstream::println!("  agent's state          {}", agent.state.display());
    }
    match ledger.directory() {
        Some(directory) => anstream::println!("  ledger                 {}", directory.display()),
        None => anstream::println!("  ledger                 none: nothing is recorded"),
    }
    if let Some(recorder) = recorder {
        anstream::println!("  checkpoints signed by  {}", recorder.key);
    }
    if let Some((url, token)) = audit {
        anstream::println!("  audit events           {url} (token in {})", token.display());
    }
    anstream::println!("Ready.");
}

fn print_webhook(announcement: &WebhookAnnouncement) {
    let WebhookAnnouncement {
        url,
        listener,
        authority,
        metrics,
        policies,
        exempt_namespaces,
    } = announcement;
    for fault in &policies.refused {
        anstream::println!("{}", policies::diagnostic(fault, policies));
    }
    for exception in &policies.uncounted {
        anstream::println!("warning: {exception}.");
    }
    let (loaded, out) = (policies.loaded(), policies.refused.len());
    anstream::println!("  webhook                {url}");
    anstream::println!("  listens on             {listener}");
    if let Some(authority) = authority {
        anstream::println!("  certificate authority  {}", authority.display());
    }
    anstream::println!("  metrics                {metrics}");
    anstream::println!("  policies in force      {}: {}", loaded.len(), loaded.join(", "));
    if !policies.exceptions.is_empty() {
        let exceptions = policies.exceptions.join(", ");
        anstream::println!(
            "  exceptions             {}: {exceptions}",
            policies.exceptions.len()
        );
    }
    if out > 0 {
        anstream::println!("  policies out           {out}: see above");
    }
    anstream::println!("  exempt namespaces      {}", exempt_namespaces.join(", "));
}

/// A URL with a Service is another way to the Service's replicas.
fn address(service: Option<Address>, url: Option<String>) -> Option<Address> {
    match service {
        Some(Address::Service { namespace, name, .. }) => Some(Address::Service { namespace, name, url }),
        _ => url.map(Address::Url),
    }
}

/// The cluster where neither a kubeconfig nor a context names one.
fn unnamed_cluster(in_cluster: bool, only_records: bool) -> anyhow::Result<Option<Connection>> {
    match (in_cluster, only_records) {
        (true, _) => Ok(Some(Connection::InCluster)),
        // Who only records need not know any.
        (false, true) => Ok(None),
        // A person's own cluster is touched only when it is named.
        (false, false) => anyhow::bail!(
            "no cluster is named: give --context NAME or --kubeconfig FILE, or --standalone to serve without one"
        ),
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<provost_manifest::duration::Duration>();
    let interval = parsed.ok().and_then(provost_manifest::duration::Duration::to_std);
    let wanted = "write a time of at least 1s, such as 30s or 3m";
    interval
        .filter(|interval| *interval >= Duration::from_secs(1))
        .ok_or_else(|| wanted.to_owned())
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<provost_manifest::duration::Duration>();
    let time = parsed.ok().and_then(provost_manifest::duration::Duration::to_std);
    time.ok_or_else(|| "write a time, such as 30s, 10m or 2160h".to_owned())
}

fn parse_checkpoint_interval(text: &str) -> Result<Duration, String> {
    parse_interval(text)
        .ok()
        .filter(|interval| *interval <= recorder::MAX_INTERVAL)
        .ok_or_else(|| "write a time from 1s to 60s".to_owned())
}

fn parse_service(text: &str) -> Result<Address, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Address::Service {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                url: None,
            })
        }
        _ => Err("write NAMESPACE/NAME, such as provost/provost".to_owned()),
    }
}

// === impl Args ===

impl Args {
    fn into_config(self) -> anyhow::Result<(Config, Destination, Option<Privacy>)> {
        let Self {
            standalone,
            policies,
            exception_namespaces,
            policy_call_hosts,
            policy_call_allow_loopback,
            listen,
            certs,
            ledger,
            ledger_listen,
            ledger_certs,
            roles,
            metrics_listen,
            kubeconfig,
            context,
            webhook_url,
            service,
            failure_policy,
            exempt_namespaces,
            witness,
            witness_namespaces,
            drain_delay,
            install_crds,
            client_ca,
            client_names,
            authority_lifetime,
            certificate_lifetime,
            rotation_overlap,
            privacy,
            agent,
            recorder,
            log_format: _,
            log: _,
        } = self;
        let in_cluster = service.is_some();
        let only_records = roles.iter().all(|role| *role == Role::Recorder);
        let cluster = match (standalone, kubeconfig, context) {
            (true, _, _) => None,
            (false, None, None) => unnamed_cluster(in_cluster, only_records)?,
            (false, file, context) => Some(Connection::Kubeconfig { file, context }),
        };
        let ledger = ledger.unwrap_or_default();
        let digest_key = privacy.key_file(agent.state().as_deref());
        let digest_key = digest_key.filter(|_| ledger != Destination::None);
        let ledger_listener = ledger_listen.zip(ledger_certs).map(|listener| LedgerListener {
            digest_key: digest_key.clone(),
            ..LedgerListener::from(listener)
        });
        let pull = recorder.pull(digest_key);
        let privacy = match &ledger {
            Destination::None => None,
            Destination::StateDirectory | Destination::Directory(_) => {
                privacy.into_privacy(agent.state().as_deref())?
            }
        };
        let audit = recorder.audit(agent.state().as_deref())?;
        let audit = audit.filter(|_| roles.contains(&Role::Recorder) && ledger != Destination::None);
        let recorder = if roles.contains(&Role::Recorder) && ledger != Destination::None {
            let state = agent.state();
            let state =
                state.context("there is no state directory for the recorder: name one with --state")?;
            Some(recorder.into_config(&state))
        } else {
            None
        };
        let agent = (roles.contains(&Role::Agent) && !standalone)
            .then(|| agent.into_config(service.as_ref()))
            .transpose()?;
        let mut service_calls = ServiceCalls::to(policy_call_hosts);
        if policy_call_allow_loopback {
            tracing::warn!("Policies may call listed hosts on this machine (--policy-call-allow-loopback).");
            service_calls = service_calls.with_loopback_for_development();
        }
        let config = Config {
            policies: policies.or_else(|| standalone.then(|| PathBuf::from("policies"))),
            webhook: standalone || roles.contains(&Role::Webhook),
            agent,
            pull: pull.filter(|_| recorder.is_some()),
            recorder,
            ledger_listener,
            audit,
            metrics_listen: metrics_listen.or_else(|| (!standalone).then(|| ([127, 0, 0, 1], 8444).into())),
            address: address(service, webhook_url),
            install_crds: install_crds || !(standalone || in_cluster),
            cluster,
            listen,
            certificates: certs,
            lifetimes: Lifetimes::new(authority_lifetime, certificate_lifetime, rotation_overlap)?,
            client_certificates: client_ca.map(|authority| ClientCertificates {
                authority,
                names: client_names,
            }),
            drain_delay: drain_delay.unwrap_or(if in_cluster { DRAIN_DELAY } else { Duration::ZERO }),
            failure_policy,
            exempt_namespaces,
            witness: witness.scope(witness_namespaces),
            exception_namespaces,
            service_calls,
        };
        Ok((config, ledger, privacy))
    }
}

// === impl PrivacyArgs ===

impl PrivacyArgs {
    fn key_file(&self, state: Option<&Path>) -> Option<PathBuf> {
        let in_state = || state.map(|state| state.join(DIGEST_KEY_FILE));
        self.digest_key.clone().or_else(in_state)
    }

    /// Without a place for the key there is none, unless it is asked for.
    fn into_privacy(self, state: Option<&Path>) -> anyhow::Result<Option<Privacy>> {
        let in_state = |name: &str| state.map(|state| state.join(name));
        let is_asked_for = self.pseudonyms || self.digest_key.is_some();
        let Some(key) = self.key_file(state) else {
            anyhow::ensure!(
                !self.pseudonyms,
                "--pseudonyms need a key: name its file with --digest-key"
            );
            return Ok(None);
        };
        let identities = self.identities.or_else(|| in_state(IDENTITIES_FILE));
        let identities = identities.filter(|_| self.pseudonyms);
        anyhow::ensure!(
            identities.is_some() || !self.pseudonyms,
            "--pseudonyms need a map of who they are: name its file with --identities"
        );
        match digest_key::load_or_make(&key) {
            Ok(keys) => Ok(Some(Privacy { keys, identities })),
            Err(error) if is_asked_for => Err(error.into()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "There is no digest key: nothing of a Secret is recorded.");
                Ok(None)
            }
        }
    }
}

// === impl Witness ===

impl Witness {
    fn scope(self, named: Vec<String>) -> WitnessScope {
        match self {
            Self::None => WitnessScope::Nothing,
            Self::Governed if named.is_empty() => WitnessScope::Governed,
            Self::Governed => WitnessScope::Named(named.into_iter().collect()),
        }
    }
}

// === impl RecorderArgs ===

impl RecorderArgs {
    fn pull(&self, digest_key: Option<PathBuf>) -> Option<PullConfig> {
        let certificates = self.pull_certs.clone()?;
        (!self.pull.is_empty()).then(|| PullConfig {
            endpoints: self.pull.clone(),
            certificates,
            digest_key,
        })
    }

    /// `None` where no audit log is given.
    fn audit(&self, state: Option<&Path>) -> anyhow::Result<Option<AuditConfig>> {
        if self.audit_logs.is_empty() && self.audit_listen.is_none() {
            return Ok(None);
        }
        let state = state.context("there is no state directory for the recorder: name one with --state")?;
        Ok(Some(AuditConfig {
            logs: self.audit_logs.clone(),
            listen: self.audit_listen,
            certificates: self.audit_certs.clone(),
            state: state.join("recorder"),
        }))
    }

    fn into_config(self, state: &Path) -> RecorderConfig {
        let state = state.join("recorder");
        RecorderConfig {
            signing_key: self.signing_key.unwrap_or_else(|| state.join("signing.key")),
            previous_key: self.previous_signing_key,
            state,
            interval: self.checkpoint_interval,
            retention_days: self.ledger_retention,
            anchor: self.anchor.map(|address| anchor::Address {
                credentials: self.anchor_credentials,
                ..address
            }),
            timestamp_authorities: self.timestamp_urls,
            origin: host_name(),
        }
    }
}
