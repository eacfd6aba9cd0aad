//! An agent as a process of its own, behind a gate: one that can be killed, frozen and kept from what it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use harness::git::{DANA, Repository};
use harness::{Cluster, Folder, Provost, User, wait_for};
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::{Value, json};

use super::agent::{LIMIT, resource};
use super::gate::Gate;

/// How often `make soak` tries a fault, unless `PROVOST_SOAK_ROUNDS` says otherwise.
const ROUNDS: usize = 100;

/// How often a fault is tried in a soak.
pub(crate) fn rounds() -> usize {
    harness::settings::soak_rounds().unwrap_or(ROUNDS)
}

/// An agent that reconciles one namespace's Applications.
pub(crate) struct Process<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) namespace: String,
    pub(crate) repository: Repository,
    pub(crate) gate: Gate,
    pub(crate) client: kube::Client,
    pub(crate) folder: Folder,
    /// Arguments beside the usual ones.
    pub(crate) arguments: Vec<String>,
    provost: Option<Provost>,
    /// How much of the log was read.
    read: usize,
}

impl<'c> Process<'c> {
    /// All but the process, which may want something before it starts.
    pub(crate) async fn make_ready(cluster: &'c Cluster, hint: &str) -> anyhow::Result<Self> {
        let namespace = cluster.namespace(hint).await?;
        let folder = Folder::new()?;
        let repository = Repository::init(&folder.path().join("infrastructure"))?;
        Self::make(cluster, namespace, repository, folder).await
    }

    pub(crate) async fn start(cluster: &'c Cluster, hint: &str) -> anyhow::Result<Self> {
        let mut process = Self::make_ready(cluster, hint).await?;
        process.run().await?;
        process.project().await?;
        Ok(process)
    }

