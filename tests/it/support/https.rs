//! A plain HTTPS client, which trusts one authority and speaks the protocol it is told to.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::{http1, http2},
    header::CONTENT_TYPE,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A body that may come piece by piece.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// An open HTTP/2 connection; clones share it, and their requests run side by side.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Body>,
    address: SocketAddr,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// The whole of a body at once.
pub(crate) fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}

/// Sends one request over HTTP/1.1, on a connection of its own.
pub(crate) async fn http1(
    address: SocketAddr,
    authority: &str,
    method: Method,
    path: &str,
    body: Body,
) -> anyhow::Result<Answer> {
    http1_as(None, address, authority, method, path, body).await
}

/// The same by a client that shows a certificate; it and its key are PEM.
pub(crate) async fn http1_as(
    client: Option<&(String, String)>,
    address: SocketAddr,
    authority: &str,
    method: Method,
    path: &str,
    body: Body,
) -> anyhow::Result<Answer> {
    let name = address.ip().to_string();
    http1_named(&name, client, address, authority, method, path, body).await
}

/// The same of a server whose certificate has this name.
pub(crate) async fn http1_named(
    name: &str,
    client: Option<&(String, String)>,
    address: SocketAddr,
    authority: &str,
    method: Method,
    path: &str,
    body: Body,
) -> anyhow::Result<Answer> {
    let tls = connect(name, client, address, authority, "http/1.1").await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string());
    let answer = sender.send_request(request.body(body)?).await?;
    Answer::read(answer).await
}

async fn connect(
    name: &str,
    client: Option<&(String, String)>,
    address: SocketAddr,
    authority: &str,
    protocol: &str,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match client {
        Some((certificate, key)) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes())?],
            PrivateKeyDer::from_pem_slice(key.as_bytes())?,
        )?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.context("shaking hands")
}

// === impl Http2 ===

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr, authority: &str) -> anyhow::Result<Self> {
        let tls = connect(&address.ip().to_string(), None, address, authority, "h2").await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(tls))
            .await?;
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, whole("")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, whole(body)).await
    }

    /// As who shows this token.
    pub(crate) async fn post_as(
        &self,
        token: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("https://{}{path}", self.address))
            .header(CONTENT_TYPE, "application/json")
            .header(hyper::header::AUTHORIZATION, format!("Bearer {token}"))
            .body(whole(body))?;
        let answer = self.sender.clone().send_request(request).await?;
        Answer::read(answer).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Body) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.address))
            .header(CONTENT_TYPE, "application/json")
            .body(body)?;
        let answer = self.sender.clone().send_request(request).await?;
        Answer::read(answer).await
    }
}

// === impl Answer ===

impl Answer {
    async fn read(answer: hyper::Response<hyper::body::Incoming>) -> anyhow::Result<Self> {
        Ok(Self {
            status: answer.status(),
            body: answer.into_body().collect().await?.to_bytes(),
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
