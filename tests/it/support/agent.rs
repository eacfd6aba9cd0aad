//! An agent in this process, against a real control plane.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use harness::git::{DANA, Repository};
use harness::{Cluster, User, wait_for};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use provost::cluster::Cluster as Connection;
use provost::git::{LocalRepositories, Submodules};
use provost::ledger::{Destination, Ledger};
use provost::policies::Admission;
use provost::sync::{FallbackIdentity, PushSecrets, SyncConfig, run_on};
use provost::telemetry::Metrics;
use provost_evidence::event::Boot;
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::render::launcher;

/// Long enough for a busy machine; what must be quick is measured by itself.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// How soon drift is put back: 2 s, and as much again for a busy machine.
const HEAL_LIMIT: Duration = Duration::from_secs(4);

pub(crate) const DEPLOYMENT: &str = r"
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

pub(crate) const ROLE: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
  - {apiGroups: [''], resources: [configmaps], verbs: [get]}
";

pub(crate) const CONFIG: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: my-app-env}, data: {A: '1'}}";

/// An agent that reconciles one namespace's Applications, and the repository that they read.
pub(crate) struct Agent<'c> {
    pub(crate) cluster: &'c Cluster,
    /// Where the Applications are, and their objects.
    pub(crate) namespace: String,
    pub(crate) repository: Repository,
    pub(crate) connection: Connection,
    pub(crate) client: kube::Client,
    pub(crate) folder: tempfile::TempDir,
    admission: Admission,
    pub(crate) metrics: Metrics,
    ledger: Ledger,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), provost::sync::Error>>,
}

impl<'c> Agent<'c> {
    pub(crate) async fn start(cluster: &'c Cluster, hint: &str) -> anyhow::Result<Self> {
        Self::begin(cluster, hint, Admission::none(), |_| {}).await
    }

    /// An agent that asks these policies before it writes.
    pub(crate) async fn start_judging(
        cluster: &'c Cluster,
        hint: &str,
        admission: Admission,
    ) -> anyhow::Result<Self> {
        Self::begin(cluster, hint, admission, |_| {}).await
    }

    /// An agent that is told something else.
    pub(crate) async fn start_with(
        cluster: &'c Cluster,
        hint: &str,
        change: impl FnOnce(&mut SyncConfig),
    ) -> anyhow::Result<Self> {
        Self::begin(cluster, hint, Admission::none(), change).await
    }

