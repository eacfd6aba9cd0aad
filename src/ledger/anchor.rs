//! Anchors: checkpoints in a Git branch that others keep, so that who holds the key cannot sign another history.
//!
//! Each checkpoint is a commit; its tree has one file, `checkpoint`, which is the signed note. Commits are made in a
//! bare repository of our own and pushed, never by force: a branch that was changed by others is an error.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use git2::{
    Cred, CredentialType, ErrorCode, FetchOptions, Oid, PushOptions, RemoteCallbacks, Repository, Sort,
};
use jiff::Timestamp;
use provost_evidence::checkpoint::SignedCheckpoint;

const FILE: &str = "checkpoint";
const DEFAULT_BRANCH: &str = "provost-anchor";
const AUTHOR: (&str, &str) = ("Provost recorder", "recorder@provost.invalid");
/// How often a repository may ask for credentials: libgit2 asks for ever. Over ssh it asks for the user first.
const MAX_TRIES: u32 = 3;
const FILE_MODE: i32 = 0o100_644;

/// `REPO#BRANCH`; the branch is `provost-anchor` where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// URL or path of the repository.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// Folder with what the repository asks for: `username` and `password`, or `ssh-privatekey`, as a Secret of type
    /// `kubernetes.io/basic-auth` or `kubernetes.io/ssh-auth` is mounted. Read anew each time. `None` asks Git's
    /// credential helper and ssh-agent.
    pub credentials: Option<PathBuf>,
}

/// Our copy of the branch.
pub struct Anchor {
    repository: Repository,
    address: Address,
}

/// Why checkpoints could not be anchored, or anchors not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A repository refused.
    #[error("anchor {address}: {what}")]
    Git {
        /// Which, without credentials.
        address: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: git2::Error,
    },
    /// The remote branch isn't a continuation of ours, nor ours of it.
    #[error(
        "anchor {0}: the branch has commits that this recorder did not make. Anchors are never pushed by force: find \
         out who changed it, or give another branch"
    )]
    Diverged(String),
    /// The remote branch does not move.
    #[error("anchor {address}: the push was refused: {reason}")]
    Refused {
        /// Which.
        address: String,
        /// What the other side says.
        reason: String,
    },
}

// === impl Address ===

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (repository, branch) = text.rsplit_once('#').unwrap_or((text, DEFAULT_BRANCH));
        let is_branch = git2::Reference::is_valid_name(&format!("refs/heads/{branch}"));
        if repository.is_empty() || !is_branch {
            return Err(format!(
                "write REPOSITORY#BRANCH, such as https://git.example.com/audit.git#{DEFAULT_BRANCH}"
            ));
        }
        Ok(Self {
            repository: repository.to_owned(),
            branch: branch.to_owned(),
            credentials: None,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Credentials in a URL are nobody's to read.
        let repository = match self.repository.split_once("://") {
            Some((scheme, rest)) => {
                let host = rest.split('/').next().unwrap_or_default();
                let user = host.rfind('@').map_or(0, |at| at + 1);
                format!("{scheme}://{}", &rest[user..])
            }
            None => self.repository.clone(),
        };
        write!(f, "{repository}#{}", self.branch)
    }
}

impl Address {
    fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    fn failed(&self, what: &'static str) -> impl Fn(git2::Error) -> Error + use<> {
        let address = self.to_string();
        move |source| Error::Git {
            address: address.clone(),
            what,
            source,
        }
    }
}

/// Calls `each` with every commit of the branch and the text of its checkpoint, the oldest first. The repository is a
/// path on this machine: nothing is fetched.
pub fn read(address: &Address, mut each: impl FnMut(Oid, &str)) -> Result<(), Error> {
    let failed = address.failed("could not be read; give the path of a clone");
    let mut walk = || -> Result<(), git2::Error> {
        let repository = Repository::open(&address.repository)?;
        let mut walk = repository.revwalk()?;
        walk.push(branch_tip(&repository, &address.branch)?)?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        for commit in walk {
            let commit = commit?;
            if let Some(note) = checkpoint_of(&repository, commit)? {
                each(commit, &note);
            }
        }
        Ok(())
    };
    walk().map_err(failed)
}

/// In a clone, the branch is the remote's.
fn branch_tip(repository: &Repository, branch: &str) -> Result<Oid, git2::Error> {
    let names = [
        format!("refs/heads/{branch}"),
        format!("refs/remotes/origin/{branch}"),
    ];
    names
        .iter()
        .find_map(|name| repository.refname_to_id(name).ok())
        .ok_or_else(|| git2::Error::from_str(&format!("it has no branch {branch:?}")))
}

fn checkpoint_of(repository: &Repository, commit: Oid) -> Result<Option<String>, git2::Error> {
    let tree = repository.find_commit(commit)?.tree()?;
    let Some(entry) = tree.get_name(FILE) else {
        return Ok(None);
    };
    let blob = repository.find_blob(entry.id())?;
    Ok(Some(String::from_utf8_lossy(blob.content()).into_owned()))
}

// === impl Anchor ===

impl Anchor {
    /// Opens our copy in `folder`, or makes it.
    pub fn open(folder: &Path, address: Address) -> Result<Self, Error> {
        let repository = Repository::init_bare(folder).map_err(address.failed("could not keep a copy"))?;
        Ok(Self { repository, address })
    }