    /// Another one over the same Applications and repository, with a state of its own; it waits for the lease.
    pub(crate) async fn beside(&self) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let (namespace, repository) = (self.namespace.clone(), self.repository.clone());
        let mut process = Self::make(self.cluster, namespace, repository, folder).await?;
        process.run_in_background().await?;
        Ok(process)
    }

    async fn make(
        cluster: &'c Cluster,
        namespace: String,
        repository: Repository,
        folder: Folder,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            cluster,
            namespace,
            repository,
            gate: Gate::before(cluster).await?,
            client: cluster.client(User::Admin).await?,
            folder,
            arguments: Vec::new(),
            provost: None,
            read: 0,
        })
    }

    /// Runs the agent, on the state that is there.
    pub(crate) async fn run(&mut self) -> anyhow::Result<()> {
        self.begin()?;
        self.running()?.wait_for_line("Ready.", LIMIT).await?;
        Ok(())
    }

    /// The same with an agent that has to wait for the lease.
    pub(crate) async fn run_in_background(&mut self) -> anyhow::Result<()> {
        self.begin()?;
        let provost = self.running()?;
        provost
            .wait_for_line("Another agent holds the lease", LIMIT)
            .await?;
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let kubeconfig = self.gate.kubeconfig().display().to_string();
        let (state, ledger) = (path("state"), path("ledger"));
        let mut arguments = vec![
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
            &self.namespace,
            "--allow-local-repositories",
            "--poll-interval",
            "1s",
            "--metrics-listen",
            "127.0.0.1:0",
        ];
        arguments.extend(self.arguments.iter().map(String::as_str));
        self.read = 0;
        self.provost = Some(Provost::start(&arguments, &[])?);
        Ok(())
    }

    fn running(&mut self) -> anyhow::Result<&mut Provost> {
        self.provost.as_mut().context("the agent does not run")
    }

    pub(crate) fn pid(&mut self) -> anyhow::Result<u32> {
        Ok(self.running()?.pid())
    }

    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.running()?.ended()?.is_none())
    }

    pub(crate) fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        self.read = self.running()?.log().len();
        self.running()?.signal(signal)
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let mut provost = self.provost.take().context("the agent does not run")?;
        provost.signal("KILL")?;
        wait_for("the agent to be gone", LIMIT, async || {
            provost.ended()?.context("it runs")
        })
        .await?;
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let provost = self.provost.take().context("the agent does not run")?;
        let code = provost.stop().await?;
        anyhow::ensure!(code == 0, "it ended with code {code}");
        Ok(())
    }

    /// Waits for a line of the log since the last signal.
    pub(crate) async fn wait_for_new_line(&mut self, text: &str) -> anyhow::Result<()> {
        let read = self.read;
        let provost = self.running()?;
        wait_for(&format!("the agent to say {text:?}"), LIMIT, async || {
            let log = provost.log();
            let new = log.get(read..).unwrap_or_default();
            anyhow::ensure!(new.contains(text), "it says {new}");
            Ok(())
        })
        .await
    }

    /// Makes the project `default`, which allows everything.
    pub(crate) async fn project(&self) -> anyhow::Result<()> {
        let project = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "default", "namespace": self.namespace},
            "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]},
        });
        // The agent makes one of that name, whose fields are its own.
        wait_for("the project to be taken", LIMIT, async || {
            self.apply(&project.to_string()).await
        })
        .await
    }

    pub(crate) async fn apply(&self, objects: &str) -> anyhow::Result<()> {
        let apply = [
            "-n",
            &self.namespace,
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
        ];
        self.cluster
            .kubectl(User::Admin, &apply, objects)
            .await?
            .success()?;
        Ok(())
    }

    /// An object that is nobody's.
    pub(crate) async fn stranger(&self) -> anyhow::Result<()> {
        self.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: stranger}, data: {A: stranger}}")
            .await
    }

    pub(crate) async fn application(&self, name: &str, path: &str) -> anyhow::Result<()> {
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "project": "default",
                "source": {"repoURL": self.repository.path(), "path": path, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": self.namespace},
                "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
            },
        });
        self.apply(&application.to_string()).await
    }

    /// Commits these files.
    pub(crate) fn commit(&mut self, files: &[(String, &str)]) -> anyhow::Result<String> {
        for (file, text) in files {
            self.repository.write(file, text)?;
        }
        self.repository.commit(DANA, "Change what is deployed")
    }

    pub(crate) async fn status(&self, application: &str) -> anyhow::Result<Value> {
        let kind = resource("argoproj.io/v1alpha1", "Application");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        Ok(api.get(application).await?.data["status"].clone())
    }

    pub(crate) async fn is_synced(&self, application: &str, revision: &str) -> anyhow::Result<bool> {
        let status = self.status(application).await?;
        let sync = &status["sync"];
        Ok(sync["status"] == "Synced" && sync["revision"] == revision)
    }

    pub(crate) async fn wait_synced(&self, application: &str, revision: &str) -> anyhow::Result<()> {
        self.wait_status(application, &format!("synced to {revision}"), LIMIT, |status| {
            let sync = &status["sync"];
            sync["status"] == "Synced" && sync["revision"] == revision
        })
        .await
    }

    pub(crate) async fn wait_status(
        &self,
        application: &str,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        wait_for(&format!("{application}: {what}"), limit, async || {
            let status = self.status(application).await?;
            anyhow::ensure!(holds(&status), "status is {status:#}; the log: {}", self.log());
            Ok(())
        })
        .await
    }

    pub(crate) fn log(&self) -> String {
        self.provost.as_ref().map(Provost::log).unwrap_or_default()
    }

    /// The uid and the value of each ConfigMap that has one.
    pub(crate) async fn parts(&self) -> anyhow::Result<BTreeMap<String, (String, String)>> {
        parts(&self.client, &self.namespace).await
    }
}

impl super::agent::Agent<'_> {
    /// The uid and the value of each ConfigMap that has one.
    pub(crate) async fn parts(&self) -> anyhow::Result<BTreeMap<String, (String, String)>> {
        parts(&self.client, &self.namespace).await
    }

    /// Waits until at least so many ConfigMaps have the value.
    pub(crate) async fn wait_parts(&self, value: &str, least: usize) -> anyhow::Result<()> {
        wait_for(&format!("{least} objects with {value}"), LIMIT, async || {
            let parts = self.parts().await?;
            let found = parts.values().filter(|(_, found)| found == value).count();
            anyhow::ensure!(found >= least, "{found} have it");
            Ok(())
        })
        .await
    }
}

async fn parts(client: &kube::Client, namespace: &str) -> anyhow::Result<BTreeMap<String, (String, String)>> {
    let kind = resource("v1", "ConfigMap");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let list = api.list(&ListParams::default()).await?;
    let parts = list.items.into_iter().filter_map(|part| {
        let value = part.data["data"]["A"].as_str()?.to_owned();
        Some((part.metadata.name?, (part.metadata.uid?, value)))
    });
    Ok(parts.collect())
}
