//! What was undone: by a commit whose message says so, and by a step of the line that brings an earlier tree back. A
//! message is a claim; it is proven where the change is the inverse of the one that it names.

use std::collections::{BTreeSet, HashMap};

use git2::{Commit, DiffPatchidOptions, Oid};

use super::steps::difference;
use super::{Error, History, WholeRepository};

/// How many steps one step may be said to undo.
const MAX_UNDONE: usize = 1_000;
/// What git writes into the message of a revert.
const WORDS: &str = "This reverts commit ";

/// One commit that undoes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// The commit that undoes.
    pub commit: Oid,
    /// What it undoes.
    pub undoes: Undone,
    /// Whether its message says so.
    pub is_claimed: bool,
    /// How it is proven; a claim without a proof undoes a part, or nothing.
    pub proof: Option<Proof>,
}

/// What is undone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undone {
    /// A commit.
    Commit(Oid),
    /// A commit that a message names and the repository doesn't have, such as one that was squashed.
    NotHere(String),
}

/// How a revert is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The tree from before is back.
    TreeEqual,
    /// The change is the other one, the other way round.
    PatchInverse,
}

// === impl Undone ===

impl Undone {
    /// The commit, where it is there.
    pub fn commit(&self) -> Option<Oid> {
        match self {
            Self::Commit(id) => Some(*id),
            Self::NotHere(_) => None,
        }
    }
}

// === impl Proof ===

impl Proof {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TreeEqual => "tree_equal",
            Self::PatchInverse => "patch_inverse",
        }
    }
}

// === impl WholeRepository ===

impl WholeRepository {
    /// What the commits of a history undo; those of them whose committer's time `is_wanted`.
    pub fn reverts(&self, history: &History, is_wanted: impl Fn(i64) -> bool) -> Result<Vec<Revert>, Error> {
        let mut reverts = Vec::new();
        let reached = history.commits.iter().filter(|commit| commit.in_revision);
        for commit in reached.filter(|commit| is_wanted(commit.committer.seconds)) {
            for undoes in self.claims(commit.id)? {
                let proof = undoes.commit().map(|undoes| self.proof(commit.id, undoes));
                reverts.push(Revert {
                    commit: commit.id,
                    undoes,
                    is_claimed: true,
                    proof: proof.transpose()?.flatten(),
                });
            }
        }
        let mut line: Vec<_> = history
            .commits
            .iter()
            .filter(|commit| commit.on_first_parent_line)
            .collect();
        line.reverse();
        let mut latest: HashMap<Oid, usize> = HashMap::new();
        for (index, step) in line.iter().enumerate() {
            let earlier = latest.insert(step.tree, index);
            let Some(earlier) =
                earlier.filter(|earlier| index - earlier > 1 && is_wanted(step.committer.seconds))
            else {
                continue;
            };
            for undone in line[earlier + 1..index].iter().rev().take(MAX_UNDONE) {
                let is_there =
                    |revert: &Revert| revert.commit == step.id && revert.undoes.commit() == Some(undone.id);
                if !reverts.iter().any(is_there) {
                    reverts.push(Revert {
                        commit: step.id,
                        undoes: Undone::Commit(undone.id),
                        is_claimed: false,
                        proof: Some(Proof::TreeEqual),
                    });
                }
            }
        }
        Ok(reverts)
    }

    /// The commits that a message says it reverts.
    fn claims(&self, id: Oid) -> Result<BTreeSet<Undone>, Error> {
        let message = self.message(id)?;
        let mut claims = BTreeSet::new();
        for (position, words) in message.match_indices(WORDS) {
            let rest = &message[position + words.len()..];
            let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            if end >= 7 {
                let named = &rest[..end];
                claims.insert(match self.repository.find_commit_by_prefix(named) {
                    Ok(commit) => Undone::Commit(commit.id()),
                    Err(_) => Undone::NotHere(named.to_owned()),
                });
            }
        }
        claims.remove(&Undone::Commit(id));
        Ok(claims)
    }

    fn proof(&self, commit: Oid, undoes: Oid) -> Result<Option<Proof>, Error> {
        let (commit, undoes) = (
            self.repository.find_commit(commit)?,
            self.repository.find_commit(undoes)?,
        );
        // Of a merge, a revert undoes what it brought in as seen from one of its parents.
        for base in undoes.parents() {
            if commit.tree_id() == base.tree_id() && comes_after_the_same(&commit, &undoes) {
                return Ok(Some(Proof::TreeEqual));
            }
            if self.is_inverse(&commit, &undoes, &base)? {
                return Ok(Some(Proof::PatchInverse));
            }
        }
        Ok(None)
    }

    fn is_inverse(&self, commit: &Commit<'_>, undoes: &Commit<'_>, base: &Commit<'_>) -> Result<bool, Error> {
        let Some(parent) = commit.parents().next() else {
            return Ok(false);
        };
        let done = difference(&self.repository, Some(&parent.tree()?), Some(&commit.tree()?))?;
        let undone = difference(&self.repository, Some(&undoes.tree()?), Some(&base.tree()?))?;
        if done.deltas().len() == 0 || done.deltas().len() != undone.deltas().len() {
            return Ok(false);
        }
        let id = |diff: &git2::Diff<'_>| diff.patchid(Some(&mut DiffPatchidOptions::new()));
        Ok(id(&done)? == id(&undone)?)
    }
}

/// Whether nothing lies between the two but what left the tree alone.
fn comes_after_the_same(commit: &Commit<'_>, undoes: &Commit<'_>) -> bool {
    commit
        .parents()
        .any(|parent| parent.tree_id() == undoes.tree_id())
}
