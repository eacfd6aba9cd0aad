//! Reads the chains of a ledger and its checkpoints, and says whether they are what was written.
//!
//! ```text
//! checkpoints ──signatures, numbers──▶ expectations ──┐
//! anchor ──────the same notes?────────▶ expectations ──┴▶ each chain, line by line ──▶ report
//! ```
//!
//! Everything is read once, from front to back, some chains at once; what is kept is some 60 bytes for each checkpoint
//! and open chain.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use provost_evidence::checkpoint::{Expectations, Signers};
use provost_evidence::note::VerifierKey;
use provost_evidence::timestamp::Authority;
use provost_evidence::verify::{ChainReport, Damage, Finding, Verifier};

use super::segments::{self, ChainFiles, Segment};
use super::verify_checkpoints::{self, CheckpointReport};
use super::{FILE_EXTENSION, anchor};

/// The longest line that can be a record. What is longer is damage, and is not kept.
pub const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// Chains that are verified at once, at most: each takes the memory of a line.
const MAX_THREADS: usize = 8;

/// What is known from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys whose signatures count; none shows no origin.
    pub trust: Vec<VerifierKey>,
    /// Where checkpoints are kept by others.
    pub anchor: Option<anchor::Address>,
    /// Whose timestamps are believed; without one they are not looked at.
    pub timestamp_authority: Option<Authority>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct LedgerReport {
    /// The chains, by name.
    pub chains: Vec<VerifiedChain>,
    /// The checkpoints; nothing where one file was verified.
    pub checkpoints: CheckpointReport,
    /// Chains that a checkpoint names and that are gone.
    pub removed: Vec<RemovedChain>,
    /// Two chains of one writer at one time.
    pub overlaps: Vec<Overlap>,
}

/// A chain, and the files that it lies in.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    /// Its files, and how many lines were in those before each.
    pub files: Vec<(PathBuf, u64)>,
    /// What was found in it. Lines count through all files.
    pub report: ChainReport,
}

/// A chain that isn't there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedChain {
    /// Writer and boot.
    pub name: String,
    /// How many records it had.
    pub count: u64,
    /// The checkpoint that says so.
    pub checkpoint: u64,
}

/// Two chains of one writer that say to have been written at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The writer.
    pub writer: String,
    /// The chain that began first.
    pub one: String,
    /// The other.
    pub other: String,
    /// Since when.
    pub since: String,
}

/// What a ledger is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it was written, from boot to end.
    Whole,
    /// As it was written, but not everything was.
    WholeWithGaps,
    /// Not as it was written.
    Damaged,
}

/// Why a ledger could not be read. Then nothing is known about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory could not be listed.
    #[error("could not list the ledger {path:?}")]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("could not read the ledger {path:?}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing to verify.
    #[error("no ledger in {path:?}: it has no file that ends in .{FILE_EXTENSION}")]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// The checkpoints could not be read.
    #[error(transparent)]
    Checkpoints(#[from] super::checkpoints::Error),
    /// The anchor could not be read.
    #[error(transparent)]
    Anchor(#[from] anchor::Error),
    /// One file has no checkpoints.
    #[error("{path:?} is one file: --trust, --anchor and --timestamp-ca are about the directory of a ledger")]
    OneFile {
        /// Which.
        path: PathBuf,
    },
}

/// Verifies the chain in the file `path`, or every chain and checkpoint in the directory `path`.
pub fn verify(path: &Path, options: &Options) -> Result<LedgerReport, Error> {
    let list = |source| Error::List {
        path: path.to_owned(),
        source,
    };
    if !path.metadata().map_err(list)?.is_dir() {
        if options.anchor.is_some() || options.timestamp_authority.is_some() || !options.trust.is_empty() {
            return Err(Error::OneFile {
                path: path.to_owned(),
            });
        }
        let chain = ChainFiles {
            boot: String::new(),
            segments: vec![Segment {
                first: 0,
                path: path.to_owned(),
            }],
        };
        return Ok(LedgerReport {
            chains: vec![verify_chain(&chain, &Expectations::default())?],
            ..LedgerReport::default()
        });
    }
    let files = segments::list(path).map_err(list)?;
    let signers = (!options.trust.is_empty()).then(|| Signers::new(options.trust.clone()));
    let mut checkpoints = verify_checkpoints::Reader::read(path, signers)?;
    if files.is_empty() && checkpoints.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    if let Some(address) = &options.anchor {
        checkpoints.compare_with(address)?;
    }
    if let Some(authority) = &options.timestamp_authority {
        checkpoints.compare_with_timestamps(path, authority)?;
    }
    let expectations = checkpoints.expectations();
    let mut report = LedgerReport {
        chains: verify_chains(&files, expectations)?,
        ..LedgerReport::default()
    };
    report.find_copies();
    report.find_removed(expectations);
    report.find_overlaps();
    report.checkpoints = checkpoints.finish(report.chains.iter().map(|chain| &chain.report));
    Ok(report)
}

/// Chains know nothing of each other, so several are verified at once; a chain of its own is one after the other.
fn verify_chains(files: &[ChainFiles], expectations: &Expectations) -> Result<Vec<VerifiedChain>, Error> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS);
    let next = AtomicUsize::new(0);
    let verify_next = || {
        let mut verified = Vec::new();
        while let Some((index, chain)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            files.get(index).map(|chain| (index, chain))
        } {
            verified.push((index, verify_chain(chain, expectations)));
        }
        verified
    };
    let mut verified = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(files.len()))
            .map(|_| scope.spawn(verify_next))
            .collect();
        let mut all = verify_next();
        for other in others {
            match other.join() {
                Ok(verified) => all.extend(verified),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    verified.sort_by_key(|(index, _)| *index);
    verified.into_iter().map(|(_, chain)| chain).collect()
}

fn verify_chain(chain: &ChainFiles, expectations: &Expectations) -> Result<VerifiedChain, Error> {
    let mut verifier = Verifier::expecting(expectations);
    let mut files = Vec::new();
    let mut lines = 0;
    for (index, segment) in chain.segments.iter().enumerate() {
        files.push((segment.path.clone(), lines));
        let is_last = index + 1 == chain.segments.len();
        lines += verify_segment(&segment.path, is_last, &mut verifier).map_err(|source| Error::Read {
            path: segment.path.clone(),
            source,
        })?;
    }
    Ok(VerifiedChain {
        files,
        report: verifier.finish(),
    })
}

/// How many lines it has.
fn verify_segment(path: &Path, is_last: bool, verifier: &mut Verifier<'_>) -> std::io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let mut lines = 0;
    loop {
        line.clear();
        if reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(lines);
        }
        lines += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            verifier.line(&line);
        } else if (line.len() as u64) < MAX_LINE_BYTES && is_last {
            verifier.torn_line(&line);
        } else {
            // Never a record, however it goes on; and after a torn line a writer begins a new chain, not a new file.
            reader.skip_until(b'\n')?;
            verifier.line(&line);
        }
    }
}

