//! What authorities outside say of when checkpoints were there, in files beside them: `timestamps/2026-11-24.jsonl`.
//!
//! A line names a checkpoint, the digest of its note and the token (RFC 3161). The files are no evidence by themselves:
//! `provost verify` checks each token against the checkpoint that lies in the ledger.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provost_evidence::timestamp::MAX_TOKEN_BYTES;
use provost_manifest::digest::Digest;
use serde::{Deserialize, Serialize};

/// The folder of timestamps, in that of the ledger.
pub const FOLDER: &str = "timestamps";
/// A token in base64 and what stands around it.
const MAX_LINE_BYTES: u64 = 2 * MAX_TOKEN_BYTES as u64;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the checkpoint.
    pub checkpoint: u64,
    /// SHA-256 of its note.
    pub digest: Digest,
    /// Who was asked: scheme and host.
    pub authority: String,
    /// The token, in base64.
    token: String,
}

// === impl Entry ===

impl Entry {
    /// A token over a checkpoint.
    pub fn new(checkpoint: u64, digest: Digest, authority: String, token: &[u8]) -> Self {
        let token = STANDARD.encode(token);
        Self {
            checkpoint,
            digest,
            authority,
            token,
        }
    }

    /// The token, as the authority gave it; `None` where somebody changed it.
    pub fn token(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.token).ok()
    }
}

/// All that the ledger in `directory` has, in order, with file and line; `None` stands for a line that is no entry.
/// A last line without its end was never one.
pub fn read(directory: &Path, mut each: impl FnMut(&Path, u64, Option<Entry>)) -> io::Result<()> {
    for path in files(directory)? {
        let mut reader = BufReader::new(File::open(&path)?);
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let length = reader
                .by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)?;
            if length == 0 || (line.last() != Some(&b'\n') && (length as u64) < MAX_LINE_BYTES) {
                break;
            }
            number += 1;
            each(&path, number, serde_json::from_slice(&line).ok());
        }
    }
    Ok(())
}

/// The highest checkpoint that this authority stamped.
pub fn last(directory: &Path, authority: &str) -> io::Result<Option<u64>> {
    let mut last = None;
    read(directory, |_, _, entry| {
        if let Some(entry) = entry.filter(|entry| entry.authority == authority) {
            last = last.max(Some(entry.checkpoint));
        }
    })?;
    Ok(last)
}

/// Adds one; it is on the disk when this returns. `day` is that of the checkpoint.
pub fn append(directory: &Path, day: &str, entry: &Entry) -> io::Result<()> {
    let folder = directory.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(folder.join(format!("{day}.jsonl")))?;
    let before = file.metadata()?.len();
    let written = file.write_all(&line).and_then(|()| file.sync_all());
    if written.is_err() {
        // Nothing may follow a torn line.
        file.set_len(before)?;
    }
    written?;
    File::open(&folder)?.sync_all()
}

/// Leaves only the tokens of these checkpoints; the others' checkpoints are gone.
pub fn keep(directory: &Path, is_kept: impl Fn(u64) -> bool) -> io::Result<()> {
    for path in files(directory)? {
        let (mut kept, mut gone) = (Vec::new(), false);
        for line in BufReader::new(File::open(&path)?).lines() {
            let line = line?;
            match serde_json::from_str::<Entry>(&line) {
                Ok(entry) if !is_kept(entry.checkpoint) => gone = true,
                _ => kept.extend([line.as_bytes(), b"\n"].concat()),
            }
        }
        if gone && kept.is_empty() {
            std::fs::remove_file(&path)?;
        } else if gone {
            let mut new = tempfile::NamedTempFile::new_in(directory.join(FOLDER))?;
            new.write_all(&kept)?;
            new.as_file().sync_all()?;
            new.persist(&path).map_err(|error| error.error)?;
        }
    }
    Ok(())
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match directory.join(FOLDER).read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    Ok(files)
}
