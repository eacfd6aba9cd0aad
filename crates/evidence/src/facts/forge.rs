//! What a forge told: pull requests, who had a hand in them, reviews, checks, protection and access; and who is who.

use super::{Fact, FromCell};
use crate::table::{Cell, ColumnType, HasColumnType};

fact! {
    /// The forge that was asked: one row, or none where none was.
    Forge in "forge" by () {
        /// The repository's URL.
        url: String,
        /// Its number on the forge, which stays when it is renamed.
        repository_id: Option<u64>,
        /// The branch that pull requests are merged into where nobody says otherwise.
        default_branch: Option<String>,
        /// Pull requests that it says were merged, of all times; none where the list could not be read.
        merged: Option<u64>,
        /// Whether its rules of protection could be read.
        has_protections: bool,
        /// The identities at the report's revision: the blob of .provost/identities.yaml, or `none` where there is no such
        /// file; no value where it can't be read.
        identities: Option<String>,
    }
}

fact! {
    /// A merged pull request, as the forge has it. People are logins.
    ForgePull in "forge_pulls" by (number) {
        /// Its number.
        number: u64,
        /// Its title.
        title: Option<String>,
        /// The branch that it was merged into.
        base: String,
        /// Who opened it.
        opened_by: Option<String>,
        /// When.
        opened_at: Option<String>,
        /// Who merged it.
        merged_by: Option<String>,
        /// When.
        merged_at: Option<String>,
        /// The commit that it became; of several, the last.
        merge_commit: Option<String>,
        /// The last commit that was proposed.
        head: Option<String>,
        /// How it got on to the line: `merge`, `rebase-merge`, `squash`, `rebase`, `fast-forward`; none where it isn't there.
        method: Option<String>,
        /// What merging its head gives, beside what is on the line: `equal`, `differs`, `conflicts` (Git can't merge it by
        /// itself), or `unknown` (the head isn't in the repository).
        content: String,
        /// When another branch was last chosen to merge into.
        retargeted_at: Option<String>,
        /// Labels, joined by `; `.
        labels: Option<String>,
        /// The rule of protection that is for its branch now.
        rule: Option<String>,
        /// The identities before it, as in forge.
        identities: Option<String>,
        /// Whether everything about it could be read.
        is_whole: bool,
    }
}

fact! {
    /// A step of the line that a pull request became.
    ForgePullStep in "forge_pull_steps" by (step) and (number) {
        /// The step.
        step: String,
        /// The pull request.
        number: u64,
    }
}

fact! {
    /// Somebody who had a hand in what a pull request proposed.
    ForgeContributor in "forge_contributors" by (number) {
        /// The pull request.
        number: u64,
        /// `opened`, `authored`, `committed`, `co-authored` or `pushed`.
        role: String,
        /// The login, where the forge knows the address to be an account's.
        login: Option<String>,
        /// The address, where a commit has one.
        email: Option<String>,
    }
}

fact! {
    /// A review of a merged pull request.
    ForgeReview in "forge_reviews" by (number) {
        /// The pull request.
        number: u64,
        /// Its id.
        review_id: u64,
        /// Who; none for an account that is gone.
        reviewer: Option<String>,
        /// `approved`, `changes`, `comment` or `requested` (somebody was asked); the first two also where it was dismissed
        /// since.
        state: String,
        /// When.
        submitted_at: Option<String>,
        /// The commit that was looked at.
        reviewed_commit: Option<String>,
        /// Whether it was dismissed.
        is_dismissed: bool,
        /// When it was last dismissed.
        dismissed_at: Option<String>,
        /// By whom.
        dismissed_by: Option<String>,
        /// Whether the forge lets this reviewer's approval count. It takes that back when the same person reviews again.
        is_official: bool,
        /// What was reviewed, beside what was merged: `same_sha`, `same_tree`, `base_merge_only` (nothing but merges of the
        /// branch itself came after it, as Git makes them), `stale`, or `unknown` (a commit that isn't in the repository).
        content_match: String,
    }
}

fact! {
    /// What was reported of the head of a merged pull request.
    ForgeCheck in "forge_checks" by (number) {
        /// The pull request.
        number: u64,
        /// The commit.
        commit_id: String,
        /// The report's id.
        check_id: u64,
        /// Which check.
        context: String,
        /// `success`, `failure`, `error`, `pending`, `warning` or `skipped`.
        state: String,
        /// Who reported it.
        reported_by: Option<String>,
        /// When.
        reported_at: Option<String>,
    }
}

fact! {
    /// A rule of protection, as it was when the forge was read.
    ForgeProtection in "forge_protections" by (pattern) {
        /// The branch, or the pattern of its name.
        pattern: String,
        /// Its place in the order in which rules are looked up.
        position: u64,
        /// How many approvals it asks for.
        required_approvals: u64,
        /// Whether administrators are held to it.
        holds_administrators: bool,
        /// Whether anybody may push past pull requests.
        lets_push: bool,
        /// When it was last edited.
        edited_at: Option<String>,
        /// Everything that it sets, by the forge's names.
        settings: String,
    }
}

fact! {
    /// What somebody may do in the repository, as it was when the forge was read.
    ForgeAccess in "forge_access" by (principal) {
        /// The login, or a deploy key's title.
        principal: String,
        /// `owner`, `admin`, `write`, `read` or `none`.
        level: String,
        /// `owner`, `direct`, `team NAME` or `deploy key`.
        path: String,
    }
}

fact! {
    /// Whose an account is, by some version of .provost/identities.yaml.
    IdentityLink in "identity_links" by (identities, system, account) {
        /// The version: a blob.
        identities: String,
        /// `forge`, `git-email` or `kubernetes`.
        system: String,
        /// The account; logins and addresses in lower case.
        account: String,
        /// The person.
        person: String,
        /// `human`, `bot` or `shared`.
        kind: String,
    }
}

fact! {
    /// An answer of the forge, which stands in the folder forge/.
    ForgeAnswer in "forge_answers" by (path) {
        /// What was asked for.
        path: String,
        /// The status.
        status: u64,
        /// SHA-256 of the answer; its file is forge/SHA256.json.
        sha256: String,
    }
}
