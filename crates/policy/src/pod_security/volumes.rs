//! The controls over volumes.

use super::controls::found;
use super::pod::{Malformed, Pod, PodPath, map, maps, text};
use super::{Forbidden, Version};

/// The types that the restricted level allows.
const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const ALLOWED_IN_WORDS: &str = "a volume of type configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret";

/// The other types that there are.
const OTHERS: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "photonPersistentDisk",
];

pub(super) fn host_path<'o>(pod: &Pod<'o>, _: Version) -> Result<Option<Vec<Forbidden<'o>>>, Malformed> {
    let mut fields = Vec::new();
    for (index, volume) in maps(&pod.spec, "volumes")?.into_iter().enumerate() {
        if let Some(host_path) = map(volume, "hostPath")? {
            let path = PodPath::spec(&["volumes"]).index(index).keys(&["hostPath"]);
            let bad = text(host_path, "path")?.unwrap_or_default();
            fields.push(Forbidden::new(path, "another type of volume").bad(&bad));
        }
    }
    Ok(found(fields))
}

pub(super) fn types<'o>(pod: &Pod<'o>, _: Version) -> Result<Option<Vec<Forbidden<'o>>>, Malformed> {
    let mut fields = Vec::new();
    for (index, volume) in maps(&pod.spec, "volumes")?.into_iter().enumerate() {
        let is_set = |kind: &&&str| volume.get(**kind).is_some_and(|value| !value.is_null());
        if ALLOWED.iter().any(|kind| is_set(&kind)) {
            continue;
        }
        let path = PodPath::spec(&["volumes"]).index(index);
        let path = match OTHERS.iter().find(is_set) {
            Some(kind) => path.keys(&[kind]),
            None => path,
        };
        fields.push(Forbidden::new(path, ALLOWED_IN_WORDS));
    }
    Ok(found(fields))
}
