//! Forges: what a server of pull requests knows and Git doesn't: who opened, reviewed and merged, what was checked, what
//! it asks for before it merges, and who may do what.
//!
//! ```text
//! Gitea, Forgejo ──REST, page by page──▶ Forge ──▶ pull requests, commits, reviews, events, checks, protection, access
//!                                          └────▶ the answers themselves, kept for who checks
//! ```
//!
//! *Guarantees*
//! - Reads only, and sends its token to the host that was named and to no other; redirects are not followed.
//! - A list is whole or an error: it is read to its last page, and held against the total that the forge gives.
//! - Each wait, answer and list has a bound; what the forge is too busy for is asked again, a few times.
//!
//! Everything here blocks, and must not run on a thread of an asynchronous runtime.

mod gitea;
mod http;

use std::collections::BTreeMap;

pub use self::gitea::Gitea;
pub use self::http::{Error, Kept};

/// A server of pull requests, and one repository of it.
pub trait Forge {
    /// The repository's URL.
    fn url(&self) -> &str;
    /// The repository, as the forge knows it.
    fn repository(&self) -> Result<Repository, Error>;
    /// Every pull request that was merged, by number.
    fn merged(&self) -> Result<Vec<Merged>, Error>;
    /// One of them, with everything about it.
    fn pull_request(&self, number: u64) -> Result<PullRequest, Error>;
    /// The states that were reported of a commit, oldest first.
    fn checks(&self, commit: &str) -> Result<Vec<Check>, Error>;
    /// What the forge asks for before something is merged or pushed, now; in the order in which rules are looked up.
    fn protections(&self) -> Result<Vec<Protection>, Error>;
    /// Who may do what, now.
    fn access(&self) -> Result<Vec<Access>, Error>;
    /// Takes the answers that were given so far, in the order in which they were asked for.
    fn take_kept(&self) -> Vec<Kept>;
}

/// A repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its number, which stays when it is renamed.
    pub id: u64,
    /// The branch that pull requests are merged into where nobody says otherwise.
    pub default_branch: String,
}

/// A merged pull request, as the list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its number.
    pub number: u64,
    /// The branch that it was merged into.
    pub base: String,
    /// When.
    pub merged_at: Option<String>,
    /// The commit that it became on the branch; of several, the last.
    pub merge_commit: Option<String>,
}

/// A merged pull request. People are their logins; none where the forge names nobody any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// The branch that it was merged into.
    pub base: String,
    /// Who opened it.
    pub opened_by: Option<String>,
    /// When.
    pub opened_at: Option<String>,
    /// Who merged it.
    pub merged_by: Option<String>,
    /// When.
    pub merged_at: Option<String>,
    /// The commit that it became on the branch; of several, the last.
    pub merge_commit: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// The commits that were proposed when it was merged, oldest first.
    pub commits: Vec<ProposedCommit>,
    /// Its reviews, by id.
    pub reviews: Vec<Review>,
    /// What else happened, by id.
    pub events: Vec<Event>,
}

/// A commit of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedCommit {
    /// Its id.
    pub id: String,
    /// The account that the forge knows its author's address to be.
    pub author: Option<String>,
    /// The same of its committer.
    pub committer: Option<String>,
    /// The author's address.
    pub author_email: String,
    /// The committer's address.
    pub committer_email: String,
    /// When it was written, as its author says.
    pub authored_at: Option<String>,
    /// The message.
    pub message: String,
    /// Its parents.
    pub parents: Vec<String>,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub id: u64,
    /// Who.
    pub reviewer: Option<String>,
    /// What it says.
    pub state: ReviewState,
    /// When.
    pub submitted_at: Option<String>,
    /// The commit that was looked at.
    pub commit: Option<String>,
    /// Whether it was dismissed.
    pub is_dismissed: bool,
    /// Whether the forge lets this reviewer's approval count.
    pub is_official: bool,
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewState {
    /// Yes.
    Approved,
    /// Not like this.
    ChangesRequested,
    /// Somebody was asked to review.
    Requested,
    /// None of these.
    Comment,
}

/// Something that happened to a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: u64,
    /// What.
    pub kind: EventKind,
    /// Who did it.
    pub by: Option<String>,
    /// When.
    pub at: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Commits were pushed to its branch after it was opened.
    Pushed,
    /// This review was dismissed.
    Dismissed(u64),
    /// Another branch was chosen to merge into.
    Retargeted,
}

/// What a program reported of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its id.
    pub id: u64,
    /// Which check.
    pub context: String,
    /// `success`, `failure`, `error`, `pending`, `warning` or `skipped`.
    pub state: String,
    /// Who reported it.
    pub by: Option<String>,
    /// When.
    pub at: Option<String>,
}

/// A rule for branches of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The branch, or the pattern of its name.
    pub pattern: String,
    /// How many approvals.
    pub approvals: u64,
    /// What else the rule says, by the forge's own names.
    pub settings: BTreeMap<String, String>,
    /// Whether administrators are held to it.
    pub holds_administrators: bool,
    /// Whether anybody may push past pull requests.
    pub lets_push: bool,
    /// When it was last edited: since then it says what it says.
    pub edited_at: Option<String>,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The login, or a deploy key's title.
    pub principal: String,
    /// `owner`, `admin`, `write`, `read` or `none`.
    pub level: String,
    /// `owner`, `direct`, `team NAME` or `deploy key`.
    pub path: String,
}

// === impl ReviewState ===

impl ReviewState {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::ChangesRequested => "changes",
            Self::Requested => "requested",
            Self::Comment => "comment",
        }
    }
}
