//! The tables about the ledger: what was judged and what never was, what was deployed, what differed, when who worked.
//! The ledger is written by hand, so that what the tables say can be.

use std::fs;
use std::path::Path;

use provost_evidence::event::{Admission, Boot, Drift, End, Event, Heartbeat, Policies, Sync};
use provost_evidence::witness::{Audit, AuditedAnswer, Subject};

use crate::support::chains::write_chain;
use crate::support::evidence::{
    assert_same_but_for_the_run, assert_sqlite3_makes_the_same_tables, read, report, rows,
};
use crate::support::history::{Commit, build};

pub(crate) const PERIOD: [&str; 4] = ["--from", "2026-01-01T00:01:00Z", "--to", "2026-01-01T00:08:00Z"];

fn boot(role: &str) -> Event {
    Event::Boot(Boot {
        roles: vec![role.into()],
        writer: format!("{role}@host"),
        exempt_namespaces: vec!["kube-system".into(), "kube-public".into()],
        heartbeat_seconds: 30,
        witness: true,
        ..Boot::default()
    })
}

fn judged(uid: &str, user: &str, kind: (&str, &str, &str), name: &str, verdict: &str) -> Event {
    let (group, kind, resource) = kind;
    Event::Admission(Admission {
        uid: uid.into(),
        operation: "UPDATE".into(),
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        resource: resource.into(),
        namespace: "shop".into(),
        name: name.into(),
        user: user.into(),
        verdict: verdict.into(),
        policy_set: "p1".into(),
        rules: if verdict == "denied" {
            vec!["require-labels/check fail".into()]
        } else {
            Vec::new()
        },
        ..Admission::default()
    })
}

const DEPLOYMENT: (&str, &str, &str) = ("apps", "Deployment", "deployments");
const CONFIG_MAP: (&str, &str, &str) = ("", "ConfigMap", "configmaps");

/// The audit log's word on a request, which the webhook answered where there is a uid.
fn audited(
    time: &str,
    user: &str,
    kind: (&str, &str, &str),
    name: &str,
    code: u16,
    uid: Option<&str>,
) -> Event {
    let answers = uid.into_iter().map(|uid| AuditedAnswer {
        webhook: "enforce.provost.dev".into(),
        uid: uid.into(),
        verdict: if code < 400 {
            "allowed".into()
        } else {
            "denied".into()
        },
        policy_set: "p1".into(),
        position: String::new(),
    });
    Event::Audit(Audit {
        audit_id: format!("audit {user} {name}"),
        verb: "update".into(),
        object: Subject {
            group: kind.0.into(),
            version: "v1".into(),
            resource: kind.2.into(),
            namespace: "shop".into(),
            name: name.into(),
            ..Subject::default()
        },
        user: user.into(),
        code,
        received: time.into(),
        completed: time.into(),
        answers: answers.collect(),
        failed_open: if uid.is_none() {
            vec!["enforce.provost.dev".into()]
        } else {
            Vec::new()
        },
        ..Audit::default()
    })
}

fn beat() -> Event {
    Event::Heartbeat(Heartbeat::default())
}

fn sync(revision: &str, previous: Option<&str>, changed: u64) -> Event {
    Event::Sync(Sync {
        application: "argocd/shop".into(),
        repository: "https://git.example.com/infrastructure".into(),
        revision: revision.into(),
        previous: previous.map(str::to_owned),
        rendered_tree: "tree".into(),
        outcome: "succeeded".into(),
        changed,
        ..Sync::default()
    })
}

fn drift(object: &str, since: &str, resolution: &str) -> Event {
    Event::Drift(Drift {
        application: "argocd/shop".into(),
        object: object.into(),
        fields: vec!["spec.replicas".into()],
        managers: vec!["argocd-controller".into()],
        resolution: resolution.into(),
        seen_since: since.into(),
        ..Drift::default()
    })
}

/// A repository and a ledger: the webhook is away from 00:02 to 00:04, and the agent deploys, goes back and goes astray.
pub(crate) fn story(folder: &Path) -> Vec<String> {
    let repository = folder.join("repository");
    fs::create_dir(&repository).unwrap();
    let file = |content| [("a.yaml", content)];
    let ids = build(
        &repository,
        &[
            Commit::new(0, &[], "Begin", &file("0")),
            Commit::new(1, &[0], "One", &file("1")),
            Commit::new(2, &[1], "Two", &file("2")),
            Commit::new(3, &[2], "Three", &file("3")),
            Commit::new(4, &[1], "Aside", &file("aside")),
            Commit::new(5, &[3], "Five", &file("5")),
        ],
    );
    let ledger = folder.join("ledger");
    record_webhook(&ledger);
    record_agent(&ledger, &ids);
    record_audit(&ledger);
    ids
}

