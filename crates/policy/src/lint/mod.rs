//! What a policy says and probably does not mean.
//!
//! ```text
//! YAML ──parse──▶ refused: unknown fields, names that nobody has     (lint `refused`)
//!            └──▶ read ──▶ one file here for each other lint
//! ```
//!
//! A finding stands at its place in the file. A [`Level::Note`] is worth knowing and may well be meant (a kind of a
//! custom resource, a rule that Provost does not do); all else is probably a mistake. Lints are silent where they are
//! not sure.

mod cost;
mod covers;
mod kinds;
mod match_all;
mod missing;
mod shadow;
mod undefined;

use std::sync::Arc;

use provost_manifest::diagnostic::{Diagnostic, Level};
use provost_manifest::yaml::{self, Position};

use crate::fault::Fault;
use crate::parse;
use crate::policy::Policy;
use crate::rule::Rule;
use crate::source::{Cursor, Source};

/// What a lint is about; its name is stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lint {
    /// The policy is refused: a field that the language does not have, a variable that nobody sets, broken YAML.
    Refused,
    /// A kind that is not built in, or that nothing has.
    UnknownKind,
    /// A rule that concerns nothing.
    NeverMatches,
    /// A rule that an earlier one leaves nothing to do.
    Shadowed,
    /// A variable or a function that does not exist.
    Undefined,
    /// A check that is content where the field is missing.
    PassesWhereMissing,
    /// Work that grows faster than the object.
    Cost,
}

/// Something worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which lint found it.
    pub lint: Lint,
    /// What it found, and where.
    pub diagnostic: Diagnostic,
}

/// A policy that was read, beside the document that it was read from.
struct Subject<'d> {
    policy: &'d Policy,
    spec: Cursor<'d>,
    rules: Vec<(Cursor<'d>, &'d Rule)>,
}

/// Collects the findings of one file.
struct Findings<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<Finding>,
}

/// Looks at every policy of a YAML stream; `file` is the name under which findings speak of it. Findings are in the
/// order of the text.
pub fn lint(text: &str, file: &str) -> Vec<Finding> {
    let mut findings = Findings {
        file,
        text,
        found: Vec::new(),
    };
    let name: Arc<str> = Arc::from(file);
    for document in yaml::parse_stream(text) {
        match document {
            Ok(document) => {
                let source = Source::File {
                    file: Arc::clone(&name),
                    document: &document,
                };
                findings.look_at(&Cursor::new(&document.value, &source));
            }
            Err(error) => findings.refused(&parse::syntax_fault(&error, text, &name)),
        }
    }
    findings.found.sort_by_key(|finding| {
        let place = finding.diagnostic.place.as_ref();
        place.map(|place| (place.position.line, place.position.column))
    });
    findings.found
}

// === impl Lint ===

impl Lint {
    /// The name, such as `never-matches`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::UnknownKind => "unknown-kind",
            Self::NeverMatches => "never-matches",
            Self::Shadowed => "shadowed",
            Self::Undefined => "undefined",
            Self::PassesWhereMissing => "passes-where-missing",
            Self::Cost => "cost",
        }
    }
}

// === impl Findings ===

impl Findings<'_> {
    fn look_at(&mut self, root: &Cursor<'_>) {
        let is_of = |name: &str| root.get("kind").is_some_and(|kind| kind.value() == name);
        if is_of("PolicyException") || is_of("GlobalContextEntry") {
            let read = if is_of("PolicyException") {
                parse::exception(root).map(drop)
            } else {
                parse::global_entry(root).map(drop)
            };
            if let Err(fault) = read {
                self.refused(&fault);
            }
            return;
        }
        match parse::document(root) {
            Ok(policy) => {
                if let Some(subject) = Subject::new(root, &policy) {
                    self.look_at_policy(&subject);
                }
            }
            Err(faults) => faults.iter().for_each(|fault| self.refused(fault)),
        }
    }

    fn look_at_policy(&mut self, subject: &Subject<'_>) {
        let from = self.found.len();
        shadow::lint(subject, self);
        for (cursor, rule) in &subject.rules {
            let from = self.found.len();
            kinds::lint(cursor, self);
            match_all::lint(cursor, rule, subject.policy, self);
            undefined::lint(cursor, self);
            missing::lint(cursor, self);
            cost::lint(cursor, self);
            let label = format!("rule \"{}\"", rule.name);
            self.label(from, &label);
        }
        let policy = subject.policy;
        for finding in &mut self.found[from..] {
            let label = &mut finding.diagnostic.label;
            *label = format!("{label} of {} {}", policy.kind, policy.key);
        }
    }

    /// Says of the findings from `from` on what they concern.
    fn label(&mut self, from: usize, label: &str) {
        for finding in &mut self.found[from..] {
            label.clone_into(&mut finding.diagnostic.label);
        }
    }

    fn refused(&mut self, fault: &Fault) {
        let level = if fault.is_unsupported() {
            Level::Note
        } else {
            Level::Error
        };
        self.add(Lint::Refused, level, fault, None);
    }

    /// Adds what `fault` says, and the advice that comes with it.
    fn add(&mut self, lint: Lint, level: Level, fault: &Fault, advice: Option<&str>) {
        let mut diagnostic = Diagnostic::new(level, fault.message.as_str()).label(fault.subject.as_str());
        if let Some(place) = &fault.place {
            let position = Position {
                line: place.line,
                column: place.column,
                length: place.width,
            };
            diagnostic = diagnostic.at(self.file, self.text, position);
        }
        if let Some(advice) = advice {
            diagnostic = diagnostic.note(advice);
        }
        self.found.push(Finding { lint, diagnostic });
    }

    fn warn(&mut self, lint: Lint, fault: &Fault, advice: &str) {
        self.add(lint, Level::Warning, fault, Some(advice));
    }

    fn note(&mut self, lint: Lint, fault: &Fault, advice: &str) {
        self.add(lint, Level::Note, fault, Some(advice));
    }
}

// === impl Subject ===

impl<'d> Subject<'d> {
    fn new(root: &Cursor<'d>, policy: &'d Policy) -> Option<Self> {
        let spec = root.get("spec")?;
        let rules = spec.get("rules")?.list().ok()?;
        Some(Self {
            policy,
            spec,
            rules: rules
                .into_iter()
                .zip(policy.written.iter().map(|rule| &**rule))
                .collect(),
        })
    }
}

/// The items of the list below `key`; none where there is no list.
fn items<'d>(owner: &Cursor<'d>, key: &str) -> Vec<Cursor<'d>> {
    let list = owner.get(key).map(|list| list.list());
    list.and_then(Result::ok).unwrap_or_default()
}

/// The children of a map; none of anything else.
fn children<'d>(owner: &Cursor<'d>) -> Vec<(&'d str, Cursor<'d>)> {
    owner.children().unwrap_or_default()
}

/// The filters of a match or exclude block, as they are written.
fn filters<'d>(block: &Cursor<'d>) -> Vec<Cursor<'d>> {
    if block.get("any").is_none() && block.get("all").is_none() {
        return vec![block.clone()];
    }
    [items(block, "any"), items(block, "all")].concat()
}

#[cfg(test)]
mod tests;
