//! ConfigMaps that rules read, kept for a moment: a burst of writes asks for the same few.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use provost_policy::Input;
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long what was read counts. A change is in force within a second, as one of a policy is.
pub(super) const FRESH: Duration = Duration::from_millis(500);
/// How many are kept. A ConfigMap has at most 1 MiB.
const MAX_KEPT: usize = 32;

/// What was read a moment ago, by namespace and name. Errors are not kept.
#[derive(Default)]
pub(super) struct ConfigMaps {
    /// Held for the length of a look-up, never across an await.
    kept: Mutex<HashMap<(String, String), (Instant, Value)>>,
}

// === impl ConfigMaps ===

impl ConfigMaps {
    /// The ConfigMap as `{data, metadata}`.
    pub(super) async fn get(&self, client: &Client, namespace: &str, name: &str) -> Input {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(value) = self.fresh(&key) {
            return Ok(value);
        }
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let read = config_maps.get(name).await;
        let value = value(read.map_err(|error| {
            let why = super::why(&error);
            format!("cannot read ConfigMap {namespace}/{name}: {why}")
        })?);
        self.keep(key, value.clone());
        Ok(value)
    }

    fn fresh(&self, key: &(String, String)) -> Option<Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, value) = kept.get(key)?;
        (read.elapsed() < FRESH).then(|| value.clone())
    }

    fn keep(&self, key: (String, String), value: Value) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (read, _)| read.elapsed() < FRESH);
        if kept.len() < MAX_KEPT {
            kept.insert(key, (Instant::now(), value));
        }
    }
}

fn value(config_map: ConfigMap) -> Value {
    let metadata = config_map.metadata;
    json!({
        "data": config_map.data.unwrap_or_default(),
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": metadata.labels.unwrap_or_default(),
            "annotations": metadata.annotations.unwrap_or_default(),
        },
    })
}