    /// Takes over what the branch has already. Called before anything is committed, and after a push that was refused.
    pub fn fetch(&self) -> Result<(), Error> {
        let failed = self.address.failed("could not be fetched");
        let theirs = "refs/provost/theirs";
        let mut remote = self
            .repository
            .remote_anonymous(&self.address.repository)
            .map_err(&failed)?;
        let mut options = FetchOptions::new();
        options.remote_callbacks(callbacks(self.address.credentials.clone()));
        let specification = format!("+{}:{theirs}", self.address.reference());
        remote
            .fetch(&[specification], Some(&mut options), None)
            .map_err(&failed)?;
        let Ok(theirs) = self.repository.refname_to_id(theirs) else {
            return Ok(()); // It has no such branch yet.
        };
        let follow = || {
            let reference = self.address.reference();
            let message = "taken over from the anchor";
            self.repository.reference(&reference, theirs, true, message)
        };
        let Some(ours) = self.tip() else {
            return follow().map(|_| ()).map_err(&failed);
        };
        if ours == theirs
            || self
                .repository
                .graph_descendant_of(ours, theirs)
                .map_err(&failed)?
        {
            return Ok(());
        }
        if self
            .repository
            .graph_descendant_of(theirs, ours)
            .map_err(&failed)?
        {
            return follow().map(|_| ()).map_err(&failed);
        }
        Err(Error::Diverged(self.address.to_string()))
    }

    /// The number of the last checkpoint that our copy has.
    pub fn last(&self) -> Option<u64> {
        let note = checkpoint_of(&self.repository, self.tip()?).ok()??;
        let signed: SignedCheckpoint = note.parse().ok()?;
        Some(signed.checkpoint.number)
    }

    /// Commits one more.
    pub fn commit(&self, signed: &SignedCheckpoint) -> Result<(), Error> {
        let commit = || -> Result<Oid, git2::Error> {
            let repository = &self.repository;
            let blob = repository.blob(signed.to_string().as_bytes())?;
            let mut builder = repository.treebuilder(None)?;
            builder.insert(FILE, blob, FILE_MODE)?;
            let tree = repository.find_tree(builder.write()?)?;
            let checkpoint = &signed.checkpoint;
            let time = checkpoint.time.parse().map_or(0, Timestamp::as_second);
            let author = git2::Signature::new(AUTHOR.0, AUTHOR.1, &git2::Time::new(time, 0))?;
            let parent = self.tip().map(|tip| repository.find_commit(tip)).transpose()?;
            repository.commit(
                Some(&self.address.reference()),
                &author,
                &author,
                &format!("Checkpoint {} of {}\n", checkpoint.number, checkpoint.origin),
                &tree,
                &parent.iter().collect::<Vec<_>>(),
            )
        };
        commit()
            .map(|_| ())
            .map_err(self.address.failed("could not be committed to"))
    }

    /// Pushes the branch; the commit that is now there.
    pub fn push(&self) -> Result<Option<Oid>, Error> {
        let Some(tip) = self.tip() else { return Ok(None) };
        let failed = self.address.failed("could not be pushed to");
        let mut refused = None;
        {
            let mut remote = self
                .repository
                .remote_anonymous(&self.address.repository)
                .map_err(&failed)?;
            let mut callbacks = callbacks(self.address.credentials.clone());
            callbacks.push_update_reference(|_, status| {
                refused = status.map(str::to_owned);
                Ok(())
            });
            let mut options = PushOptions::new();
            options.remote_callbacks(callbacks);
            let reference = self.address.reference();
            match remote.push(&[format!("{reference}:{reference}")], Some(&mut options)) {
                Err(error) if error.code() == ErrorCode::NotFastForward => {
                    return Err(Error::Diverged(self.address.to_string()));
                }
                outcome => outcome.map_err(&failed)?,
            }
        }
        match refused {
            None => Ok(Some(tip)),
            Some(reason) => Err(Error::Refused {
                address: self.address.to_string(),
                reason,
            }),
        }
    }

    fn tip(&self) -> Option<Oid> {
        self.repository.refname_to_id(&self.address.reference()).ok()
    }
}

/// From the folder, where there is one; else as the person's Git does: keys by ssh-agent, passwords by the credential
/// helper. The host's key has to be in `~/.ssh/known_hosts` either way.
fn callbacks<'a>(folder: Option<PathBuf>) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    let mut tried = 0;
    callbacks.credentials(move |url, user, allowed| {
        tried += 1;
        if tried > MAX_TRIES {
            return Err(git2::Error::from_str("the credentials were refused"));
        }
        if let Some(folder) = &folder {
            return mounted(folder, user, allowed);
        }
        if allowed.contains(CredentialType::SSH_KEY) {
            Cred::ssh_key_from_agent(user.unwrap_or("git"))
        } else if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            Cred::credential_helper(&git2::Config::open_default()?, url, user)
        } else {
            Cred::default()
        }
    });
    callbacks
}

fn mounted(folder: &Path, user: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name));
        text.map_err(|error| git2::Error::from_str(&format!("its credentials have no {name}: {error}")))
    };
    if allowed.contains(CredentialType::SSH_KEY) {
        let key = read("ssh-privatekey")?;
        Cred::ssh_key_from_memory(user.unwrap_or("git"), None, &key, None)
    } else if allowed.contains(CredentialType::USERNAME) {
        Cred::username(user.unwrap_or("git"))
    } else {
        Cred::userpass_plaintext(read("username")?.trim_end(), read("password")?.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_url_are_not_shown() {
        let address: Address = "https://bot:secret@git.example.com/audit.git#anchors"
            .parse()
            .unwrap();
        assert_eq!(address.to_string(), "https://git.example.com/audit.git#anchors");
        assert!("#x".parse::<Address>().is_err() && "repo#a..b".parse::<Address>().is_err());
    }
}