fn record_webhook(ledger: &Path) {
    let policies = |names: &[&str]| {
        Event::Policies(Policies {
            policy_set: "p1".into(),
            loaded: names.iter().map(|name| (*name).to_owned()).collect(),
            refused: vec!["broken: it has no rules".into()],
            ..Policies::default()
        })
    };
    write_chain(
        ledger,
        "aaaaaaaa",
        vec![
            ("2026-01-01T00:01:00Z", boot("webhook")),
            ("2026-01-01T00:01:00Z", policies(&["require-labels"])),
            (
                "2026-01-01T00:01:30Z",
                judged("u1", "alice", DEPLOYMENT, "web", "allowed"),
            ),
            (
                "2026-01-01T00:01:50Z",
                judged("u2", "=mallory", DEPLOYMENT, "web", "denied"),
            ),
            ("2026-01-01T00:02:00Z", Event::End(End::default())),
        ],
    );
    write_chain(
        ledger,
        "bbbbbbbb",
        vec![
            ("2026-01-01T00:04:00Z", boot("webhook")),
            (
                "2026-01-01T00:04:20Z",
                judged("u3", "alice", CONFIG_MAP, "late", "allowed"),
            ),
            (
                "2026-01-01T00:04:30Z",
                judged("u4", "bob", DEPLOYMENT, "web", "allowed"),
            ),
            ("2026-01-01T00:05:00Z", beat()),
            ("2026-01-01T00:06:00Z", beat()),
        ],
    );
}

fn record_agent(ledger: &Path, ids: &[String]) {
    let nowhere = "f".repeat(40);
    write_chain(
        ledger,
        "cccccccc",
        vec![
            ("2026-01-01T00:00:30Z", boot("agent")),
            ("2026-01-01T00:02:00Z", sync(&ids[1], None, 2)),
            ("2026-01-01T00:03:20Z", beat()),
            (
                "2026-01-01T00:04:45Z",
                drift("Deployment shop/web", "2026-01-01T00:04:40.5Z", "put back"),
            ),
            (
                "2026-01-01T00:04:50Z",
                drift("ConfigMap shop/x", "2026-01-01T00:04:50Z", "reported"),
            ),
            ("2026-01-01T00:05:00Z", sync(&ids[3], Some(&ids[1]), 1)),
            ("2026-01-01T00:06:00Z", sync(&ids[3], Some(&ids[3]), 0)),
            ("2026-01-01T00:06:10Z", sync(&ids[1], Some(&ids[3]), 1)),
            ("2026-01-01T00:06:20Z", sync(&ids[4], Some(&ids[1]), 1)),
            ("2026-01-01T00:06:30Z", sync(&nowhere, Some(&ids[4]), 1)),
            ("2026-01-01T00:07:00Z", Event::End(End::default())),
        ],
    );
}

fn record_audit(ledger: &Path) {
    write_chain(
        ledger,
        "dddddddd",
        vec![
            ("2026-01-01T00:01:00Z", boot("recorder")),
            (
                "2026-01-01T00:01:31Z",
                audited(
                    "2026-01-01T00:01:30Z",
                    "alice",
                    DEPLOYMENT,
                    "web",
                    200,
                    Some("u1"),
                ),
            ),
            (
                "2026-01-01T00:01:51Z",
                audited(
                    "2026-01-01T00:01:50Z",
                    "=mallory",
                    DEPLOYMENT,
                    "web",
                    403,
                    Some("u2"),
                ),
            ),
            (
                "2026-01-01T00:03:01Z",
                audited("2026-01-01T00:03:00Z", "mallory", CONFIG_MAP, "late", 200, None),
            ),
            (
                "2026-01-01T00:03:11Z",
                audited("2026-01-01T00:03:10Z", "mallory", CONFIG_MAP, "never", 200, None),
            ),
            (
                "2026-01-01T00:04:21Z",
                audited(
                    "2026-01-01T00:04:20Z",
                    "alice",
                    CONFIG_MAP,
                    "late",
                    200,
                    Some("u3"),
                ),
            ),
            (
                "2026-01-01T00:04:31Z",
                audited("2026-01-01T00:04:30Z", "bob", DEPLOYMENT, "web", 200, Some("u4")),
            ),
        ],
    );
}

