//! The ledger: where a process records what happens, in a hash chain of its own.
//!
//! ```text
//! append(event) ──bounded queue──▶ writer thread ──group commit──▶ DIR/20261124T111432.250Z-1f0c9a3b.jsonl
//! recorder ──signed note──▶ DIR/checkpoints/2026-11-24.txt ──commit──▶ REPO#BRANCH
//! ```
//!
//! Guarantees:
//! - [`Ledger::append`] never blocks, never fails and never touches the disk. What the queue cannot take is counted,
//!   and becomes a gap record: a loss is never silent.
//! - A record is on the disk (fsync) at most [`COMMIT_INTERVAL`] and one write after it was appended.
//! - A chain belongs to one boot of one process. It opens with a boot record and closes with an end record; a file that
//!   a crash left is never written to again. A chain goes on in a new file once one is large or old ([`segments`]).
//! - What was appended by [`Ledger::append_durably`] is on the disk before that returns.
//! - Beside the chains lie the checkpoints that the recorder signs ([`checkpoints`]), and nobody else writes.
//! - People become pseudonyms before they are sealed, where that is wanted ([`Privacy`]); who they are stands in a map
//!   beside the ledger ([`identities`]), from which a name can be erased.
//! - Where the disk refuses, records are lost and counted; as soon as it takes them again they go into a new chain,
//!   which begins with a gap record that says why.
//!
//! `provost verify DIR` checks the files ([`verify`]), against a Git branch that others keep ([`anchor`]).

pub mod anchor;
pub mod changes;
pub mod checkpoints;
pub mod digest_key;
pub mod http;
pub mod identities;
pub mod read;
pub mod segments;
pub mod serve;
pub mod thinning;
pub mod timestamps;
pub mod verify;
mod verify_checkpoints;
mod verify_timestamps;
mod witnesses;
mod writer;

pub use verify_checkpoints::{Anchored, CheckpointFinding, CheckpointReport, Findings, Timestamped};

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use provost_evidence::event::{Boot, Event};
use provost_evidence::keyed::DigestKey;
use tokio::sync::oneshot;

use self::digest_key::DigestKeys;
use self::writer::{Message, Writer};
use crate::config;

/// Events that wait for the writer: at 5,000 a second, more than a second of a disk that hangs.
pub const QUEUE_CAPACITY: usize = 8_192;
/// How long a record waits for others before they are committed together.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(50);
/// How long a record that has to be durable waits for a place in the queue.
const DURABLE_PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks for one.
const DURABLE_RETRY: Duration = Duration::from_millis(5);
/// The file of the key that hides people and Secrets, below the state directory.
pub const DIGEST_KEY_FILE: &str = "ledger-digest.key";
/// The map of who is behind pseudonyms, below the state directory.
pub const IDENTITIES_FILE: &str = "identities.jsonl";
/// How the file of a chain ends.
pub const FILE_EXTENSION: &str = "jsonl";

/// Where this process records what happens. Cheap to clone; [`Ledger::append`] never blocks and never fails: what the
/// queue cannot take becomes a gap record.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    queue: Option<Arc<Queue>>,
}

/// Where the chains are kept, as `--ledger` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Below the user's state directory.
    #[default]
    StateDirectory,
    /// In this directory, which is made where it is missing.
    Directory(PathBuf),
    /// Nowhere.
    None,
}

/// How people and Secrets stand in the records.
#[derive(Clone, Debug)]
pub struct Privacy {
    /// The key that hides them.
    pub keys: DigestKeys,
    /// The map of who is behind the pseudonyms; people keep their names where there is none.
    pub identities: Option<PathBuf>,
}

/// When a chain goes on in a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLimits {
    /// From this size on.
    pub bytes: u64,
    /// From this age on.
    pub age: Duration,
}

