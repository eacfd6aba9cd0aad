//! A kind's objects, each folded into the little that is asked of it, kept by a watch.
//!
//! ```text
//! Reading ──listed──▶ Current ──error──▶ Reading (listed anew)
//!    └──── more than MAX_OBJECTS ────▶ TooMany
//! ```

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use kube::{
    ResourceExt,
    runtime::watcher::{self, Event},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How many objects of a kind are kept; the largest clusters have some ten thousand namespaces.
pub(super) const MAX_OBJECTS: usize = 100_000;
/// How long to wait before a watch that failed is begun anew.
const AGAIN: Duration = Duration::from_secs(1);

/// By namespace (empty for what is cluster-scoped) and name.
type Objects<V> = HashMap<(String, String), V>;

/// What is known of a kind.
#[derive(Debug)]
pub(super) struct Watched<V> {
    kind: &'static str,
    /// Held for the length of a look-up or of one change, never across an await.
    objects: RwLock<Objects<V>>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The list is not whole, or may be of the past: the watch failed since.
    Reading,
    /// As the cluster is, but for the moment that an event takes.
    Current,
    /// There are more than are kept.
    TooMany,
}

// === impl Watched ===

impl<V: Send + Sync + 'static> Watched<V> {
    /// Watches until `stop`; `watch` begins one, `fold` makes of an object what is kept.
    pub(super) fn start<K: ResourceExt + Debug + Send + 'static>(
        kind: &'static str,
        watch: impl Fn() -> BoxStream<'static, watcher::Result<Event<K>>> + Send + 'static,
        fold: impl Fn(K) -> V + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let watched = Arc::new(Self {
            kind,
            objects: RwLock::default(),
            state: watch::Sender::new(State::Reading),
        });
        let kept = Arc::clone(&watched);
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                kept.follow(watch(), &fold).await;
                kept.state.send_replace(State::Reading);
                sleep(AGAIN).await;
            }
        }));
        watched
    }

    /// Waits until the objects are known. Whoever asks sets the deadline.
    pub(super) async fn current(&self) -> Result<(), String> {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| *state != State::Reading).await;
        match known.map(|state| *state) {
            Ok(State::TooMany) => Err(format!(
                "the cluster has more than {MAX_OBJECTS} {}, and they are not kept",
                self.kind
            )),
            // The sender lives as long as `self`.
            Ok(State::Current | State::Reading) | Err(_) => Ok(()),
        }
    }

    /// Looks something up.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Objects<V>) -> R) -> R {
        look(&self.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Objects<V>) -> R) -> R {
        change(&mut self.objects.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows one watch until it fails: then nobody knows what was missed, and it is listed anew.
    async fn follow<K: ResourceExt + Debug>(
        &self,
        mut events: BoxStream<'static, watcher::Result<Event<K>>>,
        fold: &impl Fn(K) -> V,
    ) {
        let mut listed = Objects::new();
        while let Some(event) = events.next().await {
            let count = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    0
                }
                Ok(Event::InitApply(object)) => {
                    listed.insert(key(&object), fold(object));
                    listed.len()
                }
                Ok(Event::InitDone) => {
                    let listed = std::mem::take(&mut listed);
                    let count = listed.len();
                    self.change(|objects| *objects = listed);
                    self.state.send_replace(State::Current);
                    count
                }
                Ok(Event::Apply(object)) => self.change(|objects| {
                    objects.insert(key(&object), fold(object));
                    objects.len()
                }),
                Ok(Event::Delete(object)) => self.change(|objects| {
                    objects.remove(&key(&object));
                    objects.len()
                }),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(kind = self.kind, error, "A watch failed; it is begun anew.");
                    return;
                }
            };
            if count > MAX_OBJECTS {
                self.give_up().await;
            }
        }
    }

    /// Forgets everything, and says so from now on.
    async fn give_up(&self) {
        tracing::error!(
            kind = self.kind,
            bound = MAX_OBJECTS,
            "There are too many objects to keep: rules that ask for them end in errors."
        );
        self.change(|objects| *objects = Objects::new());
        self.state.send_replace(State::TooMany);
        std::future::pending::<()>().await;
    }
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}
