//! Who stands behind the pseudonyms of a ledger: a file beside it, which may be erased from without breaking a chain.
//!
//! A line is `{"person":"person:KEY:DIGEST","user":"alice"}`. Where somebody was forgotten, the name is gone and the time
//! stands in its place, so that no writer adds the name again. Only the file's owner can read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use provost_evidence::chain::format_time;
use provost_evidence::event::Event;
use provost_evidence::keyed::DigestKey;
use serde::{Deserialize, Serialize};

/// Pseudonyms that a writer remembers to have noted. Where there are more people, some are noted again, which harms
/// nobody.
const MAX_KNOWN: usize = 100_000;
/// Names that wait for a file that refuses; of more, those who come again later are noted.
const MAX_PENDING: usize = 10_000;

/// The map, as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities(BTreeMap<String, String>);

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    person: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten: Option<String>,
}

/// Puts pseudonyms into events, and notes whose they are.
#[derive(Debug)]
pub(super) struct Hiding {
    key: DigestKey,
    map: PathBuf,
    known: BTreeSet<String>,
    /// Names that the file refused: they are tried again with the next event.
    pending: BTreeMap<String, String>,
}

/// Why a map could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("could not use the identity map {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it.
    #[error("{path:?} line {line} is not an entry of an identity map")]
    Form {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
    },
}

// === impl Identities ===

impl Identities {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let lines = read(path)?;
        let named = lines
            .into_iter()
            .filter_map(|line| Some((line.person, line.user?)));
        Ok(Self(named.collect()))
    }

    /// The user behind a pseudonym; what is none, or is of somebody who was forgotten, stays as it is.
    pub fn resolve<'a>(&'a self, user: &'a str) -> &'a str {
        self.0.get(user).map_or(user, String::as_str)
    }
}

/// Erases a user's name from the map; how many pseudonyms lost it. The file is replaced whole.
pub fn forget(path: &Path, user: &str, now: Timestamp) -> Result<usize, Error> {
    let failed = failed(path);
    let lock = lock(path).map_err(&failed)?;
    lock.lock().map_err(&failed)?;
    let mut forgotten = 0;
    let mut new = tempfile::NamedTempFile::new_in(folder(path)).map_err(&failed)?;
    for mut line in read(path)? {
        if line.user.as_deref() == Some(user) {
            forgotten += 1;
            line = Line {
                person: line.person,
                user: None,
                forgotten: Some(format_time(now)),
            };
        }
        write_line(new.as_file_mut(), &line).map_err(&failed)?;
    }
    if forgotten > 0 {
        new.as_file().sync_all().map_err(&failed)?;
        new.persist(path).map_err(|error| failed(error.error))?;
    }
    Ok(forgotten)
}

fn read(path: &Path) -> Result<Vec<Line>, Error> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    let lines = text.split_inclusive('\n').enumerate();
    // A last line that was cut off never was an entry.
    lines
        .filter(|(_, line)| line.ends_with('\n'))
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|_| Error::Form {
                path: path.to_owned(),
                line: index + 1,
            })
        })
        .collect()
}

fn write_line(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

/// Beside the map, which itself is replaced.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(name)
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}

// === impl Hiding ===

impl Hiding {
    /// Makes the file where it is missing.
    pub(super) fn open(key: DigestKey, map: PathBuf) -> Result<Self, Error> {
        let make = || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder(&map))?;
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600).open(&map)
        };
        make().map_err(failed(&map))?;
        let known = read(&map)?.into_iter().map(|line| line.person).collect();
        Ok(Self {
            key,
            map,
            known,
            pending: BTreeMap::new(),
        })
    }

    /// People get other pseudonyms from now on; the map tells of both.
    pub(super) fn use_key(&mut self, key: DigestKey) {
        self.key = key;
    }

    /// Every user that is a person becomes a pseudonym. The record is never kept back: a name that cannot be noted now
    /// is noted with a later event, of which the end record is the last.
    pub(super) fn hide(&mut self, event: &mut Event) {
        for user in event.users_mut() {
            let Some(person) = self.key.person(user) else {
                continue;
            };
            let name = std::mem::replace(user, person.clone());
            if !self.known.contains(&person) && self.pending.len() < MAX_PENDING {
                self.pending.insert(person, name);
            }
        }
        self.note();
    }

    fn note(&mut self) {
        while let Some((person, user)) = self.pending.pop_first() {
            let line = Line {
                person,
                user: Some(user),
                forgotten: None,
            };
            if let Err(error) = self.append(&line) {
                tracing::warn!(map = %self.map.display(), %error, "A name could not be noted; it is tried again.");
                self.pending.extend(line.user.map(|user| (line.person, user)));
                return;
            }
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(line.person);
        }
    }

    /// Never waits: somebody who is being forgotten holds the lock for a moment.
    fn append(&self, line: &Line) -> io::Result<()> {
        let lock = lock(&self.map)?;
        lock.try_lock().map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&self.map)?;
        let before = file.metadata()?.len();
        let written = write_line(&mut file, line).and_then(|()| file.sync_data());
        if written.is_err() {
            file.set_len(before)?;
        }
        written
    }
}
