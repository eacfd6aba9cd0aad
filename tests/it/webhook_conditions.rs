//! The `matchConditions` of policies, before a real cluster: whoever they leave out is not asked about, also while nobody
//! answers; and one that the apiserver does not understand keeps no other policy out.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use harness::{Cluster, User, wait_for};
use serde_json::Value;

use crate::support::webhook::{SOON, Webhook};

const POLICY: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: team}
spec:
  validationFailureAction: Enforce
  webhookConfiguration:
    matchConditions:
      - name: not-by-hand
        expression: request.userInfo.username != 'dana' // whom we trust
      - name: not-ours
        expression: \"!object.metadata.name.startsWith('our-')\"
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [ConfigMap], operations: [CREATE]}}]}
      validate: {message: A team is wanted, pattern: {metadata: {labels: {team: '?*'}}}}
";

async fn create(cluster: &Cluster, user: User, namespace: &str, name: &str) -> anyhow::Result<String> {
    let args = ["-n", namespace, "create", "configmap", name, "--dry-run=server"];
    let output = cluster.kubectl(user, &args, "").await?;
    Ok(if output.code == 0 {
        "let in".to_owned()
    } else {
        output.stderr
    })
}

/// What the apiserver was told to look at first, of policies' own.
async fn conditions(cluster: &Cluster) -> anyhow::Result<String> {
    let get = ["get", "validatingwebhookconfiguration", "provost", "-ojson"];
    let text = cluster.kubectl(User::Admin, &get, "").await?.success()?;
    let configuration: Value = serde_json::from_str(&text)?;
    Ok(configuration["webhooks"][0]["matchConditions"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_policys_conditions_leave_out_is_not_judged_also_while_nobody_answers() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let add = |folder: &Path| Ok(fs::write(folder.join("team.yaml"), POLICY)?);
    let mut webhook = Webhook::guarding(&cluster, &[], add).await?;
    let namespace = cluster.namespace("shop").await?;
    let asked = async |user, name: &str| create(&cluster, user, &namespace, name).await;
    wait_for("a ConfigMap is refused", SOON, async || {
        let said = asked(User::Admin, "bare").await?;
        ensure!(said.contains("A team is wanted"), "{said}");
        Ok(())
    })
    .await?;
    assert_eq!(asked(User::Admin, "our-settings").await?, "let in");
    assert_eq!(asked(User::Developer, "bare").await?, "let in");
    let told = conditions(&cluster).await?;
    assert!(told.contains("whom we trust"), "{told}");

    // One that this apiserver cannot compile: it asks without any, and Provost looks.
    let folder = webhook.folder.path().join("policies");
    let namespaced = POLICY
        .replace("name: team}", "name: other}")
        .replace(
            "\"!object.metadata.name.startsWith('our-')\"",
            "has(request.nothing) == false",
        )
        .replace("[ConfigMap]", "[Secret]");
    fs::write(folder.join("other.yaml"), namespaced)?;
    webhook
        .provost
        .wait_for_line("does not take the matchConditions of policies", SOON)
        .await?;
    wait_for("the apiserver asks about Secrets", SOON, async || {
        let args = [
            "-n",
            &namespace,
            "create",
            "secret",
            "generic",
            "bare",
            "--dry-run=server",
        ];
        let output = cluster.kubectl(User::Admin, &args, "").await?;
        ensure!(output.stderr.contains("A team is wanted"), "{output:?}");
        Ok(())
    })
    .await?;
    let told = conditions(&cluster).await?;
    assert!(!told.contains("whom we trust"), "{told}");
    assert_eq!(asked(User::Admin, "our-settings").await?, "let in");
    assert_eq!(asked(User::Developer, "bare").await?, "let in");
    fs::remove_file(folder.join("other.yaml"))?;
    wait_for("the conditions are passed on again", SOON, async || {
        let told = conditions(&cluster).await?;
        ensure!(told.contains("whom we trust"), "{told}");
        Ok(())
    })
    .await?;

    // An apiserver knows no namespace there: what asks for it is for Provost to look at, not an error.
    let by_namespace = POLICY
        .replace("name: team}", "name: named}")
        .replace(
            "\"!object.metadata.name.startsWith('our-')\"",
            "namespaceObject.metadata.name != 'never'",
        )
        .replace("[ConfigMap]", "[ServiceAccount]");
    fs::write(folder.join("named.yaml"), by_namespace)?;
    wait_for("the apiserver asks about ServiceAccounts", SOON, async || {
        let args = [
            "-n",
            &namespace,
            "create",
            "serviceaccount",
            "bare",
            "--dry-run=server",
        ];
        let output = cluster.kubectl(User::Admin, &args, "").await?;
        ensure!(output.stderr.contains("A team is wanted"), "{output:?}");
        Ok(())
    })
    .await?;
    let told = conditions(&cluster).await?;
    assert!(
        told.contains("whom we trust") && !told.contains("namespaceObject"),
        "{told}"
    );

    webhook.provost.signal("KILL")?;
    webhook.ended().await?;
    wait_for("an answer is missed", SOON, async || {
        let said = asked(User::Admin, "bare").await?;
        ensure!(said.contains("failed calling webhook"), "{said}");
        Ok(())
    })
    .await?;
    assert_eq!(asked(User::Admin, "our-settings").await?, "let in");
    assert_eq!(asked(User::Developer, "bare").await?, "let in");
    Ok(())
}
