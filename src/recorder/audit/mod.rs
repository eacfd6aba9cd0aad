//! The apiserver's audit log, as the authority for who asked for what and what was answered.
//!
//! ```text
//! FILE ──tail──▶ lines ─┐
//! POST /audit ──────────┴─parse─▶ writes ─once each─▶ ledger
//! ```
//!
//! # Guarantees
//! - An event that comes twice is recorded once, within a window; across a restart it may be recorded twice, with the
//!   same `auditID`.
//! - How far a file was read is kept only once what was read is on the disk.
//! - What could not be read is a gap record.
//!
//! RBAC: none. It reads files that the apiserver writes, or is sent what it sends.

mod event;
mod listener;
mod tail;

use std::collections::{HashSet, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use provost_evidence::event::{Event, Gap};
use provost_evidence::witness::Audit;
use provost_manifest::digest::Digest;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, NotDurable};

pub use event::parse;
pub use listener::{MAX_BODY_BYTES, router};
pub use tail::{Batch, Place, Tail};

/// How many events are remembered, so as to know those that come again.
pub const WINDOW: usize = 65_536;
/// How often a file is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long a disk or a file that refused is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Takes audit events into the ledger, each once.
#[derive(Debug, Default)]
pub struct Intake {
    ledger: Ledger,
    recent: Mutex<Recent>,
}

/// The events that came last.
#[derive(Debug, Default)]
struct Recent {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

// === impl Intake ===

impl Intake {
    /// Into this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            recent: Mutex::default(),
        }
    }

    /// Records those that are new, and returns once they are on the disk. Where they are not, they may be handed in once
    /// more.
    pub async fn take(&self, audits: Vec<Audit>, lost: Vec<String>) -> Result<(), NotDurable> {
        let mut new: Vec<Audit> = audits;
        {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let mut here = HashSet::new();
            new.retain(|audit| !recent.ids.contains(&audit.audit_id) && here.insert(audit.audit_id.clone()));
        }
        let ids: Vec<String> = new.iter().map(|audit| audit.audit_id.clone()).collect();
        let gaps = lost.into_iter().map(|reason| Event::Gap(Gap { lost: 1, reason }));
        let mut events: VecDeque<Event> = gaps.chain(new.into_iter().map(Event::Audit)).collect();
        let final_event = events.pop_back();
        for event in events {
            self.ledger.append(event);
        }
        // The disk takes records in their order: with the last, all are there.
        if let Some(event) = final_event {
            self.ledger.append_durably(event).await?;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            recent.remember(id);
        }
        Ok(())
    }

    /// Follows a file until `stop`, and then to its end. `state` keeps how far it was read.
    pub async fn follow(self: Arc<Self>, path: PathBuf, state: PathBuf, stop: CancellationToken) {
        let kept = state.join(format!(
            "audit-{}.json",
            Digest::of_bytes(path.as_os_str().as_encoded_bytes())
        ));
        let mut tail = Tail::new(path.clone(), load(&kept));
        loop {
            let stopped = stop.is_cancelled();
            let (read, back) = match tokio::task::spawn_blocking(move || (tail.read(), tail)).await {
                Ok(read) => read,
                Err(error) => return tracing::error!(%error, "The audit log is no longer read."),
            };
            tail = back;
            let is_done = match read {
                Ok(batch) if batch.is_empty() => true,
                Ok(batch) => {
                    self.take_lines(&path, batch, &stop).await;
                    keep(&kept, tail.place().as_ref());
                    false
                }
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "The audit log could not be read; it is tried again.");
                    tokio::select! { () = stop.cancelled() => {}, () = sleep(RETRY_INTERVAL) => {} }
                    true
                }
            };
            if is_done && stopped {
                return;
            }
            if is_done {
                tokio::select! { () = stop.cancelled() => {}, () = sleep(POLL_INTERVAL) => {} }
            }
        }
    }

    /// Until the disk takes them, or the process is to stop.
    async fn take_lines(&self, path: &Path, batch: Batch, stop: &CancellationToken) {
        let mut lost = batch.lost;
        let mut audits = Vec::new();
        for line in &batch.lines {
            match parse(line) {
                Ok(audit) => audits.extend(audit),
                // What the parser says may quote the line.
                Err(_) => lost.push("a line of the audit log is no audit event".to_owned()),
            }
        }
        for reason in &lost {
            tracing::warn!(file = %path.display(), reason, "The audit log is not whole.");
        }
        while let Err(error) = self.take(audits.clone(), lost.clone()).await {
            tracing::error!(%error, "Events of the audit log could not be recorded; it is tried again.");
            tokio::select! { () = stop.cancelled() => return, () = sleep(RETRY_INTERVAL) => {} }
        }
    }
}

// === impl Recent ===

impl Recent {
    fn remember(&mut self, id: String) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        while self.order.len() > WINDOW {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}

/// `None` where nothing is kept that can be read: then it is read from the beginning, and events are recorded again.
fn load(kept: &Path) -> Option<Place> {
    let text = std::fs::read(kept).ok()?;
    serde_json::from_slice(&text).ok()
}

fn keep(kept: &Path, place: Option<&Place>) {
    let write = || -> std::io::Result<()> {
        let folder = kept.parent().unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(serde_json::to_string(&place)?.as_bytes())?;
        new.persist(kept).map_err(|error| error.error)?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::error!(file = %kept.display(), %error, "How far the audit log was read could not be kept.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_a_bound_and_forgets_the_oldest() {
        let mut recent = Recent::default();
        for number in 0..=WINDOW {
            recent.remember(number.to_string());
            recent.remember(number.to_string());
        }
        assert_eq!((recent.ids.len(), recent.order.len()), (WINDOW, WINDOW));
        assert!(!recent.ids.contains("0") && recent.ids.contains("1"));
    }
}
