//! An agent, a cluster and a repository under measurement.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::git::{DANA, Repository};
use harness::{Cluster, Folder, Provost, User, wait_for};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::audit::Requests;
use super::figures::megabytes;
use super::manifests;

/// How long a part may take.
const LIMIT: Duration = Duration::from_mins(10);
const SOON: Duration = Duration::from_mins(1);

pub(crate) struct Measured {
    pub(crate) provost: Provost,
    cluster: Cluster,
    folder: Folder,
    repository: Repository,
    namespace: String,
    applications: usize,
    /// Bytes of the audit log that come before what is measured.
    skipped: u64,
}

/// One Application of many objects.
pub(crate) struct Large {
    pub(crate) objects: usize,
    pub(crate) took: Duration,
    idle: u64,
    resident: u64,
}

// === impl Large ===

impl Large {
    pub(crate) fn grown_megabytes(&self) -> f64 {
        megabytes(self.resident.saturating_sub(self.idle))
    }
}

// === impl Measured ===

impl Measured {
    /// Applications that are there, of folders that hold nothing yet; all of them are looked at already.
    pub(crate) async fn start(applications: usize) -> anyhow::Result<Self> {
        let mut measured = Self::empty(applications).await?;
        for number in 0..applications {
            let folder = folder_of(number);
            let (file, text) = if is_plain(number) {
                ("README.md", "Nothing yet.\n")
            } else {
                ("kustomization.yaml", "labels: [{pairs: {team: web}}]\n")
            };
            measured.repository.write(&format!("{folder}/{file}"), text)?;
        }
        let commit = measured.repository.commit(DANA, "Nothing yet")?;
        let names: Vec<_> = (0..applications)
            .map(|number| (name_of(number), folder_of(number)))
            .collect();
        measured.apply(&names).await?;
        measured.wait_synced(&commit).await?;
        Ok(measured)
    }

    async fn empty(applications: usize) -> anyhow::Result<Self> {
        let cluster = Cluster::own().await?;
        let folder = Folder::new()?;
        let namespace = cluster.namespace("bench").await?;
        let repository = Repository::init(&folder.path().join("infrastructure"))?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let kubeconfig = cluster.kubeconfig(User::Agent).display().to_string();
        let kustomize = cluster.binaries().path("kustomize").display().to_string();
        let (state, ledger) = (path("state"), path("ledger"));
        let arguments = [
            "serve",
            "--role",
            "agent",
            "--kubeconfig",
            &kubeconfig,
            "--state",
            &state,
            "--ledger",
            &ledger,
            "--kustomize",
            &kustomize,
            "--allow-local-repositories",
            "--control-namespace",
            &namespace,
            "--metrics-listen",
            "127.0.0.1:0",
            "--poll-interval",
            "2s",
        ];
        let mut provost = Provost::start(&arguments, &[])?;
        provost.wait_for_line("Ready.", SOON).await?;
        let measured = Self {
            provost,
            cluster,
            folder,
            repository,
            namespace,
            applications,
            skipped: 0,
        };
        let client = measured.cluster.client(User::Admin).await?;
        let crds: Api<DynamicObject> = Api::all_with(
            client,
            &resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        );
        wait_for("the agent's CRDs", SOON, async || {
            let crd = crds.get("inventories.provost.dev").await?;
            let status = crd.data["status"]["conditions"].to_string();
            anyhow::ensure!(status.contains("Established"), "{status}");
            Ok(())
        })
        .await?;
        // The agent makes a project of that name, whose fields are its own.
        let project = manifests::project(&measured.namespace).to_string();
        let take = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        wait_for("the project to be taken", SOON, async || {
            measured
                .cluster
                .kubectl(User::Admin, &take, &project)
                .await?
                .success()
        })
        .await?;
        Ok(measured)
    }

    async fn apply(&self, names: &[(String, String)]) -> anyhow::Result<()> {
        let repository = self.repository.path().display().to_string();
        let wanted: Vec<String> = names
            .iter()
            .map(|(name, path)| manifests::application(name, &repository, path, &self.namespace).to_string())
            .collect();
        let arguments = ["apply", "--server-side", "-f", "-"];
        self.cluster
            .kubectl(User::Admin, &arguments, &wanted.join("\n---\n"))
            .await?
            .success()?;
        Ok(())
    }

    /// Commits all objects, has the repository fetched, and waits until all Applications are synced.
    pub(crate) async fn sync_all(&mut self) -> anyhow::Result<Duration> {
        for number in 0..self.applications {
            let (folder, objects) = (folder_of(number), manifests::objects(&name_of(number)));
            self.repository
                .write(&format!("{folder}/objects.yaml"), &objects)?;
            if !is_plain(number) {
                let text = "resources: [objects.yaml]\nlabels: [{pairs: {team: web}}]\n";
                self.repository
                    .write(&format!("{folder}/kustomization.yaml"), text)?;
            }
        }
        self.skipped = std::fs::metadata(self.log()?)?.len();
        let commit = self.repository.commit(DANA, "All of it")?;
        let started = Instant::now();
        self.refresh().await?;
        self.wait_synced(&commit).await?;
        Ok(started.elapsed())
    }

