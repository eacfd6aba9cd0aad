//! Our CRDs, installed only where no other is.

use std::time::Duration;

use provost_manifest::object::{GroupVersionKind, ObjectKey};
use provost_manifest::yaml;
use serde_json::Value;

use super::{Cluster, Error, Target};

/// How long a new kind may take to be served.
const ESTABLISHED_DEADLINE: Duration = Duration::from_secs(30);
/// How long to wait before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The manifests that the agent needs.
pub const MANIFESTS: [&str; 3] = [
    include_str!("../../deploy/crds/argoproj-application.yaml"),
    include_str!("../../deploy/crds/argoproj-appproject.yaml"),
    include_str!("../../deploy/crds/provost-inventory.yaml"),
];

/// Installs the CRDs that the agent needs, each only where the cluster has none of its name, and waits until they are
/// served.
pub async fn install_crds(cluster: &Cluster) -> Result<(), Error> {
    for manifest in MANIFESTS {
        ensure_crd(cluster, manifest, true).await?;
    }
    cluster.rediscover().await?;
    Ok(())
}

/// The CRD of the manifest's name as it is live, once its kind is served. Where there is none, that of the manifest is
/// installed if `install` says so.
pub async fn ensure_crd(cluster: &Cluster, manifest: &str, install: bool) -> Result<Option<Value>, Error> {
    let broken = |reason: String| Error::Build {
        what: "install a CRD".to_owned(),
        reason,
    };
    let manifest = yaml::parse_one(manifest).map_err(|error| broken(error.to_string()))?;
    let target = crd_target(cluster, &manifest.value)
        .ok_or_else(|| broken("the cluster serves no CustomResourceDefinitions".to_owned()))?;
    if cluster.get(&target).await?.is_none() {
        if !install {
            return Ok(None);
        }
        // Where somebody was quicker, theirs stays.
        if cluster.create(&target, &manifest.value).await? {
            tracing::info!(name = target.name, "A CustomResourceDefinition was installed.");
        }
    }
    wait_established(cluster, &target).await.map(Some)
}

/// Waits until the apiserver serves the CRD's kind, and returns the CRD.
pub async fn wait_established(cluster: &Cluster, crd: &Target) -> Result<Value, Error> {
    let deadline = tokio::time::Instant::now() + ESTABLISHED_DEADLINE;
    loop {
        if let Some(live) = cluster.get(crd).await?.filter(is_established) {
            return Ok(live);
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Error::NotReady {
                what: crd.to_string(),
                seconds: ESTABLISHED_DEADLINE.as_secs(),
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether the CRD's kind is served.
pub fn is_established(crd: &Value) -> bool {
    let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn crd_target(cluster: &Cluster, crd: &Value) -> Option<Target> {
    let kinds = cluster.kinds();
    let kind = kinds.get(&GroupVersionKind::of(crd)?)?;
    Some(kind.target(&ObjectKey::of(crd)?))
}
