//! The ledger on a real disk, and `provost verify` on what it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use provost::ledger::{Destination, Ledger, QUEUE_CAPACITY};
use provost_evidence::event::{Admission, Boot, Event};

fn open(directory: &Path) -> Ledger {
    let boot = Boot {
        version: "0.1.0".into(),
        roles: vec!["webhook".into()],
        ..Boot::default()
    };
    Ledger::open(&Destination::Directory(directory.to_owned()), boot).unwrap()
}

fn admission(number: usize) -> Event {
    Event::Admission(Admission {
        uid: format!("uid-{number}"),
        user: "alice".into(),
        ..Admission::default()
    })
}

/// The exit code and what was printed.
fn verify(path: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_provost"))
        .arg("verify")
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text)
        .unwrap()
        .replace(path.to_str().unwrap(), "LEDGER");
    (output.status.code().unwrap(), text)
}

fn chains(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = directory
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_ledger_that_was_closed_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let ledger = open(directory.path());
        (0..600).for_each(|number| ledger.append(admission(number)));
        ledger.close("stopped").unwrap();
    }
    insta::assert_snapshot!(verify(directory.path(), &[]).1, @r#"
    ok    1,204 ledger records in 2 chains; no gaps
    warn  integrity only, origin not shown: nothing is signed, so who can write these files could have written a whole chain anew
    "#);
    assert_eq!(verify(directory.path(), &[]).0, 0);
}

#[test]
fn a_chain_without_its_end_is_whole_but_with_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    ledger.append(admission(1));
    let file = chains(directory.path()).remove(0);
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::read_to_string(&file).unwrap().lines().count() < 2 {
        assert!(Instant::now() < deadline, "the record was not committed");
        thread::yield_now();
    }
    let (code, text) = verify(&file, &[]);
    assert_eq!(code, 3);
    insta::assert_snapshot!(text, @r#"
    gap   LEDGER:2  no end record: the writer is still running, or was stopped hard
    ok    2 ledger records in 1 chain; 1 gap, declared or seen
    warn  integrity only, origin not shown: nothing is signed, so who can write these files could have written a whole chain anew
    "#);
    // What the process would leave that is killed while it writes.
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(bytes.len() - 30);
    fs::write(&file, bytes).unwrap();
    let (code, text) = verify(&file, &[]);
    assert_eq!(code, 3);
    insta::assert_snapshot!(text, @r#"
    gap   LEDGER:2  the last line was cut off while it was written
    gap   LEDGER:2  no end record: the writer is still running, or was stopped hard
    ok    1 ledger record in 1 chain; 2 gaps, declared or seen
    warn  integrity only, origin not shown: nothing is signed, so who can write these files could have written a whole chain anew
    "#);
}

#[test]
fn damage_is_found_and_located() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    (1..9).for_each(|number| ledger.append(admission(number)));
    ledger.close("stopped").unwrap();
    let file = chains(directory.path()).remove(0);
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let forged = lines[2].replace("alice", "mallory");
    lines[2] = &forged;
    lines.remove(4);
    lines.swap(5, 6);
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (code, text) = verify(&file, &[]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(text, @r#"
    bad   LEDGER:3  record 2 is not as it was written
    bad   LEDGER:5  record 4 is missing before this line
    bad   LEDGER:7  record 6 was moved: it stands after records that followed it
    bad   9 ledger records in 1 chain: 3 damaged places
    warn  integrity only, origin not shown: nothing is signed, so who can write these files could have written a whole chain anew
    "#);
    let (code, text) = verify(&file, &["-o", "json"]);
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["result"], "damaged");
    assert_eq!(json["chains"][0]["damage"][0]["line"], 3);
    assert_eq!(json["chains"][0]["damage"][0]["kind"], "changed");
}

#[test]
fn a_second_file_of_one_chain_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close("stopped").unwrap();
    let file = chains(directory.path()).remove(0);
    fs::copy(&file, directory.path().join("zz.jsonl")).unwrap();
    let (code, text) = verify(directory.path(), &[]);
    assert_eq!(code, 1);
    assert!(
        text.contains("LEDGER/zz.jsonl:1  the file is a second one of the chain"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_read_is_neither_whole_nor_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let (code, text) = verify(directory.path(), &[]);
    assert_eq!(code, 2);
    insta::assert_snapshot!(text, @r#"error: no ledger in "LEDGER": it has no file that ends in .jsonl"#);
    assert_eq!(verify(&directory.path().join("absent"), &[]).0, 2);
}

#[test]
fn a_full_queue_makes_a_gap_record_and_every_lost_event_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    // Several threads append faster than one seals.
    let total = QUEUE_CAPACITY * 8;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..total / 4).for_each(|number| ledger.append(admission(number))));
        }
    });
    ledger.close("stopped").unwrap();
    let file = chains(directory.path()).remove(0);
    let records: Vec<serde_json::Value> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = records.iter().map(|record| &record["record"]["event"]).collect();
    let written = events.iter().filter(|event| event["type"] == "admission").count();
    let lost: u64 = events.iter().filter_map(|event| event["lost"].as_u64()).sum();
    assert!(lost > 0, "nothing was lost: the test does not test");
    assert_eq!(written as u64 + lost, total as u64);
    assert_eq!(verify(&file, &[]).0, 3);
}

#[test]
fn a_closed_ledger_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    ledger.close("stopped").unwrap();
    ledger.append(admission(1));
    assert!(ledger.close("again").is_err());
    assert_eq!(verify(directory.path(), &[]).0, 0);
}
