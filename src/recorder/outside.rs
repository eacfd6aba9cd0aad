//! A thread that tells others outside of a checkpoint, and tries again later where they do not answer. It delays nobody.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::Error;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(5);
/// How long a stop waits for the last try.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be told, to whom: all that is new since the last time.
pub(super) trait Tell: Send + 'static {
    /// What is said where it fails.
    const FAILED: &'static str;

    fn tell(&mut self) -> Result<(), Error>;
}

#[derive(Debug)]
pub(super) struct Telling {
    work: SyncSender<Work>,
    stopped: Receiver<()>,
}

#[derive(Debug, PartialEq, Eq)]
enum Work {
    Tell,
    Stop,
}

// === impl Telling ===

impl Telling {
    pub(super) fn start(name: &str, what: impl Tell) -> Result<Self, Error> {
        // One wish is enough: it covers all that there is.
        let (work, wishes) = sync_channel(2);
        let (done, stopped) = sync_channel(1);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                run(what, &wishes);
                let _ = done.send(());
            })
            .map_err(Error::Thread)?;
        Ok(Self { work, stopped })
    }

    /// There is something to tell.
    pub(super) fn wake(&self) {
        // Where the channel is full, it is asked for already.
        let _ = self.work.try_send(Work::Tell);
    }

    /// One last try, for a while: who hangs outside keeps nobody from stopping.
    pub(super) fn stop(self) {
        let _ = self.work.try_send(Work::Stop);
        drop(self.work);
        let _ = self.stopped.recv_timeout(STOP_PATIENCE);
    }
}

fn run<T: Tell>(mut what: T, wishes: &Receiver<Work>) {
    let mut retry = None::<Duration>;
    loop {
        let work = match retry {
            None => wishes.recv().unwrap_or(Work::Stop),
            Some(delay) => match wishes.recv_timeout(delay) {
                // Not earlier for another checkpoint: they are in trouble.
                Ok(Work::Tell) => continue,
                Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => Work::Stop,
                Err(RecvTimeoutError::Timeout) => Work::Tell,
            },
        };
        retry = match what.tell() {
            Ok(()) => None,
            Err(error) => {
                let delay = retry.map_or(FIRST_RETRY, |delay| (delay * 2).min(LAST_RETRY));
                let causes =
                    std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                let error = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                tracing::warn!(error, ?delay, "{}", T::FAILED);
                Some(delay)
            }
        };
        if work == Work::Stop {
            return;
        }
    }
}
