//! Why a source could not be rendered.

use crate::git;

/// Why a source could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Git could not give what the render reads.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A file is not YAML or JSON.
    #[error("{file}:{line}:{column}: {message}")]
    Parse {
        /// The file, from the repository's root.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A document is no Kubernetes object.
    #[error("{place}: {reason}")]
    Object {
        /// File and line, or the tool's output.
        place: String,
        /// What is missing.
        reason: String,
    },
    /// The render is larger than a bound.
    #[error("{path} renders to more than {limit}")]
    TooLarge {
        /// The folder.
        path: String,
        /// The bound, in words.
        limit: &'static str,
    },
    /// A folder that needs a program which is not there.
    #[error(
        "{path} needs {program}, and no such program was found: put one on PATH or name it with --{program}"
    )]
    NoProgram {
        /// The folder.
        path: String,
        /// The program.
        program: &'static str,
    },
    /// A folder that needs a program which must not run here.
    #[error(
        "{path} needs {program}, which cannot be confined here, so it does not run: {reason}. \
         To run it nevertheless: --allow-unconfined-render"
    )]
    Unconfined {
        /// The folder.
        path: String,
        /// The program.
        program: &'static str,
        /// What is missing.
        reason: String,
    },
    /// A file or an option asks for something that is refused.
    #[error("{place}: {reason}")]
    Refused {
        /// The file, or the option.
        place: String,
        /// What it asks for, why not, and what would do.
        reason: String,
    },
    /// The program said no.
    #[error("{command}: {message}")]
    Failed {
        /// What was run, on which folder.
        command: String,
        /// What it said.
        message: String,
    },
    /// A program could not be run, or had to be ended.
    #[error("{program} {reason}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The folder for copies and kept renders cannot be used.
    #[error("folder {folder} cannot be used for renders")]
    Folder {
        /// Where.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
    /// The blocking pool is gone: we are stopping.
    #[error("rendering was interrupted")]
    Interrupted,
}

// === impl Error ===

impl Error {
    pub(super) fn refused(place: &impl ToString, reason: impl Into<String>) -> Self {
        Self::Refused {
            place: place.to_string(),
            reason: reason.into(),
        }
    }
}
