//! What a commit costs those Applications that it does not touch, and how they say that they are at it.

use serde_json::json;

use crate::support::agent::{Agent, CONFIG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_elsewhere_writes_no_status_until_somebody_asks_or_there_is_more_to_say()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "elsewhere").await?;
    let other = |value: &str| CONFIG.replace("my-app-env", "other-env").replace("'1'", value);
    assert_ne!(other("a"), other("b"), "{CONFIG}");
    let first = agent.commit(&[("app/config.yaml", CONFIG), ("other/config.yaml", &other("a"))])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.application("other", "other", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;
    agent.wait_synced("other", &first).await?;
    agent.quiet_requests().await?;
    let application = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;

    let second = agent.commit(&[("other/config.yaml", &other("b"))])?;
    agent.wait_synced("other", &second).await?;
    assert_eq!(agent.quiet_requests().await?, 0);
    let untouched = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;
    assert_eq!(untouched, application, "somebody wrote to it");

    let namespace = agent.namespace.clone();
    let wait = ["app", "wait", "my-app", "-n", &namespace, "--revision", &second];
    let said = agent.provost(&wait).await?;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("my-app: Synced, Healthy at "), "{said:?}");
    agent.wait_synced("my-app", &second).await?;

    let third = agent.commit(&[("other/config.yaml", &other("c"))])?;
    agent.wait_synced("other", &third).await?;
    let heal_nothing = json!({"syncPolicy": {"automated": {"prune": true, "selfHeal": false}}});
    agent.application("my-app", "app", heal_nothing).await?;
    let by_hand = json!({"data": {"A": "by-hand"}});
    agent
        .edit("v1", "ConfigMap", "my-app-env", "kubectl-edit", &by_hand)
        .await?;
    let status = agent
        .wait_status("my-app", "what was edited", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    assert_eq!(status["sync"]["revision"], third, "{status:#}");
    agent.stop().await
}
