//! One rule, compiled.

use std::sync::Arc;

use crate::action::Actions;
use crate::matching::Match;
use crate::pattern::Pattern;

/// A validate rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) matches: Match,
    pub(crate) exclude: Option<Match>,
    pub(crate) actions: Actions,
    /// Whether an update is let in where the old object already failed (`allowExistingViolations`).
    pub(crate) allows_existing: bool,
    /// The author's words; may be empty.
    pub(crate) message: String,
    pub(crate) check: Check,
}

/// What a rule checks.
#[derive(Debug)]
pub(crate) enum Check {
    /// The object is like this pattern.
    Pattern(Pattern),
    /// The object is like one of these patterns.
    AnyPattern(Vec<Pattern>),
}

impl Check {
    /// Whether the check says something of a deletion.
    pub(crate) fn judges_deletions(&self) -> bool {
        match self {
            Self::Pattern(_) | Self::AnyPattern(_) => false,
        }
    }
}
