//! One local control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok on free loopback
//! ports, with their data in a temporary folder.
//!
//! Guarantees: nothing of it is left after drop, panic, Ctrl-C or SIGKILL of this process (see [`crate::guard`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, GetParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::Mutex;

use crate::binaries::{Binaries, local_folder};
use crate::folder::Folder;
use crate::guard::{Grace, Guarded};
use crate::identity::{Identities, User};
use crate::port;
use crate::setup;
use crate::wait::wait_for;

/// How long a control plane may take until it serves; seconds are usual, a busy machine needs more.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A port that was free may be taken by the time it is used: then everything starts again.
const START_TRIES: u32 = 3;

/// A running control plane.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    apiserver_command: Command,
    apiserver: Mutex<Option<Guarded>>,
    // Dropped in this order: the others first, so that they do not complain; the folder last.
    _others: Vec<Guarded>,
    _etcd: Guarded,
    pub(crate) identities: Identities,
    pub(crate) server_url: String,
    folder: Folder,
}

struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one and waits until it serves.
    pub(crate) async fn start(binaries: &Binaries) -> anyhow::Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(binaries).await {
                Err(error)
                    if tries < START_TRIES && format!("{error:#}").contains("address already in use") =>
                {
                    tries += 1;
                }
                outcome => return outcome.context("starting the local control plane"),
            }
        }
    }

    async fn try_start(binaries: &Binaries) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let ports = Ports::free()?;
        let server_url = format!("https://127.0.0.1:{}", ports.apiserver);
        let identities = Identities::write(folder.path(), &server_url)?;

        let mut etcd = start("etcd", &etcd(binaries, folder.path(), &ports), &folder)?;
        let apiserver_command = apiserver(binaries, folder.path(), &ports);
        let mut apiserver = start("kube-apiserver", &apiserver_command, &folder)?;
        let client = client_of(&folder.path().join(User::Admin.kubeconfig())).await?;
        wait_while_running(
            "the apiserver is ready",
            &mut [&mut etcd, &mut apiserver],
            async || ready(&client).await,
        )
        .await?;

        let mut others = Vec::new();
        for (name, command) in [
            (
                "kube-controller-manager",
                controller_manager(binaries, folder.path()),
            ),
            ("kube-scheduler", scheduler(binaries, folder.path())),
            ("kwok", kwok(binaries, folder.path())?),
        ] {
            others.push(start(name, &command, &folder)?);
        }
        setup::add_node(&client).await?;
        setup::grant(&client).await?;
        let accounts = Api::<ServiceAccount>::namespaced(client, "default");
        let mut processes: Vec<_> = others.iter_mut().collect();
        wait_while_running(
            "the default service account is there",
            &mut processes,
            async || accounts.get("default").await.map(drop).map_err(Into::into),
        )
        .await?;
        Ok(Self {
            apiserver_command,
            apiserver: Mutex::new(Some(apiserver)),
            _others: others,
            _etcd: etcd,
            identities,
            server_url,
            folder,
        })
    }

    /// Its data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kubeconfig of a user.
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        self.folder.path().join(user.kubeconfig())
    }

    /// Ends the apiserver; etcd and the others go on.
    pub(crate) async fn stop_apiserver(&self) -> anyhow::Result<()> {
        let mut slot = self.apiserver.lock().await;
        let mut apiserver = slot.take().context("the apiserver is stopped already")?;
        apiserver.stop().context("stopping the apiserver")?;
        Ok(())
    }

    /// Starts the apiserver again, on the same port and with these flags besides, and waits until it serves.
    pub(crate) async fn start_apiserver(&self, flags: &[String]) -> anyhow::Result<()> {
        let mut slot = self.apiserver.lock().await;
        let mut command = Command::new(self.apiserver_command.get_program());
        command.args(self.apiserver_command.get_args()).args(flags);
        let apiserver = slot.insert(start("kube-apiserver", &command, &self.folder)?);
        let client = client_of(&self.kubeconfig(User::Admin)).await?;
        wait_while_running("the apiserver is ready again", &mut [apiserver], async || {
            ready(&client).await
        })
        .await
    }
}

// === impl Ports ===

impl Ports {
    /// Three that are free now, and still are when a stopped apiserver is started again.
    fn free() -> anyhow::Result<Self> {
        let mut ports = BTreeSet::new();
        while ports.len() < 3 {
            ports.insert(port::fixed()?);
        }
        let mut next = || ports.pop_first().context("three ports are free");
        Ok(Self {
            etcd: next()?,
            etcd_peer: next()?,
            apiserver: next()?,
        })
    }
}

