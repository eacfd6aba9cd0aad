//! The agent against a real control plane: what Git says gets there, and goes from there.

use anyhow::Context as _;
use harness::wait_for;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::agent::{Agent, CONFIG, DEPLOYMENT, LIMIT, ROLE, resource};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_reaches_the_cluster_and_what_is_removed_from_git_goes() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "synced").await?;
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  - {CONFIG}\n");
    let first = agent.commit(&[
        ("apps/my-app/deployment.yaml", DEPLOYMENT),
        ("apps/my-app/list.yaml", &list),
        ("README.md", "x"),
    ])?;
    agent.application("my-app", "apps/my-app", json!({})).await?;
    let status = agent.wait_synced("my-app", &first).await?;
    assert_eq!(status["history"][0]["revision"], first);
    assert_eq!(status["operationState"]["phase"], "Succeeded");

    let live = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(
        live["metadata"]["annotations"]["provost.dev/application"],
        format!("{}/my-app", agent.namespace)
    );
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    let entries = inventory["spec"]["entries"].as_array().unwrap();
    let files: Vec<_> = entries
        .iter()
        .map(|entry| (entry["kind"].as_str().unwrap(), entry["file"].as_str().unwrap()))
        .collect();
    assert_eq!(
        files,
        [
            ("ConfigMap", "apps/my-app/list.yaml"),
            ("Deployment", "apps/my-app/deployment.yaml")
        ]
    );
    assert!(
        entries.iter().all(|entry| entry["uid"].is_string()),
        "{inventory:#}"
    );
    assert_eq!(inventory["spec"]["revision"], first);
    agent
        .wait_status("my-app", "healthy", |status| {
            status["health"]["status"] == "Healthy"
        })
        .await?;

    // A refresh is a look at the repository at once, and is done once.
    agent.refresh("my-app").await?;
    wait_for("the refresh to be done", LIMIT, async || {
        let application = agent.get("argoproj.io/v1alpha1", "Application", "my-app").await?;
        let asked = application["metadata"]["annotations"]
            .get("argocd.argoproj.io/refresh")
            .is_some();
        (!asked).then_some(()).context("it is still asked for")
    })
    .await?;

    // A commit elsewhere costs no render and no sync, and who asks is told of it; one that removes a file deletes its
    // object.
    let elsewhere = agent.commit(&[("apps/other/x.yaml", CONFIG)])?;
    agent.refresh("my-app").await?;
    let status = agent.wait_synced("my-app", &elsewhere).await?;
    assert_eq!(status["history"].as_array().unwrap().len(), 1);
    std::fs::remove_file(agent.repository.path().join("apps/my-app/list.yaml"))?;
    let second = agent.commit(&[])?;
    agent.wait_synced("my-app", &second).await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    assert!(!agent.is_absent("apps/v1", "Deployment", "my-app").await?);
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    assert_eq!(inventory["spec"]["entries"].as_array().unwrap().len(), 1);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kustomize_folder_is_rendered_with_the_files_its_objects_come_from() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "kustomize").await?;
    let overlay = "resources: [../../base]\nimages: [{name: registry.example.com/my-app, newTag: v1.5.3}]\nconfigMapGenerator: [{name: env, literals: [A=1]}]\n";
    let commit = agent.commit(&[
        (
            "apps/my-app/base/kustomization.yaml",
            "resources: [deployment.yaml]\n",
        ),
        ("apps/my-app/base/deployment.yaml", DEPLOYMENT),
        ("apps/my-app/overlays/production/kustomization.yaml", overlay),
    ])?;
    agent
        .application("my-app", "apps/my-app/overlays/production", json!({}))
        .await?;
    agent.wait_synced("my-app", &commit).await?;
    let live = agent.get("apps/v1", "Deployment", "my-app").await?;
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example.com/my-app:v1.5.3"
    );
    assert!(
        live["metadata"]["annotations"]
            .get("config.kubernetes.io/origin")
            .is_none()
    );
    let inventory = agent.get("provost.dev/v1alpha1", "Inventory", "my-app-0").await?;
    let files: Vec<_> = inventory["spec"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "apps/my-app/overlays/production/kustomization.yaml",
            "apps/my-app/base/deployment.yaml"
        ]
    );
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_the_finalizer_takes_what_it_owns_with_it() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "finalized").await?;
    let made = format!("{}-made", agent.namespace);
    let commit = agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("kept/config.yaml", &CONFIG.replace("my-app-env", "kept")),
    ])?;
    let owned =
        json!({"destination": {"namespace": made}, "syncPolicy": {"syncOptions": ["CreateNamespace=true"]}});
    agent.application("my-app", "app", owned).await?;
    agent
        .application(
            "kept",
            "kept",
            json!({"syncPolicy": {"syncOptions": ["CreateNamespace=true"]}}),
        )
        .await?;
    agent.wait_synced("my-app", &commit).await?;
    agent.wait_synced("kept", &commit).await?;
    let finalizer = json!({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}});
    let applications = agent.api("argoproj.io/v1alpha1", "Application");
    applications
        .patch("my-app", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await?;
    agent
        .kubectl(&["delete", "application", "my-app", "kept", "--timeout=50s"], "")
        .await?;
    let namespaces: Api<DynamicObject> = Api::all_with(agent.client.clone(), &resource("v1", "Namespace"));
    wait_for(
        "the namespace that was made to go",
        LIMIT,
        async || match namespaces.get_opt(&made).await? {
            None => Ok(()),
            Some(_) => Err(anyhow::anyhow!("it is still there")),
        },
    )
    .await?;
    // Without the finalizer objects stay, and so does a namespace that was there before.
    assert!(!agent.is_absent("v1", "ConfigMap", "kept").await?);
    assert!(namespaces.get_opt(&agent.namespace).await?.is_some());
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crd_and_its_objects_come_in_one_commit() -> anyhow::Result<()> {
    let cluster = Box::new(harness::cluster_or_skip!(own));
    let mut agent = Agent::start(&cluster, "kinds").await?;
    let crd = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, spec: {size: 1}}";
    let commit = agent.commit(&[("app/a-widget.yaml", widget), ("app/crd.yaml", crd)])?;
    agent.application("widgets", "app", json!({})).await?;
    agent.wait_synced("widgets", &commit).await?;
    agent
        .edit(
            "example.com/v1",
            "Widget",
            "a",
            "kubectl-edit",
            &json!({"spec": {"colour": "red"}}),
        )
        .await?;
    agent
        .wait_healed("example.com/v1", "Widget", "a", |live| {
            live["spec"] == json!({"size": 1})
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_an_application_is_told_as_events_and_counted() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "told").await?;
    agent.sync_my_app().await?;
    let broken = CONFIG.replace("data: {A: '1'}", "data: {A: 1}");
    agent.commit(&[
        ("app/deployment.yaml", DEPLOYMENT),
        ("app/role.yaml", ROLE),
        ("app/config.yaml", &broken),
    ])?;
    harness::wait_for("the events", LIMIT, async || {
        let mut told = std::collections::BTreeMap::new();
        for event in agent
            .api("events.k8s.io/v1", "Event")
            .list(&ListParams::default())
            .await?
        {
            if event.data["regarding"]["kind"] == "Application" {
                let reason = event.data["reason"].as_str().unwrap_or_default().to_owned();
                *told.entry(reason).or_insert(0) += 1;
            }
        }
        for (reason, most) in [
            ("Synced", 1),
            ("HealthChanged", 1),
            ("OutOfSync", 1),
            ("SyncFailed", 2),
        ] {
            let times = told.get(reason).copied().unwrap_or_default();
            anyhow::ensure!(
                (1..=most).contains(&times),
                "{reason} was told {times} times: {told:?}"
            );
        }
        Ok(())
    })
    .await?;
    let metrics = agent.metrics.encode()?;
    for line in [
        "provost_sync_git_fetches_total{outcome=\"succeeded\"}",
        "provost_sync_git_fetch_seconds_count",
        "provost_sync_syncs_total{outcome=\"succeeded\"} 1",
        "provost_sync_syncs_total{outcome=\"failed\"} 1",
        "provost_sync_renders_total ",
        "provost_sync_sync_seconds_count ",
        "provost_sync_requests_total ",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let standing = "name=\"my-app\",project=\"default\",sync=\"OutOfSync\"";
    assert_eq!(
        metrics.matches("provost_sync_application_info{").count(),
        1,
        "{metrics}"
    );
    assert!(metrics.contains(standing), "{metrics}");
    agent.stop().await
}
