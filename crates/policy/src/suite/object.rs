//! The objects of a suite, converted as Kyverno's command line converts them, so that its suites mean the same here.

use std::collections::HashSet;

use provost_manifest::list::flatten;
use provost_manifest::object::GroupVersionKind;
use serde_json::{Map, Value};

use super::values::Values;
use crate::template::with_floats;

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// An object to judge.
#[derive(Debug)]
pub(super) struct Object {
    /// Its number among the suite's objects.
    pub(super) index: usize,
    /// With all numbers as floats, and a namespace.
    pub(super) value: Value,
    /// Its own kind.
    pub(super) written_kind: GroupVersionKind,
    /// The kind that rules match: of the parent, for the body of a subresource.
    pub(super) kind: GroupVersionKind,
    /// The subresource whose body it is, `""` for none.
    pub(super) subresource: String,
}

/// Collects the objects of a suite; of several that are the same, the first.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) list: Vec<Object>,
    seen: HashSet<[String; 4]>,
}

impl Objects {
    /// Adds the objects of a document; what is no object is counted.
    pub(super) fn add(&mut self, document: Value, values: &Values) -> usize {
        let mut strangers = 0;
        for item in flatten(document) {
            let Some(written_kind) = GroupVersionKind::of(&item.object) else {
                strangers += 1;
                continue;
            };
            let value = converted(item.object);
            let (kind, subresource) = match values.subresource(&written_kind) {
                Some((parent, name)) => (parent.clone(), name),
                None => (written_kind.clone(), ""),
            };
            let object = Object {
                index: self.list.len(),
                value,
                kind,
                subresource: subresource.to_owned(),
                written_kind,
            };
            let identity = [
                &object.written_kind.group,
                &object.written_kind.kind,
                object.namespace(),
                object.name(),
            ];
            if self.seen.insert(identity.map(str::to_owned)) {
                self.list.push(object);
            }
        }
        strangers
    }
}

impl Object {
    pub(super) fn name(&self) -> &str {
        self.metadata("name")
    }

    /// The namespace that rules see, also of what is cluster-scoped.
    pub(super) fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    /// The namespace that the object has, `""` for cluster-scoped kinds.
    pub(super) fn real_namespace(&self) -> &str {
        if is_cluster_scoped(&self.kind) {
            ""
        } else {
            self.namespace()
        }
    }

    /// Whether an entry's `kind` means it.
    pub(super) fn is_a(&self, kind: &str) -> bool {
        self.written_kind.kind == kind || self.kind.kind == kind
    }

    fn metadata(&self, key: &str) -> &str {
        self.value["metadata"][key].as_str().unwrap_or_default()
    }
}

/// All numbers as floats, and a namespace for every object, whatever its kind.
fn converted(object: Value) -> Value {
    let mut object = with_floats(object);
    if let Some(object) = object.as_object_mut() {
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        let namespace = metadata.get("namespace").and_then(Value::as_str);
        if namespace.is_none_or(str::is_empty)
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert("namespace".to_owned(), Value::from(DEFAULT_NAMESPACE));
        }
    }
    object
}

/// Whether objects of a kind are in no namespace. Files do not say it: Kubernetes' own kinds are known, and those of
/// others that people have policies for.
fn is_cluster_scoped(kind: &GroupVersionKind) -> bool {
    CLUSTER_SCOPED
        .iter()
        .any(|(group, kinds)| *group == kind.group && kinds.contains(&kind.kind.as_str()))
}

const CLUSTER_SCOPED: &[(&str, &[&str])] = &[
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("authentication.k8s.io", &["SelfSubjectReview", "TokenReview"]),
    (
        "authorization.k8s.io",
        &[
            "SelfSubjectAccessReview",
            "SelfSubjectRulesReview",
            "SubjectAccessReview",
        ],
    ),
    (
        "authorization.openshift.io",
        &["ClusterRole", "ClusterRoleBinding"],
    ),
    ("cert-manager.io", &["ClusterIssuer"]),
    (
        "certificates.k8s.io",
        &["CertificateSigningRequest", "ClusterTrustBundle"],
    ),
    (
        "config.openshift.io",
        &[
            "APIServer",
            "ClusterOperator",
            "ClusterVersion",
            "Infrastructure",
            "Ingress",
            "OAuth",
        ],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["FlowSchema", "PriorityLevelConfiguration"],
    ),
    ("gateway.networking.k8s.io", &["GatewayClass"]),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    ("karpenter.k8s.aws", &["AWSNodeTemplate", "EC2NodeClass"]),
    ("karpenter.sh", &["NodeClaim", "NodePool", "Provisioner"]),
    (
        "kyverno.io",
        &["ClusterCleanupPolicy", "ClusterPolicy", "GlobalContextEntry"],
    ),
    (
        "machineconfiguration.openshift.io",
        &["MachineConfig", "MachineConfigPool"],
    ),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("policy", &["PodSecurityPolicy"]),
    ("project.openshift.io", &["Project", "ProjectRequest"]),
    (
        "rbac.authorization.k8s.io",
        &["ClusterRole", "ClusterRoleBinding"],
    ),
    ("resource.k8s.io", &["DeviceClass", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("security.openshift.io", &["SecurityContextConstraints"]),
    (
        "snapshot.storage.k8s.io",
        &["VolumeSnapshotClass", "VolumeSnapshotContent"],
    ),
    (
        "storage.k8s.io",
        &[
            "CSIDriver",
            "CSINode",
            "StorageClass",
            "VolumeAttachment",
            "VolumeAttributesClass",
        ],
    ),
    ("user.openshift.io", &["Group", "Identity", "User"]),
];
