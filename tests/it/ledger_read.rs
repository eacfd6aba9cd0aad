//! `provost ledger`: what was recorded, as a person and as a program reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

use provost::ledger::{Destination, Ledger};
use provost_evidence::event::{Admission, Boot, Event, Sync};
use regex::Regex;

fn ledger(directory: &Path) -> Ledger {
    let boot = Boot {
        version: "0.1.0".into(),
        roles: vec!["webhook".into()],
        writer: "webhook@host".into(),
        ..Boot::default()
    };
    Ledger::open(&Destination::Directory(directory.to_owned()), boot).unwrap()
}

fn admission(user: &str, name: &str, verdict: &str) -> Event {
    Event::Admission(Admission {
        operation: "CREATE".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: name.into(),
        user: user.into(),
        verdict: verdict.into(),
        ..Admission::default()
    })
}

fn provost(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_provost"))
        .arg("ledger")
        .args(arguments)
        .arg(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let time = Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    time.replace_all(&text, "2026-11-24T11:14:32.250Z").into_owned()
}

fn written(directory: &Path) {
    let first = ledger(directory);
    first.append(admission("alice", "my-app", "allowed"));
    first.append(admission("mallory\u{1b}[31m", "my-app-old", "denied"));
    first.close("stopped").unwrap();
    let second = ledger(directory);
    second.append(Event::Sync(Sync {
        application: "argocd/my-app".into(),
        repository: "https://git.example.com/infrastructure".into(),
        revision: "3f9c2ab5d1".into(),
        outcome: "succeeded".into(),
        changed: 4,
        ..Sync::default()
    }));
    second.close("stopped").unwrap();
}

#[test]
fn a_person_reads_who_did_what_in_order_of_time() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    insta::assert_snapshot!(provost(&["show"], directory.path()), @r#"
    2026-11-24T11:14:32.250Z  boot           -          webhook@host                      -                         Provost 0.1.0, roles webhook
    2026-11-24T11:14:32.250Z  admission      allowed    Deployment shop/my-app            alice                     CREATE
    2026-11-24T11:14:32.250Z  admission      denied     Deployment shop/my-app-old        mallory\u{1b}[31m         CREATE
    2026-11-24T11:14:32.250Z  end            -          -                                 -                         stopped
    2026-11-24T11:14:32.250Z  boot           -          webhook@host                      -                         Provost 0.1.0, roles webhook
    2026-11-24T11:14:32.250Z  sync           succeeded  Application argocd/my-app         -                         https://git.example.com/infrastructure @ 3f9c2ab: 0 made, 4 changed, 0 deleted
    2026-11-24T11:14:32.250Z  end            -          -                                 -                         stopped
    "#);
    insta::assert_snapshot!(provost(&["tail", "-n", "2"], directory.path()), @r#"
    2026-11-24T11:14:32.250Z  sync           succeeded  Application argocd/my-app         -                         https://git.example.com/infrastructure @ 3f9c2ab: 0 made, 4 changed, 0 deleted
    2026-11-24T11:14:32.250Z  end            -          -                                 -                         stopped
    "#);
}

#[test]
fn records_are_found_by_object_user_verdict_kind_and_time() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let count = |arguments: &[&str]| {
        let all = [&["show", "-o", "json"], arguments].concat();
        provost(&all, directory.path()).lines().count()
    };
    assert_eq!(count(&[]), 7);
    assert_eq!(count(&["--object", "Deployment shop/my-app"]), 1);
    assert_eq!(
        count(&["--object", "my-app"]),
        2,
        "a Deployment and an Application"
    );
    assert_eq!(count(&["--user", "alice"]), 1);
    assert_eq!(count(&["--verdict", "denied"]), 1);
    assert_eq!(count(&["--kind", "boot"]), 2);
    assert_eq!(count(&["--from", "2100"]), 0);
    assert_eq!(count(&["--to", "2100"]), 7);
}

#[test]
fn an_export_hands_each_record_on_once_and_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, to) = (folder.path().join("ledger"), folder.path().join("out.jsonl"));
    let export = || {
        provost(&["export", "--into", to.to_str().unwrap()], &directory);
        fs::read_to_string(&to)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    written(&directory);
    let first = export();
    assert_eq!(first.len(), 7);
    assert_eq!(export(), first);
    ledger(&directory).close("stopped").unwrap();
    let second = export();
    assert_eq!((second.len(), &second[..7]), (9, &first[..]));
    let record: serde_json::Value = serde_json::from_str(&second[8]).unwrap();
    assert_eq!(record["event"]["type"], "end");
}
