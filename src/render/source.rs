//! From a source to how it is rendered: what its folder overrides, which tool it is for, and the digest of all that the
//! render can read.

use std::collections::BTreeMap;

use provost_manifest::digest::Digest;
use provost_manifest::yaml;
use serde_json::json;

use super::job::Job;
use super::request::{BuildEnvironment, Request, SourceAt};
use super::{Error, Tools, helm, kustomize};
use crate::api::argoproj::{
    ApplicationSource, DirectoryOptions, HelmOptions, KustomizeOptions, SourceOptions,
};
use crate::git::{Entry, EntryKind, RepoPath, Snapshot};

/// The file in a source's folder that is merged into every Application's source.
const OVERRIDE: &str = ".argocd-source.yaml";
/// What such a file may not change.
const FIXED: [&str; 5] = ["repoURL", "path", "chart", "targetRevision", "ref"];

/// How a source is rendered.
#[derive(Debug)]
pub(super) enum Plan {
    /// Its files are read.
    Plain {
        folder: Entry,
        options: DirectoryOptions,
    },
    /// A program runs.
    Program(Job),
}

/// Which tool renders a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Plain,
    Kustomize,
    Helm,
}

/// A source with the plan of its render.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) at: SourceAt,
    pub(super) path: RepoPath,
    pub(super) plan: Plan,
    /// Digest of all that the render can read, and of what renders it.
    pub(super) key: String,
}

/// Plans every source that renders anything. Blocks.
pub(super) fn plan_all(request: &Request, tools: &Tools) -> Result<Vec<Planned>, Error> {
    let references: BTreeMap<String, SourceAt> = request
        .sources
        .iter()
        .filter_map(|at| Some((at.source.reference.clone()?, at.clone())))
        .collect();
    request
        .sources
        .iter()
        .filter(|at| !at.source.is_reference_only())
        .map(|at| plan(request, at, &references, tools))
        .collect()
}

fn plan(
    request: &Request,
    at: &SourceAt,
    references: &BTreeMap<String, SourceAt>,
    tools: &Tools,
) -> Result<Planned, Error> {
    let snapshot = at.mirror.snapshot(&at.commit)?;
    let path = RepoPath::parse(&at.source.path)?;
    let folder = Entry {
        path: path.clone(),
        ..snapshot.folder(&path)?
    };
    let options = overridden(&snapshot, &folder, &request.application, &at.source)?.options;
    let environment = BuildEnvironment::new(request, at);
    let plan = match Tool::of(&snapshot, &folder, &options)? {
        Tool::Plain => Plan::Plain {
            folder,
            options: options.directory,
        },
        Tool::Kustomize => {
            let plan = kustomize::Plan::new(&snapshot, &folder, &options.kustomize, &environment)?;
            Plan::Program(Job::Kustomize(plan))
        }
        Tool::Helm => {
            let context = helm::Context {
                request,
                environment: &environment,
                references,
            };
            let plan = helm::Plan::new(&snapshot, &folder, &options.helm, context)?;
            Plan::Program(Job::Helm(plan))
        }
    };
    Ok(Planned {
        key: plan.key(&path, tools)?,
        at: at.clone(),
        path,
        plan,
    })
}

/// The source with the folder's overrides merged into it: those for every Application first, then those for this one.
fn overridden(
    snapshot: &Snapshot,
    folder: &Entry,
    application: &str,
    source: &ApplicationSource,
) -> Result<ApplicationSource, Error> {
    let mut source = source.clone();
    for name in [OVERRIDE.to_owned(), format!(".argocd-source-{application}.yaml")] {
        let Some(path) = folder.path.join(&name).filter(|path| path.name() == name) else {
            continue;
        };
        let Some(file) = snapshot.find(&path)?.filter(|file| file.kind == EntryKind::File) else {
            continue;
        };
        let text = snapshot.read(&file)?;
        let change = yaml::parse_one(&String::from_utf8_lossy(&text)).map_err(|error| Error::Parse {
            file: path.to_string(),
            line: error.line,
            column: error.column,
            message: error.message,
        })?;
        let changes_where_it_is = |field: &&&str| {
            let wanted = change.value.get(**field);
            wanted.is_some() && wanted != source.written.get(**field)
        };
        if let Some(field) = FIXED.iter().find(changes_where_it_is) {
            return Err(Error::refused(&path, format!("{field} may not be changed here")));
        }
        json_patch::merge(&mut source.written, &change.value);
        source = ApplicationSource::parse("source", &source.written)
            .map_err(|flaws| Error::refused(&path, flaws.join("; ")))?;
    }
    Ok(source)
}

// === impl Tool ===

impl Tool {
    /// The tool whose options are set, or else the one whose file the folder has, in Argo CD's order.
    fn of(snapshot: &Snapshot, folder: &Entry, options: &SourceOptions) -> Result<Self, Error> {
        if options.helm != HelmOptions::default() {
            return Ok(Self::Helm);
        }
        if options.kustomize != KustomizeOptions::default() {
            return Ok(Self::Kustomize);
        }
        if options.directory != DirectoryOptions::default() {
            return Ok(Self::Plain);
        }
        if helm::is_chart(snapshot, folder)? {
            return Ok(Self::Helm);
        }
        Ok(match kustomize::file_of(snapshot, folder)? {
            Some(_) => Self::Kustomize,
            None => Self::Plain,
        })
    }
}

// === impl Plan ===

impl Plan {
    fn key(&self, path: &RepoPath, tools: &Tools) -> Result<String, Error> {
        match self {
            Self::Plain { folder, options } => {
                let DirectoryOptions {
                    recurse,
                    include,
                    exclude,
                } = options;
                let all = json!([
                    "plain/1",
                    folder.path.as_str(),
                    folder.id,
                    recurse,
                    include,
                    exclude
                ]);
                Ok(Digest::of_bytes(all.to_string().as_bytes()).to_string())
            }
            Self::Program(job) => Ok(job.work().key(&job.tool(tools).ready(path)?.version)),
        }
    }
}
