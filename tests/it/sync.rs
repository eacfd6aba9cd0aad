//! The agent against a real control plane: what Git says gets there, and stays.

use std::time::Duration;

use anyhow::Context as _;
use harness::git::{DANA, Repository};
use harness::{Cluster, User, wait_for};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use provost::cluster::Cluster as Connection;
use provost::git::LocalRepositories;
use provost::ledger::Ledger;
use provost::sync::{SyncConfig, run_on};
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for a busy machine; what must be quick is measured by itself.
const LIMIT: Duration = Duration::from_secs(60);
/// How soon drift is put back: 2 s, and as much again for a busy machine.
const HEAL_LIMIT: Duration = Duration::from_secs(4);

/// An agent that reconciles one namespace's Applications, and the repository that they read.
pub(crate) struct Agent<'c> {
    pub(crate) cluster: &'c Cluster,
    /// Where the Applications are, and their objects.
    pub(crate) namespace: String,
    pub(crate) repository: Repository,
    pub(crate) connection: Connection,
    client: kube::Client,
    folder: tempfile::TempDir,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), provost::sync::Error>>,
}

impl<'c> Agent<'c> {
    pub(crate) async fn start(cluster: &'c Cluster, hint: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let namespace = cluster.namespace(hint).await?;
        let connection = Connection::connect(cluster.client(User::Agent).await?).await?;
        let config = SyncConfig {
            state: folder.path().join("state"),
            poll_interval: Duration::from_millis(500),
            local_repositories: LocalRepositories::Allowed,
            kustomize: Some(cluster.binaries().path("kustomize")),
            search_path: String::new(),
            namespace: Some(namespace.clone()),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run_on(
            config,
            connection.clone(),
            Ledger::none(),
            shutdown.clone(),
        ));
        let agent = Self {
            cluster,
            namespace,
            repository: Repository::init(&folder.path().join("infrastructure"))?,
            connection,
            client: cluster.client(User::Admin).await?,
            folder,
            shutdown,
            task,
        };
        let crds: Api<DynamicObject> = Api::all_with(
            agent.client.clone(),
            &resource("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        );
        wait_for("the agent's CRDs", LIMIT, async || {
            let crd = crds.get("inventories.provost.dev").await?;
            let established = crd.data["status"]["conditions"]
                .to_string()
                .contains("Established");
            established
                .then_some(())
                .ok_or_else(|| anyhow::anyhow!("not established"))
        })
        .await?;
        Ok(agent)
    }

    /// Commits these files, and nothing else that was there.
    pub(crate) fn commit(&mut self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        for (file, text) in files {
            self.repository
                .write(file, &text.replace("NAMESPACE", &self.namespace))?;
        }
        self.repository.commit(DANA, "Change what is deployed")
    }

    /// Makes an Application of a path, all automatic, with `change` merged into its spec.
    pub(crate) async fn application(&self, name: &str, path: &str, change: Value) -> anyhow::Result<()> {
        let mut spec = json!({
            "project": "default",
            "source": {"repoURL": self.repository.path(), "path": path, "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": self.namespace},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        });
        json_patch::merge(&mut spec, &change);
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        self.kubectl(&["apply", "--server-side", "-f", "-"], &application.to_string())
            .await?;
        Ok(())
    }

    pub(crate) async fn kubectl(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
        let arguments = [&["-n", self.namespace.as_str()], arguments].concat();
        self.cluster
            .kubectl(User::Admin, &arguments, stdin)
            .await?
            .success()
    }

    pub(crate) fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(api_version, kind))
    }

