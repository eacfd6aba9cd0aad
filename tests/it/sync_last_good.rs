//! What Git said last is kept up while what it says now cannot be read, is refused, or is not carried out yet; against
//! a real control plane.

use anyhow::Context as _;
use harness::wait_for;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT};

fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  A: '{value}'\n")
}

/// Refused by the apiserver.
const REFUSED: &str =
    "{apiVersion: v1, kind: Service, metadata: {name: refused}, spec: {ports: [{port: 99999}]}}";
/// Progressing until somebody gives it an address.
const WAITS: &str = "{apiVersion: v1, kind: Service, metadata: {name: waits, annotations: {argocd.argoproj.io/sync-wave: '1'}}, spec: {type: LoadBalancer, selector: {app: a}, ports: [{port: 80}]}}";
/// A hook that fails at once: the apiserver makes it, and its Job may not start a single pod.
const FAILS: &str = "{apiVersion: batch/v1, kind: Job, metadata: {name: fails, annotations: {argocd.argoproj.io/hook: PreSync}}, spec: {activeDeadlineSeconds: 1, backoffLimit: 0, template: {spec: {restartPolicy: Never, nodeSelector: {nobody: has-this}, containers: [{name: main, image: registry.example.com/migrate:v1}]}}}}";

impl Agent<'_> {
    /// Somebody changes a ConfigMap by hand, and it is as Git said again.
    async fn change_and_see_put_back(&self, name: &str, value: &str, when: &str) -> anyhow::Result<()> {
        let by_hand = json!({"data": {"A": "by hand", "more": "by hand"}});
        self.edit("v1", "ConfigMap", name, "kubectl-edit", &by_hand)
            .await?;
        self.wait_value(name, value, when).await
    }

    async fn wait_value(&self, name: &str, value: &str, when: &str) -> anyhow::Result<()> {
        wait_for(&format!("{when}: {name} to be {value}"), LIMIT, async || {
            let live = self.get("v1", "ConfigMap", name).await?;
            anyhow::ensure!(live["data"] == json!({"A": value}), "it is {}", live["data"]);
            Ok(())
        })
        .await
    }

    async fn wait_condition(&self, kind: &str, text: &str) -> anyhow::Result<Value> {
        self.wait_status("my-app", &format!("{kind} with {text}"), |status| {
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let mut conditions = conditions.filter(|condition| condition["type"] == kind);
            conditions.any(|condition| {
                condition["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(text))
            })
        })
        .await
    }

    /// Three ConfigMaps: one that the next commit leaves as it is, one that it changes, one that it removes.
    async fn deploy_three(&mut self) -> anyhow::Result<String> {
        let files = ["same", "changed", "removed"];
        let texts = files.map(|name| (format!("app/{name}.yaml"), config(name, "first")));
        let texts: Vec<_> = texts
            .iter()
            .map(|(file, text)| (file.as_str(), text.as_str()))
            .collect();
        let commit = self.commit(&texts)?;
        self.application("my-app", "app", json!({})).await?;
        self.wait_synced("my-app", &commit).await?;
        Ok(commit)
    }

    /// The next commit, with one more file that keeps it from being carried out.
    fn commit_with(&mut self, file: &str, text: &str) -> anyhow::Result<String> {
        std::fs::remove_file(self.repository.path().join("app/removed.yaml"))?;
        self.commit(&[("app/changed.yaml", &config("changed", "second")), (file, text)])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_lost_a_line_removes_nothing_and_names_itself() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "spoilt").await?;
    let good = config("my-app-env", "1");
    let without = |lines: &[&str]| {
        let kept = good
            .lines()
            .filter(|line| !lines.iter().any(|gone| line.starts_with(gone)));
        kept.collect::<Vec<_>>().join("\n") + "\n"
    };
    let mut last = agent.commit(&[("app/config.yaml", &good), ("app/values.yaml", "replicas: 2\n")])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &last).await?;
    let place = "app/config.yaml:1";
    for (text, says) in [
        (without(&["apiVersion"]), place),
        (without(&["kind"]), place),
        (without(&["metadata", "  name"]), place),
        (without(&["  name"]), place),
        (without(&["apiVersion", "kind"]), place),
        (good.replace("data:", "data: {"), "app/config.yaml:"),
        (
            "version: https://git-lfs.github.com/spec/v1\noid: sha256:4d7a\nsize: 120\n".to_owned(),
            "stood in app/config.yaml",
        ),
        ("- just\n- a list\n".to_owned(), "stood in app/config.yaml"),
        ("just a text\n".to_owned(), "stood in app/config.yaml"),
    ] {
        agent.commit(&[("app/config.yaml", &text)])?;
        agent
            .wait_condition("ComparisonError", says)
            .await
            .context(text.clone())?;
        agent.change_and_see_put_back("my-app-env", "1", &text).await?;
        let status = agent.status("my-app").await?;
        assert_eq!(status["sync"]["revision"], last, "{status:#}");
        // In between all is well, so that the next error is its own.
        last = agent.commit(&[("app/config.yaml", &good)])?;
        agent.wait_synced("my-app", &last).await?;
    }
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_edits_are_put_back_while_a_new_commit_is_refused() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "refused").await?;
    agent.deploy_three().await?;
    agent.commit_with("app/refused.yaml", REFUSED)?;
    agent.wait_condition("SyncError", "app/refused.yaml").await?;
    for name in ["same", "changed", "removed"] {
        agent.change_and_see_put_back(name, "first", "refused").await?;
    }
    // A second one that is refused too does not make the first one good.
    let again = REFUSED.replace("name: refused", "name: again");
    agent.commit(&[
        ("app/changed.yaml", &config("changed", "third")),
        ("app/again.yaml", &again),
    ])?;
    agent.wait_condition("SyncError", "app/again.yaml").await?;
    for name in ["same", "changed", "removed"] {
        agent
            .change_and_see_put_back(name, "first", "refused again")
            .await?;
    }
    // Nor does an agent that remembers nothing of it.
    agent.restart().await?;
    agent.wait_condition("SyncError", "app/again.yaml").await?;
    for name in ["same", "changed", "removed"] {
        agent
            .change_and_see_put_back(name, "first", "refused after a restart")
            .await?;
    }
    for file in ["app/refused.yaml", "app/again.yaml"] {
        std::fs::remove_file(agent.repository.path().join(file))?;
    }
    let good = agent.commit(&[])?;
    agent.wait_synced("my-app", &good).await?;
    agent.wait_value("changed", "third", "good again").await?;
    assert!(agent.is_absent("v1", "ConfigMap", "removed").await?);
    agent
        .change_and_see_put_back("changed", "third", "good again")
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_edits_are_put_back_while_a_hook_fails() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "failing").await?;
    agent.deploy_three().await?;
    agent.commit_with("app/fails.yaml", FAILS)?;
    agent.wait_condition("SyncError", "fails").await?;
    for name in ["same", "changed", "removed"] {
        agent.change_and_see_put_back(name, "first", "failing").await?;
    }
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_edits_are_put_back_while_a_later_wave_waits() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "waiting").await?;
    agent.deploy_three().await?;
    let waits = agent.commit_with("app/waits.yaml", WAITS)?;
    agent
        .wait_status("my-app", "a wait", |status| {
            status["operationState"]["phase"] == "Running"
        })
        .await?;
    agent.change_and_see_put_back("same", "first", "waiting").await?;
    agent
        .change_and_see_put_back("changed", "second", "waiting")
        .await?;
    agent
        .change_and_see_put_back("removed", "first", "waiting")
        .await?;
    let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    agent
        .api("v1", "Service")
        .patch_status("waits", &PatchParams::default(), &Patch::Merge(&address))
        .await?;
    agent.wait_synced("my-app", &waits).await?;
    agent.wait_value("changed", "second", "done").await?;
    assert!(agent.is_absent("v1", "ConfigMap", "removed").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_anew_keeps_up_what_git_said_last() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "anew").await?;
    let first = agent.deploy_three().await?;
    agent.commit(&[(
        "app/changed.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n",
    )])?;
    agent
        .wait_condition("ComparisonError", "app/changed.yaml")
        .await?;
    agent.restart().await?;
    agent
        .wait_condition("ComparisonError", "app/changed.yaml")
        .await?;
    for name in ["same", "changed", "removed"] {
        agent.change_and_see_put_back(name, "first", "anew").await?;
    }
    let status = agent.status("my-app").await?;
    assert_eq!(status["sync"]["revision"], first, "{status:#}");
    let good = agent.commit(&[("app/changed.yaml", &config("changed", "second"))])?;
    agent.wait_synced("my-app", &good).await?;
    agent.wait_value("changed", "second", "good again").await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_aside_is_one_file_less_and_no_object_less() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "aside").await?;
    let first = agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("app/more.yaml", &config("more", "1")),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;
    // On purpose: by the comment, and by deleting the file.
    let skipped = format!("# +argocd:skip-file-rendering\n{}", config("more", "1"));
    let second = agent.commit(&[("app/more.yaml", &skipped)])?;
    agent.wait_synced("my-app", &second).await?;
    assert!(agent.is_absent("v1", "ConfigMap", "more").await?);
    agent.stop().await
}
