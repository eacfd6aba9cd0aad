//! Repositories, each fetched once for all its Applications.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::configuration::Configured;
use super::error::Error;
use super::signatures::Trust;
use crate::git::{
    self, Fetched, LocalRepositories, Location, Mirror, Mirrors, RepositoryUrl, SubmoduleAccess,
};

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
    configured: Configured,
    shutdown: CancellationToken,
    repositories: Mutex<HashMap<Key, Weak<Repository>>>,
}

/// A URL, and the project whose Applications alone share what its credentials bring.
type Key = (RepositoryUrl, Option<String>);

/// One repository; it is fetched for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) mirror: Mirror,
    scope: Option<String>,
    configured: Configured,
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
    pub(super) fn new(
        mirrors: Mirrors,
        poll_interval: Duration,
        configured: Configured,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            mirrors,
            poll_interval,
            configured,
            shutdown,
            repositories: Mutex::default(),
        }
    }

    /// What administrators say about repositories, from now on.
    pub(super) fn configured(&self) -> Configured {
        self.configured.clone()
    }

    /// The project, where the repository's credentials are its own: others do not share what they bring.
    pub(super) fn scope(&self, url: &RepositoryUrl, project: &str) -> Option<String> {
        self.configured.borrow().credentials.scope(url, project)
    }

    /// The repository, fetched from now on.
    pub(super) fn repository(&self, url: &RepositoryUrl, scope: Option<String>) -> Arc<Repository> {
        let key = (url.clone(), scope.clone());
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        repositories.retain(|_, repository| repository.strong_count() > 0);
        if let Some(repository) = repositories.get(&key).and_then(Weak::upgrade) {
            return repository;
        }
        let (sender, state) = watch::channel(SourceState::default());
        let (requests, receiver) = mpsc::channel(MAX_WAITING);
        let repository = Arc::new(Repository {
            mirror: self.mirrors.mirror(url, scope.as_deref()),
            scope,
            configured: self.configured.clone(),
            state,
            requests,
        });
        let poll = Poll {
            mirror: repository.mirror.clone(),
            scope: repository.scope.clone(),
            configured: self.configured.clone(),
            interval: self.poll_interval,
        };
        let poll = poll.run(sender, receiver);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _ = shutdown.run_until_cancelled(poll).await;
        });
        repositories.insert(key, Arc::downgrade(&repository));
        repository
    }

    /// Has repositories fetched of which a forge says that they have news; how many there are. Nobody waits for it, and
    /// where as many wait as may, one of them brings the news.
    pub(super) fn push(&self, locations: &[Location]) -> usize {
        let repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        let held = repositories
            .iter()
            .filter_map(|((url, _), held)| Some((url.location(), held.upgrade()?)));
        let mut count = 0;
        for (location, repository) in held {
            if locations
                .iter()
                .any(|theirs| theirs.is_same_repository(&location))
            {
                count += 1;
                let (reply, _) = oneshot::channel();
                let _ = repository.requests.try_send(reply);
            }
        }
        count
    }
}

// === impl Repository ===

impl Repository {
    /// What the fetches come to, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<SourceState> {
        self.state.clone()
    }

    /// Blocks. The commit that a revision names in what was fetched last, with the submodules that it pins.
    pub(super) fn resolve(&self, revision: &str, local: LocalRepositories) -> Result<String, Error> {
        let commit = self.mirror.resolve(revision)?;
        let configuration = Arc::clone(&self.configured.borrow());
        let (store, scope) = (&configuration.credentials, self.scope.as_deref());
        let parent = store.access(self.mirror.url(), scope).map_err(git::Error::from)?;
        let access = SubmoduleAccess {
            store,
            scope,
            parent: &parent,
            local,
        };
        self.mirror.bring_submodules(&commit, access)?;
        Ok(commit)
    }

    /// By what the project has the commits of the repository, as the Application writes its URL, judged now.
    pub(super) fn trust(&self, project: &str, url: &str) -> Trust {
        self.configured.borrow().trust(project, url)
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

/// One repository's fetches.
struct Poll {
    mirror: Mirror,
    scope: Option<String>,
    configured: Configured,
    interval: Duration,
}

// === impl Poll ===

impl Poll {
    /// Fetches now and then, and whenever asked, until nobody holds the repository any more.
    async fn run(
        mut self,
        state: watch::Sender<SourceState>,
        mut requests: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut failures = 0;
        let mut replies: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            // Whoever asks while this fetch runs is answered by the next one.
            let outcome = self.fetch().await;
            failures = if outcome.is_ok() { 0 } else { failures + 1 };
            publish(&state, outcome);
            for reply in replies.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(());
            }
            let wait = match failures {
                0 => jittered(self.interval),
                failures => self.interval.min(backoff(failures)),
            };
            let asked = async {
                tokio::select! {
                    reply = requests.recv() => reply.map(Some),
                    // What was refused may be let in by now.
                    Ok(()) = self.configured.changed(), if failures > 0 => Some(None),
                }
            };
            match tokio::time::timeout(wait, asked).await {
                Ok(None) => return,
                Ok(Some(reply)) => {
                    replies.extend(reply);
                    while let Ok(reply) = requests.try_recv() {
                        replies.push(reply);
                    }
                }
                Err(_) => {}
            }
        }
    }

    async fn fetch(&mut self) -> Result<Fetched, String> {
        let configuration = Arc::clone(&self.configured.borrow_and_update());
        let (mirror, scope) = (self.mirror.clone(), self.scope.clone());
        let fetch = move || {
            let access = configuration.credentials.access(mirror.url(), scope.as_deref())?;
            mirror.fetch(&access)
        };
        match tokio::task::spawn_blocking(fetch).await {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err("the fetch was interrupted".to_owned()),
        }
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
