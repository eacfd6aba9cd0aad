//! `provost report` on a real control plane: live objects joined with the history behind them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::{Cluster, User, wait_until};
use kube::CustomResourceExt as _;
use provost::api::provost::{Inventory, InventoryEntry, InventorySpec};

use crate::support::evidence::{
    assert_same_but_for_the_run, assert_sqlite3_makes_the_same_tables, read, report, rows,
};
use crate::support::history::{Commit, build, git};

const APP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1}]}
";
const ROLE: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shop-reader}
rules: []
";
const BY_HAND: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: by-hand, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: generated, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: elsewhere, namespace: not-governed}
";
/// Its API group is announced, and nobody answers for it.
const DEAD_API: &str = "\
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.nowhere.example.com}
spec:
  group: nowhere.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {name: absent, namespace: shop}
  insecureSkipTLSVerify: true
";

fn entry(group: &str, kind: &str, namespace: &str, name: &str, file: Option<&str>) -> InventoryEntry {
    InventoryEntry {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        file: file.map(str::to_owned),
        ..InventoryEntry::default()
    }
}

async fn apply(cluster: &Cluster, manifest: &str) -> anyhow::Result<()> {
    cluster
        .kubectl(User::Admin, &["apply", "-f", "-"], manifest)
        .await?
        .success()?;
    Ok(())
}

/// What the agent would have done: objects applied, and an inventory that names them.
async fn sync(cluster: &Cluster, revision: &str) -> anyhow::Result<()> {
    apply(cluster, &serde_json::to_string(&Inventory::crd())?).await?;
    for namespace in ["shop", "argocd", "not-governed"] {
        cluster
            .kubectl(User::Admin, &["create", "namespace", namespace], "")
            .await?
            .success()?;
    }
    apply(cluster, APP).await?;
    apply(cluster, ROLE).await?;
    apply(cluster, BY_HAND).await?;
    let mut inventory = Inventory::new(
        "shop-0",
        InventorySpec {
            application: "argocd/shop".into(),
            repository: "https://git.example.com/infrastructure".into(),
            path: ".".into(),
            revision: revision.into(),
            rendered_tree: String::new(),
            entries: vec![
                entry("apps", "Deployment", "shop", "web", Some("app.yaml")),
                entry(
                    "rbac.authorization.k8s.io",
                    "ClusterRole",
                    "",
                    "shop-reader",
                    Some("role.yaml"),
                ),
                entry("", "ConfigMap", "shop", "generated", None),
                entry("", "ConfigMap", "shop", "gone", Some("app.yaml")),
            ],
            sync: None,
        },
    );
    inventory.metadata.namespace = Some("argocd".into());
    wait_until("Inventories are served", Duration::from_secs(30), async || {
        let text = serde_json::to_string(&inventory).unwrap_or_default();
        apply(cluster, &text).await.is_ok()
    })
    .await?;
    wait_until("the Deployment has a Pod", Duration::from_secs(30), async || {
        let pods = cluster
            .kubectl(User::Admin, &["-n", "shop", "get", "pods", "-o", "name"], "")
            .await;
        pods.is_ok_and(|pods| pods.stdout.lines().count() == 1)
    })
    .await
}

fn make_report(cluster: &Cluster, repository: &Path, out: &Path) -> (i32, String) {
    let kubeconfig = cluster.kubeconfig(User::Admin);
    report(repository, out, &["--kubeconfig", kubeconfig.to_str().unwrap()])
}

/// The rows of objects, their commits held against `git log`.
fn traced(repository: &Path, out: &Path, synced: &str) -> Vec<String> {
    let columns = [
        "object",
        "origin",
        "file",
        "commit_id",
        "pull_request",
        "controlled_by",
    ];
    let mut objects = rows(&read(out, "objects"), &columns);
    for row in &mut objects {
        let by_git = |file: &str| git(repository, &["log", "-1", "--format=%H", synced, "--", file]);
        if !row[2].is_empty() && row[3] == by_git(&row[2]) {
            row[3] = "as git log has it".into();
        }
        // Names that controllers make end in chance.
        let end = row[0].find("web").map_or(row[0].len(), |at| at + "web".len());
        row[0].truncate(end);
    }
    objects.iter().map(|row| row.join(" | ")).collect()
}

#[tokio::test]
async fn every_live_object_is_traced_to_the_commit_behind_it_or_is_not_in_git() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let folder = tempfile::tempdir()?;
    let (repository, out) = (folder.path().join("repository"), folder.path().join("out"));
    fs::create_dir(&repository)?;
    let ids = build(
        &repository,
        &[
            Commit::new(0, &[], "Begin", &[("app.yaml", "a: 1"), ("role.yaml", ROLE)]),
            Commit::new(
                1,
                &[0],
                "Deploy the app (#7)",
                &[("app.yaml", APP), ("role.yaml", ROLE)],
            ),
            // Not synced yet: it must not be named as the commit behind what is live.
            Commit::new(
                2,
                &[1],
                "Change the app",
                &[("app.yaml", ""), ("role.yaml", ROLE)],
            ),
        ],
    );
    sync(&cluster, &ids[1]).await?;
    let (code, text) = make_report(&cluster, &repository, &out);
    assert_eq!(code, 0, "{text}");

    assert_eq!(
        traced(&repository, &out, &ids[1]),
        [
            "ClusterRole.rbac.authorization.k8s.io shop-reader | in Git | role.yaml | as git log has it |  | ",
            "ConfigMap shop/by-hand | not in Git |  |  |  | ",
            "ConfigMap shop/generated | not known |  |  |  | ",
            "Deployment.apps shop/web | in Git | app.yaml | as git log has it | 7 | ",
            "Pod shop/web | in Git | app.yaml | as git log has it | 7 | Deployment.apps shop/web",
            "ReplicaSet.apps shop/web | in Git | app.yaml | as git log has it | 7 | Deployment.apps shop/web",
        ]
    );
    assert!(text.contains(
        "6 live objects: 4 in Git, 0 by an Application, 1 not in Git, 1 not known. 1 object of the inventories not live."
    ));

    let page = fs::read_to_string(out.join("README.md"))?;
    assert!(
        page.contains("| rows of objects, and excluded | 8 | 8 | yes |"),
        "{page}"
    );
    assert!(
        page.contains("2 (made by Kubernetes in every namespace)"),
        "{page}"
    );
    assert_sqlite3_makes_the_same_tables(&out);
    let again = folder.path().join("again");
    assert_eq!(make_report(&cluster, &repository, &again).0, 0);
    assert_same_but_for_the_run(&out, &again);

    // What doesn't answer is a gap, and everything else is still reported.
    apply(&cluster, DEAD_API).await?;
    wait_until("the dead API is announced", Duration::from_secs(30), async || {
        let groups = cluster.kubectl(User::Admin, &["get", "--raw", "/apis"], "").await;
        groups.is_ok_and(|groups| groups.stdout.contains("nowhere.example.com"))
    })
    .await?;
    let (code, text) = make_report(&cluster, &repository, &out);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("6 live objects") && text.contains("Not covered: 1 gap"),
        "{text}"
    );
    let gaps = rows(&read(&out, "facts/gaps"), &["source", "item"]);
    assert_eq!(gaps, [["kind", "*.nowhere.example.com"]]);
    Ok(())
}
