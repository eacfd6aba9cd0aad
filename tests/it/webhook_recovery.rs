//! What becomes of a cluster while nobody answers: it comes back to life without us, and we with it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use harness::{Cluster, Provost, User, wait_for};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::support::webhook::{SOON, apply, soon};

/// Everything must bear a label, and whatever is done to Pods and all else is asked about.
const STRICT: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: pods}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: everything}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: ["*"]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: subresources}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: kept
      match: {any: [{resources: {kinds: ["*/*"]}}]}
      validate:
        message: It is kept
        deny: {conditions: {all: [{key: "{{ request.operation }}", operator: Equals, value: DELETE}]}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: nodes}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [Node]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
"#;

const NODE: &str = "{apiVersion: v1, kind: Node, metadata: {name: node-2}}";

fn pod(name: &str, team: Option<&str>) -> String {
    let labels = team
        .map(|team| format!("labels: {{team: {team}}}"))
        .unwrap_or_default();
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, {labels}}}, \
          spec: {{containers: [{{name: a, image: a}}]}}}}"
    )
}

/// What a cluster writes to come back to life; none of it bears the label.
const RECOVERY: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: node-2}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: a, namespace: shop}
---
apiVersion: v1
kind: Event
metadata: {name: a, namespace: shop}
involvedObject: {kind: Pod, name: a, namespace: shop}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: a}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: a}
spec: {attacher: a.example.com, nodeName: node-1, source: {persistentVolumeName: a}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.a.example.com}
spec: {group: a.example.com, version: v1, groupPriorityMinimum: 1, versionPriority: 1, service: {name: a, namespace: a}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: a}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: everything}
spec:
  validationFailureAction: Audit
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate: {pattern: {metadata: {labels: {team: "?*"}}}}
"#;

/// A Provost as its StatefulSet would start it; all replicas are reached under one URL.
struct Replicas {
    kubeconfig: String,
    url: String,
}

impl Replicas {
    async fn start(&self, listen: &str) -> anyhow::Result<Provost> {
        let args = [
            "serve",
            "--role",
            "webhook",
            "--service",
            "provost/provost",
            "--install-crds",
            "--ledger",
            "none",
            "--metrics-listen",
            "127.0.0.1:0",
            "--kubeconfig",
            &self.kubeconfig,
            "--webhook-url",
            &self.url,
            "--listen",
            listen,
        ];
        let mut provost = Provost::start(&args, &[])?;
        provost.wait_for_line("Ready.", SOON).await?;
        Ok(provost)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_replicas_were_all_killed_comes_back_to_life_by_itself() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let run = async |args: &[&str], stdin: &str| cluster.kubectl(User::Admin, args, stdin).await;
    for namespace in ["provost", "shop"] {
        run(&["create", "namespace", namespace], "").await?.success()?;
    }
    let listen = format!("127.0.0.1:{}", harness::port::fixed()?);
    let replicas = Replicas {
        kubeconfig: cluster.kubeconfig(User::Admin).display().to_string(),
        url: format!("https://{listen}"),
    };
    let first = replicas.start(&listen).await?;
    let second = replicas.start("127.0.0.1:0").await?;
    run(&["apply", "-f", "-"], STRICT).await?.success()?;
    let bad = pod("bad", None);
    soon(&cluster, "shop", &bad, "everything/check-team: A team is wanted").await?;
    soon(&cluster, "shop", &bad, "pods/check-team: A team is wanted").await?;
    // What names a Node judges it, and what speaks of everything does not.
    soon(&cluster, "shop", NODE, "nodes/check-team: A team is wanted").await?;
    let node = run(&["apply", "--dry-run=server", "-f", "-"], NODE).await?;
    assert!(!node.stderr.contains("everything/"), "{}", node.stderr);

    for mut replica in [first, second] {
        replica.signal("KILL")?;
        wait_for("it is gone", SOON, async || {
            replica.ended()?.context("it still runs")
        })
        .await?;
    }
    nothing_is_locked_out(&cluster, "one").await?;
    cluster.stop_apiserver().await?;
    cluster.start_apiserver().await?;
    nothing_is_locked_out(&cluster, "two").await?;
    let args = [
        "-n",
        "kube-system",
        "wait",
        "--for=condition=Ready",
        "pod/two",
        "--timeout=30s",
    ];
    run(&args, "").await?.success()?;

    let limit = Duration::from_mins(1);
    let _again = tokio::time::timeout(limit, async {
        let provost = replicas.start(&listen).await?;
        soon(&cluster, "shop", &bad, "pods/check-team: A team is wanted").await?;
        apply(&cluster, "shop", &pod("good", Some("web")))
            .await?
            .success()?;
        anyhow::Ok(provost)
    })
    .await
    .context("it serves again within a minute")??;
    Ok(())
}

/// While nobody answers: what the policies are about is refused, and what a cluster needs is not.
async fn nothing_is_locked_out(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let unanswered = apply(cluster, "shop", &pod(name, Some("web"))).await?;
    ensure!(
        unanswered.stderr.contains("failed calling webhook"),
        "a Pod of shop: {}",
        unanswered.stderr
    );
    for namespace in ["kube-system", "provost"] {
        let admitted = apply(cluster, namespace, &pod(name, None)).await?;
        admitted
            .success()
            .with_context(|| format!("a Pod of {namespace}"))?;
        let args = ["-n", namespace, "create", "token", "default"];
        cluster.kubectl(User::Admin, &args, "").await?.success()?;
    }
    let args = ["apply", "--dry-run=server", "-f", "-"];
    cluster.kubectl(User::Admin, &args, RECOVERY).await?.success()?;
    let request = signing_request()?;
    let args = ["apply", "--dry-run=server", "-f", "-"];
    cluster.kubectl(User::Admin, &args, &request).await?.success()?;
    let args = ["label", "node", "node-1", "--overwrite", &format!("seen={name}")];
    cluster.kubectl(User::Admin, &args, "").await?.success()?;
    let args = ["auth", "can-i", "create", "pods"];
    cluster.kubectl(User::Developer, &args, "").await?.success()?;
    Ok(())
}

/// As a node's kubelet asks for a certificate.
fn signing_request() -> anyhow::Result<String> {
    let request = CertificateParams::new(Vec::new())?.serialize_request(&KeyPair::generate()?)?;
    let request = BASE64_STANDARD.encode(request.pem()?);
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "a"},
        "spec": {"request": request, "signerName": "example.com/nodes", "usages": ["client auth"]},
    })
    .to_string())
}
