//! Syncs that somebody asks for by `operation`, against a real control plane.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, ROLE};

impl Agent<'_> {
    /// Asks for a sync, as the argocd command line does.
    async fn ask(&self, sync: Value) -> anyhow::Result<()> {
        let operation = json!({"operation": {"initiatedBy": {"username": "carol"}, "sync": sync}});
        self.api("argoproj.io/v1alpha1", "Application")
            .patch("my-app", &PatchParams::default(), &Patch::Merge(&operation))
            .await?;
        Ok(())
    }

    async fn wait_asked(&self, what: &str, message: &str) -> anyhow::Result<Value> {
        self.wait_status("my-app", what, |status| {
            let state = &status["operationState"];
            state["operation"]["initiatedBy"]["username"] == "carol"
                && state["phase"] == "Succeeded"
                && state["message"] == message
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_asks_for_is_done_once_and_no_more() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "asked").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG), ("app/role.yaml", ROLE)])?;
    let by_hand = json!({"syncPolicy": {"automated": null}});
    agent.application("my-app", "app", by_hand).await?;
    agent
        .wait_status("my-app", "a plan", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;

    // A dry run says what would change, and changes nothing.
    agent.ask(json!({"dryRun": true})).await?;
    agent
        .wait_asked("a dry run", "dry run: 2 objects would change")
        .await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);

    // One object of two: the other stays as it is, and no history is written.
    agent
        .ask(json!({"resources": [{"group": "", "kind": "ConfigMap", "name": "my-app-env"}]}))
        .await?;
    let status = agent
        .wait_asked("one object", "1 created, 0 changed, 0 deleted")
        .await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    let roles = "rbac.authorization.k8s.io/v1";
    assert!(agent.is_absent(roles, "Role", "reader").await?);
    assert_eq!(status.get("history"), None, "{status:#}");
    assert_eq!(status["sync"]["status"], "OutOfSync");

    agent.ask(json!({})).await?;
    agent.wait_synced("my-app", &first).await?;
    assert!(!agent.is_absent(roles, "Role", "reader").await?);
    let application = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;
    assert_eq!(application.get("operation"), None);
    assert_eq!(application["status"]["history"][0]["revision"], first);

    // A newer commit waits for the next one who asks; an older commit can be asked for.
    let second = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    agent
        .wait_status("my-app", "a newer plan", |status| {
            status["sync"]["status"] == "OutOfSync" && status["sync"]["revision"] == second
        })
        .await?;
    let live = async || agent.get("v1", "ConfigMap", "my-app-env").await;
    assert_eq!(live().await?["data"]["A"], "1");
    agent.ask(json!({"prune": true})).await?;
    agent.wait_synced("my-app", &second).await?;
    assert_eq!(live().await?["data"]["A"], "2");
    agent.ask(json!({"revision": first})).await?;
    agent
        .wait_status("my-app", "the older commit", |status| {
            let state = &status["operationState"];
            state["operation"]["sync"]["revision"] == first && state["phase"] == "Succeeded"
        })
        .await?;
    assert_eq!(live().await?["data"]["A"], "1");
    assert_eq!(agent.quiet_requests().await?, 0);

    // What is asked for and is not done is refused by name, once.
    agent.ask(json!({"manifests": ["{}"]})).await?;
    agent
        .wait_status("my-app", "a refusal", |status| {
            status["conditions"]
                .to_string()
                .contains("operation.sync.manifests is not supported")
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_is_not_there_fails_the_sync_and_leaves_what_is_there() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    // Nobody looks at the repository by himself while the test runs.
    let hour = std::time::Duration::from_secs(3_600);
    let mut agent = Agent::start_with(cluster, "unfound", |config| config.poll_interval = hour).await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
    let by_hand = json!({"syncPolicy": {"automated": null}});
    agent.application("my-app", "app", by_hand).await?;
    agent
        .wait_status("my-app", "a plan", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    agent.ask(json!({})).await?;
    agent.wait_synced("my-app", &first).await?;

    agent.ask(json!({"revision": "v9", "prune": true})).await?;
    let status = agent
        .wait_status("my-app", "a failed sync", |status| {
            status["operationState"]["phase"] == "Failed"
        })
        .await?;
    let state = &status["operationState"];
    assert_eq!(state["operation"]["sync"]["revision"], "v9", "{status:#}");
    assert!(state["message"].as_str().unwrap().contains("v9"), "{status:#}");
    assert!(!state["finishedAt"].is_null(), "{status:#}");
    // What was synced before is what counts, and nothing else is wrong.
    let status = agent.wait_synced("my-app", &first).await?;
    assert_eq!(status.get("conditions"), None, "{status:#}");
    assert_eq!(status["history"].as_array().map(Vec::len), Some(1), "{status:#}");
    let config = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(config["data"]["A"], "1");
    assert_eq!(agent.quiet_requests().await?, 0);

    // What was pushed just before is found, although no poll was due.
    let second = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    agent.ask(json!({"revision": second})).await?;
    agent
        .wait_status("my-app", "the pushed commit", |status| {
            let state = &status["operationState"];
            state["operation"]["sync"]["revision"] == second && state["phase"] == "Succeeded"
        })
        .await?;
    let config = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(config["data"]["A"], "2");

    // What is not understood fails too, so that nobody waits for it.
    agent.ask(json!({"manifests": ["{}"]})).await?;
    agent
        .wait_status("my-app", "a refused operation", |status| {
            let state = &status["operationState"];
            state["phase"] == "Failed" && state["message"].to_string().contains("operation.sync.manifests")
        })
        .await?;
    agent.stop().await
}