/// Why a record may not be on the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDurable {
    /// Others were before it for too long.
    #[error("the ledger's queue is full")]
    Full,
    /// The disk refused.
    #[error("the ledger's disk refuses: {0}")]
    Disk(String),
    /// Nobody writes any more.
    #[error("the ledger is closed")]
    Closed,
}

/// Why a ledger could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `XDG_STATE_HOME` nor `HOME` is set.
    #[error(
        "no place for the ledger: neither XDG_STATE_HOME nor HOME is set; give --ledger DIR, or --ledger none to go without"
    )]
    NoStateDirectory,
    /// The directory isn't there and could not be made.
    #[error("could not make the ledger's directory {directory:?}; give another by --ledger DIR")]
    CreateDirectory {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The chain's file could not be made or written.
    #[error("could not write the ledger {file:?}; give another directory by --ledger DIR")]
    Write {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Who is behind pseudonyms cannot be kept.
    #[error(transparent)]
    Identities(#[from] identities::Error),
    /// A record could not be made.
    #[error(transparent)]
    Seal(#[from] provost_evidence::chain::SealError),
    /// The thread that writes could not be started.
    #[error("could not start the ledger's thread")]
    Thread(#[source] std::io::Error),
    /// The thread that writes is gone.
    #[error("the ledger's thread has ended; its last records are lost")]
    ThreadEnded,
}

/// The appending end of the queue to the writer.
#[derive(Debug)]
struct Queue {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
    directory: PathBuf,
    digest_key: ArcSwapOption<DigestKey>,
    /// The name of the chain that was opened first, and the next number in it that is given to a record beforehand.
    first_chain: String,
    next_position: AtomicU64,
}

// === impl Ledger ===

impl Ledger {
    /// A ledger that keeps nothing (`--ledger none`).
    pub fn none() -> Self {
        Self::default()
    }

    /// Opens a chain of its own for this boot of the process, and writes `boot` as its first record before it returns.
    pub fn open(destination: &Destination, boot: Boot) -> Result<Self, Error> {
        Self::open_with(destination, boot, SegmentLimits::default())
    }

    /// As [`Ledger::open`], with files of another size.
    pub fn open_with(destination: &Destination, boot: Boot, limits: SegmentLimits) -> Result<Self, Error> {
        Self::open_private(destination, boot, limits, None)
    }

    /// As [`Ledger::open_with`], with a key that hides people and Secrets.
    pub fn open_private(
        destination: &Destination,
        boot: Boot,
        limits: SegmentLimits,
        privacy: Option<Privacy>,
    ) -> Result<Self, Error> {
        let Some(directory) = destination.directory()? else {
            return Ok(Self::none());
        };
        let lost = Arc::new(AtomicU64::new(0));
        let digest_key = privacy.as_ref().map(|privacy| privacy.keys.key.clone());
        let writer = Writer::open(directory.clone(), boot, limits, privacy, Arc::clone(&lost))?;
        let first_chain = writer.first_chain().to_owned();
        let (sender, receiver) = sync_channel(QUEUE_CAPACITY);
        thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(&receiver))
            .map_err(Error::Thread)?;
        let queue = Queue {
            sender,
            lost,
            directory,
            digest_key: ArcSwapOption::from_pointee(digest_key),
            first_chain,
            next_position: AtomicU64::new(0),
        };
        Ok(Self {
            queue: Some(Arc::new(queue)),
        })
    }

    /// Where the chains are, unless nothing is kept.
    pub fn directory(&self) -> Option<&Path> {
        self.queue.as_ref().map(|queue| queue.directory.as_path())
    }

    /// The key that Secrets' digests are made with; without one, nothing of a Secret is recorded.
    pub fn digest_key(&self) -> Option<Arc<DigestKey>> {
        self.queue.as_ref().and_then(|queue| queue.digest_key.load_full())
    }

    /// From now on Secrets and people are hidden by this key. Returns once the record of it is on the disk.
    pub async fn use_digest_key(&self, key: DigestKey) -> Result<(), NotDurable> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let (done, written) = oneshot::channel();
        let message = Message::DigestKey {
            key: Box::new(key.clone()),
            done,
        };
        queue.send_patiently(message, written).await?;
        queue.digest_key.store(Some(Arc::new(key)));
        Ok(())
    }

    /// How many events were lost so far that no gap record names yet.
    pub fn lost(&self) -> u64 {
        self.queue
            .as_ref()
            .map_or(0, |queue| queue.lost.load(Ordering::Relaxed))
    }

    /// A position for a record that is about to be appended and that repeats it: an answer can name its record before
    /// that is written. It is the name of this process's first chain and a number that nothing else in the process
    /// gets, `20261124T111432.250Z-1f0c9a3b/17`; `""` where nothing is kept. Takes no lock. A number that stands in no
    /// record belongs to one that was lost.
    pub fn reserve(&self) -> String {
        self.queue.as_ref().map_or_else(String::new, |queue| {
            let number = queue.next_position.fetch_add(1, Ordering::Relaxed);
            format!("{}/{number}", queue.first_chain)
        })
    }

    /// Queues one event. Its time is now.
    pub fn append(&self, event: Event) {
        let Some(queue) = &self.queue else { return };
        let message = Message::Event {
            time: Timestamp::now(),
            event: Box::new(event),
            done: None,
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.sender.try_send(message) {
            queue.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues one event and waits until it is on the disk. Where it is not, what it stands for must not happen: the
    /// answer to who asked for it is no.
    pub async fn append_durably(&self, event: Event) -> Result<(), NotDurable> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let (done, written) = oneshot::channel();
        let message = Message::Event {
            time: Timestamp::now(),
            event: Box::new(event),
            done: Some(done),
        };
        queue.send_patiently(message, written).await
    }

    /// Writes what is queued and the end record, and returns once they are on the disk. What another clone appends
    /// afterwards is lost, so call it last of all. Blocks: an async caller goes through `spawn_blocking`.
    pub fn close(&self, reason: &str) -> Result<(), Error> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let (done, closed) = sync_channel(1);
        let message = Message::Close {
            reason: reason.to_owned(),
            done,
        };
        queue.sender.send(message).map_err(|_| Error::ThreadEnded)?;
        closed.recv().map_err(|_| Error::ThreadEnded)?
    }
}

// === impl Queue ===

impl Queue {
    /// Waits for a place in the queue, and then until the writer says that it is on the disk.
    async fn send_patiently(
        &self,
        mut message: Message,
        written: oneshot::Receiver<Result<(), NotDurable>>,
    ) -> Result<(), NotDurable> {
        let patience = Instant::now() + DURABLE_PATIENCE;
        loop {
            match self.sender.try_send(message) {
                Ok(()) => return written.await.unwrap_or(Err(NotDurable::Closed)),
                Err(TrySendError::Disconnected(_)) => return Err(NotDurable::Closed),
                Err(TrySendError::Full(_)) if Instant::now() >= patience => return Err(NotDurable::Full),
                Err(TrySendError::Full(refused)) => message = refused,
            }
            tokio::time::sleep(DURABLE_RETRY).await;
        }
    }
}

// === impl SegmentLimits ===

impl Default for SegmentLimits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024 * 1024,
            age: Duration::from_hours(24),
        }
    }
}

// === impl Destination ===

impl Destination {
    /// The directory that it means; `None` for nowhere.
    pub fn directory(&self) -> Result<Option<PathBuf>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Directory(directory) => Ok(Some(directory.clone())),
            Self::StateDirectory => {
                let state = config::state_directory().ok_or(Error::NoStateDirectory)?;
                Ok(Some(state.join("ledger")))
            }
        }
    }
}

impl FromStr for Destination {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Self::None,
            directory => Self::Directory(directory.into()),
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateDirectory => f.write_str("the user's state directory"),
            Self::Directory(directory) => write!(f, "{}", directory.display()),
            Self::None => f.write_str("none"),
        }
    }
}
