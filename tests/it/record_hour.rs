//! An hour of a cluster in a minute: the record must tell each write from the others, and the apiserver's own audit log
//! is the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::git::{DANA, Repository};
use harness::{User, wait_for};
use jiff::Timestamp;
use provost::ledger::changes::changes;
use provost::ledger::read::{Filter, Position, read};
use provost_evidence::change::{Change, Reconciliation, Source, State};

mod hour;

use self::hour::{Hour, LIMIT, serve};
use crate::support::positions::assert_joined;

/// How long nobody judges.
const OUTAGE: Duration = Duration::from_secs(10);
const QUOTA: &str = r#"{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-secrets"},
    "spec": {"hard": {"count/secrets": "0"}}}"#;
const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
    "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1"}]}}}}"#;
/// What Git says.
const ENV: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "my-app-env",
    "labels": {"team": "web"}, "annotations": {"owner": "web"}}, "data": {"A": "1"}}"#;

/// One line of what is expected: who, as whom, what, of what, what became of it, what policies said, by which field
/// manager.
fn line(change: &Change, namespace: &str) -> String {
    let object = change.object.describe().replace(namespace, "shop");
    let pod = object.find("shop/web-").filter(|_| object.starts_with("Pod"));
    let object = pod.map_or_else(
        || object.clone(),
        |at| format!("{}shop/web-… {}", &object[..at], change.object.subresource),
    );
    let acting = match change.impersonated.as_str() {
        "" => String::new(),
        other => format!(" as {other}"),
    };
    let verdict = if change.verdict.is_empty() {
        "-"
    } else {
        &change.verdict
    };
    // The request names none, and the object's claim is told apart only where nobody else wrote in that second.
    let manager = if change.manager.is_empty() || change.object.subresource == "scale" {
        "-"
    } else {
        &change.manager
    };
    // Over which protocol kubectl speaks to a container is its own affair.
    let verb = if change.object.subresource == "exec" {
        "connect"
    } else {
        &change.verb
    };
    format!(
        "{}{acting} | {verb} {object} | {} | {verdict} | {manager}",
        change.user,
        change.state.name()
    )
}

/// By people and by the agent, of what the hour is about.
fn is_told_of(change: &Change, namespace: &str) -> bool {
    let by_people = ["admin", "dana"].contains(&change.user.as_str());
    let is_of_hour =
        change.object.resource == "validatingwebhookconfigurations" || change.object.namespace == namespace;
    let by_agent = change.user == "provost-agent" && change.object.resource == "configmaps";
    is_of_hour && (by_people || by_agent)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_an_hour_tells_each_write_apart() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    if cluster.audit_log().is_err() {
        harness::skip(module_path!(), "this cluster's audit log cannot be read");
        return Ok(());
    }
    let mut hour = Hour::begin(cluster).await?;
    three_users_write(&hour).await?;
    what_is_no_plain_write(&hour).await?;
    an_administrator_edits_and_deletes_the_configuration(&hour).await?;
    a_sync_and_a_drift_under_its_name(&hour).await?;
    let unseen = the_webhook_is_gone(&mut hour).await?;
    let (namespace, ledger) = (hour.namespace.clone(), hour.ledger());
    let oracle = hour.oracle()?;
    let (audited, entries) = (hour.audited()?, hour.entries()?);
    // Of the agent's writes, the kill may have taken the last.
    let by_people = audited.iter().filter(|event| {
        event["objectRef"]["namespace"] == namespace.as_str()
            && ["admin", "dana"]
                .iter()
                .any(|user| event["user"]["username"] == *user)
    });
    let joined = assert_joined(by_people, &entries);
    ensure!(joined > 20, "the audit log names {joined} records");
    wait_for("the audit log to be in the record", LIMIT, async || {
        let found = changes(&ledger, None, None)?;
        let known: BTreeSet<_> = found.changes.iter().map(|change| &change.audit_id).collect();
        let missing: Vec<_> = oracle.keys().filter(|id| !known.contains(id)).collect();
        ensure!(missing.is_empty(), "{missing:?}");
        Ok(())
    })
    .await?;
    let Hour {
        folder,
        provost,
        cluster,
        ..
    } = hour;
    assert_eq!(provost.stop().await?, 0);

    let found = changes(&ledger, None, None)?;
    each_line_is_as_it_was_written_down(&found, &namespace, unseen);
    the_outage_is_in_the_record(&ledger)?;
    the_audit_log_agrees(&found, &oracle, &namespace);
    let output = harness::provost::provost(
        folder.path(),
        &["ledger", "changes", &ledger.display().to_string()],
    )?
    .success()?;
    ensure!(output.contains("written without any evaluation"), "{output}");
    ensure!(output.contains("let in and refused afterwards"), "{output}");
    drop(cluster);
    Ok(())
}

