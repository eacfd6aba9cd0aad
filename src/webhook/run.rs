//! Keeping the cluster's side of the webhook true: the configuration follows the policies in force, the certificate is
//! renewed before it expires.

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    Store,
    configuration::{self, Endpoint},
    store,
};
use crate::{policies::Policies, server::ServingCertificate};

/// How often the configuration is compared with the cluster although no policy changed: kinds may have been defined
/// since, and somebody may have edited it.
pub const RESYNC: Duration = Duration::from_secs(30);
/// How often the certificate's age is looked at.
pub const RENEWAL: Duration = Duration::from_hours(1);

/// What is kept.
pub struct Keeper {
    /// The cluster.
    pub client: Client,
    /// Whose kinds the configuration has.
    pub policies: Arc<Policies>,
    /// What the configuration says besides.
    pub endpoint: Endpoint,
    /// Where the certificate is kept.
    pub store: Store,
    /// The names that it is for.
    pub names: Vec<String>,
    /// What is served.
    pub certificate: Arc<ServingCertificate>,
}

// === impl Keeper ===

impl Keeper {
    /// Writes the configuration once; the apiserver calls us from here on.
    pub async fn announce(&self) -> Result<(), configuration::Error> {
        let kinds = self.policies.current().set.kinds();
        configuration::write(&self.client, &self.endpoint, &kinds).await
    }

    /// Keeps configuration and certificate until `stop`, then returns the endpoint as it last was. Errors are logged,
    /// and tried again at the next occasion.
    pub async fn run(mut self, stop: CancellationToken) -> Endpoint {
        let mut changes = self.policies.subscribe();
        let (mut resync, mut renewal) = (every(RESYNC), every(RENEWAL));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.endpoint,
                _ = changes.changed() => {}
                _ = resync.tick() => {}
                _ = renewal.tick() => {
                    if let Err(error) = self.renew().await {
                        tracing::error!(error = &error as &dyn std::error::Error, "The certificate could not be renewed.");
                    }
                    continue;
                }
            }
            let announced = self.announce().await;
            let outcome = announced.as_ref().map_err(|error| describe(error)).copied();
            self.policies.configured(outcome);
            if let Err(error) = announced {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "The webhook configuration is not as it should be."
                );
            }
        }
    }

    /// Takes a new certificate into use where the one that is kept was about to expire.
    async fn renew(&mut self) -> Result<(), RenewError> {
        let identity = self.store.identity(&self.names).await?;
        let serving = &identity.serving;
        self.certificate.replace(serving.pem(), &serving.key)?;
        if self.endpoint.authority != identity.authority.pem() {
            identity.authority.pem().clone_into(&mut self.endpoint.authority);
            self.announce().await?;
        }
        Ok(())
    }
}

/// An error and what caused it, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Ticks each `period`, the first time when one has passed.
fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Serve(#[from] crate::server::Error),
    #[error(transparent)]
    Announce(#[from] configuration::Error),
}
