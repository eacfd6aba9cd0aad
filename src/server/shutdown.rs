//! How the process is asked to stop: the first signal drains, a second one aborts.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Error;

/// Two stages of stopping, shared by every role of the process.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Stop taking work, finish what is begun.
    pub drain: CancellationToken,
    /// Finish nothing.
    pub abort: CancellationToken,
}

/// Has the process outlive a write beyond the bound on its files' size (`RLIMIT_FSIZE`): the write fails, as it does on a
/// full disk, where the system would else end the process (SIGXFSZ).
///
/// Needs a runtime. A handler does nothing and stays; programs that are started do not inherit it.
pub fn outlive_full_disks() -> Result<(), Error> {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(kind).map(drop).map_err(Error::ListenForSignals)
}

// === impl Shutdown ===

impl Shutdown {
    /// Asked for by SIGINT or SIGTERM.
    pub fn on_signal() -> Result<Self, Error> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::ListenForSignals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::ListenForSignals)?;
        let shutdown = Self::default();
        let Self { drain, abort } = shutdown.clone();
        tokio::spawn(async move {
            for token in [drain, abort] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
