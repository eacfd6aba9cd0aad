//! A real project's manifests, with their whole history, into a real control plane.

use std::time::{Duration, Instant};

use provost_manifest::{list, yaml};
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::evidence::{assert_sqlite3_makes_the_same_tables, read, report, rows};
use crate::support::history::git;

/// How long the whole may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_prometheus_is_synced_whole() -> anyhow::Result<()> {
    let Some(bundle) =
        harness::settings::shared_data().map(|shared| shared.join("inputs/kube-prometheus.bundle"))
    else {
        harness::skip(module_path!(), "the folder with shared inputs is absent");
        return Ok(());
    };
    if !bundle.is_file() {
        harness::skip(module_path!(), "inputs/kube-prometheus.bundle is absent");
        return Ok(());
    }
    let cluster = Box::new(harness::cluster_or_skip!(own));
    let agent = Agent::start(&cluster, "real").await?;
    agent
        .repository
        .git(&["fetch", "--quiet", &bundle.display().to_string(), "main"])?;
    agent
        .repository
        .git(&["reset", "--quiet", "--hard", "FETCH_HEAD"])?;
    let head = agent.repository.head()?;

    let (start, requests) = (Instant::now(), agent.connection.requests());
    // manifests/setup has the namespace and the CRDs, manifests the rest; one Application reads both.
    agent
        .application(
            "kube-prometheus",
            "manifests",
            json!({"source": {"directory": {"recurse": true}}}),
        )
        .await?;
    agent
        .wait_status_for("kube-prometheus", "synced", LIMIT, |status| {
            status["sync"]["status"] == "Synced" && status["sync"]["revision"] == head
        })
        .await?;
    let (seconds, requests) = (
        start.elapsed().as_secs_f64(),
        agent.connection.requests() - requests,
    );

    let declared = objects(agent.repository.path())?;
    eprintln!(
        "kube-prometheus: {} objects synced in {seconds:.1} s with {requests} requests",
        declared.len()
    );
    for object in &declared {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let live = agent
            .live(
                &text("/apiVersion"),
                &text("/kind"),
                &text("/metadata/namespace"),
                &text("/metadata/name"),
            )
            .await?;
        assert_eq!(
            live["metadata"]["annotations"]["provost.dev/application"],
            format!("{}/kube-prometheus", agent.namespace)
        );
    }
    let inventory = agent
        .get("provost.dev/v1alpha1", "Inventory", "kube-prometheus-0")
        .await?;
    let entries = inventory["spec"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), declared.len());
    assert!(
        entries
            .iter()
            .all(|entry| entry["uid"].is_string() && entry["file"].is_string()),
        "{inventory:#}"
    );
    assert_eq!(
        agent.quiet_requests().await?,
        0,
        "a pass without changes makes requests"
    );
    assert_evidence(&cluster, agent.repository.path(), &head, declared.len());
    agent.stop().await
}

/// Every live object that came from the repository is traced to its file's last commit, as `git log` names it.
fn assert_evidence(cluster: &harness::Cluster, repository: &std::path::Path, synced: &str, declared: usize) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let kubeconfig = cluster.kubeconfig(harness::User::Admin);
    let (code, text) = report(repository, &out, &["--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    let columns = [
        "object",
        "application",
        "controlled_by",
        "origin",
        "file",
        "commit_id",
    ];
    let objects = rows(&read(&out, "objects"), &columns);
    let applied: Vec<_> = objects
        .iter()
        .filter(|row| !row[1].is_empty() && row[2].is_empty())
        .collect();
    assert_eq!(applied.len(), declared);
    for row in applied {
        let last = git(repository, &["log", "-1", "--format=%H", synced, "--", &row[4]]);
        assert_eq!((row[3].as_str(), &row[5]), ("in Git", &last), "{}", row[0]);
    }
    assert_sqlite3_makes_the_same_tables(&out);
}

/// Every object in the manifests, by a reader other than the agent's.
fn objects(repository: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for folder in ["manifests", "manifests/setup"] {
        for entry in repository.join(folder).read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                for document in yaml::parse_stream(&std::fs::read_to_string(&path)?) {
                    found.extend(list::flatten(document?.value).into_iter().map(|item| item.object));
                }
            }
        }
    }
    Ok(found)
}
