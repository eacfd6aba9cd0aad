//! The admission webhook: AdmissionReview ↔ verdict.
//!
//! ```text
//! body ─bounds─▶ Review ─judge─▶ results ─▶ Verdict ─▶ AdmissionReview with denial text or warnings
//!                                             └──▶ ledger, metrics, log
//! ```
//!
//! A call judges all rules, or those of one class: its path says which ([`configuration`] says why). Each call is a
//! review of its own in ledger and metrics.
//!
//! # Guarantees
//! - Every review that can be read is answered, and the answer names every violation; one that cannot be read gets
//!   400, one over a bound 413, and nothing makes the process panic.
//! - The path of a review takes no lock and does no I/O that the matched rules don't need.
//!
//! Flags: `--listen`, `--certs`, `--webhook-url`, `--service`, `--failure-policy`, `--exempt-namespace`,
//! `--drain-delay`, `--client-ca`, `--client-name`, `--authority-lifetime`, `--certificate-lifetime`,
//! `--rotation-overlap`.
//! Metrics: `provost_webhook_…`, see [`metrics`]. RBAC: see [`configuration`] and [`store`].

pub mod answer;
pub mod body;
pub mod certificate;
pub mod configuration;
pub mod metrics;
pub mod policies;
pub mod review;
pub mod rotation;
pub mod run;
pub mod store;
mod strict;
mod witness;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::{Path, Request as HttpRequest, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use provost_evidence::event::{self, Event};
use provost_manifest::digest::Digest;
use provost_policy::{Class, DEFAULT_TIMEOUT_SECONDS, Part, Request, RuleResult};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    cluster::Kinds,
    ledger::Ledger,
    policies::{Fetcher, Patience, Policies, Snapshot, judge_part},
};

pub use answer::{Answer, Verdict};
pub use body::Bodies;
pub use metrics::WebhookMetrics;
pub use review::Review;
pub use store::Store;

/// What a webhook needs.
#[derive(Debug)]
pub struct Webhook {
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Where rules' inputs come from.
    pub fetcher: Fetcher,
    /// Where judgements are recorded.
    pub ledger: Ledger,
    /// Counters.
    pub metrics: WebhookMetrics,
    /// Namespaces whose requests are let in unjudged.
    pub exempt_namespaces: BTreeSet<String>,
    /// The last part of the path, which only the apiserver knows; `None` where the listener is private.
    pub token: Option<Token>,
    /// Cancelled once the process is to stop: then it is no longer ready.
    pub stop: CancellationToken,
    /// Reads what comes in.
    pub bodies: Bodies,
    /// How many reviews were judged; the seed of the next evaluation.
    pub reviews: AtomicU64,
    /// The kinds that the cluster serves; none without a cluster.
    pub served: Arc<ArcSwap<Kinds>>,
}

/// 128 random bits in the path of the webhook. Whoever knows it can ask for verdicts, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

// === impl Webhook ===

impl Webhook {
    /// The routes of the admission listener: reviews and probes.
    pub fn router(self: Arc<Self>) -> Router {
        let reviews = if self.token.is_some() {
            Router::new()
                .route("/validate/{token}", post(validate_with_token))
                .route("/validate/{token}/{part}", post(validate_part_with_token))
        } else {
            Router::new()
                .route("/validate", post(validate))
                .route("/validate/{part}", post(validate_part))
        };
        reviews
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .fallback(unknown)
            .layer(CatchPanicLayer::new())
            .with_state(self)
    }

    fn is_called_with(&self, token: &str) -> bool {
        let expected = self.token.as_ref();
        expected.is_some_and(|expected| expected.admits(token))
    }

    /// Judges one review by the rules of a class, or by all, while the apiserver waits, and records it.
    pub async fn review(&self, review: &Review, class: Option<Class>, patience: Patience) -> Answer {
        let request = review.request();
        let mut answer = if self.exempt_namespaces.contains(request.namespace) {
            Answer::exempt()
        } else {
            self.judge(review, &request, class, patience).await
        };
        answer.position = self.ledger.reserve();
        self.record(review, class, &answer);
        answer
    }