    pub(crate) async fn get(&self, api_version: &str, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(
            self.api(api_version, kind).get(name).await?,
        )?)
    }

    /// A live object, wherever it is.
    pub(crate) async fn live(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<Value> {
        let gvk = GroupVersionKind::from_api_version(api_version, kind);
        let kinds = self.connection.kinds();
        let target = kinds
            .get(&gvk)
            .context("the kind is not served")?
            .target(&ObjectKey {
                group: gvk.group.clone(),
                kind: gvk.kind.clone(),
                namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
                name: name.to_owned(),
            });
        self.connection
            .get(&target)
            .await?
            .with_context(|| format!("{target} is not there"))
    }

    pub(crate) async fn status(&self, application: &str) -> anyhow::Result<Value> {
        let application = self
            .get("argoproj.io/v1alpha1", "Application", application)
            .await?;
        Ok(application["status"].clone())
    }

    /// Waits until the Application's status is so.
    pub(crate) async fn wait_status(
        &self,
        application: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.wait_status_for(application, what, LIMIT, holds).await
    }

    pub(crate) async fn wait_status_for(
        &self,
        application: &str,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        wait_for(&format!("{application}: {what}"), limit, async || {
            let status = self.status(application).await?;
            if holds(&status) {
                Ok(status)
            } else {
                Err(anyhow::anyhow!("status is {status:#}"))
            }
        })
        .await
    }

    pub(crate) async fn wait_synced(&self, application: &str, revision: &str) -> anyhow::Result<Value> {
        self.wait_status(application, &format!("synced to {revision}"), |status| {
            status["sync"]["status"] == "Synced" && status["sync"]["revision"] == revision
        })
        .await
    }

    /// Waits until the object is so, as long as putting drift back may take.
    async fn wait_healed(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
        healed: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        wait_for(&format!("{kind} {name} to be put back"), HEAL_LIMIT, async || {
            let object = self.get(api_version, kind, name).await?;
            if healed(&object) {
                Ok(())
            } else {
                Err(anyhow::anyhow!("it is {object:#}"))
            }
        })
        .await
    }

    async fn is_absent(&self, api_version: &str, kind: &str, name: &str) -> anyhow::Result<bool> {
        Ok(self.api(api_version, kind).get_opt(name).await?.is_none())
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.task.await??;
        Ok(())
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind))
}

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-app, labels: {app: my-app}}
spec:
  replicas: 2
  selector: {matchLabels: {app: my-app}}
  template:
    metadata: {labels: {app: my-app}}
    spec:
      containers:
        - name: web
          image: registry.example.com/my-app:v1.5.2
          ports: [{containerPort: 8080}]
          resources: {limits: {cpu: '0.5', memory: 128Mi}}
";

const ROLE: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
  - {apiGroups: [''], resources: [configmaps], verbs: [get]}
";

const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: my-app-env}, data: {A: '1'}}";

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

    // A commit elsewhere costs no render and no write but the revision; one that removes a file deletes its object.
    let elsewhere = agent.commit(&[("apps/other/x.yaml", CONFIG)])?;
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
async fn whatever_somebody_edits_by_hand_is_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "healed").await?;
    let commit = agent.commit(&[
        ("app/deployment.yaml", DEPLOYMENT),
        ("app/role.yaml", ROLE),
        ("app/config.yaml", CONFIG),
    ])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_synced("my-app", &commit).await?;
    agent
        .wait_status("my-app", "healthy", |status| {
            status["health"]["status"] == "Healthy"
        })
        .await?;

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
            json!({"source": {"helm": {"releaseName": "x"}}, "project": "team-a"}),
        )
        .await?;
    let status = agent
        .wait_status("my-app", "a refusal", |status| {
            status["conditions"][0]["type"] == "InvalidSpecError"
        })
        .await?;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.source.helm.releaseName") || message.contains("spec.source.helm"),
        "{message}"
    );
    assert!(message.contains("spec.project \"team-a\""), "{message}");
    assert!(agent.is_absent("v1", "ConfigMap", "my-app-env").await?);
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

impl Agent<'_> {
    /// Edits an object as somebody would by hand: a strategic or merge patch under a field manager's name.
    async fn edit(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
        manager: &str,
        change: &Value,
    ) -> anyhow::Result<()> {
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        let is_builtin = !api_version.contains("example.com");
        let patch = if is_builtin {
            Patch::Strategic(change)
        } else {
            Patch::Merge(change)
        };
        self.api(api_version, kind)
            .patch(name, &parameters, &patch)
            .await?;
        Ok(())
    }

    async fn json_edit(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
        manager: &str,
        change: Value,
    ) -> anyhow::Result<()> {
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<Value>::Json(serde_json::from_value(change)?);
        self.api(api_version, kind)
            .patch(name, &parameters, &patch)
            .await?;
        Ok(())
    }

    /// How many requests are made in some polls' time once the agent has come to rest.
    pub(crate) async fn quiet_requests(&self) -> anyhow::Result<u64> {
        let mut before = self.connection.requests();
        wait_for("the agent to come to rest", LIMIT, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.connection.requests();
            let rested = now == before;
            before = now;
            rested.then_some(()).ok_or("it makes requests")
        })
        .await?;
        // Three polls of the repository, and whatever else goes on by itself.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(self.connection.requests() - before)
    }
}
