//! What judges writes outside of the webhook: by the same policies, inputs and exemptions, so that the verdict is its.

use std::collections::BTreeSet;
use std::sync::Arc;

use provost_policy::{Request, RuleResult};

use super::{ExceptionNamespaces, Fetcher, Policies, Snapshot, judge};
use crate::ledger::Ledger;

/// The policies in force, where their inputs come from, and where nobody is judged. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    policies: Arc<Policies>,
    fetcher: Fetcher,
    exempt_namespaces: Arc<BTreeSet<String>>,
}

// === impl Admission ===

impl Admission {
    /// What a webhook with these judges by.
    pub fn new(policies: Arc<Policies>, fetcher: Fetcher, exempt_namespaces: BTreeSet<String>) -> Self {
        Self {
            policies,
            fetcher,
            exempt_namespaces: Arc::new(exempt_namespaces),
        }
    }

    /// No policy at all.
    pub fn none() -> Self {
        let policies = Policies::new(Ledger::none(), [], ExceptionNamespaces::default());
        Self::new(Arc::new(policies), Fetcher::default(), BTreeSet::new())
    }

    /// The policies in force now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.policies.current()
    }

    /// Tells each time that policies were read again.
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<()> {
        self.policies.subscribe()
    }

    /// What the rules of `snapshot` say of the request; nothing where its namespace is exempt. Inputs that they need are
    /// fetched as the webhook fetches them.
    pub async fn judge(&self, snapshot: &Snapshot, request: &Request<'_>, seed: u64) -> Vec<RuleResult> {
        if snapshot.set.policies().is_empty() || self.exempt_namespaces.contains(request.namespace) {
            return Vec::new();
        }
        judge(snapshot, request, &self.fetcher, seed).await
    }
}