async fn three_users_write(hour: &Hour) -> anyhow::Result<()> {
    let good = ENV.replace("my-app-env", "good");
    hour.dana(&["create", "-f", "-"], &good).await?;
    let refused = hour.try_as_dana(&["create", "configmap", "bad"], "").await?;
    ensure!(refused.stderr.contains("A team is wanted"), "{}", refused.stderr);
    let warned = ENV
        .replace("my-app-env", "warned")
        .replace(r#""owner": "web""#, "");
    let erin = ["--as=erin", "--as-group=developers", "create", "-f", "-"];
    let output = hour.try_as(User::Admin, &erin, &warned).await?;
    ensure!(
        output.code == 0 && output.stderr.contains("Say who owns it"),
        "{}",
        output.stderr
    );
    hour.admin(&["create", "-f", "-"], QUOTA).await?;
    let used = ["get", "resourcequota", "no-secrets", "-ojsonpath={.status.hard}"];
    wait_for("the quota to be counted", LIMIT, async || {
        let hard = hour.admin(&used, "").await?;
        ensure!(hard.contains("secrets"), "{hard}");
        Ok(())
    })
    .await?;
    let quota = hour
        .try_as_dana(
            &[
                "create",
                "secret",
                "generic",
                "token",
                "--from-literal=password=hunter2",
            ],
            "",
        )
        .await?;
    ensure!(quota.stderr.contains("exceeded quota"), "{}", quota.stderr);
    Ok(())
}

async fn what_is_no_plain_write(hour: &Hour) -> anyhow::Result<()> {
    hour.admin(&["create", "-f", "-"], DEPLOYMENT).await?;
    let ready = ["get", "deployment", "web", "-ojsonpath={.status.readyReplicas}"];
    wait_for("a Pod to be ready", LIMIT, async || {
        let found = hour.admin(&ready, "").await?;
        ensure!(found == "1", "{found:?} are ready");
        Ok(())
    })
    .await?;
    // No kubelet is behind the node: the connection is opened, and then fails.
    let exec = hour
        .try_as_dana(&["exec", "deployment/web", "--", "psql", "hunter2"], "")
        .await?;
    ensure!(exec.code != 0, "{}", exec.stdout);
    hour.dana(&["scale", "deployment", "web", "--replicas=0"], "")
        .await?;
    hour.dana(&["delete", "configmap", "good"], "").await.map(drop)
}

async fn an_administrator_edits_and_deletes_the_configuration(hour: &Hour) -> anyhow::Result<()> {
    // An apply would leave this condition: it is nobody's but the administrator's.
    let off = r#"[{"op": "add", "path": "/webhooks/0/matchConditions/-", "value": {"name": "off", "expression": "false"}}]"#;
    let patch = [
        "patch",
        "validatingwebhookconfiguration",
        "provost",
        "--type=json",
        "-p",
        off,
    ];
    hour.admin(&patch, "").await?;
    hour.wait_restored(1).await?;
    let shown = hour
        .admin(
            &["get", "validatingwebhookconfiguration", "provost", "-oyaml"],
            "",
        )
        .await?;
    ensure!(
        !shown.contains("name: \"off\"") && !shown.contains("name: off"),
        "{shown}"
    );
    for (name, count) in [("provost", 2), ("provost-witness", 3)] {
        hour.admin(&["delete", "validatingwebhookconfiguration", name], "")
            .await?;
        hour.wait_restored(count).await?;
    }
    let told: Vec<_> = hour
        .restorations()?
        .into_iter()
        .map(|told| {
            (
                told.configuration,
                told.found == "absent",
                told.restored == told.expected,
                told.managers,
            )
        })
        .collect();
    let entry = |name: &str, absent, managers: &[&str]| {
        let managers: Vec<_> = managers.iter().map(|&manager| manager.to_owned()).collect();
        (name.to_owned(), absent, true, managers)
    };
    assert_eq!(
        told,
        [
            entry("provost", false, &["kubectl-patch"]),
            entry("provost", true, &[]),
            entry("provost-witness", true, &[]),
        ]
    );
    hour.wait_judged().await
}

async fn a_sync_and_a_drift_under_its_name(hour: &Hour) -> anyhow::Result<()> {
    let mut repository = Repository::init(&hour.folder.path().join("infrastructure"))?;
    repository.write("app/env.yaml", ENV)?;
    repository.commit(DANA, "Deploy")?;
    let application = format!(
        r#"{{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {{"name": "my-app"}}, "spec": {{
            "project": "default", "source": {{"repoURL": "{}", "path": "app", "targetRevision": "main"}},
            "destination": {{"server": "https://kubernetes.default.svc", "namespace": "{}"}},
            "syncPolicy": {{"automated": {{"selfHeal": true}}}}}}}}"#,
        repository.path().display(),
        hour.namespace
    );
    let project = format!(
        r#"{{"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {{"name": "default"}}, "spec": {{
            "sourceRepos": ["*"], "destinations": [{{"server": "*", "namespace": "{}"}}]}}}}"#,
        hour.namespace
    );
    for object in [&project, &application] {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        wait_for("the object to be taken", LIMIT, async || {
            hour.admin(&apply, object).await
        })
        .await?;
    }
    hour.wait_synced().await?;
    let drift = [
        "patch",
        "configmap",
        "my-app-env",
        "--field-manager=provost",
        "-p",
        r#"{"data": {"A": "2"}}"#,
    ];
    hour.dana(&drift, "").await?;
    hour.wait_synced().await
}

