//! The policies in force, which the webhook and the agent share: read before either starts, and followed from then on.

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::time::timeout;

use super::{Config, Error, Shutdown};
use crate::{
    cluster::Cluster,
    ledger::Ledger,
    policies::{self, Fetcher, Policies, PolicyKind, Source},
};

/// How long the cluster's policies may take to come at start.
pub(super) const FIRST_LIST: Duration = Duration::from_secs(30);

/// Where the inputs of rules come from.
pub(super) fn fetcher(
    config: &Config,
    client: Option<&Client>,
    policies: &Policies,
    shutdown: &Shutdown,
) -> Fetcher {
    match client {
        Some(client) => Fetcher::cluster(client.clone(), shutdown.abort.clone()),
        None => Fetcher::default(),
    }
    .calling(config.service_calls.clone())
    .telling(policies.reads())
}

/// Reads the folder, and waits for the first lists of the cluster's.
pub(super) async fn read(
    config: &Config,
    client: Option<&Client>,
    ledger: &Ledger,
    shutdown: &Shutdown,
) -> Result<Arc<Policies>, Error> {
    let folder = config.policies.clone().map(Source::Folder);
    let mut kinds = Vec::new();
    if let Some(client) = client {
        let cluster = Cluster::connect(client.clone()).await?;
        // Who only applies brings no kinds of policies into a cluster.
        policies::crds::ensure(&cluster, config.install_crds && config.webhook).await?;
        kinds.extend(PolicyKind::ALL);
    }
    let sources = folder.into_iter().chain(kinds.into_iter().map(Source::Cluster));
    let exception_namespaces = config.exception_namespaces.iter().cloned().collect();
    let policies = Arc::new(Policies::new(ledger.clone(), sources, exception_namespaces));
    if let Some(folder) = &config.policies {
        policies.replace(Source::Folder(folder.clone()), policies::folder::read(folder)?);
        let reload = policies::reload::keep(folder.clone(), Arc::clone(&policies));
        tokio::spawn(shutdown.drain.clone().run_until_cancelled_owned(reload));
    }
    if let Some(client) = client {
        let mut changes = policies.subscribe();
        let (kept, stop) = (Arc::clone(&policies), shutdown.drain.clone());
        let keep = policies::crds::keep(client.clone(), kept, config.webhook, stop);
        tokio::spawn(keep);
        let listed = timeout(FIRST_LIST, async {
            while !policies.complete() {
                // The sender lives as long as `policies`, which we hold.
                let _ = changes.changed().await;
            }
        });
        listed.await.map_err(|_| Error::FirstList)?;
    }
    Ok(policies)
}
