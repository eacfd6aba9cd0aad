//! A connection to whoever gives its ledger: TLS both ways, each request within a bound of time and size.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::LEDGER_NAME;

/// How long a connection may take, and how long an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Where ledgers are read unless the URL says otherwise.
const PORT: u16 = 8446;

/// An open connection.
#[derive(Debug)]
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// They are none.
    #[error("{path:?} holds no certificate or key, in PEM")]
    Pem {
        /// Which file.
        path: PathBuf,
    },
    /// They make no identity.
    #[error("the certificates cannot be used")]
    Identity(#[source] rustls::Error),
    /// The URL names nobody.
    #[error("the URL names no host: write https://HOST:PORT")]
    Url,
    /// Nobody is there, or somebody else.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// No answer came.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late,
    /// The connection broke.
    #[error("the connection broke")]
    Http(#[source] hyper::Error),
    /// It refuses.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The answer is longer than it may be, or broke off.
    #[error("the answer is too long, or broke off")]
    Body,
}

// === impl Client ===

impl Client {
    /// Connects as the recorder, with the certificates that are in the folder now. Whoever answers has to be a writer.
    pub(super) async fn connect(uri: &Uri, certificates: &Path) -> Result<Self, Error> {
        let config = Arc::new(identity(certificates)?);
        let host = uri.host().ok_or(Error::Url)?.trim_matches(['[', ']']).to_owned();
        let address = (host.as_str(), uri.port_u16().unwrap_or(PORT));
        let name = ServerName::try_from(LEDGER_NAME).map_err(|_| Error::Url)?;
        let connect = async {
            let tcp = TcpStream::connect(address).await?;
            TlsConnector::from(config).connect(name, tcp).await
        };
        let tls = timeout(TIMEOUT, connect).await.map_err(|_| Error::Late)?;
        let tls = tls.map_err(Error::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await.map_err(Error::Http)?;
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    pub(super) async fn get(&mut self, path: &str, most: usize) -> Result<Bytes, Error> {
        self.ask(Method::GET, path, Vec::new(), most).await
    }

    pub(super) async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Bytes, Error> {
        self.ask(Method::POST, path, body, 1024).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: Vec<u8>, most: usize) -> Result<Bytes, Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Error::Url)?;
        let answered = async {
            let answer = self.sender.send_request(request).await.map_err(Error::Http)?;
            if !answer.status().is_success() {
                return Err(Error::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), most).collect().await;
            Ok(body.map_err(|_| Error::Body)?.to_bytes())
        };
        timeout(TIMEOUT, answered).await.map_err(|_| Error::Late)?
    }
}

fn identity(folder: &Path) -> Result<ClientConfig, Error> {
    let read = |name: &str| {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(text) => Ok((text, path)),
            Err(source) => Err(Error::Read { path, source }),
        }
    };
    let (authority, path) = read("ca.crt")?;
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&authority).flatten());
    if trusted == 0 {
        return Err(Error::Pem { path });
    }
    let (certificate, path) = read("tls.crt")?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&certificate).flatten().collect();
    if chain.is_empty() {
        return Err(Error::Pem { path });
    }
    let (key, path) = read("tls.key")?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| Error::Pem { path })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Identity)?
        .with_root_certificates(roots);
    builder.with_client_auth_cert(chain, key).map_err(Error::Identity)
}
