//! Why the cluster did not do what it was asked.

use kube::core::Status;

/// Why a request failed. The message is the apiserver's own, a webhook's denial word for word.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The apiserver answered no.
    #[error("{what}: {message}", message = status.message)]
    Refused {
        /// What was asked.
        what: String,
        /// Its answer.
        status: Box<Status>,
    },
    /// It did not answer, or not in Kubernetes' language.
    #[error("{what}: the apiserver cannot be reached")]
    Unreachable {
        /// What was asked.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// It did not answer in time.
    #[error("{what}: no answer within 30 s")]
    Timeout {
        /// What was asked.
        what: String,
    },
    /// The request could not even be written.
    #[error("{what}: the request cannot be built: {reason}")]
    Build {
        /// What was to be asked.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Another agent may be at work by now.
    #[error("{what}: not asked, since the lease is not ours any more")]
    LeaseLost {
        /// What was to be asked.
        what: String,
    },
    /// A kind that we need did not become ready.
    #[error("{what} did not become ready within {seconds} s")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}

// === impl Error ===

impl Error {
    /// What kube's client reported.
    pub fn of(what: &str, error: kube::Error) -> Self {
        let what = what.to_owned();
        match error {
            kube::Error::Api(status) => Self::Refused { what, status },
            source => Self::Unreachable {
                what,
                source: Box::new(source),
            },
        }
    }

    /// Whether there is no such object, or no such kind.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The apiserver's words where it misses something that the object stands on: its namespace, its ServiceAccount, a
    /// class that it names.
    pub fn misses(&self) -> Option<&str> {
        match self {
            Self::Refused { status, .. } if matches!(status.code, 403 | 404) => {
                let is_missing = status.code == 404 || status.message.contains("found");
                is_missing.then_some(status.message.as_str())
            }
            _ => None,
        }
    }

    /// Whether the object was not the one that was planned for.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether who asks may not.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether the apiserver, or a webhook of its, judged the object and said no: asking again alone will not help.
    pub fn is_verdict(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 422))
    }

    /// The HTTP status that the apiserver answered with.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            _ => None,
        }
    }

    /// The same without the apiserver's text, which may quote a Secret's values: its reason and the fields remain.
    #[must_use]
    pub(super) fn without_values(self) -> Self {
        // That something is not there quotes its name and nothing else; who waits for it has to know which.
        if self.is_not_found() {
            return self;
        }
        let Self::Refused { what, mut status } = self else {
            return self;
        };
        let fields: Vec<String> = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .map(|cause| format!("{} {}", cause.field, cause.reason))
            .collect();
        status.message = match fields.as_slice() {
            [] => format!(
                "{} (the message is left out: it may quote the Secret)",
                status.reason
            ),
            fields => format!("{}: {}", status.reason, fields.join(", ")),
        };
        status.details = None;
        Self::Refused { what, status }
    }
}
