//! The webhook as `provost install --url` prints it, in a cluster without a Service data path: its replicas are
//! processes with a token of the printed ServiceAccount, behind a [`Balancer`].

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::balancer::Balancer;
use crate::cluster::Cluster;
use crate::folder::Folder;
use crate::identity::{User, random_hex};
use crate::provost::{Provost, provost};
use crate::wait::wait_for;

/// For a start, on a busy machine.
const SOON: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "provost";
const ACCOUNT: &str = "provost-webhook";
const SECRET: &str = "provost-webhook";
/// What asks for another certificate authority.
const ROTATE: &str = "provost.dev/rotate";

/// Replicas behind their balancer.
pub struct Replicas<'c> {
    cluster: &'c Cluster,
    client: Client,
    balancer: Balancer,
    /// Of each process, but for the folder of its ledger.
    arguments: Vec<String>,
    running: Vec<Replica>,
    // Dropped last: the processes have their ledgers in it.
    folder: Folder,
}

/// One of them.
#[derive(Debug)]
pub struct Replica {
    /// The process.
    pub provost: Provost,
    /// Where it listens.
    pub address: SocketAddr,
    /// The folder of its ledger.
    pub ledger: PathBuf,
}

// === impl Replicas ===

impl<'c> Replicas<'c> {
    /// Installs what `provost install` prints for the webhook, and starts nothing yet. `arguments` are given to each
    /// process besides those of the printed StatefulSet.
    pub async fn install(cluster: &'c Cluster, arguments: &[&str]) -> anyhow::Result<Self> {
        let (folder, balancer) = (Folder::new()?, Balancer::start().await?);
        let url = format!("https://{}", balancer.address());
        let home = folder.path().to_owned();
        let print = move || {
            let args = ["install", "--role", "webhook", "--url", &url, "-ojson"];
            provost(&home, &args)?.success()
        };
        let printed = tokio::task::spawn_blocking(print).await??;
        let apply = ["apply", "--server-side", "-f", "-"];
        cluster.kubectl(User::Admin, &apply, &printed).await?.success()?;
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=30s",
        ];
        cluster.kubectl(User::Admin, &wait, "").await?.success()?;

