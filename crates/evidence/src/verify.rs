//! Verifies a chain line by line: what was changed, removed, moved or added after it was written, and where.
//!
//! A [`Verifier`] holds the last hash and number and nothing of the lines before, so a chain of any length is verified
//! in the memory of one line. It finds what somebody did who did not recompute the whole rest of the chain; who did is
//! found by what lies outside of it: the checkpoints ([`Expectations`]), which somebody else keeps.

use std::fmt;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use provost_manifest::digest::Digest;
use provost_manifest::escape;
use serde::Deserialize;

use crate::chain::{GENESIS, Sealed};
use crate::checkpoint::{Expectations, ExpectedChain};

/// A writer that is silent for this many of its heartbeats did not work, or could not write.
pub const MISSED_HEARTBEATS: u64 = 3;
/// Findings kept for one chain; more are counted, not kept: a chain of a million damaged lines must not take memory.
pub const MAX_FINDINGS: usize = 1_000;

/// What is wrong with a chain, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line of the file, from 1.
    pub line: u64,
    /// What it is.
    pub damage: Damage,
}

/// A way in which a chain isn't what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The line isn't the record that was written there; its number, where the place still tells it.
    Changed {
        /// Number of the record that stood there.
        seq: u64,
    },
    /// Records were taken away before this line.
    Missing {
        /// Their numbers.
        seqs: RangeInclusive<u64>,
    },
    /// The record is whole, but stands later than it was written.
    Reordered {
        /// Its number.
        seq: u64,
    },
    /// The record (or another with its number) stands there already.
    Duplicated {
        /// Its number.
        seq: u64,
    },
    /// The line isn't a record of this chain: the records before and after it follow each other.
    Inserted,
    /// The record is of another chain.
    Foreign {
        /// The chain that it names.
        boot: String,
    },
    /// The whole chain is in another file already.
    Copied {
        /// The chain.
        boot: String,
        /// The other file's name.
        original: String,
    },
    /// The first record isn't a boot record.
    NoBoot,
    /// Records follow the end record.
    AfterEnd {
        /// Number of the first one.
        seq: u64,
    },
    /// The records up to this one follow each other, but they are not those that a checkpoint was made of.
    Rewritten {
        /// How many records the checkpoint counts.
        count: u64,
        /// Its number.
        checkpoint: u64,
    },
    /// The chain ends before the place at which a checkpoint saw it.
    Truncated {
        /// How many records there are.
        left: u64,
        /// How many records the checkpoint counts.
        count: u64,
        /// Its number.
        checkpoint: u64,
    },
}

/// Something that a chain declares, or shows, that it does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The line of the file, from 1.
    pub line: u64,
    /// Why.
    pub cause: GapCause,
}

/// Why records are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The chain has no end record: its process is still running, or was stopped hard.
    Unclosed,
    /// The last line was not written to its end.
    Torn,
    /// The writer lost records and says so.
    Declared {
        /// How many.
        lost: u64,
        /// Why.
        reason: String,
    },
    /// The writer's heartbeats were missing.
    Silent {
        /// Time of the last heartbeat before.
        from: String,
        /// Time of the next one.
        to: String,
    },
    /// The clock was set while the writer ran: times before and after it do not compare.
    Clock {
        /// By how much; negative where it was set back.
        milliseconds: i64,
    },
}

/// What verifying one chain found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// The chain's name, where a first record could be read.
    pub boot: Option<String>,
    /// Who wrote it, where the boot record says.
    pub writer: Option<String>,
    /// Number of the first record that is there; others before it were deleted when their retention was over.
    pub first: u64,
    /// Number after that of the last whole record.
    pub count: u64,
    /// Whether it has its end record.
    pub closed: bool,
    /// Lines that are records, whole or damaged.
    pub records: u64,
    /// Hash of the last whole record, where there is one.
    pub head: Option<Digest>,
    /// Time of the first whole record.
    pub first_time: Option<String>,
    /// Time of the last whole record.
    pub last_time: Option<String>,
    /// Damage, in the order of lines; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Damage that is not in `findings`.
    pub more_findings: u64,
    /// Gaps, in the order of lines; at most [`MAX_FINDINGS`].
    pub gaps: Vec<Gap>,
    /// Gaps that are not in `gaps`.
    pub more_gaps: u64,
}

