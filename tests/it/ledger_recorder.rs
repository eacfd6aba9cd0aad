//! The recorder: checkpoints, anchors, keys and retention, on real files and with real Git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use provost::ledger::verify::{Options, Verdict, verify};
use provost::ledger::{Destination, Ledger, SegmentLimits};
use provost::recorder::{self, RecorderConfig, Running};
use provost_evidence::checkpoint::SignedCheckpoint;
use provost_evidence::event::{Admission, Boot, Event};

/// A ledger, a recorder and, where one is wanted, an anchor.
pub(crate) struct Record {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: RecorderConfig,
}

impl Record {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let config = RecorderConfig {
            signing_key: state.join("signing.key"),
            previous_key: None,
            state,
            interval: recorder::MAX_INTERVAL,
            retention_days: 400,
            anchor: None,
            timestamp_authorities: Vec::new(),
            origin: "shop".into(),
        };
        Self { folder, config }
    }

    pub(crate) fn anchored() -> Self {
        let mut record = Self::new();
        let remote = record.folder.path().join("anchor");
        git2::Repository::init_bare(&remote).unwrap();
        record.config.anchor = Some(format!("{}#anchors", remote.display()).parse().unwrap());
        record
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn open(&self) -> (Ledger, Running) {
        self.open_with(SegmentLimits::default())
    }

    fn open_with(&self, limits: SegmentLimits) -> (Ledger, Running) {
        let boot = Boot {
            writer: "webhook@host".into(),
            ..Boot::default()
        };
        let ledger = Ledger::open_with(&Destination::Directory(self.directory()), boot, limits).unwrap();
        let recorder = recorder::start(self.config.clone(), &ledger).unwrap().unwrap();
        (ledger, recorder)
    }

    /// A process that records so many admissions and stops in good order.
    pub(crate) fn run(&self, admissions: u64) {
        let (ledger, recorder) = self.open();
        (0..admissions).for_each(|number| ledger.append(admission(number)));
        ledger.close("stopped").unwrap();
        recorder.stop();
    }

    fn key(&self) -> String {
        let mut public = self.config.signing_key.clone().into_os_string();
        public.push(".pub");
        fs::read_to_string(public).unwrap().trim().to_owned()
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            trust: vec![self.key().parse().unwrap()],
            anchor: self.config.anchor.clone(),
            timestamp_authority: None,
        }
    }

    /// The exit code and what was printed by `provost verify`, with names that do not change.
    pub(crate) fn verify(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_provost"))
            .arg("verify")
            .args(arguments)
            .arg(self.directory())
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), steady(&text, self.folder.path()))
    }

    pub(crate) fn checkpoints(&self) -> Vec<SignedCheckpoint> {
        let mut files = files(&self.directory().join("checkpoints"));
        files.retain(|file| file.extension().is_some());
        let text: String = files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        let notes = text.split_inclusive("=\n\n");
        notes
            .map(|note| note.strip_suffix('\n').unwrap().parse().unwrap())
            .collect()
    }
}

