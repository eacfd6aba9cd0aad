//! What the webhook counts: `provost_webhook_reviews_total{verdict}`, `provost_webhook_refused_total{status}`,
//! `provost_webhook_review_seconds`, `provost_webhook_policies{state}`, `provost_webhook_ledger_lost`,
//! `provost_webhook_certificate_expiry_timestamp_seconds{certificate}`.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge},
    registry::Unit,
};

use super::{Verdict, body::Refusal, rotation::Identity};
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
    expiry: Expiry,
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

/// When certificates expire, in seconds since 1970: so that an alarm can tell a rotation that does not go on.
#[derive(Clone, Debug, Default)]
pub struct Expiry(Family<CertificateLabels, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: &'static str,
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
            expiry: Expiry::default(),
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
            registry.register_with_unit(
                "certificate_expiry_timestamp",
                "When the certificate that is served, and the authority that signed it, expire",
                Unit::Seconds,
                this.expiry.0.clone(),
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

    /// Where the certificates' ends are told.
    pub fn expiry(&self) -> Expiry {
        self.expiry.clone()
    }

    /// Counts the time from a review's headers to its answer.
    pub fn observe(&self, duration: Duration) {
        self.latency.observe(duration);
    }
}

// === impl Expiry ===

impl Expiry {
    /// Tells when what is served expires, and who vouches for it.
    pub fn tell(&self, identity: &Identity) {
        let (serving, authority) = identity.expiry();
        for (certificate, end) in [("serving", serving), ("authority", authority)] {
            let labels = CertificateLabels { certificate };
            self.0.get_or_create(&labels).set(end.as_second());
        }
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
