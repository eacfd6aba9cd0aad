//! A real project's manifests, with their whole history, into a real control plane.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::git::ALEX;
use harness::wait_for;
use kube::api::{Api, DynamicObject, ListParams};
use provost_manifest::object::GroupVersionKind;
use provost_manifest::{list, yaml};
use serde_json::{Value, json};

use crate::support::agent::{Agent, DEPLOYMENT, resource};
use crate::support::evidence::{assert_sqlite3_makes_the_same_tables, read, report, rows};
use crate::support::history::git;

/// How long the whole may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

/// The last commit of a year ago, one at which what the head has was not there, by the dates that the project has.
const YEAR_AGO: &str = "2025-08-01T00:00:00Z";
const YEARS_AGO: &str = "2022-08-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_prometheus_is_synced_whole_and_moved_through_the_years() -> anyhow::Result<()> {
    let bundle = harness::settings::shared_data().map(|shared| shared.join("inputs/kube-prometheus.bundle"));
    let Some(bundle) = bundle.filter(|bundle| bundle.is_file()) else {
        harness::progress::note(
            "SKIPPED: kube-prometheus through the years: inputs/kube-prometheus.bundle is absent",
        );
        return Ok(());
    };
    let cluster = Box::new(harness::cluster_or_skip!(own));
    let agent = Agent::start(&cluster, "real").await?;
    agent
        .repository
        .git(&["fetch", "--quiet", &bundle.display().to_string(), "main"])?;
    let head = agent
        .repository
        .git(&["rev-parse", "FETCH_HEAD"])?
        .trim()
        .to_owned();
    let before = |date: &str| -> anyhow::Result<String> {
        let commit = agent
            .repository
            .git(&["rev-list", "-1", &format!("--before={date}"), &head])?;
        Ok(commit.trim().to_owned())
    };
    let (last_year, long_ago) = (before(YEAR_AGO)?, before(YEARS_AGO)?);

    agent.move_to(&last_year)?;
    // manifests/setup has the namespace and the CRDs, manifests the rest; one Application reads both.
    agent
        .application(
            "kube-prometheus",
            "manifests",
            json!({"source": {"directory": {"recurse": true}}}),
        )
        .await?;
    agent.assert_as_declared(&last_year, &[]).await?;

    // A year later: CRDs and all else change where they are.
    let uids = agent.owned().await?;
    agent.move_to(&head)?;
    let declared = agent.assert_as_declared(&head, &[]).await?;
    let after = agent.owned().await?;
    for (object, uid) in &uids {
        assert!(
            after.get(object).is_none_or(|now| now == uid),
            "{object} was made anew"
        );
    }
    assert_inventory(&agent, declared).await?;
    assert_eq!(
        agent.quiet_requests().await?,
        0,
        "a pass without changes makes requests"
    );
    assert_evidence(&cluster, agent.repository.path(), &head, declared);

    // Years back, where two kinds were not there yet: what leaves Git goes, and CRDs wait to be approved of.
    let gone = [
        "CustomResourceDefinition /prometheusagents.monitoring.coreos.com",
        "CustomResourceDefinition /scrapeconfigs.monitoring.coreos.com",
    ];
    agent.move_to(&long_ago)?;
    agent.assert_as_declared(&long_ago, &gone).await?;
    let approved = format!("argocd.argoproj.io/deletion-approved={}", jiff::Timestamp::now());
    let application = ["application", "kube-prometheus", &approved];
    agent
        .kubectl(&[&["annotate"], &application[..]].concat(), "")
        .await?;
    agent.assert_as_declared(&long_ago, &[]).await?;
    agent.stop().await
}

