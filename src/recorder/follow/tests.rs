use std::fs;

use provost_evidence::chain::Chain;
use provost_evidence::event::{Boot, Gap};

use super::*;

const BOOT: &str = "20261124T111432.250Z-1f0c9a3b";

/// A ledger with a chain in two files; the writing end.
fn chain(directory: &Path) -> Chain {
    let mut chain = Chain::new(BOOT);
    let boot = Event::Boot(Boot::default());
    let first = chain.seal(jiff::Timestamp::now(), boot).unwrap() + &line(&mut chain);
    fs::write(directory.join(format!("{BOOT}.jsonl")), first).unwrap();
    let second = line(&mut chain);
    fs::write(directory.join(format!("{BOOT}.000000000002.jsonl")), second).unwrap();
    chain
}

fn line(chain: &mut Chain) -> String {
    chain
        .seal(jiff::Timestamp::now(), Event::Gap(Gap::default()))
        .unwrap()
}

/// What a recorder leaves that read all of it.
fn read(directory: &Path) -> (BTreeMap<ChainName, Head>, Resume) {
    let mut follower = Follower::new(directory.to_owned(), BTreeMap::new(), Resume::default());
    assert!(follower.advance().unwrap().is_empty());
    let heads = follower.heads();
    // Through a file, as it is kept.
    let file = directory.join("read.json");
    follower.resume().save(&file).unwrap();
    (heads, Resume::load(&file))
}

fn next(directory: &Path, (signed, resume): (BTreeMap<ChainName, Head>, Resume)) -> (Vec<Alarm>, u64, u64) {
    let mut follower = Follower::new(directory.to_owned(), signed, resume);
    let alarms = follower.advance().unwrap();
    let count = follower.heads().values().map(|head| head.count).sum();
    (alarms, follower.bytes_read(), count)
}

#[test]
fn what_was_read_and_signed_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = chain(directory.path());
    assert_eq!(next(directory.path(), read(directory.path())), (Vec::new(), 0, 3));
    // What follows is, with the file that it stands in.
    let left = read(directory.path());
    let file = directory.path().join(format!("{BOOT}.000000000002.jsonl"));
    let text = fs::read_to_string(&file).unwrap() + &line(&mut chain);
    fs::write(&file, &text).unwrap();
    assert_eq!(next(directory.path(), left), (Vec::new(), text.len() as u64, 4));
    // And so is a new file, alone.
    let left = read(directory.path());
    let third = line(&mut chain);
    fs::write(
        directory.path().join(format!("{BOOT}.000000000004.jsonl")),
        &third,
    )
    .unwrap();
    assert_eq!(next(directory.path(), left), (Vec::new(), third.len() as u64, 5));
}

#[test]
fn a_file_that_was_changed_meanwhile_is_read_again_and_is_an_alarm() {
    let directory = tempfile::tempdir().unwrap();
    chain(directory.path());
    let left = read(directory.path());
    let file = directory.path().join(format!("{BOOT}.jsonl"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"lost\":0", "\"lost\":1")).unwrap();
    let (alarms, _, _) = next(directory.path(), left);
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].message, "record 1 is not as it was written");
}

#[test]
fn a_state_that_the_last_checkpoint_does_not_confirm_counts_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    chain(directory.path());
    let (signed, mut resume) = read(directory.path());
    for chain in resume.0.values_mut() {
        chain.count += 1;
    }
    let (alarms, bytes, count) = next(directory.path(), (signed, resume));
    assert_eq!((alarms, count), (Vec::new(), 3));
    assert!(bytes > 0);
}
