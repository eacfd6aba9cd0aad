//! What waits for an Application's task: coalesced, so it can never grow beyond the Application itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use provost_manifest::object::ObjectKey;
use tokio::sync::Notify;

use crate::api::argoproj::Application;
use crate::cluster::Folded;

/// A task's mailbox.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pending: Mutex<Pending>,
    notify: Notify,
}

/// What has happened since the task last looked.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The Application as it is now.
    pub(super) application: Option<Arc<Application>>,
    /// What the watches saw last of each object.
    pub(super) observed: HashMap<ObjectKey, Option<Folded>>,
}

// === impl Mailbox ===

impl Mailbox {
    /// The Application changed.
    pub(super) fn put_application(&self, application: Application) {
        self.with(|pending| pending.application = Some(Arc::new(application)));
    }

    /// A watch saw an object.
    pub(super) fn put_observation(&self, key: ObjectKey, seen: Option<Folded>) {
        self.with(|pending| {
            pending.observed.insert(key, seen);
        });
    }

    /// Everything that has come, and an empty box.
    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something comes.
    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Has the task look again, as if something had come.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    fn with(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.notify.notify_one();
    }
}
