//! How far the recorder read, in a file of its own, so that it does not read the whole ledger again after each start.
//!
//! What it says counts only where the last checkpoint, which the recorder signed, says the same of the chain; and a
//! file that is not as long or as old as it was then is read again from its beginning. It saves reading; that nothing
//! was changed, `provost verify` says.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use provost_manifest::digest::Digest;
use serde::{Deserialize, Serialize};

/// The chains, by boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Resume(pub(super) BTreeMap<String, ReadChain>);

/// A chain, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadChain {
    pub(super) count: u64,
    pub(super) head: Digest,
    pub(super) files: Vec<ReadFile>,
}

/// A file of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadFile {
    /// Number of its first record.
    pub(super) first: u64,
    /// The hash of the record before that.
    pub(super) before: Digest,
    /// How many bytes were read.
    pub(super) length: u64,
    /// When it was last written then: seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

// === impl Resume ===

impl Resume {
    /// What was kept; nothing where there is none, or none that can be read: then all is read again.
    pub(super) fn load(path: &Path) -> Self {
        fs::read(path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path).map(|_| ()).map_err(|error| error.error)
    }
}

// === impl ReadFile ===

impl ReadFile {
    /// Whether it is what it was when it was read.
    pub(super) fn is_same(&self, path: &PathBuf) -> bool {
        path.metadata()
            .is_ok_and(|now| now.len() == self.length && modified(&now) == self.modified)
    }
}

pub(super) fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}
