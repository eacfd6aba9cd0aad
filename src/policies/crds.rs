//! The CustomResourceDefinitions of policies: ours are installed where the cluster has none, and never over another's.
//!
//! RBAC: get on the definitions; create too with `--install-crds`.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::PostParams,
    runtime::wait::{await_condition, conditions::is_crd_established},
};
use provost_manifest::yaml;
use tokio::time::timeout;

use super::{PolicyKind, ServedKind};

/// How long a new kind may take to be served.
pub const ESTABLISHED: Duration = Duration::from_secs(30);

/// Why the kinds of policies are not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own manifest is broken.
    #[error("the built-in definition of {kind} cannot be read: {reason}")]
    ReadManifest {
        /// Its kind.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster cannot be asked.
    #[error("cannot read CustomResourceDefinition {name}")]
    Read {
        /// Its name.
        name: String,
        /// What the apiserver says.
        #[source]
        source: Box<kube::Error>,
    },
    /// The cluster refuses.
    #[error("cannot install CustomResourceDefinition {name}")]
    Install {
        /// Its name.
        name: String,
        /// What the apiserver says.
        #[source]
        source: Box<kube::Error>,
    },
    /// It does not become ready.
    #[error("CustomResourceDefinition {name} was not established within {} s", ESTABLISHED.as_secs())]
    Establish {
        /// Its name.
        name: String,
    },
}

/// The kinds of policies that the cluster serves, after ours were installed where `install` says so.
pub async fn served(client: &Client, install: bool) -> Result<Vec<ServedKind>, Error> {
    let mut served = Vec::new();
    for kind in PolicyKind::ALL {
        match serve(client, kind, install).await? {
            Some(version) => served.push(ServedKind { kind, version }),
            None => tracing::warn!(
                kind = kind.name(),
                versions = ?kind.versions(),
                "The cluster does not serve this kind of policy: where it is absent, install it with --install-crds."
            ),
        }
    }
    Ok(served)
}

/// The version in which the cluster serves the kind; none where it does not in any that is understood.
async fn serve(client: &Client, kind: PolicyKind, install: bool) -> Result<Option<&'static str>, Error> {
    let ours = manifest(kind)?;
    let name = ours.metadata.name.clone().unwrap_or_default();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let present = definitions.get_opt(&name).await;
    let present = present.map_err(|source| Error::Read {
        name: name.clone(),
        source: Box::new(source),
    })?;
    if present.is_none() {
        if !install {
            return Ok(None);
        }
        match definitions.create(&PostParams::default(), &ours).await {
            Ok(_) => tracing::info!(name, "A CustomResourceDefinition was installed."),
            // Somebody else was quicker: theirs stays.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => {
                let source = Box::new(source);
                return Err(Error::Install { name, source });
            }
        }
    }
    match timeout(
        ESTABLISHED,
        await_condition(definitions, &name, is_crd_established()),
    )
    .await
    {
        Ok(Ok(definition)) => Ok(definition.and_then(|definition| served_version(kind, &definition))),
        Ok(Err(_)) | Err(_) => Err(Error::Establish { name }),
    }
}

fn served_version(kind: PolicyKind, definition: &CustomResourceDefinition) -> Option<&'static str> {
    let served = |version: &&&str| {
        let mut versions = definition.spec.versions.iter();
        versions.any(|candidate| candidate.served && candidate.name == **version)
    };
    kind.versions().iter().find(served).copied()
}

fn manifest(kind: PolicyKind) -> Result<CustomResourceDefinition, Error> {
    let text = match kind {
        PolicyKind::ClusterPolicy => include_str!("../../deploy/crds/kyverno-clusterpolicy.yaml"),
        PolicyKind::Policy => include_str!("../../deploy/crds/kyverno-policy.yaml"),
        PolicyKind::PolicyException => include_str!("../../deploy/crds/kyverno-policyexception.yaml"),
    };
    let broken = |reason| Error::ReadManifest {
        kind: kind.name(),
        reason,
    };
    let document = yaml::parse_one(text).map_err(|error| broken(error.to_string()))?;
    serde_json::from_value(document.value).map_err(|error| broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_are_for_the_kinds_that_are_watched() {
        for kind in PolicyKind::ALL {
            let manifest = manifest(kind).unwrap();
            let version = served_version(kind, &manifest).unwrap();
            let resource = kind.api_resource(version);
            assert_eq!(manifest.spec.names.kind, kind.name());
            assert_eq!(manifest.spec.names.plural, resource.plural);
            assert_eq!(manifest.spec.group, resource.group);
            assert_eq!(version, kind.versions()[0]);
        }
    }

    #[test]
    fn an_older_version_is_watched_where_the_cluster_has_no_other() {
        let kind = PolicyKind::PolicyException;
        let mut definition = manifest(kind).unwrap();
        definition.spec.versions[0].served = false;
        assert_eq!(served_version(kind, &definition), Some("v2beta1"));
        definition.spec.versions[1].served = false;
        assert_eq!(served_version(kind, &definition), None);
    }
}
