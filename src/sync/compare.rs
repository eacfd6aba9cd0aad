//! What Git says that the cluster should be: sources at their commits, verified, rendered, made into a goal.
//!
//! Everything that the answer rests on is remembered, so that a pass in which none of it changed asks nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use provost_manifest::digest::Digest;
use tokio::sync::watch;

use super::application::{Goal, Task};
use super::desired::{self, Destination};
use super::error::Error;
use super::inventory::Origin;
use super::place::ReadAt;
use super::signatures::Trust;
use super::sources::{Repository, SourceState};
use crate::api::argoproj::{ApplicationSource, ApplicationSpec, NamespaceMetadata};
use crate::cluster::Kinds;
use crate::git::{RepoPath, RepositoryUrl};
use crate::render::{Render, Rendered, Request, SourceAt};

/// Where objects go that name no namespace.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    namespace: Option<String>,
    is_made: bool,
    metadata: Option<NamespaceMetadata>,
}

/// What a comparison rests on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compared {
    generations: Vec<u64>,
    /// Digest of the spec as it is written.
    spec: Digest,
    /// The revision of each source, which somebody may have asked for otherwise.
    revisions: Vec<String>,
    /// By what each source's commits are judged.
    trust: Vec<Trust>,
    /// Charts may ask for them.
    kinds: Arc<Kinds>,
}

pub(super) struct Subscription {
    /// The URL, and the project whose credentials open it, where they are its own.
    url: (RepositoryUrl, Option<String>),
    pub(super) repository: Arc<Repository>,
    pub(super) state: watch::Receiver<SourceState>,
}

// === impl Task ===

impl Task {
    /// Finds out what Git says now, if that can have changed.
    pub(super) async fn compare(&mut self, spec: &ApplicationSpec) -> Result<(), Error> {
        for source in &spec.sources {
            RepoPath::parse(&source.path)?;
        }
        let states = self.source_states(spec)?;
        let compared = Compared {
            generations: states.iter().map(|state| state.generation).collect(),
            spec: Digest::of_value(&self.application.spec),
            revisions: spec
                .sources
                .iter()
                .map(|source| source.target_revision.clone())
                .collect(),
            trust: self
                .repositories
                .iter()
                .zip(&spec.sources)
                .map(|(subscription, source)| subscription.repository.trust(&spec.project, &source.repo_url))
                .collect(),
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
                repository
                    .trust(&project, &source.repo_url)
                    .check(&mirror, &commit, last_good)?;
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
        let written = sources.iter().map(ReadAt::of).collect();
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
                steps: OnceLock::new(),
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
            let objects: Vec<_> = objects
                .map(|desired| (&desired.key, desired.object.open()))
                .collect();
            let objects: Vec<_> = objects.iter().map(|(key, object)| (*key, object)).collect();
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
            steps: OnceLock::new(),
        })
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Stopping)?
}
