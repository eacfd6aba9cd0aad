//! Git: bare mirrors of configuration repositories, revisions, and immutable snapshots of a commit's files.
//!
//! ```text
//! RepositoryUrl ──Mirrors──▶ Mirror ──fetch──▶ refs ──resolve──▶ commit ──snapshot──▶ Snapshot ──▶ blobs, exports
//!       └──CredentialStore──▶ Access ──┘                              └──signature──▶ Check
//! ```
//!
//! Everything here blocks: call it through `tokio::task::spawn_blocking`.
//!
//! *Guarantees*
//! - A mirror is written by one process at a time (a file lock), and a failed fetch leaves its refs as they were.
//! - A snapshot reads Git's objects, never a checkout, so nothing can change under a render; a symbolic link is
//!   followed only while it stays inside the repository.
//! - Local paths and `file://` are refused unless the caller allows them.
//! - Credentials are bound to a host: no redirect and no submodule takes them to another, and no message shows them.

pub mod bundle;
mod calls;
mod credentials;
mod handles;
pub mod history;
mod https;
mod known_hosts;
mod mirror;
mod path;
mod proxy;
mod push;
pub mod signature;
mod snapshot;
mod submodules;
pub mod sweep;
mod url;
mod version_range;
mod working_tree;

pub use crate::config::Secret;
pub use credentials::{Access, CredentialError, CredentialStore, RepositorySecret, SecretType};
pub use mirror::{Fetched, Mirror, Mirrors};
pub use path::RepoPath;
pub use snapshot::{Entry, EntryKind, Snapshot};
pub use submodules::{SubmoduleAccess, Submodules};
pub use url::{LocalRepositories, Location, Origin, RepositoryUrl, Scheme};
pub use working_tree::WorkingTree;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be used.
    #[error("repository URL {url} is refused: {reason}")]
    Url {
        /// As the user wrote it, without credentials.
        url: String,
        /// Why, and what would do.
        reason: &'static str,
    },
    /// The path cannot be used.
    #[error("path {path:?} is refused: {reason}")]
    Path {
        /// As the user wrote it.
        path: String,
        /// Why, and what would do.
        reason: &'static str,
    },
    /// The state folder does not let us keep a mirror.
    #[error("mirror folder {folder} cannot be used")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process fetches into this mirror.
    #[error("mirror of {url} is being fetched by another process")]
    Locked {
        /// The repository.
        url: String,
    },
    /// The mirror itself cannot be opened or made.
    #[error("mirror of {url} cannot be opened")]
    Open {
        /// The repository.
        url: String,
        /// Why.
        source: git2::Error,
    },
    /// The repository did not answer, or refused.
    #[error("repository {url} cannot be fetched")]
    Fetch {
        /// The repository.
        url: String,
        /// Why.
        source: git2::Error,
    },
    /// The repository refused, in our words.
    #[error("repository {url} cannot be fetched: {reason}")]
    Unreachable {
        /// The repository.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The Secret that is for the repository cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// No tag is a version in the range.
    #[error("no tag of {url} is a version in the range {range:?}")]
    NoVersion {
        /// What was asked for.
        range: String,
        /// The repository.
        url: String,
    },
    /// The repository does not take a commit.
    #[error("{url} does not take the commit on branch {branch}: {reason}")]
    Push {
        /// The branch.
        branch: String,
        /// The repository.
        url: String,
        /// In its words.
        reason: String,
    },
    /// No branch, tag or commit has this name.
    #[error("revision {revision:?} is not a branch, tag or commit of {url}")]
    Revision {
        /// What was asked for.
        revision: String,
        /// The repository.
        url: String,
    },
    /// The path is not in the commit.
    #[error("path {path:?} does not exist in {url} at {commit}")]
    Missing {
        /// What was asked for.
        path: String,
        /// The repository.
        url: String,
        /// The commit, shortened.
        commit: String,
    },
    /// A folder was wanted, or a file.
    #[error("{path} is not a {wanted}")]
    Kind {
        /// The path.
        path: String,
        /// `file` or `folder`.
        wanted: &'static str,
    },
    /// A symbolic link points out of the repository.
    #[error("symbolic link {path} is refused: it {reason}")]
    Link {
        /// The link.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A folder holds a submodule, whose content is not there.
    #[error("submodule {path} is refused: {reason}")]
    Submodule {
        /// The submodule's path.
        path: String,
        /// Why, and what would do.
        reason: String,
    },
    /// More than a render may read.
    #[error("{path} holds more than {limit}")]
    TooLarge {
        /// The folder.
        path: String,
        /// The bound, in words.
        limit: &'static str,
    },
    /// An object of the mirror cannot be read.
    #[error("{what} cannot be read from the mirror of {url}")]
    Read {
        /// What was read.
        what: String,
        /// The repository.
        url: String,
        /// Why.
        source: git2::Error,
    },
    /// The export could not be written.
    #[error("files of the commit cannot be written to {path}")]
    Export {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}
