//! What a Service is on the local control plane, which has none: a TCP balancer on loopback that follows readiness.
//!
//! Each backend is asked for /readyz over TLS, as a kubelet asks (whose certificate it is, is not looked at); a new
//! connection goes to the next backend that was ready when last asked, and stays there. Like kube-proxy it tries no
//! second one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Between two looks at a backend's readiness.
const PERIOD: Duration = Duration::from_millis(100);
/// A backend that takes longer to answer is not ready.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// The most of an answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// A listening balancer; ends with this value.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    backends: Backends,
    accepting: JoinHandle<()>,
}

type Backends = Arc<Mutex<Vec<Arc<Backend>>>>;

#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    ready: AtomicBool,
    probing: Mutex<Option<JoinHandle<()>>>,
}

// === impl Balancer ===

impl Balancer {
    /// Listens on a free port, without backends.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("binding the balancer")?;
        let address = listener.local_addr()?;
        let backends = Backends::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&backends)));
        Ok(Self {
            address,
            backends,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows another backend from now on.
    pub fn add(&self, address: SocketAddr) -> anyhow::Result<()> {
        let connector = connector()?;
        let backend = Arc::new(Backend {
            address,
            ready: AtomicBool::new(false),
            probing: Mutex::default(),
        });
        let probed = Arc::downgrade(&backend);
        let probing = tokio::spawn(async move {
            while let Some(backend) = probed.upgrade() {
                let ready = timeout(PROBE_LIMIT, probe(&connector, backend.address)).await;
                backend
                    .ready
                    .store(matches!(ready, Ok(Ok(true))), Ordering::Relaxed);
                drop(backend);
                sleep(PERIOD).await;
            }
        });
        *backend.probing.lock().unwrap_or_else(PoisonError::into_inner) = Some(probing);
        lock(&self.backends).push(backend);
        Ok(())
    }

    /// Follows a backend no more. Connections that it has stay.
    pub fn remove(&self, address: SocketAddr) {
        lock(&self.backends).retain(|backend| backend.address != address);
    }

    /// Whether a backend was ready when it was last asked.
    pub fn is_ready(&self, address: SocketAddr) -> bool {
        let backends = lock(&self.backends);
        let mut found = backends.iter().filter(|backend| backend.address == address);
        found.any(|backend| backend.ready.load(Ordering::Relaxed))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(probing) = self.probing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            probing.abort();
        }
    }
}

fn lock(backends: &Backends) -> std::sync::MutexGuard<'_, Vec<Arc<Backend>>> {
    backends.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, backends: Backends) {
    let turn = AtomicUsize::new(0);
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            sleep(PERIOD).await;
            continue;
        };
        let ready: Vec<SocketAddr> = {
            let backends = lock(&backends);
            let ready = backends
                .iter()
                .filter(|backend| backend.ready.load(Ordering::Relaxed));
            ready.map(|backend| backend.address).collect()
        };
        // Without one the connection is closed, as kube-proxy rejects it.
        if ready.is_empty() {
            continue;
        }
        let address = ready[turn.fetch_add(1, Ordering::Relaxed) % ready.len()];
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(address).await else {
                return;
            };
            let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
            // Who breaks off is the affair of the two ends.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// Whether the backend says that it is ready.
async fn probe(connector: &TlsConnector, address: SocketAddr) -> anyhow::Result<bool> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = connector.connect(name, stream).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // A server may close without TLS's farewell; what came before counts.
    let _ = stream.take(MAX_ANSWER).read_to_end(&mut answer).await;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

fn connector() -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AsAKubelet))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate, as a kubelet's HTTPS probe does.
#[derive(Debug)]
struct AsAKubelet;

impl ServerCertVerifier for AsAKubelet {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
