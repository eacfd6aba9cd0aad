//! Our copy of another's chain: what it is so far, and what may be added to it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use provost_evidence::chain::{GENESIS, Record, Sealed};
use provost_evidence::event::Event;
use provost_manifest::digest::Digest;

use crate::ledger::segments::{self, file_name};
use crate::ledger::serve::Part;
use crate::ledger::verify::MAX_LINE_BYTES;

/// The longest name of a chain.
const MAX_NAME_BYTES: usize = 64;

/// A chain, as far as it was taken.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    directory: PathBuf,
    boot: String,
    own: String,
    count: u64,
    head: Digest,
    /// The file that is taken now: its first record, and how many bytes of it we have.
    segment: u64,
    bytes: u64,
    /// Its last line that we have. It holds a hash over all before, so whoever tells it alike tells all alike.
    last_line: Vec<u8>,
    /// Nothing more of it is taken.
    pub(super) broken: bool,
}

/// What came of a piece.
#[derive(Debug)]
pub(super) enum Taken {
    /// It holds no whole record that we lack.
    Nothing,
    /// It was added.
    More(Copy),
    /// It contradicts what we have.
    Damage(String),
}

/// Whether a writer could have named a chain so. It becomes the name of a file.
pub(super) fn is_name(boot: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || [b'-', b'.'].contains(&byte);
    !boot.is_empty()
        && boot.len() <= MAX_NAME_BYTES
        && boot.bytes().all(allowed)
        && boot
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
}

// === impl Copy ===

impl Copy {
    /// Reads what we have of it, which a crash may have left torn.
    pub(super) fn open(directory: &Path, boot: &str, own: &str) -> io::Result<Self> {
        let mut copy = Self {
            directory: directory.to_owned(),
            boot: boot.to_owned(),
            own: own.to_owned(),
            count: 0,
            head: GENESIS,
            segment: 0,
            bytes: 0,
            last_line: Vec::new(),
            broken: false,
        };
        let chains = segments::list(directory)?.into_iter();
        let Some(chain) = chains.into_iter().find(|chain| chain.boot == boot) else {
            return Ok(copy);
        };
        let mut is_first = true;
        for segment in chain.segments {
            copy.broken |= !is_first && segment.first != copy.count;
            copy.step_into(segment.first, is_first);
            is_first = false;
            let mut reader = BufReader::new(File::open(&segment.path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                reader
                    .by_ref()
                    .take(MAX_LINE_BYTES)
                    .read_until(b'\n', &mut line)?;
                if !line.ends_with(b"\n") {
                    break;
                }
                if copy.follow(&line).is_err() {
                    copy.broken = true;
                    return Ok(copy);
                }
            }
            if !line.is_empty() {
                // Ours alone: it is taken again.
                OpenOptions::new()
                    .write(true)
                    .open(&segment.path)?
                    .set_len(copy.bytes)?;
            }
        }
        Ok(copy)
    }

    fn step_into(&mut self, first: u64, is_first: bool) {
        if is_first {
            self.count = first;
        }
        self.segment = first;
        self.bytes = 0;
        self.last_line.clear();
    }

    /// Goes on to this file where it follows; in an error, what is wrong with it.
    pub(super) fn enter(&mut self, file: Part) -> Result<(), String> {
        let has_nothing = self.count == self.segment && self.bytes == 0;
        if has_nothing && self.head == GENESIS {
            self.step_into(file.first, true);
        } else if file.first > self.segment {
            if file.first != self.count {
                let taken = self.count;
                return Err(format!(
                    "record {} does not follow the {taken} that were taken",
                    file.first
                ));
            }
            self.step_into(file.first, false);
        }
        if file.first == self.segment && file.bytes < self.bytes {
            let (taken, left) = (self.bytes, file.bytes);
            return Err(format!("{taken} bytes were taken of a file that has {left} now"));
        }
        Ok(())
    }

    /// Whether it is this file that is taken now.
    pub(super) fn is_in(&self, file: Part) -> bool {
        file.first == self.segment
    }

    /// From which byte on the file is wanted: the last line that we have is looked at once more.
    pub(super) fn from(&self) -> u64 {
        self.bytes - self.last_line.len() as u64
    }

    /// What we have, for an acknowledgement.
    pub(super) fn part(&self) -> Part {
        Part {
            first: self.segment,
            bytes: self.bytes,
        }
    }

    /// Checks a piece of the file, from [`Self::from`] on, and adds its whole records; they are on the disk then.
    pub(super) fn take(mut self, piece: &[u8]) -> io::Result<Taken> {
        let Some(rest) = piece.strip_prefix(self.last_line.as_slice()) else {
            let count = self.count;
            return Ok(Taken::Damage(format!(
                "the {count} records that were taken were written anew"
            )));
        };
        let whole = rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        if whole == 0 {
            let is_endless = rest.len() as u64 >= MAX_LINE_BYTES;
            let damage = || Taken::Damage(format!("record {} is too long", self.count));
            return Ok(if is_endless { damage() } else { Taken::Nothing });
        }
        let before = self.clone();
        let mut damage = None;
        let mut good = 0;
        for line in rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            if let Err(why) = self.follow(line) {
                damage = Some(why);
                break;
            }
            good += line.len();
        }
        // What is right before it is kept.
        before.append(&rest[..good])?;
        Ok(damage.map_or(Taken::More(self), Taken::Damage))
    }

    /// Whether the line is the next record.
    fn follow(&mut self, line: &[u8]) -> Result<(), String> {
        let count = self.count;
        let record = line.strip_suffix(b"\n").unwrap_or(line);
        let sealed = Sealed::parse(record)
            .filter(Sealed::is_intact)
            .ok_or_else(|| format!("record {count} is not as it was written"))?;
        // Where its beginning was dropped before we came, the first that is there says what it follows.
        let begins = self.bytes == 0 && self.segment > 0 && self.head == GENESIS;
        if !begins && sealed.previous != self.head {
            return Err(format!("record {count} does not follow the one before it"));
        }
        if count == 0 {
            let record: Option<Record> = serde_json::from_str(sealed.record).ok();
            match record.map(|record| record.event) {
                Some(Event::Boot(boot)) if boot.writer == self.own => {
                    return Err(format!("it says that it is ours, {}", self.own));
                }
                Some(Event::Boot(_)) => {}
                _ => return Err("it does not begin with a boot record".to_owned()),
            }
        }
        self.head = sealed.hash;
        self.count += 1;
        self.bytes += line.len() as u64;
        self.last_line.clear();
        self.last_line.extend_from_slice(line);
        Ok(())
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let path = self.directory.join(file_name(&self.boot, self.segment));
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        if file.metadata()?.len() < self.bytes {
            return Err(io::Error::other("somebody shortened our copy"));
        }
        // What a full disk left is taken again.
        file.set_len(self.bytes)?;
        file.write_all(lines)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }
}
