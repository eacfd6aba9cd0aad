//! What witnesses tell a ledger: the webhook that only records, watches, samples, and the apiserver's audit log by file
//! and by POST.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use harness::{Cluster, Folder, Provost, User, wait_for};
use hyper::StatusCode;
use provost::ledger::read::{Filter, Position, read};
use provost_evidence::event::{Admission, Event};
use provost_evidence::witness::{Audit, Observation, Sample, Witness};
use serde_json::{Value, json};

use crate::support::https::Http2;

const LIMIT: Duration = Duration::from_mins(1);

/// A process before a cluster, and its ledger.
struct Recorded {
    provost: Provost,
    folder: Folder,
}

impl Recorded {
    async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        fs::create_dir(folder.path().join("policies"))?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (policies, certs, ledger, state) =
            (path("policies"), path("certs"), path("ledger"), path("state"));
        let mut all = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--policies",
            &policies,
            "--certs",
            &certs,
        ];
        all.extend(["--ledger", &ledger, "--state", &state]);
        all.extend(arguments);
        let mut provost = Provost::start(&all, &[])?;
        provost.wait_for_line("Ready.", LIMIT).await?;
        Ok(Self { provost, folder })
    }

    async fn before(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Self> {
        let kubeconfig = cluster.kubeconfig(User::Admin).display().to_string();
        let mut all = vec!["--kubeconfig", &kubeconfig, "--role", "webhook,recorder"];
        all.extend(["--metrics-listen", "127.0.0.1:0"]);
        all.extend(arguments);
        Self::start(&all).await
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// The events of the record, each as `pick` wants it.
    fn events<T>(&self, pick: impl Fn(Event) -> Option<T>) -> anyhow::Result<Vec<T>> {
        let mut events = Vec::new();
        read(
            &self.ledger(),
            &Filter::default(),
            &mut Position::default(),
            |entry| {
                events.extend(entry.event.clone().and_then(&pick));
                Ok::<_, std::io::Error>(())
            },
        )?;
        Ok(events)
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for file in self.ledger().read_dir()? {
            let path = file?.path();
            if path.is_file() {
                text += &fs::read_to_string(path)?;
            }
        }
        Ok(text)
    }

    fn witnessed(&self) -> anyhow::Result<Vec<Witness>> {
        self.events(|event| match event {
            Event::Witness(witness) => Some(witness),
            _ => None,
        })
    }

    fn observed(&self) -> anyhow::Result<Vec<Observation>> {
        self.events(|event| match event {
            Event::Observation(observation) => Some(observation),
            _ => None,
        })
    }

    fn samples(&self, subject: &str) -> anyhow::Result<Vec<Sample>> {
        self.events(|event| match event {
            Event::Sample(sample) if sample.subject == subject => Some(sample),
            _ => None,
        })
    }

    fn policy_changes(&self) -> anyhow::Result<Vec<Admission>> {
        self.events(|event| match event {
            Event::PolicyChange(change) => Some(change),
            _ => None,
        })
    }

    fn audited(&self) -> anyhow::Result<Vec<Audit>> {
        self.events(|event| match event {
            Event::Audit(audit) => Some(audit),
            _ => None,
        })
    }

    /// Until the apiserver has heard of the witness.
    async fn wait_asked(&self, cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
        let probe = [
            "-n",
            namespace,
            "create",
            "configmap",
            "probe",
            "--dry-run=server",
        ];
        wait_for("the witness to be asked", LIMIT, async || {
            cluster.kubectl(User::Admin, &probe, "").await?.success()?;
            ensure!(!self.witnessed()?.is_empty(), "{}", self.provost.log());
            Ok(())
        })
        .await
    }
}

async fn kubectl(cluster: &Cluster, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
    cluster.kubectl(User::Admin, arguments, stdin).await?.success()
}

async fn wait_sampled(recorded: &Recorded) -> anyhow::Result<()> {
    wait_for("the first samples", LIMIT, async || {
        let first = recorded.samples("rbac")?;
        let has_roles = first
            .first()
            .is_some_and(|sample| sample.objects.contains_key("ClusterRole cluster-admin"));
        ensure!(has_roles, "{first:?}");
        let namespaces = recorded.samples("exempt-namespaces")?;
        ensure!(!namespaces.is_empty(), "no sample of namespaces");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_no_policy_judges_are_witnessed_observed_and_sampled() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let (shop, other) = (
        cluster.namespace("shop").await?,
        cluster.namespace("other").await?,
    );
    let recorded = Recorded::before(&cluster, &["--witness-namespace", &shop]).await?;
    recorded.wait_asked(&cluster, &shop).await?;
    wait_sampled(&recorded).await?;

    let secret = [
        "create",
        "secret",
        "generic",
        "token",
        "--from-literal=password=hunter2",
    ];
    kubectl(&cluster, &[&["-n", &shop][..], &secret].concat(), "").await?;
    kubectl(&cluster, &[&["-n", &other][..], &secret].concat(), "").await?;
    let role = [
        "-n",
        &other,
        "create",
        "role",
        "reader",
        "--verb=get",
        "--resource=secrets",
    ];
    kubectl(&cluster, &role, "").await?;

    wait_for("all to be recorded", LIMIT, async || {
        let told = |witness: &Witness| {
            (
                witness.object.describe(),
                witness.dry_run,
                witness.object_digest.len(),
            )
        };
        let told: Vec<_> = recorded.witnessed()?.iter().map(told).collect();
        ensure!(
            told.iter()
                .any(|(object, ..)| *object == format!("Secret {shop}/token")),
            "{told:?}"
        );
        ensure!(
            told.contains(&(format!("Role {other}/reader"), false, 64)),
            "{told:?}"
        );
        ensure!(
            !told
                .iter()
                .any(|(object, ..)| *object == format!("Secret {other}/token")),
            "{told:?}"
        );
        let seen: Vec<_> = recorded.observed()?;
        let seen: Vec<_> = seen
            .iter()
            .map(|seen| {
                (
                    seen.object.describe(),
                    seen.change.as_str(),
                    seen.manager.as_str(),
                )
            })
            .collect();
        ensure!(
            seen.contains(&(format!("Secret {shop}/token"), "added", "kubectl-create")),
            "{seen:?}"
        );
        ensure!(
            seen.contains(&(format!("Role {other}/reader"), "added", "kubectl-create")),
            "{seen:?}"
        );
        let samples = recorded.samples("rbac")?;
        let last = samples.last().context("no sample")?;
        ensure!(
            last.objects.contains_key(&format!("Role {other}/reader")),
            "{last:?}"
        );
        ensure!(!last.since.is_empty() && last.interval_seconds == 300, "{last:?}");
        Ok(())
    })
    .await?;
    let text = recorded.text()?;
    ensure!(
        !text.contains("hunter2") && !text.contains("aHVudGVyMg"),
        "a password is in the record"
    );
    recorded.provost.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_policy_is_on_the_disk_before_it_is_gone() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let namespace = cluster.namespace("shop").await?;
    let recorded = Recorded::before(&cluster, &[]).await?;
    recorded.wait_asked(&cluster, &namespace).await?;
    let policy = harness::writers::policy().to_string();
    wait_for("the policy to be taken", LIMIT, async || {
        kubectl(&cluster, &["apply", "-f", "-"], &policy).await?;
        ensure!(!recorded.policy_changes()?.is_empty(), "it is not recorded");
        Ok(())
    })
    .await?;
    kubectl(
        &cluster,
        &["delete", "clusterpolicy", "team-label", "--wait=false"],
        "",
    )
    .await?;
    let changes = recorded.policy_changes()?;
    let last = changes.last().context("no change is recorded")?;
    assert_eq!(
        (last.operation.as_str(), last.name.as_str(), last.user.as_str()),
        ("DELETE", "team-label", "admin")
    );
    recorded.provost.stop().await?;
    Ok(())
}

/// An `EventList` as the apiserver's webhook backend sends it.
fn list(events: &[&str]) -> anyhow::Result<String> {
    let items: Vec<Value> = events
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    Ok(
        json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items})
            .to_string(),
    )
}

fn times_by_id(audited: &[Audit]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for audit in audited {
        *times.entry(audit.audit_id.as_str()).or_default() += 1;
    }
    times
}

/// How much of the audit log is read beside what the test adds to it.
const LOG_BYTES: usize = 256 * 1024;

async fn wait_audited(recorded: &Recorded, count: usize) -> anyhow::Result<()> {
    wait_for("the audit events to be recorded", LIMIT, async || {
        let found = recorded.audited()?.len();
        ensure!(found >= count, "{found} of {count}\n{}", recorded.provost.log());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_events_come_by_file_and_by_post_and_are_recorded_once() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(shared);
    let Ok(log) = cluster.audit_log() else {
        harness::skip(module_path!(), "this cluster's audit log cannot be read");
        return Ok(());
    };
    let before = fs::read(&log)?.len();
    let namespace = cluster.namespace("shop").await?;
    for name in ["one", "two"] {
        kubectl(cluster, &["-n", &namespace, "create", "configmap", name], "").await?;
    }
    // Other tests write to the same log: only its end, from a line's beginning on, fits into what is sent at once.
    let text = fs::read(&log)?;
    let text = String::from_utf8_lossy(&text[before.saturating_sub(LOG_BYTES)..]);
    let (_, text) = text.split_once('\n').context("no line")?;
    let lines: Vec<&str> = text.lines().filter(|line| line.ends_with('}')).collect();
    let writes = |lines: &[&str]| -> anyhow::Result<usize> {
        let parsed = lines
            .iter()
            .map(|line| provost::recorder::audit::parse(line.as_bytes()));
        Ok(parsed
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .count())
    };
    let (early, late) = lines.split_at(lines.len() / 2);
    let copy = Folder::new()?;
    let file = copy.path().join("audit.log");
    let first = early.first().context("the audit log is empty")?;
    fs::write(
        &file,
        format!("{}\n{}\nnot an event\n", early.join("\n"), early.join("\n")),
    )?;
    let file_name = file.display().to_string();
    let arguments = [
        "--standalone",
        "--role",
        "recorder",
        "--audit-listen",
        "127.0.0.1:0",
        "--audit-log",
        &file_name,
    ];
    let mut recorded = Recorded::start(&arguments).await?;
    wait_audited(&recorded, writes(early)?).await?;

    let (client, token) = sender(&mut recorded).await?;
    for (token, body, status) in [
        ("guessed", list(late)?, StatusCode::UNAUTHORIZED),
        (&token, "{}".to_owned(), StatusCode::BAD_REQUEST),
        (&token, list(late)?, StatusCode::OK),
        (&token, list(late)?, StatusCode::OK),
        (&token, list(&[first])?, StatusCode::OK),
    ] {
        let answer = client.post_as(token, "/audit", body).await?;
        assert_eq!(answer.status, status);
    }
    let audited = recorded.audited()?;
    assert_eq!(audited.len(), writes(&lines)?);
    let twice: Vec<_> = times_by_id(&audited)
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    let created = audited
        .iter()
        .filter(|audit| audit.object.namespace == namespace && audit.verb == "create");
    let created: Vec<_> = created
        .filter(|audit| audit.user == "admin")
        .map(|audit| (audit.object.name.as_str(), audit.code))
        .collect();
    assert_eq!(created, [("one", 201), ("two", 201)]);
    let gaps = recorded.events(|event| match event {
        Event::Gap(gap) => Some(gap.reason),
        _ => None,
    })?;
    assert_eq!(gaps, ["a line of the audit log is no audit event"]);

    goes_on_after_a_restart(recorded, &file, late).await
}

async fn sender(recorded: &mut Recorded) -> anyhow::Result<(Http2, String)> {
    let line = recorded.provost.wait_for_line("  audit events  ", LIMIT).await?;
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("https://"))
        .context("no URL")?;
    let address = url
        .trim_start_matches("https://")
        .trim_end_matches("/audit")
        .parse()?;
    let state = recorded.folder.path().join("state/recorder");
    let authority = fs::read_to_string(state.join("audit-certs/ca.crt"))?;
    let token = fs::read_to_string(state.join("audit.token"))?;
    Ok((
        Http2::connect(address, &authority).await?,
        token.trim().to_owned(),
    ))
}

/// A process that was killed begins where it was, not anew.
async fn goes_on_after_a_restart(recorded: Recorded, file: &Path, late: &[&str]) -> anyhow::Result<()> {
    let Recorded { mut provost, folder } = recorded;
    provost.signal("KILL")?;
    wait_for("provost to be gone", LIMIT, async || {
        provost.ended()?.context("it runs")
    })
    .await?;
    let before = Recorded { provost, folder };
    let known = before.audited()?.len();
    let line = late
        .iter()
        .find(|line| matches!(provost::recorder::audit::parse(line.as_bytes()), Ok(Some(_))));
    let mut event: Value = serde_json::from_str(line.context("no write")?)?;
    event["auditID"] = json!("after-the-restart");
    fs::OpenOptions::new()
        .append(true)
        .open(file)
        .and_then(|mut log| {
            use std::io::Write as _;
            log.write_all(format!("{event}\n").as_bytes())
        })?;
    let path = |name: &str| before.folder.path().join(name).display().to_string();
    let (policies, certs, ledger, state) = (path("policies"), path("certs"), path("ledger"), path("state"));
    let name = file.display().to_string();
    let mut all = vec![
        "serve",
        "--standalone",
        "--role",
        "recorder",
        "--listen",
        "127.0.0.1:0",
        "--audit-log",
        &name,
    ];
    all.extend([
        "--policies",
        &policies,
        "--certs",
        &certs,
        "--ledger",
        &ledger,
        "--state",
        &state,
    ]);
    let mut again = Provost::start(&all, &[])?;
    again.wait_for_line("Ready.", LIMIT).await?;
    wait_audited(&before, known + 1).await?;
    assert_eq!(again.stop().await?, 0);
    let audited = before.audited()?;
    assert_eq!(audited.len(), known + 1, "{:?}", times_by_id(&audited));
    Ok(())
}
