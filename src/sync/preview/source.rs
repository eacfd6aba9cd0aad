//! Where a preview's files come from: the Application's repositories, fetched with the rights of who asks, or a folder.

use std::sync::Arc;

use crate::api::argoproj::ApplicationSpec;
use crate::cluster::{self, Cluster};
use crate::git::{self, Access, LocalRepositories, Mirrors, RepositoryUrl};
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
    /// A revision is asked for where there are several repositories.
    #[error("the Application has several sources: a revision of which one is meant cannot be said yet")]
    Several,
    /// The fetch was interrupted.
    #[error("the fetch was interrupted")]
    Interrupted,
}

/// The Application's sources at the commits that its revisions name now, or one source at another revision.
///
/// Every repository is fetched.
pub async fn fetch(
    spec: &ApplicationSpec,
    revision: Option<&str>,
    mirrors: &Mirrors,
    local: LocalRepositories,
) -> Result<Vec<SourceAt>, SourceError> {
    if revision.is_some() && spec.sources.len() > 1 {
        return Err(SourceError::Several);
    }
    let mut sources = Vec::new();
    for source in &spec.sources {
        let mirror = mirrors.mirror(&RepositoryUrl::parse(&source.repo_url, local)?, None);
        let revision = revision.unwrap_or(&source.target_revision).to_owned();
        let source = source.clone();
        let fetch = move || -> Result<SourceAt, git::Error> {
            mirror.fetch(&Access::anonymous(mirror.url()))?;
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
