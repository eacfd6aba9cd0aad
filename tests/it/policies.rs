//! Policies and exceptions before a real cluster: what brings them into force, and what their rules read there.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::Context as _;
use harness::{Cluster, Output, User, wait_for, wait_until};

use serde_json::{Value, json};

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

/// CVE-2024-48921: an exception in any namespace excused, so that whoever has a namespace could waive policies.
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
            "reviewed",
            "",
            "      context: [{name: allowed, apiCall: {
        urlPath: /apis/authorization.k8s.io/v1/subjectaccessreviews, method: POST, jmesPath: status.allowed, data: [
          {key: kind, value: SubjectAccessReview},
          {key: apiVersion, value: authorization.k8s.io/v1},
          {key: spec, value: {
            user: '{{request.userInfo.username}}',
            resourceAttributes: {namespace: '{{request.namespace}}', verb: delete, resource: secrets}}}]}}]
      validate:
        message: only who may delete secrets
        deny: {conditions: {any: [{key: '{{allowed}}', operator: Equals, value: false}]}}",
        ),
        policy(
            "global",
            "",
            "      context: [{name: known, globalReference: {name: deployments.count}}]
      validate: {message: unknown, deny: {conditions: {any: [{key: '{{known}}', operator: Equals, value: 0}]}}}",
        ),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_see_what_the_cluster_holds_now_and_what_they_cannot_read_is_an_error() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let namespace = cluster.namespace("shop").await?;
    let add = |folder: &Path| Ok(fs::write(folder.join("reading.yaml"), reading_policies())?);
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

    refused("reviewed-1", "only who may delete secrets").await?;
    admin(&["create", "role", "secrets", "--verb=delete", "--resource=secrets"]).await?;
    admin(&[
        "create",
        "rolebinding",
        "secrets",
        "--role=secrets",
        "--user=dana",
    ])
    .await?;
    let_in("reviewed-1").await?;

    refused("global-1", "there is no GlobalContextEntry deployments").await?;
    let entry = |resource: &str| {
        format!(
            "\
apiVersion: kyverno.io/v2beta1
kind: GlobalContextEntry
metadata: {{name: deployments}}
spec:
  kubernetesResource: {{version: v1, resource: {resource}, namespace: {namespace}}}
  projections: [{{name: count, jmesPath: \"[?metadata.labels.counted=='yes'] | length(@)\"}}]
"
        )
    };
    apply(&cluster, &entry("services")).await?;
    refused("global-1", "unknown").await?;
    apply(&cluster, &entry("configmaps")).await?;
    admin(&["label", "configmap", "allowed", "counted=yes"]).await?;
    let_in("global-1").await?;
    admin(&["label", "configmap", "allowed", "counted=no", "--overwrite"]).await?;
    refused("global-1", "unknown").await?;
    apply(&cluster, &entry("nosuchthings")).await?;
    refused("global-1", "GlobalContextEntry deployments has no value").await?;
    let delete = ["delete", "globalcontextentry", "deployments"];
    cluster.kubectl(User::Admin, &delete, "").await?.success()?;
    refused("global-1", "there is no GlobalContextEntry deployments").await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// What `kubectl` prints of a ClusterPolicy's Ready condition and version.
async fn condition(cluster: &Cluster, name: &str) -> anyhow::Result<Value> {
    let args = ["get", "clusterpolicy", name, "-o", "json"];
    let policy: Value = serde_json::from_str(&cluster.kubectl(User::Admin, &args, "").await?.success()?)?;
    let ready = policy["status"]["conditions"][0].clone();
    anyhow::ensure!(ready["type"] == "Ready", "{policy:#}");
    anyhow::ensure!(
        ready["observedGeneration"] == policy["metadata"]["generation"],
        "{policy:#}"
    );
    Ok(json!({
        "status": ready["status"],
        "message": ready["message"],
        "version": policy["metadata"]["resourceVersion"],
    }))
}

async fn becomes(cluster: &Cluster, name: &str, status: &str) -> anyhow::Result<Value> {
    wait_for(&format!("{name} is {status}"), SOON, async || {
        let condition = condition(cluster, name).await?;
        anyhow::ensure!(condition["status"] == status, "{condition}");
        Ok(condition)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_condition_says_whether_a_policy_is_in_force_and_why_not() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    let never = "      validate: {message: never, deny: {}}";
    let (good, bad) = (
        policy("mine", "", never),
        policy("mine", "", "      validate: {mesage: never, deny: {}}"),
    );

    apply(&cluster, &good).await?;
    let ready = becomes(&cluster, "mine", "True").await?;
    assert_eq!(ready["message"], "in force");

    apply(&cluster, &policy("another", "", never)).await?;
    becomes(&cluster, "another", "True").await?;
    let still = condition(&cluster, "mine").await?;
    assert_eq!(still, ready, "nothing is written where nothing changed");

    // What is wrong is refused while somebody looks: this was applied before.
    assert_eq!(webhook.provost.stop().await?, 0);
    wait_for("the apiserver no longer asks", SOON, async || {
        apply(&cluster, &bad).await
    })
    .await?;
    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    let refused = becomes(&cluster, "mine", "False").await?;
    let why = "spec.rules[0].validate.mesage: unknown field \"mesage\" in validate; did you mean \"message\"? \
        (rule \"mine\" of ClusterPolicy mine)";
    assert_eq!(refused["message"], why);
    let args = ["get", "clusterpolicies"];
    let shown = cluster.kubectl(User::Admin, &args, "").await?.success()?;
    let columns: Vec<_> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(columns[0].get(4), Some(&"READY"), "{shown}");
    assert_eq!(columns[2][..4], ["mine", "false", "Enforce", "False"], "{shown}");

    apply(&cluster, &good).await?;
    becomes(&cluster, "mine", "True").await?;

    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/require-labels.yaml");
    apply(&cluster, &fs::read_to_string(ours)?).await?;
    let twice = becomes(&cluster, "require-labels", "False").await?;
    let message = twice["message"].as_str().unwrap();
    assert!(
        message.starts_with("ClusterPolicy require-labels is there twice; the first is "),
        "{message}"
    );
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

async fn ready_says(webhook: &Webhook, text: &str) -> anyhow::Result<()> {
    let client = webhook.client().await?;
    wait_for(&format!("/readyz says {text:?}"), SOON, async || {
        let ready = client.get("/readyz").await?.text();
        anyhow::ensure!(ready.contains(text), "{ready}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_s_policies_follow_its_files_and_stay_when_it_cannot_be_read() -> anyhow::Result<()> {
    let mut webhook = Webhook::start(&["--standalone"], seed).await?;
    let folder = webhook.folder.path().join("policies");
    let never = "      validate: {message: never, deny: {}}";
    ready_says(&webhook, "3 policies in force").await?;

    fs::create_dir(folder.join("more"))?;
    fs::write(folder.join("more/mine.yaml"), policy("mine", "", never))?;
    ready_says(&webhook, "4 policies in force").await?;

    fs::write(
        folder.join("more/mine.yaml"),
        policy("mine", "", "      validate: {mesage: never}"),
    )?;
    ready_says(&webhook, "mine.yaml:16:18: unknown field \"mesage\"").await?;

    fs::write(folder.join(".mine.yaml"), policy("mine", "", never))?;
    fs::rename(folder.join(".mine.yaml"), folder.join("more/mine.yaml"))?;
    ready_says(&webhook, "4 policies in force").await?;

    fs::remove_file(folder.join("more/mine.yaml"))?;
    ready_says(&webhook, "3 policies in force").await?;

    fs::rename(&folder, webhook.folder.path().join("elsewhere"))?;
    fs::write(
        webhook.folder.path().join("elsewhere/mine.yaml"),
        policy("mine", "", never),
    )?;
    webhook
        .provost
        .wait_for_line("those read before stay in force", SOON)
        .await?;
    ready_says(&webhook, "3 policies in force").await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_is_read_again_when_it_is_swapped() -> anyhow::Result<()> {
    let never = "      validate: {message: never, deny: {}}";
    // As the kubelet lays it out: each file a link through `..data`, which a rename turns to the new version.
    let version = |folder: &Path, name: &str, text: &str| -> anyhow::Result<()> {
        fs::create_dir(folder.join(name))?;
        fs::write(folder.join(name).join("mine.yaml"), text)?;
        symlink(name, folder.join("..data_tmp"))?;
        Ok(fs::rename(folder.join("..data_tmp"), folder.join("..data"))?)
    };
    let add = |folder: &Path| {
        version(folder, "..v1", &policy("mine", "", never))?;
        symlink("..data/mine.yaml", folder.join("mine.yaml")).context("linking the file")
    };
    let webhook = Webhook::start(&["--standalone"], add).await?;
    ready_says(&webhook, "1 policy in force").await?;
    let two = format!("{}{}", policy("mine", "", never), policy("second", "", never));
    version(&webhook.folder.path().join("policies"), "..v2", &two)?;
    ready_says(&webhook, "2 policies in force").await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
