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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_sources_one_is_compared_and_goes_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "several").await?;
    let other = CONFIG.replace("my-app-env", "other-env");
    let good = agent.commit(&[("app/config.yaml", CONFIG), ("other/config.yaml", &other)])?;
    let bare = agent.folder.path().join("company/infrastructure.git");
    std::fs::create_dir_all(bare.parent().unwrap())?;
    let url = bare.display().to_string();
    agent.repository.git(&["clone", "--quiet", "--bare", ".", &url])?;
    agent.repository.git(&["remote", "add", "origin", &url])?;
    let sources = json!([
        {"repoURL": url, "path": "app", "targetRevision": "main"},
        {"repoURL": url, "path": "other", "targetRevision": "main", "name": "other"},
    ]);
    let several = json!({"source": null, "sources": sources});
    agent.application("my-app", "app", several).await?;
    let status = agent.wait_synced("my-app", &good).await?;
    assert_eq!(status["sync"]["comparedTo"]["sources"], sources, "{status:#}");
    assert_eq!(status["sync"]["revisions"], json!([good, good]), "{status:#}");
    assert_eq!(
        status["history"][0]["revisions"],
        json!([good, good]),
        "{status:#}"
    );

    let bad = agent.commit(&[
        ("app/config.yaml", &CONFIG.replace("'1'", "'2'")),
        ("other/config.yaml", &other.replace("'1'", "bad")),
    ])?;
    agent.repository.git(&["push", "--quiet", "origin", "main"])?;
    agent.wait_synced("my-app", &bad).await?;
    let namespace = agent.namespace.clone();
    let run = async |command: &str, more: &[&str]| {
        let first = [command, "my-app", "-n", &namespace, "--allow-local-repositories"];
        agent.provost(&[&first, more].concat()).await
    };
    let same = run("diff", &[]).await?;
    assert_eq!(same.code, 0, "{same:?}");
    let unsaid = run("diff", &["--revision", &good]).await?;
    assert_eq!(unsaid.code, 2, "{unsaid:?}");
    assert!(
        unsaid.stderr.contains("say which one with --source: 1 (app in "),
        "{unsaid:?}"
    );
    let one = run("diff", &["--revision", &good, "--source", "other", "-o", "plan"]).await?;
    assert_eq!(one.code, 1, "{one:?}");
    assert!(one.stdout.contains("other-env"), "{one:?}");
    assert!(!one.stdout.contains("my-app-env"), "{one:?}");

    let back = run("rollback", &["--set-revision", "--source", "2", "--yes"]).await?;
    assert_eq!(back.code, 0, "{back:?}");
    assert!(
        back.stdout
            .contains(&format!("spec.sources[1].targetRevision: main → {good}")),
        "{back:?}"
    );
    agent
        .wait_healed("v1", "ConfigMap", "other-env", |live| live["data"]["A"] == "1")
        .await?;
    let application = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;
    assert_eq!(application["spec"]["sources"][0], sources[0]);
    assert_eq!(application["spec"]["sources"][1]["targetRevision"], good);
    let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(live["data"]["A"], "2", "the other source stays");

    let pushed = run("rollback", &["--push", "--source", "1", "--yes"]).await?;
    assert_eq!(pushed.code, 0, "{pushed:?}");
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;
    agent.stop().await
}
