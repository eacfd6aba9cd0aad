//! Where a preview's files come from: the Application's repositories, fetched with the rights of who asks, or a folder.

use std::sync::Arc;

use crate::api::argoproj::ApplicationSpec;
use crate::cluster::{self, Cluster};
use crate::git::{self, CredentialStore, LocalRepositories, Mirrors, RepositoryUrl};
use crate::render::{Request, SourceAt};
use crate::sync::controller::capabilities;

/// Why there is nothing to render.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A repository cannot be read.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The cluster does not say what it serves.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The fetch was interrupted.
    #[error("the fetch was interrupted")]
    Interrupted,
}

/// The Application's sources at the commits that its revisions name now, one of them at another revision where that is
/// said, each fetched with the cluster's credentials for it.
pub async fn fetch(
    spec: &ApplicationSpec,
    revision: Option<(usize, &str)>,
    mirrors: &Mirrors,
    local: LocalRepositories,
    credentials: &Arc<CredentialStore>,
) -> Result<Vec<SourceAt>, SourceError> {
    let mut sources = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        let url = RepositoryUrl::parse(&source.repo_url, local)?;
        let scope = credentials.scope(&url, &spec.project);
        let mirror = mirrors.mirror(&url, scope.as_deref());
        let other = revision.filter(|(position, _)| *position == index);
        let revision = other.map_or(source.target_revision.as_str(), |(_, revision)| revision);
        let (revision, source, credentials) = (revision.to_owned(), source.clone(), Arc::clone(credentials));
        let fetch = move || -> Result<SourceAt, SourceError> {
            let access = credentials.access(mirror.url(), scope.as_deref());
            mirror.fetch(&access.map_err(git::Error::from)?)?;
            Ok(SourceAt {
                commit: mirror.resolve(&revision)?,
                source,
                mirror,
            })
        };
        let fetched = tokio::task::spawn_blocking(fetch).await;
        sources.push(fetched.map_err(|_| SourceError::Interrupted)??);
    }
    Ok(sources)
}

/// What is asked of the renderer, as the agent would ask it.
pub async fn request(
    cluster: &Cluster,
    application: &str,
    project: &str,
    namespace: Option<&str>,
    sources: Vec<SourceAt>,
) -> Result<Request, SourceError> {
    let version = cluster.version().await?;
    Ok(Request {
        application: application.to_owned(),
        project: project.to_owned(),
        namespace: namespace.map(str::to_owned),
        capabilities: Arc::new(capabilities(cluster, &version)),
        sources,
    })
}