    async fn judge(
        &self,
        review: &Review,
        request: &Request<'_>,
        class: Option<Class>,
        patience: Patience,
    ) -> Answer {
        let snapshot = self.policies.current();
        let seed = self.reviews.fetch_add(1, Ordering::Relaxed);
        let (group, plural) = review.resource();
        let part = Part {
            class,
            named: configuration::is_needed_to_recover(group, plural),
        };
        let results = judge_part(&snapshot, part, request, &self.fetcher, patience, seed).await;
        let others = match class.map(other) {
            // The apiserver shows one denial, whichever of its calls denies first.
            Some(other) if results.iter().any(RuleResult::denies) => {
                let part = Part {
                    class: Some(other),
                    ..part
                };
                judge_part(&snapshot, part, request, &self.fetcher, patience, seed).await
            }
            _ => Vec::new(),
        };
        for result in results.iter().chain(&others).filter(|result| result.overran) {
            self.policies
                .overran(&result.policy, &result.rule, patience.for_a_rule());
        }
        Answer::new(request, &results, &others, snapshot.set.digest())
    }

    /// Judges one review of a policy, as such. What is not on the disk is not let in: no change of a policy is lost.
    pub async fn review_policy(&self, review: &Review) -> Answer {
        let mut answer = policies::judge(review, &self.policies);
        answer.position = self.ledger.reserve();
        let mut change = Self::admission(review, None, &answer);
        change.object_digest = review
            .request()
            .object
            .map(|object| Digest::of_value(object).to_string());
        if let Err(error) = self.ledger.append_durably(Event::PolicyChange(change)).await {
            tracing::error!(%error, uid = review.uid(), "A change of a policy could not be recorded, and is refused.");
            answer = Answer::unrecorded(&review.request(), &error);
        }
        self.metrics.count(answer.verdict);
        answer
    }

    fn record(&self, review: &Review, class: Option<Class>, answer: &Answer) {
        let request = review.request();
        self.metrics.count(answer.verdict);
        if answer.verdict == Verdict::Denied {
            tracing::debug!(
                uid = review.uid(),
                kind = request.kind.kind,
                namespace = request.namespace,
                name = request.name,
                user = review.user().username,
                rules = ?answer.rules,
                "A request was denied."
            );
        }
        self.ledger
            .append(Event::Admission(Self::admission(review, class, answer)));
    }

    /// What is recorded of a decision.
    fn admission(review: &Review, class: Option<Class>, answer: &Answer) -> event::Admission {
        let request = review.request();
        event::Admission {
            uid: review.uid().to_owned(),
            position: answer.position.clone(),
            operation: review.operation().to_owned(),
            group: request.kind.group.clone(),
            version: request.kind.version.clone(),
            kind: request.kind.kind.clone(),
            resource: review.resource().1.to_owned(),
            subresource: request.subresource.to_owned(),
            namespace: request.namespace.to_owned(),
            name: match request.name {
                "" => generated_name(&request).to_owned(),
                name => name.to_owned(),
            },
            user: review.user().username.clone(),
            dry_run: request.dry_run,
            class: class
                .map(configuration::class_name)
                .unwrap_or_default()
                .to_owned(),
            verdict: answer.verdict.name().to_owned(),
            policy_set: answer.policy_set.clone(),
            rules: answer.rules.clone(),
            object_digest: None,
        }
    }
}

/// The name that the apiserver made up, where the request has none yet.
fn generated_name<'a>(request: &Request<'a>) -> &'a str {
    let name = request.object.and_then(|object| object.pointer("/metadata/name"));
    name.and_then(serde_json::Value::as_str).unwrap_or_default()
}

fn other(class: Class) -> Class {
    match class {
        Class::Fail => Class::Ignore,
        Class::Ignore => Class::Fail,
    }
}

async fn validate_with_token(
    State(webhook): State<Arc<Webhook>>,
    Path(token): Path<String>,
    request: HttpRequest,
) -> Response {
    if webhook.is_called_with(&token) {
        validate(State(webhook), request).await
    } else {
        unknown(State(webhook)).await
    }
}