/// Takes the lines of one chain, in order, and says at the end what is wrong with them.
#[derive(Debug)]
pub struct Verifier<'a> {
    report: ChainReport,
    expectations: Option<&'a Expectations>,
    /// What checkpoints say of this chain, once its name is known.
    expected_chain: Option<&'a ExpectedChain>,
    /// From how many records on the checkpoints' heads are still to be met.
    met: u64,
    /// The time of the last heartbeat, and the seconds to the next one.
    heartbeat: Option<(Timestamp, u64)>,
    line: u64,
    /// Number after that of the last whole record.
    expected: u64,
    /// Hash of the last whole record.
    head: Digest,
    /// Its line.
    head_line: u64,
    /// Lines since then that are no records.
    skipped: u64,
    ended: bool,
}

/// What the verifier reads of a record. Not [`crate::event::Event`]: a ledger written by a later version, with events
/// that this one does not know, can be verified all the same.
#[derive(Deserialize)]
struct Header {
    boot: String,
    event: EventHeader,
    seq: u64,
    time: String,
}

#[derive(Deserialize)]
struct EventHeader {
    r#type: String,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    writer: Option<String>,
    #[serde(default)]
    heartbeat_seconds: u64,
    #[serde(default)]
    milliseconds: i64,
}

// === impl Verifier ===

