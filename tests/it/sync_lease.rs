//! One agent at a time, against a real control plane.

use std::time::Duration;

use harness::wait_for;
use serde_json::json;

use crate::support::agent::{Agent, CONFIG, LIMIT};

impl Agent<'_> {
    /// Who holds the agents' lease.
    async fn lease_holder(&self) -> anyhow::Result<Option<String>> {
        let lease = self.get("coordination.k8s.io/v1", "Lease", "provost-agent").await?;
        Ok(lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_waits_and_takes_over_when_the_first_gives_the_lease_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut first = Agent::start(cluster, "lease").await?;
    let commit = first.commit(&[("app/config.yaml", CONFIG)])?;
    first.application("my-app", "app", json!({})).await?;
    first.wait_synced("my-app", &commit).await?;
    let holder = first.lease_holder().await?;
    assert!(holder.is_some());

    let mut second = first.second().await?;
    // Both would see this commit; only the holder writes.
    let another = second.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'2'"))])?;
    first.wait_synced("my-app", &another).await?;
    assert_eq!(second.lease_holder().await?, holder);
    assert_eq!(second.quiet_requests().await?, 0);

    let gone = std::time::Instant::now();
    first.end().await?;
    wait_for("the second agent to take over", LIMIT, async || {
        let now = second.lease_holder().await?;
        anyhow::ensure!(now.is_some() && now != holder, "held by {now:?}");
        Ok(())
    })
    .await?;
    // It was given back: nobody waited for it to expire.
    assert!(gone.elapsed() < Duration::from_secs(10), "{:?}", gone.elapsed());
    let last = second.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "'3'"))])?;
    second.wait_synced("my-app", &last).await?;
    second.stop().await
}
