//! The agent against a real control plane: what somebody changes by hand.

use anyhow::Context as _;
use harness::wait_for;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT, ROLE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_somebody_edits_by_hand_is_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "healed").await?;
    let commit = agent.sync_my_app().await?;

    let deployment = |object: &Value, pointer: &str| object.pointer(pointer).cloned().unwrap_or(Value::Null);
    agent
        .kubectl(&["scale", "deployment/my-app", "--replicas=5"], "")
        .await?;
    agent
        .wait_healed("apps/v1", "Deployment", "my-app", |live| {
            live["spec"]["replicas"] == 2
        })
        .await?;

    // Under kubectl's name, another's, and our own.
    for manager in ["kubectl-edit", "somebody", "provost"] {
        let edit = json!({"spec": {"template": {"spec": {"hostNetwork": true, "containers": [
            {"name": "miner", "image": "registry.example.com/miner:v1", "securityContext": {"privileged": true}}]}}}});
        agent
            .edit("apps/v1", "Deployment", "my-app", manager, &edit)
            .await?;
        agent
            .wait_healed("apps/v1", "Deployment", "my-app", |live| {
                let containers = deployment(live, "/spec/template/spec/containers");
                deployment(live, "/spec/template/spec/hostNetwork").is_null()
                    && containers.as_array().map(Vec::len) == Some(1)
            })
            .await?;
        let label = json!({"metadata": {"labels": {"added": "by-hand"}}});
        agent
            .edit("apps/v1", "Deployment", "my-app", manager, &label)
            .await?;
        agent
            .wait_healed("apps/v1", "Deployment", "my-app", |live| {
                live["metadata"]["labels"].get("added").is_none()
            })
            .await?;
        let rules = json!([{"op": "add", "path": "/rules/-", "value": {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}}]);
        agent
            .json_edit("rbac.authorization.k8s.io/v1", "Role", "reader", manager, rules)
            .await?;
        agent
            .wait_healed("rbac.authorization.k8s.io/v1", "Role", "reader", |live| {
                live["rules"].as_array().map(Vec::len) == Some(1)
            })
            .await?;
        let data = json!({"data": {"B": "2"}});
        agent
            .edit("v1", "ConfigMap", "my-app-env", manager, &data)
            .await?;
        agent
            .wait_healed("v1", "ConfigMap", "my-app-env", |live| {
                live["data"] == json!({"A": "1"})
            })
            .await?;
    }
    agent
        .api("v1", "ConfigMap")
        .delete("my-app-env", &DeleteParams::default())
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| {
            live["data"] == json!({"A": "1"})
        })
        .await?;
    agent.wait_synced("my-app", &commit).await?;

    // And now that all is well, nothing is asked any more.
    let quiet = agent.quiet_requests().await?;
    assert_eq!(quiet, 0, "a pass without changes makes requests");
    let ledger = agent.ledger_text()?;
    for recorded in [
        r#""fields":["spec.replicas"],"managers":["kubectl"]"#,
        r#""fields":["data.B"],"managers":["somebody"]"#,
    ] {
        assert!(ledger.contains(recorded), "{recorded} is not in {ledger}");
    }
    assert!(
        ledger.contains("spec.template.spec.hostNetwork") && ledger.contains(r#""resolution":"put back""#),
        "{ledger}"
    );
    assert!(!ledger.contains("miner"), "values are not recorded: {ledger}");
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_again_writes_nothing_where_all_is_well() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "restarted").await?;
    agent.sync_my_app().await?;
    agent.quiet_requests().await?;
    let versions = async |agent: &Agent<'_>| -> anyhow::Result<Vec<Value>> {
        let mut versions = Vec::new();
        for (version, kind, name) in [
            ("v1", "ConfigMap", "my-app-env"),
            ("rbac.authorization.k8s.io/v1", "Role", "reader"),
            ("apps/v1", "Deployment", "my-app"),
            ("provost.dev/v1alpha1", "Inventory", "my-app-0"),
            ("argoproj.io/v1alpha1", "Application", "my-app"),
        ] {
            versions.push(agent.get(version, kind, name).await?["metadata"]["resourceVersion"].clone());
        }
        Ok(versions)
    };
    let before = versions(&agent).await?;
    agent.restart().await?;
    agent.quiet_requests().await?;
    assert_eq!(versions(&agent).await?, before);
    // It knows what it owns: what goes from Git meanwhile goes from the cluster.
    std::fs::remove_file(agent.repository.path().join("app/role.yaml"))?;
    agent.restart().await?;
    let commit = agent.commit(&[])?;
    agent.wait_synced("my-app", &commit).await?;
    assert!(
        agent
            .is_absent("rbac.authorization.k8s.io/v1", "Role", "reader")
            .await?
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_self_heal_drift_is_only_said() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "said").await?;
    let first = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application(
            "my-app",
            "app",
            json!({"syncPolicy": {"automated": {"selfHeal": false, "prune": false}}}),
        )
        .await?;
    agent.wait_synced("my-app", &first).await?;
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
        .wait_status("my-app", "out of sync", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    assert_eq!(
        agent.get("v1", "ConfigMap", "my-app-env").await?["data"]["A"],
        "2"
    );

    // Once it may, it is put back at once.
    agent
        .application(
            "my-app",
            "app",
            json!({"syncPolicy": {"automated": {"prune": false}}}),
        )
        .await?;
    agent
        .wait_healed("v1", "ConfigMap", "my-app-env", |live| live["data"]["A"] == "1")
        .await?;

    // Something new from Git is brought in all the same; what Git no longer has stays, since prune is off.
    let second = agent.commit(&[("app/role.yaml", ROLE)])?;
    wait_for("the role", LIMIT, async || {
        agent.get("rbac.authorization.k8s.io/v1", "Role", "reader").await
    })
    .await?;
    std::fs::remove_file(agent.repository.path().join("app/role.yaml"))?;
    let third = agent.commit(&[])?;
    assert_ne!(second, third);
    let status = agent
        .wait_status("my-app", "a role to prune", |status| {
            status["sync"]["revision"] == third && status["resources"].to_string().contains("requiresPruning")
        })
        .await?;
    assert_eq!(status["sync"]["status"], "OutOfSync");
    assert!(
        !agent
            .is_absent("rbac.authorization.k8s.io/v1", "Role", "reader")
            .await?
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_automated_nothing_is_written() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "manual").await?;
    agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application("my-app", "app", json!({"syncPolicy": null}))
        .await?;
    let status = agent
        .wait_status("my-app", "out of sync", |status| {
            status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    assert_eq!(status["health"]["status"], "Missing");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    assert!(
        agent
            .is_absent("provost.dev/v1alpha1", "Inventory", "my-app-0")
            .await?
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fight_with_another_controller_is_said_and_left_alone() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "fight").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    let status = wait_for("the fight to be said", LIMIT, async || {
        let change = json!({"data": {"A": "theirs"}});
        agent
            .edit("v1", "ConfigMap", "my-app-env", "their-controller", &change)
            .await?;
        let status = agent.status("my-app").await?;
        let said = status["conditions"].to_string().contains("again and again");
        said.then_some(status).context("it is not said yet")
    })
    .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!(
            "ConfigMap {}/my-app-env is changed again and again by their-controller",
            agent.namespace
        )),
        "{message}"
    );
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "their-controller",
            &json!({"data": {"A": "last"}}),
        )
        .await?;
    assert_eq!(
        agent.quiet_requests().await?,
        0,
        "a fight that was given up makes requests"
    );
    assert_eq!(
        agent.get("v1", "ConfigMap", "my-app-env").await?["data"]["A"],
        "last"
    );
    agent.stop().await
}

/// Never healthy by itself, so that a status waits a moment for what its controller says.
const WAITS: &str = "{apiVersion: v1, kind: Service, metadata: {name: waits}, spec: {type: LoadBalancer, selector: {app: a}, ports: [{port: 80}]}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_in_the_moment_after_a_sync_is_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "moment").await?;
    agent.commit(&[("app/waits.yaml", WAITS), ("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    for round in 0..5 {
        let value = round.to_string();
        agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", &format!("'{value}'")))])?;
        let is_so = async || {
            let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
            anyhow::ensure!(live["data"] == json!({"A": value}), "it is {}", live["data"]);
            Ok(())
        };
        harness::wait_for("the sync", LIMIT, is_so).await?;
        let by_hand = json!({"data": {"A": "by hand"}});
        agent
            .edit("v1", "ConfigMap", "my-app-env", "kubectl-edit", &by_hand)
            .await?;
        harness::wait_for("the edit to be put back", LIMIT, is_so).await?;
    }
    agent.stop().await
}
