//! What the agent counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::status::SyncOutcome;
use crate::api::argoproj::Application;
use crate::cluster::Cluster;
use crate::telemetry::{Latency, Metrics};

/// The agent's metrics, below `provost_sync`.
#[derive(Debug, Default)]
pub(super) struct SyncMetrics {
    syncs: Family<Outcome, Counter>,
    sync_time: Latency,
    renders: Counter,
    applications: Family<Standing, Gauge>,
    pub(super) fetches: FetchMetrics,
    /// What each Application's line says, so that it has one.
    standings: Mutex<HashMap<String, Standing>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Fetches of repositories. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct FetchMetrics {
    fetches: Family<Outcome, Counter>,
    time: Latency,
}

/// How one Application stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Standing {
    namespace: String,
    name: String,
    project: String,
    sync: String,
    health: String,
}

/// The requests that the agent has made, which its connection counts.
#[derive(Debug)]
struct Requests(Cluster);

// === impl SyncMetrics ===

impl SyncMetrics {
    pub(super) fn register(metrics: &Metrics, cluster: &Cluster) -> Self {
        let ours = Self::default();
        metrics.room("sync", |registry| {
            registry.register("syncs", "Syncs that ended, by outcome", ours.syncs.clone());
            registry.register(
                "sync_seconds",
                "Time from the begin of a sync to its end, waits included",
                ours.sync_time.clone(),
            );
            registry.register(
                "renders",
                "Renders that brought something new",
                ours.renders.clone(),
            );
            registry.register(
                "git_fetches",
                "Fetches of repositories, by outcome",
                ours.fetches.fetches.clone(),
            );
            registry.register(
                "git_fetch_seconds",
                "Time that a fetch of a repository takes",
                ours.fetches.time.clone(),
            );
            registry.register(
                "application_info",
                "1 for each Application, with how it stands",
                ours.applications.clone(),
            );
            registry.register_collector(Box::new(Requests(cluster.clone())));
        });
        ours
    }

    pub(super) fn count_render(&self) {
        self.renders.inc();
    }

    /// A sync has ended.
    pub(super) fn count_sync(&self, outcome: &SyncOutcome, took: std::time::Duration) {
        let outcome = match outcome {
            SyncOutcome::Failed(_) => "failed",
            SyncOutcome::Running(_) | SyncOutcome::Succeeded(_) => "succeeded",
        };
        self.syncs.get_or_create(&Outcome { outcome }).inc();
        self.sync_time.observe(took);
    }

    /// How the Application stands now.
    pub(super) fn show(&self, application: &Application) {
        let status = &application.status;
        let spec = &application.spec;
        let standing = Standing {
            namespace: application.metadata.namespace.clone().unwrap_or_default(),
            name: application.metadata.name.clone().unwrap_or_default(),
            project: spec["project"].as_str().unwrap_or_default().to_owned(),
            sync: status
                .sync
                .as_ref()
                .map(|sync| format!("{:?}", sync.status))
                .unwrap_or_default(),
            health: status
                .health
                .as_ref()
                .map(|health| health.status.clone())
                .unwrap_or_default(),
        };
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let before = standings.insert(application.full_name(), standing.clone());
        if before.as_ref() != Some(&standing) {
            if let Some(before) = &before {
                self.applications.remove(before);
            }
            self.applications.get_or_create(&standing).set(1);
        }
    }

    /// The Application is gone.
    pub(super) fn forget(&self, name: &str) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = standings.remove(name) {
            self.applications.remove(&before);
        }
    }
}

// === impl FetchMetrics ===

impl FetchMetrics {
    /// A fetch has ended.
    pub(super) fn count(&self, has_succeeded: bool, took: std::time::Duration) {
        let outcome = if has_succeeded { "succeeded" } else { "failed" };
        self.fetches.get_or_create(&Outcome { outcome }).inc();
        self.time.observe(took);
    }
}

// === impl Requests ===

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let requests = ConstCounter::new(self.0.requests());
        let help = "Requests to the apiserver, watches not included";
        let metric = encoder.encode_descriptor(
            "requests",
            help,
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        requests.encode(metric)
    }
}
