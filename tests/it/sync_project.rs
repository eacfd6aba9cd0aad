//! AppProjects against a real control plane: what they allow, as whom objects are written, and when.

use harness::User;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::agent::{Agent, CONFIG, DEPLOYMENT, LIMIT, resource};

const PROJECT: (&str, &str) = ("argoproj.io/v1alpha1", "AppProject");

/// The message of the Application's first condition of this type.
fn condition<'s>(status: &'s Value, kind: &str) -> &'s str {
    let conditions = status["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found
        .and_then(|condition| condition["message"].as_str())
        .unwrap_or_default()
}

impl Agent<'_> {
    async fn change_project(&self, name: &str, spec: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.api(PROJECT.0, PROJECT.1)
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn wait_refused(&self, application: &str, reason: &str) -> anyhow::Result<Value> {
        self.wait_status(application, &format!("refused: {reason}"), |status| {
            condition(status, "InvalidSpecError").contains(reason)
        })
        .await
    }

    /// A service account, and a role over these resources for it.
    async fn service_account(&self, name: &str, group: &str, resources: &[&str]) -> anyhow::Result<()> {
        let namespace = &self.namespace;
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
             "rules": [{"apiGroups": [group], "resources": resources,
                        "verbs": ["get", "create", "patch", "delete"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]},
        ]});
        self.kubectl(&["apply", "--server-side", "-f", "-"], &objects.to_string())
            .await?;
        Ok(())
    }

    fn account_of(&self, name: &str) -> Value {
        json!({"destinationServiceAccounts": [
            {"server": "*", "namespace": self.namespace, "defaultServiceAccount": name},
        ]})
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_is_missing_or_flawed_allows_nothing_and_one_that_changes_counts_at_once()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "projects").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application("my-app", "app", json!({"project": "shop"}))
        .await?;
    let missing = format!("there is no AppProject {}/shop", agent.namespace);
    let status = agent.wait_refused("my-app", &missing).await?;
    assert_eq!(status["sync"]["status"], "Unknown");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);

    agent.project("shop", json!({"someday": true})).await?;
    agent
        .wait_refused("my-app", "spec.someday is not supported")
        .await?;
    agent
        .change_project("shop", json!({"someday": null, "sourceRepos": []}))
        .await?;
    agent
        .wait_refused("my-app", "does not allow the repository")
        .await?;
    agent
        .change_project(
            "shop",
            json!({"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "other"}]}),
        )
        .await?;
    let elsewhere = format!("does not allow namespace {}", agent.namespace);
    agent.wait_refused("my-app", &elsewhere).await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent
        .change_project(
            "shop",
            json!({"destinations": [{"server": "*", "namespace": "*"}]}),
        )
        .await?;
    agent.wait_synced("my-app", &commit).await?;

    // What was allowed and is not any more is left as it is: not healed, not pruned, not deleted.
    agent
        .change_project(
            "shop",
            json!({"namespaceResourceBlacklist": [{"group": "", "kind": "ConfigMap"}]}),
        )
        .await?;
    agent.wait_refused("my-app", "denies the kind ConfigMap").await?;
    agent
        .edit(
            "v1",
            "ConfigMap",
            "my-app-env",
            "kubectl-edit",
            &json!({"data": {"A": "2"}}),
        )
        .await?;
    agent.commit(&[("app/role.yaml", crate::support::agent::ROLE)])?;
    agent.quiet_requests().await?;
    let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(live["data"]["A"], "2");
    agent
        .change_project("shop", json!({"namespaceResourceBlacklist": []}))
        .await?;
    agent
        .wait_status("my-app", "synced again", |status| {
            status["sync"]["status"] == "Synced"
        })
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_project_that_the_agent_makes_allows_nothing() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let agent = Agent::start(cluster, "default-project").await?;
    let projects = agent.api(PROJECT.0, PROJECT.1);
    projects
        .delete("default", &kube::api::DeleteParams::default())
        .await?;
    let mut agent = agent;
    agent.restart().await?;
    agent.application("my-app", "app", json!({})).await?;
    agent
        .wait_refused("my-app", "AppProject default does not allow namespace")
        .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_elsewhere_are_only_of_projects_that_name_their_namespace() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "control").await?;
    let team = cluster.namespace("team").await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent.end().await?;
    let elsewhere = agent.second_watching(&team).await?;
    let application = json!({
        "apiVersion": PROJECT.0, "kind": "Application", "metadata": {"name": "my-app", "namespace": team},
        "spec": {
            "project": "default",
            "source": {"repoURL": agent.repository.path(), "path": "app", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": team},
            "syncPolicy": {"automated": {}},
        },
    });
    let apply = ["apply", "--server-side", "-f", "-"];
    cluster
        .kubectl(User::Admin, &apply, &application.to_string())
        .await?
        .success()?;
    let applications: Api<kube::core::DynamicObject> =
        Api::namespaced_with(agent.client.clone(), &team, &resource(PROJECT.0, "Application"));
    let status = async || anyhow::Ok(applications.get("my-app").await?.data["status"].clone());
    harness::wait_for("the refusal", LIMIT, async || {
        let status = status().await?;
        let refused =
            condition(&status, "InvalidSpecError").contains("does not allow Applications in namespace");
        anyhow::ensure!(refused, "it is {status:#}");
        Ok(())
    })
    .await?;
    agent
        .change_project("default", json!({"sourceNamespaces": [team]}))
        .await?;
    harness::wait_for("the sync", LIMIT, async || {
        let status = status().await?;
        let synced = status["sync"]["status"] == "Synced" && status["sync"]["revision"] == commit.as_str();
        anyhow::ensure!(synced, "it is {status:#}");
        Ok(())
    })
    .await?;
    elsewhere.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_written_as_the_service_account_that_the_project_names() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "accounts").await?;
    agent.service_account("configurer", "", &["configmaps"]).await?;
    agent.service_account("secretary", "", &["secrets"]).await?;
    agent.project("shop", agent.account_of("configurer")).await?;
    agent.project("other", agent.account_of("secretary")).await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG), ("web/deployment.yaml", DEPLOYMENT)])?;
    agent
        .application("my-app", "app", json!({"project": "shop"}))
        .await?;
    agent.wait_synced("my-app", &commit).await?;

    agent
        .application("web", "web", json!({"project": "shop"}))
        .await?;
    let user = format!(
        "User \"system:serviceaccount:{}:configurer\" cannot patch resource \"deployments\"",
        agent.namespace
    );
    agent
        .wait_status("web", "the apiserver's refusal", |status| {
            condition(status, "SyncError")
                .replace("\\\"", "\"")
                .contains(&user)
        })
        .await?;
    assert!(agent.is_absent("apps/v1", "Deployment", "my-app").await?);

    // Another project's account may neither change nor delete it.
    agent
        .application("my-app", "app", json!({"project": "other"}))
        .await?;
    let changed = CONFIG.replace("'1'", "'2'");
    agent.commit(&[("app/config.yaml", &changed), ("web/deployment.yaml", DEPLOYMENT)])?;
    agent
        .wait_status("my-app", "the apiserver's refusal", |status| {
            condition(status, "SyncError").contains(":secretary")
        })
        .await?;
    let finalizer = json!({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}});
    let applications = agent.api(PROJECT.0, "Application");
    applications
        .patch("my-app", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await?;
    applications
        .delete("my-app", &kube::api::DeleteParams::default())
        .await?;
    agent
        .wait_status("my-app", "a deletion that is refused", |status| {
            condition(status, "SyncError").contains(":secretary")
        })
        .await?;
    let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(live["data"]["A"], "1");
    agent
        .change_project("other", agent.account_of("configurer"))
        .await?;
    harness::wait_for("the Application to go", LIMIT, async || {
        let gone = agent.is_absent(PROJECT.0, "Application", "my-app").await?
            && agent.is_absent("v1", "ConfigMap", "my-app-env").await?;
        anyhow::ensure!(gone, "it is there");
        Ok(())
    })
    .await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_window_holds_a_sync_back_and_its_opening_begins_it() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "windows").await?;
    let window = |kind: &str, schedule: &str, manual: bool| {
        json!({"syncWindows": [{
            "kind": kind, "schedule": schedule, "duration": "24h", "applications": ["*"], "manualSync": manual,
        }]})
    };
    agent.project("shop", window("deny", "* * * * *", false)).await?;
    let commit = agent.commit(&[("app/config.yaml", CONFIG)])?;
    agent
        .application("my-app", "app", json!({"project": "shop"}))
        .await?;
    let status = agent
        .wait_status("my-app", "the window", |status| {
            condition(status, "SyncWindowWarning").contains("syncWindows[0] (deny \"* * * * *\" for 24h)")
        })
        .await?;
    assert_eq!(status["sync"]["status"], "OutOfSync");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);

    // Asked for, it waits as well, until the window lets people through.
    let operation = json!({"operation": {"sync": {}}});
    let applications = agent.api(PROJECT.0, "Application");
    applications
        .patch("my-app", &PatchParams::default(), &Patch::Merge(&operation))
        .await?;
    agent
        .wait_status("my-app", "the operation waits", |status| {
            let message = status["operationState"]["message"].as_str().unwrap_or_default();
            status["operationState"]["phase"] == "Running" && message.contains("syncWindows[0]")
        })
        .await?;
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
    agent
        .change_project("shop", window("deny", "* * * * *", true))
        .await?;
    agent.wait_synced("my-app", &commit).await?;

    // By itself it heals nothing then.
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
        .wait_status("my-app", "the drift", |status| {
            !condition(status, "SyncWindowWarning").is_empty() && status["sync"]["status"] == "OutOfSync"
        })
        .await?;
    let live = agent.get("v1", "ConfigMap", "my-app-env").await?;
    assert_eq!(live["data"]["A"], "2");

    // A window that closes within the next minute by the clock alone.
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let begin = now.checked_sub(jiff::Span::new().minutes(1))?;
    let short = json!({"syncWindows": [{
        "kind": "deny", "schedule": format!("{} {} * * *", begin.minute(), begin.hour()),
        "duration": "2m", "applications": ["*"],
    }]});
    agent.change_project("shop", short).await?;
    agent
        .wait_status("my-app", "when it opens", |status| {
            condition(status, "SyncWindowWarning").contains("next possible at")
        })
        .await?;
    agent
        .wait_status_for("my-app", "synced once it opens", 3 * LIMIT, |status| {
            status["sync"]["status"] == "Synced" && status["conditions"].is_null()
        })
        .await?;
    agent.stop().await
}
