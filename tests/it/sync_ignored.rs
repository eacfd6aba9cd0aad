//! `ignoreDifferences`, against a real control plane.

use serde_json::json;

use crate::support::agent::{Agent, DEPLOYMENT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ignored_is_left_to_others_and_all_else_is_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "ignored").await?;
    let first = agent.commit(&[("app/deployment.yaml", DEPLOYMENT)])?;
    let ignoring = json!({
        "ignoreDifferences": [
            {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]},
            {"group": "*", "kind": "*", "managedFieldsManagers": ["tuner"]},
        ],
        "syncPolicy": {"syncOptions": ["RespectIgnoreDifferences=true"]},
    });
    agent.application("my-app", "app", ignoring).await?;
    agent.wait_synced("my-app", &first).await?;

    agent
        .edit("apps/v1", "Deployment", "my-app", "kubectl-scale", &json!({"spec": {"replicas": 5}}))
        .await?;
    let tuned = json!({"spec": {"template": {"metadata": {"annotations": {"tuned": "yes"}}}}});
    agent.edit("apps/v1", "Deployment", "my-app", "tuner", &tuned).await?;
    let edit = json!({"spec": {"template": {"metadata": {"annotations": {"by-hand": "yes"}}}}});
    agent.edit("apps/v1", "Deployment", "my-app", "kubectl-edit", &edit).await?;
    agent
        .wait_healed("apps/v1", "Deployment", "my-app", |live| {
            live["spec"]["template"]["metadata"]["annotations"].get("by-hand").is_none()
        })
        .await?;
    let live = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(live["spec"]["replicas"], 5);
    assert_eq!(live["spec"]["template"]["metadata"]["annotations"]["tuned"], "yes");

    // A commit that changes something else leaves them alone as well.
    let second = agent.commit(&[("app/deployment.yaml", &DEPLOYMENT.replace("v1.5.2", "v1.5.3"))])?;
    agent.wait_synced("my-app", &second).await?;
    let live = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(live["spec"]["replicas"], 5);
    assert_eq!(live["spec"]["template"]["metadata"]["annotations"]["tuned"], "yes");
    let image = &live["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "registry.example.com/my-app:v1.5.3");
    assert_eq!(agent.quiet_requests().await?, 0);
    agent.stop().await
}
