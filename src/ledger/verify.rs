//! Reads the chains of a ledger and has each verified.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use provost_evidence::verify::{ChainReport, Damage, Finding, Verifier};

use super::FILE_EXTENSION;

/// The longest line that can be a record. What is longer is damage, and is not kept.
pub const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// What was found in each chain, by file.
#[derive(Clone, Debug, Default)]
pub struct LedgerReport {
    /// The chains, in the order of their files' names.
    pub chains: Vec<(PathBuf, ChainReport)>,
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
}

/// Verifies the chain in the file `path`, or every chain in the directory `path`.
pub fn verify(path: &Path) -> Result<LedgerReport, Error> {
    let mut report = LedgerReport::default();
    for file in chain_files(path)? {
        let chain = verify_file(&file).map_err(|source| Error::Read {
            path: file.clone(),
            source,
        })?;
        report.chains.push((file, chain));
    }
    report.find_copies();
    Ok(report)
}

fn chain_files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = |source| Error::List {
        path: path.to_owned(),
        source,
    };
    if !path.metadata().map_err(list)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(list)? {
        let file = entry.map_err(list)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == FILE_EXTENSION)
        {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    files.sort();
    Ok(files)
}

fn verify_file(path: &Path) -> std::io::Result<ChainReport> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut verifier = Verifier::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(verifier.finish());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            verifier.line(&line);
        } else if (line.len() as u64) < MAX_LINE_BYTES {
            verifier.torn_line(&line);
        } else {
            // Never a record, however it goes on.
            reader.skip_until(b'\n')?;
            verifier.line(&line);
        }
    }
}

// === impl LedgerReport ===

impl LedgerReport {
    /// Records in all chains.
    pub fn records(&self) -> u64 {
        self.chains.iter().map(|(_, chain)| chain.records).sum()
    }

    /// Gaps in all chains.
    pub fn gaps(&self) -> u64 {
        self.chains
            .iter()
            .map(|(_, chain)| chain.gaps.len() as u64 + chain.more_gaps)
            .sum()
    }

    /// Damage in all chains.
    pub fn findings(&self) -> u64 {
        self.chains
            .iter()
            .map(|(_, chain)| chain.findings.len() as u64 + chain.more_findings)
            .sum()
    }

    /// The worst of all chains.
    pub fn verdict(&self) -> Verdict {
        let of = |chain: &ChainReport| match (chain.is_damaged(), chain.has_gaps()) {
            (true, _) => Verdict::Damaged,
            (false, true) => Verdict::WholeWithGaps,
            (false, false) => Verdict::Whole,
        };
        self.chains
            .iter()
            .map(|(_, chain)| of(chain))
            .max()
            .unwrap_or(Verdict::Whole)
    }

    /// A chain is one file: a second file of it is damage, however whole it is.
    fn find_copies(&mut self) {
        let mut seen = BTreeMap::new();
        for (file, chain) in &mut self.chains {
            let Some(boot) = chain.boot.clone() else { continue };
            if let Some(first) = seen.insert(boot.clone(), file.clone()) {
                let original = first
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                let damage = Damage::Copied {
                    boot: boot.clone(),
                    original,
                };
                chain.findings.insert(0, Finding { line: 1, damage });
                seen.insert(boot, first);
            }
        }
    }
}
