//! A cluster for a test, the demo or a benchmark: a local control plane, or the one that somebody named on purpose.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::binaries::Binaries;
use crate::control_plane::{ControlPlane, client_of};
use crate::folder::Folder;
use crate::identity::{PEOPLE, User, random_hex};
use crate::progress::Progress;
use crate::settings::{ForeignCluster, foreign_cluster};
use crate::setup;
use crate::wait::within;

/// Clusters of [`Cluster::own`] that one process runs at a time.
const OWN_AT_ONCE: u32 = 2;

/// A kubectl that waits longer than this is stuck.
const KUBECTL_LIMIT: Duration = Duration::from_mins(1);

static SHARED: OnceCell<Cluster> = OnceCell::const_new();
static OWN: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(OWN_AT_ONCE as usize)));

/// A cluster to use at will.
#[derive(Debug)]
pub struct Cluster {
    kind: Kind,
    binaries: Binaries,
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Kind {
    Local(Box<ControlPlane>),
    Foreign { folder: Folder, server_url: String },
}

/// What a program printed, and its exit code.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster that all tests of this process share, each in a namespace of its own ([`Cluster::namespace`]).
    pub async fn shared() -> anyhow::Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::make(None)).await
    }

    /// A fresh cluster, for what is cluster-wide or breaks things. At most two at once; others wait here.
    pub async fn own() -> anyhow::Result<Self> {
        // A foreign cluster is one and the same for everybody: one user at a time.
        let permits = if foreign_cluster()?.is_some() {
            OWN_AT_ONCE
        } else {
            1
        };
        let permit = Arc::clone(&OWN)
            .acquire_many_owned(permits)
            .await
            .context("waiting for a cluster")?;
        Self::make(Some(permit)).await
    }

    async fn make(permit: Option<OwnedSemaphorePermit>) -> anyhow::Result<Self> {
        let foreign = foreign_cluster()?;
        let binaries = tokio::task::spawn_blocking(|| Binaries::build(&Progress::shown())).await??;
        let kind = match foreign {
            Some(foreign) => Kind::connect(&foreign).await?,
            None => Kind::Local(Box::new(ControlPlane::start(&binaries).await?)),
        };
        Ok(Self {
            kind,
            binaries,
            _permit: permit,
        })
    }

    /// A client that speaks as `user`. Made anew each time, since a client belongs to the runtime that made it.
    pub async fn client(&self, user: User) -> anyhow::Result<kube::Client> {
        client_of(&self.kubeconfig(user)).await
    }

    /// A kubeconfig file with which one speaks as `user`.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.folder().join(user.kubeconfig())
    }

    /// Makes a namespace `HINT-RANDOM` and returns its name.
    pub async fn namespace(&self, hint: &str) -> anyhow::Result<String> {
        let name = format!("{hint}-{}", random_hex(3)?);
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(self.client(User::Admin).await?)
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("making the namespace {name}"))?;
        Ok(name)
    }

    /// Runs kubectl as `user` with `stdin`, which may be empty. A refusal is an [`Output`], not an error.
    pub async fn kubectl(&self, user: User, args: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let mut child = Command::new(self.binaries.path("kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig(user))
            .args(args)
            .env_remove("KUBECONFIG")
            .env("HOME", self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting kubectl")?;
        let mut input = child.stdin.take().context("kubectl has no standard input")?;
        let text = stdin.as_bytes().to_vec();
        let run = async {
            // It may end without reading everything.
            let feed = async move { drop(input.write_all(&text).await) };
            tokio::join!(feed, child.wait_with_output()).1
        };
        let output = within(&format!("kubectl {}", args.join(" ")), KUBECTL_LIMIT, run)
            .await?
            .context("running kubectl")?;
        Ok(Output::new(&output))
    }

    /// The control plane's programs, kubectl, kustomize and helm.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The apiserver's audit log, one JSON event a line; a foreign cluster's is not known.
    pub fn audit_log(&self) -> anyhow::Result<PathBuf> {
        Ok(self.local()?.folder().join("audit.log"))
    }

    /// URL of the apiserver.
    pub fn server_url(&self) -> &str {
        match &self.kind {
            Kind::Local(local) => &local.server_url,
            Kind::Foreign { server_url, .. } => server_url,
        }
    }

    /// PEM of the CA that signed the apiserver's certificate.
    pub fn ca(&self) -> anyhow::Result<&str> {
        Ok(&self.local()?.identities.ca)
    }

    /// PEM of the CA that signed the certificate which the apiserver shows to webhooks that ask for one, named
    /// [`crate::WEBHOOK_CLIENT`].
    pub fn webhook_client_ca(&self) -> anyhow::Result<&str> {
        Ok(&self.local()?.identities.webhook_clients.pem)
    }

    /// Certificate and key of a client of webhooks, PEM, as the apiserver shows one.
    pub fn webhook_client(&self, name: &str) -> anyhow::Result<(String, String)> {
        self.local()?.identities.webhook_clients.client(name)
    }

    /// Ends the apiserver; etcd and the controllers go on.
    pub async fn stop_apiserver(&self) -> anyhow::Result<()> {
        self.local()?.stop_apiserver().await
    }

    /// Starts the apiserver again, on the same port.
    pub async fn start_apiserver(&self) -> anyhow::Result<()> {
        self.start_apiserver_with(&[]).await
    }

    /// The same, with these flags besides: `--audit-webhook-config-file=…`.
    pub async fn start_apiserver_with(&self, flags: &[String]) -> anyhow::Result<()> {
        self.local()?.start_apiserver(flags).await
    }

    fn folder(&self) -> &Path {
        match &self.kind {
            Kind::Local(local) => local.folder(),
            Kind::Foreign { folder, .. } => folder.path(),
        }
    }

    fn local(&self) -> anyhow::Result<&ControlPlane> {
        match &self.kind {
            Kind::Local(local) => Ok(local),
            Kind::Foreign { .. } => {
                anyhow::bail!("this needs the local control plane, not one named by PROVOST_TEST_KUBECONFIG")
            }
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Writes a kubeconfig for each user, who is impersonated, and makes sure of what they may do.
    async fn connect(foreign: &ForeignCluster) -> anyhow::Result<Self> {
        let given = Kubeconfig::read_from(&foreign.kubeconfig)
            .with_context(|| format!("reading {}", foreign.kubeconfig.display()))?;
        let folder = Folder::new()?;
        for user in PEOPLE {
            let config = impersonating(given.clone(), &foreign.context, user)?;
            let path = folder.path().join(user.kubeconfig());
            fs::write(&path, serde_json::to_vec_pretty(&config)?)
                .with_context(|| format!("writing {}", path.display()))?;
        }
        setup::grant(&client_of(&folder.path().join(User::Admin.kubeconfig())).await?).await?;
        let context = given
            .contexts
            .iter()
            .find(|context| context.name == foreign.context);
        let cluster = context
            .and_then(|context| context.context.as_ref())
            .map(|context| &context.cluster);
        let server_url = given
            .clusters
            .iter()
            .find(|candidate| Some(&candidate.name) == cluster)
            .and_then(|candidate| candidate.cluster.as_ref()?.server.clone())
            .context("the kubeconfig names no server for the context")?;
        Ok(Self::Foreign { folder, server_url })
    }
}

// === impl Output ===

impl Output {
    pub fn new(output: &std::process::Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// Standard output, if the program went well; else an error that shows what it printed.
    pub fn success(self) -> anyhow::Result<String> {
        ensure!(
            self.code == 0,
            "exit code {}:\n{}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self.stdout)
    }
}

/// `config` with `context` in force; everybody but the administrator is impersonated.
fn impersonating(mut config: Kubeconfig, context: &str, user: User) -> anyhow::Result<Kubeconfig> {
    let chosen = config
        .contexts
        .iter()
        .find(|candidate| candidate.name == context)
        .and_then(|candidate| candidate.context.clone())
        .with_context(|| {
            format!(
                "PROVOST_TEST_DESTRUCTIVE names the context {context}, which the kubeconfig does not have"
            )
        })?;
    config.current_context = Some(context.to_owned());
    for named in &mut config.auth_infos {
        if user != User::Admin && Some(&named.name) == chosen.user.as_ref() {
            let info = named.auth_info.get_or_insert_with(AuthInfo::default);
            info.impersonate = Some(user.name().to_owned());
            info.impersonate_groups = user.group().map(|group| vec![group.to_owned()]);
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::impersonating;
    use crate::identity::User;
    use kube::config::Kubeconfig;

    const GIVEN: &str = r#"{"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],
        "users":[{"name":"u","user":{"token":"secret"}}],
        "contexts":[{"name":"kind","context":{"cluster":"c","user":"u"}}],"current-context":"other"}"#;

    #[test]
    fn another_clusters_users_are_impersonated_in_the_context_named() {
        let given: Kubeconfig = serde_json::from_str(GIVEN).unwrap();
        let dana = impersonating(given.clone(), "kind", User::Developer).unwrap();
        assert_eq!(dana.current_context.as_deref(), Some("kind"));
        let info = dana.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(info.impersonate.as_deref(), Some("dana"));
        assert_eq!(
            info.impersonate_groups.as_deref(),
            Some(["developers".to_owned()].as_slice())
        );
        let admin = impersonating(given.clone(), "kind", User::Admin).unwrap();
        assert_eq!(admin.auth_infos[0].auth_info.as_ref().unwrap().impersonate, None);
        assert!(
            impersonating(given, "absent", User::Admin)
                .unwrap_err()
                .to_string()
                .contains("absent")
        );
    }
}
