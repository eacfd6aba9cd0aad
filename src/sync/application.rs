//! One Application's task: waits for something to happen, makes a pass, says what came of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use provost_delivery::owner::Owner;
use provost_delivery::retry;
use provost_manifest::object::ObjectKey;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::compare::{Compared, Subscription, Target};
use super::configuration::Configured;
use super::controller::Context;
use super::converge::Settled;
use super::desired::{Desired, DesiredHook};
use super::error::Error;
use super::finalize::{self, Finalized};
use super::inventory::{Inventory, Origin};
use super::mailbox::Mailbox;
use super::operation::{AskedSync, unread_operation};
use super::place::ReadAt;
use super::precheck::Findings;
use super::projects::{Known, Leave};
use super::run::{Run, Step};
use super::settings;
use super::standing::Converged;
use super::state::{Standing, State};
use super::status::{self, Outcome, SyncOutcome};
use super::window::ClosedWindow;
use crate::api::argoproj::{Application, ApplicationSpec, REFRESH_ANNOTATION, SyncCode};

/// How long to wait for more once something has happened.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long a status waits at least that says nothing but a new revision, where nobody asks for it: a commit to one
/// folder of a repository is no reason to write to every Application that reads another.
const REVISION_ALONE: Duration = Duration::from_hours(1);
/// How soon to look again whether what is being deleted is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The most objects that are remembered to be gone; others stay in the inventory until their Application goes.
const MAX_GONE: usize = 1_000;

/// One Application's task.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what it remembers from pass to pass, each for itself"
)]
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
    pub(super) repositories: Vec<Subscription>,
    pub(super) goal: Option<Arc<Goal>>,
    /// The sources that it was rendered from.
    pub(super) written: Vec<ReadAt>,
    /// What the policies in force object to.
    pub(super) findings: Findings,
    policies: watch::Receiver<()>,
    /// Held while it writes.
    turn: Option<OwnedSemaphorePermit>,
    /// Since when the status could say a new revision, and nothing else that is new.
    revision_since: Option<Instant>,
    /// Whether somebody has asked for the revision since a pass went by.
    wants_revision: bool,
    /// The last comparison with Git that went well, if nothing that it rests on has changed since.
    pub(super) compared: Option<Compared>,
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
    /// Whether mail that no pass has looked at yet said anything that was not known.
    pub(super) was_told: bool,
    /// The sync that is under way.
    pub(super) run: Option<Run>,
    /// Objects that were seen to go since the inventory was written.
    pub(super) gone: HashSet<ObjectKey>,
    /// The hooks of the Application's deletion, once that has begun.
    pub(super) deletion: Option<(Arc<Goal>, Run)>,
    /// What is known of AppProjects.
    pub(super) projects: watch::Receiver<Known>,
    /// What administrators say about repositories and their signers.
    configured: Configured,
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
    pub(super) destination: Target,
    pub(super) origin: Origin,
    pub(super) desired: BTreeMap<ObjectKey, Arc<Desired>>,
    /// What runs when that changes.
    pub(super) hooks: Vec<Arc<DesiredHook>>,
    /// Phases and waves, once somebody has asked for them.
    pub(super) steps: OnceLock<Vec<Step>>,
}

