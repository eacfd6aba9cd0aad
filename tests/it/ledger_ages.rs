//! A ledger over time: checkpoints that become fewer, clocks that jump, a recorder that was away.

use std::fs;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use provost::ledger::verify::{LedgerReport, Verdict, verify};
use provost::ledger::{Destination, Ledger};
use provost_evidence::chain::{Chain, Sealed, format_time};
use provost_evidence::checkpoint::{ChainName, Checkpoint, Head, SignedCheckpoint};
use provost_evidence::event::{Boot, End, Event};
use provost_evidence::note::SigningKey;

use crate::ledger_recorder::{Record, admission, files};

const MINUTES: u64 = 90;

/// The key that the recorder will sign with.
fn key(record: &Record) -> SigningKey {
    let text = SigningKey::secret_text("shop", &[7; 32]).unwrap();
    let key = SigningKey::parse(&text).unwrap();
    fs::create_dir_all(&record.config.state).unwrap();
    fs::write(&record.config.signing_key, text).unwrap();
    fs::write(
        record.config.signing_key.with_extension("key.pub"),
        key.verifier().to_string(),
    )
    .unwrap();
    key
}

/// What a recorder left ten days ago: a checkpoint a minute, of a chain that had a record more in each. At `times` of
/// minutes the clock was put on by so many seconds.
fn ten_days_old(record: &Record, put_on: impl Fn(u64) -> i64) -> Vec<SignedCheckpoint> {
    let key = key(record);
    let noon = format!(
        "{}T12:00:00Z",
        &format_time(Timestamp::now() - SignedDuration::from_hours(240))[..10]
    );
    let start: Timestamp = noon.parse().unwrap();
    let boot = format!("{}-00000001", start.strftime("%Y%m%dT%H%M%S%.3fZ"));
    let mut chain = Chain::new(boot.clone());
    let name = ChainName {
        writer: "webhook@host".into(),
        boot: boot.clone(),
    };
    let mut text = String::new();
    let mut notes = Vec::new();
    for minute in 0..MINUTES {
        let time = start + SignedDuration::from_secs(i64::try_from(minute).unwrap() * 60 + put_on(minute));
        let event = match minute {
            0 => Event::Boot(Boot {
                writer: "webhook@host".into(),
                ..Boot::default()
            }),
            minute if minute == MINUTES - 1 => Event::End(End::default()),
            minute => admission(minute),
        };
        let line = chain.seal(time, event).unwrap();
        let head = Head {
            count: minute + 1,
            hash: Sealed::parse(line.trim_end().as_bytes()).unwrap().hash,
        };
        text += &line;
        let checkpoint = Checkpoint {
            origin: "shop".into(),
            number: minute,
            time: format_time(time),
            chains: [(name.clone(), head)].into(),
            dropped: [].into(),
            thinned: Vec::new(),
            key: None,
        };
        notes.push(checkpoint.sign([&key]));
    }
    fs::create_dir_all(record.directory().join("checkpoints")).unwrap();
    fs::write(record.directory().join(format!("{boot}.jsonl")), text).unwrap();
    let all = notes
        .iter()
        .fold(String::new(), |all, note| all + &format!("{note}\n"));
    fs::write(day_file(record, &noon), all).unwrap();
    notes
}

fn day_file(record: &Record, time: &str) -> PathBuf {
    record
        .directory()
        .join(format!("checkpoints/{}.txt", &time[..10]))
}

fn numbers(record: &Record) -> Vec<u64> {
    let all = record.checkpoints();
    all.iter().map(|signed| signed.checkpoint.number).collect()
}

fn report(record: &Record) -> LedgerReport {
    verify(&record.directory(), &record.options()).unwrap()
}

/// Whole, but for the ten days in which nobody worked.
fn is_whole(found: &LedgerReport) -> bool {
    (found.findings(), found.gaps()) == (0, 1)
}

