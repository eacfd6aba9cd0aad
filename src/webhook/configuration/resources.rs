//! Which resources the kinds of policies are, and which of them a cluster needs to recover.

use std::collections::BTreeMap;

use provost_manifest::wildcard::{Wildcard, has_wildcard};
use provost_policy::MatchedKind;

use crate::cluster::{Kind, Kinds};

/// What a cluster writes to come back to life, by group; `*` is all of a group.
///
/// A policy for `*` is not asked about them, and one that names them never under Fail: a node that registers, a
/// certificate, a volume that is attached, a policy that is corrected may be what we are waiting for ourselves.
const RECOVERY: [(&str, &[&str]); 14] = [
    ("", &["events", "nodes", "persistentvolumes"]),
    ("admissionregistration.k8s.io", &["*"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("authentication.k8s.io", &["*"]),
    ("authorization.k8s.io", &["*"]),
    ("certificates.k8s.io", &["*"]),
    ("coordination.k8s.io", &["*"]),
    ("events.k8s.io", &["events"]),
    ("flowcontrol.apiserver.k8s.io", &["*"]),
    ("kyverno.io", &["*"]),
    ("networking.k8s.io", &["ipaddresses", "servicecidrs"]),
    ("policies.kyverno.io", &["*"]),
    ("resource.k8s.io", &["resourceslices"]),
    ("storage.k8s.io", &["csinodes", "volumeattachments"]),
];

/// What `kubectl debug` adds to a running pod comes with the whole Pod as object: what is said of Pods is said of it.
const EPHEMERAL_CONTAINERS: &str = "ephemeralcontainers";

/// A resource in the words of a configuration's rules, where `*` is any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    pub(super) group: String,
    /// The name in URLs, `pods`.
    pub(super) plural: String,
    pub(super) version: String,
    /// `exec`; empty for the objects themselves.
    pub(super) subresource: String,
}

/// Whether a cluster needs writes of this resource, by group and name in URLs, to recover.
pub fn is_needed_to_recover(group: &str, plural: &str) -> bool {
    let of_group = RECOVERY.iter().find(|(needed, _)| *needed == group);
    of_group.is_some_and(|(_, plurals)| plurals.iter().any(|needed| [plural, "*"].contains(needed)))
}

/// [`RECOVERY`], for a condition of a webhook that has all resources.
pub(super) fn needed_to_recover() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    RECOVERY.into_iter()
}

/// The resources that a kind of a policy means, each in one version: the apiserver converts from the others
/// (`matchPolicy: Equivalent`). A wildcard means nothing that is needed to recover.
pub(super) fn resources(kind: &MatchedKind, served: &Kinds) -> Vec<Resource> {
    if kind.kind == "*" {
        return any_kind(kind);
    }
    let by_wildcard = has_wildcard(&kind.kind);
    let mut candidates: Vec<&Kind> = served
        .in_all_versions()
        .filter(|candidate| is_meant(kind, candidate))
        .filter(|candidate| !by_wildcard || !is_needed_to_recover(&candidate.gvk.group, &candidate.plural))
        .collect();
    candidates.sort_by_key(|candidate| (!served.prefers(candidate), &candidate.gvk));
    let mut chosen: BTreeMap<(&str, &str), &Kind> = BTreeMap::new();
    for candidate in candidates {
        let place = (candidate.gvk.group.as_str(), candidate.plural.as_str());
        chosen.entry(place).or_insert(candidate);
    }
    let mut resources = Vec::new();
    for chosen in chosen.into_values() {
        for subresource in subresources(kind, chosen) {
            resources.push(Resource {
                group: chosen.gvk.group.clone(),
                plural: chosen.plural.clone(),
                version: chosen.gvk.version.clone(),
                subresource,
            });
        }
    }
    resources
}

/// Every kind, also those that are defined later. Rules have no other wildcard than `*`.
fn any_kind(kind: &MatchedKind) -> Vec<Resource> {
    let widened = |part: &str| {
        let part = if has_wildcard(part) { "*" } else { part };
        part.to_owned()
    };
    let any = Resource {
        group: widened(&kind.group),
        plural: "*".to_owned(),
        version: widened(&kind.version),
        subresource: widened(&kind.subresource),
    };
    if any.is_needed_to_recover() {
        return Vec::new();
    }
    let mut resources = vec![any];
    if kind.subresource.is_empty() && matches(&kind.group, "") && matches(&kind.version, "v1") {
        resources.push(Resource {
            group: String::new(),
            plural: "pods".to_owned(),
            version: "v1".to_owned(),
            subresource: EPHEMERAL_CONTAINERS.to_owned(),
        });
    }
    resources
}

fn is_meant(kind: &MatchedKind, candidate: &Kind) -> bool {
    matches(&kind.group, &candidate.gvk.group)
        && matches(&kind.version, &candidate.gvk.version)
        && matches(&kind.kind, &candidate.gvk.kind)
}

/// The subresources that are meant, `""` among them for the objects themselves.
fn subresources(kind: &MatchedKind, chosen: &Kind) -> Vec<String> {
    let mut names: Vec<String> = chosen.subresources.clone();
    names.push(String::new());
    let adds_containers = |name: &str| {
        let is_pod = chosen.gvk.group.is_empty() && chosen.gvk.kind == "Pod";
        is_pod && kind.subresource.is_empty() && name == EPHEMERAL_CONTAINERS
    };
    names.retain(|name| matches(&kind.subresource, name) || adds_containers(name));
    names.sort();
    names
}

/// A pattern over the bounds of wildcards matches nothing: no policy that was understood holds one.
fn matches(pattern: &str, text: &str) -> bool {
    Wildcard::new(pattern).is_ok_and(|wildcard| wildcard.matches(text))
}

// === impl Resource ===

impl Resource {
    /// As rules have it: `pods`, `pods/exec`, `*/*`.
    pub(super) fn name(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.clone()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }

    /// Whether it is every kind.
    pub(super) fn is_any(&self) -> bool {
        self.plural == "*"
    }

    pub(super) fn is_needed_to_recover(&self) -> bool {
        is_needed_to_recover(&self.group, &self.plural)
    }

    /// What it is whatever the version and subresource.
    pub(super) fn family(&self) -> (&str, &str) {
        (&self.group, &self.plural)
    }
}