/// Why a task looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Mail,
    Other,
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
            configured: context.sources.configured(),
            revision_since: None,
            wants_revision: false,
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
            was_told: false,
            run: None,
        }
    }

    /// Makes a pass whenever something happens, until `end` or until the Application is gone.
    ///
    /// What it remembers lies on the heap once: a future would hold it once for each place that it is moved through.
    pub(super) async fn run(mut self: Box<Self>, end: CancellationToken) {
        let mut deadline = Some(Instant::now());
        loop {
            let wake = tokio::select! {
                () = end.cancelled() => return,
                wake = self.something(deadline) => wake,
            };
            self.take_mail();
            let is_news = std::mem::take(&mut self.was_told);
            if wake == Wake::Mail && !is_news {
                continue;
            }
            // On the heap, and for as long as it takes: a thousand Applications that wait need no room for a pass.
            if end.run_until_cancelled(Box::pin(self.refresh())).await.is_none() {
                return;
            }
            let next = Box::pin(self.pass(&end)).await;
            self.turn = None;
            deadline = match next {
                Next::Never => return,
                Next::In(wait) => Some(Instant::now() + wait),
                Next::Whenever => None,
            };
        }
    }

    async fn something(&mut self, deadline: Option<Instant>) -> Wake {
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
            () = timer => Wake::Other,
            () = precheck.changed(&mut self.policies, &self.findings) => Wake::Other,
            () = source => Wake::Other,
            Ok(()) = self.projects.changed() => Wake::Other,
            Ok(()) = self.configured.changed() => Wake::Other,
            () = self.mailbox.wait() => {
                tokio::time::sleep(DEBOUNCE).await;
                Wake::Mail
            }
        }
    }

    /// Takes the mail in. The echo of what was written here is no news.
    pub(super) fn take_mail(&mut self) {
        let pending = self.mailbox.take();
        self.was_told |= !pending.observed.is_empty();
        if let Some(application) = pending.application {
            self.was_told |= is_news(&self.application, &application);
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
        let is_settled =
            |(key, seen): (&ObjectKey, &Option<_>)| seen.is_none() && self.settled.removals.contains_key(key);
        if pending.observed.iter().any(is_settled) {
            self.look_anew();
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

    /// Fetches now, where somebody asks for it, or for a sync: what was pushed just before is to be found. Nobody else
    /// waits for that: it needs no permit.
    async fn refresh(&mut self) {
        let wants_refresh = self.application.wants_refresh();
        if self.repositories.is_empty() || !(wants_refresh || self.application.operation.is_some()) {
            return;
        }
        for subscription in &self.repositories {
            subscription.repository.refresh().await;
        }
        if !wants_refresh {
            return;
        }
        self.wants_revision = true;
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
        let said = self
            .asked
            .as_ref()
            .and_then(|asked| asked.operation.retry)
            .or_else(|| spec?.sync_policy.retry);
        said.and_then(|retry| retry.wait(self.failures).to_std())
            .unwrap_or_else(|| backoff(self.failures))
    }

    async fn reconcile(&mut self, end: &CancellationToken) -> Outcome {
        let mut errors = Vec::new();
        let mut unmet = None;
        let written = self.application.operation.clone();
        if let Err(error) = self.take_operation().await {
            unmet = written.and_then(|written| unread_operation(written, &error));
            errors.push(error);
        }
        let spec = match ApplicationSpec::parse(&self.application.spec) {
            Ok(spec) => spec,
            Err(error) => {
                return Outcome {
                    unmet,
                    ..self.refuse(error.into(), errors)
                };
            }
        };
        let wanted = self
            .asked
            .as_ref()
            .map_or_else(|| spec.clone(), |asked| asked.spec(&spec));
        let leave = match self.ask_leave(&wanted) {
            Ok(leave) => leave,
            Err(error) => {
                return Outcome {
                    unmet,
                    ..self.refuse(error, errors)
                };
            }
        };
        let context = Arc::clone(&self.context);
        let reading = end.run_until_cancelled(context.readings.acquire()).await;
        let mut cannot_begin = false;
        if let (Some(_), Err(error)) = (&reading, self.compare(&wanted).await) {
            let failed = self.fail_asked(&error);
            cannot_begin = failed.is_some();
            unmet = unmet.or(failed);
            // What is over says so itself.
            if !cannot_begin || self.asked.is_some() {
                errors.push(error);
            }
        }
        drop(reading);
        // A render that takes long keeps nobody from applying.
        if self.take_turn(end).await.is_none() {
            return self.outcome(Converged::default(), errors);
        }
        // Whatever Git says now that cannot be read: what it said last is kept up.
        let Some(goal) = self.goal.clone() else {
            return Outcome {
                unmet,
                waiting: cannot_begin,
                ..self.outcome(Converged::default(), errors)
            };
        };
        if let Err(error) = leave.project().and_then(|project| goal.check(project)) {
            return self.refuse(error, errors);
        }
        // A sync that cannot begin rests, and changes nothing of what is kept up.
        let resting = if cannot_begin { self.asked.take() } else { None };
        let spec = if cannot_begin { &spec } else { &wanted };
        let (converged, error) = self.converge(spec, &goal, end).await;
        if resting.is_some() {
            self.asked = resting;
        }
        errors.extend(error);
        let outcome = self.outcome(converged, errors);
        Outcome {
            unmet,
            // Git is to be read once more as the spec says.
            waiting: outcome.waiting || cannot_begin,
            ..outcome
        }
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
            revisions: self.written.iter().map(|at| at.commit.clone()).collect(),
            health: converged.health,
            resources: converged.resources,
            errors,
            sync_run: converged.sync_run,
            unmet: None,
            waiting: converged.waiting,
            warnings: converged.warning.into_iter().chain(objections).collect(),
        }
    }

    /// Writes the status, if it says something new. A new revision alone waits until somebody asks for it, until there
    /// is something else to say, or for long: how long.
    async fn say(&mut self, outcome: Outcome) -> Result<Option<Duration>, Error> {
        let limit = ApplicationSpec::parse(&self.application.spec).map_or(10, |spec| spec.history_limit);
        let status = status::compose(&self.application, outcome, limit);
        if !self.wants_revision && status::is_revision_alone(&self.application.status, &status) {
            let since = *self.revision_since.get_or_insert_with(Instant::now);
            let left = revision_wait(&self.name).saturating_sub(since.elapsed());
            if !left.is_zero() {
                return Ok(Some(left));
            }
        }
        let written = status::write(&self.context.cluster, &self.application, &status).await?;
        (self.revision_since, self.wants_revision) = (None, false);
        if let Some(mut application) = written {
            application.metadata.managed_fields = None;
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

/// Whether an Application is otherwise than it was known, beyond what the agent itself wrote.
fn is_news(known: &Application, now: &Application) -> bool {
    let written = |application: &Application| {
        let metadata = &application.metadata;
        (
            metadata.annotations.clone(),
            metadata.labels.clone(),
            metadata.finalizers.clone(),
            metadata.deletion_timestamp.clone(),
        )
    };
    known.metadata.resource_version != now.metadata.resource_version
        && ((&known.spec, &known.status, &known.operation) != (&now.spec, &now.status, &now.operation)
            || written(known) != written(now))
}

fn backoff(failures: u32) -> Duration {
    retry::unsaid_wait(failures).to_std().unwrap_or(LOOK_AGAIN)
}

/// An hour and up to one more by the name, so that a thousand statuses are not written at one moment.
fn revision_wait(name: &str) -> Duration {
    let spread = name.bytes().fold(7_u64, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    REVISION_ALONE + Duration::from_secs(spread % REVISION_ALONE.as_secs())
}
