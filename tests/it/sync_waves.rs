//! The agent against a real control plane: what has to wait for something else.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG};

/// Progressing until it has an address, which nobody here gives it by himself.
const WAITS: &str = r"
apiVersion: v1
kind: Service
metadata: {name: first, annotations: {argocd.argoproj.io/sync-wave: '-1'}}
spec: {type: LoadBalancer, selector: {app: first}, ports: [{port: 80}]}
";

impl Agent<'_> {
    /// Commits a Service that is not healthy, and a ConfigMap in a later wave, and waits until the sync waits.
    async fn wait_between_waves(&mut self) -> anyhow::Result<()> {
        self.commit(&[("app/first.yaml", WAITS), ("app/second.yaml", CONFIG)])?;
        self.application("my-app", "app", json!({})).await?;
        let status = self.wait_status("my-app", "a wait", is_waiting).await?;
        let message = status["operationState"]["message"].as_str().unwrap();
        let wanted = format!("waiting for Service {}/first (wave -1)", self.namespace);
        anyhow::ensure!(message.starts_with(&wanted), "{message}");
        anyhow::ensure!(self.is_absent("v1", "ConfigMap", "my-app-env").await?);
        Ok(())
    }

    /// Gives the Service of the first wave its address, as a cloud would.
    async fn give_address(&self) -> anyhow::Result<()> {
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        self.api("v1", "Service")
            .patch_status("first", &PatchParams::default(), &Patch::Merge(&status))
            .await?;
        Ok(())
    }
}

fn is_waiting(status: &Value) -> bool {
    status["operationState"]["phase"] == "Running"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_begins_once_the_one_before_is_healthy() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "waves").await?;
    agent.wait_between_waves().await?;
    // An agent that starts anew takes the sync up where it stood.
    agent.restart().await?;
    agent.wait_status("my-app", "a wait", is_waiting).await?;
    anyhow::ensure!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.give_address().await?;
    let status = agent
        .wait_status("my-app", "the end", |status| {
            status["operationState"]["phase"] == "Succeeded"
        })
        .await?;
    assert_eq!(status["sync"]["status"], "Synced", "{status:#}");
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    assert_eq!(inventory["spec"].get("sync"), None, "{inventory:#}");
    assert_eq!(agent.quiet_requests().await?, 0);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_commit_takes_the_place_of_one_that_waits() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "newer").await?;
    agent.wait_between_waves().await?;
    let service = WAITS.replace("type: LoadBalancer, ", "");
    let fixed = agent.commit(&[("app/first.yaml", &service)])?;
    agent.wait_synced("my-app", &fixed).await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_needs_another_of_its_wave_comes_after_it() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "needs").await?;
    let commit = agent.commit(&[
        (
            "app/a-pod.yaml",
            "{apiVersion: v1, kind: Pod, metadata: {name: worker}, spec: {serviceAccountName: worker, containers: [{name: main, image: registry.example.com/worker:v1}]}}",
        ),
        (
            "app/b-account.yaml",
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: worker}}",
        ),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    assert!(!agent.is_absent("v1", "Pod", "worker").await?);

    // What nobody brings is refused, by name, and nothing is written.
    let refused = "{apiVersion: v1, kind: Pod, metadata: {name: lost}, spec: {serviceAccountName: nobody, containers: [{name: main, image: registry.example.com/worker:v1}]}}";
    agent.commit(&[("app/lost.yaml", refused), ("app/config.yaml", CONFIG)])?;
    let status = agent
        .wait_status("my-app", "a refusal", |status| {
            status["operationState"]["phase"] == "Failed"
        })
        .await?;
    let message = status["operationState"]["message"].as_str().unwrap();
    assert!(message.contains("app/lost.yaml") && message.contains("nobody"), "{message}");
    agent.stop().await
}
