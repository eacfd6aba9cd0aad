//! A webhook to test: alone, or before a real cluster.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use harness::folder::copy_files;
use harness::{Cluster, Folder, Output, Provost, User, wait_for, wait_until};

use super::https::Http2;

/// For whatever takes a moment: a start, a watch, an apiserver that hears of a configuration.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A webhook and what is needed to speak to it.
pub(crate) struct Webhook {
    pub(crate) provost: Provost,
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    /// Holds the policies and the certificates.
    pub(crate) folder: Folder,
}

impl Webhook {
    /// Starts `provost serve` with the policies of the repository, and those that `add` writes beside them.
    pub(crate) async fn start(
        args: &[&str],
        add: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let (policies, certs) = (folder.path().join("policies"), folder.path().join("certs"));
        fs::create_dir(&policies)?;
        add(&policies)?;
        let (policies, certs) = (policies.display().to_string(), certs.display().to_string());
        let mut all = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--policies",
            &policies,
            "--certs",
            &certs,
        ];
        all.extend(args);
        let mut provost = Provost::start(&all, &[])?;
        let line = provost.wait_for_line("  webhook  ", SOON).await?;
        provost.wait_for_line("Ready.", SOON).await?;
        let url: hyper::Uri = line.rsplit(' ').next().unwrap_or_default().parse()?;
        let address = url
            .authority()
            .context("the URL has an address")?
            .as_str()
            .parse()?;
        let authority = fs::read_to_string(Path::new(&certs).join("ca.crt"))?;
        Ok(Self {
            provost,
            address,
            authority,
            folder,
        })
    }

    pub(crate) async fn standalone() -> anyhow::Result<Self> {
        Self::start(&["--standalone"], seed).await
    }

    /// Before `cluster`, with further arguments and the policies that `add` writes.
    pub(crate) async fn guarding(
        cluster: &Cluster,
        args: &[&str],
        add: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let kubeconfig = cluster.kubeconfig(User::Admin).display().to_string();
        let mut all = vec![
            "--kubeconfig",
            &kubeconfig,
            "--role",
            "webhook",
            "--metrics-listen",
            "127.0.0.1:0",
        ];
        all.extend(args);
        Self::start(&all, add).await
    }

    /// Waits for the end of a process that was told to stop, and returns its exit code.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<i32> {
        wait_for("provost ends", SOON, async || {
            let code = self.provost.ended()?;
            code.context("it still runs")
        })
        .await
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Http2> {
        Http2::connect(self.address, &self.authority).await
    }
}

/// The policies of the repository.
pub(crate) fn seed(folder: &Path) -> anyhow::Result<()> {
    copy_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), folder)
}

/// A policy that only warns, of ConfigMaps without an owner.
pub(crate) const AUDITED: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: require-owner
spec:
  validationFailureAction: Audit
  rules:
    - name: check-owner
      match:
        any:
          - resources:
              kinds: [ConfigMap]
      validate:
        message: Say who owns it
        pattern:
          metadata:
            annotations:
              owner: \"?*\"
";

/// What the policy of registries refuses.
pub(crate) const BAD_POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
    - name: web
      image: docker.io/library/nginx:1.29
    - name: sidecar
      image: registry.example.com/sidecar:1
";

/// Waits until the apiserver has heard of the webhook.
pub(crate) async fn denied_soon(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let args = ["-n", namespace, "apply", "--dry-run=server", "-f", "-"];
    wait_until("a bad Pod is denied", SOON, async || {
        let output = cluster.kubectl(User::Developer, &args, BAD_POD).await;
        output.is_ok_and(|output| output.code != 0 && output.stderr.contains("denied the request"))
    })
    .await
}

/// Applies a manifest as the administrator.
pub(crate) async fn apply(cluster: &Cluster, namespace: &str, manifest: &str) -> anyhow::Result<Output> {
    let args = ["-n", namespace, "apply", "-f", "-"];
    cluster.kubectl(User::Admin, &args, manifest).await
}

/// Waits until what is printed for a manifest that is not written holds a text.
pub(crate) async fn soon(
    cluster: &Cluster,
    namespace: &str,
    manifest: &str,
    text: &str,
) -> anyhow::Result<()> {
    let args = ["-n", namespace, "apply", "--dry-run=server", "-f", "-"];
    wait_for(&format!("kubectl prints {text:?}"), SOON, async || {
        let output = cluster.kubectl(User::Admin, &args, manifest).await?;
        ensure!(output.stderr.contains(text), "{}", output.stderr);
        Ok(())
    })
    .await
}
