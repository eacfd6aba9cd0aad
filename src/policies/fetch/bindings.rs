//! The roles that RoleBindings and ClusterRoleBindings give to a user.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use provost_policy::UserInfo;
use serde_json::{Value, json};

/// A binding of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    role: Role,
    subjects: Vec<Bound>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// `namespace:name`
    OfNamespace(String),
    OfCluster(String),
}

/// Whom a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    /// A user, or a service account by its user name.
    User(String),
    Group(String),
}

/// The roles that some of `bindings` give to `user`, as the engine wants them.
pub(super) fn roles<'a>(bindings: impl Iterator<Item = &'a Binding>, user: &UserInfo) -> Value {
    let (mut roles, mut cluster_roles) = (BTreeSet::new(), BTreeSet::new());
    for binding in bindings.filter(|binding| binding.names(user)) {
        match &binding.role {
            Role::OfNamespace(role) => roles.insert(role),
            Role::OfCluster(role) => cluster_roles.insert(role),
        };
    }
    json!({ "roles": roles, "clusterRoles": cluster_roles })
}

// === impl Binding ===

impl Binding {
    fn new(namespace: &str, role: RoleRef, subjects: Option<Vec<Subject>>) -> Self {
        let subjects = subjects.unwrap_or_default().into_iter();
        Self {
            role: if role.kind == "Role" {
                Role::OfNamespace(format!("{namespace}:{}", role.name))
            } else {
                Role::OfCluster(role.name)
            },
            subjects: subjects
                .filter_map(|subject| Bound::new(subject, namespace))
                .collect(),
        }
    }

    fn names(&self, user: &UserInfo) -> bool {
        self.subjects.iter().any(|subject| match subject {
            Bound::User(name) => *name == user.username,
            Bound::Group(name) => user.groups.contains(name),
        })
    }
}

impl From<RoleBinding> for Binding {
    fn from(binding: RoleBinding) -> Self {
        let namespace = binding.metadata.namespace.unwrap_or_default();
        Self::new(&namespace, binding.role_ref, binding.subjects)
    }
}

impl From<ClusterRoleBinding> for Binding {
    fn from(binding: ClusterRoleBinding) -> Self {
        Self::new("", binding.role_ref, binding.subjects)
    }
}

// === impl Bound ===

impl Bound {
    fn new(subject: Subject, namespace: &str) -> Option<Self> {
        match subject.kind.as_str() {
            "User" => Some(Self::User(subject.name)),
            "Group" => Some(Self::Group(subject.name)),
            "ServiceAccount" => {
                let namespace = subject.namespace.as_deref().unwrap_or(namespace);
                Some(Self::User(format!(
                    "system:serviceaccount:{namespace}:{}",
                    subject.name
                )))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn bindings() -> Vec<Binding> {
        let binding = |kind: &str, role: &str, subject: Value| -> RoleBinding {
            serde_json::from_value(json!({
                "metadata": {"namespace": "shop", "name": role},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [subject],
            }))
            .unwrap()
        };
        let of_cluster: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "view"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "name": "developers"}, {"kind": "User", "name": "dana"}],
        }))
        .unwrap();
        vec![
            binding("Role", "reader", json!({"kind": "User", "name": "dana"})).into(),
            binding(
                "ClusterRole",
                "edit",
                json!({"kind": "ServiceAccount", "name": "ci"}),
            )
            .into(),
            binding(
                "Role",
                "deployer",
                json!({"kind": "ServiceAccount", "name": "ci", "namespace": "build"}),
            )
            .into(),
            of_cluster.into(),
        ]
    }

    #[rstest]
    #[case::by_user_and_group("dana", &["developers"], json!({"roles": ["shop:reader"], "clusterRoles": ["view"]}))]
    #[case::by_group("alice", &["developers"], json!({"roles": [], "clusterRoles": ["view"]}))]
    #[case::an_account_of_the_binding_s_namespace(
        "system:serviceaccount:shop:ci", &[], json!({"roles": [], "clusterRoles": ["edit"]}))]
    #[case::an_account_of_another_namespace(
        "system:serviceaccount:build:ci", &[], json!({"roles": ["shop:deployer"], "clusterRoles": []}))]
    #[case::a_user_named_like_a_group("developers", &[], json!({"roles": [], "clusterRoles": []}))]
    #[case::a_user_named_like_an_account("ci", &["dana"], json!({"roles": [], "clusterRoles": []}))]
    fn a_user_has_the_roles_that_bindings_give(
        #[case] name: &str,
        #[case] groups: &[&str],
        #[case] expected: Value,
    ) {
        let user = UserInfo {
            username: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            ..UserInfo::default()
        };
        assert_eq!(roles(bindings().iter(), &user), expected);
    }
}
