//! Renderers: a folder of a commit becomes objects, each with the file it is written in; and the rendered history.
//!
//! ```text
//! Request ──source: overrides, tool, what it reads──▶ key ──same as last time?──▶ the last render
//!                                                      ├──kept?──▶ cache
//!                                                      └──▶ plain: read the files
//!                                                           kustomize, helm: private copy, program in its jail ──▶ cache
//! ```
//!
//! *Guarantees*
//! - The same trees, parameters and tool give the same render, and a commit elsewhere in the repository starts no
//!   program: the key covers exactly what the render can read, because a program gets a copy of exactly that.
//! - Programs run in a [`jail`]: no files but the copy, no sockets, no other processes, an empty environment, bounded
//!   memory, time and output. Where the kernel cannot do that, they do not run unless somebody says so.
//! - The work tree that the agent keeps is never written to: what an Application changes is changed in the copy.
//! - An error names the file, and line and column where there are any. It is never an empty render.

mod cache;
mod error;
mod helm;
mod history;
pub mod jail;
mod job;
mod kustomize;
mod object;
mod plain;
mod program;
mod request;
mod source;
mod tool;
mod work;

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::git::RepoPath;
use cache::Cache;
use job::Job;
use source::{Plan, Planned};
use tool::{Search, Tool};

pub use error::Error;
pub use history::{History, HistoryError, Render};
pub use program::{DEADLINE, Launcher};
pub use request::{Capabilities, Request, SourceAt};

/// How many objects one render may have.
pub const MAX_OBJECTS: usize = 20_000;

/// What a renderer is told.
#[derive(Clone, Debug)]
pub struct RenderConfig {
    /// Folder for kept renders and for copies; all of it may be deleted while nothing runs.
    pub folder: PathBuf,
    /// The kustomize program, where it is not to be looked for.
    pub kustomize: Option<PathBuf>,
    /// The helm program, where it is not to be looked for.
    pub helm: Option<PathBuf>,
    /// The folders to look for them in, as in `PATH`.
    pub search_path: String,
    /// How they are started.
    pub launcher: Launcher,
}

/// The objects that an Application's sources declare.
#[derive(Debug)]
pub struct Rendered {
    /// Digest of all that the render read, and of the tools that made it.
    pub key: String,
    /// The objects in the order they were found, lists flattened.
    pub objects: Vec<RenderedObject>,
    /// Files beside them that hold what is no object. One that held an object before may have been spoilt.
    pub left_out: Vec<RepoPath>,
}

/// What came of one source.
#[derive(Debug, Default)]
struct Made {
    objects: Vec<RenderedObject>,
    left_out: Vec<RepoPath>,
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
    /// The repository of that file, where the Application has several sources.
    pub repository: Option<String>,
}

/// Renders Applications' sources. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Renderer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tools: Tools,
    copies: PathBuf,
    cache: Cache,
    /// Programs that run at the same time: as many as there are cores.
    running: Semaphore,
    started: Arc<AtomicU64>,
    /// One turn for each key that is being rendered, so that a folder of many Applications is rendered once.
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// The programs.
#[derive(Debug)]
struct Tools {
    kustomize: Tool,
    helm: Tool,
}

// === impl Renderer ===

