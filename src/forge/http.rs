//! Requests to a forge's API: one at a time, bounded in time, size and number, asked again where the forge says that it
//! is busy.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Secret;

/// How long one answer may take, from connecting to its last byte.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What one answer may hold.
const MAX_ANSWER: usize = 16 << 20;
/// How often the same is asked.
const MAX_TRIES: u32 = 4;
/// How long we wait before asking again, the first time; each time twice as long, unless the forge says how long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest that we wait before asking again.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// How long all requests together may take.
const MAX_TIME: Duration = Duration::from_hours(1);
/// What all kept answers together may hold.
const MAX_KEPT: usize = 1 << 30;

/// A forge's API.
pub(super) struct Api {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    /// The path that all requests begin with.
    base: String,
    token: Option<Secret>,
    runtime: tokio::runtime::Runtime,
    give_up: Instant,
    kept: RefCell<Vec<Kept>>,
    kept_bytes: Cell<usize>,
}

/// An answer that is no refusal.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What was asked for, from the host on.
    pub path: String,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL can't be used.
    #[error("the forge's URL {0:?} is refused: {1}")]
    Url(String, &'static str),
    /// It doesn't answer.
    #[error("the forge {0} did not answer: {1}")]
    Unreachable(String, String),
    /// It refuses.
    #[error("the forge refuses {path}: {status}")]
    Refused {
        /// What was asked for.
        path: String,
        /// With what.
        status: StatusCode,
    },
    /// It answers with something else.
    #[error("the forge's answer to {path} can't be used: {reason}")]
    Form {
        /// What was asked for.
        path: String,
        /// Why.
        reason: String,
    },
    /// All answers together are too large to keep.
    #[error("the answers of the forge hold more than {} MiB; report on a shorter period", MAX_KEPT >> 20)]
    TooMuch,
    /// It has more than we ask for.
    #[error("{path} has more than {most} entries")]
    TooMany {
        /// What was asked for.
        path: String,
        /// The bound.
        most: usize,
    },
}

// === impl Api ===

impl Api {
    /// `scheme` is `http` or `https`.
    pub(super) fn new(
        scheme: &str,
        host: &str,
        port: Option<u16>,
        base: String,
        token: Option<Secret>,
    ) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Unreachable(host.to_owned(), reason);
        let tls = match scheme {
            "https" => Some(tls().map_err(|error| unusable(error.to_string()))?),
            "http" if matches!(host, "127.0.0.1" | "localhost" | "::1") => None,
            _ => {
                return Err(Error::Url(
                    format!("{scheme}://{host}"),
                    "a token must not go over a network in the clear: use https",
                ));
            }
        };
        Ok(Self {
            host: host.to_owned(),
            port: match port {
                Some(port) => port,
                None if tls.is_some() => 443,
                None => 80,
            },
            tls,
            base,
            token,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| unusable(error.to_string()))?,
            give_up: Instant::now() + MAX_TIME,
            kept: RefCell::default(),
            kept_bytes: Cell::new(0),
        })
    }

    /// Asks for a path. Blocks.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Error> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let asked = self.runtime.block_on(async {
                match tokio::time::timeout(ANSWER_TIMEOUT, self.ask(path)).await {
                    Ok(answered) => answered,
                    Err(_) => Err(format!("nothing within {} s", ANSWER_TIMEOUT.as_secs())),
                }
            });
            let (failure, wanted) = match asked {
                Ok((status, answer)) if status.is_success() => {
                    self.keep(path, status, &answer.body)?;
                    return Ok(answer);
                }
                Ok((status, answer)) => {
                    let refused = Error::Refused {
                        path: path.to_owned(),
                        status,
                    };
                    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
                        return Err(refused);
                    }
                    (refused, retry_after(&answer.headers))
                }
                Err(reason) => (Error::Unreachable(self.host.clone(), reason), None),
            };
            pause = wanted.unwrap_or(pause).min(MAX_PAUSE);
            if tries == MAX_TRIES || Instant::now() + pause > self.give_up {
                return Err(failure);
            }
            std::thread::sleep(pause);
            pause *= 2;
            tries += 1;
        }
    }

    /// Takes the answers that were kept.
    pub(super) fn take_kept(&self) -> Vec<Kept> {
        self.kept_bytes.set(0);
        self.kept.take()
    }

    fn keep(&self, path: &str, status: StatusCode, body: &Bytes) -> Result<(), Error> {
        let bytes = self.kept_bytes.get() + body.len();
        if bytes > MAX_KEPT {
            return Err(Error::TooMuch);
        }
        self.kept_bytes.set(bytes);
        self.kept.borrow_mut().push(Kept {
            path: format!("{}{path}", self.base),
            status: status.as_u16(),
            body: body.clone(),
        });
        Ok(())
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Answer), String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| error.to_string())?;
        match &self.tls {
            None => self.exchange(stream, path).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
                let stream = TlsConnector::from(Arc::clone(tls))
                    .connect(name, stream)
                    .await
                    .map_err(|error| error.to_string())?;
                self.exchange(stream, path).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, path: &str) -> Result<(StatusCode, Answer), String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // It ends with the answer, which closes it.
        tokio::spawn(connection);
        let mut request = Request::get(format!("{}{path}", self.base))
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(USER_AGENT, concat!("provost/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("token {}", token.reveal()))
                .map_err(|_| "the token holds what no HTTP header can".to_owned())?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        let answer = Answer {
            headers: parts.headers,
            body,
        };
        Ok((parts.status, answer))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
