//! The forms of the API's answers: of each what is used. What is missing and needed is an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Check, Event, EventKind, ProposedCommit, Review, ReviewState};

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) login: String,
    id: i64,
}

#[derive(Deserialize)]
pub(super) struct RepositoryOf {
    pub(super) id: u64,
    pub(super) default_branch: String,
    pub(super) owner: User,
}

#[derive(Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) merged: bool,
    pub(super) user: Option<User>,
    pub(super) created_at: Option<String>,
    pub(super) merged_by: Option<User>,
    pub(super) merged_at: Option<String>,
    pub(super) merge_commit_sha: Option<String>,
    pub(super) base: Branch,
    pub(super) labels: Option<Vec<Label>>,
}

/// Its `sha` is where the branch is now, whatever was merged: it is not read.
#[derive(Deserialize)]
pub(super) struct Branch {
    #[serde(rename = "ref")]
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct ReviewOf {
    id: u64,
    user: Option<User>,
    state: String,
    submitted_at: Option<String>,
    commit_id: Option<String>,
    dismissed: bool,
    official: bool,
}

#[derive(Deserialize)]
pub(super) struct TimelineEntry {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    user: Option<User>,
    created_at: Option<String>,
    #[serde(default)]
    review_id: u64,
}

#[derive(Deserialize)]
pub(super) struct Proposed {
    sha: String,
    author: Option<User>,
    committer: Option<User>,
    commit: CommitOf,
    parents: Option<Vec<Parent>>,
}

#[derive(Deserialize)]
struct Parent {
    sha: String,
}

#[derive(Deserialize)]
struct CommitOf {
    message: String,
    author: Option<Person>,
    committer: Option<Person>,
}

#[derive(Default, Deserialize)]
struct Person {
    email: Option<String>,
    date: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Status {
    id: u64,
    context: String,
    #[serde(rename = "status")]
    state: String,
    creator: Option<User>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct BranchProtection {
    pub(super) rule_name: String,
    pub(super) required_approvals: u64,
    #[serde(default)]
    pub(super) priority: i64,
    #[serde(default)]
    pub(super) enable_push: bool,
    /// Of Gitea.
    #[serde(default)]
    pub(super) block_admin_merge_override: bool,
    /// Of Forgejo.
    #[serde(default)]
    pub(super) apply_to_admins: bool,
    pub(super) updated_at: Option<String>,
    #[serde(flatten)]
    pub(super) settings: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct Team {
    pub(super) id: u64,
    pub(super) name: String,
    permission: String,
    /// What the team may do with each part of a repository; what counts where it is neither owner nor administrator.
    #[serde(default)]
    units_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Permission {
    pub(super) permission: String,
}

#[derive(Deserialize)]
pub(super) struct DeployKey {
    pub(super) title: String,
    pub(super) read_only: bool,
}

/// In UTC, as facts have times. A time that is none (Gitea has the year 1 for "never") is none here.
pub(super) fn time(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    (time.as_second() > 0).then(|| provost_evidence::chain::format_time(time))
}

// === impl User ===

impl User {
    /// None of a deleted account, for which one stands that is everybody's.
    pub(super) fn login(self) -> Option<String> {
        (self.id > 0).then_some(self.login)
    }
}

// === impl Team ===

impl Team {
    /// What its members may do with the code.
    pub(super) fn level(&self) -> &str {
        match self.units_map.get("repo.code") {
            Some(level) if !matches!(self.permission.as_str(), "owner" | "admin") => level,
            _ => &self.permission,
        }
    }
}

// === impl ReviewOf ===

impl From<ReviewOf> for Review {
    fn from(review: ReviewOf) -> Self {
        Self {
            id: review.id,
            reviewer: review.user.and_then(User::login),
            state: match review.state.as_str() {
                "APPROVED" => ReviewState::Approved,
                "REQUEST_CHANGES" => ReviewState::ChangesRequested,
                "REQUEST_REVIEW" => ReviewState::Requested,
                _ => ReviewState::Comment,
            },
            submitted_at: review.submitted_at.as_deref().and_then(time),
            commit: review.commit_id.filter(|commit| !commit.is_empty()),
            is_dismissed: review.dismissed,
            is_official: review.official,
        }
    }
}

// === impl TimelineEntry ===

impl TimelineEntry {
    /// What it tells that is asked about.
    pub(super) fn event(self) -> Option<Event> {
        let kind = match self.kind.as_str() {
            "pull_push" => EventKind::Pushed,
            "dismiss_review" => EventKind::Dismissed(self.review_id),
            "change_target_branch" => EventKind::Retargeted,
            _ => return None,
        };
        Some(Event {
            id: self.id,
            kind,
            by: self.user.and_then(User::login),
            at: self.created_at.as_deref().and_then(time),
        })
    }
}

// === impl Proposed ===

impl From<Proposed> for ProposedCommit {
    fn from(proposed: Proposed) -> Self {
        let author = proposed.commit.author.unwrap_or_default();
        let committer = proposed.commit.committer.unwrap_or_default();
        let parents = proposed.parents.unwrap_or_default();
        Self {
            id: proposed.sha,
            author: proposed.author.and_then(User::login),
            committer: proposed.committer.and_then(User::login),
            author_email: author.email.unwrap_or_default(),
            committer_email: committer.email.unwrap_or_default(),
            authored_at: author.date.as_deref().and_then(time),
            message: proposed.commit.message,
            parents: parents.into_iter().map(|parent| parent.sha).collect(),
        }
    }
}

// === impl Status ===

impl From<Status> for Check {
    fn from(status: Status) -> Self {
        Self {
            id: status.id,
            context: status.context,
            state: status.state,
            by: status.creator.and_then(User::login),
            at: status.created_at.as_deref().and_then(time),
        }
    }
}
