//! Heartbeats in the ledger: that this process works, and what the cluster is told to ask it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use provost_evidence::event::{Event, Heartbeat};
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{WEBHOOK_CONFIGURATION, WITNESS_CONFIGURATION},
    ledger::Ledger,
    webhook::{Webhook, configuration::keep},
};

/// How far apart they are.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
/// How long the cluster may take to show a configuration.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What a heartbeat tells of.
pub(super) struct Pulse {
    pub(super) ledger: Ledger,
    pub(super) webhook: Option<Arc<Webhook>>,
    pub(super) client: Option<Client>,
}

// === impl Pulse ===

impl Pulse {
    /// Until the process is asked to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let heartbeat = self.heartbeat().await;
            self.ledger.append(Event::Heartbeat(heartbeat));
        }
    }

    async fn heartbeat(&self) -> Heartbeat {
        let webhook = self.webhook.as_ref();
        let mut configurations = BTreeMap::new();
        if let (Some(client), Some(_)) = (&self.client, webhook) {
            for name in [WEBHOOK_CONFIGURATION, WITNESS_CONFIGURATION] {
                configurations.insert(name.to_owned(), configuration(client, name).await);
            }
        }
        Heartbeat {
            served: webhook.map_or(0, |webhook| webhook.reviews.load(Ordering::Relaxed)),
            policy_set: webhook.map_or_else(String::new, |webhook| {
                webhook.policies.current().set.digest().to_owned()
            }),
            configurations,
        }
    }
}

/// The digest of what makes the apiserver ask us.
async fn configuration(client: &Client, name: &str) -> String {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    match timeout(READ_TIMEOUT, configurations.get_opt(name)).await {
        Ok(Ok(Some(found))) => keep::digest(&found),
        Ok(Ok(None)) => "absent".to_owned(),
        Ok(Err(_)) | Err(_) => "unknown".to_owned(),
    }
}
