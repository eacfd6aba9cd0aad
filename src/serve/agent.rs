//! The agent role: started once the webhook answers, stopped before the webhook goes.

use std::time::Duration;

use kube::Client;
use tokio::task::JoinHandle;

use super::{Error, Shutdown};
use crate::{
    ledger::Ledger,
    policies::Admission,
    sync::{self, SyncConfig},
};

/// How long passes that are under way may take to reach their next step.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// An agent that reconciles.
pub(super) struct Running(JoinHandle<Result<(), sync::Error>>);

pub(super) fn start(
    config: SyncConfig,
    client: Client,
    admission: Admission,
    ledger: &Ledger,
    shutdown: &Shutdown,
) -> Running {
    let (ledger, drain) = (ledger.clone(), shutdown.drain.clone());
    Running(tokio::spawn(sync::run(config, client, admission, ledger, drain)))
}

// === impl Running ===

impl Running {
    /// Comes back only when the agent has ended by itself, which it does for a reason.
    pub(super) async fn ended(&mut self) -> Error {
        match (&mut self.0).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => Error::AgentEnded,
        }
    }

    /// Waits for its end; the shutdown has told it.
    pub(super) async fn stop(mut self) {
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.0).await.is_err() {
            tracing::warn!("The agent was still applying; what is left is done at the next start.");
            self.0.abort();
        }
    }
}
