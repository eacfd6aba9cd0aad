//! The webhook role: started once it can answer, withdrawn before it stops.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::http::{StatusCode, Uri};
use kube::Client;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Config, Error, WebhookAnnouncement, admin};
use crate::{
    config::{Address, ClientCertificates, WEBHOOK_SECRET},
    ledger::Ledger,
    policies::{Fetcher, Policies, folder::read_bounded},
    server::{Clients, Drained, Listener, ServingCertificate, Shutdown, clients::required},
    telemetry::Metrics,
    webhook::{
        Bodies, Store, Token, Webhook, WebhookMetrics, configuration,
        configuration::{Endpoint, keep::Keep},
        run::{Keeper, Registrar},
    },
};

/// How long reviews are still answered after the configuration is withdrawn: apiservers hear of it a moment later.
const WITHDRAWAL: Duration = Duration::from_secs(1);

/// Routes that want no client certificate: the kubelet, whose probes these are, has none to show.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// A webhook that answers.
pub(super) struct Running {
    pub(super) announcement: WebhookAnnouncement,
    pub(super) webhook: Arc<Webhook>,
    /// Ends the listener, after the withdrawal.
    stop: CancellationToken,
    server: JoinHandle<Drained>,
    /// Ends with the drain.
    keeper: JoinHandle<Option<Registrar>>,
    drain_delay: Duration,
}

