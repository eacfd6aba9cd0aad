//! People in a ledger as pseudonyms: who they are stands beside it, and can be erased.

use std::fs;
use std::path::Path;
use std::process::Command;

use provost::ledger::verify::{Verdict, verify};
use provost::ledger::{Privacy, digest_key};
use provost_evidence::event::{Admission, Event};

use crate::ledger_recorder::{Record, files};

/// A key and a map in this folder.
pub(crate) fn privacy(folder: &Path) -> Privacy {
    Privacy {
        keys: digest_key::load_or_make(&folder.join("digest.key")).unwrap(),
        identities: Some(folder.join("identities.jsonl")),
    }
}

fn by(user: &str) -> Event {
    Event::Admission(Admission {
        user: user.into(),
        ..Admission::default()
    })
}

fn run(record: &Record, users: &[&str]) {
    let (ledger, recorder) = record.open();
    for user in users {
        ledger.append(by(user));
    }
    ledger.close("stopped").unwrap();
    recorder.stop();
}

fn provost(record: &Record, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_provost"))
        .arg("ledger")
        .args(arguments)
        .current_dir(record.folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

/// All that lies in the ledger's folder.
fn text(record: &Record) -> String {
    let mut files = files(&record.directory());
    files.retain(|file| file.is_file());
    files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

fn hidden() -> Record {
    let mut record = Record::new();
    record.privacy = Some(privacy(record.folder.path()));
    record
}

#[test]
fn people_stand_in_the_record_as_pseudonyms_and_the_map_says_who_they_are() {
    let record = hidden();
    run(
        &record,
        &["alice", "bob", "alice", "system:serviceaccount:shop:ci"],
    );
    let text = text(&record);
    assert!(!text.contains("alice") && !text.contains("bob"), "{text}");
    assert!(text.contains("system:serviceaccount:shop:ci"), "{text}");
    let map = fs::read_to_string(record.folder.path().join("identities.jsonl")).unwrap();
    assert_eq!(map.lines().count(), 2, "{map}");
    let (_, shown) = provost(&record, &["show", "--kind", "admission", "ledger"]);
    assert_eq!(shown.matches("person:").count(), 3, "{shown}");
    let with_names = |more: &[&str]| {
        let all = [
            &["show", "--identities", "identities.jsonl", "--kind", "admission"],
            more,
            &["ledger"],
        ];
        provost(&record, &all.concat()).1
    };
    assert_eq!(with_names(&[]).matches("alice").count(), 2);
    assert_eq!(with_names(&["--user", "alice"]).lines().count(), 2);
    // As JSON it is what was sealed.
    assert!(!with_names(&["-o", "json"]).contains("alice"));
}

#[test]
fn who_is_forgotten_is_named_nowhere_any_more_and_the_chain_is_whole() {
    let record = hidden();
    run(&record, &["alice", "bob"]);
    let (done, said) = provost(&record, &["forget", "alice", "--identities", "identities.jsonl"]);
    assert!(done && said == "Forgotten: 1 pseudonym.\n", "{said}");
    // Another boot does not note the name again.
    run(&record, &["alice", "bob"]);
    let map = fs::read_to_string(record.folder.path().join("identities.jsonl")).unwrap();
    assert!(!map.contains("alice") && map.contains("bob"), "{map}");
    let (_, shown) = provost(&record, &["show", "--identities", "identities.jsonl", "ledger"]);
    assert!(!shown.contains("alice") && shown.contains("bob"), "{shown}");
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(report.verdict(), Verdict::Whole);
    let (done, said) = provost(&record, &["forget", "alice", "--identities", "identities.jsonl"]);
    assert!(!done && said.contains("does not name \"alice\""), "{said}");
}

#[test]
fn a_change_of_the_key_is_recorded_and_both_pseudonyms_are_known() {
    let mut record = hidden();
    run(&record, &["alice"]);
    let (done, said) = provost(&record, &["rotate-key", "--digest-key", "digest.key"]);
    assert!(done, "{said}");
    record.privacy = Some(privacy(record.folder.path()));
    run(&record, &["alice"]);
    let keys: Vec<serde_json::Value> = text(&record)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["record"]["event"].take())
        .filter(|event| event["type"] == "digest_key")
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].get("previous"), None);
    assert_eq!(keys[1]["previous"], keys[0]["id"]);
    assert_ne!(keys[1]["id"], keys[0]["id"]);
    let (_, shown) = provost(
        &record,
        &[
            "show",
            "--identities",
            "identities.jsonl",
            "--user",
            "alice",
            "ledger",
        ],
    );
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(report.verdict(), Verdict::Whole);
}

#[test]
fn a_map_that_cannot_be_written_keeps_no_record_back() {
    let record = hidden();
    let map = record.folder.path().join("identities.jsonl");
    let (ledger, recorder) = record.open();
    // Somebody is forgotten just now, and takes long.
    let lock = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(record.folder.path().join("identities.jsonl.lock"))
        .unwrap();
    lock.lock().unwrap();
    ledger.append(by("alice"));
    crate::ledger_recorder::wait_for("the record is there", || text(&record).contains("person:"));
    assert_eq!(fs::read_to_string(&map).unwrap(), "");
    lock.unlock().unwrap();
    ledger.append(by("alice"));
    ledger.close("stopped").unwrap();
    recorder.stop();
    assert!(fs::read_to_string(&map).unwrap().contains("alice"));
    assert!(!text(&record).contains("alice"));
}
