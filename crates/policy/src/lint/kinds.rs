//! Kinds that nothing has: misspelt, in another group, or read otherwise than they look.

use super::{Findings, Lint, filters, items};
use crate::matching::KindSelector;
use crate::source::{Cursor, nearest};

/// The kinds of Kubernetes, by group; those of namespaces and those of the cluster apart.
const BUILT_IN: [(&str, &[&str], &[&str]); 22] = [
    (
        "",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
            "PodExecOptions",
            "PodAttachOptions",
            "PodPortForwardOptions",
            "PodProxyOptions",
            "ServiceProxyOptions",
        ],
        &[
            "ComponentStatus",
            "Namespace",
            "Node",
            "NodeProxyOptions",
            "PersistentVolume",
        ],
    ),
    (
        "apps",
        &[
            "ControllerRevision",
            "DaemonSet",
            "Deployment",
            "ReplicaSet",
            "StatefulSet",
        ],
        &[],
    ),
    ("batch", &["CronJob", "Job"], &[]),
    ("autoscaling", &["HorizontalPodAutoscaler", "Scale"], &[]),
    (
        "policy",
        &["Eviction", "PodDisruptionBudget"],
        &["PodSecurityPolicy"],
    ),
    (
        "extensions",
        &[
            "DaemonSet",
            "Deployment",
            "Ingress",
            "NetworkPolicy",
            "ReplicaSet",
        ],
        &["PodSecurityPolicy"],
    ),
    (
        "networking.k8s.io",
        &["Ingress", "NetworkPolicy"],
        &["IPAddress", "IngressClass", "ServiceCIDR"],
    ),
    (
        "rbac.authorization.k8s.io",
        &["Role", "RoleBinding"],
        &["ClusterRole", "ClusterRoleBinding"],
    ),
    (
        "storage.k8s.io",
        &["CSIStorageCapacity"],
        &[
            "CSIDriver",
            "CSINode",
            "StorageClass",
            "VolumeAttachment",
            "VolumeAttributesClass",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[],
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &[], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &[], &["APIService"]),
    (
        "authentication.k8s.io",
        &["TokenRequest"],
        &["SelfSubjectReview", "TokenReview"],
    ),
    (
        "authorization.k8s.io",
        &["LocalSubjectAccessReview"],
        &[
            "SelfSubjectAccessReview",
            "SelfSubjectRulesReview",
            "SubjectAccessReview",
        ],
    ),
    (
        "certificates.k8s.io",
        &["PodCertificateRequest"],
        &["CertificateSigningRequest", "ClusterTrustBundle"],
    ),
    ("coordination.k8s.io", &["Lease", "LeaseCandidate"], &[]),
    ("discovery.k8s.io", &["EndpointSlice"], &[]),
    ("events.k8s.io", &["Event"], &[]),
    (
        "flowcontrol.apiserver.k8s.io",
        &[],
        &["FlowSchema", "PriorityLevelConfiguration"],
    ),
    ("node.k8s.io", &[], &["RuntimeClass"]),
    (
        "resource.k8s.io",
        &["ResourceClaim", "ResourceClaimTemplate"],
        &["DeviceClass", "DeviceTaintRule", "ResourceSlice"],
    ),
    ("scheduling.k8s.io", &[], &["PriorityClass"]),
];

/// A misspelt kind shorter than this is not told from a custom one.
const SHORTEST_MISSPELT: usize = 6;

pub(super) fn lint(rule: &Cursor<'_>, findings: &mut Findings<'_>) {
    for block in ["match", "exclude"] {
        let Some(block) = rule.get(block) else { continue };
        let resources = filters(&block)
            .into_iter()
            .filter_map(|filter| filter.get("resources"));
        for kind in resources.flat_map(|resources| items(&resources, "kinds")) {
            look_at(&kind, findings);
        }
    }
}