        let mut all = arguments_of(&printed)?;
        let kubeconfig = write_kubeconfig(cluster, &folder).await?;
        all.extend(["--kubeconfig".to_owned(), kubeconfig]);
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Ok(Self {
            cluster,
            client: cluster.client(User::Admin).await?,
            balancer,
            arguments: all,
            running: Vec::new(),
            folder,
        })
    }

    /// Where the apiserver calls them.
    pub fn address(&self) -> SocketAddr {
        self.balancer.address()
    }

    /// Those that run.
    pub fn running(&mut self) -> &mut [Replica] {
        &mut self.running
    }

    /// Starts one more and waits until connections are sent to it.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let ledger = self.folder.path().join(format!("ledger-{}", random_hex(4)?));
        let shown = ledger.display().to_string();
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|argument| argument.replace("/var/lib/provost/ledger", &shown))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut provost = Provost::start(&arguments, &[])?;
        let line = provost.wait_for_line("  listens on  ", SOON).await?;
        let address = line.rsplit(' ').next().unwrap_or_default().parse()?;
        self.balancer.add(address)?;
        self.running.push(Replica {
            provost,
            address,
            ledger,
        });
        wait_for("a replica is ready", SOON, async || {
            let ready = self.balancer.is_ready(address);
            ready.then_some(()).context("/readyz does not say so")
        })
        .await
    }

    /// Stops the oldest as a kubelet does, with SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.running.is_empty(), "no replica runs");
        let Replica { provost, address, .. } = self.running.remove(0);
        let code = provost.stop().await?;
        self.balancer.remove(address);
        anyhow::ensure!(code == 0, "a replica ended with code {code}");
        Ok(())
    }

    /// Restarts each in turn, as a StatefulSet is rolled: the next one only when the one before is ready again.
    pub async fn roll(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.running.len() {
            self.stop().await?;
            self.start().await?;
        }
        Ok(())
    }

    /// Asks for another certificate authority, as docs/install.md says.
    pub async fn ask_for_rotation(&self) -> anyhow::Result<()> {
        let annotation = json!({"metadata": {"annotations": {ROTATE: "now"}}});
        let secrets = Api::<Secret>::namespaced(self.client.clone(), NAMESPACE);
        let options = PatchParams::default();
        secrets
            .patch(SECRET, &options, &Patch::Merge(&annotation))
            .await?;
        Ok(())
    }

    /// Asks for another certificate authority, and waits until the one before is trusted no more. Returns the new
    /// one, PEM.
    pub async fn rotate(&self, limit: Duration) -> anyhow::Result<String> {
        let before = self.authority().await?;
        self.ask_for_rotation().await?;
        self.rotated(&before, limit).await
    }

    /// Waits until the authority is another than `before`, alone. Returns it, PEM.
    pub async fn rotated(&self, before: &str, limit: Duration) -> anyhow::Result<String> {
        wait_for("the authority is rotated", limit, async || {
            let data = self.secret().await?;
            let settled = !data.contains_key("next.crt") && !data.contains_key("old.crt");
            let authority = data.get("ca.crt").cloned().unwrap_or_default();
            let told = self.bundle().await?;
            anyhow::ensure!(settled && authority != before, "it holds {:?}", data.keys());
            anyhow::ensure!(authority.ends_with(&told), "the configuration still holds others");
            Ok(authority)
        })
        .await
    }

    /// The authority that signs what is served, as the Secret holds it.
    pub async fn authority(&self) -> anyhow::Result<String> {
        self.secret()
            .await?
            .remove("ca.crt")
            .context("the Secret has an authority")
    }

    /// Text of the Secret's data.
    pub async fn secret(&self) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), NAMESPACE);
        let data = secrets.get(SECRET).await?.data.unwrap_or_default().into_iter();
        data.map(|(name, bytes)| Ok((name, String::from_utf8(bytes.0)?)))
            .collect()
    }

    /// The bundle that the webhook configuration holds.
    pub async fn bundle(&self) -> anyhow::Result<String> {
        bundle_of(&self.configuration().await?)
    }

    /// A client that reads the bundle again and again, on its own: [`bundle_of`] what it gets by the name `provost`.
    pub fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    /// The path under which reviews are taken, with its token.
    pub async fn path(&self) -> anyhow::Result<String> {
        let configuration = self.configuration().await?;
        let webhook = configuration.webhooks.unwrap_or_default().into_iter().next();
        let url = webhook
            .and_then(|webhook| webhook.client_config.url)
            .context("it has a URL")?;
        let path = url.find("/validate").context("it has a path")?;
        Ok(url[path..].to_owned())
    }

    async fn configuration(&self) -> anyhow::Result<ValidatingWebhookConfiguration> {
        Ok(self.configurations().get("provost").await?)
    }

    /// The cluster.
    pub fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    /// Applies a manifest as administrator.
    pub async fn apply(&self, manifest: &Value) -> anyhow::Result<DynamicObject> {
        let text = |pointer: &str| {
            manifest
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (group, version) = text("/apiVersion")
            .split_once('/')
            .context("a kind with a group")?;
        let kind = kube::core::GroupVersionKind::gvk(group, version, text("/kind"));
        let resource = kube::core::ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let options = PatchParams::apply("harness").force();
        Ok(api
            .patch(text("/metadata/name"), &options, &Patch::Apply(manifest))
            .await?)
    }
}

/// The bundle of a webhook configuration.
pub fn bundle_of(configuration: &ValidatingWebhookConfiguration) -> anyhow::Result<String> {
    let webhook = configuration.webhooks.iter().flatten().next();
    let bundle = webhook
        .context("there is a webhook")?
        .client_config
        .ca_bundle
        .as_ref();
    Ok(String::from_utf8(bundle.context("it has a bundle")?.0.clone())?)
}

/// The arguments of the printed StatefulSet, on free ports of loopback.
fn arguments_of(printed: &str) -> anyhow::Result<Vec<String>> {
    let list: Value = serde_json::from_str(printed)?;
    let mut items = list["items"].as_array().into_iter().flatten();
    let set = items
        .find(|item| item["kind"] == "StatefulSet")
        .context("a StatefulSet is printed")?;
    let arguments = set
        .pointer("/spec/template/spec/containers/0/args")
        .and_then(Value::as_array);
    let arguments = arguments
        .context("it has arguments")?
        .iter()
        .filter_map(Value::as_str);
    Ok(arguments
        .map(|argument| {
            argument
                .replace("0.0.0.0:8443", "127.0.0.1:0")
                .replace("0.0.0.0:8444", "127.0.0.1:0")
        })
        .collect())
}

/// A kubeconfig with a token of the printed ServiceAccount, and nothing else.
async fn write_kubeconfig(cluster: &Cluster, folder: &Folder) -> anyhow::Result<String> {
    let args = ["-n", NAMESPACE, "create", "token", ACCOUNT];
    let token = cluster.kubectl(User::Admin, &args, "").await?.success()?;
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, cluster.ca()?)?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {
            "server": cluster.server_url(), "certificate-authority": authority,
        }}],
        "users": [{"name": "c", "user": {"token": token.trim()}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    let path = folder.path().join("webhook.kubeconfig");
    fs::write(&path, config.to_string())?;
    Ok(path.display().to_string())
}
