//! Tampering with a ledger, by three kinds of people: somebody who can write its files; somebody who holds the key as
//! well, with what was anchored; and the same with what was not anchored yet, which nobody can exclude.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use provost::ledger::verify::{LedgerReport, Options, Verdict, verify};
use provost_evidence::chain::{Chain, Record as ChainRecord, Sealed};
use provost_evidence::checkpoint::{ChainName, Head, SignedCheckpoint};
use provost_evidence::event::Event;
use provost_evidence::note::SigningKey;

use crate::ledger_outside::stamped_by_an_authority;
use crate::ledger_privacy::privacy;
use crate::ledger_recorder::{Record, files};

/// What an outsider does to one file.
#[derive(Clone, Copy, Debug)]
enum Tampering {
    Change {
        at: Index,
        xor: u8,
    },
    RemoveLine {
        at: Index,
    },
    RepeatLine {
        at: Index,
    },
    SwapLines {
        one: Index,
        other: Index,
    },
    Truncate {
        at: Index,
    },
    Remove,
    /// Every record is made anew, with other times and right hashes.
    BackDate,
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), 1_u8..).prop_map(|(at, xor)| Tampering::Change { at, xor }),
        2 => index().prop_map(|at| Tampering::RemoveLine { at }),
        2 => index().prop_map(|at| Tampering::RepeatLine { at }),
        2 => (index(), index()).prop_map(|(one, other)| Tampering::SwapLines { one, other }),
        2 => index().prop_map(|at| Tampering::Truncate { at }),
        1 => Just(Tampering::Remove),
        1 => Just(Tampering::BackDate),
    ]
}

/// A ledger of two boots, its checkpoints, its anchor and its timestamps, in which people are pseudonyms.
fn anchored() -> Record {
    let mut record = Record::anchored();
    let _authority = stamped_by_an_authority(&mut record);
    record.privacy = Some(privacy(record.folder.path()));
    record.run(12);
    record.run(7);
    assert_eq!(
        verify(&record.directory(), &record.options()).unwrap().verdict(),
        Verdict::Whole
    );
    record
}

/// Chains and checkpoints.
fn record_files(directory: &Path) -> Vec<PathBuf> {
    let mut all = files(directory);
    all.extend(files(&directory.join("checkpoints")));
    all.retain(|file| file.is_file() && file.extension().is_some());
    all
}

/// `None` where nothing was changed by it.
fn tamper(bytes: &[u8], tampering: Tampering) -> Option<Vec<u8>> {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let mut changed = bytes.to_vec();
    match tampering {
        Tampering::Change { at, xor } => changed[at.index(bytes.len())] ^= xor,
        Tampering::RemoveLine { at } => {
            lines.remove(at.index(lines.len()));
            changed = lines.concat();
        }
        Tampering::RepeatLine { at } => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            changed = lines.concat();
        }
        Tampering::SwapLines { one, other } => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
            changed = lines.concat();
        }
        Tampering::Truncate { at } => changed.truncate(at.index(bytes.len())),
        Tampering::Remove => unreachable!("it is not about bytes"),
        Tampering::BackDate => changed = rewritten(bytes)?.concat().into_bytes(),
    }
    (changed != bytes).then_some(changed)
}

/// The chain with a day less in each time, and each hash as it has to be.
pub(crate) fn rewritten(bytes: &[u8]) -> Option<Vec<String>> {
    let records: Vec<ChainRecord> = std::str::from_utf8(bytes)
        .ok()?
        .lines()
        .map(|line| serde_json::from_str(Sealed::parse(line.as_bytes())?.record).ok())
        .collect::<Option<_>>()?;
    let mut chain = Chain::new(records.first()?.boot.clone());
    let day = jiff::SignedDuration::from_hours(24);
    let seal = |record: ChainRecord| {
        let time: jiff::Timestamp = record.time.parse().unwrap();
        let event = match record.event {
            Event::Admission(admission) => Event::Admission(provost_evidence::event::Admission {
                user: "mallory".into(),
                ..admission
            }),
            event => event,
        };
        chain.seal(time - day, event).unwrap()
    };
    Some(records.into_iter().map(seal).collect())
}

