//! An installed recorder that sees: under the ServiceAccount, the RBAC and the flags that are printed, before an apiserver
//! that sends its audit events by the webhook backend.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use harness::git_https::GitHttps;
use harness::{Cluster, Provost, User, wait_for};
use provost::ledger::digest_key;
use provost::ledger::read::{Entry, Filter, Position, read};
use provost_evidence::event::Event;
use serde_json::{Value, json};

use crate::support::install::{Installed, POLICY, SOON, install};
use crate::support::positions::assert_joined;

const OF_THE_RECORD: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-the-record",
    "namespace": "default", "labels": {"team": "shop"}}, "data": {"key": "value"}}"#;

/// Webhook and recorder as they are installed, and what is outside of the cluster.
struct Site {
    installed: Installed,
    webhook: Provost,
    recorder: Provost,
    anchor: PathBuf,
    _git: GitHttps,
    _outside: tempfile::TempDir,
}

impl Site {
    async fn start(cluster: Cluster) -> anyhow::Result<Self> {
        let outside = tempfile::tempdir()?;
        let anchor = outside.path().join("audit.git");
        git2::Repository::init_bare(&anchor)?
            .config()?
            .set_bool("http.receivepack", true)?;
        let git = GitHttps::start_self_signed(outside.path()).await?;
        git.require(&format!("Basic {}", BASE64_STANDARD.encode("bot:hunter2")));
        let authority = outside.path().join("authority.pem");
        fs::write(&authority, git.certificate())?;

        let port = harness::port::fixed()?;
        let (audit, repository) = (format!("https://127.0.0.1:{port}"), git.url("audit.git"));
        let told = [
            "--role",
            "webhook,agent,recorder",
            "--audit-url",
            &audit,
            "--anchor",
            &repository,
            "--anchor-credentials",
            "audit-push",
        ];
        let installed = Installed::with(cluster, &told).await?;
        let apply = ["apply", "--server-side", "-f", "-"];
        let secrets = install(&["--ledger-certificates", "--audit-url", &audit])?;
        installed.kubectl(&apply, &secrets).await?;
        let push = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
            "metadata": {"name": "audit-push", "namespace": "provost"},
            "stringData": {"username": "bot", "password": "hunter2"}});
        installed.kubectl(&apply, &push.to_string()).await?;
        installed.kubectl(&apply, POLICY).await?;

        let address = |port: u16| format!("127.0.0.1:{port}");
        let (listen, ledger) = (address(harness::port::fixed()?), address(harness::port::fixed()?));
        let url = format!("https://{listen}");
        let more = [
            "--webhook-url",
            &url,
            "--listen",
            &listen,
            "--ledger-listen",
            &ledger,
        ];
        let mut webhook = installed.start("webhook", &more).await?;
        webhook.wait_for_line("Ready.", SOON).await?;
        let (pull, audit_listen) = (format!("https://{ledger}"), address(port));
        let more = [
            "--pull",
            &pull,
            "--checkpoint-interval",
            "1s",
            "--audit-listen",
            &audit_listen,
        ];
        let trusted = authority.display().to_string();
        let env = [("SSL_CERT_FILE", trusted.as_str())];
        let mut recorder = installed.start_with("recorder", &more, &env).await?;
        recorder.wait_for_line("Ready.", SOON).await?;
        Ok(Self {
            installed,
            webhook,
            recorder,
            anchor,
            _git: git,
            _outside: outside,
        })
    }

    /// Starts the apiserver again with the kubeconfig that was printed for it.
    async fn have_audit_events_sent(&self) -> anyhow::Result<()> {
        let get = ["-n", "provost", "get", "secret", "provost-audit", "-ojson"];
        let secret: Value = serde_json::from_str(&self.installed.kubectl(&get, "").await?)?;
        let kubeconfig = secret["data"]["kubeconfig"].as_str().context("it is there")?;
        let file = self.installed.folder.path().join("audit.kubeconfig");
        fs::write(&file, BASE64_STANDARD.decode(kubeconfig)?)?;
        let cluster = &self.installed.cluster;
        cluster.stop_apiserver().await?;
        let flags = [
            format!("--audit-webhook-config-file={}", file.display()),
            "--audit-webhook-batch-max-wait=1s".to_owned(),
        ];
        cluster.start_apiserver_with(&flags).await
    }

    fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let ledger = self.installed.folder.path().join("recorder/ledger");
        read(&ledger, &Filter::default(), &mut Position::default(), |entry| {
            entries.push(entry.clone());
            Ok::<_, std::io::Error>(())
        })?;
        Ok(entries)
    }

    /// Until a record is there for which `is_it`.
    async fn recorded(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> anyhow::Result<Entry> {
        wait_for(what, SOON, async || {
            let entries = self.entries()?;
            let found = entries
                .iter()
                .find(|entry| entry.event.as_ref().is_some_and(&is_it));
            found.cloned().with_context(|| self.recorder.log())
        })
        .await
    }
}

