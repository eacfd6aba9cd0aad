//! The global context: entries of a folder whose answers come from a listed server. Entries of a cluster that keep objects
//! are in `policies::rules_see_what_the_cluster_holds_now_and_what_they_cannot_read_is_an_error`.

use std::{fs, path::Path};

use harness::{Cluster, User, wait_for};
use serde_json::{Value, json};

use crate::support::{
    plain_http::{Server, ok},
    webhook::{SOON, Webhook},
};

/// Lets in who is on the list, which an entry of the global context keeps.
fn policies(server: &Server) -> String {
    format!(
        "\
apiVersion: kyverno.io/v2alpha1
kind: GlobalContextEntry
metadata: {{name: teams}}
spec:
  apiCall:
    service: {{url: 'http://{}/teams'}}
    refreshInterval: 1s
  projections: [{{name: names, jmesPath: 'teams[].name'}}]
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: known-teams}}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: known
      match: {{any: [{{resources: {{kinds: [ConfigMap]}}}}]}}
      context: [{{name: teams, globalReference: {{name: teams.names}}}}]
      validate:
        message: Nobody knows this team
        deny: {{conditions: {{any: [{{key: '{{{{ request.object.data.team }}}}', operator: AnyNotIn, value: '{{{{ teams }}}}'}}]}}}}
",
        server.address
    )
}

/// Why a ConfigMap of a team is refused; none where it is let in.
async fn refused(webhook: &Webhook, team: &str) -> anyhow::Result<Option<String>> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "operation": "CREATE",
            "namespace": "shop",
            "object": {"metadata": {"name": "a", "namespace": "shop"}, "data": {"team": team}},
        },
    });
    let answer = webhook
        .client()
        .await?
        .post("/validate", review.to_string())
        .await?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let response = &answer["response"];
    Ok((response["allowed"] == false).then(|| response["status"]["message"].to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_and_asked_for_again_at_its_interval() -> anyhow::Result<()> {
    let server = Server::answering(ok(r#"{"teams": [{"name": "red"}]}"#))?;
    let listed = format!("http://{}", server.address);
    let args = [
        "--standalone",
        "--policy-call-host",
        &listed,
        "--policy-call-allow-loopback",
    ];
    let text = policies(&server);
    let add = |folder: &Path| Ok(fs::write(folder.join("teams.yaml"), text)?);
    let mut webhook = Webhook::start(&args, add).await?;
    assert!(
        server.requests().is_empty(),
        "nothing is asked before a rule needs it"
    );

    assert_eq!(refused(&webhook, "red").await?, None);
    for _ in 0..20 {
        let why = refused(&webhook, "blue").await?.unwrap_or_default();
        assert!(why.contains("Nobody knows this team"), "{why}");
    }
    assert!(
        server.requests().len() < 20,
        "the answer is kept: {:?}",
        server.requests()
    );

    server.answer(ok(r#"{"teams": [{"name": "blue"}]}"#));
    wait_for("the new answer counts", SOON, async || {
        anyhow::ensure!(refused(&webhook, "blue").await?.is_none());
        Ok(())
    })
    .await?;

    server.answer("HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n".to_owned());
    wait_for("what cannot be read anew is an error", SOON, async || {
        let why = refused(&webhook, "blue").await?.unwrap_or_default();
        anyhow::ensure!(
            why.contains("GlobalContextEntry teams has no value: cannot call"),
            "{why}"
        );
        Ok(())
    })
    .await?;

    let folder = webhook.folder.path().join("policies");
    let text = fs::read_to_string(folder.join("teams.yaml"))?;
    let (_, without) = text.split_once("---").unwrap();
    fs::write(folder.join("teams.yaml"), without)?;
    wait_for("an entry that is gone is an error", SOON, async || {
        let why = refused(&webhook, "blue").await?.unwrap_or_default();
        anyhow::ensure!(why.contains("there is no GlobalContextEntry teams"), "{why}");
        Ok(())
    })
    .await?;
    fs::write(
        folder.join("teams.yaml"),
        text.replace("refreshInterval", "refreshIntervall"),
    )?;
    webhook
        .provost
        .wait_for_line(
            "unknown field \"refreshIntervall\" in apiCall; did you mean \"refreshInterval\"?",
            SOON,
        )
        .await?;
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}

/// Waits until the entry's Ready condition has a reason and a message that holds a text.
async fn told(cluster: &Cluster, reason: &str, text: &str) -> anyhow::Result<String> {
    wait_for(&format!("the entry is {reason}: {text}"), SOON, async || {
        let get = ["get", "globalcontextentry", "teams", "-ojson"];
        let entry: Value = serde_json::from_str(&cluster.kubectl(User::Admin, &get, "").await?.success()?)?;
        let ready = &entry["status"]["conditions"][0];
        let message = ready["message"].as_str().unwrap_or_default();
        anyhow::ensure!(
            ready["reason"] == reason && message.contains(text),
            "it is {ready}"
        );
        Ok(message.to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_condition_of_an_entry_tells_when_it_was_read_and_what_went_wrong_last() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let server = Server::answering(ok(r#"{"teams": [{"name": "red"}]}"#))?;
    let listed = format!("http://{}", server.address);
    let args = ["--policy-call-host", &listed, "--policy-call-allow-loopback"];
    let webhook = Webhook::guarding(&cluster, &args, |_| Ok(())).await?;
    let apply = ["apply", "-f", "-"];
    cluster
        .kubectl(User::Admin, &apply, &policies(&server))
        .await?
        .success()?;
    told(&cluster, "InForce", "kept once a rule reads it").await?;

    let team =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}, data: {team: blue}}";
    let dry_run = ["apply", "--dry-run=server", "-f", "-"];
    wait_for("a rule reads it", SOON, async || {
        let output = cluster.kubectl(User::Admin, &dry_run, team).await?;
        anyhow::ensure!(output.stderr.contains("Nobody knows this team"), "{output:?}");
        Ok(())
    })
    .await?;
    let read = told(&cluster, "InForce", "read at ").await?;
    assert!(!read.contains("could not"), "{read}");

    server.answer("HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n".to_owned());
    let failed = told(&cluster, "NotRead", "could not be read at ").await?;
    assert!(
        failed.contains("cannot call") && failed.contains("; it was read last at 2"),
        "{failed}"
    );

    server.answer(ok(r#"{"teams": [{"name": "blue"}]}"#));
    let again = told(&cluster, "InForce", "; it could not be read last at 2").await?;
    assert!(again.starts_with("read at "), "{again}");
    assert_eq!(webhook.provost.stop().await?, 0);
    Ok(())
}
