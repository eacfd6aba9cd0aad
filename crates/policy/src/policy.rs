//! A policy as it was read: checked in full, compiled, immutable.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_expression::cel::Program;
use serde_json::Value;

use crate::action::Actions;
use crate::context::GlobalEntry;
use crate::exception::Exception;
use crate::fault::{Fault, Place};
use crate::parse;
use crate::rule::Rule;
use crate::source::{Cursor, Source};

/// A ClusterPolicy or Policy whose every field is understood.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that policies have under this name"
)]
pub struct Policy {
    pub(crate) kind: &'static str,
    pub(crate) key: Arc<str>,
    /// The namespace that a namespaced Policy is confined to.
    pub(crate) namespace: Option<String>,
    /// Where it stands, for a policy that came from a file.
    pub(crate) place: Option<Place>,
    /// Name, annotations that count, and spec: what the digest of a set is about.
    pub(crate) canonical: Value,
    pub(crate) admission: bool,
    pub(crate) background: bool,
    pub(crate) fails_closed: bool,
    /// The policy looks only at requests of which all of these are true.
    pub(crate) match_conditions: Arc<[Program]>,
    pub(crate) timeout_seconds: Option<u8>,
    /// Whether a failure counts as one (annotation `policies.kyverno.io/scored`).
    pub(crate) scored: bool,
    /// Whether the first pass or fail ends the policy (`applyRules: One`).
    pub(crate) first_rule_only: bool,
    pub(crate) actions: Actions,
    /// The rules as they are written.
    pub(crate) written: Vec<Arc<Rule>>,
    /// For each kind of pod controller, the rules that judge it instead.
    pub(crate) generated: BTreeMap<String, Vec<Arc<Rule>>>,
}

/// What a YAML stream held. A fault concerns one document; the others stand.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The good policies, in the order of the stream.
    pub policies: Vec<Policy>,
    /// The good exceptions, in the order of the stream.
    pub exceptions: Vec<Exception>,
    /// The good entries of the global context, in the order of the stream.
    pub globals: Vec<GlobalEntry>,
    /// Why documents are refused.
    pub faults: Vec<Fault>,
}

// === impl Policy ===

impl Policy {
    /// Reads a stream of policies; `file` is the name under which faults speak of it.
    pub fn parse(text: &str, file: &str) -> Parsed {
        parse::stream(text, file)
    }

    /// Reads one policy that came as an object, from the cluster.
    pub fn from_object(object: &Value) -> Result<Self, Vec<Fault>> {
        parse::document(&Cursor::new(object, &Source::Object))
    }

    /// The name that results carry: `require-labels`, for a namespaced Policy `shop/require-labels`.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// `ClusterPolicy` or `Policy`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether it is evaluated in the webhook (`spec.admission`). A set for the webhook is compiled of these.
    pub fn admission(&self) -> bool {
        self.admission
    }

    /// Whether it is evaluated in scans of existing objects (`spec.background`). A set for scans is compiled of these.
    pub fn background(&self) -> bool {
        self.background
    }

    /// Whether an error, or a webhook that does not answer, denies (`failurePolicy: Fail`).
    pub fn fails_closed(&self) -> bool {
        self.fails_closed
    }

    /// How long the apiserver is to wait for its verdict, 1 to 30 seconds; `None` where the policy does not say.
    pub fn timeout_seconds(&self) -> Option<u8> {
        self.timeout_seconds
    }

    /// The conditions in CEL on requests, as they are written (`matchConditions`): for the webhook's own.
    pub fn match_conditions(&self) -> impl Iterator<Item = &str> {
        self.match_conditions.iter().map(Program::text)
    }

    /// Where it was read; `None` for a policy from the cluster.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The names of its rules, as written.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(|rule| &*rule.name)
    }

    /// Its rules, written and generated.
    pub(crate) fn all_rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.written.iter().chain(self.generated.values().flatten())
    }

    /// Whether the other one demands the same under the same name, wherever it was read.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }

    /// The rules that judge objects of a kind.
    pub(crate) fn rules_for(&self, kind: &str) -> impl Iterator<Item = &Arc<Rule>> {
        let generated = self.generated.get(kind);
        self.written
            .iter()
            .filter(move |rule| generated.is_none() || !rule.name.starts_with("autogen-"))
            .chain(generated.into_iter().flatten())
    }
}
