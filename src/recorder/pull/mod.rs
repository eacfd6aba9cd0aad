//! Takes the chains of other processes into the recorder's own ledger: where each role has a volume of its own, the
//! recorder reads there what was added since, and says what it has.
//!
//! ```text
//! webhook, agent: DIR/BOOT.jsonl ──GET from offset, TLS both ways──▶ check each record ──▶ our DIR/BOOT.jsonl, synced
//!                     ▲──────────────────────── acknowledge ───────────────────────────────┘
//! ```
//!
//! # Guarantees
//! - What lies here are exactly the bytes that the writer wrote, each record checked before it was kept.
//! - What was taken stays: a writer that tells it differently afterwards is an alarm in the log and in the record, and
//!   nothing more is taken of that chain.
//! - A writer takes over no other's chain: one belongs to the endpoint that gave it first, and ours is nobody's.
//! - Only what is on our disk is acknowledged.
//! - The others hide Secrets and people by our digest key, which they are handed over the same connection.

mod client;
mod copy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Uri;
use provost_evidence::event::{Alarm, Event};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::client::Client;
use self::copy::{Copy, Taken};
use crate::ledger::serve::{Acknowledged, Listing, MAX_CHUNK_BYTES, Part};
use crate::ledger::{Ledger, digest_key};

pub use self::client::Error as ClientError;

/// How often it is looked whether there is more.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// How long all that one endpoint has may take. What is not taken by then is taken next time.
const PASS_DEADLINE: Duration = Duration::from_mins(5);
/// How many chains of one endpoint are followed.
const MAX_CHAINS: usize = 10_000;
/// The longest listing that is read.
const MAX_LISTING_BYTES: usize = 4 * 1024 * 1024;

/// Whose chains are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullConfig {
    /// Where they are read: `https://HOST:PORT`.
    pub endpoints: Vec<Uri>,
    /// Folder with our certificate `tls.crt`, its key `tls.key`, and the writers' authority `ca.crt`.
    pub certificates: PathBuf,
    /// The file of the digest key, which the others are handed; `None` where they keep their own.
    pub digest_key: Option<PathBuf>,
}

