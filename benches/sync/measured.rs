//! An agent, a cluster and a repository under measurement.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use harness::git::{DANA, Repository};
use harness::git_https::GitHttps;
use harness::{Cluster, Folder, Provost, User, wait_for};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;

use super::audit::Requests;
use super::figures::megabytes;
use super::manifests;
use super::processor;
use super::push;

/// How long a part may take.
const LIMIT: Duration = Duration::from_mins(5);
const SOON: Duration = Duration::from_mins(1);
/// How many Applications are made at a time.
const MADE_AT_ONCE: usize = 8;

pub(crate) struct Measured {
    pub(crate) provost: Provost,
    cluster: Cluster,
    folder: Folder,
    repository: Repository,
    server: GitHttps,
    hooks: SocketAddr,
    namespace: String,
    applications: usize,
    /// Bytes of the audit log that come before what is measured.
    skipped: u64,
    /// Bytes that the agent had resident before there was an Application.
    pub(crate) idle: u64,
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
        measured.make(&names).await?;
        measured.wait_synced(&commit).await?;
        Ok(measured)
    }

    async fn empty(applications: usize) -> anyhow::Result<Self> {
        let cluster = Cluster::own().await?;
        let folder = Folder::new()?;
        let namespace = cluster.namespace("bench").await?;
        let repository = Repository::init(&folder.path().join("infrastructure"))?;
        let server = GitHttps::start(folder.path()).await?;
        let hooks = push::free_address()?;
        let secrets = folder.path().join("secrets");
        std::fs::write(&secrets, format!("webhook.github.secret: {}\n", push::SECRET))?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let kubeconfig = cluster.kubeconfig(User::Agent).display().to_string();
        let kustomize = cluster.binaries().path("kustomize").display().to_string();
        let (state, ledger) = (path("state"), path("ledger"));
        let (hooks_listen, hook_secrets) = (hooks.to_string(), path("secrets"));
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
            "--hooks-listen",
            &hooks_listen,
            "--hook-secrets",
            &hook_secrets,
            "--control-namespace",
            &namespace,
            "--metrics-listen",
            "127.0.0.1:0",
            // Only a push brings news.
            "--poll-interval",
            "1h",
        ];
        let mut provost = Provost::start(&arguments, &[])?;
        provost.wait_for_line("Ready.", SOON).await?;
        let mut measured = Self {
            provost,
            cluster,
            folder,
            repository,
            server,
            hooks,
            namespace,
            applications,
            skipped: 0,
            idle: 0,
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
        let trusted = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "argocd-tls-certs-cm", "namespace": measured.namespace},
            "data": {"127.0.0.1": measured.server.authority()},
        });
        let make = ["apply", "--server-side", "-f", "-"];
        measured
            .cluster
            .kubectl(User::Admin, &make, &trusted.to_string())
            .await?
            .success()?;
        measured.idle = measured.provost.resident_bytes()?;
        Ok(measured)
    }

    fn url(&self) -> String {
        self.server.url("infrastructure")
    }

    async fn make(&self, names: &[(String, String)]) -> anyhow::Result<()> {
        let (api, url) = (self.api_of_applications().await?, self.url());
        let make = |(name, path): &(String, String)| {
            let application = manifests::application(name, &url, path, &self.namespace);
            let api = api.clone();
            async move {
                let application: DynamicObject = serde_json::from_value(application)?;
                api.create(&PostParams::default(), &application).await?;
                anyhow::Ok(())
            }
        };
        let requests: Vec<_> = names.iter().map(make).collect();
        futures::stream::iter(requests)
            .buffer_unordered(MADE_AT_ONCE)
            .try_collect()
            .await
    }

    async fn api_of_applications(&self) -> anyhow::Result<Api<DynamicObject>> {
        let client = self.cluster.client(User::Admin).await?;
        let kind = resource("argoproj.io", "v1alpha1", "Application");
        Ok(Api::namespaced_with(client, &self.namespace, &kind))
    }

    /// Pushes all objects, and waits until all Applications are synced.
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
        self.skip_what_was_asked()?;
        let commit = self.repository.commit(DANA, "All of it")?;
        let started = Instant::now();
        self.push().await?;
        self.wait_synced(&commit).await?;
        Ok(started.elapsed())
    }

    fn requests(&self) -> anyhow::Result<Requests> {
        self.requests_of(User::Agent)
    }

    /// What a user has asked for since what is measured began.
    pub(crate) fn requests_of(&self, user: User) -> anyhow::Result<Requests> {
        Requests::read(&self.log()?, user.name(), self.skipped)
    }

    /// What was asked for so far does not count.
    pub(crate) fn skip_what_was_asked(&mut self) -> anyhow::Result<()> {
        self.skipped = std::fs::metadata(self.log()?)?.len();
        Ok(())
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
        let started = Instant::now();
        let mut kubectl = tokio::process::Command::new(self.cluster.binaries().path("kubectl"));
        kubectl
            .arg("--kubeconfig")
            .arg(self.cluster.kubeconfig(User::Admin))
            .args(["-n", &namespace, "apply", "--server-side", "-f"])
            .arg(&folder)
            .env_remove("KUBECONFIG")
            .env("HOME", self.folder.path())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true);
        let status = tokio::time::timeout(LIMIT, kubectl.status()).await??;
        anyhow::ensure!(status.success(), "kubectl apply: {status}");
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

    /// What is asked for while so many pushes bring nothing, once the agent has come to rest.
    pub(crate) async fn quiet(&mut self, pushes: usize, pause: Duration) -> anyhow::Result<Requests> {
        self.requests_until_rest().await?;
        self.skip_what_was_asked()?;
        for _ in 0..pushes {
            self.push().await?;
            tokio::time::sleep(pause).await;
        }
        self.requests()
    }

    /// From the push of a commit that touches one Application until its object is changed, and how many requests that
    /// takes until the agent has come to rest.
    pub(crate) async fn touch_one(&mut self) -> anyhow::Result<(Duration, Requests)> {
        self.requests_until_rest().await?;
        let number = self.applications / 2;
        let (name, folder) = (name_of(number), folder_of(number));
        let text = manifests::objects(&name).replace("web:v1.0.0", "web:v1.0.1");
        self.repository.write(&format!("{folder}/objects.yaml"), &text)?;
        self.repository.commit(DANA, "One of them")?;
        let client = self.cluster.client(User::Admin).await?;
        let kind = resource("apps", "v1", "Deployment");
        let deployments: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, &kind);
        self.skip_what_was_asked()?;
        let started = Instant::now();
        self.push().await?;
        wait_for("the change", LIMIT, async || {
            let live = deployments.get(&name).await?;
            let is_there = live.data.to_string().contains("web:v1.0.1");
            is_there.then_some(()).context("it is as before")
        })
        .await?;
        let took = started.elapsed();
        Ok((took, self.requests_until_rest().await?))
    }

    /// How long the agent and the programs that it ran have been on a processor.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        processor::time_of(&self.provost.pid().to_string())
    }

    /// How long the control plane has been on a processor.
    pub(crate) fn control_plane_time(&self) -> anyhow::Result<Duration> {
        let kubeconfig = self.cluster.kubeconfig(User::Admin);
        let folder = kubeconfig.parent().unwrap_or_else(|| Path::new("/"));
        processor::time_of_all_in(folder, self.provost.pid())
    }

    async fn push(&self) -> anyhow::Result<()> {
        push::tell(self.hooks, &self.url()).await
    }

    /// Waits until all are synced to the commit. By a watch: looking must not be what takes the time.
    async fn wait_synced(&self, commit: &str) -> anyhow::Result<()> {
        let api = self.api_of_applications().await?;
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut left: HashSet<String> = HashSet::new();
        let mut is_listed = false;
        let wait = async {
            while !(is_listed && left.is_empty()) {
                match events.next().await {
                    Some(Ok(Event::InitApply(one) | Event::Apply(one))) => {
                        let sync = &one.data["status"]["sync"];
                        let is_synced = sync["status"] == "Synced" && sync["revision"] == commit;
                        let name = one.metadata.name.unwrap_or_default();
                        if is_synced {
                            left.remove(&name);
                        } else {
                            left.insert(name);
                        }
                    }
                    Some(Ok(Event::InitDone)) => is_listed = true,
                    Some(_) => {}
                    None => anyhow::bail!("the watch over Applications has ended"),
                }
            }
            Ok(())
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        match waited {
            Ok(waited) => waited,
            Err(_) => anyhow::bail!("{} Applications are not synced: {left:?}", left.len()),
        }
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
    let started = Instant::now();
    measured.make(&[("large".to_owned(), "large".to_owned())]).await?;
    measured.wait_synced(&commit).await?;
    Ok(Large {
        objects,
        took: started.elapsed(),
        idle: measured.idle,
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