    async fn begin(
        cluster: &'c Cluster,
        hint: &str,
        admission: Admission,
        change: impl FnOnce(&mut SyncConfig),
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let metrics = Metrics::default();
        let namespace = cluster.namespace(hint).await?;
        let ledger = Ledger::open(
            &Destination::Directory(folder.path().join("ledger")),
            Boot::default(),
        )?;
        let (connection, shutdown, task) = run_agent(
            cluster,
            folder.path(),
            (&namespace, &namespace),
            &admission,
            &ledger,
            &metrics,
            change,
        )
        .await?;
        let agent = Self {
            cluster,
            namespace,
            repository: Repository::init(&folder.path().join("infrastructure"))?,
            connection,
            client: cluster.client(User::Admin).await?,
            folder,
            admission,
            metrics,
            ledger,
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
        agent.project("default", json!({})).await?;
        Ok(agent)
    }

    /// Makes a project that allows everything, with `change` merged into its spec.
    pub(crate) async fn project(&self, name: &str, change: Value) -> anyhow::Result<()> {
        let mut spec = json!({
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        });
        json_patch::merge(&mut spec, &change);
        let project = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        // The agent makes one named default, whose fields are its own.
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        wait_for("the AppProject to be taken", LIMIT, async || {
            self.kubectl(&apply, &project.to_string()).await
        })
        .await?;
        Ok(())
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

    /// Makes it, or what of it is not so yet.
    pub(crate) async fn apply(&self, object: &Value) -> anyhow::Result<String> {
        self.kubectl(&["apply", "--server-side", "-f", "-"], &object.to_string())
            .await
    }

    pub(crate) async fn config_map(&self, name: &str, data: Value) -> anyhow::Result<()> {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        self.apply(&object).await.map(drop)
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

    /// Asks for a look at the repository, and for the commit on the status.
    pub(crate) async fn refresh(&self, application: &str) -> anyhow::Result<()> {
        let annotate = [
            "annotate",
            "application",
            application,
            "argocd.argoproj.io/refresh=normal",
        ];
        self.kubectl(&annotate, "").await?;
        Ok(())
    }

    /// Commits the Deployment, the Role and the ConfigMap as the Application my-app, and waits until all of it is
    /// there and healthy; the commit.
    pub(crate) async fn sync_my_app(&mut self) -> anyhow::Result<String> {
        let commit = self.commit(&[
            ("app/deployment.yaml", DEPLOYMENT),
            ("app/role.yaml", ROLE),
            ("app/config.yaml", CONFIG),
        ])?;
        self.application("my-app", "app", json!({})).await?;
        self.wait_synced("my-app", &commit).await?;
        self.wait_status("my-app", "healthy", |status| {
            status["health"]["status"] == "Healthy"
        })
        .await?;
        Ok(commit)
    }

    /// Waits until the object is so, as long as putting drift back may take.
    pub(crate) async fn wait_healed(
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

    pub(crate) async fn is_absent(&self, api_version: &str, kind: &str, name: &str) -> anyhow::Result<bool> {
        Ok(self.api(api_version, kind).get_opt(name).await?.is_none())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.end().await
    }

    /// Ends the agent; its repository stays.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        (&mut self.task).await??;
        Ok(())
    }

    /// Another agent over the Applications of another namespace, with this one's projects.
    pub(crate) async fn second_watching(&self, applications: &str) -> anyhow::Result<Self> {
        self.another(applications).await
    }

    /// Another agent over the same Applications and repository, with a state of its own.
    pub(crate) async fn second(&self) -> anyhow::Result<Self> {
        self.another(&self.namespace).await
    }

    async fn another(&self, applications: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let metrics = Metrics::default();
        let ledger = Ledger::open(
            &Destination::Directory(folder.path().join("ledger")),
            Boot::default(),
        )?;
        let (connection, shutdown, task) = run_agent(
            self.cluster,
            folder.path(),
            (applications, &self.namespace),
            &self.admission,
            &ledger,
            &metrics,
            |_| {},
        )
        .await?;
        Ok(Self {
            cluster: self.cluster,
            namespace: self.namespace.clone(),
            repository: self.repository.clone(),
            connection,
            client: self.client.clone(),
            folder,
            admission: self.admission.clone(),
            metrics,
            ledger,
            shutdown,
            task,
        })
    }

    /// Ends the agent and starts another on the same state.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.end().await?;
        self.begin_again().await
    }

    /// Starts another agent on the state of one that has ended.
    pub(crate) async fn begin_again(&mut self) -> anyhow::Result<()> {
        self.metrics = Metrics::default();
        let (connection, shutdown, task) = run_agent(
            self.cluster,
            self.folder.path(),
            (&self.namespace, &self.namespace),
            &self.admission,
            &self.ledger,
            &self.metrics,
            |_| {},
        )
        .await?;
        (self.connection, self.shutdown, self.task) = (connection, shutdown, task);
        Ok(())
    }

    /// Everything that the ledger has, once it is written.
    pub(crate) fn ledger_text(&self) -> anyhow::Result<String> {
        self.ledger.close("the test wants to read it")?;
        let mut text = String::new();
        for file in self.folder.path().join("ledger").read_dir()? {
            text += &std::fs::read_to_string(file?.path())?;
        }
        Ok(text)
    }
}

type Running = (
    Connection,
    CancellationToken,
    JoinHandle<Result<(), provost::sync::Error>>,
);

async fn run_agent(
    cluster: &Cluster,
    folder: &Path,
    (applications, projects): (&str, &str),
    admission: &Admission,
    ledger: &Ledger,
    metrics: &Metrics,
    change: impl FnOnce(&mut SyncConfig),
) -> anyhow::Result<Running> {
    let connection = Connection::connect(cluster.client(User::Agent).await?).await?;
    let mut config = SyncConfig {
        state: folder.join("state"),
        poll_interval: Duration::from_millis(500),
        local_repositories: LocalRepositories::Allowed,
        submodules: Submodules::Refused,
        control_namespaces: vec![projects.to_owned()],
        hooks_listen: None,
        push_secrets: PushSecrets::default(),
        gpg: "gpg".into(),
        kustomize: Some(cluster.binaries().path("kustomize")),
        helm: Some(cluster.binaries().path("helm")),
        search_path: String::new(),
        launcher: launcher(),
        namespace: Some(applications.to_owned()),
        lease_namespace: applications.to_owned(),
        fallback: FallbackIdentity::Agent,
        health_rules: std::sync::Arc::default(),
        metrics: metrics.clone(),
    };
    change(&mut config);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(run_on(
        config,
        connection.clone(),
        admission.clone(),
        ledger.clone(),
        shutdown.clone(),
    ));
    Ok((connection, shutdown, task))
}

pub(crate) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind))
}

impl Agent<'_> {
    /// Edits an object as somebody would by hand: a strategic or merge patch under a field manager's name.
    pub(crate) async fn edit(
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

    pub(crate) async fn json_edit(
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
