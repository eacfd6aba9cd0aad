//! Deletes files of a chain whose records were kept as long as was wanted, from its beginning, and never one of which
//! no checkpoint tells what it was.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use provost_evidence::chain::Sealed;
use provost_evidence::checkpoint::{ChainName, Head};
use provost_evidence::event::{Event, Retention};
use serde::Deserialize;

use crate::ledger::Ledger;
use crate::ledger::verify::MAX_LINE_BYTES;

/// Files of one chain that may be deleted, and what the chain was at the end of them.
#[derive(Debug)]
pub(super) struct Drop {
    pub(super) chain: ChainName,
    pub(super) head: Head,
    pub(super) files: Vec<PathBuf>,
    /// Whether nothing of the chain is left.
    pub(super) whole: bool,
}

#[derive(Deserialize)]
struct Timed {
    time: Timestamp,
}

/// Whether the last record of the file is older than so many days. A file whose last record cannot be read is not.
pub(super) fn last_time(path: &Path, days: u32) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_LINE_BYTES)))?;
    let mut tail = Vec::new();
    file.take(MAX_LINE_BYTES).read_to_end(&mut tail)?;
    let last = tail
        .split(|byte| *byte == b'\n')
        .rev()
        .find_map(|line| serde_json::from_str::<Timed>(Sealed::parse(line)?.record).ok());
    let kept = SignedDuration::from_hours(24 * i64::from(days));
    Ok(last.is_some_and(|last| Timestamp::now().duration_since(last.time) > kept))
}

/// Deletes them, the oldest first, and records it. The checkpoint that tells of it is on the disk.
pub(super) fn carry_out(drop: &Drop, ledger: &Ledger, days: u32) {
    for file in &drop.files {
        if let Err(error) = std::fs::remove_file(file) {
            // The next pass tries again: a file that is there harms nobody.
            tracing::warn!(file = %file.display(), %error, "A file whose retention is over could not be deleted.");
            return;
        }
    }
    ledger.append(Event::Retention(Retention {
        chain: drop.chain.to_string(),
        dropped: drop.head.count,
        hash: drop.head.hash.to_string(),
        days: u64::from(days),
    }));
}
