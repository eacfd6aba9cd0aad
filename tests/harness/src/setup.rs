//! What a control plane is given before it serves: a node, and what the developer and the agent may do.

use anyhow::Context;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::identity::User;

const MANAGER: &str = "local-cluster";

/// Adds the node that kwok plays; ample, so that nothing stays pending for want of room.
pub(crate) async fn add_node(client: &kube::Client) -> anyhow::Result<()> {
    let name = "node-1";
    let room = json!({"cpu": "1k", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "10k"});
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
        }},
        "status": {"capacity": room, "allocatable": room},
    }))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &node)
        .await
        .context("adding the node")?;
    Ok(())
}

/// Lets the developers edit what is namespaced and make namespaces, and the agent do everything.
pub(crate) async fn grant(client: &kube::Client) -> anyhow::Result<()> {
    let namespaces: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "local-cluster:namespaces"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch", "create"]}],
    }))?;
    let developers = json!({"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"});
    let agent = json!({"kind": "User", "name": User::Agent.name(), "apiGroup": "rbac.authorization.k8s.io"});
    apply(client, "local-cluster:namespaces", &namespaces).await?;
    for (name, subject, role) in [
        ("local-cluster:developers-edit", &developers, "edit"),
        (
            "local-cluster:developers-namespaces",
            &developers,
            "local-cluster:namespaces",
        ),
        ("local-cluster:agent", &agent, "cluster-admin"),
    ] {
        apply(client, name, &binding(name, subject, role)?).await?;
    }
    Ok(())
}

fn binding(name: &str, subject: &Value, role: &str) -> anyhow::Result<ClusterRoleBinding> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    }))?)
}

async fn apply<K>(client: &kube::Client, name: &str, object: &K) -> anyhow::Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::ClusterResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let params = PatchParams::apply(MANAGER).force();
    Api::<K>::all(client.clone())
        .patch(name, &params, &Patch::Apply(object))
        .await
        .with_context(|| format!("applying {name}"))?;
    Ok(())
}
