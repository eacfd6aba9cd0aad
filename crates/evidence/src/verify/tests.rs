use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::chain::Chain;
use crate::event::{Admission, Boot, End, Event, Gap as GapEvent};

fn lines(boot: &str, count: u64) -> Vec<String> {
    let mut chain = Chain::new(boot);
    let mut seal = |event| chain.seal(Timestamp::UNIX_EPOCH, event).unwrap();
    let mut lines = vec![seal(Event::Boot(Boot::default()))];
    for number in 2..count {
        let uid = format!("uid {number}");
        lines.push(seal(Event::Admission(Admission {
            uid,
            ..Admission::default()
        })));
    }
    lines.push(seal(Event::End(End {
        reason: "stopped".into(),
    })));
    lines
}

fn verify(bytes: &[u8]) -> ChainReport {
    let mut verifier = Verifier::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => verifier.line(line),
            None => verifier.torn_line(line),
        }
    }
    verifier.finish()
}

fn findings(lines: &[String]) -> Vec<(u64, Damage)> {
    let report = verify(lines.concat().as_bytes());
    report
        .findings
        .into_iter()
        .map(|finding| (finding.line, finding.damage))
        .collect()
}

#[test]
fn a_chain_as_it_was_written_is_whole() {
    let report = verify(lines("a", 9).concat().as_bytes());
    assert_eq!((report.findings, report.gaps), (vec![], vec![]));
    assert_eq!((report.records, report.boot.as_deref()), (9, Some("a")));
}

#[test]
fn what_the_writer_lost_is_a_gap_and_not_damage() {
    let mut chain = Chain::new("a");
    let declared = GapEvent {
        lost: 3,
        reason: "the queue was full".into(),
    };
    let text = [
        Event::Boot(Boot::default()),
        Event::Gap(declared),
        Event::End(End::default()),
    ]
    .map(|event| chain.seal(Timestamp::UNIX_EPOCH, event).unwrap());
    let report = verify(text.concat().as_bytes());
    let cause = GapCause::Declared {
        lost: 3,
        reason: "the queue was full".into(),
    };
    assert_eq!(
        (report.findings, report.gaps),
        (vec![], vec![Gap { line: 2, cause }])
    );
}

#[rstest]
#[case::its_end(5, 0, &[GapCause::Unclosed])]
#[case::half_of_its_last_line(6, -40, &[GapCause::Torn, GapCause::Unclosed])]
#[case::only_the_last_line_feed(6, -1, &[GapCause::Torn])]
fn a_chain_that_lacks(#[case] count: usize, #[case] cut: isize, #[case] causes: &[GapCause]) {
    let text = lines("a", 6)[..count].concat();
    let report = verify(&text.as_bytes()[..text.len().saturating_add_signed(cut)]);
    assert_eq!(report.findings, []);
    assert_eq!(
        report.gaps.into_iter().map(|gap| gap.cause).collect::<Vec<_>>(),
        causes
    );
}

#[test]
fn records_after_the_end_are_found() {
    let mut chain = Chain::new("a");
    let text = [
        Event::Boot(Boot::default()),
        Event::End(End::default()),
        Event::Gap(GapEvent::default()),
    ]
    .map(|event| chain.seal(Timestamp::UNIX_EPOCH, event).unwrap());
    assert_eq!(findings(&text), [(3, Damage::AfterEnd { seq: 2 })]);
}

#[test]
fn a_beginning_that_was_replaced_is_found() {
    let mut chain = Chain::new("a");
    let text = chain
        .seal(Timestamp::UNIX_EPOCH, Event::End(End::default()))
        .unwrap();
    assert_eq!(findings(&[text]), [(1, Damage::NoBoot)]);
}

#[test]
fn a_record_of_another_chain_is_found() {
    let mut lines = lines("a", 6);
    lines.insert(3, self::lines("b", 6)[3].clone());
    assert_eq!(findings(&lines), [(4, Damage::Foreign { boot: "b".into() })]);
}

#[test]
fn a_line_that_was_added_is_told_from_one_that_was_changed() {
    let mut lines = lines("a", 6);
    lines.insert(3, "hello\n".into());
    assert_eq!(findings(&lines), [(4, Damage::Inserted)]);
}

#[test]
fn a_record_replaced_with_its_own_hash_recomputed_is_found_by_the_next() {
    let mut lines = lines("a", 6);
    let mut forged = Chain::new("a");
    let forged: Vec<String> = (0..4)
        .map(|_| {
            forged
                .seal(Timestamp::UNIX_EPOCH, Event::Boot(Boot::default()))
                .unwrap()
        })
        .collect();
    lines[3].clone_from(&forged[3]);
    let found = findings(&lines);
    assert_eq!(found.last(), Some(&(4, Damage::Changed { seq: 3 })), "{found:?}");
}

proptest! {
    #[test]
    fn any_changed_byte_is_found_in_its_line(count in 3_u64..12, at in any::<prop::sample::Index>(), xor in 1_u8..) {
        let mut bytes = lines("a", count).concat().into_bytes();
        let at = at.index(bytes.len());
        let line = bytes[..at].split(|byte| *byte == b'\n').count() as u64;
        bytes[at] ^= xor;
        let report = verify(&bytes);
        let first = report.findings.first().map(|finding| (finding.line, finding.damage.clone()));
        prop_assert_eq!(first, Some((line, Damage::Changed { seq: line - 1 })));
    }

    #[test]
    fn a_removed_record_is_found(count in 3_u64..12, at in any::<prop::sample::Index>()) {
        let mut lines = lines("a", count);
        let at = at.index(lines.len() - 1);
        lines.remove(at);
        let seq = at as u64;
        prop_assert_eq!(findings(&lines), [(seq + 1, Damage::Missing { seqs: seq..=seq })]);
    }

    #[test]
    fn a_moved_record_is_found(count in 4_u64..12, from in any::<prop::sample::Index>(), by in any::<prop::sample::Index>()) {
        let mut lines = lines("a", count);
        let from = from.index(lines.len() - 1);
        let to = from + 1 + by.index(lines.len() - 1 - from);
        let line = lines.remove(from);
        lines.insert(to, line);
        let seq = from as u64;
        let found = findings(&lines);
        prop_assert!(found.contains(&(to as u64 + 1, Damage::Reordered { seq })), "{found:?}");
    }

    #[test]
    fn swapped_records_are_found(count in 4_u64..12, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let mut lines = lines("a", count);
        let (a, b) = (a.index(lines.len()), b.index(lines.len()));
        prop_assume!(a < b);
        lines.swap(a, b);
        let found = findings(&lines);
        prop_assert!(found.contains(&(b as u64 + 1, Damage::Reordered { seq: a as u64 })), "{found:?}");
    }

    #[test]
    fn a_duplicated_record_is_found(count in 3_u64..12, at in any::<prop::sample::Index>()) {
        let mut lines = lines("a", count);
        let at = at.index(lines.len());
        lines.insert(at + 1, lines[at].clone());
        let seq = at as u64;
        prop_assert_eq!(findings(&lines), [(seq + 2, Damage::Duplicated { seq })]);
    }

    #[test]
    fn any_bytes_are_verified_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = verify(&bytes);
    }
}
