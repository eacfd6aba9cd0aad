//! The sync windows of an Application's project, at this time.

use std::time::Duration;

use jiff::Timestamp;
use provost_delivery::windows::{Closed, Subject};

use super::application::Task;
use super::error::Error;
use crate::api::argoproj::{ApplicationSpec, IN_CLUSTER_NAME, IN_CLUSTER_SERVER};

/// The longest wait before a window is looked at again: clocks are set, machines sleep.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// What is waited beyond the opening, so that a timer that fires early finds the window open.
const MARGIN: Duration = Duration::from_millis(50);

/// A window by which nothing may be synced now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClosedWindow {
    closed: Closed,
    /// When a sync is possible again, where that can be said.
    opens: Option<Timestamp>,
}

// === impl ClosedWindow ===

impl ClosedWindow {
    /// Which window, and when a sync is possible again.
    pub(super) fn sentence(&self) -> String {
        match (&self.closed, self.opens) {
            (Closed::Denied { .. }, Some(opens)) => format!("{}, next possible at {opens}", self.closed),
            _ => self.closed.to_string(),
        }
    }

    /// How long to wait before looking again.
    pub(super) fn wait(&self) -> Option<Duration> {
        let left = self.opens?.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        Some((left + MARGIN).min(LONGEST_WAIT))
    }
}

// === impl Task ===

impl Task {
    /// Looks whether the project's windows let a sync begin now, or the one that is under way go on.
    pub(super) fn look_at_windows(&mut self, spec: &ApplicationSpec) -> Result<(), Error> {
        let Some(leave) = self.leave.clone() else {
            return Ok(());
        };
        let windows = &leave.project()?.windows;
        let subject = Subject {
            application: self.application.metadata.name.as_deref().unwrap_or_default(),
            namespace: spec.namespace.as_deref().unwrap_or_default(),
            server: IN_CLUSTER_SERVER,
            cluster: IN_CLUSTER_NAME,
        };
        let now = Timestamp::now();
        let is_manual = self.asked.is_some();
        let checked = match &self.run {
            Some(run) => windows.check_running(&subject, run.started_at, now, is_manual),
            None => windows.check(&subject, now, is_manual),
        };
        let closed = checked.err().map(|closed| ClosedWindow {
            opens: windows.opens(&subject, now, is_manual),
            closed,
        });
        if closed.is_some() != self.closed.is_some() {
            // What was left alone may be allowed now, and the other way round.
            self.look_anew();
        }
        self.closed = closed;
        Ok(())
    }
}