fn reported(folder: &Path) -> (i32, String) {
    let ledger = folder.join("ledger");
    let arguments = [&PERIOD[..], &["--ledger", ledger.to_str().unwrap()]].concat();
    report(&folder.join("repository"), &folder.join("out"), &arguments)
}

#[test]
fn what_was_never_evaluated_stands_beside_what_was() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path());
    let (code, text) = reported(folder.path());
    // Three chains have no end.
    assert_eq!(code, 3, "{text}");
    for expected in [
        "4 admission evaluations; 2 writes of the audit log never evaluated.",
        "The webhook was fail_open 120 s, unknown 120 s, up 180 s.",
        "6 syncs, 2 drifts.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let out = folder.path().join("out");
    let columns = [
        "recorded_at",
        "request_uid",
        "user",
        "kind",
        "name",
        "decision",
        "write_state",
        "verdict",
    ];
    let row = |time: &str, rest: [&str; 7]| {
        let mut row = vec![format!("2026-01-01T00:{time}.000Z")];
        row.extend(rest.map(str::to_owned));
        row
    };
    assert_eq!(
        rows(&read(&out, "admissions"), &columns),
        [
            row(
                "01:30",
                ["u1", "alice", "Deployment", "web", "allowed", "witnessed", "pass"]
            ),
            row(
                "01:50",
                ["u2", "=mallory", "Deployment", "web", "denied", "denied", "pass"]
            ),
            row(
                "03:00",
                [
                    "",
                    "mallory",
                    "ConfigMap",
                    "late",
                    "not evaluated",
                    "not_evaluated",
                    "fail"
                ]
            ),
            row(
                "03:10",
                [
                    "",
                    "mallory",
                    "ConfigMap",
                    "never",
                    "not evaluated",
                    "not_evaluated",
                    "fail"
                ]
            ),
            row(
                "04:20",
                ["u3", "alice", "ConfigMap", "late", "allowed", "witnessed", "pass"]
            ),
            row(
                "04:30",
                ["u4", "bob", "Deployment", "web", "allowed", "witnessed", "pass"]
            ),
        ]
    );
    let excel = fs::read_to_string(out.join("admissions.excel.csv")).unwrap();
    assert!(excel.contains(",\"'=mallory\","), "{excel}");
    let page = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(page.contains("| rows of admissions | 6 | 6 | yes |"), "{page}");
    assert_sqlite3_makes_the_same_tables(&out);
}

#[test]
fn the_intervals_of_a_webhook_that_was_away_name_what_passed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path());
    reported(folder.path());
    let columns = [
        "component",
        "valid_from",
        "valid_to",
        "state",
        "writes_during",
        "not_evaluated",
        "re_evaluated",
        "verdict",
    ];
    let row = |component: &str, from: &str, to: &str, rest: [&str; 5]| {
        let mut row = vec![
            component.to_owned(),
            format!("2026-01-01T00:{from}.000Z"),
            format!("2026-01-01T00:{to}.000Z"),
        ];
        row.extend(rest.map(str::to_owned));
        row
    };
    assert_eq!(
        rows(&read(&folder.path().join("out"), "control_ops"), &columns),
        [
            row("agent", "01:00", "07:00", ["up", "", "", "", "pass"]),
            row("agent", "07:00", "08:00", ["down", "", "", "", "unknown"]),
            row("recorder", "01:00", "04:31", ["up", "", "", "", "pass"]),
            row("recorder", "04:31", "08:00", ["unknown", "", "", "", "unknown"]),
            row("webhook", "01:00", "02:00", ["up", "1", "0", "0", "pass"]),
            row("webhook", "02:00", "04:00", ["fail_open", "2", "2", "1", "fail"]),
            row("webhook", "04:00", "06:00", ["up", "2", "0", "0", "pass"]),
            row("webhook", "06:00", "08:00", ["unknown", "0", "0", "0", "unknown"]),
        ]
    );
    let coverage = read(&folder.path().join("out"), "policy_coverage");
    assert_eq!(
        rows(&coverage, &["policy", "kind_of", "mode", "judged", "violating"]),
        [
            ["kube-public", "namespace", "off", "", ""],
            ["kube-public", "namespace", "off", "", ""],
            ["kube-system", "namespace", "off", "", ""],
            ["kube-system", "namespace", "off", "", ""],
            ["require-labels", "policy", "in force", "2", "1"],
            ["broken: it has no rules", "refused", "off", "", ""],
        ]
    );
}

