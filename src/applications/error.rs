//! Why something could not be done with an Application.

use crate::api::argoproj::InvalidSpec;
use crate::{cluster, git};

/// Why something could not be done with an Application.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster refused, or did not answer.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The cluster has no Applications at all.
    #[error("the cluster does not know Applications: install Provost first (provost install)")]
    NoKind,
    /// There is no such Application.
    #[error("there is no Application {name} in namespace {namespace}: provost app list -A shows all")]
    Missing {
        /// Where it was looked for.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Somebody else changed it meanwhile.
    #[error("Application {0} was changed by somebody else at the same moment: try again")]
    Changed(String),
    /// It is left alone by the agent.
    #[error("Application {name} is suspended, so that no agent would do it: provost app resume {resume}")]
    Suspended {
        /// Namespace and name.
        name: String,
        /// What resumes it.
        resume: String,
    },
    /// It is not suspended.
    #[error("Application {0} is not suspended")]
    NotSuspended(String),
    /// Another operation is under way.
    #[error(
        "Application {0} is being synced for somebody already: provost app wait --operation shows when it is done"
    )]
    Busy(String),
    /// An object that is to be synced is not the Application's, or there are several.
    #[error("{0}")]
    Object(String),
    /// The spec cannot be read.
    #[error("the Application's spec cannot be read: {0}")]
    Spec(#[from] InvalidSpec),
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// Which of several sources is meant is not said, or there is none such.
    #[error("{0}")]
    Source(String),
    /// A rollback that cannot be made.
    #[error("{0}")]
    Rollback(String),
    /// The commit could not be made.
    #[error("the commit that goes back cannot be made")]
    Commit(#[from] git2::Error),
    /// The work was interrupted.
    #[error("the work was interrupted")]
    Interrupted,
}

// === impl Error ===

impl Error {
    /// A list or an object that is not found because its kind is not there.
    pub(super) fn no_kind(error: cluster::Error) -> Self {
        if error.is_not_found() {
            Self::NoKind
        } else {
            error.into()
        }
    }
}
