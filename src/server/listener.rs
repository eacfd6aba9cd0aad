//! A bound address and the connections that it takes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Error, clients::Admitted};

/// Connections open at once. An apiserver keeps a handful; the rest is for probes and for people.
pub const MAX_CONNECTIONS: usize = 512;
/// Requests open at once on one HTTP/2 connection; what Go's HTTP/2 client expects at least.
pub const MAX_STREAMS: u32 = 256;
/// A client that has not finished its TLS handshake by then is gone.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that has not sent a request's headers by then is gone.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 peer is asked whether it is still there, and how long it has to answer.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long requests in flight have to finish once the server stops: the longest that an apiserver waits is 30 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(31);
/// Pause after the system refuses a connection (it is out of file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound address, which serves once asked to.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight was answered.
    Completely,
    /// This many connections still had requests in flight when the time was over.
    Unfinished(usize),
}

/// What each connection needs.
#[derive(Clone)]
struct Connections {
    tls: TlsAcceptor,
    router: Router,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

// === impl Listener ===

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bind = |source| Error::Bind { address, source };
        let tcp = TcpListener::bind(address).await.map_err(bind)?;
        let address = tcp.local_addr().map_err(bind)?;
        Ok(Self { tcp, address })
    }

    /// The address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop` is cancelled, then finishes what is in flight.
    pub async fn serve(self, tls: Arc<ServerConfig>, router: Router, stop: CancellationToken) -> Drained {
        let connections = Connections::new(tls, router);
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.accept(&permits) => accepted,
            };
            if let Some((stream, permit)) = accepted {
                let connections = connections.clone();
                let watcher = graceful.watcher();
                tokio::spawn(async move {
                    connections.serve(stream, watcher).await;
                    drop(permit);
                });
            }
        }
        // New connections are refused from here on; the apiserver then tries the next replica.
        drop(self.tcp);
        let open = graceful.count();
        match timeout(DRAIN_TIMEOUT, graceful.shutdown()).await {
            Ok(()) => Drained::Completely,
            Err(_) => Drained::Unfinished(open),
        }
    }

    /// The next connection, once there is room for one.
    async fn accept(&self, permits: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        match self.tcp.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted.");
                sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

// === impl Connections ===

impl Connections {
    fn new(tls: Arc<ServerConfig>, router: Router) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        Self {
            tls: TlsAcceptor::from(tls),
            router,
            http1: builder.clone().http1_only(),
            http2: builder.http2_only(),
        }
    }

    /// Serves one connection to its end. What goes wrong on it concerns its client alone.
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        let peer = stream.peer_addr().ok();
        // A verdict is one small packet: waiting to fill a larger one would cost up to 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(?peer, %error, "TCP_NODELAY could not be set.");
        }
        let stream = match timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(?peer, %error, "A TLS handshake failed.");
                return;
            }
            Err(_) => {
                tracing::debug!(?peer, "A TLS handshake took too long.");
                return;
            }
        };
        // ALPN has settled the protocol: guessing it from the first bytes would wait for them without a deadline.
        let builder = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => &self.http2,
            _ => &self.http1,
        };
        // What is not admitted has not shaken hands.
        let admitted = stream.get_ref().1.peer_certificates().map(|_| Admitted);
        let service =
            TowerToHyperService::new(self.router.map_request(move |mut request: Request<Incoming>| {
                if let Some(admitted) = admitted {
                    request.extensions_mut().insert(admitted);
                }
                request
            }));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(?peer, %error, "A connection ended early.");
        }
    }
}
