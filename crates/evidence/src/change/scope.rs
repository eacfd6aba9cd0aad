//! What our webhooks are asked about: without it nobody could say of a write that somebody should have been asked.

use std::collections::BTreeSet;

use crate::event::Boot;
use crate::witness::Subject;

/// What is asked about in every namespace, by group; an empty list is all of the group.
pub const EVERYWHERE: [(&str, &[&str]); 7] = [
    ("", &["namespaces"]),
    ("rbac.authorization.k8s.io", &[]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("argoproj.io", &["applications", "appprojects"]),
    ("kyverno.io", &[]),
    ("policies.kyverno.io", &[]),
    ("provost.dev", &[]),
];
/// The subresources that are asked about, beside objects themselves.
pub const SUBRESOURCES: [&str; 7] = [
    "scale",
    "ephemeralcontainers",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "eviction",
];

/// What a process asked about while it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    exempt: BTreeSet<String>,
    /// The namespaces that are witnessed; empty where all are that are not exempt.
    witnessed: BTreeSet<String>,
    /// Whether there is a witness webhook at all.
    has_witness: bool,
}

// === impl Scope ===

impl Scope {
    /// `None` where the process answers no reviews.
    pub(super) fn of(boot: &Boot) -> Option<Self> {
        boot.roles.iter().any(|role| role == "webhook").then(|| Self {
            exempt: boot.exempt_namespaces.iter().cloned().collect(),
            witnessed: boot.witness_namespaces.iter().cloned().collect(),
            has_witness: boot.witness,
        })
    }

    /// Why nobody is asked about the object; `None` where somebody is.
    pub(super) fn excludes(&self, object: &Subject) -> Option<&'static str> {
        if !self.has_witness {
            return Some("there is no witness webhook");
        }
        if !object.subresource.is_empty() && !SUBRESOURCES.contains(&object.subresource.as_str()) {
            return Some("nobody asks about this subresource");
        }
        let everywhere = EVERYWHERE.iter().any(|(group, resources)| {
            *group == object.group && (resources.is_empty() || resources.contains(&object.resource.as_str()))
        });
        if everywhere && object.subresource.is_empty() {
            return None;
        }
        if object.namespace.is_empty() {
            return Some("it is not in a namespace");
        }
        if self.exempt.contains(&object.namespace) {
            return Some("its namespace is exempt");
        }
        if !self.witnessed.is_empty() && !self.witnessed.contains(&object.namespace) {
            return Some("its namespace is not witnessed");
        }
        None
    }
}
