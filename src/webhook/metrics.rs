//! What the webhook counts: `provost_webhook_reviews_total{verdict}`, `provost_webhook_refused_total{status}`,
//! `provost_webhook_review_seconds`, `provost_webhook_policies{state}`, `provost_webhook_ledger_lost`.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{MetricType, counter::Counter, family::Family},
    registry::Unit,
};

use super::{Verdict, body::Refusal};
use crate::{
    ledger::Ledger,
    policies::Policies,
    telemetry::{Latency, Metrics},
};

/// The webhook's metrics.
#[derive(Debug)]
pub struct WebhookMetrics {
    /// One counter per verdict, in the order of [`Verdict::ALL`]: found without the lock of their family.
    reviews: [Counter; Verdict::ALL.len()],
    refused: Family<RefusedLabels, Counter>,
    latency: Latency,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    status: u16,
}

/// Counts at each scrape what is counted elsewhere.
#[derive(Debug)]
struct Counts {
    policies: Arc<Policies>,
    ledger: Ledger,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    state: &'static str,
}

// === impl WebhookMetrics ===

impl WebhookMetrics {
    /// Registers the metrics, among them how many policies are in force and how many are out.
    pub fn register(metrics: &Metrics, policies: Arc<Policies>, ledger: Ledger) -> Self {
        let reviews = Family::<VerdictLabels, Counter>::default();
        let this = Self {
            reviews: Verdict::ALL.map(|verdict| {
                let verdict = verdict.name();
                reviews.get_or_create_owned(&VerdictLabels { verdict })
            }),
            refused: Family::default(),
            latency: Latency::default(),
        };
        metrics.room("webhook", |registry| {
            registry.register("reviews", "Requests judged, by verdict", reviews);
            registry.register(
                "refused",
                "Requests that are no review to judge, by HTTP status",
                this.refused.clone(),
            );
            registry.register_with_unit(
                "review",
                "Time from a review's headers to its answer",
                Unit::Seconds,
                this.latency.clone(),
            );
            registry.register_collector(Box::new(Counts { policies, ledger }));
        });
        this
    }

    /// Counts a verdict.
    pub fn count(&self, verdict: Verdict) {
        self.reviews[verdict as usize].inc();
    }

    /// Counts a body that is not judged.
    pub fn refuse(&self, refusal: &Refusal) {
        self.refuse_with(refusal.status());
    }

    /// Counts a request that is refused unread: 404 without the token, 403 without a client certificate.
    pub fn refuse_with(&self, status: StatusCode) {
        let status = status.as_u16();
        self.refused.get_or_create(&RefusedLabels { status }).inc();
    }

    /// Counts the time from a review's headers to its answer.
    pub fn observe(&self, duration: Duration) {
        self.latency.observe(duration);
    }
}

// === impl Counts ===

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.policies.current();
        let counts = [
            ("loaded", snapshot.set.policies().len()),
            ("refused", snapshot.refused.len()),
        ];
        let help = "Policies in force, and reasons why policies are out";
        let mut family = encoder.encode_descriptor("policies", help, None, MetricType::Gauge)?;
        for (state, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family
                .encode_family(&PolicyLabels { state })?
                .encode_gauge(&count)?;
        }
        let help = "Records that the ledger could not take and that no gap record names yet";
        let lost = i64::try_from(self.ledger.lost()).unwrap_or(i64::MAX);
        let mut gauge = encoder.encode_descriptor("ledger_lost", help, None, MetricType::Gauge)?;
        gauge.encode_gauge(&lost)
    }
}
