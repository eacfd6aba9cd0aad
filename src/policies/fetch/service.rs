//! HTTP calls of policies to other servers: off, unless a setting lists the host.
//!
//! Whoever may write a policy decides what this process sends, and whoever may write an object decides parts of it, so
//! a call is fenced in on every side:
//!
//! | what could be abused | what holds |
//! |---|---|
//! | any server that this process reaches | only hosts that `--policy-call-host` lists, port included |
//! | a name that leads elsewhere, also a moment later | the name is resolved once, every address is checked, and a checked one is connected to |
//! | this machine, the node's metadata, the local link | never connected to, in no notation of the address |
//! | an answer that leads on | redirects are errors |
//! | our own identity | no token, no client certificate, no cookie, no proxy is sent or used |
//! | endless answers, and endlessly many | [`MAX_ANSWER_BYTES`], [`TIMEOUT`], [`CALLS_AT_ONCE`] |

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use provost_policy::{Input, ServiceCall};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::address;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// How long a call may take, from the name's resolution to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many calls are made at a time; more wait, within their timeout.
const CALLS_AT_ONCE: usize = 64;
/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 16;

/// Which servers policies may call.
#[derive(Clone, Debug, Default)]
pub struct ServiceCalls {
    hosts: BTreeSet<CallHost>,
    loopback: Loopback,
    room: Room,
}

/// Bounds the calls that are under way.
#[derive(Clone, Debug)]
struct Room(Arc<Semaphore>);

/// Whether this machine itself may be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loopback {
    #[default]
    Refused,
    Allowed,
}

/// A host that policies may call: `HOST`, `HOST:PORT`; with `http://` before it in plain HTTP, and only so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallHost {
    scheme: Scheme,
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scheme {
    Https,
    Http,
}

/// Why a text is no host.
#[derive(Debug, thiserror::Error)]
#[error(
    "write HOST or HOST:PORT, such as scanner.example.com:8443; http://HOST[:PORT] for one that is asked in plain HTTP"
)]
pub struct CallHostError;

// === impl ServiceCalls ===