// === impl VerifiedChain ===

impl VerifiedChain {
    /// The file that has this line, and its number there.
    pub fn place(&self, line: u64) -> (&Path, u64) {
        let file = self
            .files
            .iter()
            .rev()
            .find(|(_, before)| *before < line.max(1))
            .or_else(|| self.files.first());
        match file {
            Some((path, before)) => (path, line.saturating_sub(*before)),
            None => (Path::new(""), line),
        }
    }
}

// === impl LedgerReport ===

impl LedgerReport {
    /// Records in all chains.
    pub fn records(&self) -> u64 {
        self.chains.iter().map(|chain| chain.report.records).sum()
    }

    /// Gaps in all chains and between checkpoints.
    pub fn gaps(&self) -> u64 {
        let in_chains: u64 = self
            .chains
            .iter()
            .map(|chain| chain.report.gaps.len() as u64 + chain.report.more_gaps)
            .sum();
        in_chains + self.overlaps.len() as u64 + self.checkpoints.gaps.total()
    }

    /// Damage in all chains and checkpoints.
    pub fn findings(&self) -> u64 {
        let in_chains: u64 = self
            .chains
            .iter()
            .map(|chain| chain.report.findings.len() as u64 + chain.report.more_findings)
            .sum();
        in_chains + self.removed.len() as u64 + self.checkpoints.findings.total()
    }

    /// The worst of all.
    pub fn verdict(&self) -> Verdict {
        match (self.findings(), self.gaps()) {
            (0, 0) => Verdict::Whole,
            (0, _) => Verdict::WholeWithGaps,
            _ => Verdict::Damaged,
        }
    }

    /// A chain is there once: a second copy of it is damage, however whole it is.
    fn find_copies(&mut self) {
        let mut seen = BTreeMap::<String, PathBuf>::new();
        for chain in &mut self.chains {
            let Some(boot) = chain.report.boot.clone() else {
                continue;
            };
            let Some((file, _)) = chain.files.first() else {
                continue;
            };
            if let Some(first) = seen.get(&boot) {
                let damage = Damage::Copied {
                    boot,
                    original: file_name(first),
                };
                chain.report.findings.insert(0, Finding { line: 1, damage });
            } else {
                seen.insert(boot, file.clone());
            }
        }
    }

    fn find_removed(&mut self, expectations: &Expectations) {
        for expected in expectations.chains() {
            let (count, checkpoint) = expected.last();
            let is_there = self
                .chains
                .iter()
                .any(|chain| chain.report.boot.as_ref() == Some(&expected.name.boot));
            if !is_there && count > expected.dropped {
                self.removed.push(RemovedChain {
                    name: expected.name.to_string(),
                    count,
                    checkpoint,
                });
            }
        }
    }

    fn find_overlaps(&mut self) {
        let mut latest = BTreeMap::<&str, (&str, &str)>::new();
        let mut chains: Vec<_> = self.chains.iter().map(|chain| &chain.report).collect();
        chains.sort_by_key(|chain| &chain.first_time);
        for chain in chains {
            let (Some(writer), Some(boot)) = (&chain.writer, &chain.boot) else {
                continue;
            };
            let (Some(first), Some(last)) = (&chain.first_time, &chain.last_time) else {
                continue;
            };
            match latest.get(writer.as_str()) {
                Some((one, until)) if *until > first.as_str() => {
                    self.overlaps.push(Overlap {
                        writer: writer.clone(),
                        one: (*one).to_owned(),
                        other: boot.clone(),
                        since: first.clone(),
                    });
                    if last.as_str() > *until {
                        latest.insert(writer, (boot, last));
                    }
                }
                _ => {
                    latest.insert(writer, (boot, last));
                }
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