/// The process is killed, and what is written meanwhile, once a second, is let in unjudged. How many writes.
async fn the_webhook_is_gone(hour: &mut Hour) -> anyhow::Result<usize> {
    hour.provost.signal("KILL")?;
    wait_for("provost to be gone", LIMIT, async || {
        hour.provost.ended()?.context("it runs")
    })
    .await?;
    let (gone, mut written) = (Instant::now(), 0);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while gone.elapsed() < OUTAGE {
        seconds.tick().await;
        written += 1;
        hour.dana(&["create", "configmap", &format!("unseen-{written}")], "")
            .await?;
    }
    hour.provost = serve(&hour.cluster, hour.folder.path(), &hour.namespace).await?;
    hour.wait_judged().await?;
    Ok(written)
}

/// One chain breaks off, and the next one opens ten seconds later or more.
fn the_outage_is_in_the_record(ledger: &Path) -> anyhow::Result<()> {
    let mut chains: BTreeMap<String, (Timestamp, Timestamp, bool)> = BTreeMap::new();
    let every = &Filter::default();
    read(ledger, every, &mut Position::default(), |entry| {
        let time = entry.time.parse::<Timestamp>()?;
        let chain = chains.entry(entry.boot.clone()).or_insert((time, time, false));
        *chain = (chain.0, time, entry.kind == "end");
        anyhow::Ok(())
    })?;
    let chains: Vec<_> = chains.into_values().collect();
    let [(_, last, false), (opened, _, true)] = chains.as_slice() else {
        anyhow::bail!("one that was killed and one that was stopped: {chains:?}");
    };
    let away = opened.duration_since(*last);
    ensure!(away.as_secs() >= 10, "{away:#}");
    Ok(())
}

