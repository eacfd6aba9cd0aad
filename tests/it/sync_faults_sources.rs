//! Faults of what the agent reads, and of who may refuse what it writes: after each the cluster is as Git says, and
//! nothing was lost or deleted that should not be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use harness::{User, wait_for};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT};
use crate::support::process::rounds;
use crate::support::webhook::Webhook;

/// How many objects a sync has of which one is denied.
const OBJECTS: usize = 20;

/// Denies one ConfigMap of many by what it says: always, or only where it is meant.
const DENYING: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: one-of-many}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: always
      match: {any: [{resources: {kinds: [ConfigMap], names: [part-07]}}]}
      validate:
        message: Not this one
        deny: {conditions: {any: [{key: "{{request.object.data.A}}", operator: Equals, value: "denied-*"}]}}
    - name: when-meant
      match: {any: [{resources: {kinds: [ConfigMap], names: [part-07]}}]}
      preconditions: {all: [{key: "{{request.dryRun || `false`}}", operator: Equals, value: false}]}
      validate:
        message: Not when it is meant
        deny: {conditions: {any: [{key: "{{request.object.data.A}}", operator: Equals, value: "meant-*"}]}}
"#;

fn config_maps(value: &str) -> String {
    (0..OBJECTS).fold(String::new(), |mut text, number| {
        let _ = writeln!(
            text,
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: part-{number:02}}}, data: {{A: '{value}'}}}}"
        );
        text
    })
}

fn says(status: &Value, text: &str) -> bool {
    status["conditions"].to_string().contains(text)
}

impl Agent<'_> {
    /// The values of all ConfigMaps that have one.
    async fn values(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let parts = self.parts().await?.into_iter();
        Ok(parts.map(|(name, (_, value))| (name, value)).collect())
    }

    async fn edit_is_put_back(&self) -> anyhow::Result<()> {
        let edit = json!({"data": {"A": "by hand"}});
        let before = self.get("v1", "ConfigMap", "my-app-env").await?["data"].clone();
        self.edit("v1", "ConfigMap", "my-app-env", "kubectl-edit", &edit)
            .await?;
        self.wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"] == before)
            .await
    }
}

