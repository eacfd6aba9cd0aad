//! The history of a repository, walked once: every commit with what it changed, the pull request that it came by, and
//! for each file the commit that last changed it.
//!
//! ```text
//! revisions ──revwalk, children before parents──▶ commits ──tree differences──▶ changed files
//!                                                    │                              └──▶ last changes
//!                                                    └──▶ pull requests (subjects and shapes of merges)
//! ```
//!
//! Guarantees:
//! - The commit that last changed a file is the one that `git log -1 --format=%H REVISION -- FILE` names. That command
//!   follows, at every commit, the first parent in which the file is the same, and stops where there is none. So all
//!   files walk down together: a commit's files go on to its first parent, less those that differ from it; of these
//!   each goes on to the first other parent that has the same; the rest was changed here.
//! - Changed files are those that differ from the first parent, for merges too. Renames are a deletion and an addition.
//! - A history that is cut off (a shallow clone) or altered for the reader (replace references) is refused: what is
//!   not there can't be told from what never was.
//!
//! Everything here blocks.

mod changes;
mod proposal;
mod pull_requests;
mod reverts;
mod steps;
mod text;
mod trivial;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Sort};

use super::bundle;

pub use self::changes::{Change, ChangeKind};
use self::changes::{Paths, Walkers};
pub use self::proposal::{ContentMatch, MergedContent, Proposed};
pub use self::pull_requests::{NamedBy, PullRequest};
pub use self::reverts::{Proof, Revert, Undone};
pub use self::steps::{MergeResult, Step};

/// A repository whose history is whole.
pub struct WholeRepository {
    repository: Repository,
}

/// Commits, and what they changed.
#[derive(Debug)]
pub struct History {
    /// Every commit that one of the revisions reaches, children before parents.
    pub commits: Vec<Commit>,
    /// For each revision and file that was asked for: the commit that last changed it.
    pub last_changes: Vec<LastChange>,
    paths: Paths,
}

/// A commit. Names, addresses and times are what the client said.
#[derive(Debug)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    /// Its parents.
    pub parents: Vec<Oid>,
    /// Its tree.
    pub tree: Oid,
    /// Who wrote the change.
    pub author: Person,
    /// Who made the commit.
    pub committer: Person,
    /// The first paragraph of its message, in one line.
    pub subject: String,
    /// Files that differ from the first parent.
    pub changes: Vec<Change>,
    /// Whether the revision itself reaches it.
    pub in_revision: bool,
    /// Whether it is on the first-parent line of the revision.
    pub on_first_parent_line: bool,
    /// The pull request that its own subject names.
    pub pull_request: Option<PullRequest>,
    /// The merge that brought it on to the line, where that one names a pull request.
    pub brought_in_by: Option<Oid>,
    /// The commit of the line that brought it on to the line; itself, where it is on the line.
    pub step: Option<Oid>,
}

/// Who, and when, as they say.
#[derive(Debug)]
pub struct Person {
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
    /// Seconds since 1970.
    pub seconds: i64,
}

/// The commit that last changed a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// Seen from this revision.
    pub revision: Oid,
    /// The file; [`History::path`] has its name.
    pub path: PathId,
    /// The commit.
    pub commit: Oid,
}

/// A file's name, kept once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathId(u32);

/// A file of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path from the repository's root, as text.
    pub path: String,
    /// Its content.
    pub blob: Oid,
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no repository, or it can't be opened.
    #[error("could not open the Git repository {path:?}")]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        source: git2::Error,
    },
    /// The clone is shallow.
    #[error("the history of {path:?} is cut off (a shallow clone); run: git -C {path:?} fetch --unshallow")]
    Shallow {
        /// Where.
        path: PathBuf,
    },
    /// Objects are replaced by others for whoever reads.
    #[error(
        "{path:?} replaces objects (refs/replace/): its history is not what its ids say; delete these references"
    )]
    Replaced {
        /// Where.
        path: PathBuf,
    },
    /// The revision names no commit.
    #[error("the repository has no commit {revision:?}")]
    Revision {
        /// Which.
        revision: String,
        /// Why.
        source: git2::Error,
    },
    /// Objects could not be read.
    #[error("could not read the history")]
    Read(#[from] git2::Error),
}

/// For each revision the files whose last change is wanted; `None` for every file that it has.
pub type Wanted = BTreeMap<Oid, Option<BTreeSet<String>>>;

// === impl WholeRepository ===

