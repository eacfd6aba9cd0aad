//! The programs kustomize and helm: found at the start, asked for their versions, run in the jail.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Error;
use super::program::{self, Launcher, Output, Program, RunError};
use super::work::Work;
use crate::git::RepoPath;

/// A program, or why there is none.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    name: &'static str,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Ready(Arc<Ready>),
    Missing,
    /// It cannot be confined here.
    Unconfined(String),
}

/// A program that can run.
#[derive(Debug)]
pub(super) struct Ready {
    program: Program,
    /// What it calls itself, and what tells it from others that do so too.
    pub(super) version: String,
}

/// Where programs are looked for, and how they are started.
pub(super) struct Search<'a> {
    /// As in `PATH`.
    pub(super) folders: &'a str,
    pub(super) launcher: &'a Launcher,
    pub(super) started: &'a Arc<AtomicU64>,
}

// === impl Tool ===

impl Tool {
    /// The program at `path`, or else the first of its name on the search path; asked for its version.
    ///
    /// # Errors
    /// It is there and does not run.
    pub(super) async fn find(
        name: &'static str,
        path: Option<&Path>,
        arguments: &[&str],
        search: &Search<'_>,
        folder: &Path,
    ) -> Result<Self, Error> {
        let Some(found) = program::find(name, path, search.folders) else {
            tracing::warn!("No {name} was found: sources that need it are refused.");
            return Ok(Self::missing(name));
        };
        // The jail names files; a link's own path is not the file's.
        let found: PathBuf = std::fs::canonicalize(&found).unwrap_or(found);
        let program = Program::new(found.clone(), search.launcher.clone(), Arc::clone(search.started));
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let environment = [("HOME".to_owned(), "/nonexistent".to_owned())];
        let state = match program.run(&arguments, folder, &environment).await {
            Ok(output) if output.success => {
                let says = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                tracing::info!(program = %found.display(), version = says, "{name} renders.");
                State::Ready(Arc::new(Ready {
                    version: format!("{name} {says} {}", program.fingerprint()),
                    program,
                }))
            }
            Ok(output) => {
                return Err(Error::Program {
                    program: found.display().to_string(),
                    reason: format!("does not say its version: {}", output.complaint),
                });
            }
            Err(RunError::Unconfined(reason)) => {
                tracing::warn!(
                    reason,
                    "{name} cannot be confined here: sources that need it are refused."
                );
                State::Unconfined(reason)
            }
            Err(RunError::Program(error)) => return Err(error),
        };
        Ok(Self { name, state })
    }

    pub(super) fn missing(name: &'static str) -> Self {
        Self {
            name,
            state: State::Missing,
        }
    }

    /// The program, or why the folder cannot be rendered.
    pub(super) fn ready(&self, path: &RepoPath) -> Result<&Arc<Ready>, Error> {
        match &self.state {
            State::Ready(ready) => Ok(ready),
            State::Missing => Err(Error::NoProgram {
                path: path.to_string(),
                program: self.name,
            }),
            State::Unconfined(reason) => Err(Error::Unconfined {
                path: path.to_string(),
                program: self.name,
                reason: reason.clone(),
            }),
        }
    }

    /// Runs it on a copy.
    pub(super) async fn run(&self, path: &RepoPath, work: &Work, copy: &Path) -> Result<Output, Error> {
        let program = &self.ready(path)?.program;
        let outcome = program.run(&work.arguments, copy, &work.environment).await;
        outcome.map_err(|error| match error {
            RunError::Unconfined(reason) => Error::Unconfined {
                path: path.to_string(),
                program: self.name,
                reason,
            },
            RunError::Program(error) => error,
        })
    }
}