pub(super) async fn start(
    config: &Config,
    client: Option<Client>,
    (policies, fetcher): (Arc<Policies>, Fetcher),
    ledger: &Ledger,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> Result<Running, Error> {
    let listener = Listener::bind(config.listen).await?;
    let address = listener.address();
    let (store, names) = (store(config, client.as_ref()), names(config));
    let clients = clients(config)?;
    let identity = store.identity(&names, config.lifetimes).await?;
    let certificate = Arc::new(ServingCertificate::from_pem(
        identity.serving().pem(),
        &identity.serving().key,
    )?);
    let token = match (identity.token(), &client) {
        (Some(kept), _) => Some(kept.clone()),
        (None, Some(_)) => Some(Token::random().map_err(|_| Error::Token)?),
        (None, None) => None,
    };
    let exempt_namespaces = config.all_exempt_namespaces();
    let url = url(config, address);
    let endpoint = Endpoint {
        address: config
            .address
            .clone()
            .unwrap_or_else(|| Address::Url(url.clone())),
        path: token.as_ref().map_or_else(
            || "/validate".to_owned(),
            |token| format!("/validate/{}", token.expose()),
        ),
        authority: identity.bundle(),
        exempt_namespaces: exempt_namespaces.clone(),
        failure_policy: config.failure_policy,
        served: Arc::default(),
    };
    let webhook = Arc::new(Webhook {
        policies: Arc::clone(&policies),
        fetcher,
        ledger: ledger.clone(),
        metrics: WebhookMetrics::register(metrics, Arc::clone(&policies), ledger.clone()),
        exempt_namespaces: exempt_namespaces.clone(),
        token,
        stop: shutdown.drain.clone(),
        bodies: Bodies::default(),
        reviews: AtomicU64::new(0),
        served: Arc::clone(&endpoint.served),
    });
    let (counts, expiry) = (Arc::clone(&webhook), webhook.metrics.expiry());
    let mut router = Arc::clone(&webhook).router();
    let metrics_url = if let Some(address) = config.metrics_listen {
        let bound = admin::start(address, metrics.clone(), shutdown.drain.clone()).await?;
        format!("http://{bound}/metrics")
    } else {
        router = router.merge(admin::router(metrics.clone()));
        format!("{url}/metrics")
    };
    if clients.is_some() {
        let refused = move || counts.metrics.refuse_with(StatusCode::FORBIDDEN);
        router = required(router, &OPEN, refused);
    }
    let stop = CancellationToken::new();
    let tls = Arc::clone(&certificate).server_config(clients)?;
    let server = tokio::spawn(listener.serve(tls, router, stop.clone()));
    let keeper = Keeper {
        policies: Arc::clone(&policies),
        identity,
        store: store.clone(),
        names,
        lifetimes: config.lifetimes,
        certificate,
        expiry,
        registrar: client.map(|client| Registrar {
            client,
            endpoint,
            witness: config.witness.clone(),
            keep: Arc::new(Keep::new(ledger.clone())),
        }),
    };
    let changes = policies.subscribe();
    announce(&keeper).await?;
    let keeper = tokio::spawn(keeper.run(changes, shutdown.drain.clone()));
    Ok(Running {
        webhook,
        announcement: WebhookAnnouncement {
            url: format!("{url}/validate"),
            listener: address,
            authority: match store {
                Store::Folder(folder) => Some(folder.join("ca.crt")),
                Store::Secret { .. } => None,
            },
            metrics: metrics_url,
            policies: policies.current(),
            exempt_namespaces: exempt_namespaces.into_iter().collect(),
        },
        stop,
        server,
        keeper,
        drain_delay: config.drain_delay,
    })
}

/// Tells the apiserver for the first time. Replicas of a Service serve even where it cannot be told: what it was told
/// before may lead to them. A workstation that cannot be called is of no use.
async fn announce(keeper: &Keeper) -> Result<(), Error> {
    let Some(registrar) = &keeper.registrar else {
        return Ok(());
    };
    match registrar.announce(&keeper.policies).await {
        Ok(()) => Ok(()),
        Err(error) if matches!(registrar.endpoint.address, Address::Service { .. }) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "The webhook configuration could not be written; it is tried again."
            );
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Who may ask for verdicts, where not everybody who knows the path.
fn clients(config: &Config) -> Result<Option<Clients>, Error> {
    let Some(ClientCertificates { authority, names }) = &config.client_certificates else {
        return Ok(None);
    };
    let read = read_bounded(authority).map_err(|source| Error::ReadClientAuthority {
        path: authority.clone(),
        source,
    })?;
    Ok(Some(Clients::new(&read, names.iter().cloned())?))
}

// === impl Running ===

impl Running {
    /// Withdraws the webhook from the cluster where nobody else would answer, goes on answering until whoever follows
    /// readiness has heard, then drains.
    pub(super) async fn stop(self) -> Drained {
        if let Ok(Some(registrar)) = self.keeper.await {
            withdraw(registrar).await;
        }
        sleep(self.drain_delay).await;
        self.stop.cancel();
        // A server task that panicked has nothing left to drain.
        self.server.await.unwrap_or(Drained::Completely)
    }
}

async fn withdraw(Registrar { client, endpoint, .. }: Registrar) {
    if matches!(endpoint.address, Address::Service { .. }) {
        return;
    }
    match configuration::remove(&client, &endpoint).await {
        Ok(true) => {
            tracing::info!(
                configuration = configuration::NAME,
                "The webhook configuration was removed: nobody would answer it now, and writes would fail."
            );
            sleep(WITHDRAWAL).await;
        }
        Ok(false) => tracing::info!(
            configuration = configuration::NAME,
            "The webhook configuration is no longer ours and stays."
        ),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "The webhook configuration could not be removed: writes will fail until you run \
             `kubectl delete validatingwebhookconfiguration provost`."
        ),
    }
}

fn store(config: &Config, client: Option<&Client>) -> Store {
    match (&config.address, client) {
        (Some(Address::Service { namespace, .. }), Some(client)) => Store::Secret {
            client: client.clone(),
            namespace: namespace.clone(),
            name: WEBHOOK_SECRET.to_owned(),
        },
        _ => Store::Folder(config.certificates.clone()),
    }
}

/// The names under which clients may call us.
fn names(config: &Config) -> Vec<String> {
    let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    if !config.listen.ip().is_unspecified() {
        names.insert(config.listen.ip().to_string());
    }
    match &config.address {
        Some(Address::Service { namespace, name, url }) => {
            names.insert(format!("{name}.{namespace}.svc"));
            names.insert(format!("{name}.{namespace}.svc.cluster.local"));
            names.extend(url.as_deref().and_then(host));
        }
        Some(Address::Url(url)) => names.extend(host(url)),
        None => {}
    }
    names.into_iter().collect()
}

fn host(url: &str) -> Option<String> {
    let uri = url.parse::<Uri>().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_owned())
}

/// Where we are reached from this machine.
fn url(config: &Config, bound: SocketAddr) -> String {
    match &config.address {
        Some(Address::Url(url) | Address::Service { url: Some(url), .. }) => {
            url.trim_end_matches('/').to_owned()
        }
        Some(Address::Service { namespace, name, .. }) => format!("https://{name}.{namespace}.svc"),
        None if bound.ip().is_unspecified() => {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port());
            format!("https://{address}")
        }
        None => format!("https://{bound}"),
    }
}
