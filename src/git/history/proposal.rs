//! What was proposed, beside what was looked at and what came of it.

use git2::{Oid, Sort};

use super::steps::MergeResult;
use super::{Error, WholeRepository};

/// Merges of the branch that may come after a review.
const MAX_BASE_MERGES: usize = 200;

/// Commits of one proposal that are read.
const MAX_COMMITS: usize = 10_000;

/// A commit of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Its id.
    pub id: Oid,
    /// Its parents.
    pub parents: Vec<Oid>,
    /// The author's address.
    pub author_email: String,
    /// The committer's address.
    pub committer_email: String,
    /// When it was written, as its author says, in seconds since 1970.
    pub authored: i64,
    /// The message.
    pub message: String,
}

/// What was reviewed, beside what was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentMatch {
    /// The same commit.
    SameSha,
    /// Another commit with the same tree.
    SameTree,
    /// Nothing came after it but merges of the branch itself, as Git makes them.
    BaseMergeOnly,
    /// Something else came after it.
    Stale,
    /// A commit isn't here.
    Unknown,
}

/// What merging a proposal gives, beside what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergedContent {
    /// The same.
    Equal,
    /// Something else: somebody changed it on the way.
    Differs,
    /// Git can't merge it by itself.
    Conflicts,
    /// A commit isn't here.
    Unknown,
}

// === impl WholeRepository ===

impl WholeRepository {
    /// What was reviewed at `reviewed`, beside the `head` that was merged into a branch which was at `before`.
    pub fn content_match(
        &self,
        reviewed: Oid,
        head: Oid,
        before: Option<Oid>,
    ) -> Result<ContentMatch, Error> {
        if reviewed == head {
            return Ok(ContentMatch::SameSha);
        }
        if !self.has_commit(reviewed) || !self.has_commit(head) {
            return Ok(ContentMatch::Unknown);
        }
        if self.repository.find_commit(reviewed)?.tree_id() == self.repository.find_commit(head)?.tree_id() {
            return Ok(ContentMatch::SameTree);
        }
        let Some(before) = before else {
            return Ok(ContentMatch::Stale);
        };
        let mut at = head;
        for _ in 0..MAX_BASE_MERGES {
            if !self.is_base_merge(at, before)? {
                return Ok(ContentMatch::Stale);
            }
            at = self.repository.find_commit(at)?.parent_id(0)?;
            if at == reviewed {
                return Ok(ContentMatch::BaseMergeOnly);
            }
        }
        Ok(ContentMatch::Stale)
    }

    /// The commits that `head` has and `before` has not, parents first; no more than a bound.
    pub fn proposed(&self, before: Option<Oid>, head: Oid) -> Result<Vec<Proposed>, Error> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL)?;
        walk.push(head)?;
        if let Some(before) = before {
            walk.hide(before)?;
        }
        let mut commits = Vec::new();
        for id in walk.take(MAX_COMMITS) {
            let commit = self.repository.find_commit(id?)?;
            let (author, committer) = (commit.author(), commit.committer());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            commits.push(Proposed {
                id: commit.id(),
                parents: commit.parent_ids().collect(),
                author_email: text(author.email_bytes()),
                committer_email: text(committer.email_bytes()),
                authored: author.when().seconds(),
                message: self.message(commit.id())?,
            });
        }
        commits.reverse();
        Ok(commits)
    }

    /// The head of a pull request, where it was fetched.
    pub fn fetched_head(&self, number: u64) -> Option<Oid> {
        self.resolve(&format!("refs/pull/{number}/head")).ok()
    }

    /// Whether a commit is another one or came of it.
    pub fn reaches(&self, from: Oid, to: Oid) -> Result<bool, Error> {
        Ok(from == to || self.has_commit(to) && self.repository.graph_descendant_of(from, to)?)
    }

    /// Whether a commit merges a branch which was at `before` into another, as Git does it by itself: then whoever made
    /// it wrote nothing.
    pub fn is_base_merge(&self, commit: Oid, before: Oid) -> Result<bool, Error> {
        let commit = self.repository.find_commit(commit)?;
        if commit.parent_count() != 2 {
            return Ok(false);
        }
        let merged = commit.parent_id(1)?;
        Ok(self.reaches(before, merged)? && self.merge_result(&commit)? == MergeResult::Automatic)
    }

    /// What merging `head` into `before` gives, beside `result`: one question for merges, squashed and rebased commits.
    pub fn merged_content(
        &self,
        before: Option<Oid>,
        head: Oid,
        result: Oid,
    ) -> Result<MergedContent, Error> {
        let Some(before) = before.filter(|_| self.has_commit(head)) else {
            return Ok(MergedContent::Unknown);
        };
        let tree = self.repository.find_commit(result)?.tree_id();
        Ok(match self.trial_merge(before, head)? {
            None => MergedContent::Conflicts,
            Some(merged) if merged == tree => MergedContent::Equal,
            Some(_) => MergedContent::Differs,
        })
    }
}

// === impl ContentMatch ===

impl ContentMatch {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SameSha => "same_sha",
            Self::SameTree => "same_tree",
            Self::BaseMergeOnly => "base_merge_only",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

// === impl MergedContent ===

impl MergedContent {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Conflicts => "conflicts",
            Self::Unknown => "unknown",
        }
    }
}
