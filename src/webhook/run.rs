//! Keeping both sides of the webhook true while it runs: the configuration follows the policies in force, and the
//! certificates follow their [rotation](super::rotation).
//!
//! RBAC: what [`configuration`] and [`store`](super::store) ask for.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Store, certificate,
    configuration::{
        self, Endpoint,
        keep::{self, Keep},
    },
    metrics::Expiry,
    rotation::{Identity, Lifetimes, Moment, Phase},
    store,
};
use crate::{
    config::WitnessScope,
    policies::{Policies, Registration},
    server::ServingCertificate,
};

/// How often the configuration is compared with the cluster although no policy changed: kinds may have been defined
/// since, and somebody may have edited it.
pub const RESYNC: Duration = Duration::from_secs(30);
/// How soon what could not be written is tried again.
pub const RETRY: Duration = Duration::from_secs(2);
/// How long the apiserver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is kept.
pub struct Keeper {
    /// Whose kinds the configuration has.
    pub policies: Arc<Policies>,
    /// What is served, and who vouches for it.
    pub identity: Identity,
    /// Where it is kept.
    pub store: Store,
    /// The names that it is for.
    pub names: Vec<String>,
    /// How long certificates live.
    pub lifetimes: Lifetimes,
    /// What the listener serves.
    pub certificate: Arc<ServingCertificate>,
    /// Where the certificates' ends are told.
    pub expiry: Expiry,
    /// Tells the apiserver; `None` where none asks us.
    pub registrar: Option<Registrar>,
}

/// Tells the apiserver whom to ask about what.
#[derive(Clone)]
pub struct Registrar {
    /// The cluster.
    pub client: Client,
    /// What the configuration says besides the kinds.
    pub endpoint: Endpoint,
    /// Of which writes the apiserver is to tell.
    pub witness: WitnessScope,
    /// Knows what was written.
    pub keep: Arc<Keep>,
}

/// Why the apiserver could not be told.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] configuration::Error),
    /// The apiserver did not answer.
    #[error("cannot write ValidatingWebhookConfiguration {}: the apiserver did not answer within {} s", configuration::NAME, TIMEOUT.as_secs())]
    Timeout,
}

/// Why a rotation does not go on.
#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Make(#[from] certificate::Error),
    #[error(transparent)]
    Serve(#[from] crate::server::Error),
    #[error("cannot read which certificate authorities the apiserver trusts")]
    ReadBundle(#[source] Box<kube::Error>),
    #[error("cannot read which certificate authorities the apiserver trusts: no answer within {} s", TIMEOUT.as_secs())]
    ReadBundleTimeout,
}

// === impl Registrar ===

impl Registrar {
    /// Writes the configuration for the policies in force; the apiserver calls us from here on.
    pub async fn announce(&self, policies: &Policies) -> Result<(), AnnounceError> {
        let snapshot = policies.current();
        let kinds = snapshot.set.kinds();
        let writing = configuration::write(&self.client, &self.endpoint, &kinds, &self.witness, &self.keep);
        let written = match timeout(TIMEOUT, writing).await {
            Ok(written) => written.map_err(AnnounceError::from),
            Err(_) => Err(AnnounceError::Timeout),
        };
        policies.registered(match &written {
            Ok(()) => Registration::Done {
                policy_set: snapshot.set.digest().to_owned(),
            },
            Err(error) => Registration::Failed {
                reason: reason(error),
            },
        });
        written
    }

    /// The bundle that all of its webhooks hold in the cluster, or `None` where they hold several, or are not there.
    async fn bundle(&self) -> Result<Option<String>, RotateError> {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let present = timeout(TIMEOUT, configurations.get_opt(configuration::NAME)).await;
        let present = present.map_err(|_| RotateError::ReadBundleTimeout)?;
        let present = present.map_err(|source| RotateError::ReadBundle(Box::new(source)))?;
        let Some(present) = present else { return Ok(None) };
        let mut bundles = present.webhooks.into_iter().flatten().map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.unwrap_or_default();
            String::from_utf8(bundle.0).unwrap_or_default()
        });
        // Where nobody is asked, nobody can be mistrusted.
        let first = bundles.next().unwrap_or_else(|| self.endpoint.authority.clone());
        Ok(bundles.all(|bundle| bundle == first).then_some(first))
    }
}

