//! One POST over a connection of its own, to what people outside run: an authority of timestamps, a SIEM.
//!
//! Blocks, so it is for threads that do nothing else. Every step has a deadline; redirects are not followed. A URL of a
//! SIEM is a secret: what is shown of one is its scheme and host.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// From the connection to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 128 * 1024;
const AGENT: &str = concat!("provost/", env!("CARGO_PKG_VERSION"));

/// Where to post to.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    /// Scheme, host and port: what may be shown.
    origin: String,
    authorization: Option<HeaderValue>,
}

/// Why nothing was posted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("{0} cannot be reached: {1}")]
    Connect(String, String),
    /// It was silent.
    #[error("{0} did not answer within {seconds} s", seconds = DEADLINE.as_secs())]
    Silent(String),
    /// It said no.
    #[error("{0} answers {1}")]
    Refused(String, hyper::StatusCode),
    /// The exchange broke off.
    #[error("the exchange with {0} broke off: {1}")]
    Broken(String, String),
    /// Nothing can be asked from here.
    #[error("could not start the exchange with {0}")]
    Runtime(String, #[source] std::io::Error),
}

// === impl Endpoint ===

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text stays out of the message: it may hold a password.
        let wanted = || "write a URL, such as https://siem.example.com/ingest".to_owned();
        let uri: Uri = text.parse().map_err(|_| wanted())?;
        let (Some(scheme @ ("https" | "http")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wanted());
        };
        let (login, host) = match authority.as_str().rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority.as_str()),
        };
        let authorization = login.map(basic).transpose()?;
        Ok(Self {
            origin: format!("{scheme}://{host}"),
            authorization,
            uri,
        })
    }
}

fn basic(login: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(login)))
        .map_err(|_| "the login in the URL holds what no HTTP header can".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.origin)
    }
}

impl Endpoint {
    /// Shows this token instead of the login in the URL; `None` where no header can hold it.
    pub fn with_token(mut self, token: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).ok()?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Some(self)
    }

    /// What it answers to this body, where it answers well.
    pub fn post(&self, content_type: &'static str, body: Vec<u8>) -> Result<Bytes, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Runtime(self.origin.clone(), source))?;
        runtime.block_on(async {
            tokio::time::timeout(DEADLINE, self.exchange(content_type, body))
                .await
                .unwrap_or_else(|_| Err(Error::Silent(self.origin.clone())))
        })
    }

    async fn exchange(&self, content_type: &'static str, body: Vec<u8>) -> Result<Bytes, Error> {
        let host = self
            .uri
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let is_https = self.uri.scheme_str() == Some("https");
        let port = self.uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let stream = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(|error| self.unreachable(error))?;
        let request = self.request(content_type, body)?;
        if !is_https {
            return self.send(stream, request).await;
        }
        let name = ServerName::try_from(host).map_err(|error| self.unreachable(error))?;
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| self.unreachable(error))?;
        self.send(stream, request).await
    }

    fn tls(&self) -> Result<rustls::ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.unreachable(error))?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    fn request(&self, content_type: &'static str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Error> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, content_type);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(error))
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, Error> {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error))?;
        // It ends with the runtime, which is this exchange's own.
        tokio::spawn(connection);
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(error))?;
        if !answer.status().is_success() {
            return Err(Error::Refused(self.origin.clone(), answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        body.map(|body| body.to_bytes())
            .map_err(|error| self.broken(error))
    }

    fn unreachable(&self, error: impl fmt::Display) -> Error {
        Error::Connect(self.origin.clone(), error.to_string())
    }

    fn broken(&self, error: impl fmt::Display) -> Error {
        Error::Broken(self.origin.clone(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_a_url_is_not_shown() {
        let endpoint: Endpoint = "https://bot:s3cret@siem.example.com:8088/ingest/t0ken?key=k3y"
            .parse()
            .unwrap();
        let endpoint = endpoint.with_token("t0ken").unwrap();
        assert_eq!(endpoint.to_string(), "https://siem.example.com:8088");
        assert_eq!(format!("{endpoint:?}"), "Endpoint(https://siem.example.com:8088)");
        for wrong in ["bot:s3cret@siem", "ftp://bot:s3cret@siem", "s3cret"] {
            let error = wrong.parse::<Endpoint>().unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
