//! The steps of a revision's first-parent line: each is a move of the branch as far as Git tells, with what it changed
//! and whether a merge is what Git would have made by itself.

use std::fmt::Write as _;

use git2::{Commit, Delta, Diff, DiffFormat, DiffOptions, Oid, Repository, Tree};
use jiff::Timestamp;
use ring::digest::{Context, SHA256};

use super::{Error, WholeRepository, trivial};
use crate::git::signature::{Check, TrustedKeys};

/// In the way of objects that a trial merge makes: they stay in memory.
const MEMORY_FIRST: i32 = 1_000_000;

/// A step, and what it changed against the commit before it on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The commit before it; none for a root.
    pub before: Option<Oid>,
    /// Files that differ; a renamed one counts twice.
    pub files: u64,
    /// Lines that came, as `git diff --numstat --no-renames` counts them.
    pub additions: u64,
    /// Lines that went.
    pub deletions: u64,
    /// SHA-256 of what `git diff-tree -r -z --no-renames --no-abbrev BEFORE RESULT` prints: it names every path with
    /// its content before and after.
    pub diff_sha256: String,
    /// What kind of merge it is.
    pub merge: MergeResult,
}

/// A merge beside the one that Git makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeResult {
    /// It has one parent or none.
    NoMerge,
    /// The same tree.
    Automatic,
    /// Both sides changed the same lines: somebody decided.
    Conflicts,
    /// Another tree: somebody added to the merge, or another merge program was used.
    Other,
    /// More than two parents.
    Octopus,
}

// === impl WholeRepository ===

impl WholeRepository {
    /// What a commit of the first-parent line changed.
    pub fn step(&self, id: Oid) -> Result<Step, Error> {
        let commit = self.repository.find_commit(id)?;
        let before = commit.parents().next();
        let old = before.as_ref().map(Commit::tree).transpose()?;
        let diff = difference(&self.repository, old.as_ref(), Some(&commit.tree()?))?;
        let stats = diff.stats()?;
        Ok(Step {
            before: before.map(|before| before.id()),
            files: stats.files_changed() as u64,
            additions: stats.insertions() as u64,
            deletions: stats.deletions() as u64,
            diff_sha256: digest(&diff),
            merge: self.merge_result(&commit)?,
        })
    }

    /// The patch of a commit against its first parent, cut after `most` bytes.
    pub fn patch(&self, id: Oid, most: usize) -> Result<Vec<u8>, Error> {
        let commit = self.repository.find_commit(id)?;
        let before = commit.parents().next();
        let old = before.as_ref().map(Commit::tree).transpose()?;
        let diff = difference(&self.repository, old.as_ref(), Some(&commit.tree()?))?;
        let mut patch = Vec::new();
        let printed = diff.print(DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                patch.extend(u8::try_from(line.origin()));
            }
            patch.extend_from_slice(line.content());
            patch.len() < most
        });
        patch.truncate(most);
        match printed {
            Err(error) if error.code() != git2::ErrorCode::User => Err(error.into()),
            _ => Ok(patch),
        }
    }

    /// A commit's whole message, as text.
    pub fn message(&self, id: Oid) -> Result<String, Error> {
        let commit = self.repository.find_commit(id)?;
        let encoding = super::text::Encoding::of(&commit);
        Ok(encoding.decode(commit.message_raw_bytes().to_vec()))
    }

    /// The content of a file at a commit; `None` where there is none, or it is no file, or larger than `most` bytes.
    pub fn content_at(&self, commit: Oid, path: &str, most: usize) -> Result<Option<(Oid, Vec<u8>)>, Error> {
        let tree = self.repository.find_commit(commit)?.tree()?;
        let Ok(entry) = tree.get_path(std::path::Path::new(path)) else {
            return Ok(None);
        };
        let file = super::TreeFile {
            path: path.to_owned(),
            blob: entry.id(),
        };
        Ok(self.content(&file, most)?.map(|content| (entry.id(), content)))
    }

    /// The file at a path of a commit; `None` where there is none.
    pub fn blob_at(&self, commit: Oid, path: &str) -> Result<Option<Oid>, Error> {
        let tree = self.repository.find_commit(commit)?.tree()?;
        Ok(tree
            .get_path(std::path::Path::new(path))
            .ok()
            .map(|entry| entry.id()))
    }

    /// What a commit's signature is worth, with these keys at this time.
    pub fn check_signature(&self, keys: &TrustedKeys, commit: Oid, at: Timestamp) -> Check {
        keys.check(&self.repository, commit, at)
    }

    pub(super) fn merge_result(&self, commit: &Commit<'_>) -> Result<MergeResult, Error> {
        match commit.parent_count() {
            0 | 1 => return Ok(MergeResult::NoMerge),
            2 => {}
            _ => return Ok(MergeResult::Octopus),
        }
        let (ours, theirs) = (commit.parent(0)?, commit.parent(1)?);
        if let Some(result) = trivial::merge_result(&self.repository, &ours, &theirs, commit)? {
            return Ok(result);
        }
        self.made_again(commit)
    }

    /// What a merge is, by making it.
    pub(super) fn made_again(&self, commit: &Commit<'_>) -> Result<MergeResult, Error> {
        Ok(
            match self.trial_merge(commit.parent_id(0)?, commit.parent_id(1)?)? {
                None => MergeResult::Conflicts,
                Some(tree) if tree == commit.tree_id() => MergeResult::Automatic,
                Some(_) => MergeResult::Other,
            },
        )
    }

    /// The tree that Git makes by merging `theirs` into `ours` by itself; none where both changed the same lines.
    pub(super) fn trial_merge(&self, ours: Oid, theirs: Oid) -> Result<Option<Oid>, Error> {
        let trial = Repository::open(self.repository.path())?;
        let objects = trial.odb()?;
        let _memory = objects.add_new_mempack_backend(MEMORY_FIRST)?;
        let (ours, theirs) = (trial.find_commit(ours)?, trial.find_commit(theirs)?);
        let mut index = trial.merge_commits(&ours, &theirs, None)?;
        if index.has_conflicts() {
            return Ok(None);
        }
        Ok(Some(index.write_tree_to(&trial)?))
    }
}

// === impl MergeResult ===

impl MergeResult {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoMerge => "no merge",
            Self::Automatic => "automatic",
            Self::Conflicts => "conflicts",
            Self::Other => "other",
            Self::Octopus => "octopus",
        }
    }
}

pub(super) fn difference<'a>(
    repository: &'a Repository,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
) -> Result<Diff<'a>, git2::Error> {
    let mut options = DiffOptions::new();
    options.include_typechange(true);
    repository.diff_tree_to_tree(old, new, Some(&mut options))
}

fn digest(diff: &Diff<'_>) -> String {
    let mut context = Context::new(&SHA256);
    for delta in diff.deltas() {
        let (old, new) = (delta.old_file(), delta.new_file());
        let (status, path) = match delta.status() {
            Delta::Added => ('A', new.path_bytes()),
            Delta::Deleted => ('D', old.path_bytes()),
            Delta::Typechange => ('T', new.path_bytes()),
            _ => ('M', new.path_bytes()),
        };
        let head = format!(
            ":{:06o} {:06o} {} {} {status}\0",
            u32::from(old.mode()),
            u32::from(new.mode()),
            old.id(),
            new.id()
        );
        context.update(head.as_bytes());
        context.update(path.unwrap_or_default());
        context.update(b"\0");
    }
    let mut hex = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
