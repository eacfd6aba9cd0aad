//! Repositories, each fetched once for all its Applications.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::git::{self, Fetched, Mirror, Mirrors, RepositoryUrl};

/// The longest wait after a failed fetch; a shorter poll interval is kept.
const MAX_RETRY: Duration = Duration::from_mins(1);
/// The first wait after a failed fetch.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// How many requests for a fetch may wait; more of them would be answered by the same one.
const MAX_WAITING: usize = 64;

/// All repositories that some Application reads.
#[derive(Debug)]
pub(super) struct Sources {
    mirrors: Mirrors,
    poll_interval: Duration,
    shutdown: CancellationToken,
    repositories: Mutex<HashMap<RepositoryUrl, Weak<Repository>>>,
}

/// One repository; it is fetched for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) mirror: Mirror,
    state: watch::Receiver<SourceState>,
    requests: mpsc::Sender<oneshot::Sender<()>>,
}

/// What the last fetch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceState {
    /// How often branches, tags or HEAD moved; 0 before the first fetch ended.
    pub(super) generation: u64,
    /// Why the last fetch failed.
    pub(super) error: Option<String>,
}

// === impl Sources ===

impl Sources {
    pub(super) fn new(mirrors: Mirrors, poll_interval: Duration, shutdown: CancellationToken) -> Self {
        Self {
            mirrors,
            poll_interval,
            shutdown,
            repositories: Mutex::default(),
        }
    }

    /// The repository, fetched from now on.
    pub(super) fn repository(&self, url: &RepositoryUrl) -> Arc<Repository> {
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        repositories.retain(|_, repository| repository.strong_count() > 0);
        if let Some(repository) = repositories.get(url).and_then(Weak::upgrade) {
            return repository;
        }
        let (sender, state) = watch::channel(SourceState::default());
        let (requests, receiver) = mpsc::channel(MAX_WAITING);
        let repository = Arc::new(Repository {
            mirror: self.mirrors.mirror(url),
            state,
            requests,
        });
        let poll = poll(repository.mirror.clone(), self.poll_interval, sender, receiver);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _ = shutdown.run_until_cancelled(poll).await;
        });
        repositories.insert(url.clone(), Arc::downgrade(&repository));
        repository
    }
}

// === impl Repository ===

impl Repository {
    /// What the fetches come to, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<SourceState> {
        self.state.clone()
    }

    /// Fetches at once, and waits for it.
    pub(super) async fn refresh(&self) {
        let (reply, done) = oneshot::channel();
        if self.requests.send(reply).await.is_ok() {
            // An error means that the task is gone, and so are we soon.
            let _ = done.await;
        }
    }
}

/// Fetches now and then, and whenever asked, until nobody holds the repository any more.
async fn poll(
    mirror: Mirror,
    interval: Duration,
    state: watch::Sender<SourceState>,
    mut requests: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut failures = 0;
    let mut replies: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        // Whoever asks while this fetch runs is answered by the next one.
        let outcome = fetch(mirror.clone()).await;
        failures = if outcome.is_ok() { 0 } else { failures + 1 };
        publish(&state, outcome);
        for reply in replies.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
        let wait = if failures == 0 {
            jittered(interval)
        } else {
            interval.min(backoff(failures))
        };
        match tokio::time::timeout(wait, requests.recv()).await {
            Ok(None) => return,
            Ok(Some(reply)) => {
                replies.push(reply);
                while let Ok(reply) = requests.try_recv() {
                    replies.push(reply);
                }
            }
            Err(_) => {}
        }
    }
}

async fn fetch(mirror: Mirror) -> Result<Fetched, String> {
    match tokio::task::spawn_blocking(move || mirror.fetch()).await {
        Ok(Ok(fetched)) => Ok(fetched),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err("the fetch was interrupted".to_owned()),
    }
}

fn publish(state: &watch::Sender<SourceState>, outcome: Result<Fetched, String>) {
    state.send_if_modified(|state| {
        let before = state.clone();
        match outcome {
            Ok(Fetched::Changed) => state.generation += 1,
            Ok(Fetched::Unchanged) => state.generation = state.generation.max(1),
            Err(_) => {}
        }
        state.error = outcome.err();
        *state != before
    });
}

fn explain(error: &git::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.min(6)).min(MAX_RETRY)
}

/// The interval and up to a fifth more, so that a thousand repositories are not asked at one moment.
fn jittered(interval: Duration) -> Duration {
    let random: [u8; 1] =
        ring::rand::generate(&ring::rand::SystemRandom::new()).map_or([0], ring::rand::Random::expose);
    interval + interval.mul_f64(f64::from(random[0]) / 255.0 / 5.0)
}
