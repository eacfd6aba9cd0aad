//! Git's smart protocol over HTTPS on loopback: `git http-backend` behind a server that may ask for credentials.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A server of the bare or other repositories in a folder; it ends when it is dropped.
#[derive(Debug)]
pub struct GitHttps {
    address: SocketAddr,
    authority: String,
    certificate: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The only `Authorization` that is let in.
    wanted: Option<String>,
    /// Paths that begin so are sent elsewhere.
    redirect: Option<(String, String)>,
    asked: Vec<Asked>,
}

/// One request, as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// What it showed for itself.
    pub authorization: Option<String>,
}

// === impl GitHttps ===

impl GitHttps {
    /// Serves the repositories below `root` on a free port, with a certificate for 127.0.0.1 and localhost by an
    /// authority of its own.
    pub async fn start(root: &Path) -> anyhow::Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key)?;
        let issuer = Issuer::new(parameters, authority_key);
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let (chain, key) = (vec![certificate.der().clone()], key.serialize_der());
        Self::serve(root, chain, key, authority.pem(), certificate.pem()).await
    }

    /// The same, with a certificate that signed itself and calls itself an authority, as `openssl req -x509` makes it.
    pub async fn start_self_signed(root: &Path) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key)?;
        let chain = vec![certificate.der().clone()];
        Self::serve(
            root,
            chain,
            key.serialize_der(),
            certificate.pem(),
            certificate.pem(),
        )
        .await
    }

    async fn serve(
        root: &Path,
        chain: Vec<CertificateDer<'static>>,
        key: Vec<u8>,
        authority: String,
        certificate: String,
    ) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            state: Mutex::default(),
        });
        let (acceptor, served) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(acceptor.clone(), stream, Arc::clone(&served)));
            }
        });
        Ok(Self {
            address,
            authority,
            certificate,
            shared,
            task,
        })
    }

    /// Where a repository of the folder is.
    pub fn url(&self, repository: &str) -> String {
        format!("https://{}/{repository}", self.address)
    }

    /// The same under another name of this machine: another host, to who compares names.
    pub fn url_of_localhost(&self, repository: &str) -> String {
        format!("https://localhost:{}/{repository}", self.address.port())
    }

    /// PEM of the authority that vouches for it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// PEM of its own certificate.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// From now on only this `Authorization` is let in.
    pub fn require(&self, authorization: &str) {
        self.state().wanted = Some(authorization.to_owned());
    }

    /// From now on paths that begin with `from` are sent to `to`, the rest of the path behind it.
    pub fn redirect(&self, from: &str, to: &str) {
        self.state().redirect = Some((from.to_owned(), to.to_owned()));
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for GitHttps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer that needs no repository.
    fn refuse(&self, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let path = request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        let header = request.headers().get("authorization");
        let authorization = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut state = self.state();
        state.asked.push(Asked {
            path: path.clone(),
            authorization: authorization.clone(),
        });
        let mut answer = Response::new(Full::default());
        if let Some((from, to)) = &state.redirect
            && let Some(rest) = path.strip_prefix(from.as_str())
        {
            *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
            let location = format!("{to}{rest}").parse().ok()?;
            answer.headers_mut().insert("location", location);
            return Some(answer);
        }
        if state.wanted.is_some() && state.wanted != authorization {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge = hyper::header::HeaderValue::from_static("Basic realm=\"git\"");
            answer
                .headers_mut()
                .insert(hyper::header::WWW_AUTHENTICATE, challenge);
            return Some(answer);
        }
        None
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let answer = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    // What goes wrong on a connection concerns its client alone.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Some(refused) = shared.refuse(&request) {
        return refused;
    }
    match backend(&shared.root, request).await {
        Ok(answer) => answer,
        Err(error) => {
            let mut answer = Response::new(Full::from(format!("{error:#}")));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
    }
}

/// Git's own CGI program (git-http-backend(1)).
async fn backend(root: &Path, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let content_type = head
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let mut child = tokio::process::Command::from(crate::git::command(root))
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", content_type.unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting git http-backend")?;
    let mut stdin = child.stdin.take().context("git http-backend has no input")?;
    let write = async move {
        stdin.write_all(&body).await?;
        stdin.shutdown().await
    };
    let (written, output) = tokio::join!(write, child.wait_with_output());
    let output = output?.stdout;
    written.context("handing the body on")?;
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.context("git http-backend gave no headers")?;
    let mut answer = Response::new(Full::from(output[end + 4..].to_vec()));
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("reading a header")?;
        if name.eq_ignore_ascii_case("status") {
            *answer.status_mut() = value.split(' ').next().unwrap_or_default().parse()?;
        } else {
            answer.headers_mut().insert(
                hyper::header::HeaderName::from_bytes(name.as_bytes())?,
                value.parse()?,
            );
        }
    }
    Ok(answer)
}
