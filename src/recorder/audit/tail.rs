//! Reads an audit log's file as it grows, over its rotations.
//!
//! # Guarantees
//! - A line is read once it ends; nothing is read twice but after a crash, and nothing is passed over silently: what
//!   cannot be read is told as lost.
//! - At most [`MAX_BATCH_LINES`] lines and [`MAX_BATCH_BYTES`] and one line more are held.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use provost_manifest::digest::Digest;
use serde::{Deserialize, Serialize};

/// Lines that are handed on together.
pub(super) const MAX_BATCH_LINES: usize = 1_024;
/// Bytes of them.
pub(super) const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// A longer line is not read. Without bodies a line has a thousand bytes or two; with them, as much as etcd takes twice.
pub(super) const MAX_LINE_BYTES: u64 = 8 * 1024 * 1024;

/// By so many of its first bytes a file is known again: an event, whose id no other has.
const HEAD_BYTES: usize = 512;

/// How far a log was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, whatever its name is by now.
    pub inode: u64,
    /// Its bytes that were read.
    pub offset: u64,
    /// Digest of its first bytes: the number of a file that is gone may be another's.
    pub head: String,
}

/// What was read at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Whole lines, without their ends.
    pub lines: Vec<Vec<u8>>,
    /// What could not be read, one sentence each.
    pub lost: Vec<String>,
}

/// A log that is read.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    place: Option<Place>,
    file: Option<BufReader<File>>,
    /// The beginning of a line that is not written to its end.
    torn: Vec<u8>,
    /// The rest of a line that is too long is passed over.
    is_too_long: bool,
}

// === impl Batch ===

impl Batch {
    /// Whether there was nothing new.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost.is_empty()
    }
}

// === impl Tail ===

impl Tail {
    /// A log that was read as far as `place`; from its beginning where there is none.
    pub fn new(path: PathBuf, place: Option<Place>) -> Self {
        Self {
            path,
            place,
            file: None,
            torn: Vec::new(),
            is_too_long: false,
        }
    }

    /// How far it was read.
    pub fn place(&self) -> Option<Place> {
        let (Some(place), Some(file)) = (&self.place, &self.file) else {
            return self.place.clone();
        };
        Some(Place {
            head: head(file.get_ref(), place.offset).unwrap_or_default(),
            ..place.clone()
        })
    }

    /// What is new; nothing where the log is not there yet.
    pub fn read(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.lines.len() < MAX_BATCH_LINES && bytes < MAX_BATCH_BYTES {
            if self.file.is_none() && !self.open(&mut batch)? {
                break;
            }
            match self.line(&mut batch)? {
                Some(line) => {
                    bytes += line.len();
                    batch.lines.push(line);
                }
                None if self.go_on(&mut batch)? => {}
                None => break,
            }
        }
        Ok(batch)
    }

