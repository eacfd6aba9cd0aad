//! The webhook behind a Service: its certificates lie in a Secret that replicas share, and its registration outlives
//! each of them. The local control plane has no Service data path, so the apiserver is not made to call it here: the
//! failure policy is Ignore, and the replicas are asked directly.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Cluster, Provost, User};
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::https::{self, whole};

const SOON: Duration = Duration::from_secs(20);
const SECRET: [&str; 6] = ["-n", "provost", "get", "secret", "provost-webhook", "-ojson"];
const CONFIGURATION: [&str; 4] = ["get", "validatingwebhookconfiguration", "provost", "-ojson"];

struct Replica {
    provost: Provost,
    address: SocketAddr,
}

impl Replica {
    async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let kubeconfig = cluster.kubeconfig(User::Admin).display().to_string();
        let policies = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("policies")
            .display()
            .to_string();
        let args = "serve --role webhook --service provost/provost --install-crds --failure-policy ignore --ledger none \
                    --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --kubeconfig";
        let mut args: Vec<&str> = args.split_whitespace().collect();
        args.extend([kubeconfig.as_str(), "--policies", &policies]);
        let mut provost = Provost::start(&args, &[])?;
        let line = provost.wait_for_line("  listens on  ", SOON).await?;
        provost.wait_for_line("Ready.", SOON).await?;
        let address = line.rsplit(' ').next().unwrap_or_default().parse()?;
        Ok(Self { provost, address })
    }

    /// Whether it answers reviews on `path`, with a certificate of `authority`.
    async fn answers(&self, authority: &str, path: &str) -> anyhow::Result<bool> {
        let no_review = whole("{}");
        let answer = https::http1(self.address, authority, Method::POST, path, no_review).await?;
        Ok(answer.status == StatusCode::BAD_REQUEST)
    }
}

async fn json(cluster: &Cluster, args: &[&str]) -> anyhow::Result<Value> {
    let printed = cluster.kubectl(User::Admin, args, "").await?.success()?;
    Ok(serde_json::from_str(&printed)?)
}

fn decode(base64: &Value) -> anyhow::Result<String> {
    let text = base64.as_str().context("there is a certificate")?;
    Ok(String::from_utf8(STANDARD.decode(text)?)?)
}

#[tokio::test]
async fn replicas_share_a_secret_and_the_registration_outlives_them() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let namespace = ["create", "namespace", "provost"];
    cluster.kubectl(User::Admin, &namespace, "").await?.success()?;
    // At once, so that both find no Secret and only one may win.
    let (first, second) = tokio::try_join!(Replica::start(&cluster), Replica::start(&cluster))?;

    let secret = json(&cluster, &SECRET).await?;
    let configuration = json(&cluster, &CONFIGURATION).await?;
    let client = &configuration["webhooks"][0]["clientConfig"];
    assert_eq!(client["service"]["namespace"], "provost");
    assert_eq!(client["service"]["name"], "provost");
    assert_eq!(client.get("url"), None);
    let (kept, authority) = (decode(&secret["data"]["ca.crt"])?, decode(&client["caBundle"])?);
    assert!(kept.contains(&authority), "{kept}");
    let path = client["service"]["path"]
        .as_str()
        .context("the Service has a path")?;
    assert!(path.len() > "/validate/".len(), "there is no token in {path}");
    for replica in [&first, &second] {
        assert!(replica.answers(&authority, path).await?);
        assert!(!replica.answers(&authority, "/validate/another-token").await?);
    }

    assert_eq!(first.provost.stop().await?, 0);
    assert!(second.answers(&authority, path).await?);
    assert_eq!(second.provost.stop().await?, 0);
    let after = json(&cluster, &CONFIGURATION).await?;
    assert_eq!(after["webhooks"], configuration["webhooks"]);

    let third = Replica::start(&cluster).await?;
    assert_eq!(json(&cluster, &SECRET).await?["data"], secret["data"]);
    assert!(third.answers(&authority, path).await?);
    Ok(())
}
