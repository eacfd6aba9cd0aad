//! The CustomResourceDefinitions of policies: ours are installed where the cluster has none, and never over another's.
//!
//! RBAC: get, list and watch on the definitions, by name; create too with `--install-crds`.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::PostParams,
    runtime::wait::{await_condition, conditions::is_crd_established},
};
use provost_manifest::yaml;
use tokio::time::timeout;

use super::PolicyKind;

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
pub async fn served(client: &Client, install: bool) -> Result<Vec<PolicyKind>, Error> {
    let mut served = Vec::new();
    for kind in PolicyKind::ALL {
        if serve(client, kind, install).await? {
            served.push(kind);
        } else {
            tracing::warn!(
                kind = kind.name(),
                "The cluster does not know this kind of policy: install it with --install-crds."
            );
        }
    }
    Ok(served)
}

async fn serve(client: &Client, kind: PolicyKind, install: bool) -> Result<bool, Error> {
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
            return Ok(false);
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
        Ok(Ok(_)) => Ok(true),
        Ok(Err(_)) | Err(_) => Err(Error::Establish { name }),
    }
}

/// Our definition of a kind, as YAML.
pub fn text(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::ClusterPolicy => include_str!("../../deploy/crds/kyverno-clusterpolicy.yaml"),
        PolicyKind::Policy => include_str!("../../deploy/crds/kyverno-policy.yaml"),
    }
}

fn manifest(kind: PolicyKind) -> Result<CustomResourceDefinition, Error> {
    let broken = |reason| Error::ReadManifest {
        kind: kind.name(),
        reason,
    };
    let document = yaml::parse_one(text(kind)).map_err(|error| broken(error.to_string()))?;
    serde_json::from_value(document.value).map_err(|error| broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_are_for_the_kinds_that_are_watched() {
        for kind in PolicyKind::ALL {
            let manifest = manifest(kind).unwrap();
            let resource = kind.api_resource();
            assert_eq!(manifest.spec.names.kind, kind.name());
            assert_eq!(manifest.spec.names.plural, resource.plural);
            assert_eq!(manifest.spec.group, resource.group);
            assert_eq!(manifest.spec.versions[0].name, resource.version);
        }
    }
}