/// Whoever asks without the token is told nothing, and counted.
async fn unknown(State(webhook): State<Arc<Webhook>>) -> Response {
    webhook.metrics.refuse_with(StatusCode::NOT_FOUND);
    StatusCode::NOT_FOUND.into_response()
}

async fn validate_part_with_token(
    State(webhook): State<Arc<Webhook>>,
    Path((token, part)): Path<(String, String)>,
    request: HttpRequest,
) -> Response {
    match Reviewed::by(&part) {
        Some(reviewed) if webhook.is_called_with(&token) => respond(&webhook, request, reviewed).await,
        _ => unknown(State(webhook)).await,
    }
}

async fn validate(State(webhook): State<Arc<Webhook>>, request: HttpRequest) -> Response {
    respond(&webhook, request, Reviewed::Object(None)).await
}

async fn validate_part(
    State(webhook): State<Arc<Webhook>>,
    Path(part): Path<String>,
    request: HttpRequest,
) -> Response {
    match Reviewed::by(&part) {
        Some(reviewed) => respond(&webhook, request, reviewed).await,
        None => unknown(State(webhook)).await,
    }
}

/// What a review is looked at as.
#[derive(Clone, Copy, Debug)]
enum Reviewed {
    /// An object, by the policies in force, or by the rules of a class.
    Object(Option<Class>),
    /// A policy, by the language of policies.
    Policy,
    /// Anything, by nobody: it is recorded.
    Witness,
}

impl Reviewed {
    /// What the last part of a path asks for.
    fn by(part: &str) -> Option<Self> {
        if policies::PATH.strip_prefix('/') == Some(part) {
            return Some(Self::Policy);
        }
        if configuration::witness::PATH.strip_prefix('/') == Some(part) {
            return Some(Self::Witness);
        }
        configuration::class(part).map(|class| Self::Object(Some(class)))
    }
}

