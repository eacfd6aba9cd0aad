//! `provost rollback`: the cluster goes back and stays there, because Git says so.

use std::path::PathBuf;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::agent::{Agent, CONFIG};

/// A bare repository that takes pushes, and an Application of it that was brought to a bad commit.
struct Fixture<'c> {
    agent: Agent<'c>,
    bare: PathBuf,
    good: String,
    bad: String,
}

impl<'c> Fixture<'c> {
    async fn start(cluster: &'c harness::Cluster, hint: &str) -> anyhow::Result<Self> {
        let mut agent = Agent::start(cluster, hint).await?;
        agent.commit(&[("app/config.yaml", CONFIG), ("other/file.txt", "1")])?;
        let good = agent.repository.head()?;
        let bare = agent.folder.path().join("company/infrastructure.git");
        std::fs::create_dir_all(bare.parent().unwrap())?;
        let url = bare.display().to_string();
        agent.repository.git(&["clone", "--quiet", "--bare", ".", &url])?;
        agent.repository.git(&["remote", "add", "origin", &url])?;
        agent
            .application("my-app", "app", json!({"source": {"repoURL": url}}))
            .await?;
        agent.wait_synced("my-app", &good).await?;
        agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "bad"))])?;
        let bad = agent.commit(&[("other/file.txt", "2")])?;
        agent.repository.git(&["push", "--quiet", "origin", "main"])?;
        agent.wait_synced("my-app", &bad).await?;
        Ok(Self {
            agent,
            bare,
            good,
            bad,
        })
    }

    async fn rollback(&self, more: &[&str]) -> anyhow::Result<String> {
        let namespace = self.agent.namespace.as_str();
        let first = [
            "rollback",
            "my-app",
            "-n",
            namespace,
            "--allow-local-repositories",
        ];
        let said = self.agent.provost(&[&first, more].concat()).await?;
        Ok(self
            .agent
            .shown(&said)
            .replace(&self.good[..7], "GOOD")
            .replace(&self.bad[..7], "BAD"))
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let folder = self.bare.display().to_string();
        let all = [&["--git-dir", folder.as_str()], arguments].concat();
        Ok(self.agent.repository.git(&all)?.trim().to_owned())
    }

    async fn wait_value(&self, value: &str) -> anyhow::Result<()> {
        self.agent
            .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == value)
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_rollback_brings_the_cluster_back_and_self_heal_keeps_it() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let fixture = Fixture::start(cluster, "back").await?;

    // Nobody there to ask: nothing is done.
    assert_snapshot!(fixture.rollback(&["--push"]).await?);
    assert_eq!(fixture.git(&["rev-parse", "main"])?, fixture.bad);

    let said = fixture
        .rollback(&["--push", "--yes", "--reason", "It loses orders."])
        .await?;
    let pushed = fixture.git(&["rev-parse", "main"])?;
    assert_snapshot!(said.replace(&pushed[..7], "PUSHED"));
    fixture.agent.wait_synced("my-app", &pushed).await?;
    fixture.wait_value("1").await?;

    // The folder is as it was, the rest is as it is, and the branch has moved forward.
    let tree = |revision: &str, path: &str| fixture.git(&["rev-parse", &format!("{revision}:{path}")]);
    assert_eq!(tree("main", "app")?, tree(&fixture.good, "app")?);
    assert_eq!(tree("main", "other")?, tree(&fixture.bad, "other")?);
    assert_eq!(fixture.git(&["rev-parse", "main~1"])?, fixture.bad);
    let message = fixture.git(&["log", "-1", "--format=%an <%ae>%n%B", "main"])?;
    let message = message
        .replace(&fixture.agent.namespace, "NAMESPACE")
        .replace(&fixture.good, "GOOD-ID")
        .replace(&fixture.bad, "BAD-ID")
        .replace(&fixture.good[..7], "GOOD");
    let taken_back = fixture.git(&["rev-parse", "main~2"])?;
    assert_snapshot!(message.replace(&taken_back[..7], "TAKEN"));

    // It stays, whoever edits by hand: Git says so.
    let change = json!({"data": {"A": "bad"}});
    fixture
        .agent
        .edit("v1", "ConfigMap", "my-app-env", "kubectl-edit", &change)
        .await?;
    fixture.wait_value("1").await?;
    assert_eq!(fixture.git(&["rev-parse", "main"])?, pushed);

    // Taken back already: the next one without --to goes back to the bad one, and to the same place there is no way.
    let again = fixture.rollback(&["--yes", "--to", &fixture.good]).await?;
    assert!(again.contains("there is nothing to take back"), "{again}");
    fixture.agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_goes_to_a_branch_of_its_own_or_into_the_application() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let fixture = Fixture::start(cluster, "branch").await?;

    let said = fixture
        .rollback(&["--branch", "rollback/my-app", "--yes"])
        .await?;
    let pushed = fixture.git(&["rev-parse", "rollback/my-app"])?;
    assert_snapshot!(said.replace(&pushed[..7], "PUSHED"));
    assert_eq!(fixture.git(&["rev-parse", "main"])?, fixture.bad, "main stays");
    let again = fixture
        .rollback(&["--branch", "rollback/my-app", "--yes"])
        .await?;
    assert!(again.contains("has a branch rollback/my-app already"), "{again}");

    fixture.git(&["tag", "v1.0.0", &fixture.good])?;
    assert_snapshot!(
        fixture
            .rollback(&["--set-revision", "--to", "v1.0.0", "--yes"])
            .await?
    );
    fixture.agent.wait_synced("my-app", &fixture.good).await?;
    fixture.wait_value("1").await?;
    let tagged = fixture.rollback(&["--push", "--to", "main", "--yes"]).await?;
    assert!(
        tagged.contains("follows \"v1.0.0\", which is no branch"),
        "{tagged}"
    );
    assert!(tagged.ends_with("exit code 2"), "{tagged}");
    fixture.agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_takes_no_push_is_left_as_it_is() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let fixture = Fixture::start(cluster, "refused").await?;
    // libgit2's own transport runs no hooks; a reference that cannot be written is refused by any.
    let lock = fixture.bare.join("refs/heads/main.lock");
    std::fs::create_dir_all(lock.parent().unwrap())?;
    std::fs::write(&lock, "")?;
    let refused = fixture.rollback(&["--yes"]).await?;
    assert!(
        refused.contains("does not take the commit on branch main"),
        "{refused}"
    );
    assert!(refused.ends_with("exit code 2"), "{refused}");
    std::fs::remove_file(lock)?;
    assert_eq!(fixture.git(&["rev-parse", "main"])?, fixture.bad);
    fixture.agent.stop().await
}