/// Why nothing more could be taken this time.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("it lists more than {MAX_CHAINS} chains")]
    TooMany,
    #[error("what it lists is not understood")]
    Listing(#[source] serde_json::Error),
    #[error("cannot hand over the digest key")]
    Key(#[source] digest_key::Error),
    #[error("cannot keep a copy in {path:?}")]
    Keep {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no end within {} s", PASS_DEADLINE.as_secs())]
    Late,
}

/// Which endpoint gave a chain first.
type Origins = Arc<Mutex<BTreeMap<String, Uri>>>;

/// One whose chains are taken.
struct Endpoint {
    uri: Uri,
    certificates: PathBuf,
    digest_key: Option<PathBuf>,
    /// Where the copies lie.
    directory: PathBuf,
    /// Our own writer's name: a chain that bears it is not another's to write.
    own: String,
    ledger: Ledger,
    origins: Origins,
    chains: BTreeMap<String, Copy>,
}

/// Takes what there is from all endpoints until `stop`. Each is asked on its own: one that does not answer delays no
/// other.
pub async fn run(config: PullConfig, ledger: Ledger, own: String, stop: CancellationToken) {
    let Some(directory) = ledger.directory().map(Path::to_owned) else {
        return;
    };
    let origins = Origins::default();
    let mut tasks = tokio::task::JoinSet::new();
    for uri in config.endpoints {
        let endpoint = Endpoint {
            uri,
            certificates: config.certificates.clone(),
            digest_key: config.digest_key.clone(),
            directory: directory.clone(),
            own: own.clone(),
            ledger: ledger.clone(),
            origins: Arc::clone(&origins),
            chains: BTreeMap::new(),
        };
        tasks.spawn(endpoint.follow(stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

// === impl Endpoint ===

impl Endpoint {
    async fn follow(mut self, stop: CancellationToken) {
        let mut told = String::new();
        loop {
            // A pass that has begun ends, within its deadline: what was taken is then acknowledged.
            let pass = stop
                .run_until_cancelled(timeout(PASS_DEADLINE, self.pass()))
                .await;
            let Some(pass) = pass else { return };
            let why = match pass.unwrap_or(Err(Error::Late)) {
                Ok(()) => String::new(),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    std::iter::successors(Some(error), |error| error.source())
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(": ")
                }
            };
            if why != told {
                let endpoint = &self.uri;
                if why.is_empty() {
                    tracing::info!(%endpoint, "The ledger of this endpoint is read again.");
                } else {
                    tracing::warn!(%endpoint, why, "The ledger of this endpoint could not be read; it is tried again.");
                }
                told = why;
            }
            if stop.run_until_cancelled(sleep(INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Takes what was added since the last time.
    async fn pass(&mut self) -> Result<(), Error> {
        let mut client = Client::connect(&self.uri, &self.certificates).await?;
        let listing = client.get("/ledger", MAX_LISTING_BYTES).await?;
        let listing: Listing = serde_json::from_slice(&listing).map_err(Error::Listing)?;
        if listing.chains.len() > MAX_CHAINS {
            return Err(Error::TooMany);
        }
        if let Some(theirs) = &listing.digest_key {
            self.hand_key(&mut client, theirs).await?;
        }
        for (boot, files) in listing.chains {
            if !copy::is_name(&boot) {
                self.alarm(
                    "unnamed",
                    "an endpoint lists a chain whose name no writer could have given",
                );
                continue;
            }
            let mut copy = match self.chains.remove(&boot) {
                Some(copy) => copy,
                None => self.begin(&boot).await?,
            };
            if copy.broken {
                self.chains.insert(boot, copy);
                continue;
            }
            let taken = self.take(&mut client, &boot, &files, &mut copy).await;
            if let Ok(Err(damage)) = &taken {
                copy.broken = true;
                self.alarm(&boot, damage);
            }
            self.chains.insert(boot, copy);
            taken?.ok();
        }
        self.acknowledge(&mut client).await
    }

    /// Hands over the digest key that we use ourselves, where the other one uses another.
    async fn hand_key(&self, client: &mut Client, theirs: &str) -> Result<(), Error> {
        let (Some(path), Some(ours)) = (self.digest_key.clone(), self.ledger.digest_key()) else {
            return Ok(());
        };
        if ours.id() == theirs {
            return Ok(());
        }
        let read = tokio::task::spawn_blocking(move || digest_key::text_of(&path, ours.id()));
        let text = read.await.unwrap_or(Ok(None)).map_err(Error::Key)?;
        if let Some(text) = text {
            client.post("/ledger/digest-key", text.into_bytes()).await?;
            tracing::info!(endpoint = %self.uri, "The digest key was handed over.");
        }
        Ok(())
    }

    /// What we have of a chain.
    async fn begin(&self, boot: &str) -> Result<Copy, Error> {
        let (directory, name, own) = (self.directory.clone(), boot.to_owned(), self.own.clone());
        let opened = tokio::task::spawn_blocking(move || Copy::open(&directory, &name, &own)).await;
        let opened = opened.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let mut copy = opened.map_err(|source| Error::Keep {
            path: self.directory.clone(),
            source,
        })?;
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = origins.entry(boot.to_owned()).or_insert_with(|| self.uri.clone());
        let is_anothers = *origin != self.uri;
        drop(origins);
        if copy.broken {
            self.alarm(
                boot,
                "it is not another process's chain, or our copy of it was changed",
            );
        } else if is_anothers {
            copy.broken = true;
            self.alarm(boot, "another endpoint gave it first");
        }
        Ok(copy)
    }

    /// Takes what was added to a chain; the inner error says what is wrong with it.
    async fn take(
        &self,
        client: &mut Client,
        boot: &str,
        files: &[Part],
        copy: &mut Copy,
    ) -> Result<Result<(), String>, Error> {
        for file in files {
            if let Err(damage) = copy.enter(*file) {
                return Ok(Err(damage));
            }
            if !copy.is_in(*file) {
                continue;
            }
            loop {
                let path = format!("/ledger/{boot}/{}?from={}", file.first, copy.from());
                let limit = usize::try_from(MAX_CHUNK_BYTES).unwrap_or(usize::MAX);
                let chunk = client.get(&path, limit).await?;
                let taking = copy.clone();
                let taken = tokio::task::spawn_blocking(move || taking.take(&chunk)).await;
                let taken = taken.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                let taken = taken.map_err(|source| Error::Keep {
                    path: self.directory.clone(),
                    source,
                })?;
                match taken {
                    Taken::Nothing => break,
                    Taken::More(further) => *copy = further,
                    Taken::Damage(damage) => return Ok(Err(damage)),
                }
            }
        }
        Ok(Ok(()))
    }

    async fn acknowledge(&self, client: &mut Client) -> Result<(), Error> {
        let chains = self.chains.iter().filter(|(_, copy)| !copy.broken);
        let acknowledged = Acknowledged {
            chains: chains.map(|(boot, copy)| (boot.clone(), copy.part())).collect(),
        };
        let body = serde_json::to_vec(&acknowledged).map_err(Error::Listing)?;
        client.post("/ledger/acknowledged", body).await?;
        Ok(())
    }

    fn alarm(&self, chain: &str, message: &str) {
        let endpoint = &self.uri;
        tracing::error!(%endpoint, chain, message, "A chain is not taken any further; what was taken of it stays.");
        let message = format!("{endpoint}: {message}");
        let chain = chain.to_owned();
        self.ledger.append(Event::Alarm(Alarm { chain, message }));
    }
}