impl Site {
    async fn sees_and_writes_nothing(&self) -> anyhow::Result<()> {
        for subject in ["rbac", "webhook-configurations", "policies", "exempt-namespaces"] {
            self.recorded(&format!("{subject} is sampled"), |event| {
            matches!(event, Event::Sample(sample) if sample.subject == subject && !sample.digest.is_empty())
        })
        .await?;
        }
        let asked = wait_for("it watches and lists", SOON, async || {
            let asked = self.installed.asked("recorder")?;
            let all = ["watch configmaps", "list clusterroles"];
            ensure!(all.iter().all(|wanted| asked.contains(*wanted)), "{asked:?}");
            Ok(asked)
        })
        .await?;
        let reads = ["get ", "list ", "watch "];
        let wrote: Vec<_> = asked
            .iter()
            .filter(|asked| !reads.iter().any(|read| asked.starts_with(read)))
            .collect();
        assert!(wrote.is_empty(), "{wrote:?}");
        Ok(())
    }

    /// What the apiserver wrote into its file names the records of the two writes.
    fn joins(&self) -> anyhow::Result<()> {
        let audited = self.installed.audit_events()?.into_iter();
        let named = ["of-the-record", "token"];
        let by_admin: Vec<Value> = audited
            .filter(|event| named.iter().any(|name| event["objectRef"]["name"] == *name))
            .filter(|event| event["user"]["username"] == "admin")
            .collect();
        let joined = assert_joined(&by_admin, &self.entries()?);
        ensure!(joined == 3, "{joined}: {by_admin:#?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_recorder_watches_samples_anchors_and_takes_what_the_apiserver_sends()
-> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    if cluster.audit_log().is_err() {
        harness::skip(module_path!(), "this cluster's apiserver cannot be given flags");
        return Ok(());
    }
    let site = Site::start(cluster).await?;
    let key = site
        .installed
        .folder
        .path()
        .join("recorder/state/ledger-digest.key");
    let key = digest_key::load(&key)?.key;
    let handed = site
        .recorded("the webhook uses the recorder's key", |event| {
            matches!(event, Event::DigestKey(in_use) if in_use.id == key.id() && in_use.previous.is_some())
        })
        .await?;
    site.sees_and_writes_nothing().await?;
    // For a moment, an apiserver that starts refuses whom it will let in.
    site.have_audit_events_sent().await?;

    let bare = ["-n", "default", "create", "configmap", "bare"];
    wait_for("a write is refused", SOON, async || {
        let output = site.installed.cluster.kubectl(User::Admin, &bare, "").await?;
        ensure!(output.stderr.contains("A team is wanted"), "{output:?}");
        Ok(())
    })
    .await?;
    site.installed
        .kubectl(&["create", "-f", "-"], OF_THE_RECORD)
        .await?;
    let secret = [
        "-n",
        "default",
        "create",
        "secret",
        "generic",
        "token",
        "--from-literal=a=hunter3",
    ];
    site.installed.kubectl(&secret, "").await?;

    let audited = site
        .recorded("the apiserver sends what it did", |event| {
            matches!(event, Event::Audit(audit) if audit.object.name == "of-the-record" && audit.code == 201)
        })
        .await?;
    let Some(Event::Audit(audit)) = audited.event else {
        anyhow::bail!("{audited:?}");
    };
    let answers: Vec<_> = audit
        .answers
        .iter()
        .map(|answer| answer.verdict.as_str())
        .collect();
    assert_eq!(answers, ["allowed", "witnessed"]);
    let webhooks = audit
        .answers
        .iter()
        .map(|answer| answer.position.split('/').next());
    assert!(
        webhooks
            .into_iter()
            .all(|chain| chain == Some(handed.boot.as_str())),
        "{audit:?}"
    );
    site.recorded(
        "a watch sees it",
        |event| matches!(event, Event::Observation(seen) if seen.object.name == "of-the-record"),
    )
    .await?;
    let of_secret = format!("secret:{}:", key.id());
    site.recorded("the Secret's digest is by the recorder's key", |event| {
        matches!(event, Event::Witness(told) if told.object.name == "token" && told.object_digest.starts_with(&of_secret))
    })
    .await?;
    wait_for("a checkpoint is anchored", SOON, async || {
        let found = git2::Repository::open(&site.anchor)?.refname_to_id("refs/heads/provost-anchor");
        found.with_context(|| site.recorder.log())
    })
    .await?;

    site.joins()?;
    assert!(is_silent_of(
        &site.installed.folder.path().join("recorder/ledger"),
        "hunter"
    )?);
    assert_eq!(site.webhook.stop().await?, 0);
    assert_eq!(site.recorder.stop().await?, 0);
    Ok(())
}

fn is_silent_of(folder: &Path, word: &str) -> anyhow::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && fs::read_to_string(&path)?.contains(word) {
            return Ok(false);
        }
    }
    Ok(true)
}
