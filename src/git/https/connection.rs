//! One request over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::credentials::{Access, Login};
use super::super::proxy::Proxy;

/// How long a host may take to accept a connection and to shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a host may be silent.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// What a proxy's answer may hold.
const MAX_PROXY_ANSWER: usize = 8 << 10;
/// How forges know who asks; some answer only to what begins with git.
const AGENT: &str = concat!("git/2.0 (provost ", env!("CARGO_PKG_VERSION"), ")");

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) url: &'a str,
    /// The only type of content that will do.
    pub(super) accept: &'a str,
}

/// What came back.
pub(super) enum Answer {
    /// The content, piece by piece.
    Content(Incoming),
    /// Another place.
    Redirect(String),
}

/// Why nothing did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it did not answer in time")]
    Silence,
    #[error("the fetch took too long in all")]
    Deadline,
    #[error("it cannot be reached: {0}")]
    Connect(String),
    #[error("its certificate is refused: {0}")]
    Tls(String),
    #[error("the proxy refuses: {0}")]
    Proxy(String),
    #[error("the exchange broke off: {0}")]
    Broken(String),
    #[error("it redirects to {0}, where its credentials must not go: write that URL, if it is right")]
    Redirect(String),
    #[error("it redirects in circles")]
    Redirects,
    #[error("it wants to be asked with more than a request may hold")]
    RequestTooLarge,
    #[error("{0}")]
    Refused(StatusCode),
    #[error("it answers, but not in Git's smart protocol: is the URL that of a repository?")]
    NotGit,
}

/// Asks once. Redirects are not followed.
pub(super) async fn ask(
    ask: &Ask<'_>,
    body: Option<(&str, Vec<u8>)>,
    access: &Access,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Answer, Failure> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connect(access, tls)).await;
    let stream =
        connecting.map_err(|_| Failure::Connect("it does not accept the connection".to_owned()))??;
    let broken = |error: hyper::Error| Failure::Broken(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the runtime, which is this exchange's own.
    tokio::spawn(connection);
    let request = request(ask, body, access)?;
    let answering = tokio::time::timeout(SILENCE_TIMEOUT, sender.send_request(request)).await;
    let response = answering.map_err(|_| Failure::Silence)?.map_err(broken)?;
    answer(ask, response)
}

fn request(
    ask: &Ask<'_>,
    body: Option<(&str, Vec<u8>)>,
    access: &Access,
) -> Result<Request<Full<Bytes>>, Failure> {
    let rest = ask.url.split_once("://").map_or(ask.url, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut request = Request::builder()
        .method(if body.is_some() { "POST" } else { "GET" })
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, ask.accept);
    if let Some(value) = authorization(access)? {
        request = request.header(AUTHORIZATION, value);
    }
    let (content_type, bytes) = body.unzip();
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    request
        .body(Full::new(Bytes::from(bytes.unwrap_or_default())))
        .map_err(|error| Failure::Broken(error.to_string()))
}

/// At once, before anybody asks: the host is the one that the credentials are bound to.
fn authorization(access: &Access) -> Result<Option<HeaderValue>, Failure> {
    let text = match &access.login {
        Some(Login::Basic { user, password }) => basic(user, password.reveal()),
        Some(Login::Bearer(token)) => format!("Bearer {}", token.reveal()),
        Some(Login::SshKey(_)) | None => return Ok(None),
    };
    let unfit = |_| Failure::Broken("the credentials hold what no HTTP header can".to_owned());
    let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn answer(ask: &Ask<'_>, response: Response<Incoming>) -> Result<Answer, Failure> {
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let status = response.status();
    if status.is_redirection() {
        return match header(LOCATION) {
            Some(to) => Ok(Answer::Redirect(to.to_owned())),
            None => Err(Failure::Refused(status)),
        };
    }
    if !status.is_success() {
        return Err(Failure::Refused(status));
    }
    if header(CONTENT_TYPE) != Some(ask.accept) {
        return Err(Failure::NotGit);
    }
    Ok(Answer::Content(response.into_body()))
}

async fn connect(access: &Access, tls: Arc<rustls::ClientConfig>) -> Result<TlsStream<TcpStream>, Failure> {
    let unreachable = |error: std::io::Error| Failure::Connect(error.to_string());
    let (host, port) = (access.origin.host.as_str(), access.origin.port);
    let stream = match &access.proxy {
        Some(proxy) => tunnel(proxy, host, port).await?,
        None => TcpStream::connect((host, port)).await.map_err(unreachable)?,
    };
    stream.set_nodelay(true).map_err(unreachable)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Failure::Tls(error.to_string()))?;
    let connected = TlsConnector::from(tls).connect(name, stream).await;
    connected.map_err(|error| match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => Failure::Tls(inner.to_string()),
        _ => Failure::Connect(error.to_string()),
    })
}

/// A way through the proxy (RFC 9110, 9.3.6).
async fn tunnel(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, Failure> {
    let failed = |error: std::io::Error| Failure::Proxy(error.to_string());
    let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port))
        .await
        .map_err(failed)?;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let login = proxy
        .login
        .as_ref()
        .map(|(user, password)| basic(user, password.reveal()));
    let login = login.map_or_else(String::new, |login| format!("Proxy-Authorization: {login}\r\n"));
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_PROXY_ANSWER {
            return Err(Failure::Proxy("its answer is too long".to_owned()));
        }
        // One at a time: what follows is the tunnel's.
        head.push(stream.read_u8().await.map_err(failed)?);
    }
    let status = String::from_utf8_lossy(&head);
    let line = status.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(code) if code.starts_with('2') => Ok(stream),
        _ => Err(Failure::Proxy(line.to_owned())),
    }
}

// === impl Answer ===

impl Answer {
    /// The next piece of the content; `None` at its end.
    pub(super) async fn next(&mut self, remaining: Duration) -> Result<Option<Bytes>, Failure> {
        let Self::Content(content) = self else {
            return Ok(None);
        };
        loop {
            let frame = tokio::time::timeout(SILENCE_TIMEOUT.min(remaining), content.frame()).await;
            match frame.map_err(|_| Failure::Silence)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::Broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

// === impl Failure ===

impl Failure {
    /// In words for whoever gave the credentials, or has to.
    pub(super) fn explain(&self, access: &Access) -> String {
        let Self::Refused(status) = self else {
            return self.to_string();
        };
        match (status.as_u16(), &access.secret) {
            (401 | 403, Some(secret)) => format!("it refuses the credentials of Secret {secret} ({status})"),
            (401 | 403, None) => format!(
                "it asks for credentials, and there are none for it ({status}): make a Secret with the label \
                 argocd.argoproj.io/secret-type: repository"
            ),
            (404, Some(secret)) => {
                format!("there is no such repository, or Secret {secret} may not read it ({status})")
            }
            (404, None) => format!("there is no such repository, or it needs credentials ({status})"),
            _ => format!("it answers {status}"),
        }
    }
}
