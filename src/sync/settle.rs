//! A moment's patience after a sync: what controllers say of it at once goes into the same status.
//!
//! An object that was just applied is nearly always on its way: its controller has not seen it yet. A status that said so
//! would be written again a moment later, for each of a thousand Applications.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::application::Task;
use super::status::{Outcome, SyncOutcome};

/// How long a status waits for what controllers say of a sync.
const PATIENCE: Duration = Duration::from_millis(500);
/// The health that a moment may change.
const ON_ITS_WAY: &str = "Progressing";

// === impl Task ===

impl Task {
    /// Takes in how the objects of a sync that has just ended fare, for as long as they are on their way and no longer
    /// than a moment. Nobody else waits for it: what writes was given back.
    pub(super) async fn settle(&mut self, mut outcome: Outcome, end: &CancellationToken) -> Outcome {
        let run = outcome.sync_run.as_ref();
        let is_done = run.is_some_and(|run| matches!(run.outcome, SyncOutcome::Succeeded(_)));
        let Some(goal) = self.goal.clone().filter(|_| is_done) else {
            return outcome;
        };
        let give_up = Instant::now() + PATIENCE;
        while outcome.health.status == ON_ITS_WAY {
            let mail = tokio::time::timeout_at(give_up, self.mailbox.wait());
            // What the agent knows when it ends is said.
            let Some(Ok(())) = end.run_until_cancelled(mail).await else {
                break;
            };
            self.take_mail();
            let converged = self.standing(&goal);
            outcome.health = converged.health;
            outcome.resources = converged.resources;
        }
        if self.was_told {
            // The next pass looks at what was taken in: somebody may have changed an object meanwhile.
            self.mailbox.wake();
        }
        outcome
    }
}
