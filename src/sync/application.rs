//! One Application's task: waits for something to happen, makes a pass, says what came of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use provost_delivery::owner::Owner;
use provost_manifest::object::ObjectKey;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::controller::Context;
use super::converge::Settled;
use super::desired::{self, Desired, DesiredHook, Destination};
use super::error::Error;
use super::finalize::{self, Finalized};
use super::inventory::{Inventory, Origin};
use super::mailbox::Mailbox;
use super::operation::AskedSync;
use super::precheck::Findings;
use super::projects::{Known, Leave};
use super::run::Run;
use super::settings;
use super::sources::{Repository, SourceState};
use super::standing::Converged;
use super::state::{Standing, State};
use super::status::{self, Outcome, SyncOutcome};
use super::window::ClosedWindow;
use crate::api::argoproj::{
    Application, ApplicationSource, ApplicationSpec, NamespaceMetadata, REFRESH_ANNOTATION, SyncCode,
};
use crate::cluster::Kinds;
use crate::git::{RepoPath, RepositoryUrl};
use crate::render::{Render, Rendered, Request, SourceAt};

/// How long to wait for more once something has happened.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The first wait after a failed pass.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failed pass.
const MAX_RETRY: Duration = Duration::from_mins(5);
/// How long a status waits that says nothing but a new revision.
const GIVE_WAY: Duration = Duration::from_secs(2);
/// How soon to look again whether what is being deleted is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The most objects that are remembered to be gone; others stay in the inventory until their Application goes.
const MAX_GONE: usize = 1_000;

/// One Application's task.
pub(super) struct Task {
    pub(super) context: Arc<Context>,
    /// `namespace/name`.
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) state: State,
    pub(super) inventory: Option<Inventory>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) application: Arc<Application>,
    /// One for each source, in order.
    repositories: Vec<Subscription>,
    pub(super) goal: Option<Arc<Goal>>,
    /// The sources that it was rendered from.
    pub(super) written: Vec<SourceAt>,
    /// What the policies in force object to.
    pub(super) findings: Findings,
    policies: watch::Receiver<()>,
    /// Held while it writes.
    turn: Option<OwnedSemaphorePermit>,
    /// Whether a status waits that says nothing new but the revision.
    has_news: bool,
    /// The last comparison with Git that went well, if nothing that it rests on has changed since.
    compared: Option<Compared>,
    pub(super) failures: u32,
    pub(super) settled: Settled,
    /// The revision and result of the last sync, so that a failure that repeats itself is recorded once.
    pub(super) last_result: Option<(String, SyncOutcome)>,
    /// The sync that somebody asked for, until it is done.
    pub(super) asked: Option<AskedSync>,
    /// Whether what an earlier agent left undone was looked for.
    pub(super) has_started: bool,
    /// Whether the next try of a sync begins with its first step.
    pub(super) begins_anew: bool,
    /// The sync that is under way.
    pub(super) run: Option<Run>,
    /// Objects that were seen to go since the inventory was written.
    pub(super) gone: HashSet<ObjectKey>,
    /// The hooks of the Application's deletion, once that has begun.
    pub(super) deletion: Option<(Arc<Goal>, Run)>,
    /// What is known of AppProjects.
    pub(super) projects: watch::Receiver<Known>,
    /// What the Application's project allowed when it was asked last.
    pub(super) leave: Option<Leave>,
    /// Why nothing may be synced at this time, by a window of the project.
    pub(super) closed: Option<ClosedWindow>,
}

/// What the cluster is to be, by the last render that went well.
#[derive(Debug)]
pub(super) struct Goal {
    /// The render's key.
    pub(super) key: String,
    destination: Target,
    pub(super) origin: Origin,
    pub(super) desired: BTreeMap<ObjectKey, Arc<Desired>>,
    /// What runs when that changes.
    pub(super) hooks: Vec<Arc<DesiredHook>>,
}

/// Where objects go that name no namespace.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    namespace: Option<String>,
    is_made: bool,
    metadata: Option<NamespaceMetadata>,
}

