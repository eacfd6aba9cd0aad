//! What operators see: the log on stderr, and metrics.

use std::{
    fmt::{self, Debug},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, TypedMetric},
    registry::Registry,
};
use tracing_subscriber::EnvFilter;

/// The content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of a [`Latency`], in microseconds: a verdict takes tens, a deadline is ten million.
const BOUNDS_MICROS: [u64; 14] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000,
];

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// All metrics of the process. Rooms register theirs at start, with the prefix `provost_ROOM`.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Registry>>);

/// A histogram of durations that is observed without a lock.
#[derive(Clone, Debug, Default)]
pub struct Latency(Arc<LatencyInner>);

#[derive(Debug, Default)]
struct LatencyInner {
    /// One count per bound, and one for what is slower than all.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

/// Starts the log on stderr. `filter` is in the syntax of tracing's `EnvFilter`: `info`, `provost=debug`.
pub fn start_log(format: LogFormat, filter: &str) {
    // The client's own retries and connections are noise at info.
    let filter = EnvFilter::new(format!("kube_client=warn,kube_runtime=warn,hyper=warn,{filter}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written, on a full disk say, is no reason to end what it is about.
        .log_internal_errors(false);
    // An error means that a log is there already, as in tests that run in one process.
    let _ = match format {
        LogFormat::Text => log.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

// === impl Metrics ===

impl Metrics {
    /// Lets a room register its metrics below `provost_ROOM`.
    pub fn room(&self, room: &str, register: impl FnOnce(&mut Registry)) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        register(
            registry
                .sub_registry_with_prefix("provost")
                .sub_registry_with_prefix(room),
        );
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

// === impl Latency ===

impl Latency {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|&bound| bound < micros);
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum of 2^53 microseconds is 285 years"
    )]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let bounds = BOUNDS_MICROS
            .iter()
            .map(|&bound| seconds(bound))
            .chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.sum_micros.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
