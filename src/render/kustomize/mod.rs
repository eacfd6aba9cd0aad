//! Kustomize folders, rendered by the kustomize program.
//!
//! The Application's changes are made to a copy of the kustomization ([`edit`]); what the build may read is found by
//! walking the kustomizations from there ([`graph`]), and is all that the copy holds.

mod edit;
mod graph;
mod images;

use provost_manifest::{list, yaml};
use serde_json::Value;

use super::object::flaw;
use super::request::BuildEnvironment;
use super::work::{Work, place_of};
use super::{Error, RenderedObject};
use crate::api::argoproj::KustomizeOptions;
use crate::git::{Entry, EntryKind, RepoPath, Snapshot};

/// The names that kustomize takes for its file.
const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Where kustomize says which file an object comes from.
const ORIGIN: &str = "config.kubernetes.io/origin";
const ORIGIN_METADATA: &str = "originAnnotations";

/// A Kustomize render, ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) work: Work,
    folder: RepoPath,
    /// Whether the author asked for origins, so that they stay.
    keeps_origins: bool,
}

/// The kustomization file of a folder.
pub(super) fn file_of(snapshot: &Snapshot, folder: &Entry) -> Result<Option<Entry>, Error> {
    for name in FILE_NAMES {
        if let Some(path) = folder.path.join(name)
            && let Some(file) = snapshot.find(&path)?
            && file.kind == EntryKind::File
        {
            return Ok(Some(Entry { path, ..file }));
        }
    }
    Ok(None)
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(
        snapshot: &Snapshot,
        folder: &Entry,
        options: &KustomizeOptions,
        environment: &BuildEnvironment,
    ) -> Result<Self, Error> {
        let file = file_of(snapshot, folder)?.ok_or_else(|| {
            Error::refused(
                &folder.path,
                "has options of kustomize, and no kustomization.yaml",
            )
        })?;
        let mut kustomization = graph::read(snapshot, &file)?;
        let refuse = |reason| Error::refused(&file.path, reason);
        let options = present(snapshot, folder, options)?;
        edit::apply(&mut kustomization, &options, environment).map_err(refuse)?;
        let reads = graph::walk(snapshot, folder, &file, &kustomization)?;
        let keeps_origins = ask_for_origins(&mut kustomization).map_err(refuse)?;
        let mut work = Work::default();
        for entry in reads.into_values() {
            work.copy(entry);
        }
        // JSON is YAML, and there is nothing in it to be read in two ways.
        work.written
            .insert(place_of(&file.path), kustomization.to_string().into_bytes());
        work.arguments = ["build", "--load-restrictor", "LoadRestrictionsRootOnly"]
            .into_iter()
            .map(str::to_owned)
            .chain([place_of(&folder.path)])
            .collect();
        Ok(Self {
            work,
            folder: folder.path.clone(),
            keeps_origins,
        })
    }

    pub(super) fn objects(&self, output: &str) -> Result<Vec<RenderedObject>, Error> {
        let mut rendered = Vec::new();
        for document in yaml::parse_stream(output) {
            let document = document.map_err(|error| Error::Failed {
                command: format!("kustomize build {}", self.folder),
                message: format!("its output cannot be read: {error}"),
            })?;
            for item in list::flatten(document.value) {
                let mut value = item.object;
                if let Some(reason) = flaw(&value) {
                    return Err(Error::Object {
                        place: format!("output of kustomize build {}", self.folder),
                        reason,
                    });
                }
                let file = origin(&value).and_then(|relative| self.folder.join(&relative));
                if !self.keeps_origins {
                    strip_origin(&mut value);
                }
                rendered.push(RenderedObject {
                    value,
                    file,
                    line: None,
                    repository: None,
                });
            }
        }
        Ok(rendered)
    }
}

/// The options without components that may be missing, and are.
fn present(
    snapshot: &Snapshot,
    folder: &Entry,
    options: &KustomizeOptions,
) -> Result<KustomizeOptions, Error> {
    let mut options = options.clone();
    if options.ignore_missing_components {
        let mut found = Vec::new();
        for component in options.components {
            if let Some(path) = folder.path.join(&component)
                && snapshot.find(&path)?.is_some()
            {
                found.push(component);
            }
        }
        options.components = found;
    }
    Ok(options)
}

/// Makes a kustomization ask for origins; whether its author had asked already.
fn ask_for_origins(kustomization: &mut Value) -> Result<bool, String> {
    let metadata = edit::list_of(kustomization, "buildMetadata")?;
    if metadata.iter().any(|entry| entry == ORIGIN_METADATA) {
        return Ok(true);
    }
    metadata.push(ORIGIN_METADATA.into());
    Ok(false)
}

/// The file that kustomize names: the resource's, or the kustomization's that generated it.
fn origin(object: &Value) -> Option<String> {
    let text = object
        .get("metadata")?
        .get("annotations")?
        .get(ORIGIN)?
        .as_str()?;
    let origin = yaml::parse_one(text).ok()?.value;
    let file = origin.get("path").or_else(|| origin.get("configuredIn"))?;
    file.as_str().map(str::to_owned)
}

fn strip_origin(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        // `shift_remove` keeps the order of the others.
        annotations.shift_remove(ORIGIN);
        if annotations.is_empty() {
            metadata.shift_remove("annotations");
        }
    }
}
