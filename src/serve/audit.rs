//! The apiserver's audit log: files that are followed, and the listener that its webhook backend sends to.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Shutdown;
use crate::{
    ledger::Ledger,
    policies::folder::read_bounded,
    recorder::audit::{Intake, router},
    server::{self, Drained, Listener, ServingCertificate},
    webhook::{Store, Token, rotation::Lifetimes, store},
};

/// How long the end of the log may take to be read once the process is to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the audit log comes from.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// Files that the apiserver writes.
    pub logs: Vec<PathBuf>,
    /// Where it may send its events to.
    pub listen: Option<SocketAddr>,
    /// Folder with the listener's certificate `tls.crt`, its key `tls.key` and the `token`; `None` makes them.
    pub certificates: Option<PathBuf>,
    /// The folder of what is kept: how far files were read, the listener's certificate and token.
    pub state: PathBuf,
}

/// Why the audit log cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener cannot serve.
    #[error("cannot listen for audit events")]
    Listen(#[from] server::Error),
    /// There is no certificate.
    #[error("cannot listen for audit events")]
    Certificate(#[from] store::Error),
    /// What is mounted cannot be read.
    #[error("cannot listen for audit events: cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no token.
    #[error("cannot keep the token for audit events in {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// An audit log that is taken.
pub(super) struct Running {
    /// The URL to send to, and the file of the token.
    pub(super) endpoint: Option<(String, PathBuf)>,
    /// Told after the webhook is gone.
    stop: CancellationToken,
    tails: Vec<JoinHandle<()>>,
    server: Option<JoinHandle<Drained>>,
}

pub(super) async fn start(
    config: &AuditConfig,
    lifetimes: Lifetimes,
    ledger: &Ledger,
    shutdown: &Shutdown,
) -> Result<Running, Error> {
    let intake = Arc::new(Intake::new(ledger.clone()));
    let stop = CancellationToken::new();
    let (mut endpoint, mut server) = (None, None);
    if let Some(address) = config.listen {
        let listener = Listener::bind(address).await?;
        let address = listener.address();
        let Secrets {
            certificate,
            token,
            path,
        } = match &config.certificates {
            Some(folder) => Secrets::mounted(folder)?,
            None => Secrets::kept(&config.state, address, lifetimes).await?,
        };
        let tls = Arc::new(certificate).server_config(None)?;
        endpoint = Some((format!("https://{address}/audit"), path));
        let serving = listener.serve(tls, router(Arc::clone(&intake), &token), stop.clone());
        server = Some(tokio::spawn(serving));
    }
    let follow = |log: &PathBuf| {
        let follow = Arc::clone(&intake).follow(log.clone(), config.state.clone(), stop.clone());
        let abort = shutdown.abort.clone();
        tokio::spawn(async move {
            let _ = abort.run_until_cancelled_owned(follow).await;
        })
    };
    let tails = config.logs.iter().map(follow).collect();
    Ok(Running {
        endpoint,
        stop,
        tails,
        server,
    })
}

/// What the listener shows, and what it is shown.
struct Secrets {
    certificate: ServingCertificate,
    token: String,
    /// The token's file.
    path: PathBuf,
}

// === impl Secrets ===

impl Secrets {
    fn mounted(folder: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = folder.join(name);
            match read_bounded(&path) {
                Ok(text) => Ok(text),
                Err(source) => Err(Error::Read { path, source }),
            }
        };
        Ok(Self {
            certificate: ServingCertificate::from_pem(&read("tls.crt")?, &read("tls.key")?)?,
            token: read("token")?.trim().to_owned(),
            path: folder.join("token"),
        })
    }

    /// Those below the state folder, made where they are missing.
    async fn kept(state: &Path, address: SocketAddr, lifetimes: Lifetimes) -> Result<Self, Error> {
        let names = ["localhost".to_owned(), address.ip().to_string()];
        let store = Store::Folder(state.join("audit-certs"));
        let identity = store.identity(&names, lifetimes).await?;
        let path = state.join("audit.token");
        Ok(Self {
            certificate: ServingCertificate::from_pem(identity.serving().pem(), &identity.serving().key)?,
            token: token(&path).map_err(|source| Error::Token {
                path: path.clone(),
                source,
            })?,
            path,
        })
    }
}

// === impl Running ===

impl Running {
    /// Reads to the end of each file, and returns.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        let ended = async {
            for tail in self.tails {
                // One that panicked has nothing left to read.
                let _ = tail.await;
            }
            if let Some(server) = self.server {
                let _ = server.await;
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
            tracing::warn!("The audit log was not read to its end; what is left is read at the next start.");
        }
    }
}

/// The token that is kept, or a new one; only its owner can read it.
fn token(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = Token::random().map_err(|_| io::Error::other("the system gives no random bits"))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", token.expose())?;
    Ok(token.expose().to_owned())
}