impl Default for Verifier<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Verifier<'a> {
    /// Before the first line.
    pub fn new() -> Self {
        Self {
            report: ChainReport::default(),
            expectations: None,
            expected_chain: None,
            met: 0,
            heartbeat: None,
            line: 0,
            expected: 0,
            head: GENESIS,
            head_line: 0,
            skipped: 0,
            ended: false,
        }
    }

    /// Before the first line of a chain that checkpoints may have named.
    pub fn expecting(expectations: &'a Expectations) -> Self {
        Self {
            expectations: Some(expectations),
            ..Self::new()
        }
    }

    /// How many records it has so far, and the hash of the last one.
    pub fn reached(&self) -> (u64, Digest) {
        (self.expected, self.head)
    }

    /// The chain's name, once a record was read.
    pub fn boot(&self) -> Option<&str> {
        self.report.boot.as_deref()
    }

    /// The next line, without its line feed.
    pub fn line(&mut self, line: &[u8]) {
        self.line += 1;
        self.report.records += 1;
        match Sealed::parse(line).filter(Sealed::is_intact) {
            Some(sealed) => match serde_json::from_str::<Header>(sealed.record) {
                Ok(header) => self.intact(sealed, header),
                Err(_) => self.changed(),
            },
            None => self.changed(),
        }
    }

    /// The last line, where it has no line feed: what a crash leaves. It is a gap, not damage; a record that is
    /// nevertheless whole counts.
    pub fn torn_line(&mut self, line: &[u8]) {
        let is_whole = |line| Sealed::parse(line).is_some_and(|sealed| sealed.is_intact());
        if is_whole(line) {
            self.line(line);
        } else if line.split_last().is_some_and(|(_, line)| is_whole(line)) {
            // More than a record: not cut off, but its line feed was changed.
            return self.line(line);
        } else {
            self.line += 1;
        }
        self.gap(GapCause::Torn);
    }

    /// After the last line.
    pub fn finish(mut self) -> ChainReport {
        if !self.ended {
            self.gap(GapCause::Unclosed);
        }
        if let Some((count, checkpoint)) = self.expected_chain.map(ExpectedChain::last)
            && count > self.expected
        {
            let left = self.expected;
            let damage = Damage::Truncated {
                left,
                count,
                checkpoint,
            };
            self.found(self.line.max(1), damage);
        }
        self.report.count = self.expected;
        self.report.closed = self.ended;
        // Found late, but about an earlier line.
        self.report.findings.sort_by_key(|finding| finding.line);
        self.report
    }

    fn intact(&mut self, sealed: Sealed<'_>, header: Header) {
        match &self.report.boot {
            None => self.begin(sealed.previous, &header),
            Some(boot) if *boot != header.boot => {
                return self.found(self.line, Damage::Foreign { boot: header.boot });
            }
            Some(_) => {}
        }
        if header.seq < self.expected {
            return self.out_of_place(header.seq);
        }
        self.follow(sealed.previous, header.seq);
        if header.seq == 0 && header.event.r#type != "boot" {
            self.found(self.line, Damage::NoBoot);
        }
        if self.ended {
            self.found(self.line, Damage::AfterEnd { seq: header.seq });
        }
        self.event(header.event, &header.time);
        self.expected = header.seq.saturating_add(1);
        self.meet(sealed.hash);
        self.head = sealed.hash;
        self.head_line = self.line;
        self.skipped = 0;
        self.report.head = Some(sealed.hash);
        self.report.first_time.get_or_insert_with(|| header.time.clone());
        self.report.last_time = Some(header.time);
    }

    /// The first whole record: what was dropped before it is missed only where no checkpoint says so.
    fn begin(&mut self, previous: Digest, header: &Header) {
        self.report.boot = Some(header.boot.clone());
        self.expected_chain = self.expectations.and_then(|all| all.chain(&header.boot));
        let Some(chain) = self.expected_chain else { return };
        let was_dropped = header.seq > 0 && self.expected == 0 && header.seq <= chain.dropped;
        if was_dropped && self.skipped == 0 {
            self.report.first = header.seq;
            self.expected = header.seq;
            self.met = header.seq;
            // What a checkpoint says of the place between the last record that was dropped and this one.
            self.head = chain.heads.get(&header.seq).map_or(previous, |(hash, _)| *hash);
        }
    }

    fn event(&mut self, event: EventHeader, time: &str) {
        match event.r#type.as_str() {
            "boot" => {
                self.report.writer = event.writer;
                self.beat(event.heartbeat_seconds, time);
            }
            "heartbeat" => {
                let seconds = self.heartbeat.map_or(0, |(_, seconds)| seconds);
                self.beat(seconds, time);
            }
            "end" => self.ended = true,
            "gap" => self.gap(GapCause::Declared {
                lost: event.lost,
                reason: event.reason,
            }),
            "clock" => {
                // Not silence: the time that passed is not the difference of the two.
                self.heartbeat = time.parse().ok().zip(self.heartbeat.map(|(_, seconds)| seconds));
                self.gap(GapCause::Clock {
                    milliseconds: event.milliseconds,
                });
            }
            _ => {}
        }
    }

    /// A heartbeat, or the boot record that promises one every `seconds`; 0 promises none.
    fn beat(&mut self, seconds: u64, time: &str) {
        let Ok(now) = time.parse::<Timestamp>() else {
            return;
        };
        if let Some((last, _)) = self.heartbeat.filter(|_| seconds > 0) {
            let silence = now.as_millisecond().saturating_sub(last.as_millisecond());
            if u64::try_from(silence).is_ok_and(|silence| silence > seconds * 1_000 * MISSED_HEARTBEATS) {
                self.gap(GapCause::Silent {
                    from: crate::chain::format_time(last),
                    to: time.to_owned(),
                });
            }
        }
        self.heartbeat = (seconds > 0).then_some((now, seconds));
    }

    /// Compares with the checkpoint that was made when the chain was as long as it is now, if one was.
    fn meet(&mut self, hash: Digest) {
        let Some(chain) = self.expected_chain else { return };
        let due = chain.heads.range(self.met + 1..=self.expected.max(self.met + 1));
        for (count, (expected, checkpoint)) in due {
            if *count == self.expected && *expected != hash {
                let damage = Damage::Rewritten {
                    count: *count,
                    checkpoint: *checkpoint,
                };
                self.found(self.line, damage);
            }
        }
        self.met = self.expected;
    }

    /// Whether the whole record `seq` follows what came before it.
    fn follow(&mut self, previous: Digest, seq: u64) {
        let reached = self.expected.saturating_add(self.skipped);
        if seq > reached {
            let seqs = reached..=seq - 1;
            self.found(self.line, Damage::Missing { seqs });
        } else if previous == self.head && self.skipped > 0 {
            let between = |finding: &&mut Finding| finding.line > self.head_line;
            for finding in self.report.findings.iter_mut().filter(between) {
                if matches!(finding.damage, Damage::Changed { .. }) {
                    finding.damage = Damage::Inserted;
                }
            }
        } else if previous != self.head && self.skipped == 0 {
            // Both are whole, yet this one was written after another than the one before: that one was replaced.
            let seq = seq.saturating_sub(1);
            self.found(self.head_line.max(1), Damage::Changed { seq });
        }
    }

    /// A line that isn't what was sealed. It is taken for the record that belongs here.
    fn changed(&mut self) {
        let seq = self.expected.saturating_add(self.skipped);
        self.skipped += 1;
        self.found(self.line, Damage::Changed { seq });
    }

    /// A whole record whose number is behind us: moved, if it was missed before; else a second one.
    fn out_of_place(&mut self, seq: u64) {
        let missed =
            self.report.findings.iter().position(
                |finding| matches!(&finding.damage, Damage::Missing { seqs } if seqs.contains(&seq)),
            );
        let Some(index) = missed else {
            return self.found(self.line, Damage::Duplicated { seq });
        };
        let finding = self.report.findings.remove(index);
        if let Damage::Missing { seqs } = finding.damage {
            let (first, last) = seqs.into_inner();
            let left = [first..=seq.saturating_sub(1), seq + 1..=last];
            for seqs in left
                .into_iter()
                .filter(|seqs| !seqs.is_empty() && !seqs.contains(&seq))
            {
                self.found(finding.line, Damage::Missing { seqs });
            }
        }
        self.found(self.line, Damage::Reordered { seq });
    }

    fn found(&mut self, line: u64, damage: Damage) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(Finding { line, damage });
        } else {
            self.report.more_findings += 1;
        }
    }

    fn gap(&mut self, cause: GapCause) {
        if self.report.gaps.len() < MAX_FINDINGS {
            self.report.gaps.push(Gap {
                line: self.line,
                cause,
            });
        } else {
            self.report.more_gaps += 1;
        }
    }
}