fn look_at(cursor: &Cursor<'_>, findings: &mut Findings<'_>) {
    let Some((text, selector)) = cursor
        .value()
        .as_str()
        .and_then(|text| Some((text, KindSelector::parse(text)?)))
    else {
        return;
    };
    let [group, _, kind, subresource] = selector.parts();
    if subresource.chars().any(char::is_uppercase) {
        let fault = cursor.fault(format!(
            "{text} matches nothing: it is read as the subresource {subresource} of kind {kind}"
        ));
        findings.warn(
            Lint::NeverMatches,
            &fault,
            &format!("Write {subresource}, or with group and version: group/version/{subresource}."),
        );
        return;
    }
    if is_built_in(&selector) || group.contains('.') && !is_group(group) {
        return;
    }
    let groups: Vec<&str> = groups_of(kind).collect();
    if let [other, ..] = groups.as_slice() {
        let place = if other.is_empty() {
            "the core group, version v1".to_owned()
        } else {
            format!("group {other}")
        };
        let fault = cursor.fault(format!(
            "no {kind} is in group {}: it is in {place}",
            named(group)
        ));
        findings.warn(
            Lint::UnknownKind,
            &fault,
            &format!("Write {kind} alone to mean every group."),
        );
    } else if let Some(near) = misspelt(kind) {
        let fault = cursor.fault(format!("no kind is named {kind}; did you mean \"{near}\"?"));
        findings.warn(
            Lint::UnknownKind,
            &fault,
            "The rule does not concern what it was written for.",
        );
    } else {
        let fault = cursor.fault(format!("kind {kind} is not built in"));
        findings.note(
            Lint::UnknownKind,
            &fault,
            "The rule concerns something only where a custom resource has this kind.",
        );
    }
}

fn named(group: &str) -> &str {
    if group.is_empty() { "\"\" (core)" } else { group }
}

fn is_group(group: &str) -> bool {
    BUILT_IN.iter().any(|(known, ..)| *known == group)
}

/// Whether some kind of Kubernetes is meant.
fn is_built_in(selector: &KindSelector) -> bool {
    BUILT_IN.iter().any(|(group, namespaced, cluster)| {
        selector.group.matches(group)
            && namespaced
                .iter()
                .chain(*cluster)
                .any(|kind| selector.kind.matches(kind))
    })
}

/// The groups that have a kind of this very name.
fn groups_of(kind: &str) -> impl Iterator<Item = &'static str> {
    BUILT_IN
        .iter()
        .filter(move |(_, namespaced, cluster)| namespaced.contains(&kind) || cluster.contains(&kind))
        .map(|(group, ..)| *group)
}

/// Whether a selector means kinds of Kubernetes that are in no namespace, and only these.
pub(super) fn is_cluster_scoped(selector: &KindSelector) -> bool {
    let Some(kind) = selector.kind.literal() else {
        return false;
    };
    let mut owners = BUILT_IN
        .iter()
        .filter(|(group, namespaced, cluster)| {
            selector.group.matches(group) && (namespaced.contains(&kind) || cluster.contains(&kind))
        })
        .peekable();
    owners.peek().is_some() && owners.all(|(_, _, cluster)| cluster.contains(&kind))
}

/// The kind of Kubernetes that was probably meant.
fn misspelt(kind: &str) -> Option<&'static str> {
    let all = || {
        BUILT_IN
            .iter()
            .flat_map(|(_, namespaced, cluster)| namespaced.iter().chain(*cluster))
    };
    let otherwise_written = all().find(|known| {
        let plural = [format!("{known}s"), format!("{known}es")];
        known.eq_ignore_ascii_case(kind) || plural.iter().any(|plural| plural.eq_ignore_ascii_case(kind))
    });
    otherwise_written.copied().or_else(|| {
        let long: Vec<&str> = all()
            .copied()
            .filter(|known| known.len() >= SHORTEST_MISSPELT)
            .collect();
        let near = nearest(kind, &long)?;
        // A custom kind often adds a word to one that is known; a misspelt one has about its length.
        (kind.len().abs_diff(near.len()) <= 1 && kind.len() >= SHORTEST_MISSPELT).then_some(near)
    })
}