fn admission(number: u64) -> Event {
    Event::Admission(Admission {
        uid: format!("uid-{number}"),
        user: "alice".into(),
        ..Admission::default()
    })
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = directory
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn steady(text: &str, folder: &Path) -> String {
    let text = text.replace(folder.to_str().unwrap(), "FOLDER");
    let patterns = [
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}", "BOOT"),
        (r"checkpoints/\d{4}-\d\d-\d\d", "checkpoints/DAY"),
        (r"\([0-9a-f]{8}\)", "(KEY)"),
        (r"commit [0-9a-f]{7}", "commit ID"),
        (r"anchors [0-9a-f]{7}", "anchors ID"),
    ];
    patterns.iter().fold(text, |text, (pattern, name)| {
        regex::Regex::new(pattern)
            .unwrap()
            .replace_all(&text, *name)
            .into_owned()
    })
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_ledger_says_who_signed_it_and_what_others_keep_of_it() {
    let record = Record::anchored();
    record.run(4);
    let anchor = format!("{}#anchors", record.folder.path().join("anchor").display());
    let (code, text) = record.verify(&["--trust", &record.key(), "--anchor", &anchor]);
    insta::assert_snapshot!(text, @r#"
    ok    6 ledger records in 1 chain; no gaps
    ok    2 checkpoints of shop, signed by shop (KEY): 6 of 6 records until TIME
    ok    anchored in FOLDER/anchor#anchors: 6 records until TIME (checkpoint 1, commit ID)
    "#);
    assert_eq!(code, 0);
    let (code, text) = record.verify(&[]);
    insta::assert_snapshot!(text, @r#"
    ok    6 ledger records in 1 chain; no gaps
    warn  integrity only, origin not shown: no --trust key was given for the 2 checkpoints of shop, so who can write these files could have written everything anew
    "#);
    assert_eq!(code, 0);
}

#[test]
fn records_after_the_last_checkpoint_are_named_as_such() {
    let record = Record::anchored();
    record.run(4);
    let ledger = Ledger::open(&Destination::Directory(record.directory()), Boot::default()).unwrap();
    ledger.close("stopped").unwrap();
    let anchor = format!("{}#anchors", record.folder.path().join("anchor").display());
    let (code, text) = record.verify(&["--trust", &record.key(), "--anchor", &anchor]);
    insta::assert_snapshot!(text, @r#"
    ok    8 ledger records in 2 chains; no gaps
    ok    2 checkpoints of shop, signed by shop (KEY): 6 of 8 records until TIME
    warn  2 records are newer than checkpoint 1: who can write these files could have rewritten them
    ok    anchored in FOLDER/anchor#anchors: 6 records until TIME (checkpoint 1, commit ID)
    warn  2 records are not anchored (after TIME): the key's holder could have rewritten them
    "#);
    assert_eq!(code, 0);
}

#[test]
fn another_key_is_not_trusted() {
    let record = Record::new();
    record.run(1);
    let other = Record::new();
    other.run(1);
    let (code, text) = record.verify(&["--trust", &other.key()]);
    assert_eq!(code, 1);
    assert!(
        text.contains("checkpoint 0 is not signed by a key that is trusted: shop (KEY)"),
        "{text}"
    );
    assert!(text.contains("integrity only, origin not shown"), "{text}");
}

#[test]
fn a_key_is_changed_by_a_checkpoint_that_both_sign() {
    let mut record = Record::new();
    record.run(2);
    let first = record.key();
    let old = record.config.signing_key.clone();
    record.config.signing_key = record.config.state.join("new.key");
    let ledger = Ledger::open(&Destination::Directory(record.directory()), Boot::default()).unwrap();
    let error = recorder::start(record.config.clone(), &ledger).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("give the key that signed it by --previous-signing-key")
    );
    ledger.close("stopped").unwrap();
    record.config.previous_key = Some(old);
    record.run(2);
    // Once it is done, the old key is needed no more.
    record.config.previous_key = None;
    record.run(2);
    let handed_over: Vec<_> = record
        .checkpoints()
        .into_iter()
        .filter(|signed| signed.checkpoint.key.is_some())
        .collect();
    assert_eq!(handed_over.len(), 1);
    assert_eq!(handed_over[0].note.signatures.len(), 2);
    assert_eq!(record.verify(&["--trust", &first]).0, 0);
    // The new key does not vouch for what was before it.
    assert_eq!(record.verify(&["--trust", &record.key()]).0, 1);
}

#[test]
fn what_was_signed_is_never_contradicted_and_a_changed_chain_is_an_alarm() {
    let record = Record::new();
    record.run(3);
    let chain = files(&record.directory()).remove(0);
    let text = fs::read_to_string(&chain).unwrap();
    fs::write(&chain, text.replace("alice", "mallory")).unwrap();
    let signed = record.checkpoints().last().unwrap().checkpoint.clone();
    let (ledger, recorder) = record.open();
    wait_for("the alarm is recorded", || {
        files(&record.directory())
            .iter()
            .filter(|file| file.is_file())
            .any(|file| fs::read_to_string(file).unwrap().contains("\"type\":\"alarm\""))
    });
    ledger.close("stopped").unwrap();
    recorder.stop();
    let later = record.checkpoints().last().unwrap().checkpoint.clone();
    for (name, head) in &signed.chains {
        assert_eq!(later.chains.get(name), Some(head));
    }
    assert_eq!(record.verify(&["--trust", &record.key()]).0, 1);
}

#[test]
fn an_anchor_that_does_not_answer_gets_what_it_missed_once_it_does() {
    let mut record = Record::anchored();
    record.config.interval = Duration::from_secs(1);
    let remote = record.folder.path().join("anchor");
    let away = record.folder.path().join("away");
    fs::rename(&remote, &away).unwrap();
    let (ledger, recorder) = record.open();
    ledger.append(admission(1));
    wait_for("two checkpoints are made", || record.checkpoints().len() >= 2);
    fs::rename(&away, &remote).unwrap();
    wait_for("the anchor has them", || {
        verify(&record.directory(), &record.options()).is_ok_and(|report| {
            report
                .checkpoints
                .anchored
                .is_some_and(|anchored| anchored.checkpoint >= 1)
        })
    });
    ledger.close("stopped").unwrap();
    recorder.stop();
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(report.verdict(), Verdict::Whole);
    let anchored = report.checkpoints.anchored.as_ref().unwrap();
    assert_eq!(anchored.records, report.records());
}

#[test]
fn a_chain_goes_on_in_a_new_file_and_is_one_chain() {
    let record = Record::new();
    let limits = SegmentLimits {
        bytes: 2_000,
        age: Duration::from_hours(1),
    };
    let (ledger, recorder) = record.open_with(limits);
    (0..40).for_each(|number| ledger.append(admission(number)));
    ledger.close("stopped").unwrap();
    recorder.stop();
    assert!(files(&record.directory()).len() > 5);
    let report = verify(&record.directory(), &record.options()).unwrap();
    assert_eq!(
        (report.verdict(), report.chains.len(), report.records()),
        (Verdict::Whole, 1, 42)
    );
    // A file in the middle that is taken away is missed.
    fs::remove_file(&files(&record.directory())[2]).unwrap();
    let (code, text) = record.verify(&["--trust", &record.key()]);
    assert_eq!(code, 1);
    assert!(text.contains("are missing before this line"), "{text}");
}

/// Records of last year, as a process of then would have left them.
fn old_chain(directory: &Path, boot: &str, admissions: u64) {
    use provost_evidence::chain::Chain;
    fs::create_dir_all(directory).unwrap();
    let mut chain = Chain::new(boot);
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 500);
    let boot_record = Event::Boot(Boot {
        writer: "webhook@host".into(),
        ..Boot::default()
    });
    let end = Event::End(provost_evidence::event::End::default());
    let events = [boot_record]
        .into_iter()
        .chain((0..admissions).map(admission))
        .chain([end]);
    let text: String = events.map(|event| chain.seal(time, event).unwrap()).collect();
    fs::write(directory.join(format!("{boot}.jsonl")), text).unwrap();
}

#[test]
fn what_was_kept_long_enough_is_deleted_and_not_missed() {
    let record = Record::new();
    old_chain(&record.directory(), "20250101T000000.000Z-00000001", 5);
    record.run(3);
    assert_eq!(
        files(&record.directory())
            .iter()
            .filter(|file| file.is_file())
            .count(),
        1
    );
    let dropped = &record.checkpoints()[0].checkpoint.dropped;
    assert_eq!(dropped.values().map(|head| head.count).collect::<Vec<_>>(), [7]);
    assert_eq!(record.verify(&["--trust", &record.key()]).0, 0);
    record.run(3);
    assert_eq!(record.verify(&["--trust", &record.key()]).0, 0);
}

#[test]
fn a_process_that_was_killed_leaves_its_checkpoints_and_a_gap() {
    let record = Record::new();
    let (ledger, recorder) = record.open();
    ledger.append(admission(1));
    recorder.stop();
    let (code, text) = record.verify(&["--trust", &record.key()]);
    assert_eq!(code, 3);
    assert!(text.contains("no end record"), "{text}");
    // The last note was not written to its end.
    let file = files(&record.directory().join("checkpoints")).remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 20]).unwrap();
    let (code, text) = record.verify(&["--trust", &record.key()]);
    assert_eq!(code, 3);
    assert!(
        text.contains("the last checkpoint was cut off while it was written"),
        "{text}"
    );
    drop(ledger);
    record.run(1);
    assert_eq!(record.verify(&["--trust", &record.key()]).0, 3);
}