impl Renderer {
    /// Looks for the programs, and asks them for their versions.
    ///
    /// # Errors
    /// The folder cannot be used, or a program is there and does not run. One that is not there, or cannot be confined
    /// here, is an error of the sources that need it.
    pub async fn start(config: &RenderConfig) -> Result<Self, Error> {
        let copies = config.folder.join("copies");
        let unusable = |source| Error::Folder {
            folder: config.folder.display().to_string(),
            source,
        };
        // What an agent that was killed left.
        if copies.exists() {
            std::fs::remove_dir_all(&copies).map_err(unusable)?;
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&copies).map_err(unusable)?;
        // A program runs in its copy, where a relative path would mean something else.
        let copies = copies.canonicalize().map_err(unusable)?;
        let cache = Cache::open(&config.folder.join("kept")).map_err(unusable)?;
        let started = Arc::new(AtomicU64::new(0));
        let search = Search {
            folders: &config.search_path,
            launcher: &config.launcher,
            started: &started,
        };
        if config.launcher.confinement == jail::Confinement::WhereAvailable {
            tracing::warn!("Programs render unconfined where the kernel lacks a part of the jail.");
        }
        let tools = Tools {
            kustomize: Tool::find(
                "kustomize",
                config.kustomize.as_deref(),
                &["version"],
                &search,
                &copies,
            )
            .await?,
            helm: Tool::find(
                "helm",
                config.helm.as_deref(),
                &["version", "--template", "{{.Version}}"],
                &search,
                &copies,
            )
            .await?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            shared: Arc::new(Shared {
                tools,
                copies,
                cache,
                running: Semaphore::new(cores),
                started,
                turns: Mutex::default(),
            }),
        })
    }

    /// How many programs were started so far.
    pub fn programs_started(&self) -> u64 {
        self.shared.started.load(Ordering::Relaxed)
    }

    /// The objects of an Application's sources; `None` where nothing that the render reads has changed since the one
    /// whose key is `last`.
    pub async fn render(&self, request: Request, last: Option<&str>) -> Result<Option<Rendered>, Error> {
        let several = request.sources.len() > 1;
        let shared = Arc::clone(&self.shared);
        let planned = blocking(move || source::plan_all(&request, &shared.tools)).await?;
        let keys: Vec<_> = planned.iter().map(|planned| planned.key.as_str()).collect();
        let key = keys.join(" ");
        if last == Some(key.as_str()) {
            return Ok(None);
        }
        let (mut objects, mut left_out) = (Vec::new(), Vec::new());
        for planned in planned {
            let (path, repository) = (planned.path.clone(), planned.at.mirror.url().to_string());
            let mut made = self.shared.make(planned).await?;
            if several {
                for object in &mut made.objects {
                    object.repository = Some(repository.clone());
                }
            }
            objects.extend(made.objects);
            left_out.extend(made.left_out);
            if objects.len() > MAX_OBJECTS {
                return Err(Error::TooLarge {
                    path: path.to_string(),
                    limit: "20,000 objects",
                });
            }
        }
        Ok(Some(Rendered {
            key,
            objects,
            left_out,
        }))
    }
}

// === impl Made ===

impl Made {
    /// A program leaves nothing out by itself: what it cannot read is its error.
    fn of_program(objects: Vec<RenderedObject>) -> Self {
        Self {
            objects,
            left_out: Vec::new(),
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn make(self: &Arc<Self>, planned: Planned) -> Result<Made, Error> {
        let Planned { at, path, plan, key } = planned;
        let job = match plan {
            Plan::Plain { folder, options } => {
                return blocking(move || {
                    let snapshot = at.mirror.snapshot(&at.commit)?;
                    plain::render(&snapshot, &folder, &options)
                })
                .await;
            }
            Plan::Program(job) => job,
        };
        let turn = self.turn(&key);
        let _turn = turn.lock().await;
        let (shared, wanted) = (Arc::clone(self), key.clone());
        if let Some(kept) = blocking(move || Ok(shared.cache.get(&wanted))).await? {
            return Ok(Made::of_program(kept));
        }
        let _permit = self.running.acquire().await.map_err(|_| Error::Interrupted)?;
        let objects = self.run(job, at, &path).await?;
        let shared = Arc::clone(self);
        blocking(move || {
            shared.cache.put(&key, &objects);
            Ok(Made::of_program(objects))
        })
        .await
    }

    /// Copies what the render reads, runs the program on the copy, and takes its output apart.
    async fn run(
        self: &Arc<Self>,
        job: Job,
        at: SourceAt,
        path: &RepoPath,
    ) -> Result<Vec<RenderedObject>, Error> {
        let shared = Arc::clone(self);
        let (job, at, copy) = blocking(move || {
            let copy = shared.copy(&job, &at)?;
            Ok((job, at, copy))
        })
        .await?;
        let tool = job.tool(&self.tools);
        let output = tool.run(path, job.work(), copy.path()).await?;
        if !output.success {
            return Err(Error::Failed {
                command: format!("{} {path}", job.command()),
                message: job.explain(&in_words(&output.complaint, copy.path())),
            });
        }
        blocking(move || {
            let snapshot = at.mirror.snapshot(&at.commit)?;
            job.objects(&String::from_utf8_lossy(&output.stdout), &snapshot)
        })
        .await
    }

    fn copy(&self, job: &Job, at: &SourceAt) -> Result<tempfile::TempDir, Error> {
        let unusable = |source| Error::Folder {
            folder: self.copies.display().to_string(),
            source,
        };
        let copy = tempfile::tempdir_in(&self.copies).map_err(unusable)?;
        job.work()
            .lay_out(&at.mirror.snapshot(&at.commit)?, copy.path())?;
        Ok(copy)
    }

    fn turn(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// The copy's place is ours; the user knows the repository's.
fn in_words(said: &str, copy: &Path) -> String {
    let files = format!("{}/", work::FILES);
    said.replace(&format!("{}/", copy.display()), "")
        .replace(&files, "")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // Reading Git blocks, and so does writing the copy.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Interrupted)?
}
