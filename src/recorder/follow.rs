//! Reads on in every chain, and checks each record as it comes: the heads that are signed are those that were read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use provost_evidence::chain::{GENESIS, Record, Sealed};
use provost_evidence::checkpoint::{ChainName, Head, is_word};
use provost_evidence::event::{Alarm, Event};
use provost_manifest::digest::Digest;

use super::Error;
use super::resume::{ReadChain, ReadFile, Resume, modified};
use super::retention::{Drop, last_time};
use crate::ledger::segments::{self, ChainFiles, Segment};
use crate::ledger::verify::MAX_LINE_BYTES;

/// The writer of a chain whose boot record names none.
const UNNAMED: &str = "unnamed";

/// All chains of a ledger, as far as they were read.
#[derive(Debug)]
pub(super) struct Follower {
    directory: PathBuf,
    chains: BTreeMap<String, Followed>,
    /// What the last checkpoint says; it stays so.
    signed: BTreeMap<ChainName, Head>,
    /// How far each chain was read before this process began.
    resume: Resume,
    /// Bytes read so far.
    read: u64,
}

/// A chain, as far as it was read.
#[derive(Debug)]
struct Followed {
    writer: String,
    count: u64,
    head: Digest,
    /// The first record of the file that is read now, and how many of its bytes were read.
    segment: u64,
    offset: u64,
    /// Where the last checkpoint saw it, until it was read that far.
    signed: Option<Head>,
    /// It is not what it was: nothing more of it is signed.
    broken: bool,
    /// The files that were read.
    files: Vec<ReadFile>,
}

// === impl Follower ===

impl Follower {
    pub(super) fn new(directory: PathBuf, signed: BTreeMap<ChainName, Head>, resume: Resume) -> Self {
        Self {
            directory,
            chains: BTreeMap::new(),
            signed,
            resume,
            read: 0,
        }
    }

    /// How far each chain was read.
    pub(super) fn resume(&self) -> Resume {
        let whole = self.chains.iter().filter(|(_, chain)| !chain.broken);
        let chains = whole.map(|(boot, chain)| {
            let read = ReadChain {
                count: chain.count,
                head: chain.head,
                files: chain.files.clone(),
            };
            (boot.clone(), read)
        });
        Resume(chains.collect())
    }

    /// Bytes that were read since the process began.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Reads what is new; what is wrong with a chain is said once.
    pub(super) fn advance(&mut self) -> Result<Vec<Alarm>, Error> {
        let mut alarms = Vec::new();
        let files = self.files()?;
        for chain in &files {
            let signed = self.signed.iter().find(|(name, _)| name.boot == chain.boot);
            let followed = self
                .chains
                .entry(chain.boot.clone())
                .or_insert_with(|| Followed::resumed(signed, self.resume.0.remove(&chain.boot), chain));
            if followed.broken {
                continue;
            }
            let read = followed.read(chain, &mut self.read)?;
            if let Some(message) = read {
                followed.broken = true;
                let chain = format!("{}/{}", followed.writer, chain.boot);
                alarms.push(Alarm { chain, message });
            }
        }
        for (name, head) in &self.signed {
            if files.iter().any(|chain| chain.boot == name.boot) {
                continue;
            }
            let gone = self
                .chains
                .entry(name.boot.clone())
                .or_insert_with(|| Followed::new(Some((name, head))));
            if !gone.broken {
                gone.broken = true;
                alarms.push(Alarm {
                    chain: name.to_string(),
                    message: "its files are gone".to_owned(),
                });
            }
        }
        Ok(alarms)
    }

    /// What a checkpoint says now. Of a chain that was changed, what was signed before.
    pub(super) fn heads(&mut self) -> BTreeMap<ChainName, Head> {
        let mut heads = self.signed.clone();
        for (boot, chain) in self
            .chains
            .iter()
            .filter(|(_, chain)| !chain.broken && chain.count > 0)
        {
            let name = ChainName {
                writer: chain.writer.clone(),
                boot: boot.clone(),
            };
            let head = Head {
                count: chain.count,
                hash: chain.head,
            };
            heads.insert(name, head);
        }
        self.signed.clone_from(&heads);
        heads
    }

    /// The files whose last record is older than so many days, and which the next checkpoint covers.
    pub(super) fn older_than(&self, days: u32) -> Result<Vec<Drop>, Error> {
        let mut due = Vec::new();
        for chain in self.files()? {
            let Some(followed) = self.chains.get(&chain.boot).filter(|chain| !chain.broken) else {
                continue;
            };
            let mut files = Vec::new();
            let mut end = None;
            for (index, segment) in chain.segments.iter().enumerate() {
                let is_old = last_time(&segment.path, days).map_err(failed(&segment.path))?;
                let next = chain.segments.get(index + 1);
                let head = match next {
                    Some(next) => head_before(next).map_err(failed(&next.path))?,
                    None => Some(Head {
                        count: followed.count,
                        hash: followed.head,
                    }),
                };
                let Some(head) = head.filter(|head| is_old && head.count <= followed.count) else {
                    break;
                };
                files.push(segment.path.clone());
                end = Some((head, next.is_none()));
            }
            if let Some((head, whole)) = end {
                let name = ChainName {
                    writer: followed.writer.clone(),
                    boot: chain.boot.clone(),
                };
                due.push(Drop {
                    chain: name,
                    head,
                    files,
                    whole,
                });
            }
        }
        Ok(due)
    }

    /// What was deleted is not missed.
    pub(super) fn forget(&mut self, drop: &Drop) {
        if drop.whole {
            self.chains.remove(&drop.chain.boot);
            self.signed.remove(&drop.chain);
        }
    }

