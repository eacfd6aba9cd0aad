//! Who signed a commit: OpenPGP and SSH signatures, checked against the keys that are trusted at a time.
//!
//! ```text
//! commit ──extract──▶ signature, signed bytes ──▶ ssh: in process │ openpgp: gpg in a home of its own ──▶ Check
//! ```
//!
//! A check never fails: what cannot be found out is [`Check::Unverifiable`], with the reason, and is no good signature.
//!
//! *Guarantees*
//! - The bytes that are checked are those of the commit object, as Git signs them.
//! - Only keys that were handed over count: neither the user's keyring nor a key server is asked.

mod allowed_signers;
mod openpgp;
mod ssh;
mod wire;

use std::fmt;

use git2::{Oid, Repository};
use jiff::Timestamp;

pub use self::allowed_signers::{AllowedSigners, SignerError};
pub use self::openpgp::OpenPgp;
use super::{Error, Mirror};

/// How many commits one look at a history may check.
const MAX_COMMITS: usize = 1000;

/// What a commit's signature is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A trusted key signed exactly this commit.
    Good(Signer),
    /// It is signed by a key that is not trusted.
    UnknownKey(String),
    /// The key was trusted, and its time is over or not come, or the signature's is.
    Expired(String),
    /// The key was revoked.
    Revoked(String),
    /// The signature is not of this commit, or is not well formed.
    Bad(String),
    /// There is no signature.
    None,
    /// It could not be found out.
    Unverifiable(String),
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key: an OpenPGP fingerprint in upper-case hex, or `SHA256:…` as ssh shows it.
    pub key: String,
    /// Whose it is, as the list of keys says: the user id, or the principals.
    pub name: String,
}

/// The keys that are trusted.
#[derive(Debug, Default)]
pub struct TrustedKeys {
    /// OpenPGP keys.
    pub openpgp: OpenPgp,
    /// SSH keys.
    pub ssh: AllowedSigners,
    /// The only ones of them that count: OpenPGP key ids of 16 digits or fingerprints, `SHA256:…` of SSH keys. `None`
    /// where all do.
    pub only: Option<Vec<String>>,
}

/// Which commits have to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requirement {
    /// None.
    #[default]
    None,
    /// The one that is deployed.
    Head,
    /// Every one since the last that was good.
    Strict,
}

/// Why a revision is not deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("commit {commit} is refused: {check}")]
pub struct Refusal {
    /// Which.
    pub commit: String,
    /// Why.
    pub check: Check,
}

// === impl TrustedKeys ===

impl TrustedKeys {
    /// Checks one commit with the keys in force at a time.
    pub fn check(&self, repository: &Repository, commit: Oid, at: Timestamp) -> Check {
        let (signature, payload) = match repository.extract_signature(&commit, None) {
            Ok(found) => found,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Check::None,
            Err(error) => return Check::Unverifiable(error.message().to_owned()),
        };
        let Ok(signature) = std::str::from_utf8(&signature) else {
            return Check::Bad("the signature is not text".to_owned());
        };
        let check = match signature.trim_start().lines().next().unwrap_or_default().trim() {
            ssh::BEGIN => self.ssh.check(signature, &payload, at),
            "-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----" => {
                self.openpgp.check(signature, &payload)
            }
            "-----BEGIN SIGNED MESSAGE-----" => {
                Check::Unverifiable("X.509 signatures are not supported".to_owned())
            }
            _ => Check::Unverifiable("this kind of signature is not known".to_owned()),
        };
        match check {
            Check::Good(signer) if !self.counts(&signer) => Check::UnknownKey(signer.key),
            check => check,
        }
    }

    fn counts(&self, signer: &Signer) -> bool {
        let is_it = |wanted: &String| match wanted.strip_prefix("SHA256:") {
            Some(_) => *wanted == signer.key,
            // Shorter ids than 16 digits can be forged.
            None => wanted.len() >= 16 && signer.key.ends_with(&wanted.to_ascii_uppercase()),
        };
        self.only.as_ref().is_none_or(|only| only.iter().any(is_it))
    }

    /// Whether a revision may be deployed.
    ///
    /// `last_good` is the commit that was last deployed under the same requirement; without one, `Strict` begins with
    /// the revision itself.
    ///
    /// # Errors
    /// The first commit, from the revision down, that is not signed as required; or the mirror cannot be read.
    pub fn require(
        &self,
        mirror: &Mirror,
        requirement: Requirement,
        revision: &str,
        last_good: Option<&str>,
        at: Timestamp,
    ) -> Result<Result<(), Refusal>, Error> {
        let repository = mirror.open()?;
        let unreadable = |source| Error::Read {
            what: format!("commit {revision}"),
            url: mirror.url().to_string(),
            source,
        };
        let head = Oid::from_str(revision).map_err(unreadable)?;
        let commits = match requirement {
            Requirement::None => Vec::new(),
            Requirement::Head => vec![head],
            Requirement::Strict => since(&repository, head, last_good).map_err(unreadable)?,
        };
        for (position, commit) in commits.into_iter().enumerate() {
            let check = if position < MAX_COMMITS {
                self.check(&repository, commit, at)
            } else {
                Check::Unverifiable(format!("more than {MAX_COMMITS} commits came at once"))
            };
            if !matches!(check, Check::Good(_)) {
                return Ok(Err(Refusal {
                    commit: commit.to_string(),
                    check,
                }));
            }
        }
        Ok(Ok(()))
    }
}

/// What a revision reaches and the last good one does not, newest first; one more than we check at most.
fn since(repository: &Repository, head: Oid, last_good: Option<&str>) -> Result<Vec<Oid>, git2::Error> {
    let known = last_good
        .and_then(|commit| Oid::from_str(commit).ok())
        .filter(|commit| repository.find_commit(*commit).is_ok());
    let Some(known) = known else {
        return Ok(vec![head]);
    };
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    walk.hide(known)?;
    let mut commits = walk.take(MAX_COMMITS + 1).collect::<Result<Vec<_>, _>>()?;
    if commits.is_empty() {
        // An older one than the last good: it was good itself, or is looked at now.
        commits.push(head);
    }
    Ok(commits)
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(signer) => write!(f, "it is signed by {} ({})", signer.name, signer.key),
            Self::UnknownKey(key) => write!(f, "it is signed by {key}, which is not among the trusted keys"),
            Self::Expired(key) => write!(f, "it is signed by {key}, which was not in force"),
            Self::Revoked(key) => write!(f, "it is signed by {key}, which was revoked"),
            Self::Bad(reason) => write!(f, "its signature is bad: {reason}"),
            Self::None => f.write_str("it is not signed"),
            Self::Unverifiable(reason) => write!(f, "its signature cannot be checked: {reason}"),
        }
    }
}
