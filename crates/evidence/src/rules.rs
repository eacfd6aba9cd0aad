//! The organisation's rule as data: `.provost/rules.yaml` of its repository. A change is judged by the version that was
//! in force before it, so that nobody changes the rule and what it judges in one step. What isn't said has a default,
//! and where there is no file all are defaults.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use provost_manifest::yaml;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the rules are.
pub const PATH: &str = ".provost/rules.yaml";
/// The version of the form in which they are written.
pub const VERSION: &str = "provost.dev/rules/v1";

/// The rules by which changes are judged.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rules {
    /// `provost.dev/rules/v1`.
    pub version: String,
    /// What the words that come with a change have to hold.
    #[serde(default)]
    pub documentation: Documentation,
    /// Who has to look at a change.
    #[serde(default)]
    pub review: Review,
}

/// Who has to look at a change, and who may merge it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Review {
    /// How many people, none of them with a hand in it, have to approve a change before it is merged; by default one.
    pub approvals: NonZeroU32,
    /// Whether somebody with no hand in it has to merge it; by default not.
    pub separate_merger: bool,
}

/// What the words that come with a change have to hold.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Documentation {
    /// What every change needs; by default its reason.
    pub required: BTreeSet<Mark>,
    /// A regular expression that finds a ticket; by default `\b[A-Z][A-Z0-9]{1,9}-[0-9]+\b`.
    pub ticket: String,
    /// Words that begin the paragraph about the impact.
    pub impact: Vec<String>,
    /// Words that begin the paragraph about how it was tested.
    pub test: Vec<String>,
    /// Words that begin the paragraph about how it is taken back.
    pub back_out: Vec<String>,
}

/// What the words that come with a change may hold.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// Why: a subject that says something.
    Reason,
    /// A ticket.
    Ticket,
    /// What it affects.
    Impact,
    /// How it was tested.
    Test,
    /// How it is taken back.
    BackOut,
}

/// Why rules could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are not in the form.
    #[error("these are no rules as {VERSION} has them: {0}")]
    Form(String),
    /// They are of another version.
    #[error("they are of version {0:?}; this program reads {VERSION}")]
    Version(String),
}

// === impl Rules ===

impl Rules {
    /// Reads the rules.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let form = |reason: &dyn std::fmt::Display| Error::Form(reason.to_string());
        let mut document = yaml::parse_one(text).map_err(|error| form(&error))?;
        let rules: Self = serde_json::from_value(document.value.take()).map_err(|error| form(&error))?;
        if rules.version != VERSION {
            return Err(Error::Version(rules.version));
        }
        Ok(rules)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            version: VERSION.to_owned(),
            documentation: Documentation::default(),
            review: Review::default(),
        }
    }
}

// === impl Review ===

impl Default for Review {
    fn default() -> Self {
        Self {
            approvals: NonZeroU32::MIN,
            separate_merger: false,
        }
    }
}

// === impl Documentation ===

impl Default for Documentation {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            required: BTreeSet::from([Mark::Reason]),
            ticket: r"\b[A-Z][A-Z0-9]{1,9}-[0-9]+\b".to_owned(),
            impact: words(&["impact", "risk"]),
            test: words(&["test", "tested", "testing", "test plan"]),
            back_out: words(&["back-out", "backout", "rollback", "roll back"]),
        }
    }
}

// === impl Mark ===

impl Mark {
    /// As the rules write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Ticket => "ticket",
            Self::Impact => "impact",
            Self::Test => "test",
            Self::BackOut => "backOut",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let rules =
            Rules::parse("version: provost.dev/rules/v1\ndocumentation: {required: [ticket, backOut]}")
                .unwrap();
        assert_eq!(rules.documentation.required, [Mark::Ticket, Mark::BackOut].into());
        assert_eq!(rules.documentation.ticket, Documentation::default().ticket);
        let two = Rules::parse("version: provost.dev/rules/v1\nreview: {approvals: 2}").unwrap();
        assert_eq!(
            (two.review.approvals.get(), two.review.separate_merger),
            (2, false)
        );
        assert_eq!(
            Rules::parse("version: provost.dev/rules/v1").unwrap(),
            Rules::default()
        );
    }

    #[rstest]
    #[case::version(
        "version: v7",
        "they are of version \"v7\"; this program reads provost.dev/rules/v1"
    )]
    #[case::misspelt(
        "version: provost.dev/rules/v1\nreqiured: 1",
        "these are no rules as provost.dev/rules/v1 has them"
    )]
    #[case::nobody("version: provost.dev/rules/v1\nreview: {approvals: 0}", "these are no rules")]
    #[case::unknown_mark(
        "version: provost.dev/rules/v1\ndocumentation: {required: [poem]}",
        "these are no rules"
    )]
    fn rules_are_refused_with_the_reason(#[case] text: &str, #[case] reason: &str) {
        let error = Rules::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }

    #[test]
    fn the_json_schema_that_is_kept_is_the_one_of_the_rules() {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../reports/schemas/rules.v1.json");
        let schema = format!("{:#}\n", schemars::schema_for!(Rules).to_value());
        assert_eq!(
            std::fs::read_to_string(kept).unwrap(),
            schema,
            "{kept} should hold:\n{schema}"
        );
    }
}