impl WholeRepository {
    /// Opens the repository that is at, or around, a directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let opened = Repository::discover(path);
        let repository = opened.map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
        if repository.is_shallow() {
            return Err(Error::Shallow {
                path: path.to_owned(),
            });
        }
        if repository.references_glob("refs/replace/*")?.next().is_some() {
            return Err(Error::Replaced {
                path: path.to_owned(),
            });
        }
        Ok(Self { repository })
    }

    /// The commit that a revision names, as `git rev-parse` has it.
    pub fn resolve(&self, revision: &str) -> Result<Oid, Error> {
        let object = self.repository.revparse_single(revision);
        let commit = object.and_then(|object| object.peel_to_commit());
        let failed = |source| Error::Revision {
            revision: revision.to_owned(),
            source,
        };
        Ok(commit.map_err(failed)?.id())
    }

    /// Whether the commit is there.
    pub fn has_commit(&self, id: Oid) -> bool {
        self.repository.find_commit(id).is_ok()
    }

    /// Writes everything that these commits reach into a bundle.
    pub fn write_bundle(&self, refs: &[(String, Oid)], path: &Path) -> Result<(), bundle::Error> {
        bundle::write(&self.repository, refs, path)
    }

    /// How many commits each revision alone reaches, counted by a walk of its own: `git rev-list --count REVISION`.
    /// `is_counted` gets the committer's time, in seconds since 1970.
    pub fn count_commits(&self, revision: Oid, is_counted: impl Fn(i64) -> bool) -> Result<u64, Error> {
        let mut walk = self.repository.revwalk()?;
        walk.push(revision)?;
        let mut count = 0;
        for id in walk {
            if is_counted(self.repository.find_commit(id?)?.committer().when().seconds()) {
                count += 1;
            }
        }
        Ok(count)
    }

    /// Every file of a revision, in the order of its trees.
    pub fn files(&self, revision: Oid) -> Result<Vec<TreeFile>, Error> {
        let mut files = Vec::new();
        let tree = self.repository.find_commit(revision)?.tree_id();
        changes::visit(&self.repository, None, Some(tree), &mut |path, _, blob| {
            files.push(TreeFile {
                path: text::path(path),
                blob,
            });
        })?;
        Ok(files)
    }

    /// The content of a file; `None` where it is larger than `most` bytes, or no file (a submodule).
    pub fn content(&self, file: &TreeFile, most: usize) -> Result<Option<Vec<u8>>, Error> {
        let odb = self.repository.odb()?;
        match odb.read_header(file.blob) {
            Ok((size, git2::ObjectType::Blob)) if size <= most => {
                Ok(Some(self.repository.find_blob(file.blob)?.content().to_vec()))
            }
            Ok(_) => Ok(None),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Walks everything that `revision` and the revisions in `wanted` reach.
    pub fn history(&self, revision: Oid, wanted: &Wanted) -> Result<History, Error> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
        walk.push(revision)?;
        for tip in wanted.keys() {
            walk.push(*tip)?;
        }
        let mut paths = Paths::default();
        let mut walkers = Walkers::start(&self.repository, wanted, &mut paths)?;
        let mut commits = Vec::new();
        for id in walk {
            let commit = self.repository.find_commit(id?)?;
            let changes = changes::against_first_parent(&self.repository, &commit, &mut paths)?;
            walkers.pass(&commit, &changes, &paths)?;
            commits.push(Commit::new(&commit, changes));
        }
        let mut history = History {
            commits,
            last_changes: walkers.finish(),
            paths,
        };
        history.find_pull_requests(revision);
        Ok(history)
    }
}

// === impl History ===

impl History {
    /// A file's name.
    pub fn path(&self, path: PathId) -> &str {
        self.paths.text(path)
    }

    fn find_pull_requests(&mut self, revision: Oid) {
        let index: HashMap<Oid, usize> = self
            .commits
            .iter()
            .enumerate()
            .map(|(index, commit)| (commit.id, index))
            .collect();
        let Some(&tip) = index.get(&revision) else { return };
        let parents = |commit: &Commit| {
            commit
                .parents
                .iter()
                .filter_map(|id| index.get(id).copied())
                .collect()
        };
        let graph: Vec<Vec<usize>> = self.commits.iter().map(parents).collect();
        let names: Vec<bool> = self
            .commits
            .iter()
            .map(|commit| commit.pull_request.is_some())
            .collect();
        let line = pull_requests::line(&graph, &names, tip);
        for (position, place) in line.into_iter().enumerate() {
            let brought_in_by = place.brought_in_by.map(|merge| self.commits[merge].id);
            let step = place.step.map(|step| self.commits[step].id);
            let commit = &mut self.commits[position];
            commit.in_revision = place.is_reached;
            commit.on_first_parent_line = place.is_on_line;
            commit.brought_in_by = brought_in_by;
            commit.step = step;
        }
    }
}

// === impl Commit ===

impl Commit {
    fn new(commit: &git2::Commit<'_>, changes: Vec<Change>) -> Self {
        let encoding = text::Encoding::of(commit);
        let subject = encoding.decode(text::subject(commit.message_raw_bytes()));
        Self {
            id: commit.id(),
            parents: commit.parent_ids().collect(),
            tree: commit.tree_id(),
            author: Person::new(&commit.author(), encoding),
            committer: Person::new(&commit.committer(), encoding),
            pull_request: PullRequest::named_by(&subject, commit.parent_count()),
            subject,
            changes,
            in_revision: false,
            on_first_parent_line: false,
            brought_in_by: None,
            step: None,
        }
    }
}

// === impl Person ===

impl Person {
    fn new(signature: &git2::Signature<'_>, encoding: text::Encoding) -> Self {
        Self {
            name: encoding.decode(signature.name_bytes().to_vec()),
            email: encoding.decode(signature.email_bytes().to_vec()),
            seconds: signature.when().seconds(),
        }
    }
}