    /// Only files that a writer could have named: what else lies there is for `verify` to find.
    fn files(&self) -> Result<Vec<ChainFiles>, Error> {
        let mut files = segments::list(&self.directory).map_err(failed(&self.directory))?;
        files.retain(|chain| is_word(&chain.boot));
        Ok(files)
    }
}

/// The head of a chain before this file, as its first record says.
fn head_before(segment: &Segment) -> io::Result<Option<Head>> {
    let mut line = Vec::new();
    BufReader::new(File::open(&segment.path)?)
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', &mut line)?;
    let sealed = line.strip_suffix(b"\n").and_then(Sealed::parse);
    Ok(sealed.map(|sealed| Head {
        count: segment.first,
        hash: sealed.previous,
    }))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Ledger { path, source }
}

// === impl Followed ===

impl Followed {
    fn new(signed: Option<(&ChainName, &Head)>) -> Self {
        Self {
            writer: signed.map_or_else(|| UNNAMED.to_owned(), |(name, _)| name.writer.clone()),
            count: 0,
            head: GENESIS,
            segment: 0,
            offset: 0,
            signed: signed.map(|(_, head)| *head),
            broken: false,
            files: Vec::new(),
        }
    }

    /// Goes on where an earlier process ended, as far as the files are what they were then.
    fn resumed(signed: Option<(&ChainName, &Head)>, read: Option<ReadChain>, chain: &ChainFiles) -> Self {
        let anew = Self::new(signed);
        let (Some(head), Some(read)) = (anew.signed, read) else {
            return anew;
        };
        if (head.count, head.hash) != (read.count, read.head) {
            return anew;
        }
        let segment = |file: &ReadFile| chain.segments.iter().find(|segment| segment.first == file.first);
        // What was deleted since from its beginning is not missed.
        let left = read.files.into_iter().skip_while(|file| segment(file).is_none());
        let mut files = Vec::new();
        for file in left {
            if segment(&file).is_some_and(|segment| file.is_same(&segment.path)) {
                files.push(file);
                continue;
            }
            // It was written to since: it is read again, from its beginning.
            return Self {
                count: file.first,
                head: file.before,
                segment: file.first,
                files,
                ..anew
            };
        }
        let Some((segment, offset)) = files.last().map(|last| (last.first, last.length)) else {
            return anew;
        };
        Self {
            count: head.count,
            head: head.hash,
            segment,
            offset,
            signed: None,
            files,
            ..anew
        }
    }

    /// Reads on; a sentence where the chain is not what it was.
    fn read(&mut self, chain: &ChainFiles, bytes: &mut u64) -> Result<Option<String>, Error> {
        if self.count == 0
            && let Some(first) = chain.segments.first().filter(|first| first.first > 0)
        {
            // What was before it is gone; the head that was signed tells whether the rest is as it was.
            let head = head_before(first).map_err(failed(&first.path))?;
            (self.segment, self.count) = (first.first, first.first);
            self.head = head.map_or(GENESIS, |head| head.hash);
        }
        for segment in &chain.segments {
            if segment.first < self.segment {
                continue;
            }
            if segment.first > self.segment {
                if segment.first != self.count {
                    return Ok(Some(format!(
                        "record {} does not follow record {}",
                        segment.first, self.count
                    )));
                }
                (self.segment, self.offset) = (segment.first, 0);
            }
            let before = self.offset;
            let wrong = self.read_segment(&segment.path).map_err(failed(&segment.path))?;
            *bytes += self.offset.saturating_sub(before);
            if wrong.is_some() {
                return Ok(wrong);
            }
        }
        Ok(self
            .signed
            .map(|signed| format!("it has {} records, and {} were signed", self.count, signed.count)))
    }

    fn read_segment(&mut self, path: &Path) -> io::Result<Option<String>> {
        let mut file = File::open(path)?;
        // As it is before it is read: what is written afterwards makes it another file than the one that was read.
        let metadata = file.metadata()?;
        if self.files.last().is_none_or(|last| last.first != self.segment) {
            self.files.push(ReadFile {
                first: self.segment,
                before: self.head,
                length: 0,
                modified: (0, 0),
            });
        }
        if metadata.len() < self.offset {
            return Ok(Some(format!("records before number {} were removed", self.count)));
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader
                .by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)?;
            let Some(record) = line.strip_suffix(b"\n") else {
                // The end, or a line that is not written to its end yet.
                if let Some(last) = self.files.last_mut() {
                    (last.length, last.modified) = (self.offset, modified(&metadata));
                }
                let too_long = line.len() as u64 >= MAX_LINE_BYTES;
                return Ok(too_long.then(|| format!("record {} is too long", self.count)));
            };
            if let Err(message) = self.take(record) {
                return Ok(Some(message));
            }
            self.offset += length as u64;
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let sealed = Sealed::parse(line)
            .filter(|sealed| sealed.is_intact() && sealed.previous == self.head)
            .ok_or_else(|| format!("record {} is not as it was written", self.count))?;
        if self.count == 0
            && let Ok(Record {
                event: Event::Boot(boot),
                ..
            }) = serde_json::from_str(sealed.record)
            && is_word(&boot.writer)
        {
            self.writer = boot.writer;
        }
        self.head = sealed.hash;
        self.count += 1;
        match self.signed {
            Some(signed) if signed.count == self.count => {
                self.signed = None;
                if signed.hash != self.head {
                    return Err(format!("its first {} records were written anew", self.count));
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}