    fn requests(&self) -> anyhow::Result<Requests> {
        Requests::read(&self.log()?, User::Agent.name(), self.skipped)
    }

    /// The same objects with kubectl, in another namespace.
    pub(crate) async fn kubectl_apply(&self) -> anyhow::Result<Duration> {
        let folder = self.folder.path().join("kubectl");
        std::fs::create_dir(&folder)?;
        for number in 0..self.applications {
            let name = name_of(number);
            std::fs::write(folder.join(format!("{name}.yaml")), manifests::objects(&name))?;
        }
        let namespace = self.cluster.namespace("kubectl").await?;
        let (folder, started) = (folder.display().to_string(), Instant::now());
        let arguments = ["-n", &namespace, "apply", "--server-side", "-f", &folder];
        self.cluster
            .kubectl(User::Admin, &arguments, "")
            .await?
            .success()?;
        Ok(started.elapsed())
    }

    /// What the agent has asked for since what is measured began, once it has come to rest: statuses of health that came
    /// later included.
    pub(crate) async fn requests_until_rest(&self) -> anyhow::Result<Requests> {
        let mut before = u64::MAX;
        wait_for("the agent to come to rest", LIMIT, async || {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let now = self.requests()?;
            let rests = now.total() == before;
            before = now.total();
            anyhow::ensure!(rests, "it makes requests");
            Ok(now)
        })
        .await
    }

    /// What is asked for within `time` once the agent has come to rest.
    pub(crate) async fn quiet(&mut self, time: Duration) -> anyhow::Result<Requests> {
        self.requests_until_rest().await?;
        self.skipped = std::fs::metadata(self.log()?)?.len();
        tokio::time::sleep(time).await;
        self.requests()
    }

    /// From the refresh after a commit that touches one Application until its object is changed.
    pub(crate) async fn touch_one(&mut self) -> anyhow::Result<Duration> {
        let (name, folder) = (name_of(0), folder_of(0));
        let text = manifests::objects(&name).replace("web:v1.0.0", "web:v1.0.1");
        self.repository.write(&format!("{folder}/objects.yaml"), &text)?;
        self.repository.commit(DANA, "One of them")?;
        let client = self.cluster.client(User::Admin).await?;
        let kind = resource("apps", "v1", "Deployment");
        let deployments: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, &kind);
        let started = Instant::now();
        self.refresh().await?;
        wait_for("the change", LIMIT, async || {
            let live = deployments.get(&name).await?;
            let is_there = live.data.to_string().contains("web:v1.0.1");
            is_there.then_some(()).context("it is as before")
        })
        .await?;
        Ok(started.elapsed())
    }

    /// How long the agent and the programs that it ran have been on a processor.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.provost.pid()))?;
        let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
        // utime, stime, cutime and cstime, in hundredths of a second on every Linux that we run on.
        let ticks = fields.split_whitespace().skip(11).take(4).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    async fn refresh(&self) -> anyhow::Result<()> {
        let name = name_of(0);
        let arguments = [
            "-n",
            &self.namespace,
            "annotate",
            "--overwrite",
            "application",
            &name,
            "argocd.argoproj.io/refresh=normal",
        ];
        self.cluster
            .kubectl(User::Admin, &arguments, "")
            .await?
            .success()?;
        Ok(())
    }

    async fn wait_synced(&self, commit: &str) -> anyhow::Result<()> {
        let client = self.cluster.client(User::Admin).await?;
        let kind = resource("argoproj.io", "v1alpha1", "Application");
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, &kind);
        wait_for("all Applications to be synced", LIMIT, async || {
            // Looking must not be what takes the time.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let all = api.list(&ListParams::default()).await?;
            let is_synced = |one: &&DynamicObject| {
                let sync = &one.data["status"]["sync"];
                sync["status"] == "Synced" && sync["revision"] == commit
            };
            let left = all.items.len() - all.items.iter().filter(is_synced).count();
            anyhow::ensure!(left == 0 && !all.items.is_empty(), "{left} are not");
            Ok(())
        })
        .await
    }

    fn log(&self) -> anyhow::Result<PathBuf> {
        self.cluster.audit_log()
    }
}

/// An Application of so many ConfigMaps: how long from its creation until it is synced, and what that takes.
pub(crate) async fn one_application(objects: usize) -> anyhow::Result<Large> {
    let mut measured = Measured::empty(1).await?;
    measured
        .repository
        .write("large/objects.yaml", &manifests::config_maps(objects))?;
    let commit = measured.repository.commit(DANA, "Many objects")?;
    let idle = measured.provost.resident_bytes()?;
    let started = Instant::now();
    measured
        .apply(&[("large".to_owned(), "large".to_owned())])
        .await?;
    measured.wait_synced(&commit).await?;
    Ok(Large {
        objects,
        took: started.elapsed(),
        idle,
        resident: measured.provost.resident_bytes()?,
    })
}

fn is_plain(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn name_of(number: usize) -> String {
    format!("app-{number:04}")
}

fn folder_of(number: usize) -> String {
    format!("apps/{}", name_of(number))
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
