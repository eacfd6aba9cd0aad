//! Who each role is, and what it may do: what the module documentation of the role's rooms asks for under "RBAC".

use serde_json::{Value, json};

use super::{Manifest, Settings, labels, metadata, name};
use crate::{
    config::{Role, WEBHOOK_CONFIGURATION, WEBHOOK_SECRET, WITNESS_CONFIGURATION},
    policies::PolicyKind,
};

const API: &str = "rbac.authorization.k8s.io/v1";
const AUTHORIZATION: &str = "rbac.authorization.k8s.io";

const AGENT: &str = "\
The agent sees everything, to notice what is changed, and writes none of it as itself: what Git declares is written as
the service account that the Application's AppProject names.";
const RECORDER: &str = "\
The recorder watches everything, to tell what happened, and writes nothing. It asks for metadata alone, but of policies,
RBAC and webhook configurations; RBAC does not know that difference. To keep Secrets from it, name here the kinds that it
may list: what it cannot watch is in the record without the word of a watch. --witness none gives it no power at all.";
const IMPERSONATE: &str = "\
By this the agent can act as any service account of the cluster. To narrow it, replace the ClusterRoleBinding below by
RoleBindings of the same role, in those namespaces whose service accounts your AppProjects name.";
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
            "resourceNames": [WEBHOOK_CONFIGURATION, WITNESS_CONFIGURATION],
            "verbs": ["create", "get", "list", "patch", "update", "watch"],
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
        cluster_binding(settings, role, &name(role)),
        Manifest {
            comment: OWN_SECRET,
            object: json!({
                "apiVersion": API,
                "kind": "Role",
                "metadata": metadata(settings, role, &name(role)),
                "rules": own_rules,
            }),
        },
        own_binding(settings, role),
    ]
}

/// The agent watches what it answers for, keeps its inventories and its lease, writes Applications, and has no power
/// over anything else but as the service accounts that projects name.
pub(super) fn agent(settings: &Settings) -> Vec<Manifest> {
    let role = Role::Agent;
    let impersonator = format!("{}-impersonator", name(role));
    let cluster_rules = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get"]},
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "patch"]},
        {
            "apiGroups": ["provost.dev"],
            "resources": ["inventories"],
            "verbs": ["create", "delete", "get", "update"],
        },
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": ["create", "get"],
        },
        {"apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"], "verbs": ["get"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ]);
    let own_rules = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]},
        {"apiGroups": ["argoproj.io"], "resources": ["appprojects"], "verbs": ["create"]},
    ]);
    let impersonate =
        json!([{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}]);
    let cluster_role = |name: &str, comment, rules: Value| Manifest {
        comment,
        object: json!({
            "apiVersion": API,
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels(Some(role))},
            "rules": rules,
        }),
    };
    vec![
        cluster_role(&name(role), AGENT, cluster_rules),
        cluster_binding(settings, role, &name(role)),
        cluster_role(&impersonator, IMPERSONATE, impersonate),
        cluster_binding(settings, role, &impersonator),
        Manifest::from(json!({
            "apiVersion": API,
            "kind": "Role",
            "metadata": metadata(settings, role, &name(role)),
            "rules": own_rules,
        })),
        own_binding(settings, role),
    ]
}

/// The recorder sees what happens, and writes nothing.
pub(super) fn recorder(settings: &Settings, definitions: &[Value]) -> Vec<Manifest> {
    let role = Role::Recorder;
    let names: Vec<_> = definitions.iter().map(|crd| &crd["metadata"]["name"]).collect();
    let rules = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["list", "watch"]},
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": names,
            "verbs": ["get"],
        },
    ]);
    vec![
        Manifest {
            comment: RECORDER,
            object: json!({
                "apiVersion": API,
                "kind": "ClusterRole",
                "metadata": {"name": name(role), "labels": labels(Some(role))},
                "rules": rules,
            }),
        },
        cluster_binding(settings, role, &name(role)),
    ]
}

/// Binds the role's ServiceAccount to the ClusterRole of this name, under the same name.
fn cluster_binding(settings: &Settings, role: Role, to: &str) -> Manifest {
    Manifest::from(json!({
        "apiVersion": API,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": to, "labels": labels(Some(role))},
        "roleRef": {"apiGroup": AUTHORIZATION, "kind": "ClusterRole", "name": to},
        "subjects": [subject(settings, role)],
    }))
}

/// Binds the role's ServiceAccount to its Role in the namespace.
fn own_binding(settings: &Settings, role: Role) -> Manifest {
    Manifest::from(json!({
        "apiVersion": API,
        "kind": "RoleBinding",
        "metadata": metadata(settings, role, &name(role)),
        "roleRef": {"apiGroup": AUTHORIZATION, "kind": "Role", "name": name(role)},
        "subjects": [subject(settings, role)],
    }))
}

fn subject(settings: &Settings, role: Role) -> Value {
    json!({"kind": "ServiceAccount", "name": name(role), "namespace": settings.namespace.to_string()})
}