/// A client from a kubeconfig file and nothing else: no KUBECONFIG, no proxy, no service account.
pub(crate) async fn client_of(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file =
        Kubeconfig::read_from(kubeconfig).with_context(|| format!("reading {}", kubeconfig.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("making a client from {}", kubeconfig.display()))?;
    config.proxy_url = None;
    kube::Client::try_from(config).with_context(|| format!("making a client from {}", kubeconfig.display()))
}

/// Nothing that a control plane keeps outlives it, so that its programs need no time to end.
fn start(name: &str, command: &Command, folder: &Folder) -> anyhow::Result<Guarded> {
    Guarded::start(name, command, Grace::None, folder)
}

/// Waits for `attempt` to succeed; gives up at once when one of `processes` has ended.
async fn wait_while_running(
    what: &str,
    processes: &mut [&mut Guarded],
    mut attempt: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    wait_for(what, START_LIMIT, async || {
        match processes.iter_mut().try_for_each(|process| process.check()) {
            Ok(()) => attempt().await.map(Ok),
            Err(ended) => Ok(Err(ended)),
        }
    })
    .await?
}

async fn ready(client: &kube::Client) -> anyhow::Result<()> {
    let request = kube::core::Request::new("").get("readyz", &GetParams::default())?;
    let answer = client.request_text(request).await?;
    anyhow::ensure!(answer == "ok", "/readyz says {answer}");
    Ok(())
}

fn etcd(binaries: &Binaries, folder: &Path, ports: &Ports) -> Command {
    let (clients, peers) = (
        format!("http://127.0.0.1:{}", ports.etcd),
        format!("http://127.0.0.1:{}", ports.etcd_peer),
    );
    let mut command = Command::new(binaries.path("etcd"));
    command.arg("--data-dir").arg(folder.join("etcd")).args([
        "--name=etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        &format!("--listen-client-urls={clients}"),
        &format!("--advertise-client-urls={clients}"),
        &format!("--listen-peer-urls={peers}"),
        &format!("--initial-advertise-peer-urls={peers}"),
        &format!("--initial-cluster=etcd={peers}"),
    ]);
    command
}

fn apiserver(binaries: &Binaries, folder: &Path, ports: &Ports) -> Command {
    let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    let mut command = Command::new(binaries.path("kube-apiserver"));
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        format!("--secure-port={}", ports.apiserver),
        "--bind-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("token-auth-file", "tokens.csv"),
        file("tls-cert-file", "serving.pem"),
        file("tls-private-key-file", "serving.key"),
        file("service-account-key-file", "service-accounts.pub"),
        file("service-account-signing-key-file", "service-accounts.key"),
        file("audit-log-path", "audit.log"),
        file("admission-control-config-file", "admission.yaml"),
        format!(
            "--audit-policy-file={}",
            local_folder().join("audit-policy.yaml").display()
        ),
    ]);
    command
}

fn controller_manager(binaries: &Binaries, folder: &Path) -> Command {
    let mut command = Command::new(binaries.path("kube-controller-manager"));
    command.args([
        format!(
            "--kubeconfig={}",
            folder.join(User::ControllerManager.kubeconfig()).display()
        ),
        format!("--root-ca-file={}", folder.join("ca.pem").display()),
        format!(
            "--service-account-private-key-file={}",
            folder.join("service-accounts.key").display()
        ),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        // A busy machine must not make a node NotReady, nor the default limits make a test wait.
        "--node-monitor-grace-period=1h".to_owned(),
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ]);
    command
}

fn scheduler(binaries: &Binaries, folder: &Path) -> Command {
    let mut command = Command::new(binaries.path("kube-scheduler"));
    command.args([
        format!(
            "--kubeconfig={}",
            folder.join(User::Scheduler.kubeconfig()).display()
        ),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ]);
    command
}

fn kwok(binaries: &Binaries, folder: &Path) -> anyhow::Result<Command> {
    let stages = folder.join("stages.yaml");
    let mut text = String::new();
    let read = fs::read_dir(local_folder().join("stages")).context("reading deploy/local/stages")?;
    for entry in read {
        text += &fs::read_to_string(entry?.path()).context("reading deploy/local/stages")?;
        text += "\n---\n";
    }
    fs::write(&stages, text).context("writing kwok's stages")?;
    let mut command = Command::new(binaries.path("kwok"));
    command.env("HOME", folder).args([
        format!("--kubeconfig={}", folder.join(User::Kwok.kubeconfig()).display()),
        format!("--config={}", stages.display()),
        "--manage-all-nodes=true".to_owned(),
        "--node-ip=10.0.0.1".to_owned(),
        "--cidr=10.128.0.0/16".to_owned(),
    ]);
    Ok(command)
}