impl Agent<'_> {
    fn move_to(&self, commit: &str) -> anyhow::Result<()> {
        self.repository.git(&["reset", "--quiet", "--hard", commit])?;
        Ok(())
    }

    /// Every object of the cluster that carries the Application's mark and nobody made in its place, with its uid.
    async fn owned(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let full_name = format!("{}/kube-prometheus", self.namespace);
        let mut found = BTreeMap::new();
        for gvk in self.connection.kinds().served() {
            let Ok(list) = self.list_of(gvk).await else {
                continue;
            };
            for object in list {
                let metadata = &object["metadata"];
                let is_ours = metadata["annotations"]["provost.dev/application"] == full_name;
                if is_ours && metadata["ownerReferences"].is_null() && gvk.kind != "Inventory" {
                    let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
                    found.insert(name_of(&gvk.kind, &object), uid);
                }
            }
        }
        Ok(found)
    }

    /// All objects of a kind, as JSON.
    async fn list_of(&self, gvk: &GroupVersionKind) -> anyhow::Result<Vec<Value>> {
        let kind = resource(&gvk.api_version(), &gvk.kind);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        let selector = ListParams::default().labels("provost.dev/owner");
        let list = api.list(&selector).await?;
        Ok(list
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?)
    }

    /// Waits until the Application is at the commit, and holds the cluster against the manifests: the same objects and
    /// those that `wait` to be approved of, and every field as it is declared. Returns how many are declared.
    async fn assert_as_declared(&self, commit: &str, wait: &[&str]) -> anyhow::Result<usize> {
        let (start, requests) = (Instant::now(), self.connection.requests());
        self.wait_status_for("kube-prometheus", "at the commit", LIMIT, |status| {
            let is_synced = status["sync"]["status"] == "Synced" || !wait.is_empty();
            let is_done = status["operationState"]["phase"] == "Succeeded";
            is_synced && is_done && status["sync"]["revision"] == commit
        })
        .await?;
        let mut declared = objects(self.repository.path())?;
        declared.iter_mut().for_each(encode_strings);
        harness::progress::note(&format!(
            "kube-prometheus {commit:.7}: {} objects in {:.1} s with {} requests",
            declared.len(),
            start.elapsed().as_secs_f64(),
            self.connection.requests() - requests,
        ));
        let text = |object: &Value, pointer: &str| {
            let value = object.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let mut names: BTreeSet<String> = wait.iter().map(|&name| name.to_owned()).collect();
        for object in &mut declared {
            let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
            let live = self
                .live(
                    &text(object, "/apiVersion"),
                    &kind,
                    &text(object, "/metadata/namespace"),
                    &name,
                )
                .await?;
            // Some of what is cluster-wide names a namespace all the same.
            if let (Value::Null, Some(metadata)) =
                (&live["metadata"]["namespace"], object["metadata"].as_object_mut())
            {
                metadata.remove("namespace");
            }
            names.insert(name_of(&kind, object));
            let lacking = lacks(object, &live, &kind);
            assert_eq!(lacking, None, "{commit}: {kind} {name}");
        }
        wait_for("what left Git to go", LIMIT, async || {
            let owned: BTreeSet<String> = self.owned().await?.into_keys().collect();
            let differing: Vec<_> = owned.symmetric_difference(&names).collect();
            anyhow::ensure!(differing.is_empty(), "{commit}: {differing:?}");
            Ok(())
        })
        .await?;
        Ok(declared.len())
    }
}

/// A Secret's `stringData` is written only; what is there is in `data`.
fn encode_strings(object: &mut Value) {
    if let Some(Value::Object(strings)) = object
        .as_object_mut()
        .and_then(|object| object.remove("stringData"))
    {
        for (key, text) in strings {
            object["data"][key] = json!(STANDARD.encode(text.as_str().unwrap_or_default()));
        }
    }
}

fn name_of(kind: &str, object: &Value) -> String {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    format!("{kind} {}/{}", text("namespace"), text("name"))
}

