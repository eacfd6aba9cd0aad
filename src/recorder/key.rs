//! The file of the key that signs.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use provost_evidence::note::{self, SigningKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("could not read the signing key {path:?}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be made.
    #[error("could not make the signing key {path:?}; give one that is there by --signing-key")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has no key.
    #[error("could not use the signing key {path:?}")]
    Form {
        /// Which.
        path: PathBuf,
        /// Why.
        source: note::KeyError,
    },
    /// The system gives no random bits.
    #[error("could not make a signing key: the system gives no random bits")]
    Random,
}

/// The key in the file.
pub fn load(path: &Path) -> Result<SigningKey, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    SigningKey::parse(&text).map_err(|source| Error::Form {
        path: path.to_owned(),
        source,
    })
}

/// The key in the file; where there is none, a new one of this name, which nobody but the owner can read. What others
/// check signatures with is written beside it, with `.pub` at the end.
pub(super) fn load_or_make(path: &Path, name: &str) -> Result<SigningKey, Error> {
    match load(path) {
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| Error::Random)?;
    let text = SigningKey::secret_text(name, &seed).map_err(|source| Error::Form {
        path: path.to_owned(),
        source,
    })?;
    make(path, &text).map_err(|source| Error::Make {
        path: path.to_owned(),
        source,
    })?;
    // Another process may have been first: its key counts.
    let key = load(path)?;
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    fs::write(&public, format!("{}\n", key.verifier())).map_err(|source| Error::Make {
        path: public.into(),
        source,
    })?;
    Ok(key)
}

/// Whole or not at all, and never over another.
fn make(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Only the owner can read a temporary file.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/signing.key");
        let key = load_or_make(&path, "shop").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = load_or_make(&path, "another").unwrap();
        assert_eq!(again.verifier(), key.verifier());
        let public = fs::read_to_string(folder.path().join("keys/signing.key.pub")).unwrap();
        assert_eq!(public.trim(), key.verifier().to_string());
    }
}
