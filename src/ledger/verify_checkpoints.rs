//! Verifies the checkpoints of a ledger: their form, their numbers, who signed them, and whether the anchor has the
//! same ones.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::Timestamp;
use provost_evidence::checkpoint::{
    Checkpoint, Distrust, Expectations, MAX_INTERVAL_SECONDS, SignedCheckpoint, Signers,
};
use provost_evidence::timestamp::{Authority, Stamp, Token, TokenError};
use provost_evidence::verify::{ChainReport, MAX_FINDINGS};
use provost_manifest::digest::Digest;

use super::checkpoints::{self, Entry, Place};
use super::{anchor, timestamps, verify};

/// What is wrong with checkpoints, or missing between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFinding {
    /// The file and line, or the anchor's commit.
    pub place: String,
    /// A word for programs.
    pub kind: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// At most [`MAX_FINDINGS`]; more are counted.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The first ones.
    pub kept: Vec<CheckpointFinding>,
    /// How many more there are.
    pub more: u64,
}

/// Where and when the record was shown to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// Repository and branch.
    pub address: String,
    /// The last commit that agrees with the ledger.
    pub commit: String,
    /// The number of its checkpoint.
    pub checkpoint: u64,
    /// When that checkpoint was made, as it says.
    pub time: String,
    /// Records that it covers.
    pub records: u64,
}

/// Who outside said when the record was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamped {
    /// The authority, by the name in its certificate.
    pub by: String,
    /// When, as it says.
    pub time: String,
    /// The number of the checkpoint that it stamped.
    pub checkpoint: u64,
    /// Records that it covers.
    pub records: u64,
    /// How many timestamps agree with the ledger, this one among them.
    pub count: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct CheckpointReport {
    /// How many there are.
    pub count: u64,
    /// Which ledger they are of.
    pub origin: Option<String>,
    /// Time of the last one.
    pub last_time: Option<String>,
    /// Keys that signed, where keys were given to trust.
    pub trusted: Option<String>,
    /// Records that a checkpoint covers.
    pub covered: u64,
    /// Records that none covers: newer than the last.
    pub uncovered: u64,
    /// What an anchor shows, where one was given and agrees.
    pub anchored: Option<Anchored>,
    /// Whether an anchor was given.
    pub anchor_given: bool,
    /// What the last timestamp shows, where an authority was given and one agrees.
    pub timestamped: Option<Timestamped>,
    /// Whether an authority of timestamps was given.
    pub authority_given: bool,
    /// How many checkpoints are not kept any more, as later ones say.
    pub thinned: u64,
    /// What isn't as it was made.
    pub findings: Findings,
    /// Times without a checkpoint.
    pub gaps: Findings,
}

/// Reads checkpoints, then an anchor, and is asked what the chains have to be.
#[derive(Debug)]
pub(super) struct Reader {
    report: CheckpointReport,
    signers: Option<Signers>,
    expectations: Expectations,
    /// By number: the digest of the note.
    notes: BTreeMap<u64, Digest>,
    last: Option<Checkpoint>,
    anchored: Option<(String, String, Checkpoint)>,
    /// The last one that is stamped.
    stamped: Option<(Stamp, u64)>,
    stamps: u64,
    /// What is missing before a checkpoint, and where that stands.
    holes: Vec<(String, RangeInclusive<u64>)>,
    /// What checkpoints say to be kept no more, by first number.
    thinned: BTreeMap<u64, u64>,
}

// === impl Findings ===

impl Findings {
    /// How many there are.
    pub fn total(&self) -> u64 {
        self.kept.len() as u64 + self.more
    }

