//! The webhook for policies themselves, and what brings policies into force without a restart.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use harness::{Cluster, Output, User, wait_for};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use serde_json::Value;

use crate::support::webhook::{SOON, Webhook, seed};

const RIGHT: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: mine
spec:
  validationFailureAction: Enforce
  rules:
    - name: coloured
      match:
        any:
          - resources:
              kinds: [ConfigMap]
              names: ['mine-*']
      validate:
        message: Say its colour
        pattern:
          data:
            colour: '?*'
";

/// What the author meant as `pattern`.
fn wrong() -> String {
    RIGHT.replace("pattern:", "patern:")
}

async fn kubectl(cluster: &Cluster, args: &[&str], stdin: &str) -> anyhow::Result<Output> {
    cluster.kubectl(User::Admin, args, stdin).await
}

async fn apply(cluster: &Cluster, manifest: &str) -> anyhow::Result<Output> {
    kubectl(cluster, &["apply", "-f", "-"], manifest).await
}

/// Waits until the apiserver asks about policies.
async fn refused_soon(cluster: &Cluster) -> anyhow::Result<Output> {
    wait_for("a wrong policy is refused", SOON, async || {
        let probe = wrong().replace("name: mine", "name: probe");
        let output = kubectl(cluster, &["apply", "--dry-run=server", "-f", "-"], &probe).await?;
        anyhow::ensure!(output.code != 0, "{output:?}");
        Ok(output)
    })
    .await
}

/// A policy as it is live.
async fn live(cluster: &Cluster, name: &str) -> anyhow::Result<Value> {
    let output = kubectl(cluster, &["get", "clusterpolicy", name, "-o", "json"], "").await?;
    Ok(serde_json::from_str(&output.success()?)?)
}

