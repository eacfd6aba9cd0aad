//! PolicyExceptions: rules that are skipped for what they describe.

use std::sync::Arc;

use provost_expression::Budget;
use provost_manifest::wildcard::Wildcard;
use serde_json::Value;

use crate::conditions::Conditions;
use crate::context::View;
use crate::fault::{Fault, Place};
use crate::matching::{Halt, Match, Target};
use crate::parse;
use crate::pod_security::Exclude;
use crate::source::{Cursor, Source};

/// A PolicyException whose every field is understood.
#[derive(Clone, Debug)]
pub struct Exception {
    pub(crate) namespace: String,
    pub(crate) key: Arc<str>,
    pub(crate) place: Option<Place>,
    /// Name and spec: what the digest of a set is about.
    pub(crate) canonical: Value,
    pub(crate) targets: Vec<ExceptedRules>,
    pub(crate) matches: Option<Arc<Match>>,
    pub(crate) conditions: Option<Arc<Conditions>>,
    /// The controls of Pod Security that it excuses; where there are none, it excuses whole rules.
    pub(crate) controls: Vec<Exclude>,
}

/// Rules of one policy.
#[derive(Clone, Debug)]
pub(crate) struct ExceptedRules {
    /// The policy's key, exactly.
    pub(crate) policy: String,
    /// Wildcards over the names of rules as they are executed, those of generated rules too.
    pub(crate) rules: Vec<Wildcard>,
}

// === impl Exception ===

impl Exception {
    /// Reads one exception that came as an object, from the cluster.
    pub fn from_object(object: &Value) -> Result<Self, Fault> {
        parse::exception(&Cursor::new(object, &Source::Object))
    }

    /// `namespace/name`
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Its namespace: whoever compiles a set leaves out exceptions of namespaces that may hold none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where it was read; `None` for an exception from the cluster.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    pub(crate) fn names(&self, policy: &str, rule: &str) -> bool {
        self.targets.iter().any(|target| {
            target.policy == policy && target.rules.iter().any(|wildcard| wildcard.matches(rule))
        })
    }

    /// Whether it excuses a target. Conditions that cannot be decided excuse nothing.
    pub(crate) fn excuses(
        &self,
        target: &Target<'_>,
        view: &View<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Halt> {
        let Some(matches) = &self.matches else {
            return Ok(false);
        };
        let decided = matches
            .excuses(target)
            .and_then(|matched| match &self.conditions {
                Some(conditions) if matched => Ok(conditions.decide(view, budget)?.holds),
                _ => Ok(matched),
            });
        match decided {
            Err(Halt::Error(_)) => Ok(false),
            decided => decided,
        }
    }
}