#[test]
fn a_deployment_names_the_changes_that_came_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let ids = story(folder.path());
    reported(folder.path());
    let out = folder.path().join("out");
    let columns = [
        "revision",
        "direction",
        "changes_included",
        "lead_time",
        "verdict",
    ];
    let mut brought = [ids[2].as_str(), ids[3].as_str()];
    brought.sort_unstable();
    let nowhere = "f".repeat(40);
    assert_eq!(
        rows(&read(&out, "deployments"), &columns),
        [
            [ids[1].as_str(), "first", "", "", "unknown"],
            // The older of the two changes is of 00:02, and was live at 00:05.
            [&ids[3], "forward", &brought.join("; "), "180", "unknown"],
            [&ids[1], "back", "", "", "unknown"],
            [&ids[4], "forward", &ids[4], "140", "fail"],
            [&nowhere, "", "", "", "unknown"],
        ]
    );
    let columns = [
        "first_seen",
        "object",
        "kind_of",
        "writer",
        "basis",
        "resolution",
        "window",
        "verdict",
    ];
    assert_eq!(
        rows(&read(&out, "drift"), &columns),
        [
            [
                "2026-01-01T00:03:00.000Z",
                "ConfigMap shop/late",
                "unmanaged_write",
                "mallory",
                "audit",
                "",
                "",
                "unknown"
            ],
            [
                "2026-01-01T00:03:10.000Z",
                "ConfigMap shop/never",
                "unmanaged_write",
                "mallory",
                "audit",
                "",
                "",
                "unknown"
            ],
            // Its field manager is borrowed; the audit log knows who it was.
            [
                "2026-01-01T00:04:40.500Z",
                "Deployment shop/web",
                "field_changed",
                "bob",
                "audit",
                "reverted_by_agent",
                "5",
                "pass"
            ],
            [
                "2026-01-01T00:04:50.000Z",
                "ConfigMap shop/x",
                "field_changed",
                "argocd-controller",
                "managedFields",
                "open",
                "",
                "fail"
            ],
        ]
    );
    // From 00:05:00 to 00:06:10 the third change was live; the commit that undoes it never came.
    assert_eq!(
        rows(
            &read(&out, "rollbacks"),
            &[
                "commit_id",
                "method",
                "undoes",
                "time_to_restore",
                "undone_subject"
            ]
        ),
        [[ids[1].as_str(), "agent_rollback", &ids[3], "70", "Three"]]
    );
    assert_sqlite3_makes_the_same_tables(&out);
    let again = folder.path().join("again");
    let ledger = folder.path().join("ledger");
    let arguments = [&PERIOD[..], &["--ledger", ledger.to_str().unwrap()]].concat();
    report(&folder.path().join("repository"), &again, &arguments);
    assert_same_but_for_the_run(&out, &again);
}

#[test]
fn a_record_that_was_changed_is_a_gap_on_the_first_page() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path());
    let ledger = folder.path().join("ledger");
    for entry in fs::read_dir(&ledger).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"user\":\"bob\"", "\"user\":\"eve\"")).unwrap();
    }
    let (code, text) = reported(folder.path());
    assert_eq!(code, 3, "{text}");
    let gaps = rows(
        &read(&folder.path().join("out"), "facts/gaps"),
        &["source", "reason"],
    );
    let damaged = gaps
        .iter()
        .filter(|gap| gap[0] == "ledger" && gap[1].contains("is not as it was written"));
    assert!(damaged.count() > 0, "{gaps:?}");
}

#[test]
fn a_ledger_that_was_not_read_is_not_a_control_that_did_not_operate() {
    let folder = tempfile::tempdir().unwrap();
    story(folder.path());
    let statuses = |out: &Path| {
        let matrix = rows(&read(out, "control_matrix"), &["table_name", "status"]);
        let of = matrix
            .into_iter()
            .filter(|row| row[0] == "control_ops" || row[0] == "drift");
        of.map(|row| row[1].clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let without = folder.path().join("without");
    report(&folder.path().join("repository"), &without, &PERIOD);
    assert_eq!(
        statuses(&without).into_iter().collect::<Vec<_>>(),
        ["not known: no ledger was read"]
    );
    reported(folder.path());
    assert_eq!(
        statuses(&folder.path().join("out"))
            .into_iter()
            .collect::<Vec<_>>(),
        ["deviations"]
    );
}