/// Why policies are not in force, for their Ready condition and `/readyz`.
fn reason(error: &AnnounceError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

// === impl Keeper ===

impl Keeper {
    /// Keeps configuration and certificates until `stop`, then returns who told the apiserver, as it last was. Errors
    /// are logged, and tried again.
    ///
    /// `changes` tells of policies that changed since the caller's own announcement.
    pub async fn run(
        mut self,
        mut changes: watch::Receiver<()>,
        stop: CancellationToken,
    ) -> Option<Registrar> {
        let (mut resync, mut check) = (every(RESYNC), every(self.lifetimes.check()));
        self.expiry.tell(&self.identity);
        let edits = self.registrar.as_ref();
        let mut edits = edits.map(|registrar| keep::edits(&registrar.client, &registrar.keep, &stop));
        let mut retry: Option<Instant> = self.unregistered().then(Instant::now);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.registrar,
                _ = changes.changed() => {}
                () = edited(&mut edits) => {}
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
                _ = resync.tick() => {}
                _ = check.tick() => {
                    match self.rotate().await {
                        Ok(false) => continue,
                        Ok(true) => {}
                        Err(error) => {
                            tracing::error!(
                                error = &error as &dyn std::error::Error,
                                "The certificates could not be looked after; it is tried again."
                            );
                            continue;
                        }
                    }
                }
            }
            self.announce().await;
            retry = self.unregistered().then(|| Instant::now() + RETRY);
        }
    }

    async fn announce(&self) {
        let Some(registrar) = &self.registrar else { return };
        if let Err(error) = registrar.announce(&self.policies).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "The webhook configuration is not as it should be; it is tried again."
            );
        }
    }

    fn unregistered(&self) -> bool {
        self.policies.hindrances().borrow().not_registered().is_some()
    }

    /// Follows what is kept, and takes the step that is due. Returns whether the apiserver is to trust others now.
    async fn rotate(&mut self) -> Result<bool, RotateError> {
        let kept = self.store.load().await?;
        let Some(theirs) = kept.identity.clone() else {
            tracing::warn!(
                "The certificates that were kept in {} are gone or broken. They are written again.",
                self.store
            );
            self.store.save(&kept, &self.identity).await?;
            return Ok(false);
        };
        let mut retold = self.follow(theirs)?;
        let bundle = self.bundle().await?;
        let moment = Moment {
            now: Timestamp::now(),
            names: &self.names,
            forced: kept.forced,
            bundle: bundle.as_deref(),
        };
        if let Some((step, next)) = self.identity.step(&moment, self.lifetimes)?
            && self.store.save(&kept, &next).await?
        {
            tracing::info!("{step}");
            retold |= self.follow(next)?;
        }
        Ok(retold)
    }

    /// What the apiserver is seen to trust, where the next step depends on it.
    async fn bundle(&self) -> Result<Option<String>, RotateError> {
        match (&self.registrar, self.identity.phase()) {
            (None, _) => Ok(Some(self.identity.bundle())),
            (Some(registrar), Phase::Announced { .. }) => registrar.bundle().await,
            (Some(_), Phase::Settled | Phase::Retiring { .. }) => Ok(None),
        }
    }

    /// Serves what is kept. Returns whether the apiserver is to trust others now.
    fn follow(&mut self, kept: Identity) -> Result<bool, crate::server::Error> {
        if kept == self.identity {
            return Ok(false);
        }
        self.certificate
            .replace(kept.serving().pem(), &kept.serving().key)?;
        self.expiry.tell(&kept);
        let bundle = kept.bundle();
        self.identity = kept;
        let Some(registrar) = &mut self.registrar else {
            return Ok(false);
        };
        let retold = registrar.endpoint.authority != bundle;
        registrar.endpoint.authority = bundle;
        Ok(retold)
    }
}

/// Comes back once a configuration may not be as it was written; never where there is none.
async fn edited(edits: &mut Option<watch::Receiver<()>>) {
    let told = match edits {
        Some(edits) => edits.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}

/// Ticks each `period`, the first time when one has passed.
fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
