//! One holder at a time, by a `coordination.k8s.io` Lease: work runs only while the lease is held, and it is given back
//! at the end, so that whoever waits need not wait for it to expire.
//!
//! A lease counts as expired once it has not changed for its duration by *our* clock since we first saw it so; the
//! times that another machine wrote into it are never compared with ours.
//!
//! RBAC: get, create, update on the one lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a lease holds without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How often whoever waits looks.
const LOOK: Duration = Duration::from_secs(2);
/// How long one request may take: several fit into what is left of a lease.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Until when a lease is ours for certain, by our own clock: whoever was kept from renewing it, by a network or by being
/// frozen, knows that before anybody tells.
#[derive(Clone, Debug, Default)]
pub struct Validity(Arc<Mutex<Option<Instant>>>);

/// A lease that one of several processes holds.
#[derive(Clone)]
pub struct Lease {
    api: Api<Object>,
    namespace: String,
    name: String,
    identity: String,
    validity: Validity,
}

/// Why a lease is not ours now.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read or write the lease")]
    Request(#[from] kube::Error),
    #[error("the apiserver did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

/// What an attempt to take the lease came to.
enum Attempt {
    Ours,
    /// Somebody else's: who, and the version in which we saw it.
    Theirs {
        holder: String,
        version: String,
    },
    /// It changed while we wrote.
    Raced,
}

/// The version of somebody's lease, and since when we have seen no other.
struct Seen {
    version: String,
    since: Instant,
}

// === impl Validity ===

impl Validity {
    /// Whether the lease is ours now.
    pub fn is_ours(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was written by a request that began then. Whoever waits counts from our last write; we stop before they start.
    fn renewed_at(&self, began: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(began + DURATION - RENEWAL);
    }
}

// === impl Lease ===

impl Lease {
    /// The lease of this name; `identity` tells its holders apart, and a holder that comes back under the same one
    /// takes it up again at once.
    pub fn new(client: kube::Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity,
            validity: Validity::default(),
        }
    }

    /// Until when it is ours, as it changes.
    pub fn validity(&self) -> Validity {
        self.validity.clone()
    }

    /// Runs `work` whenever the lease is ours, with a token that is cancelled when it no longer is, until `shutdown`.
    /// Gives the lease back at the end. Returns what the work failed with, if it did so by itself.
    pub async fn hold<E, W: Future<Output = Result<(), E>>>(
        &self,
        shutdown: &CancellationToken,
        mut work: impl FnMut(CancellationToken) -> W,
    ) -> Result<(), E> {
        loop {
            if shutdown.run_until_cancelled(self.acquire()).await.is_none() {
                return Ok(());
            }
            let held = shutdown.child_token();
            let renewal = async {
                self.renew().await;
                tracing::warn!(
                    lease = self.to_string(),
                    "The lease was lost; work stops until it is ours again."
                );
                held.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = renewal => {}
                ended = work(held.clone()) => {
                    if ended.is_err() || shutdown.is_cancelled() || !held.is_cancelled() {
                        self.give_back().await;
                        return ended;
                    }
                }
            }
        }
    }

    /// Comes back once the lease is ours.
    async fn acquire(&self) {
        let mut seen: Option<Seen> = None;
        let mut announced: Option<String> = None;
        loop {
            let expired = seen.as_ref().is_some_and(|seen| seen.since.elapsed() > DURATION);
            let expired = seen
                .as_ref()
                .filter(|_| expired)
                .map(|seen| seen.version.as_str());
            match self.attempt(expired).await {
                Ok(Attempt::Ours) => return,
                Ok(Attempt::Theirs { holder, version }) => {
                    if announced.as_ref() != Some(&holder) {
                        tracing::info!(
                            lease = self.to_string(),
                            holder,
                            "Another agent holds the lease; waiting for it."
                        );
                        announced = Some(holder);
                    }
                    if seen.as_ref().is_none_or(|seen| seen.version != version) {
                        let since = Instant::now();
                        seen = Some(Seen { version, since });
                    }
                }
                Ok(Attempt::Raced) => continue,
                Err(error) => tracing::warn!(
                    lease = self.to_string(),
                    error = &error as &dyn std::error::Error,
                    "The lease cannot be taken; trying again."
                ),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Renews until the lease is lost.
    async fn renew(&self) {
        while let Some(until) = self.validity.until() {
            match timeout_at(until, self.renew_once()).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Comes back once it was renewed, or with `false` where it is somebody else's.
    async fn renew_once(&self) -> bool {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.attempt(None).await {
                Ok(Attempt::Ours) => return true,
                Ok(Attempt::Theirs { .. }) => return false,
                Ok(Attempt::Raced) => {}
                Err(error) => {
                    tracing::warn!(
                        lease = self.to_string(),
                        error = &error as &dyn std::error::Error,
                        "The lease was not renewed; trying again."
                    );
                }
            }
        }
    }

    /// Takes or renews the lease where nobody else has it, or where it still is in the version that has expired.
    async fn attempt(&self, expired: Option<&str>) -> Result<Attempt, Error> {
        let began = Instant::now();
        let Some(found) = ask(self.api.get_opt(&self.name)).await? else {
            let created = ask(self.api.create(&PostParams::default(), &self.object(None))).await;
            return self.ours_unless_raced(began, created);
        };
        let version = found.metadata.resource_version.clone().unwrap_or_default();
        let holder = found
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone())
            .filter(|holder| !holder.is_empty());
        if let Some(holder) = holder.filter(|holder| *holder != self.identity && expired != Some(&version)) {
            return Ok(Attempt::Theirs { holder, version });
        }
        let written = ask(self
            .api
            .replace(&self.name, &PostParams::default(), &self.object(Some(found))))
        .await;
        self.ours_unless_raced(began, written)
    }

    fn ours_unless_raced<T>(&self, began: Instant, written: Result<T, Error>) -> Result<Attempt, Error> {
        match written {
            Ok(_) => {
                self.validity.renewed_at(began);
                Ok(Attempt::Ours)
            }
            Err(Error::Request(kube::Error::Api(status))) if status.code == 409 => Ok(Attempt::Raced),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self) {
        let release = async {
            let Some(mut found) = self.api.get_opt(&self.name).await? else {
                return Ok(());
            };
            let Some(spec) = found
                .spec
                .as_mut()
                .filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
            else {
                return Ok(());
            };
            spec.holder_identity = None;
            self.api
                .replace(&self.name, &PostParams::default(), &found)
                .await
                .map(drop)
        };
        if let Err(error) = ask(release).await {
            tracing::warn!(
                lease = self.to_string(),
                error = &error as &dyn std::error::Error,
                "The lease was not given back; it expires by itself."
            );
        }
    }

    /// The lease as ours; keeps what is not ours of the one that was found.
    fn object(&self, found: Option<Object>) -> Object {
        let now = MicroTime(Timestamp::now());
        let mut object = found.unwrap_or_else(|| Object {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let before = object.spec.take().unwrap_or_default();
        let is_ours = before.holder_identity.as_ref() == Some(&self.identity);
        object.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if is_ours {
                before.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!is_ours)),
            ..before
        });
        object
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

async fn ask<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Timeout),
    }
}
