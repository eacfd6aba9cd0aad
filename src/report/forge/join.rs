//! How a pull request got on to the line: which of the line's commits are its own, told from what the forge names and
//! from the commits themselves, never from messages that anybody may edit.

use std::collections::HashMap;

use git2::Oid;
use jiff::Timestamp;
use provost_evidence::chain::format_time;

use super::super::Error;
use super::super::period::Period;
use crate::forge::{ProposedCommit, PullRequest};
use crate::git::history::{Commit, History, Proposed, WholeRepository};

/// The commits of the first-parent line.
pub(super) struct Line<'a> {
    commits: HashMap<Oid, &'a Commit>,
}

/// What a pull request became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Landed {
    /// The last commit of it on the line.
    pub(super) result: Oid,
    /// All of them, the last first.
    pub(super) steps: Vec<Oid>,
    /// The line's commit before them; none where it begins with them.
    pub(super) before: Option<Oid>,
    /// The commit that was merged; of rebased ones, what they were before.
    pub(super) head: Option<Oid>,
    /// In which way.
    pub(super) method: &'static str,
}

// === impl Line ===

impl<'a> Line<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let on_line = history
            .commits
            .iter()
            .filter(|commit| commit.on_first_parent_line);
        Self {
            commits: on_line.map(|commit| (commit.id, commit)).collect(),
        }
    }

    pub(super) fn has(&self, id: Oid) -> bool {
        self.commits.contains_key(&id)
    }

    /// Whether a commit of the line is in the period, which is cut on the committer's date.
    pub(super) fn is_in(&self, id: Oid, period: Period) -> bool {
        self.commits
            .get(&id)
            .is_some_and(|commit| period.contains(commit.committer.seconds))
    }

    /// The commit before one on the line.
    pub(super) fn before(&self, id: Oid) -> Option<Oid> {
        self.commits.get(&id)?.parents.first().copied()
    }

    /// The commits of a pull request as they were when it was merged. The forge may have taken no note of the last ones, or
    /// have lost the list (Gitea compares anew where a merge and its own checks meet): then Git has them, by the merge
    /// itself, or by the head that was fetched.
    pub(super) fn proposed(
        &self,
        repository: &WholeRepository,
        pull: &PullRequest,
        result: Oid,
    ) -> Result<Vec<ProposedCommit>, Error> {
        let commit = self.commits.get(&result);
        let second = commit.and_then(|commit| commit.parents.get(1)).copied();
        let last = pull.commits.last().and_then(|last| Oid::from_str(&last.id).ok());
        let head = match (second, last) {
            // What was rebased before it was merged has other commits.
            (Some(second), Some(last)) if repository.reaches(second, last)? => second,
            (_, Some(last)) => last,
            (second, None) => match second.or_else(|| repository.fetched_head(pull.number)) {
                Some(head) => head,
                None => return Ok(Vec::new()),
            },
        };
        if Some(head) == last {
            return Ok(pull.commits.clone());
        }
        let commits = repository.proposed(self.before(result), head)?;
        let known = |id: &str| pull.commits.iter().find(|commit| commit.id == id);
        let commits = commits.into_iter().map(|commit| {
            let id = commit.id.to_string();
            known(&id).cloned().unwrap_or_else(|| of_git(commit))
        });
        Ok(commits.collect())
    }

    /// What became of these commits, whose last is `result`, which the line has.
    pub(super) fn landed(
        &self,
        repository: &WholeRepository,
        result: Oid,
        proposed: &[ProposedCommit],
    ) -> Result<Landed, Error> {
        let head = proposed.last().and_then(|last| Oid::from_str(&last.id).ok());
        let commit = self.commits.get(&result);
        let second = commit.and_then(|commit| commit.parents.get(1)).copied();
        let (method, steps, head) = match (second, head) {
            (Some(second), Some(head)) => {
                // What was merged is what counts, also where it was pushed so late that the forge took no note.
                if repository.reaches(second, head)? {
                    ("merge", vec![result], Some(second))
                } else {
                    ("rebase-merge", vec![result], Some(head))
                }
            }
            (Some(second), None) => ("merge", vec![result], Some(second)),
            (None, head) if head == Some(result) => {
                let own = |id: &Oid| proposed.iter().any(|commit| commit.id == id.to_string());
                ("fast-forward", self.run(result, own), head)
            }
            (None, head) => match self.rebased(result, proposed) {
                Some(steps) => ("rebase", steps, head),
                None => ("squash", vec![result], head),
            },
        };
        let first = steps.last().copied().unwrap_or(result);
        Ok(Landed {
            result,
            before: self.before(first),
            steps,
            head,
            method,
        })
    }

    /// The unbroken run of the line that ends in `last` and of which all are `own`; `last` itself at least.
    fn run(&self, last: Oid, own: impl Fn(&Oid) -> bool) -> Vec<Oid> {
        let mut steps = vec![last];
        let mut at = last;
        while let Some(before) = self.before(at).filter(|before| self.has(*before) && own(before)) {
            steps.push(before);
            at = before;
        }
        steps
    }

    /// The commits of the line that are the proposed ones again, one for one: the same author, time of writing and
    /// message. None where they are not.
    fn rebased(&self, result: Oid, proposed: &[ProposedCommit]) -> Option<Vec<Oid>> {
        let mut steps = Vec::new();
        let mut at = Some(result);
        // Rebasing leaves merges out.
        for proposed in proposed
            .iter()
            .rev()
            .filter(|proposed| proposed.parents.len() < 2)
        {
            let id = at?;
            if !is_the_same(self.commits.get(&id)?, proposed) {
                return None;
            }
            steps.push(id);
            at = self.before(id);
        }
        (!steps.is_empty()).then_some(steps)
    }
}

/// A commit as Git has it, who doesn't know accounts.
fn of_git(commit: Proposed) -> ProposedCommit {
    ProposedCommit {
        id: commit.id.to_string(),
        author: None,
        committer: None,
        author_email: commit.author_email,
        committer_email: commit.committer_email,
        authored_at: Timestamp::from_second(commit.authored).ok().map(format_time),
        message: commit.message,
        parents: commit.parents.iter().map(Oid::to_string).collect(),
    }
}

fn is_the_same(commit: &Commit, proposed: &ProposedCommit) -> bool {
    let authored = proposed.authored_at.as_deref();
    let authored = authored.and_then(|at| at.parse::<Timestamp>().ok());
    let subject = proposed.message.split("\n\n").next().unwrap_or_default();
    let subject: Vec<&str> = subject.lines().map(str::trim_end).collect();
    commit.parents.len() < 2
        && commit.author.email == proposed.author_email
        && authored.is_some_and(|authored| authored.as_second() == commit.author.seconds)
        && commit.subject == subject.join(" ").trim()
}
