//! Git's smart protocol over HTTPS (gitprotocol-http(5)), in the place of libgit2's own.
//!
//! libgit2's transport offers credentials to whichever host a redirect leads to, knows no token but a password, trusts
//! one set of authorities for all hosts, and waits as long as it is let. This one
//!
//! - sends credentials to the host that they are bound to, and follows redirects on that host only;
//! - trusts the authorities that were named for the host, or else the system's;
//! - bounds each wait, the exchange as a whole, and what it reads and writes.
//!
//! What it needs to know is handed over beside libgit2: [`with_access`] sets it for the calls that its work makes on
//! this thread.

mod connection;
mod tls;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use git2::{ErrorClass, ErrorCode};
use tokio::runtime::Runtime;

use self::connection::{Answer, Ask, Failure};
use super::credentials::Access;
use super::url::{Location, RepositoryUrl};

/// How many redirects are followed before we give up.
const MAX_REDIRECTS: usize = 4;
/// How much one request may hold: what we have, or a pack that is pushed.
const MAX_REQUEST: usize = 256 << 20;

thread_local! {
    static CURRENT: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// What the transport needs to know, and what it has to say.
#[derive(Clone)]
struct Call {
    base: String,
    access: Access,
    deadline: Instant,
    /// Why it failed, in our words.
    failure: Arc<Mutex<Option<String>>>,
}

/// One remote's connections.
struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    call: Call,
    /// The repository's URL, after redirects.
    base: Mutex<String>,
    runtime: Runtime,
    tls: Arc<rustls::ClientConfig>,
}

/// One request and its answer.
struct Exchange {
    shared: Arc<Shared>,
    service: Service,
    request: Vec<u8>,
    answer: Option<Answer>,
    /// What was received and not read yet.
    chunk: hyper::body::Bytes,
}

/// Does work over a repository that HTTPS may be needed for; also why HTTPS failed, where it did.
pub(super) fn with_access<T>(
    url: &RepositoryUrl,
    access: &Access,
    deadline: Instant,
    work: impl FnOnce() -> T,
) -> (T, Option<String>) {
    register();
    let failure = Arc::new(Mutex::new(None));
    let call = Call {
        base: plain(url),
        access: access.clone(),
        deadline,
        failure: Arc::clone(&failure),
    };
    let before = CURRENT.replace(Some(call));
    let done = work();
    CURRENT.set(before);
    let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    (done, failure)
}

/// The URL without user and password, and without slashes at its end.
fn plain(url: &RepositoryUrl) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

/// Takes the place of libgit2's transport for `https://`, once.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let factory = |remote: &git2::Remote<'_>| {
            let call = CURRENT.with_borrow(Clone::clone);
            let call = call.ok_or_else(|| git2::Error::from_str("nobody said how the repository is reached"))?;
            Transport::smart(remote, true, Http::new(call)?)
        };
        #[expect(
            unsafe_code,
            reason = "libgit2 keeps its transports in a plain list; written once, before its first connection"
        )]
        let registered = unsafe { git2::transport::register("https", factory) };
        if let Err(error) = registered {
            tracing::error!(%error, "Git over HTTPS cannot be set up; libgit2's own transport gets no credentials.");
        }
    });
}

// === impl Http ===

impl Http {
    fn new(call: Call) -> Result<Self, git2::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| git2::Error::from_str(&error.to_string()))?;
        let tls = tls::client(&call.access).map_err(|error| call.fail(error.to_string()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                base: Mutex::new(call.base.clone()),
                call,
                runtime,
                tls,
            }),
        })
    }
}

