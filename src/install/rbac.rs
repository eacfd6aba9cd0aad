//! Who each role is, and what it may do: what the module documentation of the role's rooms asks for under "RBAC".

use serde_json::{Value, json};

use super::{Manifest, Settings, labels, metadata, name};
use crate::{
    config::{Role, WEBHOOK_CONFIGURATION, WEBHOOK_SECRET},
    policies::PolicyKind,
};

const API: &str = "rbac.authorization.k8s.io/v1";
const AUTHORIZATION: &str = "rbac.authorization.k8s.io";

const AGENT: &str = "\
The agent applies what Git declares as itself, whatever it is, so it may do everything: whoever can write to a
repository that an Application names, or make an Application, has the power of a cluster administrator. Guard both.";
const API_CALLS: &str = "\
What the API calls of your policies read, and what your GlobalContextEntries keep (list, watch), is not here: bind a
role that reads it to the ServiceAccount as well.";
const OWN_SECRET: &str = "\
A Secret cannot be made by name alone: RBAC does not know the name of what is being created. It can only be read and
changed by its name.";

/// The role's identity. Its token is mounted where the pod asks for it, nowhere else.
pub(super) fn service_account(settings: &Settings, role: Role) -> Manifest {
    Manifest::from(json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(settings, role, &name(role)),
        "automountServiceAccountToken": false,
    }))
}

/// The webhook reads policies and what they refer to, and owns its Secret and its configuration.
pub(super) fn webhook(settings: &Settings, definitions: &[Value]) -> Vec<Manifest> {
    let role = Role::Webhook;
    let names: Vec<_> = definitions.iter().map(|crd| &crd["metadata"]["name"]).collect();
    let plurals: Vec<_> = definitions
        .iter()
        .map(|crd| &crd["spec"]["names"]["plural"])
        .collect();
    let statuses: Vec<_> = PolicyKind::ALL
        .map(|kind| format!("{}/status", kind.plural()))
        .to_vec();
    let cluster_rules = json!([
        {"apiGroups": ["kyverno.io"], "resources": plurals, "verbs": ["list", "watch"]},
        {"apiGroups": ["kyverno.io"], "resources": statuses, "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {
            "apiGroups": [AUTHORIZATION],
            "resources": ["clusterrolebindings", "rolebindings"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations"],
            "resourceNames": [WEBHOOK_CONFIGURATION],
            "verbs": ["create", "get", "patch"],
        },
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": names,
            "verbs": ["get"],
        },
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"]},
    ]);
    let own_rules = json!([
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [WEBHOOK_SECRET], "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    ]);
    vec![
        Manifest {
            comment: API_CALLS,
            object: json!({
                "apiVersion": API,
                "kind": "ClusterRole",
                "metadata": {"name": name(role), "labels": labels(Some(role))},
                "rules": cluster_rules,
            }),
        },
        cluster_binding(settings, role, &name(role), ""),
        Manifest {
            comment: OWN_SECRET,
            object: json!({
                "apiVersion": API,
                "kind": "Role",
                "metadata": metadata(settings, role, &name(role)),
                "rules": own_rules,
            }),
        },
        Manifest::from(json!({
            "apiVersion": API,
            "kind": "RoleBinding",
            "metadata": metadata(settings, role, &name(role)),
            "roleRef": {"apiGroup": AUTHORIZATION, "kind": "Role", "name": name(role)},
            "subjects": [subject(settings, role)],
        })),
    ]
}

/// The agent has the power of whatever it applies, until projects name service accounts that it acts as.
pub(super) fn agent(settings: &Settings) -> Vec<Manifest> {
    vec![cluster_binding(settings, Role::Agent, "cluster-admin", AGENT)]
}

fn cluster_binding(settings: &Settings, role: Role, to: &str, comment: &'static str) -> Manifest {
    Manifest {
        comment,
        object: json!({
            "apiVersion": API,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name(role), "labels": labels(Some(role))},
            "roleRef": {"apiGroup": AUTHORIZATION, "kind": "ClusterRole", "name": to},
            "subjects": [subject(settings, role)],
        }),
    }
}

fn subject(settings: &Settings, role: Role) -> Value {
    json!({"kind": "ServiceAccount", "name": name(role), "namespace": settings.namespace.to_string()})
}