    /// The next whole line.
    fn line(&mut self, batch: &mut Batch) -> io::Result<Option<Vec<u8>>> {
        let (Some(file), Some(place)) = (&mut self.file, &mut self.place) else {
            return Ok(None);
        };
        loop {
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.torn.len() as u64);
            let read = file.by_ref().take(room).read_until(b'\n', &mut self.torn)?;
            if self.torn.last() == Some(&b'\n') {
                place.offset += self.torn.len() as u64;
                let mut line = std::mem::take(&mut self.torn);
                line.pop();
                if std::mem::take(&mut self.is_too_long) {
                    batch.lost.push(format!(
                        "a line of the audit log is longer than {MAX_LINE_BYTES} bytes"
                    ));
                } else if !line.is_empty() {
                    return Ok(Some(line));
                }
            } else if self.torn.len() as u64 > MAX_LINE_BYTES {
                place.offset += self.torn.len() as u64;
                self.torn.clear();
                self.is_too_long = true;
            } else if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Opens the file that was read last, or the first one. Returns whether there is any.
    fn open(&mut self, batch: &mut Batch) -> io::Result<bool> {
        self.torn.clear();
        let files = self.files()?;
        let found = match &self.place {
            None => files.last(),
            Some(place) => files.iter().find(|file| place.is_of(file)),
        };
        if found.is_none() && self.place.take().is_some() && !files.is_empty() {
            batch
                .lost
                .push("the audit log that was read is gone: what else it held is not evidenced".to_owned());
        }
        let Some(found) = found.or_else(|| files.last()) else {
            return Ok(false);
        };
        let mut file = File::open(&found.path)?;
        let size = file.metadata()?.len();
        let mut offset = self.place.as_ref().map_or(0, |place| place.offset);
        if offset > size {
            batch
                .lost
                .push("the audit log was cut: what it held before is not evidenced".to_owned());
            offset = 0;
        }
        file.seek(SeekFrom::Start(offset))?;
        self.place = Some(Place {
            inode: file.metadata()?.ino(),
            offset,
            head: String::new(),
        });
        self.file = Some(BufReader::new(file));
        Ok(true)
    }

    /// At the end of a file: goes on in the next one where this one is complete. Returns whether there is more to read.
    fn go_on(&mut self, batch: &mut Batch) -> io::Result<bool> {
        let (Some(file), Some(place)) = (&self.file, &self.place) else {
            return Ok(false);
        };
        let size = file.get_ref().metadata()?.len();
        if size < place.offset {
            // Opened again, it is seen to be cut.
            self.file = None;
            return Ok(true);
        }
        if size > place.offset + self.torn.len() as u64 {
            return Ok(true);
        }
        let files = self.files()?;
        let position = files.iter().position(|file| file.metadata.ino() == place.inode);
        let next = match position {
            Some(position) => files.get(position + 1),
            None => files.last(),
        };
        let Some(next) = next else { return Ok(false) };
        if !self.torn.is_empty() {
            batch
                .lost
                .push("the last line of a rotated audit log was not written to its end".to_owned());
        }
        self.torn.clear();
        self.is_too_long = false;
        let file = File::open(&next.path)?;
        self.place = Some(Place {
            inode: file.metadata()?.ino(),
            offset: 0,
            head: String::new(),
        });
        self.file = Some(BufReader::new(file));
        Ok(true)
    }

    /// The log and what it was rotated to, the oldest first.
    fn files(&self) -> io::Result<Vec<Found>> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let text = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let stem = self
            .path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let (Some(name), Some(stem)) = (text(&self.path), stem) else {
            return Ok(Vec::new());
        };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            // audit-2026-11-24T11-14-32.250.log as the apiserver names it, audit.log.1 as logrotate does.
            let is_rotated = text(&path).is_some_and(|other| {
                let is_packed = path.extension().is_some_and(|extension| extension == "gz");
                !is_packed
                    && (other.starts_with(&format!("{stem}-")) || other.starts_with(&format!("{name}.")))
            });
            if path == self.path || is_rotated || text(&path).as_ref() == Some(&name) {
                // What is rotated away meanwhile is not there to be read.
                if let Ok(metadata) = fs::metadata(&path)
                    && metadata.is_file()
                {
                    files.push(Found { path, metadata });
                }
            }
        }
        files.sort_by_key(|file| {
            let written = file.metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            (
                text(&file.path).as_ref() == Some(&name),
                written,
                file.path.clone(),
            )
        });
        Ok(files)
    }
}

struct Found {
    path: PathBuf,
    metadata: Metadata,
}

// === impl Place ===

impl Place {
    /// Whether this is the file that was read, and not one that has its number by now. One that was cut is.
    fn is_of(&self, found: &Found) -> bool {
        let is_alike = || {
            let file = File::open(&found.path).ok()?;
            Some(head(&file, self.offset).ok()? == self.head)
        };
        let is_cut = found.metadata.len() < self.offset;
        found.metadata.ino() == self.inode && (self.head.is_empty() || is_cut || is_alike().unwrap_or(false))
    }
}

