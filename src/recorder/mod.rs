//! The recorder: it reads what the writers' chains have become, signs checkpoints of them, anchors those outside, and
//! deletes what is older than it has to be kept.
//!
//! ```text
//! chains ──follow──▶ heads ──sign──▶ DIR/checkpoints ──┬─anchor thread──▶ REPO#BRANCH
//!                                                      └─stamp threads──▶ authorities ──▶ DIR/timestamps
//! ```
//!
//! Guarantees:
//! - It holds the only key that signs. It reads chains and never writes one, its own process's apart.
//! - What it once signed it never contradicts: a chain that was changed afterwards is an alarm in the log and in the
//!   record, and the checkpoints that follow keep what was signed.
//! - A checkpoint is made at most [`MAX_INTERVAL`] after the one before, where there is anything new, and once more after
//!   the last record of its own process.
//! - An anchor or an authority of timestamps that does not answer delays nothing: what it missed is told once it answers
//!   again.
//! - Checkpoints that are older than [`checkpoints::KEPT_DAYS`] days become fewer, and a checkpoint says which are gone.
//! - After a start it reads on where it ended, as far as the files are what they were.

mod anchor;
pub mod audit;
mod follow;
mod key;
pub mod observe;
mod outside;
pub mod pull;
mod resume;
mod retention;
pub mod sample;
mod stamp;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use provost_evidence::chain::format_time;
use provost_evidence::checkpoint::{Checkpoint, MAX_INTERVAL_SECONDS};
use provost_evidence::event::{Alarm, Event};
use provost_evidence::note::{SigningKey, VerifierKey};

use self::anchor::Anchoring;
use self::follow::Follower;
use self::outside::Telling;
use self::resume::Resume;
use self::stamp::Stamping;
use crate::ledger::http::{self, Endpoint};
use crate::ledger::{Ledger, anchor::Address, checkpoints, thinning::Thinning};

pub use key::{Error as KeyError, load as load_signing_key};
pub use pull::PullConfig;

/// The longest time between two checkpoints.
pub const MAX_INTERVAL: Duration = Duration::from_secs(MAX_INTERVAL_SECONDS);
/// How often it is looked whether anything may be deleted.
const RETENTION_INTERVAL: Duration = Duration::from_hours(1);
const RESUME_FILE: &str = "read.json";

/// What the recorder is told.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// The file of the key that signs. It is made where it is missing and its folder is writable.
    pub signing_key: PathBuf,
    /// The file of the key that signed until now, where it changes.
    pub previous_key: Option<PathBuf>,
    /// The folder of our copy of the anchor's branch.
    pub state: PathBuf,
    /// How far apart checkpoints are.
    pub interval: Duration,
    /// How many days records are kept.
    pub retention_days: u32,
    /// Where checkpoints are pushed to.
    pub anchor: Option<Address>,
    /// Who stamps checkpoints (RFC 3161).
    pub timestamp_authorities: Vec<Endpoint>,
    /// The name of a key that is made: of which ledger it is.
    pub origin: String,
}