/// Takes the repository away, breaks what is in it, and rewrites its history, so many times.
async fn break_the_repository(times: usize) -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "broken").await?;
    agent
        .kubectl(
            &["apply", "--server-side", "-f", "-"],
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: stranger}, data: {A: stranger}}",
        )
        .await?;
    let mut good = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &good).await?;
    let before = agent.parts().await?;
    let away = agent.folder.path().join("away");
    for time in 0..times {
        let config = CONFIG.replace("'1'", &format!("'{time}'"));
        // It does not answer; what it said last is kept up.
        std::fs::rename(agent.repository.path(), &away)?;
        agent
            .wait_status("my-app", "an unreachable repository", |status| {
                says(status, "cannot be fetched")
            })
            .await?;
        agent.edit_is_put_back().await?;
        std::fs::rename(&away, agent.repository.path())?;

        // What it says cannot be read; the next commit puts it right.
        agent.commit(&[(
            "app/config.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n",
        )])?;
        agent
            .wait_status("my-app", "a parse error", |status| {
                says(status, "app/config.yaml:")
            })
            .await?;
        agent.edit_is_put_back().await?;
        let name = format!("forced-{time}");
        let forced =
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{A: '1'}}}}");
        let base = good;
        let commit = agent.commit(&[("app/config.yaml", &config), ("app/forced.yaml", &forced)])?;
        agent.wait_synced("my-app", &commit).await?;
        let names: Vec<_> = agent.values().await?.into_keys().collect();
        assert_eq!(names, [name.as_str(), "my-app-env", "stranger"], "time {time}");

        // Its history is another, and the one before is not even there any more.
        agent.repository.git(&["reset", "--quiet", "--hard", &base])?;
        let moved = CONFIG.replace("'1'", &format!("'moved {time}'"));
        good = agent.commit(&[("app/config.yaml", &moved)])?;
        agent
            .repository
            .git(&["reflog", "expire", "--expire=now", "--all"])?;
        agent.repository.git(&["gc", "--quiet", "--prune=now"])?;
        assert!(agent.repository.git(&["cat-file", "-e", &commit]).is_err());
        agent.wait_synced("my-app", &good).await?;
        let values = agent.values().await?;
        let expected = [
            ("my-app-env", format!("moved {time}")),
            ("stranger", "stranger".to_owned()),
        ];
        assert_eq!(
            values,
            expected.map(|(name, value)| (name.to_owned(), value)).into(),
            "time {time}"
        );
        let after = agent.parts().await?;
        for (name, (uid, _)) in &before {
            assert_eq!(&after[name].0, uid, "time {time}: {name} was made anew");
        }
    }
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_is_gone_wrong_or_rewritten_loses_nothing() -> anyhow::Result<()> {
    break_the_repository(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: make soak runs it"]
async fn soak_a_repository_that_is_gone_wrong_or_rewritten_loses_nothing() -> anyhow::Result<()> {
    break_the_repository(rounds()).await
}

/// Lets a webhook deny one object of many, so many times: in the dry-run, and only when it is written.
async fn deny_one_of_many(times: usize) -> anyhow::Result<()> {
    let cluster = Box::new(harness::cluster_or_skip!(own));
    let webhook = Webhook::guarding(&cluster, &["--ledger", "none"], |folder| {
        Ok(std::fs::write(folder.join("policy.yaml"), DENYING)?)
    })
    .await?;
    let mut agent = Agent::start(&cluster, "denied").await?;
    let denied = config_maps("denied-first");
    wait_for("the webhook to deny", LIMIT, async || {
        let answer = agent
            .kubectl(&["create", "--dry-run=server", "-f", "-"], &denied)
            .await;
        let error = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
        anyhow::ensure!(error.contains("Not this one"), "it says {error:?}");
        Ok(())
    })
    .await?;
    let mut good = agent.commit(&[("app/parts.yaml", &config_maps("0"))])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &good).await?;
    let before = agent.parts().await?;
    let mut last = "0".to_owned();
    let mut value = String::new();
    for time in 0..times {
        // A dry-run says so beforehand: nothing of the stage is written.
        agent.commit(&[("app/parts.yaml", &config_maps(&format!("denied-{time}")))])?;
        agent
            .wait_status("my-app", "a refused stage", |status| {
                says(status, "part-07") && says(status, "Not this one")
            })
            .await?;
        assert!(
            agent.values().await?.values().all(|now| *now == last),
            "time {time}"
        );
        // One that is only denied when it is written is the only one that is not; it is named.
        value = format!("meant-{time}");
        agent.commit(&[("app/parts.yaml", &config_maps(&value))])?;
        agent
            .wait_status("my-app", "a refused write", |status| {
                says(status, "Not when it is meant")
            })
            .await?;
        let values = agent.values().await?;
        assert_eq!(values["part-07"], last, "time {time}");
        assert_eq!(
            values.values().filter(|now| **now == value).count(),
            OBJECTS - 1,
            "time {time}"
        );
        last = format!("good-{time}");
        good = agent.commit(&[("app/parts.yaml", &config_maps(&last))])?;
        agent.wait_synced("my-app", &good).await?;
        assert!(
            agent.values().await?.values().all(|now| *now == last),
            "time {time}"
        );
    }
    // And once nobody denies it any more, what was denied comes by itself.
    value.push_str("-last");
    let meant = agent.commit(&[("app/parts.yaml", &config_maps(&value))])?;
    agent
        .wait_status("my-app", "a refused write", |status| {
            says(status, "Not when it is meant")
        })
        .await?;
    drop(webhook);
    cluster
        .kubectl(
            User::Admin,
            &["delete", "validatingwebhookconfigurations", "--all"],
            "",
        )
        .await?
        .success()?;
    agent.wait_synced("my-app", &meant).await?;
    assert!(agent.values().await?.values().all(|now| *now == value));
    let after = agent.parts().await?;
    for (name, (uid, _)) in &before {
        assert_eq!(&after[name].0, uid, "{name} was made anew");
    }
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_denies_one_object_of_many_keeps_nothing_else_back_for_long() -> anyhow::Result<()> {
    deny_one_of_many(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: make soak runs it"]
async fn soak_a_webhook_that_denies_one_object_of_many_keeps_nothing_else_back_for_long() -> anyhow::Result<()>
{
    deny_one_of_many(rounds()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_cannot_be_put_back_keeps_no_other_from_being_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "beside").await?;
    // What cannot change once it is made: an edit can still take it away and make another.
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: fixed}, type: example.com/first, stringData: {a: '1'}}";
    let commit = agent.commit(&[("app/config.yaml", CONFIG), ("app/secret.yaml", secret)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    let owned = agent.get("v1", "Secret", "fixed").await?["metadata"]["labels"].clone();
    let annotations = agent.get("v1", "Secret", "fixed").await?["metadata"]["annotations"].clone();
    // While the agent looks away, another of its name and owner, of a type that no update changes.
    let other = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "example.com/second",
        "metadata": {"name": "fixed", "labels": owned, "annotations": annotations},
    });
    agent.end().await?;
    agent
        .api("v1", "Secret")
        .delete("fixed", &DeleteParams::default())
        .await?;
    agent.kubectl(&["create", "-f", "-"], &other.to_string()).await?;
    agent.begin_again().await?;
    agent
        .wait_status("my-app", "a refusal", |status| says(status, "fixed"))
        .await?;
    agent.edit_is_put_back().await?;
    agent.stop().await
}