fn every_tampering_is_found(cases: u32) {
    let record = anchored();
    let (directory, options) = (record.directory(), record.options());
    let files = record_files(&directory);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (any::<Index>(), tampering());
    runner
        .run(&strategy, |(file, tampering)| {
            let file = file.get(&files);
            let before = fs::read(file).unwrap();
            let after = match tampering {
                Tampering::Remove => Some(None),
                tampering => tamper(&before, tampering).map(Some),
            };
            prop_assume!(after.is_some());
            match after.flatten() {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
            let report = verify(&directory, &options);
            fs::write(file, &before).unwrap();
            let report = report.unwrap();
            prop_assert_eq!(report.verdict(), Verdict::Damaged);
            prop_assert!(
                is_located(&report, file),
                "not located in {:?}: {:#?}",
                file,
                report
            );
            Ok(())
        })
        .unwrap();
}

/// Whether some finding names the file, or the chain or checkpoint that was in it.
fn is_located(report: &LedgerReport, file: &Path) -> bool {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let in_chain = report.chains.iter().any(|chain| {
        let mut places = chain
            .report
            .findings
            .iter()
            .map(|finding| chain.place(finding.line).0);
        places.any(|place| place == file)
    });
    let is_checkpoints = file.parent().unwrap().ends_with("checkpoints");
    in_chain
        || report.removed.iter().any(|removed| removed.name.ends_with(stem))
        || (is_checkpoints && report.checkpoints.findings.total() > 0)
}

#[test]
fn whatever_an_outsider_does_is_found_and_located() {
    every_tampering_is_found(300);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn soak_whatever_an_outsider_does_is_found_and_located() {
    every_tampering_is_found(10_000);
}

#[test]
fn a_timestamp_that_was_changed_is_found_or_says_what_it_said() {
    let record = anchored();
    let (directory, options) = (record.directory(), record.options());
    let before = verify(&directory, &options).unwrap().checkpoints.timestamped;
    assert!(before.is_some());
    let file = files(&directory.join("timestamps")).remove(0);
    let bytes = fs::read(&file).unwrap();
    let mut found = 0;
    for at in (0..bytes.len()).step_by(37) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&file, changed).unwrap();
        let report = verify(&directory, &options).unwrap();
        if report.verdict() == Verdict::Whole {
            let after = report.checkpoints.timestamped;
            assert!(after.is_none() || after == before, "byte {at}: {after:?}");
        } else {
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

/// Who holds the key makes a chain and all checkpoints anew.
pub(crate) fn rewrite_as_insider(record: &Record) {
    let key = fs::read_to_string(&record.config.signing_key).unwrap();
    let key = SigningKey::parse(&key).unwrap();
    let chain = files(&record.directory()).remove(0);
    let lines = rewritten(&fs::read(&chain).unwrap()).unwrap();
    fs::write(&chain, lines.concat()).unwrap();
    let boot = chain.file_stem().unwrap().to_str().unwrap().to_owned();
    let signed = record.checkpoints().into_iter().map(|signed| {
        let mut checkpoint = signed.checkpoint;
        for (ChainName { boot: of, .. }, Head { count, hash }) in &mut checkpoint.chains {
            if *of == boot {
                let last = &lines[usize::try_from(*count).unwrap() - 1];
                *hash = Sealed::parse(last.trim_end().as_bytes()).unwrap().hash;
            }
        }
        checkpoint.sign([&key])
    });
    let notes = signed.fold(String::new(), |notes, signed: SignedCheckpoint| {
        notes + &format!("{signed}\n")
    });
    let mut days = files(&record.directory().join("checkpoints"));
    days.retain(|file| file.extension().is_some());
    fs::write(&days[0], notes).unwrap();
    days[1..].iter().for_each(|day| fs::remove_file(day).unwrap());
}

#[test]
fn who_holds_the_key_is_found_where_there_is_an_anchor() {
    let record = anchored();
    rewrite_as_insider(&record);
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(report.verdict(), Verdict::Damaged);
    let kinds: Vec<_> = report
        .checkpoints
        .findings
        .kept
        .iter()
        .map(|finding| finding.kind)
        .collect();
    assert!(kinds.contains(&"anchor-differs"), "{kinds:?}");
    assert!(kinds.contains(&"timestamp-differs"), "{kinds:?}");
    assert!(
        report.checkpoints.findings.total() >= record.checkpoints().len() as u64 / 2,
        "the checkpoints that were made anew are named"
    );
}

#[test]
fn who_holds_the_key_is_not_excluded_where_there_is_no_anchor_and_verify_says_so() {
    let record = Record::new();
    record.run(12);
    rewrite_as_insider(&record);
    let options = Options {
        anchor: None,
        timestamp_authority: None,
        ..record.options()
    };
    assert_eq!(
        verify(&record.directory(), &options).unwrap().verdict(),
        Verdict::Whole
    );
    let key = record.options().trust[0].to_string();
    let (code, text) = record.verify(&["--trust", &key]);
    assert_eq!(code, 0);
    assert!(
        text.contains("warn  no --anchor was given: the key's holder could have rewritten everything"),
        "{text}"
    );
}
