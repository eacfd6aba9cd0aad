//! Judging a request: asks the engine, fetches what it needs, asks again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client};
use provost_policy::{FailureAction, Input, Inputs, Key, Outcome, Request, RuleResult, Status, evaluate};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::Snapshot;

/// How often the engine may ask for more: chains of inputs that need each other are short.
pub const MAX_ROUNDS: usize = 8;
/// How long all fetches of one request may take together. The apiserver gives us ten seconds.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(6);

/// Fetches what rules ask for; from nowhere where there is no cluster.
#[derive(Clone, Default)]
pub struct Fetcher {
    client: Option<Client>,
}

/// Judges `request` by the snapshot's policies. Whatever cannot be fetched makes the rule that needs it an error.
pub async fn judge(
    snapshot: &Snapshot,
    request: &Request<'_>,
    fetcher: &Fetcher,
    seed: u64,
) -> Vec<RuleResult> {
    let now = Timestamp::now();
    let mut inputs = Inputs::new();
    let deadline = Instant::now() + FETCH_DEADLINE;
    for _ in 0..MAX_ROUNDS {
        match evaluate(&snapshot.set, request, &inputs, now, seed) {
            Outcome::Done(results) => return results,
            Outcome::Needs(keys) => {
                for key in keys {
                    let input = match timeout_at(deadline, fetcher.fetch(&key)).await {
                        Ok(input) => input,
                        Err(_) => Err("it was not fetched in time".to_owned()),
                    };
                    inputs.insert(key, input);
                }
            }
        }
    }
    vec![gave_up()]
}

/// The result where an evaluation asks without end: an error that denies, since nothing was judged.
fn gave_up() -> RuleResult {
    RuleResult {
        policy: "provost".into(),
        rule: "judge".into(),
        status: Status::Error,
        action: FailureAction::Enforce,
        fails_closed: true,
        message: format!("the policies still asked for more inputs after {MAX_ROUNDS} rounds"),
        violations: Vec::new(),
        properties: Vec::new(),
    }
}

// === impl Fetcher ===

impl Fetcher {
    /// Fetches from the cluster that `client` speaks to.
    pub fn cluster(client: Client) -> Self {
        Self { client: Some(client) }
    }

    async fn fetch(&self, key: &Key) -> Input {
        let Some(client) = &self.client else {
            return Err("there is no cluster to ask".to_owned());
        };
        match key {
            Key::NamespaceLabels(name) => {
                let namespaces: Api<Namespace> = Api::all(client.clone());
                let namespace = namespaces.get(name).await.map_err(|error| error.to_string())?;
                Ok(json!(namespace.metadata.labels.unwrap_or_default()))
            }
            Key::ConfigMap { namespace, name } => {
                let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                let config_map = config_maps.get(name).await.map_err(|error| error.to_string())?;
                let metadata = json!({
                    "name": name,
                    "namespace": namespace,
                    "labels": config_map.metadata.labels.unwrap_or_default(),
                    "annotations": config_map.metadata.annotations.unwrap_or_default(),
                });
                Ok(json!({ "data": config_map.data.unwrap_or_default(), "metadata": metadata }))
            }
            Key::ApiCall { .. } | Key::GlobalContext(_) | Key::Stated { .. } | Key::Roles => {
                Err("this version of Provost does not fetch it".to_owned())
            }
        }
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cluster = self.client.is_some();
        f.debug_struct("Fetcher").field("cluster", &cluster).finish()
    }
}
