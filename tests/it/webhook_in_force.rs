//! How soon a change of policies is in force at the apiserver, and who is told where it is not.

use std::time::{Duration, Instant};

use anyhow::ensure;
use harness::replicas::Replicas;
use harness::writers;
use harness::{Cluster, User, wait_for};
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::support::https::{self, whole};

const SOON: Duration = Duration::from_mins(1);
/// What is promised.
const IN_FORCE: Duration = Duration::from_secs(1);

/// A ConfigMap or Secret without a team: what the policy says of it is the question.
async fn verdict(client: &kube::Client, namespace: &str, kind: &str) -> anyhow::Result<Option<String>> {
    let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": "probe", "namespace": namespace},
    }))?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&dry_run, &object).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.message.contains("denied the request") => {
            Ok(Some(status.message))
        }
        Err(error) => Err(error.into()),
    }
}

/// How long it takes until the verdict is as `wanted`.
async fn until(
    client: &kube::Client,
    namespace: &str,
    kind: &str,
    wanted: impl Fn(Option<&str>) -> bool,
) -> anyhow::Result<Duration> {
    let changed = Instant::now();
    loop {
        let asked = changed.elapsed();
        let found = verdict(client, namespace, kind).await?;
        if wanted(found.as_deref()) {
            // What was asked later than this need not have been asked.
            return Ok(asked);
        }
        ensure!(asked < SOON, "after {asked:?} the verdict is still {found:?}");
    }
}

fn policy(kind: &str, message: &str) -> Value {
    let mut policy = writers::policy();
    policy["spec"]["rules"][0]["match"]["any"][0]["resources"]["kinds"] = json!([kind]);
    policy["spec"]["rules"][0]["validate"]["message"] = json!(message);
    policy
}

async fn delete(cluster: &Cluster) -> anyhow::Result<()> {
    let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "kyverno.io",
        "v1",
        "ClusterPolicy",
    ));
    let api: Api<DynamicObject> = Api::all_with(cluster.client(User::Admin).await?, &resource);
    api.delete("team-label", &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policies_is_in_force_within_a_second_or_its_condition_says_why_not() -> anyhow::Result<()>
{
    let cluster = harness::cluster_or_skip!(own);
    let mut replicas = Replicas::install(&cluster, &["--drain-delay=0s"]).await?;
    replicas.start().await?;
    let namespace = cluster.namespace("shop").await?;
    changes_are_in_force_within_a_second(&replicas, &namespace).await?;
    what_cannot_be_registered_is_not_called_ready(&mut replicas).await
}

/// A new kind, another message, another kind, and no policy at all; the first time is not measured.
async fn changes_are_in_force_within_a_second(
    replicas: &Replicas<'_>,
    namespace: &str,
) -> anyhow::Result<()> {
    let cluster = replicas.cluster();
    let client = cluster.client(User::Developer).await?;
    let says =
        |text: &'static str| move |found: Option<&str>| found.is_some_and(|found| found.contains(text));
    for round in 0..3 {
        let mut took = Vec::new();
        replicas.apply(&policy("ConfigMap", "A team is wanted")).await?;
        took.push(until(&client, namespace, "ConfigMap", says("A team is wanted")).await?);
        replicas.apply(&policy("ConfigMap", "Say whose it is")).await?;
        took.push(until(&client, namespace, "ConfigMap", says("Say whose it is")).await?);
        replicas.apply(&policy("Secret", "Say whose it is")).await?;
        took.push(until(&client, namespace, "Secret", says("Say whose it is")).await?);
        delete(cluster).await?;
        took.push(until(&client, namespace, "Secret", |found| found.is_none()).await?);
        assert!(
            round == 0 || took.iter().all(|took| *took < IN_FORCE),
            "created, changed, another kind, deleted: {took:?}"
        );
    }
    Ok(())
}

async fn what_cannot_be_registered_is_not_called_ready(replicas: &mut Replicas<'_>) -> anyhow::Result<()> {
    let cluster = replicas.cluster();
    replicas.apply(&policy("ConfigMap", "A team is wanted")).await?;
    condition(cluster, "True", "InForce", "in force").await?;

    let role: Value = serde_json::from_str(&get(cluster, "clusterrole/provost-webhook").await?)?;
    let mut less = role.clone();
    let rules = less["rules"].as_array_mut().into_iter();
    for rules in rules {
        rules.retain(|rule| rule["apiGroups"][0] != "admissionregistration.k8s.io");
    }
    replace(cluster, &less).await?;
    replicas.apply(&policy("Secret", "A team is wanted")).await?;
    condition(cluster, "False", "WebhookNotConfigured", "is forbidden").await?;
    let (address, authority) = (replicas.running()[0].address, replicas.authority().await?);
    let ready = https::http1(address, &authority, hyper::Method::GET, "/readyz", whole("")).await?;
    assert_eq!(ready.status, hyper::StatusCode::OK);
    assert!(
        ready
            .text()
            .contains("not registered: the apiserver could not be told to ask about it: cannot"),
        "{}",
        ready.text()
    );

    let mut again = role;
    again["metadata"]
        .as_object_mut()
        .into_iter()
        .for_each(|metadata| drop(metadata.remove("resourceVersion")));
    replace(cluster, &again).await?;
    condition(cluster, "True", "InForce", "in force").await
}

async fn get(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    cluster
        .kubectl(User::Admin, &["get", name, "-ojson"], "")
        .await?
        .success()
}

async fn replace(cluster: &Cluster, object: &Value) -> anyhow::Result<()> {
    let object = object.to_string();
    let replaced = cluster
        .kubectl(User::Admin, &["replace", "-f", "-"], &object)
        .await?;
    replaced.success().map(drop)
}

async fn condition(cluster: &Cluster, status: &str, reason: &str, message: &str) -> anyhow::Result<()> {
    wait_for("the Ready condition says it", SOON, async || {
        let policy: Value = serde_json::from_str(&get(cluster, "clusterpolicy/team-label").await?)?;
        let condition = &policy["status"]["conditions"][0];
        let text = |name: &str| condition[name].as_str().unwrap_or_default();
        ensure!(
            (text("status"), text("reason")) == (status, reason) && text("message").contains(message),
            "{condition}"
        );
        ensure!(
            condition["observedGeneration"] == policy["metadata"]["generation"],
            "of another generation"
        );
        Ok(())
    })
    .await
}
