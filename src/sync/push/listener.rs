//! The listener of push webhooks: plain HTTP, for what ends TLS in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::error::Error;

/// Connections at a time; each may hold one body.
const MAX_CONNECTIONS: usize = 8;
/// How long a request's head may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause after the system refuses a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `address` and serves until `stop`.
pub(in crate::sync) async fn listen(
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> Result<(), Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    tracing::info!(%address, "Push webhooks are taken.");
    tokio::spawn(async move {
        let _ = stop.run_until_cancelled(serve(listener, router)).await;
    });
    Ok(())
}

async fn serve(listener: TcpListener, router: Router) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong on a connection concerns its client alone.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(permit);
        });
    }
}
