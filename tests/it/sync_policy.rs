//! Policy before write, against a real control plane: what the webhook would deny is refused before anything is applied.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use harness::{User, wait_for};
use provost::ledger::Ledger;
use provost::policies::{Admission, ExceptionNamespaces, Fetcher, Policies, Source, folder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::agent::{Agent, CONFIG, DEPLOYMENT, LIMIT};
use crate::support::webhook::{Webhook, seed};

/// Rules that need who asks, what was before, the namespace's labels, a ConfigMap, and one that only warns.
const POLICIES: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: guarded}
spec:
  background: false
  validationFailureAction: Enforce
  rules:
    - name: who
      match: {any: [{resources: {kinds: [ConfigMap], names: ["by-people*"]}}]}
      validate:
        message: "{{request.userInfo.username}} may not write it"
        deny: {conditions: {any: [{key: "{{request.userInfo.username}}", operator: AnyNotIn, value: [dana]}]}}
    - name: fixed
      match: {any: [{resources: {kinds: [ConfigMap], names: ["fixed*"], operations: [UPDATE]}}]}
      validate:
        message: A fixed one is not changed
        deny: {conditions: {any: [{key: "{{request.object.data.A}}", operator: NotEquals, value: "{{request.oldObject.data.A}}"}]}}
    - name: listed
      match: {any: [{resources: {kinds: [ConfigMap], names: ["listed*"]}}]}
      context: [{name: list, configMap: {name: allowed, namespace: "{{request.namespace}}"}}]
      validate:
        message: Only what the list allows
        deny: {conditions: {any: [{key: "{{request.object.data.A}}", operator: NotEquals, value: "{{list.data.value}}"}]}}
    - name: defaulted
      match: {any: [{resources: {kinds: [Deployment]}}]}
      validate:
        message: Rolling updates only
        pattern: {spec: {strategy: {type: Recreate}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: advice}
spec:
  validationFailureAction: Audit
  rules:
    - name: owner
      match: {any: [{resources: {kinds: [ConfigMap], names: ["owned*"]}}]}
      validate: {message: Say who owns it, pattern: {metadata: {annotations: {owner: "?*"}}}}
"#;

fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  A: '{value}'\n")
}

/// Puts the policies of a folder in force, as `serve` does.
fn put_in_force(policies: &Policies, folder: &Path) -> anyhow::Result<()> {
    policies.replace(Source::Folder(folder.to_owned()), folder::read(folder)?);
    let refused = &policies.current().refused;
    anyhow::ensure!(refused.is_empty(), "policies are out: {refused:?}");
    Ok(())
}

async fn judging(cluster: &harness::Cluster, folder: &Path) -> anyhow::Result<(Arc<Policies>, Admission)> {
    let source = Source::Folder(folder.to_owned());
    let policies = Arc::new(Policies::new(
        Ledger::none(),
        [source],
        ExceptionNamespaces::default(),
    ));
    let fetcher = Fetcher::cluster(cluster.client(User::Agent).await?, CancellationToken::new());
    put_in_force(&policies, folder)?;
    let admission = Admission::new(Arc::clone(&policies), fetcher, BTreeSet::new());
    Ok((policies, admission))
}

/// Objects by the folder that they are in, and whether they are denied.
fn table() -> Vec<(&'static str, String, bool)> {
    let labelled = DEPLOYMENT.replace(
        "labels: {app: my-app}}\nspec:\n  replicas",
        "labels: {app.kubernetes.io/name: a, app.kubernetes.io/managed-by: b}}\nspec:\n  strategy: {type: Recreate}\n  replicas",
    );
    let unlimited = DEPLOYMENT.replace("          resources: {limits: {cpu: '0.5', memory: 128Mi}}\n", "");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec:\n  containers:\n    - {name: a, image: 'docker.io/nginx:1'}\n    - {name: b, image: 'registry.example.com/b:1'}\n";
    vec![
        ("defaults", DEPLOYMENT.to_owned(), true),
        ("unlimited", unlimited, true),
        ("pod", pod.to_owned(), true),
        ("who", config("by-people", "1"), true),
        ("update", config("fixed", "2"), true),
        ("listed", config("listed", "no"), true),
        ("allowed", config("listed-too", "yes"), false),
        ("plain", config("plain", "1"), false),
        ("owned", config("owned", "1"), false),
        ("labelled", labelled, false),
    ]
}