impl ServiceCalls {
    /// To these hosts, and to no other.
    pub fn to(hosts: impl IntoIterator<Item = CallHost>) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            ..Self::default()
        }
    }

    /// For trying policies out on a workstation, and for tests: what is listed may be on this machine. Never in a
    /// cluster: whatever listens on the pod's or node's loopback believes that only its neighbours speak to it.
    #[must_use]
    pub fn with_loopback_for_development(self) -> Self {
        Self {
            loopback: Loopback::Allowed,
            ..self
        }
    }

    /// What the server answers.
    pub(super) async fn call(&self, call: &ServiceCall) -> Input {
        let shown = call.url.split('?').next().unwrap_or_default();
        let about = |why: String| format!("cannot call {shown}: {why}");
        match timeout(TIMEOUT, self.ask(call)).await {
            Ok(answer) => answer.map_err(about),
            Err(_) => Err(about(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn ask(&self, call: &ServiceCall) -> Input {
        let _room = self.room.0.acquire().await.map_err(|error| error.to_string())?;
        let uri: Uri = call
            .url
            .parse()
            .map_err(|error| format!("the URL is none: {error}"))?;
        let host = CallHost::of(&uri).ok_or("the URL needs http:// or https://, and a host")?;
        if !self.hosts.contains(&host) {
            return Err(format!(
                "calls of policies are off but for listed hosts, and {host} is not: --policy-call-host {host} lists it"
            ));
        }
        let addresses = self.resolve(&host).await?;
        let stream = connect(&addresses).await?;
        let request = request(call, &uri)?;
        match host.scheme {
            Scheme::Http => exchange(stream, request).await,
            Scheme::Https => {
                let name = ServerName::try_from(host.host.clone()).map_err(|error| error.to_string())?;
                let connector = TlsConnector::from(Arc::new(tls(&call.authority)?));
                let stream = connector.connect(name, stream).await;
                exchange(stream.map_err(|error| error.to_string())?, request).await
            }
        }
    }

    /// The addresses of a host. One that may not be called refuses them all: nobody has a reason to name both.
    async fn resolve(&self, host: &CallHost) -> Result<Vec<SocketAddr>, String> {
        let found = lookup_host((host.host.as_str(), host.port)).await;
        let addresses: Vec<SocketAddr> = found
            .map_err(|error| format!("{} cannot be resolved: {error}", host.host))?
            .take(MAX_ADDRESSES)
            .collect();
        for socket in &addresses {
            let ip = socket.ip();
            if let Some(what) = address::forbidden(ip) {
                if what == address::LOOPBACK && self.loopback == Loopback::Allowed {
                    continue;
                }
                return Err(format!(
                    "{} is at {ip}, {what}, and such are never called",
                    host.host
                ));
            }
        }
        Ok(addresses)
    }
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CALLS_AT_ONCE)))
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

fn request(call: &ServiceCall, uri: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let authority = uri
        .authority()
        .map(hyper::http::uri::Authority::as_str)
        .unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let (method, body) = match &call.body {
        Some(body) => (Method::POST, Bytes::from(body.clone())),
        None => (Method::GET, Bytes::new()),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("provost/", env!("CARGO_PKG_VERSION")));
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    // The value of a header may be a secret, and is not part of what is said.
    request
        .body(Full::new(body))
        .map_err(|_| "a header holds what headers cannot".to_owned())
}

/// Trusts whom the policy names, or else whom the system trusts. No certificate of ours is shown.
fn tls(authority: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if authority.is_empty() {
        roots = system_roots().clone();
    } else {
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("caBundle is no PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("caBundle: {error}"))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Input {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // Dropped with this future, and the connection with it: nothing goes on after the timeout.
    let exchange = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(format!("{status}: redirects are not followed"));
        }
        if !status.is_success() {
            return Err(status.to_string());
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("the answer is not JSON: {error}"))
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut exchange => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

// === impl CallHost ===

impl CallHost {
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn of(uri: &Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        // Nobody before the host, and a port, where there is one, that is one.
        let rest = uri.authority()?.as_str().strip_prefix(uri.host()?)?;
        if !rest.is_empty() && uri.port_u16().is_none() {
            return None;
        }
        Some(Self {
            scheme,
            host: uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or_else(|| scheme.port()),
        })
    }
}

impl FromStr for CallHost {
    type Err = CallHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let uri: Uri = url.parse().map_err(|_| CallHostError)?;
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/") && !text.ends_with('/');
        let named = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('*'));
        Self::of(&uri)
            .filter(|host| bare && named && !host.host.is_empty())
            .ok_or(CallHostError)
    }
}

impl fmt::Display for CallHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port == self.scheme.port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

// === impl Scheme ===

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Scanner.example.com", "https://scanner.example.com/x", true)]
    #[case("scanner.example.com", "https://scanner.example.com:443", true)]
    #[case("scanner.example.com:8443", "https://scanner.example.com:8443/", true)]
    #[case("[fd12::1]:8443", "https://[fd12::1]:8443/", true)]
    #[case("http://scanner.tools", "http://scanner.tools/x", true)]
    #[case::another_port("scanner.example.com", "https://scanner.example.com:8443", false)]
    #[case::plain("scanner.example.com", "http://scanner.example.com", false)]
    #[case::plain_on_its_port("scanner.example.com", "http://scanner.example.com:443", false)]
    #[case::tls_where_plain_was_meant("http://scanner.tools", "https://scanner.tools", false)]
    #[case::below("example.com", "https://scanner.example.com", false)]
    #[case::a_dot_at_the_end("example.com", "https://example.com./", false)]
    fn a_host_is_called_only_as_it_is_listed(#[case] listed: &str, #[case] url: &str, #[case] is: bool) {
        let calls = ServiceCalls::to([listed.parse().unwrap()]);
        let host = CallHost::of(&url.parse().unwrap()).unwrap();
        assert_eq!(calls.hosts.contains(&host), is);
    }

    #[rstest]
    #[case("")]
    #[case("*")]
    #[case("*.example.com")]
    #[case("example.com/path")]
    #[case("example.com/")]
    #[case("user@example.com")]
    #[case("ftp://example.com")]
    #[case("example.com:99999")]
    fn what_is_no_host_is_not_listed(#[case] text: &str) {
        assert!(text.parse::<CallHost>().is_err());
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_after_it_is_resolved() {
        let calls = ServiceCalls::to(["localhost:9".parse().unwrap()]);
        let call = ServiceCall {
            url: "https://localhost:9/x?key=secret".to_owned(),
            headers: Vec::new(),
            authority: String::new(),
            body: None,
        };
        let why = calls.call(&call).await.unwrap_err();
        assert!(
            why.starts_with("cannot call https://localhost:9/x: localhost is at "),
            "{why}"
        );
        assert!(
            why.ends_with("an address of this machine, and such are never called"),
            "{why}"
        );
    }

    /// A server on this machine for `localhost`, and who vouches for it.
    async fn tls_server() -> (SocketAddr, String) {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let service = hyper::service::service_fn(async |_| {
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from("[1]"))))
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            }
        });
        (address, signed.cert.pem())
    }

    #[tokio::test]
    async fn a_server_shows_a_certificate_of_the_authority_that_the_policy_names() {
        let (address, authority) = tls_server().await;
        let host = format!("localhost:{}", address.port());
        let calls = ServiceCalls::to([host.parse().unwrap()]).with_loopback_for_development();
        let call = |authority: &str| ServiceCall {
            url: format!("https://{host}/"),
            headers: Vec::new(),
            authority: authority.to_owned(),
            body: None,
        };
        assert_eq!(calls.call(&call(&authority)).await, Ok(serde_json::json!([1])));
        let why = calls.call(&call("")).await.unwrap_err();
        assert!(why.contains("certificate"), "{why}");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let why = calls.call(&call(&other.cert.pem())).await.unwrap_err();
        assert!(why.contains("certificate"), "{why}");
    }
}
