//! `provost.dev/mode` against a real control plane.

use anyhow::Context as _;
use harness::wait_for;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, LIMIT};

const SECRET: &str =
    "{apiVersion: v1, kind: Secret, metadata: {name: my-app-token}, stringData: {token: from-git-4711}}";

impl Agent<'_> {
    async fn set_mode(&self, application: &str, mode: Value) -> anyhow::Result<()> {
        let change = json!({"metadata": {"annotations": {"provost.dev/mode": mode}}});
        self.api("argoproj.io/v1alpha1", "Application")
            .patch(application, &PatchParams::default(), &Patch::Merge(&change))
            .await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_only_writes_nothing_and_records_each_field_that_differs() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "drift-only").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG), ("app/secret.yaml", SECRET)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    agent.set_mode("my-app", json!("drift-only")).await?;
    agent.quiet_requests().await?;

    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "by-hand", "B": "added"}}),
        )
        .await?;
    agent
        .edit(
            "v1",
            "Secret",
            "my-app-token",
            "kubectl-edit",
            &json!({"stringData": {"token": "by-hand-4712"}}),
        )
        .await?;
    let (more, changed) = (CONFIG.replace("my-app-env", "my-app-more"), CONFIG);
    agent.commit(&[
        ("app/config.yaml", changed),
        ("app/secret.yaml", SECRET),
        ("app/more.yaml", &more),
    ])?;
    agent
        .wait_status("my-app", "three that differ", |status| {
            let resources = status["resources"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            resources
                .iter()
                .filter(|resource| resource["status"] == "OutOfSync")
                .count()
                == 3
        })
        .await?;
    // What somebody asks for is refused by name.
    let applications = agent.api("argoproj.io/v1alpha1", "Application");
    applications
        .patch(
            "my-app",
            &PatchParams::default(),
            &Patch::Merge(&json!({"operation": {"sync": {}}})),
        )
        .await?;
    agent
        .wait_status("my-app", "the refusal", |status| {
            let message = status["operationState"]["message"].as_str().unwrap_or_default();
            message.contains("provost.dev/mode is drift-only")
        })
        .await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-more").await?);
    let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(live["data"], json!({"A": "by-hand", "B": "added"}));

    agent.end().await?;
    let ledger = agent.ledger_text()?;
    // The whole values: a few digits alone may stand in a time or a digest.
    assert!(
        !ledger.contains("from-git-4711") && !ledger.contains("by-hand-4712"),
        "{ledger}"
    );
    let drifts: Vec<Value> = ledger
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|record| record.to_string().contains("seen_since"))
        .collect();
    let of = |object: &str| {
        let drift = drifts.iter().find(|drift| drift.to_string().contains(object));
        drift.with_context(|| format!("no drift of {object} in {ledger}"))
    };
    let config = of("ConfigMap ")?.to_string();
    for part in [
        r#""path":"data.A""#,
        r#""desired":"\"1\"""#,
        r#""live":"\"by-hand\"""#,
        r#""live":"\"added\"""#,
        r#""manager":"kubectl-edit""#,
        r#""time":""#,
    ] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
    assert!(of("Secret ")?.to_string().contains("(masked)"));
    assert!(ledger.contains("my-app-more"), "{ledger}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_is_off_is_left_alone_its_deletion_included() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "off").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    agent.set_mode("my-app", json!("off")).await?;
    agent.quiet_requests().await?;
    let applications = agent.api("argoproj.io/v1alpha1", "Application");
    let finalizer = json!({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}});
    applications
        .patch("my-app", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await?;
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "2"}}),
        )
        .await?;
    agent.commit(&[("app/other.yaml", &CONFIG.replace("my-app-env", "other"))])?;
    applications.delete("my-app", &DeleteParams::default()).await?;
    assert_eq!(agent.quiet_requests().await?, 0);
    assert_eq!(
        agent.get("v1", "ConfigMap", "my-app-env").await?["data"]["A"],
        "2"
    );
    assert!(agent.is_absent("v1", "ConfigMap", "other").await?);

    agent.set_mode("my-app", Value::Null).await?;
    wait_for("the Application to go", LIMIT, async || {
        anyhow::ensure!(applications.get_opt("my-app").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_namespace_that_is_made_carries_what_the_application_says() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "managed").await?;
    let made = format!("{}-made", agent.namespace);
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    let with = |team: &str| {
        json!({
            "destination": {"namespace": made},
            "syncPolicy": {
                "syncOptions": ["CreateNamespace=true"],
                "managedNamespaceMetadata": {"labels": {"team": team}, "annotations": {"example.com/owner": "dana"}},
            },
        })
    };
    agent.application("my-app", "app", with("shop")).await?;
    agent.wait_synced("my-app", &commit).await?;
    let live = agent.live("v1", "Namespace", "", &made).await?;
    assert_eq!(live["metadata"]["labels"]["team"], "shop");
    assert_eq!(live["metadata"]["annotations"]["example.com/owner"], "dana");
    agent.application("my-app", "app", with("store")).await?;
    wait_for("the new label", LIMIT, async || {
        let live = agent.live("v1", "Namespace", "", &made).await?;
        anyhow::ensure!(live["metadata"]["labels"]["team"] == "store", "it is {live:#}");
        Ok(())
    })
    .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_and_says_that_it_is_extraneous_is_no_difference() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "extraneous").await?;
    let kept = CONFIG.replace(
        "name: my-app-env",
        "name: kept, annotations: {argocd.argoproj.io/compare-options: IgnoreExtraneous}",
    );
    let plain = CONFIG.replace("my-app-env", "plain");
    agent.commit(&[
        ("app/config.yaml", CONFIG),
        ("app/kept.yaml", &kept),
        ("app/plain.yaml", &plain),
    ])?;
    let no_prune = json!({"syncPolicy": {"automated": {"prune": false}}});
    agent.application("my-app", "app", no_prune).await?;
    let first = agent.repository.head()?;
    agent.wait_synced("my-app", &first).await?;

    agent
        .repository
        .git(&["rm", "--quiet", "app/kept.yaml", "app/plain.yaml"])?;
    let second = agent.commit(&[])?;
    let differs = |status: &Value, name: &str| {
        let resources = status["resources"].as_array().cloned().unwrap_or_default();
        let found = resources.into_iter().find(|resource| resource["name"] == name);
        found.is_some_and(|found| found["status"] == "OutOfSync" && found["requiresPruning"] == true)
    };
    let status = agent
        .wait_status("my-app", "one that stays", |status| {
            status["sync"]["status"] == "OutOfSync" && differs(status, "plain")
        })
        .await?;
    assert!(!differs(&status, "kept"), "{status:#}");
    agent.kubectl(&["delete", "configmap", "plain"], "").await?;
    agent.wait_synced("my-app", &second).await?;
    assert!(!agent.is_absent("v1", "ConfigMap", "kept").await?);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_was_there_gets_its_labels_and_stays_nobodys() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "labelled").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    let policy = json!({"syncPolicy": {
        "syncOptions": ["CreateNamespace=true"],
        "managedNamespaceMetadata": {"labels": {"team": "shop"}, "annotations": {"example.com/tier": "one"}},
    }});
    agent.application("my-app", "app", policy).await?;
    agent.wait_synced("my-app", &commit).await?;
    let namespace = agent.namespace.clone();
    let live = agent.live("v1", "Namespace", "", &namespace).await?;
    assert_eq!(live["metadata"]["labels"]["team"], "shop");
    assert_eq!(live["metadata"]["annotations"]["example.com/tier"], "one");
    assert!(
        !live["metadata"]["labels"].to_string().contains("provost.dev"),
        "{live:#}"
    );
    assert_eq!(agent.quiet_requests().await?, 0);
    agent.stop().await
}

/// A ConfigMap says by itself how it fares.
const RULES: &str = r#"
- group: ""
  kind: ConfigMap
  rules:
    - status: Degraded
      when: object.data.A == "bad"
      message: '"A is " + object.data.A'
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_health_of_ones_own_come_before_the_built_in_ones() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let rules = provost_delivery::health::rules::Rules::parse(RULES, "health.yaml").unwrap();
    let mut agent = Agent::start_with(cluster, "rules", |config| config.health_rules = rules.into()).await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    let bad = agent.commit(&[("app/config.yaml", &CONFIG.replace("'1'", "bad"))])?;
    agent.wait_synced("my-app", &bad).await?;
    let status = agent
        .wait_status("my-app", "degraded", |status| {
            status["health"]["status"] == "Degraded"
        })
        .await?;
    assert!(
        status["health"]["message"]
            .as_str()
            .unwrap()
            .ends_with("my-app-env: A is bad"),
        "{status:#}"
    );
    agent.stop().await
}
