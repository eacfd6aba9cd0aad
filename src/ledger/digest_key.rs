//! The file of the key that keyed digests are made with. The last line is the key in use; those before it were.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use provost_evidence::keyed::{DigestKey, KEY_LENGTH, KeyError};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The key in use, and which one was before it.
#[derive(Clone, Debug)]
pub struct DigestKeys {
    /// In use.
    pub key: DigestKey,
    /// The id of the one before.
    pub previous: Option<String>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or made.
    #[error("could not use the digest key {path:?}; give another file by --digest-key")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has no key.
    #[error("could not use the digest key {path:?}")]
    Form {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The system gives no random bits.
    #[error("could not make a digest key: the system gives no random bits")]
    Random,
}

/// The keys in the file; where it is missing, it is made with a new one, and nobody but its owner can read it.
pub fn load_or_make(path: &Path) -> Result<DigestKeys, Error> {
    match load(path) {
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    write(path, &format!("{}\n", new_key()?), false)?;
    // Another process may have been first: its key counts.
    load(path)
}

/// Adds a new key, which processes use from their next start on.
pub fn rotate(path: &Path) -> Result<DigestKeys, Error> {
    load(path)?;
    let before = fs::read_to_string(path).map_err(failed(path))?;
    write(path, &format!("{}\n{}\n", before.trim_end(), new_key()?), true)?;
    load(path)
}

/// The keys in the file.
pub fn load(path: &Path) -> Result<DigestKeys, Error> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    let keys = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(DigestKey::parse);
    let mut keys = keys.collect::<Result<Vec<_>, _>>().map_err(form(path))?;
    let key = keys.pop().ok_or(KeyError::Form).map_err(form(path))?;
    Ok(DigestKeys {
        key,
        previous: keys.pop().map(|key| key.id().to_owned()),
    })
}

/// The text of the key with this id; `None` where the file has none of it.
pub fn text_of(path: &Path, id: &str) -> Result<Option<String>, Error> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    let is_it = |line: &&str| DigestKey::parse(line).is_ok_and(|key| key.id() == id);
    Ok(text.lines().find(is_it).map(|line| line.trim().to_owned()))
}

/// Takes over a key that another process made: it is the one in use from now on, and those that were stay in the file.
pub fn adopt(path: &Path, key: &str) -> Result<DigestKeys, Error> {
    let key = key.trim();
    let id = DigestKey::parse(key).map_err(form(path))?.id().to_owned();
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(failed(path)(source)),
    };
    let others = before
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && DigestKey::parse(line).is_ok_and(|key| key.id() != id));
    let lines: Vec<&str> = others.chain([key]).collect();
    write(path, &format!("{}\n", lines.join("\n")), true)?;
    load(path)
}

fn new_key() -> Result<String, Error> {
    let mut secret = [0; KEY_LENGTH];
    SystemRandom::new().fill(&mut secret).map_err(|_| Error::Random)?;
    Ok(DigestKey::secret_text(&secret))
}

/// Whole or not at all.
fn write(path: &Path, text: &str, over: bool) -> Result<(), Error> {
    let write = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Only the owner can read a temporary file.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        let persisted = if over {
            file.persist(path)
        } else {
            file.persist_noclobber(path)
        };
        match persisted {
            Err(error) if over || error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    };
    write().map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}

fn form(path: &Path) -> impl Fn(KeyError) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Form {
        path: path.clone(),
        source,
    }
}
