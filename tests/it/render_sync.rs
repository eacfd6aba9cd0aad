//! Applications of charts, changed kustomizations and several sources, in a cluster.

use harness::{Provost, User};
use serde_json::json;

use super::support::agent::{Agent, CONFIG, LIMIT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chart_and_a_folder_are_synced_as_one_application() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "charts").await?;
    let template = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: '{{ .Release.Name }}-chart'}
data: {kube: '{{ .Capabilities.KubeVersion.Version }}', apps: '{{ .Capabilities.APIVersions.Has \"apps/v1/Deployment\" }}', team: '{{ .Values.team }}'}
";
    let commit = agent.commit(&[
        ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("chart/templates/config.yaml", template),
        ("values/shop.yaml", "team: shop\n"),
        ("overlay/kustomization.yaml", "resources: [config.yaml]\n"),
        ("overlay/config.yaml", CONFIG),
    ])?;
    let repository = agent.repository.path().to_owned();
    let sources = json!([
        {"repoURL": repository, "path": "chart", "targetRevision": "main", "helm": {"valueFiles": ["$values/values/shop.yaml"]}},
        {"repoURL": repository, "path": "overlay", "targetRevision": "main", "kustomize": {"namePrefix": "changed-"}},
        {"repoURL": repository, "targetRevision": "main", "ref": "values"},
    ]);
    agent
        .application("my-app", "", json!({"source": null, "sources": sources}))
        .await?;
    agent.wait_synced("my-app", &commit).await?;
    let config = agent.get("v1", "ConfigMap", "my-app-chart").await?;
    assert_eq!(config["data"]["team"], "shop");
    assert_eq!(config["data"]["apps"], "true");
    assert_eq!(config["data"]["kube"], harness::binaries::KUBERNETES_VERSION);
    assert!(!agent.is_absent("v1", "ConfigMap", "changed-my-app-env").await?);

    // The name of the file and of its repository, on both sides.
    agent.commit(&[
        (
            "overlay/config.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: my-app-chart}}\n",
        ),
        ("overlay/kustomization.yaml", "resources: [config.yaml]\n"),
    ])?;
    let sources = json!([
        {"repoURL": repository, "path": "chart", "targetRevision": "main", "helm": {"values": "team: shop\n"}},
        {"repoURL": repository, "path": "overlay", "targetRevision": "main"},
    ]);
    agent
        .application("my-app", "", json!({"source": null, "sources": sources}))
        .await?;
    let url = repository.display().to_string();
    let twice = format!(
        "my-app-chart is declared twice: in chart/templates/config.yaml of {url} and in overlay/config.yaml of {url}"
    );
    agent
        .wait_status("my-app", "the error that names both files", |status| {
            let message = status["conditions"][0]["message"].as_str();
            message.is_some_and(|message| message.contains(&twice))
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_starts_its_programs_by_itself_in_the_jail() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let namespace = cluster.namespace("launched").await?;
    let kubeconfig = cluster.kubeconfig(User::Admin).display().to_string();
    let programs = ["kustomize", "helm"].map(|name| cluster.binaries().path(name).display().to_string());
    let mut provost = Provost::start(
        &[
            "serve",
            "--role=agent",
            "--kubeconfig",
            &kubeconfig,
            "--applications-namespace",
            &namespace,
            // A relative folder: the programs run in another.
            "--state=state",
            "--ledger=none",
            "--metrics-listen=127.0.0.1:0",
            "--kustomize",
            &programs[0],
            "--helm",
            &programs[1],
        ],
        &[],
    )?;
    for line in ["kustomize renders", "helm renders"] {
        provost.wait_for_line(line, LIMIT).await?;
    }
    assert_eq!(provost.stop().await?, 0);
    Ok(())
}
