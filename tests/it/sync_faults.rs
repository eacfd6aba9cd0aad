//! Faults on the real thing: after each the cluster is as Git says, and nothing was lost or deleted that should not be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use harness::git::{DANA, Repository};
use harness::{Cluster, Folder, Provost, User, wait_for};
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, LIMIT, resource};

/// How many objects a sync has.
const OBJECTS: usize = 40;

/// ConfigMaps that all say the same.
fn config_maps(value: &str) -> String {
    let mut text = String::new();
    for number in 0..OBJECTS {
        let _ = writeln!(
            text,
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: part-{number:02}}}, data: {{A: '{value}'}}}}"
        );
    }
    text
}

/// The uid and the value of each ConfigMap that the Application is to have.
async fn parts(client: &kube::Client, namespace: &str) -> anyhow::Result<BTreeMap<String, (String, String)>> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource("v1", "ConfigMap"));
    let list = api.list(&ListParams::default()).await?;
    let parts = list.items.into_iter().filter_map(|part| {
        let value = part.data["data"]["A"].as_str()?.to_owned();
        Some((part.metadata.name?, (part.metadata.uid?, value)))
    });
    Ok(parts.collect())
}

fn having(parts: &BTreeMap<String, (String, String)>, value: &str) -> usize {
    parts.values().filter(|(_, found)| found == value).count()
}

/// Waits until at least so many of the objects have the value.
async fn wait_parts(client: &kube::Client, namespace: &str, value: &str, least: usize) -> anyhow::Result<()> {
    wait_for(&format!("{least} objects with {value}"), LIMIT, async || {
        let found = having(&parts(client, namespace).await?, value);
        anyhow::ensure!(found >= least, "{found} have it");
        Ok(())
    })
    .await
}

fn start(cluster: &Cluster, folder: &Folder, namespace: &str) -> anyhow::Result<Provost> {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let kubeconfig = cluster.kubeconfig(User::Agent).display().to_string();
    let (state, ledger) = (path("state"), path("ledger"));
    let arguments = [
        "serve",
        "--role",
        "agent",
        "--kubeconfig",
        &kubeconfig,
        "--state",
        &state,
        "--ledger",
        &ledger,
        "--applications-namespace",
        namespace,
        "--allow-local-repositories",
        "--poll-interval",
        "1s",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    Provost::start(&arguments, &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_in_the_middle_of_a_sync_ends_it_when_it_comes_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let (folder, namespace) = (Folder::new()?, cluster.namespace("killed").await?);
    let client = cluster.client(User::Admin).await?;
    let mut repository = Repository::init(&folder.path().join("infrastructure"))?;
    repository.write("app/parts.yaml", &config_maps("0"))?;
    repository.write(
        "app/gone.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: gone}, data: {A: gone}}\n",
    )?;
    repository.commit(DANA, "The first")?;
    let stranger = "{apiVersion: v1, kind: ConfigMap, metadata: {name: stranger}, data: {A: stranger}}";
    let apply = ["-n", &namespace, "apply", "--server-side", "-f", "-"];
    cluster.kubectl(User::Admin, &apply, stranger).await?.success()?;

    let mut provost = start(&cluster, &folder, &namespace)?;
    provost.wait_for_line("Ready.", LIMIT).await?;
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "my-app", "namespace": namespace},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository.path(), "path": "app", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
    });
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
        },
    });
    // The agent makes a project of that name, whose fields are its own.
    let take = [
        "-n",
        &namespace,
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
    ];
    for object in [project, application] {
        wait_for("the project and the Application to be taken", LIMIT, async || {
            cluster
                .kubectl(User::Admin, &take, &object.to_string())
                .await?
                .success()
        })
        .await?;
    }
    wait_parts(&client, &namespace, "0", OBJECTS).await?;
    let uids: BTreeMap<_, _> = parts(&client, &namespace)
        .await?
        .into_iter()
        .filter(|(name, _)| name.starts_with("part-"))
        .map(|(name, (uid, _))| (name, uid))
        .collect();

    // Before anything is applied, after the first, in the middle, near the end, and once all is there.
    for (round, least) in [0, 1, OBJECTS / 2, OBJECTS - 2, OBJECTS].into_iter().enumerate() {
        let value = format!("{}", round + 1);
        repository.write("app/parts.yaml", &config_maps(&value))?;
        if round == 2 {
            std::fs::remove_file(repository.path().join("app/gone.yaml"))?;
        }
        let commit = repository.commit(DANA, "The next")?;
        wait_parts(&client, &namespace, &value, least).await?;
        provost.signal("KILL")?;
        wait_for("the agent to be gone", LIMIT, async || {
            provost.ended()?.ok_or_else(|| anyhow::anyhow!("it runs"))
        })
        .await?;
        provost = start(&cluster, &folder, &namespace)?;
        provost.wait_for_line("Ready.", LIMIT).await?;
        wait_for("the sync to be ended", LIMIT, async || {
            let get = ["-n", &namespace, "get", "application", "my-app", "-o", "json"];
            let live: Value =
                serde_json::from_str(&cluster.kubectl(User::Admin, &get, "").await?.success()?)?;
            let sync = &live["status"]["sync"];
            anyhow::ensure!(sync["status"] == "Synced" && sync["revision"] == commit, "{sync}");
            Ok(())
        })
        .await?;
        let now = parts(&client, &namespace).await?;
        assert_eq!(having(&now, &value), OBJECTS, "round {round}");
        assert!(now.contains_key("stranger"), "round {round}");
        assert_eq!(now.contains_key("gone"), round < 2, "round {round}");
        for (name, uid) in &uids {
            assert_eq!(&now[name].0, uid, "round {round}: {name} was made anew");
        }
    }
    assert_eq!(provost.stop().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_goes_in_the_middle_of_a_sync_is_waited_for() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let mut agent = Agent::start(&cluster, "outage").await?;
    agent.commit(&[("app/parts.yaml", &config_maps("0"))])?;
    agent.application("my-app", "app", json!({})).await?;
    wait_parts(&agent.client, &agent.namespace, "0", OBJECTS).await?;
    let before = parts(&agent.client, &agent.namespace).await?;

    let commit = agent.commit(&[("app/parts.yaml", &config_maps("1"))])?;
    wait_parts(&agent.client, &agent.namespace, "1", 1).await?;
    cluster.stop_apiserver().await?;
    // What is wrong in Git meanwhile is put right before anybody could read it.
    agent.commit(&[("app/parts.yaml", "no manifest: [\n")])?;
    let good = agent.commit(&[("app/parts.yaml", &config_maps("2"))])?;
    assert_ne!(commit, good);
    cluster.start_apiserver().await?;
    wait_for("the agent to be done", LIMIT * 2, async || {
        let status = agent.status("my-app").await?;
        let sync = &status["sync"];
        anyhow::ensure!(
            sync["status"] == "Synced" && sync["revision"] == good,
            "{status:#}"
        );
        Ok(())
    })
    .await?;
    let after = parts(&agent.client, &agent.namespace).await?;
    assert_eq!(having(&after, "2"), OBJECTS);
    for (name, (uid, _)) in before {
        assert_eq!(after[&name].0, uid, "{name} was made anew");
    }
    agent.stop().await
}
