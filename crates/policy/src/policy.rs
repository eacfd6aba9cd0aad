//! A policy as it was read: checked in full, its patterns compiled, immutable.

use std::sync::Arc;

use serde_json::Value;

use crate::fault::Fault;

/// A ClusterPolicy or Policy whose every field is understood.
#[derive(Clone, Debug)]
pub struct Policy {
    key: Arc<str>,
}

/// What a YAML stream held. A fault concerns one document; the others stand.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The good policies, in the order of the stream.
    pub policies: Vec<Policy>,
    /// Why documents are refused.
    pub faults: Vec<Fault>,
}

// === impl Policy ===

impl Policy {
    /// Reads a stream of policies; `file` is the name under which faults speak of it.
    pub fn parse(_text: &str, _file: &str) -> Parsed {
        Parsed::default()
    }

    /// Reads one policy that came as an object, from the cluster.
    pub fn from_object(_object: &Value) -> Result<Self, Vec<Fault>> {
        Err(Vec::new())
    }

    /// The name that results carry: `require-labels`, for a namespaced Policy `shop/require-labels`.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// `ClusterPolicy` or `Policy`.
    pub fn kind(&self) -> &'static str {
        "ClusterPolicy"
    }

    /// Whether it is evaluated in the webhook (`spec.admission`).
    pub fn admission(&self) -> bool {
        true
    }

    /// Whether it is evaluated in scans of existing objects (`spec.background`).
    pub fn background(&self) -> bool {
        true
    }

    /// Whether an error, or a webhook that does not answer, denies (`failurePolicy: Fail`).
    pub fn fails_closed(&self) -> bool {
        true
    }
}
