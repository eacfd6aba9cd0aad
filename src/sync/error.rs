//! Why an Application is not as Git says, in the words of its status.

use provost_delivery::hook::Phase;
use provost_delivery::prune::GuardError;

use crate::api::argoproj::InvalidSpec;
use crate::{cluster, git, render};

/// Why a pass, or the agent, could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec holds what is not supported.
    #[error(transparent)]
    Spec(#[from] InvalidSpec),
    /// The repository, the revision or the path cannot be read.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The repository could not be fetched; what it said last goes on.
    #[error("{0}")]
    Fetch(String),
    /// A commit is not signed as its project demands; what was deployed last stays.
    #[error("{0}")]
    Signature(String),
    /// Push webhooks cannot be taken.
    #[error("cannot listen for push webhooks on {address}: choose another address with --hooks-listen")]
    Listen {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder cannot be rendered.
    #[error(transparent)]
    Render(#[from] render::Error),
    /// The render cannot be kept.
    #[error(transparent)]
    History(#[from] render::HistoryError),
    /// Two declarations of one object.
    #[error("{object} is declared twice: in {first} and in {second}")]
    Duplicate {
        /// The object.
        object: String,
        /// Where first.
        first: String,
        /// Where again.
        second: String,
    },
    /// Objects that are no longer declared, whose files are still there with something else in them: a sentence each.
    #[error("{}: nothing is deleted for that (if it is to go, delete the file)", .0.join("; "))]
    Lost(Vec<String>),
    /// Kinds that the cluster does not serve, one sentence each.
    #[error("{}", .0.join("; "))]
    Unserved(Vec<String>),
    /// The cluster refused, or did not answer.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// What the Application's project does not allow, one sentence each.
    #[error("{}", .0.join("; "))]
    Project(Vec<String>),
    /// Objects of a stage that were refused, one sentence each; nothing of the stage was applied.
    #[error("{} of {total} objects refused, none of them applied: {}", .refused.len(), .refused.join("; "))]
    Stage {
        /// Why, object by object.
        refused: Vec<String>,
        /// How many objects were asked about.
        total: usize,
    },
    /// Objects that could not be applied although the dry-run went well.
    #[error("{} objects could not be applied: {}", .0.len(), .0.join("; "))]
    Apply(Vec<String>),
    /// An object of a wave that later waves stand on has failed.
    #[error("{object} (wave {wave}) has failed, so that later waves wait: {message}")]
    Unhealthy {
        /// The object.
        object: String,
        /// Its wave.
        wave: i64,
        /// What its kind says.
        message: String,
    },
    /// A hook has failed.
    #[error("{phase} hook {object} has failed: {message}")]
    Hook {
        /// The hook.
        object: String,
        /// When it ran.
        phase: Phase,
        /// Why.
        message: String,
    },
    /// More would be deleted than may be without an approval.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// An object that cannot be made ours.
    #[error("{0}")]
    Object(String),
    /// Objects that keep an Application from going, one sentence each.
    #[error("{} objects keep the Application from going: {}", .0.len(), .0.join("; "))]
    Deletion(Vec<String>),
    /// An annotation of the Application means nothing.
    #[error("{0}")]
    Annotation(String),
    /// Somebody asks for what the mode forbids.
    #[error("provost.dev/mode is drift-only, so that nothing is written")]
    DriftOnly,
    /// Another agent writes the same inventory.
    #[error("the inventory was written by somebody else: looking anew")]
    Fenced,
    /// Objects that somebody else changes as often as we put them back, one sentence each.
    #[error("{}: it is left alone for a minute", .0.join("; "))]
    Fight(Vec<String>),
    /// The repository's first fetch has not ended yet.
    #[error("the repository is being fetched for the first time")]
    Waiting,
    /// The state folder cannot be used.
    #[error("the agent's state {path} cannot be used")]
    State {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses the state folder.
    #[error("the agent's state {0} is used by another agent: give each its own with --state")]
    StateTaken(String),
    /// The agent cannot name itself.
    #[error("the system gives no random bits")]
    Random,
    /// The agent stops.
    #[error("the agent is stopping")]
    Stopping,
}

// === impl Error ===

impl Error {
    /// The condition's type on the Application.
    pub fn condition(&self) -> &'static str {
        match self {
            Self::Spec(_)
            | Self::Project(_)
            | Self::Annotation(_)
            | Self::Git(git::Error::Url { .. } | git::Error::Path { .. }) => "InvalidSpecError",
            Self::Deletion(_) => "DeletionError",
            Self::Git(_)
            | Self::Fetch(_)
            | Self::Signature(_)
            | Self::Render(_)
            | Self::Duplicate { .. }
            | Self::Unserved(_)
            | Self::Lost(_)
            | Self::Object(_) => "ComparisonError",
            _ => "SyncError",
        }
    }

    /// Whether a sync that meets it has failed, and begins anew when it is tried again. Others only interrupt it.
    pub(super) fn ends_sync(&self) -> bool {
        matches!(
            self,
            Self::Unhealthy { .. } | Self::Hook { .. } | Self::Apply(_) | Self::Stage { .. }
        )
    }

    /// The message with everything under it, on one line, safe to print.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        provost_manifest::escape::line(&text).into_owned()
    }
}