#[test]
fn two_processes_of_one_name_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let boot = Boot {
            writer: "webhook@host".into(),
            ..Boot::default()
        };
        Ledger::open(&Destination::Directory(directory.path().to_owned()), boot).unwrap()
    };
    let (one, other) = (open(), open());
    std::thread::sleep(Duration::from_millis(20));
    one.close("stopped").unwrap();
    other.close("stopped").unwrap();
    let report = verify(directory.path(), &Options::default()).unwrap();
    assert_eq!(report.overlaps.len(), 1);
    assert_eq!(report.verdict(), Verdict::WholeWithGaps);
}

#[test]
fn one_ledger_has_one_recorder() {
    let record = Record::new();
    let (ledger, recorder) = record.open();
    assert!(recorder::start(record.config.clone(), &ledger).unwrap().is_none());
    ledger.close("stopped").unwrap();
    recorder.stop();
}

#[tokio::test]
async fn what_has_to_be_durable_is_on_the_disk_before_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(
        &Destination::Directory(directory.path().to_owned()),
        Boot::default(),
    )
    .unwrap();
    ledger
        .append_durably(Event::PolicyChange(Admission {
            uid: "the-change".into(),
            ..Admission::default()
        }))
        .await
        .unwrap();
    let text = fs::read_to_string(&files(directory.path())[0]).unwrap();
    assert!(text.contains("the-change"), "{text}");
    ledger.close("stopped").unwrap();
    assert!(ledger.append_durably(admission(1)).await.is_err());
}