/// Where the live object is not as the manifest says, if it is not. What is empty may be left out, and quantities may
/// be written in another way.
fn lacks(declared: &Value, live: &Value, place: &str) -> Option<String> {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
    };
    match (declared, live) {
        // What is declared as null is left to whoever sets it, such as a creationTimestamp.
        (Value::Null, _) => None,
        _ if is_empty(declared) && is_empty(live) => None,
        (Value::Object(declared), Value::Object(live)) => declared.iter().find_map(|(key, value)| {
            let there = live.get(key).unwrap_or(&Value::Null);
            lacks(value, there, &format!("{place}.{key}"))
        }),
        (Value::Array(declared), Value::Array(live)) if declared.len() == live.len() => declared
            .iter()
            .zip(live)
            .enumerate()
            .find_map(|(index, (value, there))| lacks(value, there, &format!("{place}[{index}]"))),
        _ if declared == live => None,
        (Value::String(one), Value::String(other)) if same_quantity(one, other) => None,
        _ => Some(format!("{place} is {live}, not {declared}")),
    }
}

fn same_quantity(one: &str, other: &str) -> bool {
    use provost_manifest::quantity::Quantity;
    matches!((one.parse::<Quantity>(), other.parse::<Quantity>()), (Ok(one), Ok(other)) if one == other)
}

async fn assert_inventory(agent: &Agent<'_>, declared: usize) -> anyhow::Result<()> {
    let inventory = agent
        .get("provost.dev/v1alpha1", "Inventory", "kube-prometheus-0")
        .await?;
    let entries = inventory["spec"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), declared);
    let is_whole = |entry: &Value| entry["uid"].is_string() && entry["file"].is_string();
    assert!(entries.iter().all(is_whole), "{inventory:#}");
    Ok(())
}

/// Every live object that came from the repository is traced to its file's last commit, as `git log` names it.
fn assert_evidence(cluster: &harness::Cluster, repository: &std::path::Path, synced: &str, declared: usize) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let kubeconfig = cluster.kubeconfig(harness::User::Admin);
    let (code, text) = report(repository, &out, &["--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    let columns = [
        "object",
        "application",
        "controlled_by",
        "origin",
        "file",
        "commit_id",
    ];
    let objects = rows(&read(&out, "objects"), &columns);
    let applied: Vec<_> = objects
        .iter()
        .filter(|row| !row[1].is_empty() && row[2].is_empty())
        .collect();
    assert_eq!(applied.len(), declared);
    for row in applied {
        let last = git(repository, &["log", "-1", "--format=%H", synced, "--", &row[4]]);
        assert_eq!((row[3].as_str(), &row[5]), ("in Git", &last), "{}", row[0]);
    }
    assert_sqlite3_makes_the_same_tables(&out);
}

/// Every object in the manifests, by a reader other than the agent's.
fn objects(repository: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for folder in ["manifests", "manifests/setup"] {
        for entry in repository.join(folder).read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                for document in yaml::parse_stream(&std::fs::read_to_string(&path)?) {
                    found.extend(list::flatten(document?.value).into_iter().map(|item| item.object));
                }
            }
        }
    }
    Ok(found)
}