/// What a comparison rests on.
#[derive(Clone, Debug, PartialEq)]
struct Compared {
    generations: Vec<u64>,
    spec: ApplicationSpec,
    /// Charts may ask for them.
    kinds: Arc<Kinds>,
}

struct Subscription {
    /// The URL, and the project whose credentials open it, where they are its own.
    url: (RepositoryUrl, Option<String>),
    repository: Arc<Repository>,
    state: watch::Receiver<SourceState>,
}

/// When to make the next pass if nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Whenever,
    In(Duration),
    Never,
}

// === impl Task ===

impl Task {
    pub(super) fn new(
        context: Arc<Context>,
        mailbox: Arc<Mailbox>,
        owner: Owner,
        application: Application,
    ) -> Self {
        Self {
            policies: context.precheck.subscribe(),
            written: Vec::new(),
            findings: Findings::default(),
            has_news: false,
            turn: None,
            projects: context.projects.subscribe(),
            gone: HashSet::new(),
            deletion: None,
            leave: None,
            closed: None,
            context,
            name: application.full_name(),
            owner,
            state: State::default(),
            inventory: None,
            mailbox,
            application: Arc::new(application),
            repositories: Vec::new(),
            goal: None,
            compared: None,
            failures: 0,
            settled: Settled::default(),
            last_result: None,
            asked: None,
            has_started: false,
            begins_anew: false,
            run: None,
        }
    }

