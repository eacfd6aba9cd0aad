//! The ledger: where a process records what happens, in a hash chain of its own.
//!
//! ```text
//! append(event) ──bounded queue──▶ writer thread ──group commit──▶ DIR/20261124T111432.250Z-1f0c9a3b.jsonl
//! ```
//!
//! Guarantees:
//! - [`Ledger::append`] never blocks, never fails and never touches the disk. What the queue cannot take is counted,
//!   and becomes a gap record: a loss is never silent.
//! - A record is on the disk (fsync) at most [`COMMIT_INTERVAL`] and one write after it was appended.
//! - A file belongs to one boot of one process. It opens with a boot record and closes with an end record; a file that
//!   a crash left is never written to again.
//! - Where the disk refuses, records are lost and counted; as soon as it takes them again they go into a new chain,
//!   which begins with a gap record that says why.
//!
//! `provost verify DIR` checks the files: see [`verify`].

pub mod verify;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use provost_evidence::event::{Boot, Event};

use self::writer::{Message, Writer};
use crate::config;

/// Events that wait for the writer: at 5,000 a second, more than a second of a disk that hangs.
pub const QUEUE_CAPACITY: usize = 8_192;
/// How long a record waits for others before they are committed together.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(50);
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
}

// === impl Ledger ===

impl Ledger {
    /// A ledger that keeps nothing (`--ledger none`).
    pub fn none() -> Self {
        Self::default()
    }

    /// Opens a chain of its own for this boot of the process, and writes `boot` as its first record before it returns.
    pub fn open(destination: &Destination, boot: Boot) -> Result<Self, Error> {
        let Some(directory) = destination.directory()? else {
            return Ok(Self::none());
        };
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer::open(directory.clone(), boot, Arc::clone(&lost))?;
        let (sender, receiver) = sync_channel(QUEUE_CAPACITY);
        thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(&receiver))
            .map_err(Error::Thread)?;
        let queue = Queue {
            sender,
            lost,
            directory,
        };
        Ok(Self {
            queue: Some(Arc::new(queue)),
        })
    }

    /// Where the chains are, unless nothing is kept.
    pub fn directory(&self) -> Option<&Path> {
        self.queue.as_ref().map(|queue| queue.directory.as_path())
    }

    /// How many events were lost so far that no gap record names yet.
    pub fn lost(&self) -> u64 {
        self.queue
            .as_ref()
            .map_or(0, |queue| queue.lost.load(Ordering::Relaxed))
    }

    /// Queues one event. Its time is now.
    pub fn append(&self, event: Event) {
        let Some(queue) = &self.queue else { return };
        let message = Message::Event {
            time: Timestamp::now(),
            event: Box::new(event),
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.sender.try_send(message) {
            queue.lost.fetch_add(1, Ordering::Relaxed);
        }
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
