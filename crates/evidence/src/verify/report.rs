//! What verifying a chain finds: damage, gaps, and what they are called.

use std::fmt;
use std::ops::RangeInclusive;

use provost_manifest::digest::Digest;
use provost_manifest::escape;

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
    /// Damage, in the order of lines; at most [`super::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Damage that is not in `findings`.
    pub more_findings: u64,
    /// Gaps, in the order of lines; at most [`super::MAX_FINDINGS`].
    pub gaps: Vec<Gap>,
    /// Gaps that are not in `gaps`.
    pub more_gaps: u64,
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