impl SmartSubtransport for Http {
    fn action(&self, _url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        Ok(Box::new(Exchange {
            shared: Arc::clone(&self.shared),
            service,
            request: Vec::new(),
            answer: None,
            chunk: hyper::body::Bytes::new(),
        }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

// === impl Call ===

impl Call {
    /// Keeps the reason in our words: libgit2 would shorten it.
    fn fail(&self, reason: String) -> git2::Error {
        let error = git2::Error::new(ErrorCode::GenericError, ErrorClass::Http, &reason);
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
        error
    }
}

// === impl Shared ===

impl Shared {
    fn exchange(&self, service: Service, body: Vec<u8>) -> Result<Answer, Failure> {
        let (name, is_discovery) = match service {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let content_type = format!(
            "application/x-{name}-{}",
            if is_discovery { "advertisement" } else { "result" }
        );
        if !is_discovery {
            let url = format!("{base}/{name}");
            let request_type = format!("application/x-{name}-request");
            let body = Some((request_type.as_str(), body));
            return match self.ask(
                &Ask {
                    url: &url,
                    accept: &content_type,
                },
                body,
            )? {
                Answer::Redirect(to) => Err(Failure::Redirect(to)),
                answer @ Answer::Content(_) => Ok(answer),
            };
        }
        let suffix = format!("/info/refs?service={name}");
        for _ in 0..=MAX_REDIRECTS {
            let url = format!("{base}{suffix}");
            match self.ask(
                &Ask {
                    url: &url,
                    accept: &content_type,
                },
                None,
            )? {
                Answer::Redirect(to) => *base = self.follow(&url, &to, &suffix)?,
                answer @ Answer::Content(_) => return Ok(answer),
            }
        }
        Err(Failure::Redirects)
    }

    /// Where a redirect leads, if it is on the same host and still about the same question.
    fn follow(&self, from: &str, to: &str, suffix: &str) -> Result<String, Failure> {
        let absolute = if to.starts_with("//") {
            format!("https:{to}")
        } else if to.starts_with('/') {
            let path = from
                .find("://")
                .and_then(|at| Some(at + 3 + from[at + 3..].find('/')?));
            format!("{}{to}", &from[..path.unwrap_or(from.len())])
        } else {
            to.to_owned()
        };
        let base = absolute
            .strip_suffix(suffix)
            .filter(|base| !base.contains(['?', '#', '@']));
        match base.and_then(Location::of) {
            Some(location) if location.origin == self.call.access.origin => {
                Ok(base.unwrap_or_default().to_owned())
            }
            _ => Err(Failure::Redirect(absolute)),
        }
    }

    fn ask(&self, ask: &Ask<'_>, body: Option<(&str, Vec<u8>)>) -> Result<Answer, Failure> {
        let remaining = self.call.deadline.saturating_duration_since(Instant::now());
        let exchange = connection::ask(ask, body, &self.call.access, Arc::clone(&self.tls));
        let limited = async { tokio::time::timeout(remaining, exchange).await };
        self.runtime.block_on(limited).unwrap_or(Err(Failure::Deadline))
    }
}

// === impl Exchange ===

impl Exchange {
    fn fail(&self, failure: &Failure) -> io::Error {
        let text = failure.explain(&self.shared.call.access);
        io::Error::other(self.shared.call.fail(text))
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => self
                .shared
                .exchange(self.service, std::mem::take(&mut self.request))?,
        };
        let remaining = self
            .shared
            .call
            .deadline
            .saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(Failure::Deadline);
        }
        let chunk = self.shared.runtime.block_on(answer.next(remaining))?;
        self.chunk = chunk.unwrap_or_default();
        self.answer = Some(answer);
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.receive().map_err(|failure| self.fail(&failure))?;
        }
        let length = self.chunk.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.request.len() + bytes.len() > MAX_REQUEST {
            return Err(self.fail(&Failure::RequestTooLarge));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::LocalRepositories;
    use rstest::rstest;
    use std::time::Duration;

    fn shared(url: &str) -> Shared {
        let url = RepositoryUrl::parse(url, LocalRepositories::Refused).unwrap();
        let access = Access::anonymous(&url);
        let call = Call {
            base: plain(&url),
            deadline: Instant::now() + Duration::from_mins(1),
            failure: Arc::default(),
            access,
        };
        Arc::into_inner(Http::new(call).unwrap().shared).unwrap()
    }

    #[rstest]
    #[case(
        "https://git.example.com/a.git/info/refs?service=git-upload-pack",
        Some("https://git.example.com/a.git")
    )]
    #[case(
        "/a.git/info/refs?service=git-upload-pack",
        Some("https://git.example.com/a.git")
    )]
    #[case("https://evil.example.org/a/info/refs?service=git-upload-pack", None)]
    #[case("https://git.example.com:8443/a/info/refs?service=git-upload-pack", None)]
    #[case("http://git.example.com/a/info/refs?service=git-upload-pack", None)]
    #[case("//evil.example.org/a/info/refs?service=git-upload-pack", None)]
    #[case(
        "https://git.example.com@evil.example.org/a/info/refs?service=git-upload-pack",
        None
    )]
    #[case("https://git.example.com/login?to=/info/refs?service=git-upload-pack", None)]
    fn redirects_stay_on_the_host(#[case] to: &str, #[case] base: Option<&str>) {
        let shared = shared("https://git.example.com/a");
        let from = "https://git.example.com/a/info/refs?service=git-upload-pack";
        let followed = shared.follow(from, to, "/info/refs?service=git-upload-pack");
        assert_eq!(followed.ok().as_deref(), base);
    }
}