/// Why the recorder cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no key.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// The checkpoints cannot be kept.
    #[error(transparent)]
    Checkpoints(#[from] checkpoints::Error),
    /// The anchor's copy cannot be kept.
    #[error(transparent)]
    Anchor(#[from] crate::ledger::anchor::Error),
    /// The last checkpoint is another key's.
    #[error(
        "the last checkpoint ({number}) is not signed by {key}: give the key that signed it by --previous-signing-key, \
         and both sign the change"
    )]
    OtherKey {
        /// Its number.
        number: u64,
        /// The key that signs now.
        key: String,
    },
    /// The chains cannot be read.
    #[error("could not read the ledger {path:?}")]
    Ledger {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An authority of timestamps was not heard.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// It gave none.
    #[error(transparent)]
    Refused(#[from] provost_evidence::timestamp::ResponseError),
    /// It gave one that is none.
    #[error("the authority's timestamp is no use: {0}")]
    Token(#[from] provost_evidence::timestamp::TokenError),
    /// A thread could not be started.
    #[error("could not start the recorder's thread")]
    Thread(#[source] std::io::Error),
}

/// A recorder that works, on a thread of its own.
#[derive(Debug)]
pub struct Running {
    /// What others check its signatures with.
    pub key: VerifierKey,
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Recorder {
    config: RecorderConfig,
    ledger: Ledger,
    key: SigningKey,
    /// Set until the checkpoint that hands over is made.
    previous: Option<SigningKey>,
    store: checkpoints::Store,
    follower: Follower,
    /// Those outside who are told of each checkpoint.
    telling: Vec<Telling>,
    retained: Option<Instant>,
}

/// Starts to record the ledger; `None` where it keeps nothing, or another process records it already.
pub fn start(config: RecorderConfig, ledger: &Ledger) -> Result<Option<Running>, Error> {
    let Some(directory) = ledger.directory() else {
        return Ok(None);
    };
    let opened = Recorder::open(config, ledger.clone(), directory);
    if let Err(Error::Checkpoints(checkpoints::Error::Locked(folder))) = &opened {
        tracing::info!(folder = %folder.display(), "Another process makes the checkpoints of this ledger.");
        return Ok(None);
    }
    let mut recorder = opened?;
    recorder.checkpoint()?;
    let key = recorder.key.verifier();
    let (stop, stopped) = sync_channel(1);
    let thread = thread::Builder::new()
        .name("recorder".into())
        .spawn(move || recorder.run(&stopped))
        .map_err(Error::Thread)?;
    Ok(Some(Running { key, stop, thread }))
}

// === impl Running ===

impl Running {
    /// Makes the last checkpoint, tries to anchor it, and returns. Called once the ledger is closed. Blocks.
    pub fn stop(self) {
        // Both fail only where the thread has ended already, which it logged.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

// === impl Recorder ===

impl Recorder {
    fn open(config: RecorderConfig, ledger: Ledger, directory: &Path) -> Result<Self, Error> {
        let key = key::load_or_make(&config.signing_key, &config.origin)?;
        let previous = config.previous_key.as_deref().map(key::load).transpose()?;
        let store = checkpoints::Store::open(directory)?;
        let previous = hand_over(&store, &key, previous)?;
        let telling = telling(&config, directory)?;
        let last = store.last().map(|signed| signed.checkpoint.chains.clone());
        let resume = Resume::load(&config.state.join(RESUME_FILE));
        let follower = Follower::new(directory.to_owned(), last.unwrap_or_default(), resume);
        Ok(Self {
            config,
            ledger,
            key,
            previous,
            store,
            follower,
            telling,
            retained: None,
        })
    }

    fn run(mut self, stop: &Receiver<()>) {
        loop {
            let stopped = match stop.recv_timeout(self.config.interval) {
                Err(RecvTimeoutError::Timeout) => false,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            };
            if let Err(error) = self.checkpoint() {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "No checkpoint could be made.");
            }
            if stopped {
                self.telling.into_iter().for_each(Telling::stop);
                return;
            }
        }
    }

    /// Makes a checkpoint, where there is anything new.
    fn checkpoint(&mut self) -> Result<(), Error> {
        let alarms = self.follower.advance()?;
        for Alarm { chain, message } in alarms {
            tracing::error!(%chain, %message, "A chain is not what was signed.");
            self.ledger.append(Event::Alarm(Alarm { chain, message }));
        }
        let (due, thin) = if self
            .retained
            .is_none_or(|last| last.elapsed() >= RETENTION_INTERVAL)
        {
            self.retained = Some(Instant::now());
            let due = self.follower.older_than(self.config.retention_days)?;
            (due, self.store.to_thin(Timestamp::now())?)
        } else {
            (Vec::new(), Thinning::default())
        };
        let mut chains = self.follower.heads();
        for drop in due.iter().filter(|drop| drop.whole) {
            chains.remove(&drop.chain);
        }
        let last = self.store.last().map(|signed| &signed.checkpoint);
        let is_news = last.is_none_or(|last| last.chains != chains);
        if !is_news && due.is_empty() && thin.is_empty() && self.previous.is_none() {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            origin: last.map_or_else(
                || self.key.verifier().name().to_owned(),
                |last| last.origin.clone(),
            ),
            number: last.map_or(0, |last| last.number + 1),
            // As the clock has it: where it was set back, `verify` says so.
            time: format_time(Timestamp::now()),
            chains,
            dropped: due.iter().map(|drop| (drop.chain.clone(), drop.head)).collect(),
            thinned: thin.ranges(),
            key: self.previous.as_ref().map(|_| self.key.verifier()),
        };
        let signed = checkpoint.sign(self.previous.iter().chain([&self.key]));
        self.store.append(signed)?;
        self.previous = None;
        for drop in due {
            retention::carry_out(&drop, &self.ledger, self.config.retention_days);
            self.follower.forget(&drop);
        }
        self.store.thin(&thin)?;
        self.telling.iter().for_each(Telling::wake);
        let resume = self.config.state.join(RESUME_FILE);
        if let Err(error) = self.follower.resume().save(&resume) {
            // Then the next start reads more than it had to.
            tracing::warn!(file = %resume.display(), %error, "How far the ledger was read could not be kept.");
        }
        tracing::debug!(bytes = self.follower.bytes_read(), "The ledger was read.");
        Ok(())
    }
}

/// Those outside who are told of each checkpoint.
fn telling(config: &RecorderConfig, directory: &Path) -> Result<Vec<Telling>, Error> {
    let mut telling = Vec::new();
    if let Some(address) = &config.anchor {
        let copy = config.state.join("anchor.git");
        let anchoring = Anchoring::open(&copy, address.clone(), directory.to_owned())?;
        telling.push(Telling::start("anchor", anchoring)?);
    }
    for authority in &config.timestamp_authorities {
        let stamping = Stamping::open(authority.clone(), directory.to_owned())?;
        telling.push(Telling::start("timestamp", stamping)?);
    }
    Ok(telling)
}

/// The key that has to sign the change to `key`, where it is one.
fn hand_over(
    store: &checkpoints::Store,
    key: &SigningKey,
    previous: Option<SigningKey>,
) -> Result<Option<SigningKey>, Error> {
    let Some(last) = store.last() else { return Ok(None) };
    if key.verifier().signed(&last.note) {
        return Ok(None);
    }
    match previous {
        Some(previous) if previous.verifier().signed(&last.note) => Ok(Some(previous)),
        _ => Err(Error::OtherKey {
            number: last.checkpoint.number,
            key: key.verifier().to_string(),
        }),
    }
}