    fn add(&mut self, place: String, kind: &'static str, message: String) {
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(CheckpointFinding { place, kind, message });
        } else {
            self.more += 1;
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Reads the checkpoints of the ledger in `directory`. Without signers nobody's signature counts.
    pub(super) fn read(directory: &Path, signers: Option<Signers>) -> Result<Self, checkpoints::Error> {
        let mut reader = Self {
            report: CheckpointReport::default(),
            signers,
            expectations: Expectations::default(),
            notes: BTreeMap::new(),
            last: None,
            anchored: None,
            stamped: None,
            stamps: 0,
            holes: Vec::new(),
            thinned: BTreeMap::new(),
        };
        checkpoints::read(directory, |place, entry| reader.entry(&place, entry))?;
        Ok(reader)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.report.count == 0
    }

    pub(super) fn expectations(&self) -> &Expectations {
        &self.expectations
    }

    fn entry(&mut self, place: &Place, entry: Entry) {
        let place = format!("{}:{}", place.file.display(), place.line);
        match entry {
            Entry::Checkpoint(signed) => self.checkpoint(place, *signed),
            Entry::Damaged => {
                let message = "this is not a checkpoint: it was changed";
                self.report
                    .findings
                    .add(place, "checkpoint-changed", message.to_owned());
            }
            Entry::Torn => {
                let message = "the last checkpoint was cut off while it was written";
                self.report.gaps.add(place, "checkpoint-torn", message.to_owned());
            }
        }
    }

    fn checkpoint(&mut self, place: String, signed: SignedCheckpoint) {
        if let Some(signers) = &mut self.signers
            && let Err(distrust) = signers.admit(&signed)
        {
            let number = signed.checkpoint.number;
            let message = match distrust {
                Distrust::Unsigned => format!(
                    "checkpoint {number} is not signed by a key that is trusted: {}",
                    signers.names()
                ),
                Distrust::HandedOver => {
                    format!("checkpoint {number} hands over to a key that did not sign it")
                }
            };
            // What nobody who is trusted says is no reason to call a chain damaged.
            return self.report.findings.add(place, "checkpoint-not-trusted", message);
        }
        let checkpoint = &signed.checkpoint;
        let expected = self.last.as_ref().map_or(0, |last| last.number + 1);
        if checkpoint.number > expected {
            // A later checkpoint may say that they are not kept.
            self.holes.push((place.clone(), expected..=checkpoint.number - 1));
        } else if checkpoint.number < expected {
            let message = format!(
                "checkpoint {} stands here after number {}",
                checkpoint.number,
                expected - 1
            );
            self.report
                .findings
                .add(place.clone(), "checkpoint-missing", message);
        } else {
            self.look_for_gap(&place, checkpoint);
        }
        for numbers in &checkpoint.thinned {
            let last = self.thinned.entry(*numbers.start()).or_default();
            *last = (*last).max(*numbers.end());
        }
        if self
            .last
            .as_ref()
            .is_some_and(|last| last.origin != checkpoint.origin)
        {
            let message = format!("checkpoint {} is of another ledger", checkpoint.number);
            self.report
                .findings
                .add(place.clone(), "checkpoint-foreign", message);
        }
        self.expect(place, checkpoint);
        self.notes
            .insert(checkpoint.number, Digest::of_bytes(signed.to_string().as_bytes()));
        self.report.count += 1;
        self.last = Some(signed.checkpoint);
    }

    fn expect(&mut self, place: String, checkpoint: &Checkpoint) {
        if let Err(contradiction) = self.expectations.add(checkpoint) {
            let message = contradiction.to_string();
            self.report
                .findings
                .add(place, "checkpoint-contradiction", message);
        }
    }

    fn look_for_gap(&mut self, place: &str, checkpoint: &Checkpoint) {
        let Some(last) = &self.last else { return };
        let (Ok(from), Ok(to)) = (
            last.time.parse::<Timestamp>(),
            checkpoint.time.parse::<Timestamp>(),
        ) else {
            return;
        };
        let between = to.as_second().saturating_sub(from.as_second());
        if u64::try_from(between).is_ok_and(|seconds| seconds > 2 * MAX_INTERVAL_SECONDS) {
            let message = format!(
                "no checkpoint from {} to {}: the recorder did not work",
                last.time, checkpoint.time
            );
            self.report.gaps.add(place.to_owned(), "no-checkpoint", message);
        } else if between < 0 {
            let message = format!(
                "a checkpoint of {} follows one of {}: the recorder's clock was set back",
                checkpoint.time, last.time
            );
            self.report
                .gaps
                .add(place.to_owned(), "checkpoint-clock", message);
        }
    }

    /// Whether a checkpoint says that this one is not kept.
    fn is_thinned(&self, number: u64) -> bool {
        let mut before = self.thinned.range(..=number);
        before.any(|(_, last)| *last >= number)
    }

    /// What is missing and was not thinned.
    fn look_for_holes(&mut self) {
        for (place, numbers) in std::mem::take(&mut self.holes) {
            let mut missing = Vec::<RangeInclusive<u64>>::new();
            let mut next = *numbers.start();
            for (first, last) in &self.thinned {
                if *first > next && next <= *numbers.end() {
                    missing.push(next..=(*first - 1).min(*numbers.end()));
                }
                if *last >= next {
                    next = next.max(last.saturating_add(1));
                }
            }
            if next <= *numbers.end() {
                missing.push(next..=*numbers.end());
            }
            let absent: u64 = missing.iter().map(|range| range.end() - range.start() + 1).sum();
            self.report.thinned += numbers.end() - numbers.start() + 1 - absent;
            for range in missing {
                let message = format!(
                    "checkpoints {} to {} are missing before this one",
                    range.start(),
                    range.end()
                );
                self.report
                    .findings
                    .add(place.clone(), "checkpoint-missing", message);
            }
        }
    }

    /// Reads the timestamps beside the checkpoints: each must be of the note that lies there.
    pub(super) fn compare_with_timestamps(
        &mut self,
        directory: &Path,
        authority: &Authority,
    ) -> Result<(), verify::Error> {
        self.report.authority_given = true;
        timestamps::read(directory, |path, line, entry| {
            let place = format!("{}:{line}", path.display());
            self.timestamp(place, entry, authority);
        })
        .map_err(|source| verify::Error::Read {
            path: directory.join(timestamps::FOLDER),
            source,
        })
    }

    fn timestamp(&mut self, place: String, entry: Option<timestamps::Entry>, authority: &Authority) {
        let Some((entry, token)) = entry.and_then(|entry| entry.token().map(|token| (entry, token))) else {
            let message = "this is not a timestamp: it was changed".to_owned();
            return self.report.findings.add(place, "timestamp-changed", message);
        };
        let number = entry.checkpoint;
        let Some(note) = self.notes.get(&number) else {
            if !self.is_thinned(number) {
                let message =
                    format!("checkpoint {number} was timestamped and is not in the ledger: it was removed");
                self.report.findings.add(place, "timestamp-only", message);
            }
            return;
        };
        match Token::read(&token).and_then(|token| token.verify(*note, authority)) {
            Ok(stamp) => {
                self.stamps += 1;
                if self.stamped.as_ref().is_none_or(|(_, last)| *last <= number) {
                    self.stamped = Some((stamp, number));
                }
            }
            Err(TokenError::OtherDigest) => {
                let message = format!(
                    "checkpoint {number} of the ledger is not the one that was timestamped: it was made anew"
                );
                self.report.findings.add(place, "timestamp-differs", message);
            }
            Err(TokenError::Untrusted) => {
                // Another authority's: it shows nothing, and proves no harm.
                let message = format!(
                    "the timestamp of checkpoint {number} by {} is not of an authority that is trusted",
                    entry.authority
                );
                self.report.gaps.add(place, "timestamp-not-trusted", message);
            }
            Err(error) => {
                let message = format!("the timestamp of checkpoint {number} counts for nothing: {error}");
                self.report.findings.add(place, "timestamp-changed", message);
            }
        }
    }

    /// Reads the anchor: the same notes must be there, and those that only it has show what was taken away.
    pub(super) fn compare_with(&mut self, address: &anchor::Address) -> Result<(), verify::Error> {
        self.report.anchor_given = true;
        anchor::read(address, |commit, note| {
            let place = format!("{address} {}", short(&commit.to_string()));
            if let Ok(signed) = note.parse::<SignedCheckpoint>() {
                self.anchored(address, commit.to_string(), place, signed);
            } else {
                let message = "the anchor has what is not a checkpoint".to_owned();
                self.report.findings.add(place, "anchor-changed", message);
            }
        })?;
        Ok(())
    }

    fn anchored(
        &mut self,
        address: &anchor::Address,
        commit: String,
        place: String,
        signed: SignedCheckpoint,
    ) {
        let number = signed.checkpoint.number;
        match self.notes.get(&number) {
            Some(digest) if *digest == Digest::of_bytes(signed.to_string().as_bytes()) => {
                self.anchored = Some((address.to_string(), commit, signed.checkpoint));
            }
            Some(_) => {
                let message = format!(
                    "checkpoint {number} of the ledger is not the one that was anchored: it was made anew"
                );
                self.report.findings.add(place.clone(), "anchor-differs", message);
                self.expect(place, &signed.checkpoint);
            }
            // It is not kept here any more, and is no less true.
            None if self.is_thinned(number) => {
                if self.signers.as_ref().is_none_or(|signers| signers.knew(&signed)) {
                    self.expect(place, &signed.checkpoint);
                }
            }
            None => {
                let is_trusted = self
                    .signers
                    .as_mut()
                    .is_none_or(|signers| signers.admit(&signed).is_ok());
                let message = if is_trusted {
                    format!("checkpoint {number} was anchored and is not in the ledger: it was removed")
                } else {
                    format!("checkpoint {number} was anchored, but is not signed by a key that is trusted")
                };
                self.report.findings.add(place.clone(), "anchor-only", message);
                if is_trusted {
                    self.expect(place, &signed.checkpoint);
                }
            }
        }
    }

    /// With what was found in the chains.
    pub(super) fn finish<'a>(mut self, chains: impl Iterator<Item = &'a ChainReport>) -> CheckpointReport {
        self.look_for_holes();
        let stamped = self.stamped.as_ref().map(|(_, number)| *number);
        let (mut anchored_records, mut stamped_records) = (0, 0);
        for chain in chains {
            let Some(boot) = &chain.boot else { continue };
            let own = chain.count.saturating_sub(chain.first);
            let expected = self.expectations.chain(boot);
            let within = |count: u64| count.min(chain.count).saturating_sub(chain.first);
            let covered = expected.map_or(0, |expected| within(expected.last().0));
            self.report.covered += covered;
            self.report.uncovered += own - covered;
            if let (Some((_, _, checkpoint)), Some(expected)) = (&self.anchored, expected) {
                anchored_records += checkpoint
                    .chains
                    .get(&expected.name)
                    .map_or(0, |head| within(head.count));
            }
            if let (Some(stamped), Some(expected)) = (stamped, expected) {
                // The furthest that this checkpoint or one before it says.
                let heads = expected.heads.iter().rev();
                let head = heads
                    .map(|(count, (_, number))| (*count, *number))
                    .find(|(_, number)| *number <= stamped);
                stamped_records += head.map_or(0, |(count, _)| within(count));
            }
        }
        self.report.timestamped = self.stamped.take().map(|(stamp, checkpoint)| Timestamped {
            by: stamp.by,
            time: provost_evidence::chain::format_time(stamp.time),
            checkpoint,
            records: stamped_records,
            count: self.stamps,
        });
        self.report.anchored = self.anchored.map(|(address, commit, checkpoint)| Anchored {
            address,
            commit,
            checkpoint: checkpoint.number,
            time: checkpoint.time,
            records: anchored_records,
        });
        if let Some(last) = self.last {
            self.report.origin = Some(last.origin);
            self.report.last_time = Some(last.time);
        }
        self.report.trusted = self.signers.map(|signers| signers.names());
        self.report
    }
}

/// A commit's id as people write it.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
