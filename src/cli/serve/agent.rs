//! The agent's part of `provost serve`'s arguments.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{super::app::health::read_rules, parse_interval};
use crate::{
    config::{Address, search_path, state_directory},
    git::{LocalRepositories, Submodules},
    render::{self, Launcher, jail::Confinement},
    sync::{DefaultServiceAccount, FallbackIdentity, PushSecrets, SyncConfig},
    telemetry::Metrics,
};

/// What the agent is told.
#[derive(Debug, clap::Args)]
pub(super) struct AgentArgs {
    /// How often a repository is asked for news, such as 30s or 3m
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_interval, help_heading = "Agent")]
    poll_interval: Duration,
    /// Let Applications name repositories on this machine: absolute paths and file://
    #[arg(long, help_heading = "Agent")]
    allow_local_repositories: bool,
    /// Let sources hold submodules, and render what those pin
    #[arg(long, help_heading = "Agent")]
    allow_submodules: bool,
    /// Namespace whose AppProjects count, and Argo CD's Secrets and ConfigMaps about repositories; may be given often
    /// [default: the Service's; on a workstation that of --applications-namespace, or "default"]
    #[arg(long = "control-namespace", value_name = "NAME", help_heading = "Agent")]
    control_namespaces: Vec<String>,
    /// Address for push webhooks of forges, in plain HTTP, on /hooks/git [default: none are taken]
    #[arg(long, value_name = "ADDR", help_heading = "Agent")]
    hooks_listen: Option<SocketAddr>,
    /// File of the webhooks' secrets, in lines such as "webhook.github.secret: …", beside Secret argocd-secret
    #[arg(long, value_name = "FILE", requires = "hooks_listen", help_heading = "Agent")]
    hook_secrets: Option<PathBuf>,
    /// The gpg program, for signatures of commits
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_GPG",
        default_value = "gpg",
        help_heading = "Agent"
    )]
    gpg: PathBuf,
    /// Folder for mirrors of repositories and the rendered history [default: below the state directory]
    #[arg(long, value_name = "DIR", help_heading = "Agent")]
    state: Option<PathBuf>,
    /// The kustomize program [default: the first on PATH]
    #[arg(long, value_name = "FILE", env = "PROVOST_KUSTOMIZE", help_heading = "Agent")]
    kustomize: Option<PathBuf>,
    /// The helm program [default: the first on PATH]
    #[arg(long, value_name = "FILE", env = "PROVOST_HELM", help_heading = "Agent")]
    helm: Option<PathBuf>,
    /// File of health rules in CEL that come before the built-in ones, as provost app health --rules takes them; may be
    /// given often
    #[arg(long = "health-rules", value_name = "FILE", help_heading = "Agent")]
    health_rules: Vec<PathBuf>,
    /// Let kustomize and helm run where the kernel cannot confine them (Landlock and seccomp)
    #[arg(long, help_heading = "Agent")]
    allow_unconfined_render: bool,
    /// Namespace whose Applications are reconciled [default: all]
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    applications_namespace: Option<String>,
    /// Service account as which objects are written where a project names none, as NAME in the destination namespace
    /// or NAMESPACE:NAME [default: none; on a workstation the agent itself]
    #[arg(long, value_name = "ACCOUNT", help_heading = "Agent")]
    default_service_account: Option<DefaultServiceAccount>,
}

fn read_secrets(file: Option<&Path>) -> anyhow::Result<PushSecrets> {
    let Some(file) = file else {
        return Ok(PushSecrets::default());
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    PushSecrets::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

/// Agents that may reconcile the same Applications have to find the same lease.
fn lease_namespace(service: Option<&Address>, applications: Option<&str>) -> String {
    match (applications, service) {
        (Some(namespace), _) => namespace.to_owned(),
        (None, Some(Address::Service { namespace, .. })) => namespace.clone(),
        (None, _) => "default".to_owned(),
    }
}

/// Where projects and credentials are read: what an administrator of the cluster writes to, and no team.
fn or_own(named: Vec<String>, service: Option<&Address>, applications: Option<&str>) -> Vec<String> {
    match (service, applications) {
        _ if !named.is_empty() => named,
        (Some(Address::Service { namespace, .. }), _) => vec![namespace.clone()],
        (_, Some(namespace)) => vec![namespace.to_owned()],
        (_, None) => vec!["default".to_owned()],
    }
}

/// In a cluster the agent holds no power of its own.
fn fallback_identity(account: Option<DefaultServiceAccount>, in_cluster: bool) -> FallbackIdentity {
    match account {
        Some(account) => FallbackIdentity::ServiceAccount(account),
        None if in_cluster => FallbackIdentity::Nobody,
        None => FallbackIdentity::Agent,
    }
}

// === impl AgentArgs ===

impl AgentArgs {
    /// The state directory, named or the usual one.
    pub(super) fn state(&self) -> Option<PathBuf> {
        self.state.clone().or_else(state_directory)
    }

    /// The agent's configuration; `service` is the Service before it, in a cluster.
    pub(super) fn into_config(self, service: Option<&Address>) -> anyhow::Result<SyncConfig> {
        let applications = self.applications_namespace;
        let state = self
            .state
            .or_else(|| state_directory().map(|directory| directory.join("agent")))
            .context("there is no state directory for the agent: name one with --state")?;
        let health_rules = read_rules(&self.health_rules)?
            .context("the health rules cannot be taken: provost app health --rules tries them")?;
        Ok(SyncConfig {
            health_rules: health_rules.into(),
            state,
            submodules: if self.allow_submodules {
                Submodules::Included
            } else {
                Submodules::Refused
            },
            control_namespaces: or_own(self.control_namespaces, service, applications.as_deref()),
            hooks_listen: self.hooks_listen,
            push_secrets: read_secrets(self.hook_secrets.as_deref())?,
            gpg: self.gpg,
            poll_interval: self.poll_interval,
            local_repositories: if self.allow_local_repositories {
                LocalRepositories::Allowed
            } else {
                LocalRepositories::Refused
            },
            kustomize: self.kustomize,
            helm: self.helm,
            search_path: search_path(),
            lease_namespace: lease_namespace(service, applications.as_deref()),
            fallback: fallback_identity(self.default_service_account, service.is_some()),
            launcher: Launcher {
                // The running program, even where its file was replaced.
                provost: PathBuf::from("/proc/self/exe"),
                confinement: if self.allow_unconfined_render {
                    Confinement::WhereAvailable
                } else {
                    Confinement::Required
                },
                deadline: render::DEADLINE,
            },
            namespace: applications,
            metrics: Metrics::default(),
        })
    }
}