fn each_line_is_as_it_was_written_down(found: &Reconciliation, namespace: &str, unseen: usize) {
    let lines: Vec<String> = found
        .changes
        .iter()
        .filter(|change| is_told_of(change, namespace))
        .map(|change| line(change, namespace))
        .filter(|line| !line.contains("argoproj.io"))
        .collect();
    let mut expected = vec![
        "dana | create ConfigMap shop/good | witnessed | allowed | kubectl-create",
        "dana | create ConfigMap shop/bad | denied | denied | kubectl-create",
        "admin as erin | create ConfigMap shop/warned | witnessed | warned | kubectl-create",
        "admin | create ResourceQuota shop/no-secrets | witnessed | - | kubectl-create",
        "dana | create Secret shop/token | refused after admission | - | kubectl-create",
        "admin | create Deployment shop/web | witnessed | - | kubectl-create",
        "dana | connect Pod shop/web-… exec | witnessed | - | -",
        "dana | patch Deployment shop/web scale | witnessed | - | -",
        "dana | delete ConfigMap shop/good | witnessed | - | -",
        "admin | patch validatingwebhookconfigurations.admissionregistration.k8s.io provost | not asked about | - | kubectl-patch",
        "admin | delete validatingwebhookconfigurations.admissionregistration.k8s.io provost | not asked about | - | -",
        "admin | delete validatingwebhookconfigurations.admissionregistration.k8s.io provost-witness | not asked about | - | -",
        "provost-agent | patch ConfigMap shop/my-app-env | witnessed | allowed | provost",
        "dana | patch ConfigMap shop/my-app-env | witnessed | allowed | provost",
        "provost-agent | patch ConfigMap shop/my-app-env | witnessed | allowed | provost",
    ];
    let unseen: Vec<_> = (1..=unseen)
        .map(|number| format!("dana | create configmaps shop/unseen-{number} | written without evaluation | - | kubectl-create"))
        .collect();
    expected.extend(unseen.iter().map(String::as_str));
    let mut applied: Vec<_> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !line.contains("AppProject") && !line.contains("Application"))
        .collect();
    // Which of two that the apiserver got in the same millisecond comes first is not known.
    applied.sort_unstable();
    expected.sort_unstable();
    assert_eq!(applied, expected, "{lines:#?}");
}

fn the_audit_log_agrees(found: &Reconciliation, oracle: &BTreeMap<String, u64>, namespace: &str) {
    let recorded: BTreeMap<String, u64> = found
        .changes
        .iter()
        .filter(|change| change.object.namespace == namespace && !change.audit_id.is_empty())
        .map(|change| (change.audit_id.clone(), u64::from(change.code)))
        .collect();
    for (id, code) in oracle {
        assert_eq!(recorded.get(id), Some(code), "{id}");
    }
    let counts = found.counts;
    assert_eq!(
        counts.audited_writes,
        counts.both + counts.not_evaluated,
        "{counts:?}"
    );
    assert_eq!(
        counts.admitted,
        counts.both + counts.refused_after_admission + counts.admitted_without_audit,
        "{counts:?}"
    );
    let lost: Vec<_> = found
        .changes
        .iter()
        .filter(|change| change.object.namespace == namespace && !change.witnesses.contains(&Source::Audit))
        .collect();
    assert!(lost.is_empty(), "of these the audit log does not tell: {lost:#?}");
    let unseen = found
        .changes
        .iter()
        .filter(|change| change.object.kind == "Application" && !change.witnesses.contains(&Source::Watch));
    assert_eq!(
        unseen.count(),
        0,
        "a kind is watched a moment after it was defined"
    );
    let unevaluated: Vec<_> = found
        .changes
        .iter()
        .filter(|change| change.state == State::NotEvaluated && change.object.namespace == namespace)
        .map(|change| (change.user.as_str(), change.reason.as_str()))
        .collect();
    for (user, reason) in &unevaluated {
        assert!(reason.contains("nobody answered for"), "{user}: {reason}");
    }
}