async fn respond(webhook: &Webhook, request: HttpRequest, reviewed: Reviewed) -> Response {
    let started = Instant::now();
    let patience = patience(request.uri().query().unwrap_or_default(), started);
    // The body's room is held until the answer: what was parsed from it lives as long.
    let read = webhook.bodies.read(request).await.and_then(|body| {
        let review = Review::parse(&body.bytes)?.of_parent(&webhook.served.load());
        Ok((body, review))
    });
    match read {
        Ok((_body, review)) => {
            let answer = match reviewed {
                Reviewed::Object(class) => webhook.review(&review, class, patience).await,
                Reviewed::Policy => webhook.review_policy(&review).await,
                Reviewed::Witness => webhook.witness(&review),
            };
            let body = answer.to_json(review.uid());
            webhook.metrics.observe(started.elapsed());
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(refusal) => {
            webhook.metrics.refuse(&refusal);
            tracing::warn!("A review was refused: {refusal}.");
            (refusal.status(), format!("{refusal}\n")).into_response()
        }
    }
}

/// How long the apiserver waits, which it says itself: `timeout=5s`. What it does not say is as long as policies that do
/// not say either.
fn patience(query: &str, started: Instant) -> Patience {
    let mut parts = query.split('&');
    let said = parts.find_map(|part| part.strip_prefix("timeout=")?.strip_suffix('s')?.parse().ok());
    let seconds: u64 = said.unwrap_or_else(|| DEFAULT_TIMEOUT_SECONDS.into());
    Patience::new(started, Duration::from_secs(seconds.max(1)))
}

/// Ready once policies were read, and until the process is asked to stop. The body says which policies are out and
/// which exceptions do not count.
async fn readyz(State(webhook): State<Arc<Webhook>>) -> Response {
    if webhook.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if !webhook.policies.complete() {
        let waiting = "not ready: the policies have not been read yet\n";
        return (StatusCode::SERVICE_UNAVAILABLE, waiting).into_response();
    }
    let mut text = readiness(&webhook.policies.current());
    if let Some(reason) = webhook.policies.hindrances().borrow().not_registered() {
        let _ = writeln!(
            text,
            "not registered: the apiserver could not be told to ask about it: {reason}"
        );
    }
    text.into_response()
}

fn readiness(snapshot: &Snapshot) -> String {
    let loaded = snapshot.set.policies().len();
    let noun = if loaded == 1 { "policy" } else { "policies" };
    let mut text = format!("ready: {loaded} {noun} in force");
    if !snapshot.set.digest().is_empty() {
        let _ = write!(text, " ({})", snapshot.set.digest());
    }
    text.push('\n');
    for fault in &snapshot.refused {
        let _ = writeln!(text, "out: {fault}");
    }
    for exception in &snapshot.uncounted {
        let _ = writeln!(text, "without effect: {exception}");
    }
    text
}

// === impl Token ===

impl Token {
    /// A new one.
    pub fn random() -> Result<Self, ring::error::Unspecified> {
        use ring::rand::SecureRandom as _;
        let mut bytes = [0; 16];
        ring::rand::SystemRandom::new().fill(&mut bytes)?;
        Ok(Self(bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })))
    }

    /// One that was kept.
    pub fn kept(token: String) -> Self {
        Self(token)
    }

    /// The text, for the webhook's URL and for the Secret that keeps it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this token; takes the same time however much of it is right.
    fn admits(&self, given: &str) -> bool {
        let (expected, given) = (self.0.as_bytes(), given.as_bytes());
        expected.len() == given.len()
            && expected
                .iter()
                .zip(given)
                .fold(0, |differing, (a, b)| differing | (a ^ b))
                == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        policies::{Contents, ExceptionNamespaces, PolicyKind, Source},
        telemetry::Metrics,
    };

    const SOURCE: Source = Source::Cluster(PolicyKind::ClusterPolicy);

    fn webhook(token: Option<&str>) -> Arc<Webhook> {
        recording(Ledger::none(), token)
    }

    /// One that records there.
    pub(super) fn recording(ledger: Ledger, token: Option<&str>) -> Arc<Webhook> {
        let policies = Arc::new(Policies::new(
            Ledger::none(),
            [SOURCE],
            ExceptionNamespaces::default(),
        ));
        Arc::new(Webhook {
            metrics: WebhookMetrics::register(&Metrics::default(), Arc::clone(&policies), Ledger::none()),
            policies,
            fetcher: Fetcher::default(),
            ledger,
            exempt_namespaces: BTreeSet::new(),
            token: token.map(|token| Token::kept(token.to_owned())),
            stop: CancellationToken::new(),
            bodies: Bodies::default(),
            reviews: AtomicU64::new(0),
            served: Arc::default(),
        })
    }

    async fn ask(webhook: &Arc<Webhook>, method: &str, path: &str) -> (StatusCode, String) {
        let request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = Arc::clone(webhook).router().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn only_who_knows_the_token_gets_verdicts() {
        let webhook = webhook(Some("0123"));
        for path in [
            "/validate",
            "/validate/",
            "/validate/0124",
            "/validate/012",
            "/validate/01234",
            "/validate/0124/fail",
            "/validate/0123/",
            "/validate/0123/audit",
            "/validate/policies",
            "/validate/0124/policies",
        ] {
            assert_eq!(
                ask(&webhook, "POST", path).await.0,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        for path in [
            "/validate/0123",
            "/validate/0123/fail",
            "/validate/0123/ignore",
            "/validate/0123/policies",
        ] {
            let status = ask(&webhook, "POST", path).await.0;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        }
    }

    #[tokio::test]
    async fn it_is_ready_once_policies_were_read_and_until_it_is_to_stop() {
        let webhook = webhook(None);
        assert_eq!(ask(&webhook, "GET", "/healthz").await.0, StatusCode::OK);
        assert_eq!(
            ask(&webhook, "GET", "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        webhook.policies.replace(SOURCE, Contents::default());
        let (status, body) = ask(&webhook, "GET", "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.starts_with("ready: 0 policies in force"), "{body}");
        webhook.stop.cancel();
        let (status, body) = ask(&webhook, "GET", "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        );
    }
}
