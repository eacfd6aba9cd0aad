//! Policies and exceptions before a real cluster: what brings them into force, and what their rules read there.

use std::fs;

use harness::{Cluster, Output, User, wait_for, wait_until};

use crate::support::webhook::{BAD_POD, SOON, Webhook, denied_soon, seed};

/// Excuses [`BAD_POD`].
fn exception(namespace: &str) -> String {
    format!(
        "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata:
  name: nginx
  namespace: {namespace}
spec:
  exceptions:
    - policyName: require-approved-registry
      ruleNames: ['*check-registry']
  match:
    any:
      - resources:
          kinds: [Pod]
          names: [web]
"
    )
}

async fn apply(cluster: &Cluster, manifest: &str) -> anyhow::Result<()> {
    let args = ["apply", "-f", "-"];
    cluster.kubectl(User::Admin, &args, manifest).await?.success()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_lets_an_object_in_only_from_the_namespace_that_was_named() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let (named, other) = (
        cluster.namespace("waivers").await?,
        cluster.namespace("shop").await?,
    );
    let webhook = Webhook::guarding(&cluster, &["--exception-namespace", &named], seed).await?;
    denied_soon(&cluster, &other).await?;

    apply(&cluster, &exception(&other)).await?;
    let client = webhook.client().await?;
    let ready = wait_for("the exception is named", SOON, async || {
        let ready = client.get("/readyz").await?.text();
        anyhow::ensure!(ready.contains("PolicyException"), "{ready}");
        Ok(ready)
    })
    .await?;
    let sentence = format!(
        "without effect: PolicyException {other}/nginx does not count: that needs --exception-namespace {other}"
    );
    assert_eq!(ready.lines().last(), Some(sentence.as_str()), "{ready}");
    let dry_run = ["-n", &other, "apply", "--dry-run=server", "-f", "-"];
    let refused = cluster.kubectl(User::Developer, &dry_run, BAD_POD).await?;
    assert!(
        refused.stderr.contains("denied the request"),
        "{}",
        refused.stderr
    );

    apply(&cluster, &exception(&named)).await?;
    wait_until("the Pod is excused", SOON, async || {
        let output = cluster.kubectl(User::Developer, &dry_run, BAD_POD).await;
        output.is_ok_and(|output| output.code == 0)
    })
    .await?;

    let delete = ["-n", &named, "delete", "policyexception", "nginx"];
    cluster.kubectl(User::Admin, &delete, "").await?.success()?;
    denied_soon(&cluster, &other).await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// A policy on the ConfigMaps whose names begin with `name`: what a rule has besides is `rest`.
fn policy(name: &str, resources: &str, rest: &str) -> String {
    format!(
        "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: {name}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: {name}
      match:
        any:
          - resources:
              kinds: [ConfigMap]
              names: ['{name}-*']
{resources}
{rest}
---
"
    )
}

/// A policy for each thing that a rule may read.
fn reading_policies() -> String {
    let never = "      validate: {message: never, deny: {}}";
    [
        policy("labelled", "              namespaceSelector: {matchLabels: {tier: production}}", never),
        policy(
            "released",
            "",
            &format!("      exclude: {{any: [{{clusterRoles: [release-manager]}}]}}\n{never}"),
        ),
        policy(
            "coloured",
            "",
            "      context: [{name: allowed, configMap: {name: allowed, namespace: '{{request.namespace}}'}}]
      validate:
        message: no colour of ours
        deny: {conditions: {any: [
          {key: '{{request.object.data.colour}}', operator: NotEquals, value: '{{allowed.data.colour}}'}]}}",
        ),
        policy(
            "permitted",
            "",
            "      context: [{name: permits, apiCall: {
        urlPath: '/api/v1/namespaces/{{request.namespace}}/configmaps',
        jmesPath: \"items[?metadata.name=='permit'] | length(@)\"}}]
      validate:
        message: no permit
        deny: {conditions: {any: [{key: '{{permits}}', operator: Equals, value: 0}]}}",
        ),
        policy(
            "global",
            "",
            "      context: [{name: known, globalReference: {name: deployments}}]
      validate: {message: unknown, deny: {conditions: {any: [{key: '{{known}}', operator: Equals, value: 0}]}}}",
        ),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_see_what_the_cluster_holds_now_and_what_they_cannot_read_is_an_error() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let namespace = cluster.namespace("shop").await?;
    let add = |folder: &std::path::Path| Ok(fs::write(folder.join("reading.yaml"), reading_policies())?);
    let webhook = Webhook::guarding(&cluster, &[], add).await?;
    let admin = async |args: &[&str]| {
        let args = [&["-n", &namespace], args].concat();
        cluster.kubectl(User::Admin, &args, "").await?.success()
    };
    let create = async |name: &str| -> anyhow::Result<Output> {
        let args = [
            "-n",
            &namespace,
            "create",
            "configmap",
            name,
            "--from-literal=colour=red",
            "--dry-run=server",
        ];
        cluster.kubectl(User::Developer, &args, "").await
    };
    let refused = async |name: &str, why: &str| {
        wait_for(&format!("{name} is refused: {why}"), SOON, async || {
            let output = create(name).await?;
            anyhow::ensure!(output.code != 0 && output.stderr.contains(why), "{output:?}");
            Ok(())
        })
        .await
    };
    let let_in = async |name: &str| {
        wait_for(&format!("{name} is let in"), SOON, async || {
            let output = create(name).await?;
            anyhow::ensure!(output.code == 0, "{output:?}");
            Ok(())
        })
        .await
    };

    refused("released-1", "never").await?;
    let bind = [
        "create",
        "clusterrolebinding",
        "releases",
        "--clusterrole=release-manager",
        "--user=dana",
    ];
    admin(&bind).await?;
    let_in("released-1").await?;

    let_in("labelled-1").await?;
    admin(&["label", "namespace", &namespace, "tier=production"]).await?;
    refused("labelled-1", "never").await?;

    refused(
        "coloured-1",
        &format!("cannot read ConfigMap {namespace}/allowed"),
    )
    .await?;
    admin(&["create", "configmap", "allowed", "--from-literal=colour=blue"]).await?;
    refused("coloured-1", "no colour of ours").await?;
    admin(&["patch", "configmap", "allowed", "--patch", "data: {colour: red}"]).await?;
    let_in("coloured-1").await?;

    refused("permitted-1", "no permit").await?;
    admin(&["create", "configmap", "permit"]).await?;
    let_in("permitted-1").await?;

    refused("global-1", "GlobalContextEntry deployments is not supported").await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
