//! Verifies a chain line by line: what was changed, removed, moved or added after it was written, and where.
//!
//! A [`Verifier`] holds the last hash and number and nothing of the lines before, so a chain of any length is verified
//! in the memory of one line. It finds what somebody did who did not recompute the whole rest of the chain; who did is
//! found by what lies outside of it: the checkpoints ([`Expectations`]), which somebody else keeps.

mod report;

use jiff::Timestamp;
use provost_manifest::digest::Digest;
use serde::Deserialize;

use crate::chain::{GENESIS, Sealed};
use crate::checkpoint::{Expectations, ExpectedChain};

pub use self::report::{ChainReport, Damage, Finding, Gap, GapCause};

/// A writer that is silent for this many of its heartbeats did not work, or could not write.
pub const MISSED_HEARTBEATS: u64 = 3;
/// Findings kept for one chain; more are counted, not kept: a chain of a million damaged lines must not take memory.
pub const MAX_FINDINGS: usize = 1_000;

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

#[cfg(test)]
mod tests;