/// What a path's overlay does to the base, as the layout of the configuration repository has it.
fn image(tag: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: my-app\nspec:\n  template:\n    spec:\n      containers:\n        - name: web\n          image: registry.example.com/my-app:{tag}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_moves_one_overlay_and_renders_and_applies_nothing_else() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "layout").await?;
    let overlays = [
        ("development", "dev-abc123"),
        ("staging", "stg-def456"),
        ("production", "v1.5.2"),
    ];
    let service = "{apiVersion: v1, kind: Service, metadata: {name: my-app}, spec: {selector: {app: my-app}, ports: [{port: 80, targetPort: 8080}]}}\n";
    agent.commit(&[
        (
            "apps/my-app/base/kustomization.yaml",
            "resources: [deployment.yaml, service.yaml]\n",
        ),
        (
            "apps/my-app/base/deployment.yaml",
            &DEPLOYMENT.replace("replicas: 2", "replicas: 0"),
        ),
        ("apps/my-app/base/service.yaml", service),
    ])?;
    let mut head = String::new();
    for (overlay, tag) in overlays {
        let kustomization =
            format!("resources: [../../base]\nnameSuffix: -{overlay}\npatches: [{{path: image.yaml}}]\n");
        let folder = format!("apps/my-app/overlays/{overlay}");
        head = agent.commit(&[
            (&format!("{folder}/kustomization.yaml"), &kustomization),
            (&format!("{folder}/image.yaml"), &image(tag)),
        ])?;
    }
    for (overlay, _) in overlays {
        let name = format!("my-app-{overlay}");
        let path = format!("apps/my-app/overlays/{overlay}");
        agent.application(&name, &path, json!({})).await?;
    }
    for (overlay, tag) in overlays {
        agent.wait_synced(&format!("my-app-{overlay}"), &head).await?;
        assert_eq!(agent.tag_of(overlay).await?, tag);
    }
    agent.quiet_requests().await?;
    let renders = agent.renders()?;
    let versions = agent.versions(&overlays).await?;

    // The tag that runs in staging, in production.
    let file = "apps/my-app/overlays/production/image.yaml";
    agent.repository.write(file, &image("stg-def456"))?;
    let promotion = agent
        .repository
        .commit(ALEX, "promote: my-app stg-def456 to production")?;
    agent.wait_synced("my-app-production", &promotion).await?;
    assert_eq!(agent.tag_of("production").await?, "stg-def456");
    // The others have nothing to say of it, until somebody asks.
    for (overlay, _) in overlays {
        let name = format!("my-app-{overlay}");
        agent.refresh(&name).await?;
        agent.wait_synced(&name, &promotion).await?;
    }
    assert_eq!(agent.renders()? - renders, 1, "one overlay is rendered");
    let after = agent.versions(&overlays).await?;
    assert_ne!(versions["production Deployment"], after["production Deployment"]);
    for (object, version) in &versions {
        if object != "production Deployment" {
            assert_eq!(version, &after[object], "{object} was written");
        }
    }

    // The base is in all of them.
    let base = DEPLOYMENT
        .replace("replicas: 2", "replicas: 0")
        .replace("128Mi", "256Mi");
    let commit = agent.commit(&[("apps/my-app/base/deployment.yaml", &base)])?;
    for (overlay, _) in overlays {
        agent.wait_synced(&format!("my-app-{overlay}"), &commit).await?;
        let live = agent
            .get("apps/v1", "Deployment", &format!("my-app-{overlay}"))
            .await?;
        let container = &live["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"]["memory"], "256Mi", "{overlay}");
    }
    assert_eq!(agent.renders()? - renders, 4);
    agent.stop().await
}

impl Agent<'_> {
    async fn tag_of(&self, overlay: &str) -> anyhow::Result<String> {
        let live = self
            .get("apps/v1", "Deployment", &format!("my-app-{overlay}"))
            .await?;
        let image = live["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        let image = image.as_str().unwrap_or_default();
        Ok(image.rsplit(':').next().unwrap_or_default().to_owned())
    }

    /// The resourceVersion of each overlay's objects.
    async fn versions(&self, overlays: &[(&str, &str)]) -> anyhow::Result<BTreeMap<String, Value>> {
        let mut versions = BTreeMap::new();
        for (overlay, _) in overlays {
            for (version, kind) in [("apps/v1", "Deployment"), ("v1", "Service")] {
                let live = self.get(version, kind, &format!("my-app-{overlay}")).await?;
                // Its controller writes its status once more after each change, which is none of ours.
                let place = if kind == "Deployment" {
                    "generation"
                } else {
                    "resourceVersion"
                };
                versions.insert(format!("{overlay} {kind}"), live["metadata"][place].clone());
            }
        }
        Ok(versions)
    }

    /// How many renders were not found among those that are kept.
    fn renders(&self) -> anyhow::Result<u64> {
        let metrics = self.metrics.encode()?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("provost_sync_renders_total"))
            .map_or("0", |line| line.rsplit(' ').next().unwrap_or_default());
        Ok(line.parse()?)
    }
}