/// Digest of the first bytes of those that were read.
fn head(file: &File, read: u64) -> io::Result<String> {
    let length = usize::try_from(read).unwrap_or(HEAD_BYTES).min(HEAD_BYTES);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Digest::of_bytes(&bytes).to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Log {
        folder: tempfile::TempDir,
        tail: Tail,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tail = Tail::new(folder.path().join("audit.log"), None);
            Self { folder, tail }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn append(&self, text: &str) {
            let file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(self.path("audit.log"));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self, to: &str) {
            fs::rename(self.path("audit.log"), self.path(to)).unwrap();
        }

        /// Another process goes on where this one ended.
        fn restart(&mut self) {
            self.tail = Tail::new(self.path("audit.log"), self.tail.place());
        }

        fn read(&mut self) -> (Vec<String>, Vec<String>) {
            let batch = self.tail.read().unwrap();
            let lines = batch
                .lines
                .into_iter()
                .map(|line| String::from_utf8(line).unwrap());
            (lines.collect(), batch.lost)
        }

        fn expect(&mut self, lines: &[&str], lost: &[&str]) {
            let (read, told) = self.read();
            assert_eq!(read, lines);
            assert_eq!(told.len(), lost.len(), "{told:?}");
            for (told, lost) in told.iter().zip(lost) {
                assert!(told.contains(lost), "{told:?} is not {lost:?}");
            }
        }
    }

    #[test]
    fn a_line_is_read_once_and_when_it_ends() {
        let mut log = Log::new();
        log.expect(&[], &[]);
        log.append("one\ntw");
        log.expect(&["one"], &[]);
        log.expect(&[], &[]);
        log.append("o\nthree\n");
        log.expect(&["two", "three"], &[]);
        log.restart();
        log.append("four\n");
        log.expect(&["four"], &[]);
    }

    #[test]
    fn a_rotation_loses_nothing_however_often_while_nobody_read() {
        let mut log = Log::new();
        log.append("one\n");
        log.expect(&["one"], &[]);
        log.append("two\n");
        log.rotate("audit-2026-11-24T11-14-32.250.log");
        log.append("three\n");
        log.rotate("audit-2026-11-24T11-15-00.000.log");
        log.append("four\n");
        log.restart();
        log.expect(&["two", "three", "four"], &[]);
        log.append("five\n");
        log.expect(&["five"], &[]);
    }

    #[test]
    fn what_is_gone_cut_or_torn_is_told_as_lost() {
        let mut log = Log::new();
        log.append("one\n");
        log.expect(&["one"], &[]);
        log.append("two\nthr");
        log.rotate("audit-2026-11-24T11-14-32.250.log");
        log.append("four\n");
        log.expect(&["two", "four"], &["not written to its end"]);
        fs::write(log.path("audit.log"), "").unwrap();
        log.expect(&[], &["was cut"]);
        log.append("five\n");
        log.expect(&["five"], &[]);
        log.append("six\n");
        log.rotate("elsewhere");
        fs::remove_file(log.path("elsewhere")).unwrap();
        log.append("seven\n");
        log.restart();
        log.expect(&["seven"], &["is gone"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_room_than_is_allowed() {
        let mut log = Log::new();
        let much = "x".repeat(usize::try_from(MAX_LINE_BYTES).unwrap() * 2 + 17);
        log.append(&much);
        log.expect(&[], &[]);
        assert!(log.tail.torn.len() as u64 <= MAX_LINE_BYTES + 1);
        log.append("\nnext\n");
        log.expect(&["next"], &["longer than"]);
    }

    #[test]
    fn a_batch_has_a_bound() {
        let mut log = Log::new();
        log.append(&"line\n".repeat(MAX_BATCH_LINES + 1));
        assert_eq!(log.read().0.len(), MAX_BATCH_LINES);
        assert_eq!(log.read().0.len(), 1);
    }
}