/// The violations alone: rule, field, what was found and what is needed, whatever stands between them.
fn words(text: &str) -> String {
    let place = regex::Regex::new(r" \([^()]*\.yaml(:\d+)*\)").unwrap();
    let text = place.replace_all(text, "").replace([',', ';', ':'], " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the agent says of the policies' refusal of one object.
fn refusal(status: &Value) -> Option<String> {
    let message = status["conditions"][0]["message"].as_str()?;
    Some(message.split_once("is refused by policy: ")?.1.to_owned())
}

/// What is said of limits, and all that follows it.
fn of_limits(said: &str) -> Option<String> {
    Some(said.split_once("require-resource-limits/")?.1.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_before_a_write_is_the_webhooks() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let folder = tempfile::tempdir()?;
    seed(folder.path())?;
    fs::write(folder.path().join("more.yaml"), POLICIES)?;
    let (_policies, admission) = judging(&cluster, folder.path()).await?;
    let mut agent = Agent::start_judging(&cluster, "verdict", admission).await?;
    agent
        .kubectl(
            &["create", "configmap", "allowed", "--from-literal=value=yes"],
            "",
        )
        .await?;
    let earlier = config("fixed", "1");
    agent
        .kubectl(
            &["apply", "--server-side", "--field-manager=provost", "-f", "-"],
            &earlier,
        )
        .await?;

    let table = table();
    let files: Vec<_> = table
        .iter()
        .map(|(name, text, _)| (format!("{name}/object.yaml"), text.clone()))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    let commit = agent.commit(&files)?;
    let mut said = Vec::new();
    for (name, text, denied) in &table {
        agent.application(name, name, json!({})).await?;
        if !denied {
            agent.wait_synced(name, &commit).await?;
            continue;
        }
        let status = agent
            .wait_status(name, "a refusal", |status| refusal(status).is_some())
            .await?;
        assert_eq!(status["sync"]["status"], "OutOfSync", "{status:#}");
        said.push((*name, text, refusal(&status).unwrap()));
    }
    let places: Vec<_> = said
        .iter()
        .map(|(name, _, said)| format!("{name}: {said}"))
        .collect();
    let places = places.join("\n");
    insta::assert_snapshot!("refusals", places.replace(&agent.namespace, "NAMESPACE"));
    let advice = agent
        .wait_status("owned", "a warning", |status| {
            status["conditions"][0]["type"] == "PolicyWarning"
        })
        .await?;
    let advice = advice["conditions"][0]["message"].as_str().unwrap().to_owned();

    // The same objects, with the webhook before the same cluster.
    let webhook = Webhook::guarding(&cluster, &[], |folder| {
        seed(folder)?;
        Ok(fs::write(folder.join("more.yaml"), POLICIES)?)
    })
    .await?;
    crate::support::webhook::denied_soon(&cluster, &agent.namespace).await?;
    let dry_run = async |text: &str| {
        let arguments = [
            "-n",
            &agent.namespace,
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=provost",
            "--dry-run=server",
            "-f",
            "-",
        ];
        cluster.kubectl(User::Agent, &arguments, text).await
    };
    for (name, text, said) in &said {
        let marked = text.replace("NAMESPACE", &agent.namespace);
        let output = dry_run(&marked).await?;
        assert_ne!(output.code, 0, "{name}: {output:?}");
        let (_, denial) = output.stderr.split_once(".\n").unwrap();
        let denial = denial.replace("Before you apply: provost check FILE", "");
        assert_eq!(words(said), words(&denial), "{name}");
    }
    for (name, text, _) in table.iter().filter(|(_, _, denied)| !denied) {
        let output = dry_run(text).await?;
        assert_eq!(output.code, 0, "{name}: {output:?}");
        if *name == "owned" {
            assert!(output.stderr.contains("Say who owns it") && advice.contains("Say who owns it"));
        }
    }

    // Where the webhook denies the dry-run itself, the place in Git is named all the same.
    let (_, _, before) = said.iter().find(|(name, ..)| *name == "unlimited").unwrap();
    agent.commit(&[("unlimited/README.md", "x")])?;
    agent.application("again", "unlimited", json!({})).await?;
    let again = agent
        .wait_status("again", "a refusal", |status| refusal(status).is_some())
        .await?;
    // Without a dry-run nobody knows the defaults; what is said of what is written is the same.
    let again = refusal(&again).and_then(|said| of_limits(&said));
    assert!(again.is_some());
    assert_eq!(again, of_limits(before));
    drop(webhook);
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_refused_stage_is_applied_and_a_changed_policy_lets_it_in() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let folder = tempfile::tempdir()?;
    seed(folder.path())?;
    let (policies, admission) = judging(cluster, folder.path()).await?;
    let mut agent = Agent::start_judging(cluster, "refused", admission).await?;
    let commit = agent.commit(&[
        (
            "app/kustomization.yaml",
            "resources: [deployment.yaml, config.yaml]\nnamePrefix: a-\n",
        ),
        ("app/deployment.yaml", DEPLOYMENT),
        ("app/config.yaml", CONFIG),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    let status = agent
        .wait_status("my-app", "a refusal", |status| refusal(status).is_some())
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("1 of 2 objects refused, none of them applied"),
        "{message}"
    );
    // The file, and the line where what is missing would be.
    assert!(message.contains("(app/deployment.yaml"), "{message}");
    assert!(agent.is_absent("v1", "ConfigMap", "a-my-app-env").await?);

    // With other policies it is tried again by itself.
    fs::remove_file(folder.path().join("require-labels.yaml"))?;
    put_in_force(&policies, folder.path())?;
    agent.wait_synced("my-app", &commit).await?;
    assert_eq!(
        agent.quiet_requests().await?,
        0,
        "a pass in which nothing changed judges nothing"
    );

    // With stricter ones what is synced stays, and is only reported.
    let uid = agent.get("v1", "ConfigMap", "a-my-app-env").await?["metadata"]["uid"].clone();
    let strict = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: none}\nspec:\n  validationFailureAction: Enforce\n  rules:\n    - name: no-config\n      match: {any: [{resources: {kinds: [ConfigMap]}}]}\n      validate: {message: None at all, pattern: {data: {B: \"1\"}}}\n";
    fs::write(folder.path().join("none.yaml"), strict)?;
    put_in_force(&policies, folder.path())?;
    let status = agent
        .wait_status("my-app", "a warning", |status| {
            status["conditions"][0]["type"] == "PolicyWarning"
        })
        .await?;
    assert_eq!(status["sync"]["status"], "Synced", "{status:#}");
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("would be refused now: none/no-config: None at all: data.B missing"),
        "{message}"
    );
    let config = agent.get("v1", "ConfigMap", "a-my-app-env").await?;
    assert_eq!(config["metadata"]["uid"], uid);

    wait_for("the warning to go with the policy", LIMIT, async || {
        fs::remove_file(folder.path().join("none.yaml")).ok();
        put_in_force(&policies, folder.path())?;
        let status = agent.status("my-app").await?;
        anyhow::ensure!(
            status["conditions"].as_array().is_none_or(Vec::is_empty),
            "{status:#}"
        );
        Ok(())
    })
    .await?;
    agent.stop().await
}

/// Who may write a ConfigMap, told by subject, by group and by bound role.
const BY_IDENTITY: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: deployers}
spec:
  background: false
  validationFailureAction: Enforce
  rules:
    - name: by-subject
      match: {any: [{resources: {kinds: [ConfigMap], names: ["by-subject*"]}}]}
      exclude: {any: [{subjects: [{kind: ServiceAccount, name: deployer, namespace: NAMESPACE}]}]}
      validate: {message: "{{serviceAccountName}} is not the deployer", deny: {}}
    - name: by-group
      match: {any: [{resources: {kinds: [ConfigMap], names: ["by-group*"]}}]}
      exclude: {any: [{subjects: [{kind: Group, name: "system:serviceaccounts:NAMESPACE"}]}]}
      validate: {message: "{{request.userInfo.username}} is of another namespace", deny: {}}
    - name: by-role
      match: {any: [{resources: {kinds: [ConfigMap], names: ["by-role*"]}}]}
      exclude: {any: [{roles: ["NAMESPACE:deployer"]}]}
      validate: {message: "{{request.userInfo.username}} has not the role", deny: {}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_judged_is_the_service_account_that_will_apply() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let folder = tempfile::tempdir()?;
    let (policies, admission) = judging(cluster, folder.path()).await?;
    let mut agent = Agent::start_judging(cluster, "identity", admission).await?;
    let namespace = agent.namespace.clone();
    let text = BY_IDENTITY.replace("NAMESPACE", &namespace);
    fs::write(folder.path().join("deployers.yaml"), text)?;
    put_in_force(&policies, folder.path())?;
    let mut items = Vec::new();
    for name in ["deployer", "stranger"] {
        let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch", "delete"]}]);
        let api = "rbac.authorization.k8s.io";
        items.extend([
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
            json!({"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": {"name": name}, "rules": rules}),
            json!({"apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
                   "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
                   "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}),
        ]);
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    agent
        .kubectl(&["apply", "--server-side", "-f", "-"], &list)
        .await?;
    let account = |name: &str| {
        json!({"destinationServiceAccounts": [
            {"server": "*", "namespace": "*", "defaultServiceAccount": name},
        ]})
    };
    agent.project("shop", account("stranger")).await?;
    let names = ["by-subject", "by-group", "by-role"];
    let files = names.map(|name| (format!("{name}/config.yaml"), config(name, "1")));
    let files: Vec<_> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    let commit = agent.commit(&files)?;
    for name in names {
        agent.application(name, name, json!({"project": "shop"})).await?;
    }
    // The stranger is of the same namespace, and neither the subject nor bound to the role.
    agent.wait_synced("by-group", &commit).await?;
    let user = format!("system:serviceaccount:{namespace}:stranger");
    for (name, message) in [
        ("by-subject", "stranger is not the deployer".to_owned()),
        ("by-role", format!("{user} has not the role")),
    ] {
        let status = agent
            .wait_status(name, "a refusal", |status| refusal(status).is_some())
            .await?;
        assert!(refusal(&status).unwrap().contains(&message), "{status:#}");
        assert!(agent.is_absent("v1", "ConfigMap", name).await?);
    }

    // As soon as the project names the other, that one is judged.
    agent.project("shop", account("deployer")).await?;
    for name in names {
        agent.wait_synced(name, &commit).await?;
    }
    agent.stop().await
}

/// What a ConfigMap must say, and a Namespace must not.
const SAID: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: said}
spec:
  validationFailureAction: Enforce
  rules:
    - name: value
      match: {any: [{resources: {kinds: [ConfigMap], names: ["my-app*"]}}]}
      validate: {message: A is good, pattern: {data: {A: good}}}
    - name: team
      match: {any: [{resources: {kinds: [Namespace]}}]}
      validate: {message: No namespace is nobody's, pattern: {metadata: {=(labels): {=(team): "!nobody"}}}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_waits_for_leave_says_what_would_be_refused_and_where() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("said.yaml"), SAID)?;
    let (_policies, admission) = judging(cluster, folder.path()).await?;
    let mut agent = Agent::start_judging(cluster, "waiting", admission).await?;
    let text = format!("# first\n---\n{}", config("my-app", "bad"));
    agent.commit(&[("app/config.yaml", &text)])?;
    let by_hand = json!({"syncPolicy": {"automated": null}});
    agent.application("my-app", "app", by_hand.clone()).await?;
    let status = agent
        .wait_status("my-app", "a warning", |status| {
            status["conditions"][0]["type"] == "PolicyWarning"
        })
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    let wanted = format!(
        "ConfigMap {}/my-app (app/config.yaml:3) would be refused by policy: said/value: A is good: data.A is \"bad\" \
         needs good (app/config.yaml:8:3)",
        agent.namespace
    );
    assert!(message.starts_with(&wanted), "{message}");
    assert_eq!(status["sync"]["status"], "OutOfSync");

    // A good one says nothing, and its sync how much was judged.
    agent.commit(&[("app/config.yaml", &text.replace("bad", "good"))])?;
    agent
        .wait_status("my-app", "no warning", |status| {
            status["conditions"].as_array().is_none_or(Vec::is_empty)
        })
        .await?;
    agent
        .application("my-app", "app", json!({"syncPolicy": {"automated": {}}}))
        .await?;
    agent
        .wait_status("my-app", "what was judged", |status| {
            let message = &status["operationState"]["message"];
            message == "1 created, 0 changed, 0 deleted; policies: 1 judged, 0 refused"
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_wants_on_its_namespace_is_judged_too() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("said.yaml"), SAID)?;
    let (_policies, admission) = judging(cluster, folder.path()).await?;
    let mut agent = Agent::start_judging(cluster, "carried", admission).await?;
    let commit = agent.commit(&[("app/config.yaml", &config("my-app", "good"))])?;
    let of_team = |team: &str| {
        json!({"syncPolicy": {
            "syncOptions": ["CreateNamespace=true"],
            "managedNamespaceMetadata": {"labels": {"team": team}},
        }})
    };
    agent.application("my-app", "app", of_team("nobody")).await?;
    let status = agent
        .wait_status("my-app", "a refusal", |status| refusal(status).is_some())
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("managedNamespaceMetadata) is refused by policy: said/team"),
        "{message}"
    );
    let labels = async || {
        anyhow::Ok(agent.live("v1", "Namespace", "", &agent.namespace).await?["metadata"]["labels"].clone())
    };
    assert_eq!(labels().await?["team"], Value::Null);
    assert!(agent.is_absent("v1", "ConfigMap", "my-app").await?);
    agent.application("my-app", "app", of_team("shop")).await?;
    agent.wait_synced("my-app", &commit).await?;
    assert_eq!(labels().await?["team"], "shop");
    assert_eq!(agent.quiet_requests().await?, 0);
    agent.stop().await
}
