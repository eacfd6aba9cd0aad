//! Waiting until an Application is as somebody wants it.

use std::time::Duration;

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use provost_manifest::escape;
use tokio::time::Instant;

use super::{Applications, Asked, Error, Standing};
use crate::api::argoproj::{Application, SyncCode};

/// How often the agent is asked again for the commit that it compares with.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// What is waited for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Goals {
    /// The cluster is as Git says.
    pub synced: bool,
    /// All objects are healthy.
    pub healthy: bool,
    /// No operation is under way.
    pub idle: bool,
    /// The commit, by its first digits at least.
    pub revision: Option<String>,
    /// The sync that was asked for is done.
    pub asked: Option<Asked>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that was waited for is so: in one line how.
    Reached(String),
    /// Not yet: what is missing.
    Waiting(String),
    /// It will not be: why.
    Failed(String),
}

// === impl Applications ===

impl Applications {
    /// Waits until the goals are reached, or cannot be, or the time is over; `said` hears of each step.
    ///
    /// The agent does not say by itself that a commit changes nothing of an Application: for a revision it is asked.
    ///
    /// # Errors
    /// The Application cannot be read, or is gone.
    pub async fn wait(
        &self,
        application: &Application,
        goals: &Goals,
        limit: Duration,
        mut said: impl FnMut(&str),
    ) -> Result<Progress, Error> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (namespace, name) = (
            text(&application.metadata.namespace),
            text(&application.metadata.name),
        );
        let api: Api<Application> = self.api(&namespace);
        let deadline = Instant::now() + limit;
        let mut last = Progress::Waiting("the Application was not read yet".to_owned());
        let mut changes = Box::pin(watch_object(api, &name).default_backoff());
        let mut known = application.clone();
        let mut asks_at = Instant::now();
        loop {
            let asks = goals.lacks_revision(&known);
            if asks && asks_at <= Instant::now() {
                // Who may not ask, or asked about one that has just changed, waits all the same.
                let _ = self.refresh(&known).await;
                asks_at = Instant::now() + ASK_AGAIN;
            }
            let until = if asks { deadline.min(asks_at) } else { deadline };
            let change = match tokio::time::timeout_at(until, changes.next()).await {
                Ok(change) => change,
                Err(_) if Instant::now() < deadline => continue,
                Err(_) => return Ok(last),
            };
            let now = match change {
                Some(Ok(Some(application))) => {
                    let progress = goals.progress(&application);
                    known = application;
                    progress
                }
                Some(Ok(None)) => return Err(Error::Missing { namespace, name }),
                // It is watched anew until the time is over.
                Some(Err(error)) => {
                    let reason = error.to_string();
                    Progress::Waiting(format!("the cluster does not answer: {}", escape::line(&reason)))
                }
                None => return Ok(last),
            };
            match &now {
                Progress::Waiting(what) if now != last => said(what),
                Progress::Waiting(_) => {}
                Progress::Reached(_) | Progress::Failed(_) => return Ok(now),
            }
            last = now;
        }
    }
}

// === impl Goals ===

impl Goals {
    /// Whether the Application is at another commit than is waited for.
    fn lacks_revision(&self, application: &Application) -> bool {
        let sync = application.status.sync.as_ref();
        let at = sync.map(|sync| sync.revision.as_str()).unwrap_or_default();
        let is_missed = |revision: &String| !at.starts_with(revision.as_str());
        self.revision.as_ref().is_some_and(is_missed)
    }

    /// How far the Application is.
    pub fn progress(&self, application: &Application) -> Progress {
        if let Some(asked) = &self.asked {
            match asked.progress(application) {
                Progress::Reached(_) => {}
                other => return other,
            }
        }
        let standing = Standing::of(application);
        let mut missing = Vec::new();
        let state = application.status.operation_state.as_ref();
        let is_busy = application.operation.is_some() || state.is_some_and(|state| state.phase == "Running");
        if self.idle && is_busy {
            missing.push("a sync is under way".to_owned());
        }
        if self.lacks_revision(application) {
            missing.push(format!("it is at {}", super::commits::short(&standing.revision)));
        }
        if self.synced && standing.sync != format!("{:?}", SyncCode::Synced) {
            missing.push(standing.sync.clone());
        }
        if self.healthy && standing.health != "Healthy" {
            missing.push(standing.health.clone());
        }
        let message = state.map(|state| escape::line(&state.message).into_owned());
        let message = message.filter(|message| !message.is_empty() && self.asked.is_some());
        if missing.is_empty() {
            let how = format!(
                "{}, {} at {}",
                standing.sync,
                standing.health,
                super::commits::short(&standing.revision)
            );
            return Progress::Reached(match message {
                Some(message) => format!("{how}: {message}"),
                None => how,
            });
        }
        let why = if standing.why.is_empty() {
            String::new()
        } else {
            format!(": {}", standing.why)
        };
        Progress::Waiting(format!("{}{why}", missing.join(", ")))
    }
}

// === impl Asked ===

impl Asked {
    /// How far the agent is with it.
    fn progress(&self, application: &Application) -> Progress {
        if application.operation.as_ref() == Some(&self.written) {
            return Progress::Waiting("the agent has not begun".to_owned());
        }
        let status = &application.status;
        let state = status.operation_state.as_ref();
        let Some(state) = state.filter(|state| state.operation == self.written) else {
            // What it cannot read is refused on the conditions, and never becomes a state.
            let refused = status
                .conditions
                .iter()
                .find(|condition| condition.message.contains("operation."));
            return match refused {
                Some(condition) => Progress::Failed(escape::line(&condition.message).into_owned()),
                None => Progress::Waiting("the agent has begun".to_owned()),
            };
        };
        let message = escape::line(&state.message).into_owned();
        // What Git says could not be read, so that what was synced is what it said before.
        let unread = status
            .conditions
            .iter()
            .find(|condition| matches!(condition.kind.as_str(), "ComparisonError" | "InvalidSpecError"));
        match state.phase.as_str() {
            "Succeeded" | "Running" if unread.is_some() => {
                let why = unread.map(|condition| escape::line(&condition.message).into_owned());
                Progress::Failed(why.unwrap_or_default())
            }
            "Succeeded" => Progress::Reached(message),
            "Running" => Progress::Waiting(message),
            _ if self.is_retried => Progress::Waiting(format!("it failed and is tried again: {message}")),
            _ => Progress::Failed(message),
        }
    }
}
