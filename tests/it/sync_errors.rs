//! The agent against a real control plane: what it cannot do, and what it will not do.

use anyhow::Context as _;
use harness::wait_for;
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT, ROLE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_folder_deletes_nothing_until_somebody_approves() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "emptied").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG), ("app/README.md", "x")])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;
    std::fs::remove_file(agent.repository.path().join("app/config.yaml"))?;
    agent.commit(&[])?;
    let status = agent
        .wait_status("my-app", "a guard", |status| {
            status["conditions"]
                .to_string()
                .contains("provost.dev/approve-deletions=")
        })
        .await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    let message = status["conditions"][0]["message"].as_str().unwrap();
    let approval = message.rsplit_once("Application with ").unwrap().1;
    agent
        .kubectl(&["annotate", "application", "my-app", approval], "")
        .await?;
    wait_for("the object to go", LIMIT, async || {
        agent
            .is_absent("v1", "ConfigMap", "my-app-env")
            .await?
            .then_some(())
            .context("it is there")
    })
    .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_applications_do_not_take_an_object_from_each_other() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "shared").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("first", "app", json!({})).await?;
    agent.wait_synced("first", &commit).await?;
    agent.application("second", "app", json!({})).await?;
    let status = agent
        .wait_status("second", "a conflict", |status| {
            status["conditions"][0]["type"] == "SyncError"
        })
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("belongs to the Application {}/first", agent.namespace)),
        "{message}"
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_of_no_known_phase_is_refused_by_name() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "hooks").await?;
    let hook = CONFIG.replace(
        "name: my-app-env",
        "name: hook, annotations: {argocd.argoproj.io/hook: Presync}",
    );
    agent.commit(&[("app/config.yaml", CONFIG), ("app/hook.yaml", &hook)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent
        .wait_status("my-app", "a refusal", |status| {
            let message = status["conditions"][0]["message"].as_str().unwrap_or_default();
            message.contains("argocd.argoproj.io/hook: Presync is not known")
                && message.contains("app/hook.yaml:1")
        })
        .await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_leaves_the_last_good_state_running_and_is_said() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "errors").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG), ("app/role.yaml", ROLE)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &first).await?;

    let says = |status: &Value, kind: &str, text: &str| {
        let condition = &status["conditions"][0];
        condition["type"] == kind
            && condition["message"]
                .as_str()
                .is_some_and(|message| message.contains(text))
    };
    let unknown = |status: &Value, text: &str| {
        status["sync"]["status"] == "Unknown" && says(status, "ComparisonError", text)
    };

    // A file that is not YAML; a branch and a path that are not there; a repository that does not answer.
    agent.commit(&[(
        "app/config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n",
    )])?;
    agent
        .wait_status("my-app", "a parse error", |status| {
            unknown(status, "app/config.yaml:")
        })
        .await?;
    agent
        .application("my-app", "app", json!({"source": {"targetRevision": "release"}}))
        .await?;
    agent
        .wait_status("my-app", "a missing branch", |status| {
            unknown(status, "\"release\" is not a branch")
        })
        .await?;
    agent.application("my-app", "apps", json!({})).await?;
    agent
        .wait_status("my-app", "a missing path", |status| {
            unknown(status, "path \"apps\" does not exist")
        })
        .await?;
    let gone = agent.folder.path().join("gone");
    std::fs::rename(agent.repository.path(), &gone)?;
    agent
        .wait_status("my-app", "an unreachable repository", |status| {
            unknown(status, "cannot be fetched")
        })
        .await?;

    // All the while, what Git said last is kept up.
    for (version, kind, name) in [
        ("v1", "ConfigMap", "my-app-env"),
        ("rbac.authorization.k8s.io/v1", "Role", "reader"),
    ] {
        assert!(!agent.is_absent(version, kind, name).await?);
    }
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "2"}}),
        )
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;

    // Back again, all is well; an object that the apiserver refuses keeps the rest of its stage from being applied.
    std::fs::rename(&gone, agent.repository.path())?;
    let second = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &second).await?;
    let bad = "{apiVersion: v1, kind: Service, metadata: {name: my-app}, spec: {ports: [{port: 99999}]}}";
    let more = CONFIG.replace("my-app-env", "my-app-more");
    agent.commit(&[("app/service.yaml", bad), ("app/more.yaml", &more)])?;
    let status = agent
        .wait_status("my-app", "a refused object", |status| {
            says(status, "SyncError", "app/service.yaml")
        })
        .await?;
    assert_eq!(status["sync"]["status"], "OutOfSync");
    assert_eq!(status["operationState"]["phase"], "Failed");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-more").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_supported_is_refused_by_name() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "refused").await?;
    agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application(
            "my-app",
            "app",
            json!({"source": {"chart": "x"}, "destination": {"server": "https://other.example.com"}}),
        )
        .await?;
    let status = agent
        .wait_status("my-app", "a refusal", |status| {
            status["conditions"][0]["type"] == "InvalidSpecError"
        })
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.source.chart is not supported"),
        "{message}"
    );
    assert!(message.contains("spec.destination.server"), "{message}");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.stop().await
}
