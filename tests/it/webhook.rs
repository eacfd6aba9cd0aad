//! The webhook: alone, behind a plain HTTPS client, and behind a real apiserver.

use std::{fs, path::Path};

use anyhow::Context as _;
use futures::{SinkExt as _, StreamExt as _};
use harness::{User, wait_for, wait_until};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, StatusCode,
    body::{Bytes, Frame},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{
    https,
    webhook::{AUDITED, BAD_POD, SOON, Webhook, denied_soon, seed},
};

const BROKEN: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: broken
spec:
  rules:
    - name: check
      match:
        any:
          - resources:
              kinds: [Pod]
      validate:
        patern:
          spec: {}
";

const GOOD_POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: good
spec:
  containers:
    - name: web
      image: registry.example.com/web:1
";

const BAD_DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-app
  labels:
    app.kubernetes.io/name: \"\"
spec:
  selector:
    matchLabels: {app: my-app}
  template:
    metadata:
      labels: {app: my-app}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1
          resources:
            limits: {memory: 128Mi}
        - name: sidecar
          image: docker.io/sidecar:1
";

const GOOD_DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: good
  labels:
    app.kubernetes.io/name: good
    app.kubernetes.io/managed-by: kubectl
spec:
  selector:
    matchLabels: {app: good}
  template:
    metadata:
      labels: {app: good}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1
          resources:
            limits: {memory: 128Mi, cpu: 100m}
";

const CONFIG_MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
";

fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": object["kind"] },
            "operation": "CREATE",
            "namespace": "shop",
            "name": object["metadata"]["name"],
            "userInfo": { "username": "dana", "groups": ["developers"] },
            "object": object,
            "dryRun": false,
        },
    })
}

fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "containers": [{ "name": "web", "image": image }] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_it_judges_over_both_protocols_and_refuses_what_is_no_review() -> anyhow::Result<()> {
    let webhook = Webhook::standalone().await?;
    let client = webhook.client().await?;

    let denied = client
        .post("/validate", review(&pod("docker.io/nginx")).to_string())
        .await?;
    assert_eq!(denied.status, StatusCode::OK);
    let denied: Value = serde_json::from_slice(&denied.body)?;
    assert_eq!(denied["response"]["allowed"], false);
    assert_eq!(denied["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(denied["response"]["status"]["code"], 403);
    assert_eq!(denied["response"]["auditAnnotations"]["verdict"], "denied");

    let good = https::whole(review(&pod("registry.example.com/web:1")).to_string());
    let allowed = https::http1(
        webhook.address,
        &webhook.authority,
        Method::POST,
        "/validate",
        good,
    )
    .await?;
    let allowed: Value = serde_json::from_slice(&allowed.body)?;
    assert_eq!(allowed["response"]["allowed"], true);

    let mut exempt = review(&pod("docker.io/nginx"));
    exempt["request"]["namespace"] = json!("kube-system");
    let exempt = client.post("/validate", exempt.to_string()).await?;
    let exempt: Value = serde_json::from_slice(&exempt.body)?;
    assert_eq!(exempt["response"]["auditAnnotations"]["verdict"], "exempt");

    let malformed = client.post("/validate", "{\"apiVersion\": 1").await?;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert!(
        malformed.text().starts_with("the body is not an AdmissionReview"),
        "{}",
        malformed.text()
    );
    let deep = "[".repeat(100_000);
    assert_eq!(
        client.post("/validate", deep).await?.status,
        StatusCode::BAD_REQUEST
    );
    let large = vec![b' '; 8 * 1024 * 1024 + 1];
    assert_eq!(
        client.post("/validate", large).await?.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let wide = format!("[{}]", "0,".repeat(400_000));
    assert_eq!(
        client.post("/validate", wide).await?.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        client.post("/validate/guess", "{}").await?.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        client.get("/validate").await?.status,
        StatusCode::METHOD_NOT_ALLOWED
    );

    assert_eq!(client.get("/healthz").await?.text(), "ok\n");
    let metrics = client.get("/metrics").await?.text();
    for line in [
        "provost_webhook_reviews_total{verdict=\"denied\"} 1",
        "provost_webhook_reviews_total{verdict=\"exempt\"} 1",
        "provost_webhook_refused_total{status=\"413\"} 2",
        "provost_webhook_policies{state=\"loaded\"} 3",
        "provost_webhook_ledger_lost 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_is_out_and_shown_while_the_others_stay_in_force() -> anyhow::Result<()> {
    let add = |folder: &Path| {
        seed(folder)?;
        Ok(fs::write(folder.join("broken.yaml"), BROKEN)?)
    };
    let webhook = Webhook::start(&["--standalone"], add).await?;
    let ready = webhook.client().await?.get("/readyz").await?;
    assert_eq!(ready.status, StatusCode::OK);
    let folder = webhook.folder.path().display().to_string();
    let shown = ready.text().replace(&folder, "");
    let digest = shown
        .find("sha256:")
        .map(|at| shown[at..at + 71].to_owned())
        .context("a digest")?;
    assert_snapshot!(shown.replace(&digest, "sha256:…"), @r#"
    ready: 3 policies in force (sha256:…)
    out: /policies/broken.yaml:13:9: unknown field "patern" in validate; did you mean "pattern"? (rule "check" of ClusterPolicy broken)
    "#);
    let log = webhook.provost.log();
    assert!(log.contains("A policy is out: "), "{log}");
    let answer = webhook
        .client()
        .await?
        .post("/validate", review(&pod("docker.io/nginx")).to_string())
        .await?;
    assert!(answer.text().contains("\"allowed\":false"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_in_flight_is_answered_after_the_signal_to_stop() -> anyhow::Result<()> {
    let mut webhook = Webhook::standalone().await?;
    let client = webhook.client().await?;
    let (mut pieces, body) = futures::channel::mpsc::channel::<Bytes>(1);
    let body = BodyExt::boxed(StreamBody::new(body.map(|piece| Ok(Frame::data(piece)))));
    let in_flight = tokio::spawn(async move { client.send(Method::POST, "/validate", body).await });
    let review = review(&pod("docker.io/nginx")).to_string();
    let (first, second) = review.split_at(review.len() / 2);
    pieces.send(Bytes::from(first.to_owned())).await?;

    webhook.provost.signal("TERM")?;
    webhook.provost.wait_for_line("Stopping", SOON).await?;
    wait_until("new connections are refused", SOON, async || {
        webhook.client().await.is_err()
    })
    .await?;
    pieces.send(Bytes::from(second.to_owned())).await?;
    drop(pieces);

    let answer = in_flight.await??;
    assert!(answer.text().contains("\"allowed\":false"), "{}", answer.text());
    assert_eq!(webhook.ended().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_users_are_told_everything_that_is_to_be_changed() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let add = |folder: &Path| {
        seed(folder)?;
        Ok(fs::write(folder.join("audited.yaml"), AUDITED)?)
    };
    let webhook = Webhook::guarding(&cluster, &[], add).await?;
    let namespace = cluster.namespace("shop").await?;
    let apply = async |namespace: &str, manifest: &str| {
        let args = ["-n", namespace, "apply", "-f", "-"];
        cluster.kubectl(User::Developer, &args, manifest).await
    };
    denied_soon(&cluster, &namespace).await?;

    let pod = apply(&namespace, BAD_POD).await?;
    assert_eq!(pod.code, 1);
    assert_snapshot!(pod.stderr.replace(&namespace, "shop"), @r#"
    Error from server (Forbidden): error when creating "STDIN": admission webhook "enforce.provost.dev" denied the request: 
    Pod shop/web is refused: 1 violation of 1 policy.

    require-approved-registry/check-registry: Images must come from approved registries
      spec.containers[0].image   is "docker.io/library/nginx:1.29" (container "web")   needs registry.example.com/* or gcr.io/my-project/*

    Before you apply: provost check FILE
    "#);
    let deployment = apply(&namespace, BAD_DEPLOYMENT).await?;
    assert_eq!(deployment.code, 1);
    assert_snapshot!(deployment.stderr.replace(&namespace, "shop"), @r#"
    Error from server (Forbidden): error when creating "STDIN": admission webhook "enforce.provost.dev" denied the request: 
    Deployment shop/my-app is refused: 5 violations of 3 policies.

    require-approved-registry/autogen-check-registry: Images must come from approved registries
      spec.template.spec.containers[1].image   is "docker.io/sidecar:1" (container "sidecar")   needs registry.example.com/* or gcr.io/my-project/*

    require-resource-limits/check-limits: All containers must have resource limits
      spec.template.spec.containers[1].resources.limits       missing (container "sidecar")   needs memory and cpu, any value
      spec.template.spec.containers[0].resources.limits.cpu   missing (container "web")       needs any value

    require-labels/check-labels: Resources must have required labels
      metadata.labels["app.kubernetes.io/managed-by"]   missing   needs any value
      metadata.labels["app.kubernetes.io/name"]         is ""     needs at least one character

    Before you apply: provost check FILE
    "#);

    apply(&namespace, GOOD_POD).await?.success()?;
    apply(&namespace, GOOD_DEPLOYMENT).await?.success()?;

    let warned = apply(&namespace, CONFIG_MAP).await?;
    assert_eq!(warned.code, 0);
    assert_snapshot!(warned.stderr, @r#"
    Warning: require-owner/check-owner (audit): metadata.annotations.owner missing: Say who owns it
    "#);

    let args = ["-n", "kube-system", "apply", "-f", "-"];
    cluster.kubectl(User::Admin, &args, BAD_POD).await?.success()?;

    let args = ["get", "validatingwebhookconfiguration", "provost", "-o", "json"];
    let configuration: Value =
        serde_json::from_str(&cluster.kubectl(User::Admin, &args, "").await?.success()?)?;
    assert_snapshot!(summary(&configuration), @r#"
    "enforce.provost.dev" "Fail" not in ["kube-node-lease","kube-system","provost"]
      [""] ["v1"] ["pods","pods/ephemeralcontainers","replicationcontrollers","services"] ["CREATE","UPDATE"]
      ["apps"] ["v1"] ["daemonsets","deployments","replicasets","statefulsets"] ["CREATE","UPDATE"]
      ["batch"] ["v1"] ["cronjobs","jobs"] ["CREATE","UPDATE"]
    "audit.provost.dev" "Ignore" not in ["kube-node-lease","kube-system","provost"]
      [""] ["v1"] ["configmaps"] ["CREATE","UPDATE"]
    "policies.provost.dev" "Ignore" not in null
      ["kyverno.io"] ["*"] ["clusterpolicies","policies","policyexceptions","globalcontextentries"] ["CREATE","UPDATE","DELETE"]
    "#);
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_the_cluster_come_into_force_and_go_and_a_stop_withdraws_the_webhook()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let mut webhook = Webhook::guarding(&cluster, &[], |_| Ok(())).await?;
    let namespace = cluster.namespace("shop").await?;
    let dry_run = ["-n", &namespace, "apply", "--dry-run=server", "-f", "-"];
    cluster
        .kubectl(User::Developer, &dry_run, BAD_POD)
        .await?
        .success()?;

    let policies = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("policies")
        .display()
        .to_string();
    cluster
        .kubectl(User::Admin, &["apply", "-f", &policies], "")
        .await?
        .success()?;
    denied_soon(&cluster, &namespace).await?;

    cluster
        .kubectl(
            User::Admin,
            &["apply", "-f", "-"],
            // A broken one would be refused; what Provost does not do is let in, and is out.
            &BROKEN.replace("validate:", "mutate:"),
        )
        .await?
        .success()?;
    let client = webhook.client().await?;
    let ready = wait_for("the policy is named", SOON, async || {
        let ready = client.get("/readyz").await?.text();
        anyhow::ensure!(ready.contains("out: "), "{ready}");
        Ok(ready)
    });
    let ready = ready.await?;
    assert!(ready.starts_with("ready: 3 policies in force"), "{ready}");
    assert!(ready.contains("mutate is not supported"), "{ready}");
    denied_soon(&cluster, &namespace).await?;

    let name = "require-approved-registry";
    cluster
        .kubectl(User::Admin, &["delete", "clusterpolicy", name], "")
        .await?
        .success()?;
    wait_until("the Pod is let in again", SOON, async || {
        cluster
            .kubectl(User::Developer, &dry_run, BAD_POD)
            .await
            .is_ok_and(|output| output.code == 0)
    })
    .await?;

    webhook.provost.signal("TERM")?;
    webhook
        .provost
        .wait_for_line("The webhook configuration was removed", SOON)
        .await?;
    let args = ["get", "validatingwebhookconfigurations", "-o", "name"];
    assert_eq!(cluster.kubectl(User::Admin, &args, "").await?.success()?, "");
    assert_eq!(webhook.ended().await?, 0);
    let args = ["-n", &namespace, "apply", "-f", "-"];
    cluster
        .kubectl(User::Developer, &args, BAD_DEPLOYMENT)
        .await?
        .success()?;
    Ok(())
}

/// What a configuration asks for, a line each.
fn summary(configuration: &Value) -> String {
    let mut lines = Vec::new();
    for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
        let exempt = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
        lines.push(format!(
            "{} {} not in {exempt}",
            webhook["name"], webhook["failurePolicy"]
        ));
        for rule in webhook["rules"].as_array().into_iter().flatten() {
            let part = |name: &str| rule[name].to_string();
            let (groups, versions) = (part("apiGroups"), part("apiVersions"));
            lines.push(format!(
                "  {groups} {versions} {} {}",
                part("resources"),
                part("operations")
            ));
        }
    }
    lines.join("\n")
}