    /// Makes a pass whenever something happens, until `end` or until the Application is gone.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let mut next = Next::In(Duration::ZERO);
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = self.something(next) => {}
            }
            self.take_mail();
            if end.run_until_cancelled(self.refresh()).await.is_none() {
                return;
            }
            next = self.pass(&end).await;
            self.turn = None;
            if next == Next::Never {
                return;
            }
        }
    }

    async fn something(&mut self, next: Next) {
        let deadline = match next {
            Next::In(wait) => Some(Instant::now() + wait),
            _ => None,
        };
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let source = async {
            let subscriptions = self.repositories.iter_mut();
            let changes: Vec<_> = subscriptions
                .map(|subscription| Box::pin(subscription.state.changed()))
                .collect();
            // Nothing comes where there is no repository yet, or from one whose task has ended.
            if changes.is_empty() || futures::future::select_ok(changes).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let precheck = &self.context.precheck;
        tokio::select! {
            () = timer => {}
            () = precheck.changed(&mut self.policies, &self.findings) => {}
            () = source => {}
            Ok(()) = self.projects.changed() => {}
            () = self.mailbox.wait() => tokio::time::sleep(DEBOUNCE).await,
        }
    }

    pub(super) fn take_mail(&mut self) {
        let pending = self.mailbox.take();
        if let Some(application) = pending.application {
            let annotations = |application: &Application| application.metadata.annotations.clone();
            if application.spec != self.application.spec
                || annotations(&application) != annotations(&self.application)
            {
                self.look_anew();
            }
            self.application = application;
        }
        if let Some(run) = &mut self.run {
            run.observe(&pending.observed);
        }
        if let Some((_, run)) = &mut self.deletion {
            run.observe(&pending.observed);
        }
        for (key, seen) in &pending.observed {
            match seen {
                None if self.gone.len() < MAX_GONE => self.gone.insert(key.clone()),
                _ => self.gone.remove(key),
            };
        }
        self.state.observe(pending.observed);
    }

    /// What was left alone may be allowed now.
    pub(super) fn look_anew(&mut self) {
        self.settled = Settled::default();
        self.state.distrust_standing(Standing::OutOfSync);
    }

    /// Fetches now, where somebody asks for it. Nobody else waits for that: it needs no permit.
    async fn refresh(&mut self) {
        if self.repositories.is_empty() || !self.application.wants_refresh() {
            return;
        }
        for subscription in &self.repositories {
            subscription.repository.refresh().await;
        }
        let change = json!({ "annotations": { REFRESH_ANNOTATION: Value::Null } });
        let cluster = &self.context.cluster;
        if let Err(error) = finalize::patch_metadata(cluster, &self.application, change).await {
            tracing::warn!(
                application = self.name,
                error = error.sentence(),
                "The refresh stays asked for."
            );
        }
    }

    /// One pass. Whatever goes wrong in it is said on the status and tried again.
    async fn pass(&mut self, end: &CancellationToken) -> Next {
        if settings::is_off(&self.application) {
            return Next::Whenever;
        }
        if self.application.metadata.deletion_timestamp.is_some() {
            return match self.take_turn(end).await {
                Some(()) => self.finalize().await,
                None => Next::Never,
            };
        }
        let outcome = self.reconcile(end).await;
        if end.is_cancelled() {
            return Next::Never;
        }
        if outcome.errors.iter().any(|error| matches!(error, Error::Waiting)) {
            return Next::Whenever;
        }
        self.turn = None;
        let outcome = self.settle(outcome, end).await;
        let mut failed = !outcome.errors.is_empty();
        let waits = outcome.waiting;
        for error in &outcome.errors {
            tracing::warn!(
                application = self.name,
                error = error.sentence(),
                "An Application is not synced."
            );
            if matches!(error, Error::Fenced) {
                self.inventory = None;
            }
        }
        let mut news = None;
        match self.say(outcome).await {
            Ok(later) => news = later,
            Err(error) => {
                tracing::warn!(
                    application = self.name,
                    error = error.sentence(),
                    "A status was not written."
                );
                failed = true;
            }
        }
        self.failures = if failed { self.failures + 1 } else { 0 };
        let opens = self.closed.as_ref().and_then(ClosedWindow::wait);
        match (failed, waits, opens) {
            (true, _, None) => Next::In(self.retry_after()),
            (true, _, Some(opens)) => Next::In(opens.min(self.retry_after())),
            (false, _, Some(opens)) => Next::In(news.map_or(opens, |news| opens.min(news))),
            (false, true, None) => Next::In(LOOK_AGAIN),
            (false, false, None) => news.map_or(Next::Whenever, Next::In),
        }
    }

    /// Waits until few enough others write; `None` when the task is to end.
    async fn take_turn(&mut self, end: &CancellationToken) -> Option<()> {
        let turn = Arc::clone(&self.context.passes).acquire_owned();
        self.turn = end.run_until_cancelled(turn).await?.ok();
        Some(())
    }

    /// How long to wait before what failed is tried again: as the spec says, or else soon at first.
    fn retry_after(&self) -> Duration {
        let spec = ApplicationSpec::parse(&self.application.spec).ok();
        let retry = self
            .asked
            .as_ref()
            .and_then(|asked| asked.operation.retry)
            .or_else(|| spec?.sync_policy.retry);
        retry
            .and_then(|retry| retry.wait(self.failures).to_std())
            .unwrap_or_else(|| backoff(self.failures))
    }

    async fn reconcile(&mut self, end: &CancellationToken) -> Outcome {
        let mut errors = Vec::new();
        let spec = match ApplicationSpec::parse(&self.application.spec) {
            Ok(spec) => spec,
            Err(error) => {
                errors.push(error.into());
                return self.outcome(Converged::default(), errors);
            }
        };
        if let Err(error) = self.take_operation().await {
            errors.push(error);
        }
        let spec = self
            .asked
            .as_ref()
            .map_or_else(|| spec.clone(), |asked| asked.spec(&spec));
        let leave = match self.ask_leave(&spec) {
            Ok(leave) => leave,
            Err(error) => return self.refuse(error, errors),
        };
        let context = Arc::clone(&self.context);
        let reading = end.run_until_cancelled(context.readings.acquire()).await;
        if let (Some(_), Err(error)) = (&reading, self.compare(&spec).await) {
            errors.push(error);
        }
        drop(reading);
        // A render that takes long keeps nobody from applying.
        if self.take_turn(end).await.is_none() {
            return self.outcome(Converged::default(), errors);
        }
        // Whatever Git says now that cannot be read: what it said last is kept up.
        let Some(goal) = self.goal.clone() else {
            return self.outcome(Converged::default(), errors);
        };
        if let Err(error) = leave.project().and_then(|project| goal.check(project)) {
            return self.refuse(error, errors);
        }
        let (converged, error) = self.converge(&spec, &goal, end).await;
        errors.extend(error);
        self.outcome(converged, errors)
    }

    /// The outcome where the project allows nothing: what is there is left as it is.
    fn refuse(&mut self, error: Error, mut errors: Vec<Error>) -> Outcome {
        let standing = self.goal.clone().map(|goal| self.standing(&goal));
        let mut converged = standing.unwrap_or_default();
        if !matches!(error, Error::Waiting) {
            converged.sync_run = self.refuse_asked(&error);
        }
        errors.push(error);
        self.outcome(converged, errors)
    }

    /// Finds out what Git says now, if that can have changed.
    pub(super) async fn compare(&mut self, spec: &ApplicationSpec) -> Result<(), Error> {
        for source in &spec.sources {
            RepoPath::parse(&source.path)?;
        }
        let states = self.source_states(spec)?;
        let compared = Compared {
            generations: states.iter().map(|state| state.generation).collect(),
            spec: spec.clone(),
            kinds: self.context.cluster.kinds(),
        };
        let error = states.into_iter().find_map(|state| state.error);
        if self.compared.as_ref() != Some(&compared) {
            let read = self.read(spec).await;
            // What could not be read may be there by now: the fetch that failed is what to look into.
            match (read, &error) {
                (Ok(()), _) => self.compared = Some(compared),
                (Err(_), Some(cause)) => return Err(Error::Fetch(cause.clone())),
                (Err(error), _) => return Err(error),
            }
        }
        error.map_or(Ok(()), |error| Err(Error::Fetch(error)))
    }

    /// What the last fetch of each source's repository came to.
    fn source_states(&mut self, spec: &ApplicationSpec) -> Result<Vec<SourceState>, Error> {
        let mut urls = Vec::new();
        for source in &spec.sources {
            let url = RepositoryUrl::parse(&source.repo_url, self.context.local_repositories)?;
            let scope = self.context.sources.scope(&url, &spec.project);
            urls.push((url, scope));
        }
        let ours = self.repositories.iter().map(|subscription| &subscription.url);
        if !ours.eq(&urls) {
            let subscribe = |(url, scope): (RepositoryUrl, Option<String>)| {
                let repository = self.context.sources.repository(&url, scope.clone());
                let state = repository.subscribe();
                Subscription {
                    url: (url, scope),
                    repository,
                    state,
                }
            };
            self.repositories = urls.into_iter().map(subscribe).collect();
            self.compared = None;
        }
        let states: Vec<_> = self
            .repositories
            .iter_mut()
            .map(|subscription| subscription.state.borrow_and_update().clone())
            .collect();
        let waits = |state: &SourceState| state.generation == 0 && state.error.is_none();
        if states.iter().any(waits) {
            return Err(Error::Waiting);
        }
        Ok(states)
    }

    /// The sources, each at the commit that its revision names now.
    async fn sources_now(&mut self, spec: &ApplicationSpec) -> Result<Vec<SourceAt>, Error> {
        let repositories = self
            .repositories
            .iter()
            .map(|subscription| Arc::clone(&subscription.repository));
        let sources: Vec<_> = spec.sources.iter().cloned().zip(repositories).collect();
        let (local, project) = (self.context.local_repositories, spec.project.clone());
        let deployed = self.deployed().await?;
        blocking(move || {
            let resolve = |(source, repository): (ApplicationSource, Arc<Repository>)| {
                let commit = repository.resolve(&source.target_revision, local)?;
                let mirror = repository.mirror.clone();
                // Of several sources the inventory knows the first one's commit only; the others are judged by themselves.
                let last_good = deployed
                    .as_ref()
                    .filter(|origin| origin.repository == mirror.url().to_string());
                let last_good = last_good.map(|origin| origin.revision.as_str());
                repository.verify(&project, &commit, last_good)?;
                Ok(SourceAt {
                    source,
                    mirror,
                    commit,
                })
            };
            sources.into_iter().map(resolve).collect()
        })
        .await
    }

    /// What was deployed last, by this agent or the one before it.
    async fn deployed(&mut self) -> Result<Option<Origin>, Error> {
        if let Some(goal) = &self.goal {
            return Ok(Some(goal.origin.clone()));
        }
        let origin = self.inventory().await?.origin();
        Ok(Some(origin).filter(|origin| !origin.revision.is_empty()))
    }

    async fn read(&mut self, spec: &ApplicationSpec) -> Result<(), Error> {
        let sources = self.sources_now(spec).await?;
        let Some(origin) = origin(&sources) else {
            return Err(Error::Stopping);
        };
        // Where the objects go decides what they are, as much as what the files say.
        let destination = Target::of(spec);
        let last = self.goal.clone().filter(|goal| goal.destination == destination);
        let key = last.as_ref().map(|goal| goal.key.as_str());
        let written = sources.clone();
        let request = Request {
            application: self.application.metadata.name.clone().unwrap_or_default(),
            project: spec.project.clone(),
            namespace: spec.namespace.clone(),
            capabilities: Arc::new(self.context.capabilities()),
            sources,
        };
        let rendered = self.context.renderer.render(request, key).await?;
        if rendered.is_some() {
            self.context.metrics.count_render();
        }
        let goal = match (rendered, last) {
            (Some(rendered), _) => self.goal(spec, rendered, origin).await?,
            (None, Some(last)) => Goal {
                key: last.key.clone(),
                destination,
                origin: Origin {
                    rendered_tree: last.origin.rendered_tree.clone(),
                    ..origin
                },
                desired: last.desired.clone(),
                hooks: last.hooks.clone(),
            },
            (None, None) => return Ok(()),
        };
        self.written = written;
        self.state.retain(&goal.desired);
        self.findings.retain(&goal.desired);
        self.goal = Some(Arc::new(goal));
        Ok(())
    }

    /// From a render to a goal: identities, owner's marks, and the render kept in the history.
    async fn goal(
        &self,
        spec: &ApplicationSpec,
        rendered: Rendered,
        mut origin: Origin,
    ) -> Result<Goal, Error> {
        let destination = Destination {
            namespace: spec.namespace.as_deref(),
            create_namespace: spec.create_namespace,
            namespace_metadata: spec.sync_policy.namespace_metadata.as_ref(),
        };
        let cluster = &self.context.cluster;
        let wanted = match desired::desired(&rendered, &self.owner, destination, &cluster.kinds()) {
            // A kind may have been added since we asked.
            Err(Error::Unserved(_)) => {
                let kinds = cluster.rediscover().await?;
                desired::desired(&rendered, &self.owner, destination, &kinds)?
            }
            wanted => wanted?,
        };
        let hooks: Vec<_> = wanted.hooks.into_iter().map(Arc::new).collect();
        let desired: BTreeMap<_, _> = wanted
            .objects
            .into_iter()
            .map(|(key, object)| (key, Arc::new(object)))
            .collect();
        let (history, kept, running, application) = (
            Arc::clone(&self.context.history),
            desired.clone(),
            hooks.clone(),
            self.name.clone(),
        );
        let (repository, commit) = (origin.repository.clone(), origin.revision.clone());
        origin.rendered_tree = blocking(move || {
            let hooks = running.iter().map(|hook| &hook.desired);
            let objects = kept.values().map(AsRef::as_ref).chain(hooks);
            let objects: Vec<_> = objects.map(|desired| (&desired.key, &desired.object)).collect();
            Ok(history.record(&Render {
                application: &application,
                repository: &repository,
                commit: &commit,
                objects: &objects,
            })?)
        })
        .await?;
        Ok(Goal {
            key: rendered.key,
            destination: Target::of(spec),
            origin,
            desired,
            hooks,
        })
    }

    fn outcome(&self, converged: Converged, errors: Vec<Error>) -> Outcome {
        let cannot_tell = errors.iter().any(|error| error.condition() != "SyncError");
        let objections = self.findings.warning();
        let objections = objections.map(|warning| (status::POLICY_WARNING, warning));
        Outcome {
            sync: match converged.sync {
                _ if cannot_tell => SyncCode::Unknown,
                SyncCode::Synced if !errors.is_empty() => SyncCode::OutOfSync,
                sync => sync,
            },
            revision: self
                .goal
                .as_ref()
                .map(|goal| goal.origin.revision.clone())
                .unwrap_or_default(),
            health: converged.health,
            resources: converged.resources,
            errors,
            sync_run: converged.sync_run,
            waiting: converged.waiting,
            warnings: converged.warning.into_iter().chain(objections).collect(),
        }
    }

    /// Writes the status, if it says something new. A new revision alone gives way to those Applications that the
    /// commit is about: how long.
    async fn say(&mut self, outcome: Outcome) -> Result<Option<Duration>, Error> {
        let limit = ApplicationSpec::parse(&self.application.spec).map_or(10, |spec| spec.history_limit);
        let status = status::compose(&self.application, outcome, limit);
        let can_wait = status::is_revision_alone(&self.application.status, &status);
        if can_wait && !std::mem::replace(&mut self.has_news, true) {
            return Ok(Some(give_way(&self.name)));
        }
        self.has_news = false;
        let written = status::write(&self.context.cluster, &self.application, &status).await?;
        if let Some(application) = written {
            let before = std::mem::replace(&mut self.application, Arc::new(application));
            self.context.events.tell(&before.status, &self.application).await;
        }
        self.context.metrics.show(&self.application);
        Ok(None)
    }

    /// The inventory, read from the cluster the first time.
    pub(super) async fn inventory(&mut self) -> Result<&mut Inventory, Error> {
        let inventory = match self.inventory.take() {
            Some(inventory) => inventory,
            None => Inventory::load(&self.context.cluster, &self.application, &self.owner).await?,
        };
        Ok(self.inventory.insert(inventory))
    }

    async fn finalize(&mut self) -> Next {
        match self.carry_out_deletion().await {
            Ok(Finalized::Done) => Next::Never,
            Ok(Finalized::Waiting) => Next::In(LOOK_AGAIN),
            Err(Error::Waiting) => Next::Whenever,
            Err(error) => {
                tracing::warn!(
                    application = self.name,
                    error = error.sentence(),
                    "An Application cannot be deleted yet."
                );
                let shows = Outcome {
                    errors: vec![error],
                    ..Outcome::default()
                };
                // Whether it is said or not, it is tried again.
                let _ = self.say(shows).await;
                self.inventory = None;
                self.failures += 1;
                Next::In(backoff(self.failures))
            }
        }
    }
}

// === impl Target ===

impl Target {
    fn of(spec: &ApplicationSpec) -> Self {
        Self {
            namespace: spec.namespace.clone(),
            is_made: spec.create_namespace,
            metadata: spec.sync_policy.namespace_metadata.clone(),
        }
    }
}

/// Where the render comes from: the first source that renders anything stands for all.
fn origin(sources: &[SourceAt]) -> Option<Origin> {
    let renders = |at: &&SourceAt| !at.source.is_reference_only();
    let first = sources.iter().find(renders).or_else(|| sources.first())?;
    Some(Origin {
        repository: first.mirror.url().to_string(),
        path: RepoPath::parse(&first.source.path)
            .unwrap_or_default()
            .to_string(),
        revision: first.commit.clone(),
        rendered_tree: String::new(),
    })
}

fn backoff(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(MAX_RETRY)
}

/// Two seconds and up to two more by the name, so that a thousand statuses are not written at one moment.
fn give_way(name: &str) -> Duration {
    let spread = name.bytes().fold(7_u64, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    GIVE_WAY + Duration::from_millis(spread % 2_000)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Stopping)?
}
