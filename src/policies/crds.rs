//! The CustomResourceDefinitions of policies: ours are installed where the cluster has none, and never over another's.
//!
//! RBAC: get on the definitions, by name; create too with `--install-crds`; discovery.

use serde_json::Value;

use super::{PolicyKind, ServedKind};
use crate::cluster::{Cluster, Error, ensure_crd};

/// The kinds of policies that the cluster serves, after ours were installed where `install` says so.
pub async fn served(cluster: &Cluster, install: bool) -> Result<Vec<ServedKind>, Error> {
    let mut served = Vec::new();
    for kind in PolicyKind::ALL {
        let definition = ensure_crd(cluster, manifest(kind), install).await?;
        if let Some(version) = definition.and_then(|definition| served_version(kind, &definition)) {
            served.push(ServedKind { kind, version });
        } else {
            tracing::warn!(
                kind = kind.name(),
                versions = ?kind.versions(),
                "The cluster does not serve this kind of policy: where it is absent, install it with --install-crds."
            );
        }
    }
    Ok(served)
}

/// The version to watch; none where the cluster serves none that is understood.
fn served_version(kind: PolicyKind, definition: &Value) -> Option<&'static str> {
    let versions = definition["spec"]["versions"].as_array()?;
    let served = |version: &&&str| {
        let mut served = versions.iter().filter(|candidate| candidate["served"] == true);
        served.any(|candidate| candidate["name"] == **version)
    };
    kind.versions().iter().find(served).copied()
}

/// Our definition of a kind, as YAML.
pub fn manifest(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::ClusterPolicy => include_str!("../../deploy/crds/kyverno-clusterpolicy.yaml"),
        PolicyKind::Policy => include_str!("../../deploy/crds/kyverno-policy.yaml"),
        PolicyKind::PolicyException => include_str!("../../deploy/crds/kyverno-policyexception.yaml"),
    }
}

#[cfg(test)]
mod tests {
    use provost_manifest::yaml;

    use super::*;

    fn definition(kind: PolicyKind) -> Value {
        yaml::parse_one(manifest(kind)).unwrap().value
    }

    #[test]
    fn the_built_in_definitions_are_for_the_kinds_that_are_watched() {
        for kind in PolicyKind::ALL {
            let definition = definition(kind);
            let version = served_version(kind, &definition).unwrap();
            let resource = kind.api_resource(version);
            assert_eq!(definition["spec"]["names"]["kind"], kind.name());
            assert_eq!(definition["spec"]["names"]["plural"], resource.plural);
            assert_eq!(definition["spec"]["group"], resource.group);
            assert_eq!(version, kind.versions()[0]);
        }
    }

    #[test]
    fn an_older_version_is_watched_where_the_cluster_has_no_other() {
        let kind = PolicyKind::PolicyException;
        let mut definition = definition(kind);
        definition["spec"]["versions"][0]["served"] = false.into();
        assert_eq!(served_version(kind, &definition), Some("v2beta1"));
        definition["spec"]["versions"][1]["served"] = false.into();
        assert_eq!(served_version(kind, &definition), None);
    }
}
