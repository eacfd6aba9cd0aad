//! Facts of changes: the rules that judge them, what they say, who signed them, what they undo, and the pull requests that
//! messages name.

use super::{Fact, FromCell};
use crate::table::{Cell, ColumnType, HasColumnType};

fact! {
    /// Rules that were in force before some step.
    Rule in "rules" by (rules) {
        /// The blob of .provost/rules.yaml, or `defaults`.
        rules: String,
        /// What the words of a change have to hold: `reason`, `ticket`, `impact`, `test` and `backOut`, joined by `; `.
        documentation: String,
        /// The regular expression that finds a ticket.
        ticket: String,
        /// How many people have to approve.
        approvals: u64,
        /// Whether somebody with no hand in it has to merge.
        separate_merger: bool,
    }
}

fact! {
    /// What the words that came with a step hold, by the rules in force: the messages of all its commits.
    Words in "words" by (step) {
        /// The step.
        step: String,
        /// Characters of all messages.
        characters: u64,
        /// Whether a subject says something.
        reason: bool,
        /// What is odd about the subject of the step: `empty`, `unfinished` (wip, fixup!), `generated` (as Git or a forge
        /// writes it).
        subject_flag: Option<String>,
        /// The tickets that are named.
        tickets: Option<String>,
        /// Whether a paragraph is about the impact.
        impact: bool,
        /// Whether one is about how it was tested.
        test: bool,
        /// Whether one is about how it is taken back.
        back_out: bool,
        /// What the rules ask for and is not there, joined by `; `.
        missing: Option<String>,
    }
}

fact! {
    /// A trailer of a commit's message.
    Trailer in "trailers" by (commit_id) {
        /// The commit.
        commit_id: String,
        /// Where it stands among the trailers.
        position: u64,
        /// Its key, in lower case.
        token: String,
        /// Its value.
        value: String,
    }
}

fact! {
    /// What a commit's signature is worth.
    Signature in "signatures" by (commit_id) {
        /// The commit.
        commit_id: String,
        /// `good`, `unknown key`, `expired`, `revoked`, `bad` or `unverifiable`; a commit that is not here has none.
        state: String,
        /// Whose key it is, as .provost/allowed_signers before the step says; only of a good one.
        signed_by: Option<String>,
        /// The key, or why it is no good.
        detail: Option<String>,
    }
}

fact! {
    /// A commit that undoes another.
    Revert in "reverts" by (commit_id) {
        /// The commit that undoes.
        commit_id: String,
        /// The step that it is part of.
        step: String,
        /// The commit that is undone.
        undoes: String,
        /// The step that this one was part of.
        undone_step: Option<String>,
        /// Whether its message says so.
        is_claimed: bool,
        /// `tree_equal` (the tree from before is back), `patch_inverse`, or none: then it undoes a part, or nothing.
        proof: Option<String>,
        /// Seconds from the undone step to this one, by the committers' dates.
        seconds: Option<u64>,
    }
}

fact! {
    /// A pull request that a commit's subject names.
    PullRequest in "pull_requests" by (commit_id) {
        /// The commit.
        commit_id: String,
        /// The number.
        number: u64,
        /// In which words: `merge` (a merge, "Merge pull request …"), `squash` (one parent, "… (#N)"), `titled merge`
        /// (a merge, "… (#N)"), `copied merge` (one parent, "Merge pull request …").
        named_by: String,
    }
}
