//! One rule, compiled.

use std::sync::Arc;

use provost_expression::Expression;

use crate::action::Actions;
use crate::cel::Cel;
use crate::conditions::Conditions;
use crate::context::Entry;
use crate::matching::Match;
use crate::pattern::{Numbers, Pattern};
use crate::pod_security::PodSecurity;
use crate::template::{Template, TextTemplate};

/// A validate rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) matches: Match,
    pub(crate) exclude: Option<Match>,
    pub(crate) context: Vec<Entry>,
    pub(crate) preconditions: Option<Conditions>,
    pub(crate) actions: Actions,
    /// Whether an update is let in where the old object already failed (`allowExistingViolations`).
    pub(crate) allows_existing: bool,
    /// The author's words; may be empty.
    pub(crate) message: TextTemplate,
    pub(crate) check: Check,
    /// What its results carry into reports (`reportProperties`).
    pub(crate) properties: Vec<(String, TextTemplate)>,
    /// Whether it speaks of the user's roles.
    pub(crate) wants_roles: bool,
}

/// What a rule checks.
#[derive(Debug)]
pub(crate) enum Check {
    /// The object is like this pattern.
    Pattern(PatternSource),
    /// The object is like one of these patterns.
    AnyPattern(Vec<PatternSource>),
    /// These conditions do not hold.
    Deny(Conditions),
    /// Every element of these lists passes a check of its own.
    Foreach(Vec<Foreach>),
    /// Pods are as the Pod Security Standards want them.
    PodSecurity(PodSecurity),
    /// Expressions in CEL are true.
    Cel(Cel),
}

/// A pattern, compiled now or, where it holds variables, for each object.
#[derive(Debug)]
pub(crate) enum PatternSource {
    Fixed(Pattern),
    Variable(Template, Numbers),
}

/// A check of each element of a list.
#[derive(Debug)]
pub(crate) struct Foreach {
    pub(crate) list: Expression,
    pub(crate) context: Vec<Entry>,
    pub(crate) preconditions: Option<Conditions>,
    /// Whether the element, and not the whole object, is what a pattern looks at.
    pub(crate) element_scope: Option<bool>,
    pub(crate) check: Check,
}

impl Rule {
    /// Whether nothing in it looks at the context, so that none has to be made.
    pub(crate) fn is_static(&self) -> bool {
        let is_fixed = |pattern: &PatternSource| matches!(pattern, PatternSource::Fixed(_));
        let check = match &self.check {
            Check::Pattern(pattern) => is_fixed(pattern),
            Check::AnyPattern(patterns) => patterns.iter().all(is_fixed),
            Check::Deny(_) | Check::Foreach(_) => false,
            // CEL has a scope of its own.
            Check::PodSecurity(_) | Check::Cel(_) => true,
        };
        let mut texts = self
            .properties
            .iter()
            .map(|(_, text)| text)
            .chain([&self.message]);
        check && self.preconditions.is_none() && !texts.any(TextTemplate::has_variables)
    }

    /// The names of context entries, of the rule and of its foreach, whose values are fetched.
    pub(crate) fn fetched_names(&self) -> Vec<&str> {
        fn add<'r>(context: &'r [Entry], check: Option<&'r Check>, names: &mut Vec<&'r str>) {
            let fetched = context.iter().filter(|entry| entry.is_fetched());
            names.extend(fetched.map(|entry| entry.name.as_str()));
            if let Some(Check::Foreach(entries)) = check {
                for entry in entries {
                    add(&entry.context, Some(&entry.check), names);
                }
            }
        }
        let mut names = Vec::new();
        add(&self.context, Some(&self.check), &mut names);
        names
    }

    /// The name of the rule that this one was generated from; its own where it was written.
    pub(crate) fn written_name(&self) -> &str {
        let name = &*self.name;
        name.strip_prefix("autogen-cronjob-")
            .or_else(|| name.strip_prefix("autogen-"))
            .unwrap_or(name)
    }
}

impl Check {
    /// Whether the check says something of a deletion.
    pub(crate) fn judges_deletions(&self) -> bool {
        match self {
            Self::Pattern(_) | Self::AnyPattern(_) | Self::PodSecurity(_) => false,
            Self::Deny(_) | Self::Foreach(_) | Self::Cel(_) => true,
        }
    }
}
