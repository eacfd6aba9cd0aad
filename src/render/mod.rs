//! Renderers: a folder of a commit becomes objects, each with the file it is written in; and the rendered history.
//!
//! ```text
//! Snapshot ──plan──▶ key (tree ids, tool version) ──same as last time?──▶ the last render
//!                      └──▶ plain: read the files · kustomize: private copy, program ──▶ Rendered ──▶ History
//! ```
//!
//! *Guarantees*
//! - The same trees and the same tool give the same render, and a commit elsewhere in the repository costs nothing:
//!   the key covers exactly what the render can read.
//! - Kustomize runs with an empty environment on a private copy that holds those folders and nothing else, may load
//!   files only from below each kustomization, and is ended with its whole process group at a deadline.
//! - An error names the file, and line and column where there are any. It is never an empty render.
//!
//! *Not yet*: the jail around the program (Landlock, seccomp), Kustomize overrides from the Application, Helm.

mod history;
pub mod jail;
mod kustomize;
mod object;
mod plain;
mod process;

use serde_json::Value;

use crate::git::{self, Mirror, RepoPath, Snapshot};

pub use history::{History, HistoryError, Render};
pub use kustomize::Kustomize;

/// How many objects one render may have.
pub const MAX_OBJECTS: usize = 20_000;

/// What to render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The folder.
    pub path: RepoPath,
    /// Whether a plain folder's folders are read too.
    pub recurse: bool,
}

/// The objects that a folder declares.
#[derive(Debug)]
pub struct Rendered {
    /// Digest of all that the render read, and of the tool that made it.
    pub key: String,
    /// The objects in the order they were found, lists flattened.
    pub objects: Vec<RenderedObject>,
}

/// One object and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedObject {
    /// The object as rendered.
    pub value: Value,
    /// The file it is written in, where the renderer knows it.
    pub file: Option<RepoPath>,
    /// The line of that file on which its document begins.
    pub line: Option<usize>,
}

/// Renders folders.
#[derive(Clone, Debug)]
pub struct Renderer {
    kustomize: Option<Kustomize>,
}

/// Why a folder could not be rendered.
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
    /// A Kustomize folder, and no kustomize.
    #[error(
        "{path} is a Kustomize folder, and no kustomize program was found: put one on PATH or name it with --kustomize"
    )]
    NoKustomize {
        /// The folder.
        path: String,
    },
    /// A kustomization asks for something that is refused.
    #[error("{file}: {reason}")]
    Kustomization {
        /// The kustomization file.
        file: String,
        /// What it asks for, and why not.
        reason: String,
    },
    /// kustomize said no.
    #[error("kustomize build {path}: {message}")]
    KustomizeFailed {
        /// The folder.
        path: String,
        /// What it said.
        message: String,
    },
    /// A program could not be run.
    #[error("{program} could not be run: {reason}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The blocking pool is gone: we are stopping.
    #[error("rendering was interrupted")]
    Interrupted,
}

// === impl Renderer ===

impl Renderer {
    /// A renderer that runs this kustomize, where there is one.
    pub fn new(kustomize: Option<Kustomize>) -> Self {
        Self { kustomize }
    }

    /// The objects of a folder at a commit; `None` where nothing that the render reads has changed since the one whose
    /// key is `last`.
    pub async fn render(
        &self,
        mirror: &Mirror,
        commit: &str,
        source: &Source,
        last: Option<&str>,
    ) -> Result<Option<Rendered>, Error> {
        let (mirror, commit, source) = (mirror.clone(), commit.to_owned(), source.clone());
        let (last, kustomize) = (last.map(str::to_owned), self.kustomize.clone());
        // Reading Git blocks, and so does writing the copy; the program is waited for on this thread too.
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let snapshot = mirror.snapshot(&commit)?;
            render(&snapshot, &source, last.as_deref(), kustomize.as_ref(), &runtime)
        })
        .await
        .map_err(|_| Error::Interrupted)?
    }
}

fn render(
    snapshot: &Snapshot,
    source: &Source,
    last: Option<&str>,
    kustomize: Option<&Kustomize>,
    runtime: &tokio::runtime::Handle,
) -> Result<Option<Rendered>, Error> {
    let folder = snapshot.folder(&source.path)?;
    let is_kustomize = kustomize::file_of(snapshot, &folder)?.is_some();
    let rendered = if is_kustomize {
        let kustomize = kustomize.ok_or_else(|| Error::NoKustomize {
            path: source.path.to_string(),
        })?;
        let roots = kustomize::roots(snapshot, &folder)?;
        let key = kustomize.key(&source.path, &roots);
        if last == Some(key.as_str()) {
            return Ok(None);
        }
        Rendered {
            objects: kustomize.render(snapshot, &source.path, &roots, runtime)?,
            key,
        }
    } else {
        let key = format!("plain/1 {} {} {}", folder.path, folder.id, source.recurse);
        if last == Some(key.as_str()) {
            return Ok(None);
        }
        Rendered {
            objects: plain::render(snapshot, &folder, source.recurse)?,
            key,
        }
    };
    if rendered.objects.len() > MAX_OBJECTS {
        return Err(Error::TooLarge {
            path: source.path.to_string(),
            limit: "20,000 objects",
        });
    }
    Ok(Some(rendered))
}
