//! The listener at which the recorder takes this process's ledger: TLS both ways, with certificates that are mounted.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::Router;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::{
    config::{LedgerListener, RECORDER_NAME},
    ledger::{
        Ledger,
        serve::{DigestKeyFile, router},
    },
    policies::folder::read_bounded,
    server::{self, Clients, Listener, ServingCertificate, Shutdown, clients::required},
};

/// How often it is looked whether the certificates came, or changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is served with.
#[derive(PartialEq, Eq)]
struct Certificates {
    certificate: String,
    key: String,
    recorder: String,
}

/// Binds the address, and serves as soon as the certificates are there.
pub(super) async fn start(
    config: &LedgerListener,
    directory: PathBuf,
    ledger: &Ledger,
    shutdown: &Shutdown,
) -> Result<JoinHandle<()>, Error> {
    let listener = Listener::bind(config.address).await?;
    let (folder, stop) = (config.certificates.clone(), shutdown.drain.clone());
    let digest_key = config.digest_key.clone().map(|path| DigestKeyFile {
        ledger: ledger.clone(),
        path,
    });
    let router = router(directory, digest_key);
    Ok(tokio::spawn(keep(listener, folder, router, stop)))
}

/// Serves with what is mounted until `stop`, and anew when that changes.
async fn keep(listener: Listener, folder: PathBuf, router: Router, stop: CancellationToken) {
    let address = listener.address();
    let mut next = Some(listener);
    let mut told = String::new();
    while !stop.is_cancelled() {
        let served = match next.take() {
            Some(listener) => Ok(listener),
            None => Listener::bind(address).await,
        };
        let outcome = match (served, read(&folder).await) {
            (Ok(listener), Ok(certificates)) => {
                serve(listener, &folder, certificates, router.clone(), &stop).await
            }
            (Ok(listener), Err(why)) => {
                next = Some(listener);
                Err(why)
            }
            (Err(error), _) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => told.clear(),
            Err(why) if why != told => {
                tracing::warn!(%address, why, "The recorder cannot take this ledger yet; it is looked again.");
                told = why;
            }
            Err(_) => {}
        }
        stop.run_until_cancelled(sleep(LOOK_AGAIN)).await;
    }
}

/// Until the certificates change.
async fn serve(
    listener: Listener,
    folder: &Path,
    certificates: Certificates,
    router: Router,
    stop: &CancellationToken,
) -> Result<(), String> {
    let address: SocketAddr = listener.address();
    let tls = settings(&certificates).map_err(|error| error.to_string())?;
    // Whoever shows no certificate may shake hands, and gets nothing.
    let router = required(router, &[], || {});
    let changed = stop.child_token();
    let mut server = tokio::spawn(listener.serve(tls, router, changed.clone()));
    tracing::info!(%address, "The recorder may take this ledger.");
    while timeout(LOOK_AGAIN, &mut server).await.is_err() {
        if read(folder).await.is_ok_and(|now| now != certificates) {
            changed.cancel();
        }
    }
    Ok(())
}

fn settings(certificates: &Certificates) -> Result<std::sync::Arc<rustls::ServerConfig>, server::Error> {
    let serving = ServingCertificate::from_pem(&certificates.certificate, &certificates.key)?;
    let clients = Clients::new(&certificates.recorder, [RECORDER_NAME.to_owned()])?;
    std::sync::Arc::new(serving).server_config(Some(clients))
}

async fn read(folder: &Path) -> Result<Certificates, String> {
    let folder = folder.to_owned();
    let read = move || {
        let read = |name: &str| {
            let path = folder.join(name);
            read_bounded(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        Ok(Certificates {
            certificate: read("tls.crt")?,
            key: read("tls.key")?,
            recorder: read("ca.crt")?,
        })
    };
    let outcome = tokio::task::spawn_blocking(read).await;
    outcome.unwrap_or_else(|error| Err(error.to_string()))
}