#[test]
fn old_checkpoints_become_few_and_everything_stays_covered() {
    let record = Record::new();
    let old = ten_days_old(&record, |_| 0);
    record.run(3);
    let left = numbers(&record);
    assert_eq!(left[..2], [0, MINUTES - 1], "{left:?}");
    let thinned: Vec<_> = record
        .checkpoints()
        .into_iter()
        .flat_map(|one| one.checkpoint.thinned)
        .collect();
    assert_eq!(thinned, [1..=MINUTES - 2]);
    let found = report(&record);
    assert!(is_whole(&found), "{found:?}");
    assert_eq!(found.checkpoints.thinned, MINUTES - 2);
    assert_eq!(found.checkpoints.covered, found.records());
    let (code, text) = record.verify(&["--trust", &record.key()]);
    assert_eq!(code, 3);
    assert!(
        text.contains("ok    88 older checkpoints are not kept any more, as later ones say"),
        "{text}"
    );
    // Another start thins nothing twice.
    record.run(1);
    assert!(is_whole(&report(&record)));
    // What was said to be kept is missed.
    let file = day_file(&record, &old[0].checkpoint.time);
    let kept = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{}\n", old[0])).unwrap();
    let found = report(&record);
    assert_eq!(found.verdict(), Verdict::Damaged);
    assert_eq!(
        found.checkpoints.findings.kept[0].message,
        format!("checkpoints {0} to {0} are missing before this one", MINUTES - 1)
    );
    fs::write(&file, kept).unwrap();
    // What is covered by what is left is still found out.
    let chain = files(&record.directory()).remove(0);
    let text = fs::read_to_string(&chain).unwrap();
    fs::write(&chain, text.replacen("alice", "mallory", 1)).unwrap();
    assert_eq!(report(&record).verdict(), Verdict::Damaged);
    // Also where all that follows was made anew with right hashes.
    let anew = crate::ledger_tamper::rewritten(text.as_bytes()).unwrap().concat();
    fs::write(&chain, anew).unwrap();
    let found = report(&record);
    let damage = &found.chains[0].report.findings[0].damage;
    assert_eq!(damage.name(), "rewritten", "{damage}");
}

#[test]
fn an_anchor_that_keeps_what_was_thinned_agrees() {
    let record = Record::anchored();
    let old = ten_days_old(&record, |_| 0);
    let address = record.config.anchor.clone().unwrap();
    let copy = record.config.state.join("anchor.git");
    let anchor = provost::ledger::anchor::Anchor::open(&copy, address).unwrap();
    for signed in &old {
        anchor.commit(signed).unwrap();
    }
    anchor.push().unwrap();
    record.run(3);
    let found = report(&record);
    assert!(is_whole(&found), "{found:?}");
    assert_eq!(found.checkpoints.anchored.unwrap().records, 95);
}

#[test]
fn a_recorder_that_was_away_for_an_hour_is_a_gap_and_stays_one() {
    let record = Record::new();
    ten_days_old(&record, |minute| if minute < 40 { 0 } else { 3_600 });
    let message = |found: &LedgerReport| found.checkpoints.gaps.kept[0].message.clone();
    let found = report(&record);
    assert_eq!(found.verdict(), Verdict::WholeWithGaps);
    assert!(
        message(&found).ends_with("the recorder did not work"),
        "{}",
        message(&found)
    );
    record.run(3);
    assert_eq!(numbers(&record)[..4], [0, 39, 40, MINUTES - 1]);
    let thinned = report(&record);
    assert_eq!(message(&thinned), message(&found));
}

#[test]
fn a_clock_that_was_set_back_between_checkpoints_is_said() {
    let record = Record::new();
    ten_days_old(&record, |minute| if minute < 40 { 0 } else { -1_800 });
    let found = report(&record);
    assert_eq!(found.verdict(), Verdict::WholeWithGaps);
    let message = &found.checkpoints.gaps.kept[0].message;
    assert!(
        message.ends_with("the recorder's clock was set back"),
        "{message}"
    );
}

#[test]
fn what_was_written_while_no_recorder_worked_is_signed_by_the_next_one() {
    let record = Record::new();
    record.run(2);
    let boot = Boot {
        writer: "webhook@host".into(),
        ..Boot::default()
    };
    let alone = Ledger::open(&Destination::Directory(record.directory()), boot).unwrap();
    (0..50).for_each(|number| alone.append(admission(number)));
    alone.close("stopped").unwrap();
    assert_eq!(report(&record).checkpoints.uncovered, 52);
    record.run(2);
    let found = report(&record);
    assert_eq!(
        (found.checkpoints.uncovered, found.verdict()),
        (0, Verdict::Whole)
    );
}
