//! Policy tests: `kyverno-test.yaml` suites as people have them, judged by the engine that enforces.
//!
//! ```text
//! kyverno-test.yaml ──Suite::parse──▶ Suite ──files()──▶ (the caller reads them) ──▶ Vec<File>
//!                                       └──────────────── judge(files, now) ──▶ Verdict: a Row for each
//!                                                         (expected entry, object, rule judged)
//! ```
//!
//! Guarantees: what a suite mocks (values, user, namespaces, answers of the API) is all that a rule sees; nothing is
//! fetched. Objects are converted as the suites' authors know it from Kyverno's command line (all numbers are
//! floats, every object has a namespace), here and nowhere else. A result is as expected only where it is equal;
//! a rule that says nothing, or that Provost does not do, is told apart from one that passes.

mod mocks;
mod object;
mod read;
mod selection;
mod subject;
mod tree;
mod trial;
mod values;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use provost_manifest::yaml::{self, Duplicates};

use crate::fault::{Fault, Place};
use crate::request::Operation;
use crate::result::{RuleResult, Status};
use mocks::Mocks;
use values::Values;

/// How many results a suite may expect.
pub const MAX_EXPECTATIONS: usize = 10_000;
/// How many objects a suite may hold.
pub const MAX_OBJECTS: usize = 10_000;
/// How many rows one suite may give; an entry that names no object is compared with all of them.
pub const MAX_ROWS: usize = 100_000;

/// A `kyverno-test.yaml` whose every field is understood.
#[derive(Debug)]
pub struct Suite {
    files: Vec<FileName>,
    values: Option<Values>,
    mocks: Mocks,
    expectations: Vec<Expectation>,
    notices: Vec<Fault>,
}

/// What a file of a suite holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Policies.
    Policies,
    /// Objects to judge.
    Resources,
    /// PolicyExceptions.
    Exceptions,
    /// Objects that are in the cluster.
    ClusterResources,
    /// The values that variables have.
    Values,
    /// The user who makes the requests.
    User,
    /// Objects of the global context entry with this number.
    GlobalContext(usize),
}

/// A file or folder that a suite names, relative to its own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// What it holds.
    pub role: Role,
    /// The path as it is written.
    pub path: String,
    /// Where it is written.
    pub place: Option<Place>,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// What it holds.
    pub role: Role,
    /// Its name in what is reported.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One entry of `results`: what rules are expected to say of objects.
#[derive(Debug)]
struct Expectation {
    /// `name` or `namespace/name`; the name alone counts.
    policy: String,
    /// As written, with or without the prefix of generated rules; `None` means every rule.
    rule: Option<String>,
    kind: Option<String>,
    selection: selection::Selection,
    operation: Option<Operation>,
    expected: Status,
    place: Option<Place>,
}

/// What a suite says in the end.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Every comparison, in the order of the suite's entries.
    pub rows: Vec<Row>,
    /// Why policies of the suite are invalid: the suite fails.
    pub invalid: Vec<Fault>,
    /// What could not be read, so that there is no telling.
    pub unjudged: Vec<Fault>,
    /// What is probably not meant: a name that no object bears, a rule that no policy has.
    pub notices: Vec<Fault>,
}

/// One comparison.
#[derive(Debug)]
pub struct Row {
    /// The policy, as the entry names it.
    pub policy: String,
    /// The rule as the entry names it; as it was executed, where the entry names none.
    pub rule: String,
    /// The object's kind.
    pub kind: String,
    /// The object's namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// What the entry expects.
    pub expected: Status,
    /// What came out.
    pub actual: Actual,
    /// Where the entry stands.
    pub place: Option<Place>,
}

/// What came out of one comparison.
#[derive(Clone, Debug)]
pub enum Actual {
    /// The rule judged the object.
    Judged(Arc<RuleResult>),
    /// The rule does not concern the object.
    None,
    /// Provost does not do what the rule does, for this reason.
    Unsupported(String),
    /// There was nothing to compare, for this reason: the policy is invalid or not there, or the object is not.
    Absent(String),
}

// === impl Suite ===

impl Suite {
    /// Reads a `kyverno-test.yaml`; `file` is its name in what is reported.
    pub fn parse(text: &str, file: &str) -> Result<Self, Fault> {
        read::suite(text, file)
    }

    /// The files that the suite names.
    pub fn files(&self) -> &[FileName] {
        &self.files
    }

    /// Judges the suite with the files that it names. `now` is what time functions see.
    pub fn judge(&self, files: &[File], now: jiff::Timestamp) -> Verdict {
        trial::judge(self, files, now)
    }
}

// === impl Verdict ===

impl Verdict {
    /// A suite that could not be judged at all.
    pub fn unjudged(fault: Fault) -> Self {
        Self {
            unjudged: vec![fault],
            ..Self::default()
        }
    }

    /// Whether every result is as expected and every policy valid, of what Provost does.
    pub fn holds(&self) -> bool {
        self.invalid.is_empty() && self.rows.iter().all(|row| row.ok() != Some(false))
    }
}

// === impl Row ===

impl Row {
    /// Whether the result is as expected; `None` where Provost does not do what the rule does.
    pub fn ok(&self) -> Option<bool> {
        match &self.actual {
            Actual::Judged(result) => Some(result.status == self.expected),
            Actual::None => Some(self.unverified()),
            Actual::Unsupported(_) => None,
            Actual::Absent(_) => Some(false),
        }
    }

    /// Whether it is as expected for no more reason than that the rule says nothing of the object.
    pub fn unverified(&self) -> bool {
        matches!(self.actual, Actual::None) && matches!(self.expected, Status::Pass | Status::Skip)
    }
}

// === impl Actual ===

impl Actual {
    /// `pass`, `fail`, `skip`, `warn`, `error`, `none` or `unsupported`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Judged(result) => result.status.word(),
            Self::None | Self::Absent(_) => "none",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// Why there is no result, in words.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unsupported(reason) | Self::Absent(reason) => Some(reason),
            Self::Judged(_) | Self::None => None,
        }
    }
}

// === impl Status ===

impl Status {
    const ALL: [Self; 5] = [Self::Pass, Self::Fail, Self::Warn, Self::Skip, Self::Error];

    /// Kyverno's word for it, `pass`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// Reads a file that must hold one document, and hands its root to `read`.
fn one_document<T>(
    text: &str,
    file: &str,
    duplicates: Duplicates,
    read: impl FnOnce(&crate::source::Cursor<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let file = Arc::from(file);
    let document = yaml::parse_one_with(text, duplicates)
        .map_err(|error| crate::parse::syntax_fault(&error, text, &file))?;
    let source = crate::source::Source::File {
        file,
        document: &document,
    };
    read(&crate::source::Cursor::new(&document.value, &source))
}
