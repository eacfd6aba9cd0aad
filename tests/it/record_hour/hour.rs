//! The cluster of the hour, and who acts in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use harness::{Cluster, Folder, Output, Provost, User, wait_for};
use provost::ledger::read::{Entry, Filter, Position, read};
use provost_evidence::event::Event;
use provost_evidence::witness::Restoration;
use serde_json::Value;

use crate::support::webhook::AUDITED;

pub(super) const LIMIT: Duration = Duration::from_mins(1);
const TEAM: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: team}
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-team
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate:
        message: A team is wanted
        pattern: {metadata: {labels: {team: "?*"}}}
"#;

/// A cluster that is governed and recorded.
pub(super) struct Hour {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    pub(super) folder: Folder,
    pub(super) provost: Provost,
}

impl Hour {
    pub(super) async fn begin(cluster: Cluster) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let namespace = cluster.namespace("shop").await?;
        // What controllers write there before anybody governs it.
        let furniture = [
            "-n",
            &namespace,
            "get",
            "configmap/kube-root-ca.crt",
            "serviceaccount/default",
        ];
        wait_for("the namespace to be furnished", LIMIT, async || {
            cluster.kubectl(User::Admin, &furniture, "").await?.success()
        })
        .await?;
        fs::create_dir(folder.path().join("policies"))?;
        fs::write(folder.path().join("policies/team.yaml"), TEAM)?;
        fs::write(folder.path().join("policies/owner.yaml"), AUDITED)?;
        let provost = serve(&cluster, folder.path(), &namespace).await?;
        let hour = Self {
            cluster,
            namespace,
            folder,
            provost,
        };
        hour.wait_judged().await?;
        Ok(hour)
    }

    /// Until the apiserver has heard of the webhook.
    pub(super) async fn wait_judged(&self) -> anyhow::Result<()> {
        wait_for("a ConfigMap without a team to be denied", LIMIT, async || {
            let output = self
                .try_as_dana(&["create", "configmap", "probe", "--dry-run=server"], "")
                .await?;
            ensure!(output.stderr.contains("denied the request"), "{}", output.stderr);
            Ok(())
        })
        .await
    }

    pub(super) async fn try_as(&self, user: User, arguments: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let all = [&["-n", self.namespace.as_str()], arguments].concat();
        self.cluster.kubectl(user, &all, stdin).await
    }

    pub(super) async fn try_as_dana(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<Output> {
        self.try_as(User::Developer, arguments, stdin).await
    }

    pub(super) async fn admin(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
        self.try_as(User::Admin, arguments, stdin).await?.success()
    }

    pub(super) async fn dana(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
        self.try_as_dana(arguments, stdin).await?.success()
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    pub(super) fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        read(
            &self.ledger(),
            &Filter::default(),
            &mut Position::default(),
            |entry| {
                entries.push(entry.clone());
                Ok::<_, std::io::Error>(())
            },
        )?;
        Ok(entries)
    }

    pub(super) fn restorations(&self) -> anyhow::Result<Vec<Restoration>> {
        let of_entry = |entry: Entry| match entry.event {
            Some(Event::Restoration(restoration)) => Some(restoration),
            _ => None,
        };
        Ok(self.entries()?.into_iter().filter_map(of_entry).collect())
    }

    pub(super) async fn wait_restored(&self, count: usize) -> anyhow::Result<()> {
        wait_for("the configuration to be restored", LIMIT, async || {
            let found = self.restorations()?;
            ensure!(found.len() >= count, "{found:#?}\n{}", self.provost.log());
            Ok(())
        })
        .await
    }

    /// Until the agent has brought the ConfigMap to what Git says.
    pub(super) async fn wait_synced(&self) -> anyhow::Result<()> {
        let what = ["get", "configmap", "my-app-env", "-ojsonpath={.data.A}"];
        wait_for("the agent to write the ConfigMap", LIMIT, async || {
            let found = self.admin(&what, "").await?;
            ensure!(found == "1", "it is {found:?}\n{}", self.provost.log());
            Ok(())
        })
        .await
    }

    pub(super) fn audited(&self) -> anyhow::Result<Vec<Value>> {
        let text = fs::read_to_string(self.cluster.audit_log()?)?;
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// What the audit log says of writes in the namespace: the id and status of each.
    pub(super) fn oracle(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut writes = BTreeMap::new();
        for event in self.audited()? {
            let (verb, object) = (&event["verb"], &event["objectRef"]);
            let is_write = object["subresource"] == "exec"
                || ["create", "update", "patch", "delete", "deletecollection"]
                    .iter()
                    .any(|known| verb == known);
            let is_dry = event["requestURI"]
                .as_str()
                .is_some_and(|uri| uri.contains("dryRun="));
            let is_talk = object["resource"] == "events"
                || object["resource"] == "leases"
                || object["subresource"] == "status"
                || object["apiGroup"] == "authorization.k8s.io";
            if object["namespace"] == self.namespace
                && event["stage"] == "ResponseComplete"
                && is_write
                && !is_dry
                && !is_talk
            {
                let id = event["auditID"].as_str().unwrap_or_default().to_owned();
                writes.insert(id, event["responseStatus"]["code"].as_u64().unwrap_or_default());
            }
        }
        Ok(writes)
    }
}

pub(super) async fn serve(cluster: &Cluster, folder: &Path, namespace: &str) -> anyhow::Result<Provost> {
    let path = |name: &str| folder.join(name).display().to_string();
    let kubeconfig = cluster.kubeconfig(User::Agent).display().to_string();
    let audit_log = cluster.audit_log()?.display().to_string();
    let mut provost = Provost::start(
        &[
            "serve",
            "--kubeconfig",
            &kubeconfig,
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
            "--policies",
            &path("policies"),
            "--certs",
            &path("certs"),
            "--ledger",
            &path("ledger"),
            "--state",
            &path("state"),
            "--failure-policy",
            "ignore",
            "--allow-local-repositories",
            "--poll-interval",
            "1s",
            "--applications-namespace",
            namespace,
            "--audit-log",
            &audit_log,
        ],
        &[],
    )?;
    provost.wait_for_line("Ready.", LIMIT).await?;
    Ok(provost)
}