// === impl ChainReport ===

impl ChainReport {
    /// Whether anything isn't as it was written.
    pub fn is_damaged(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Whether anything is known not to have been written.
    pub fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }
}

// === impl Damage ===

impl Damage {
    /// A word for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Missing { .. } => "missing",
            Self::Reordered { .. } => "reordered",
            Self::Duplicated { .. } => "duplicated",
            Self::Inserted => "inserted",
            Self::Foreign { .. } => "foreign",
            Self::Copied { .. } => "copied",
            Self::NoBoot => "no-boot",
            Self::AfterEnd { .. } => "after-end",
            Self::Rewritten { .. } => "rewritten",
            Self::Truncated { .. } => "truncated",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(f, "record {seq} is not as it was written"),
            Self::Missing { seqs } if seqs.start() == seqs.end() => {
                write!(f, "record {} is missing before this line", seqs.start())
            }
            Self::Missing { seqs } => {
                write!(
                    f,
                    "records {} to {} are missing before this line",
                    seqs.start(),
                    seqs.end()
                )
            }
            Self::Reordered { seq } => write!(
                f,
                "record {seq} was moved: it stands after records that followed it"
            ),
            Self::Duplicated { seq } => write!(f, "record {seq} stands here a second time"),
            Self::Inserted => write!(f, "this line is not a record of the chain: it was added"),
            Self::Foreign { boot } => {
                write!(f, "the record belongs to another chain, {}", escape::line(boot))
            }
            Self::Copied { boot, original } => {
                write!(
                    f,
                    "the file is a second one of the chain {boot:?}, which is in {original:?}"
                )
            }
            Self::NoBoot => write!(
                f,
                "record 0 is not a boot record: the beginning of the chain was replaced"
            ),
            Self::AfterEnd { seq } => write!(f, "record {seq} follows the end record"),
            Self::Rewritten { count, checkpoint } => write!(
                f,
                "checkpoint {checkpoint} saw another history: the {count} records up to this line were written anew"
            ),
            Self::Truncated {
                left,
                count,
                checkpoint,
            } => write!(
                f,
                "the chain ends after {left} of the {count} records that checkpoint {checkpoint} saw: the rest was \
                 removed"
            ),
        }
    }
}

// === impl GapCause ===

impl GapCause {
    /// A word for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unclosed => "unclosed",
            Self::Torn => "torn",
            Self::Declared { .. } => "declared",
            Self::Silent { .. } => "silent",
            Self::Clock { .. } => "clock",
        }
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => write!(
                f,
                "no end record: the writer is still running, or was stopped hard"
            ),
            Self::Torn => write!(f, "the last line was cut off while it was written"),
            Self::Declared { lost: 1, reason } => write!(f, "1 record was lost: {}", escape::line(reason)),
            Self::Declared { lost, reason } => {
                write!(f, "{lost} records were lost: {}", escape::line(reason))
            }
            Self::Silent { from, to } => {
                write!(f, "no heartbeat from {from} to {}", escape::line(to))
            }
            Self::Clock { milliseconds } => write!(
                f,
                "the clock was set {} by {} s while the writer ran: times before and after do not compare",
                if *milliseconds < 0 { "back" } else { "forward" },
                milliseconds.unsigned_abs() / 1_000
            ),
        }
    }
}

#[cfg(test)]
mod tests;