/// Waits until a policy's Ready condition has a reason, and returns its message.
async fn reason(cluster: &Cluster, name: &str, reason: &str) -> anyhow::Result<String> {
    wait_for(&format!("{name} is {reason}"), SOON, async || {
        let policy = live(cluster, name).await?;
        let ready = &policy["status"]["conditions"][0];
        anyhow::ensure!(ready["reason"] == reason, "{policy:#}");
        Ok(ready["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_policy_is_refused_when_it_is_applied_and_one_that_is_there_can_be_repaired()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    // Before anybody asks: the definitions are there, and a wrong policy with a finalizer.
    let first = Webhook::guarding(&cluster, &[], seed).await?;
    assert_eq!(first.provost.stop().await?, 0);
    let finalized = wrong().replace(
        "  name: mine\n",
        "  name: mine\n  finalizers: [example.com/kept]\n",
    );
    wait_for("the apiserver no longer asks", SOON, async || {
        apply(&cluster, &finalized).await?.success()
    })
    .await?;

    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    let output = refused_soon(&cluster).await?;
    insta::assert_snapshot!(output.stderr.trim_end());

    // What is wrong already stays manageable: labels, annotations and deletion are nobody's mistake.
    for change in [
        &["label", "clusterpolicy", "mine", "team=a"][..],
        &["annotate", "clusterpolicy", "mine", "example.com/note=b"],
        &["delete", "clusterpolicy", "mine", "--wait=false"],
    ] {
        kubectl(&cluster, change, "")
            .await?
            .success()
            .with_context(|| format!("{change:?}"))?;
    }
    let patch = ["patch", "clusterpolicy", "mine", "--type=json"];
    let another = [
        &patch[..],
        &[
            "--patch",
            r#"[{"op": "add", "path": "/spec/background", "value": false}]"#,
        ],
    ]
    .concat();
    let denied = kubectl(&cluster, &another, "").await?;
    assert!(
        denied
            .stderr
            .contains("ClusterPolicy mine is refused: 1 mistake."),
        "{}",
        denied.stderr
    );
    let freed = [
        &patch[..],
        &["--patch", r#"[{"op": "remove", "path": "/metadata/finalizers"}]"#],
    ]
    .concat();
    kubectl(&cluster, &freed, "").await?.success()?;
    assert!(live(&cluster, "mine").await.is_err(), "it is gone");

    let applied = apply(&cluster, RIGHT).await?;
    assert_eq!(applied.stderr, "", "nothing is to be said of a right policy");
    applied.success()?;
    reason(&cluster, "mine", "InForce").await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_provost_does_not_do_is_let_in_with_a_warning_and_is_not_ready() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    refused_soon(&cluster).await?;
    let mutating = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: label-all}
spec:
  rules:
    - name: label
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      mutate: {patchStrategicMerge: {metadata: {labels: {team: a}}}}
";
    let output = apply(&cluster, mutating).await?;
    let warning = "Warning: ClusterPolicy label-all is not in force: spec.rules[0].mutate: mutate is not supported: \
        Provost judges objects and does not change them (rule \"label\" of ClusterPolicy label-all)";
    assert_eq!(output.stderr.trim_end(), warning);
    output.success()?;
    let message = reason(&cluster, "label-all", "Unsupported").await?;
    assert!(message.contains("mutate is not supported"), "{message}");

    let exception = "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: web, namespace: default}
spec:
  exceptions: [{policyName: mine, ruleNames: [coloured]}]
  match: {any: [{resources: {kinds: [ConfigMap]}}]}
";
    let output = apply(&cluster, exception).await?;
    let warning =
        "Warning: PolicyException default/web does not count: that needs --exception-namespace default";
    assert_eq!(output.stderr.trim_end(), warning);
    output.success()?;
    wait_for("the exception says that it does not count", SOON, async || {
        let get = ["-n", "default", "get", "policyexception", "web", "-o", "json"];
        let live: Value = serde_json::from_str(&kubectl(&cluster, &get, "").await?.success()?)?;
        let ready = &live["status"]["conditions"][0];
        anyhow::ensure!(
            ready["reason"] == "NotCounted" && ready["status"] == "False",
            "{live:#}"
        );
        Ok(())
    })
    .await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_the_apiserver_cannot_be_told_of_is_not_ready_until_it_is() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    refused_soon(&cluster).await?;
    apply(&cluster, RIGHT).await?.success()?;
    reason(&cluster, "mine", "InForce").await?;

    // A Provost in the cluster takes the configuration over: no workstation writes it then.
    let annotate = ["annotate", "validatingwebhookconfiguration", "provost"];
    let taken = [&annotate[..], &["provost.dev/service=provost/provost"]].concat();
    kubectl(&cluster, &taken, "").await?.success()?;
    apply(&cluster, &RIGHT.replace("Say its colour", "Say its colour again"))
        .await?
        .success()?;
    let why = reason(&cluster, "mine", "WebhookNotConfigured").await?;
    assert!(why.contains("points to Service provost/provost"), "{why}");

    let given_back = [&annotate[..], &["provost.dev/service-"]].concat();
    kubectl(&cluster, &given_back, "").await?.success()?;
    apply(&cluster, RIGHT).await?.success()?;
    reason(&cluster, "mine", "InForce").await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_defined_later_are_watched_and_judged_without_a_restart() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let webhook = Webhook::guarding(&cluster, &[], |folder| {
        Ok(fs::write(
            folder.join("widgets.yaml"),
            RIGHT
                .replace("name: mine", "name: widgets")
                .replace("[ConfigMap]", "[Widget]")
                .replace(
                    "          data:\n            colour",
                    "          spec:\n            colour",
                ),
        )?)
    })
    .await?;
    refused_soon(&cluster).await?;

    // The kinds of policies go, and come back.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let definition = fs::read_to_string(root.join("deploy/crds/kyverno-clusterpolicy.yaml"))?;
    kubectl(&cluster, &["delete", "crd", "clusterpolicies.kyverno.io"], "")
        .await?
        .success()?;
    wait_for("the definition is back", SOON, async || {
        apply(&cluster, &definition).await?.success()
    })
    .await?;
    wait_for("its kind is served", SOON, async || {
        apply(&cluster, RIGHT).await?.success()
    })
    .await?;
    reason(&cluster, "mine", "InForce").await?;
    let bare = [
        "-n",
        "default",
        "create",
        "configmap",
        "mine-1",
        "--dry-run=server",
    ];
    wait_for("its rules judge", SOON, async || {
        let output = kubectl(&cluster, &bare, "").await?;
        anyhow::ensure!(output.stderr.contains("Say its colour"), "{output:?}");
        Ok(())
    })
    .await?;

    // A kind that a policy names is defined after the policy came into force.
    let widgets = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
    apply(&cluster, widgets).await?.success()?;
    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: mine-1, namespace: default}}";
    wait_for("a Widget is judged", SOON, async || {
        let output = kubectl(&cluster, &["apply", "--dry-run=server", "-f", "-"], widget).await?;
        anyhow::ensure!(output.stderr.contains("Say its colour"), "{output:?}");
        Ok(())
    })
    .await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_a_policy_that_is_out_once() -> anyhow::Result<()> {
    let mut webhook = Webhook::start(&["--standalone"], |folder| {
        Ok(fs::write(folder.join("wrong.yaml"), wrong())?)
    })
    .await?;
    let policies = webhook.folder.path().join("policies");
    for name in ["one", "two", "three"] {
        fs::write(
            policies.join(format!("{name}.yaml")),
            RIGHT.replace("name: mine", &format!("name: {name}")),
        )?;
        webhook
            .provost
            .wait_for_line(&format!("\"{name}\""), SOON)
            .await?;
    }
    let log = webhook.provost.log();
    let told = log.matches("A policy is out").count();
    assert_eq!(told, 1, "{log}");
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// How long a change may take until it is in force, on a machine that is busy with other things. It takes well under a
/// second on one that is not.
const IN_FORCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_is_in_force_at_once() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let webhook = Webhook::guarding(&cluster, &[], seed).await?;
    let client = cluster.client(User::Admin).await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let mut object = ConfigMap::default();
    object.metadata.name = Some("mine-1".to_owned());
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut slowest = Duration::ZERO;
    for message in ["Say its colour", "Say which colour", "Colours, please"] {
        apply(&cluster, &RIGHT.replace("Say its colour", message))
            .await?
            .success()?;
        let applied = Instant::now();
        wait_for("the change is in force", SOON, async || {
            let refused = config_maps.create(&dry_run, &object).await;
            let refused = refused.err().context("it is let in")?.to_string();
            anyhow::ensure!(refused.contains(message), "{refused}");
            Ok(())
        })
        .await?;
        slowest = slowest.max(applied.elapsed());
    }
    assert!(slowest < IN_FORCE, "{slowest:?}");
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
