//! The thread that anchors: it commits every checkpoint that the branch lacks, pushes, and tries again later where the
//! other side does not answer.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::Error;
use crate::ledger::anchor::{self, Address, Anchor};
use crate::ledger::checkpoints::{self, Entry};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(5);
/// How long a stop waits for the last push.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Anchoring {
    work: SyncSender<Work>,
    stopped: Receiver<()>,
}

#[derive(Debug, PartialEq, Eq)]
enum Work {
    Anchor,
    Stop,
}

struct Worker {
    anchor: Anchor,
    address: Address,
    directory: PathBuf,
    /// Whether what others pushed was taken over.
    fetched: bool,
}

// === impl Anchoring ===

impl Anchoring {
    pub(super) fn start(copy: &Path, address: Address, directory: PathBuf) -> Result<Self, Error> {
        let anchor = Anchor::open(copy, address.clone())?;
        // One wish is enough: it covers all checkpoints that there are.
        let (work, wishes) = sync_channel(2);
        let (done, stopped) = sync_channel(1);
        let worker = Worker {
            anchor,
            address,
            directory,
            fetched: false,
        };
        thread::Builder::new()
            .name("anchor".into())
            .spawn(move || {
                worker.run(&wishes);
                let _ = done.send(());
            })
            .map_err(Error::Thread)?;
        Ok(Self { work, stopped })
    }

    /// There is a checkpoint to anchor.
    pub(super) fn wake(&self) {
        // Where the channel is full, one is asked for already.
        let _ = self.work.try_send(Work::Anchor);
    }

    /// One last try, for a while: a remote that hangs keeps nobody from stopping.
    pub(super) fn stop(self) {
        let _ = self.work.try_send(Work::Stop);
        drop(self.work);
        let _ = self.stopped.recv_timeout(STOP_PATIENCE);
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self, wishes: &Receiver<Work>) {
        let mut retry = None::<Duration>;
        loop {
            let work = match retry {
                None => wishes.recv().unwrap_or(Work::Stop),
                Some(delay) => match wishes.recv_timeout(delay) {
                    // Not earlier for another checkpoint: the remote is in trouble.
                    Ok(Work::Anchor) => continue,
                    Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => Work::Stop,
                    Err(RecvTimeoutError::Timeout) => Work::Anchor,
                },
            };
            retry = match self.anchor() {
                Ok(()) => None,
                Err(error) => {
                    let delay = retry.map_or(FIRST_RETRY, |delay| (delay * 2).min(LAST_RETRY));
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        ?delay,
                        "The checkpoints could not be anchored; they are kept and tried again."
                    );
                    Some(delay)
                }
            };
            if work == Work::Stop {
                return;
            }
        }
    }

    fn anchor(&mut self) -> Result<(), Error> {
        if !self.fetched {
            self.anchor.fetch()?;
            self.fetched = true;
        }
        let next = self.anchor.last().map_or(0, |last| last + 1);
        let mut outcome = Ok(());
        checkpoints::read(&self.directory, |_, entry| {
            if let Entry::Checkpoint(signed) = entry
                && signed.checkpoint.number >= next
                && outcome.is_ok()
            {
                outcome = self.anchor.commit(&signed);
            }
        })?;
        outcome?;
        match self.anchor.push() {
            Ok(_) => Ok(()),
            Err(error) => {
                self.fetched = !matches!(error, anchor::Error::Diverged(_) | anchor::Error::Refused { .. });
                tracing::debug!(address = %self.address, "The push failed.");
                Err(error.into())
            }
        }
    }
}
