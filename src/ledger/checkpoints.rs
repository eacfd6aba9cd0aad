//! The signed checkpoints of a ledger, in files beside its chains: `checkpoints/2026-11-24.txt`, one file a day.
//!
//! A file is a sequence of signed notes, each followed by a blank line. Only the recorder writes here; everything that
//! is read is bounded by [`MAX_NOTE_BYTES`].

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use provost_evidence::checkpoint::SignedCheckpoint;

/// The folder of checkpoints, in that of the ledger.
pub const FOLDER: &str = "checkpoints";
/// The longest note that is read: some 10,000 chains.
pub const MAX_NOTE_BYTES: usize = 4 * 1024 * 1024;
/// How many days every checkpoint is kept; of older days few are, and what they covered is still covered.
pub const KEPT_DAYS: i32 = 7;
const FILE_EXTENSION: &str = "txt";
const LOCK_FILE: &str = "lock";

/// One thing that a file of checkpoints holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A checkpoint in its form; who signed it is not checked.
    Checkpoint(Box<SignedCheckpoint>),
    /// What is no checkpoint.
    Damaged,
    /// The last note, not written to its end.
    Torn,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The byte at which it begins.
    offset: u64,
}

/// The writing end, of which there is one at a time.
#[derive(Debug)]
pub struct Store {
    pub(super) folder: PathBuf,
    last: Option<SignedCheckpoint>,
    /// Held while this lives.
    _lock: File,
}

/// Why checkpoints could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("could not use the checkpoints in {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another recorder works.
    #[error("another recorder makes the checkpoints of {0:?}")]
    Locked(PathBuf),
    /// What is there is no checkpoint.
    #[error(
        "{}:{} is not a checkpoint: somebody changed it. Run provost verify on the ledger; it says what else was \
         changed", .0.file.display(), .0.line
    )]
    Damaged(Place),
}

/// All that the ledger in `directory` holds, in order; nothing where there is no folder of checkpoints.
pub fn read(directory: &Path, mut each: impl FnMut(Place, Entry)) -> Result<(), Error> {
    let folder = directory.join(FOLDER);
    for path in files(&folder).map_err(|source| Error::File { path: folder, source })? {
        read_file(&path, &mut each).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// As [`read`], without the files before that which has checkpoint `number`.
pub fn read_since(directory: &Path, number: u64, mut each: impl FnMut(Place, Entry)) -> Result<(), Error> {
    let folder = directory.join(FOLDER);
    let mut files = files(&folder).map_err(|source| Error::File { path: folder, source })?;
    let mut wanted = Vec::new();
    while let Some(path) = files.pop() {
        let first = first_number(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        wanted.push(path);
        if first.is_some_and(|first| first <= number) {
            break;
        }
    }
    for path in wanted.into_iter().rev() {
        read_file(&path, &mut each).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// The number in the second line of the first note.
fn first_number(path: &Path) -> io::Result<Option<u64>> {
    let mut lines = BufReader::new(File::open(path)?)
        .take(MAX_NOTE_BYTES as u64)
        .lines();
    lines.next().transpose()?;
    Ok(lines.next().transpose()?.and_then(|number| number.parse().ok()))
}

/// The last checkpoint, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// Its number.
    pub number: u64,
    /// The day of the file that it is in.
    pub day: String,
    /// All of it.
    pub text: String,
}

/// The last checkpoint of the ledger in `directory`, where there is one; only the newest file is read.
pub fn last(directory: &Path) -> Result<Option<SignedNote>, Error> {
    let mut last = None;
    read_since(directory, u64::MAX, |place, entry| {
        if let Entry::Checkpoint(signed) = entry {
            last = Some(SignedNote {
                number: signed.checkpoint.number,
                day: place
                    .file
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                text: signed.to_string(),
            });
        }
    })?;
    Ok(last)
}

pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == FILE_EXTENSION)
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn read_file(path: &Path, each: &mut impl FnMut(Place, Entry)) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut place = Place {
        file: path.to_owned(),
        line: 1,
        offset: 0,
    };
    let mut note = Vec::new();
    let (mut lines, mut blank_lines) = (0, 0);
    loop {
        let length = reader
            .by_ref()
            .take(MAX_NOTE_BYTES as u64)
            .read_until(b'\n', &mut note)?;
        if length == 0 {
            // A note that is cut off has its beginning.
            match note.first() {
                None => {}
                Some(b'\n') => each(place, Entry::Damaged),
                Some(_) => each(place, Entry::Torn),
            }
            return Ok(());
        }
        lines += 1;
        blank_lines += u8::from(note.ends_with(b"\n\n") || note == b"\n");
        // One blank line is before the signatures, one after them.
        if blank_lines == 2 || note.len() >= MAX_NOTE_BYTES {
            let checkpoint = std::str::from_utf8(&note)
                .ok()
                .and_then(|text| text.strip_suffix('\n')?.parse().ok());
            let entry = checkpoint.map_or(Entry::Damaged, |signed| Entry::Checkpoint(Box::new(signed)));
            each(place.clone(), entry);
            place.line += lines;
            place.offset += note.len() as u64;
            note.clear();
            (lines, blank_lines) = (0, 0);
        }
    }
}

// === impl Store ===

impl Store {
    /// Opens the checkpoints of the ledger in `directory` to add to them. A last note that was not written to its end
    /// was never anybody's checkpoint, and is taken away.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let folder = directory.join(FOLDER);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(failed(&folder))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(LOCK_FILE))
            .map_err(failed(&folder))?;
        if lock.try_lock().is_err() {
            return Err(Error::Locked(folder));
        }
        let (mut last, mut damaged, mut torn) = (None, None, None);
        read(directory, |place, entry| match entry {
            Entry::Checkpoint(signed) => last = Some(*signed),
            Entry::Damaged => damaged = Some(place),
            Entry::Torn => torn = Some(place),
        })?;
        if let Some(place) = damaged {
            return Err(Error::Damaged(place));
        }
        if let Some(place) = torn {
            OpenOptions::new()
                .write(true)
                .open(&place.file)
                .and_then(|file| file.set_len(place.offset).and_then(|()| file.sync_all()))
                .map_err(failed(&place.file))?;
        }
        Ok(Self {
            folder,
            last,
            _lock: lock,
        })
    }

    /// The last checkpoint.
    pub fn last(&self) -> Option<&SignedCheckpoint> {
        self.last.as_ref()
    }

    /// Adds the next one; it is on the disk when this returns.
    pub fn append(&mut self, signed: SignedCheckpoint) -> Result<(), Error> {
        // A clock that was set back must not sort a checkpoint before those that were made earlier.
        let day = |signed: &SignedCheckpoint| signed.checkpoint.time.get(..10).unwrap_or("day").to_owned();
        let newest = files(&self.folder)
            .ok()
            .and_then(|files| files.last()?.file_stem()?.to_str().map(str::to_owned));
        let day = newest.map_or_else(|| day(&signed), |newest| newest.max(day(&signed)));
        let path = self.folder.join(format!("{day}.{FILE_EXTENSION}"));
        self.write(&path, &signed)
            .map_err(|source| Error::File { path, source })?;
        self.last = Some(signed);
        Ok(())
    }

    fn write(&self, path: &Path, signed: &SignedCheckpoint) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let before = file.metadata()?.len();
        let written = file
            .write_all(format!("{signed}\n").as_bytes())
            .and_then(|()| file.sync_all());
        if written.is_err() {
            // Nothing may follow a torn note.
            file.set_len(before)?;
        }
        written?;
        File::open(&self.folder)?.sync_all()
    }
}
