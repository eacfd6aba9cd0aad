//! Kustomize folders, rendered by the kustomize program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provost_manifest::{list, yaml};
use serde_json::Value;
use tokio::runtime::Handle;

use super::object::flaw;
use super::{Error, RenderedObject, process};
use crate::git::{Entry, EntryKind, RepoPath, Snapshot};

/// The names that kustomize takes for its file.
const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The fields whose entries may be folders with kustomizations of their own.
const FOLDER_FIELDS: [&str; 6] = [
    "resources",
    "bases",
    "components",
    "generators",
    "transformers",
    "validators",
];
/// How many kustomizations one render may reach.
const MAX_KUSTOMIZATIONS: usize = 1_000;
/// How long kustomize may take.
const DEADLINE: Duration = Duration::from_mins(1);
/// Where kustomize says which file an object comes from.
const ORIGIN: &str = "config.kubernetes.io/origin";
const ORIGIN_METADATA: &str = "originAnnotations";

/// The kustomize program.
#[derive(Clone, Debug)]
pub struct Kustomize {
    program: PathBuf,
    version: String,
}

// === impl Kustomize ===

impl Kustomize {
    /// The program at `path`, or else the first of that name in the folders of `search` (the value of `PATH`); `None`
    /// where there is none. Asks it for its version.
    pub async fn find(path: Option<&Path>, search: &str) -> Result<Option<Self>, Error> {
        let found = path.map(Path::to_owned).or_else(|| {
            std::env::split_paths(search)
                .map(|folder| folder.join("kustomize"))
                .find(|program| program.is_file())
        });
        let Some(program) = found else { return Ok(None) };
        let output = process::run(&program, &["version"], Path::new("/"), DEADLINE).await?;
        if !output.success {
            return Err(Error::Program {
                program: program.display().to_string(),
                reason: format!("`kustomize version` failed: {}", output.stderr),
            });
        }
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Some(Self { program, version }))
    }

    /// What the program calls itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn key(&self, path: &RepoPath, roots: &[Entry]) -> String {
        let trees: Vec<String> = roots
            .iter()
            .map(|root| format!("{}={}", root.path, root.id))
            .collect();
        format!("kustomize/1 {} {path} {}", self.version, trees.join(" "))
    }

    pub(super) fn render(
        &self,
        snapshot: &Snapshot,
        path: &RepoPath,
        roots: &[Entry],
        runtime: &Handle,
    ) -> Result<Vec<RenderedObject>, Error> {
        let failed = |message: String| Error::KustomizeFailed {
            path: path.to_string(),
            message,
        };
        let copy =
            tempfile::tempdir().map_err(|error| failed(format!("no private copy could be made: {error}")))?;
        snapshot.export(roots, copy.path())?;
        let folder = copy.path().join(path.as_str());
        let had_origins = ask_for_origins(&folder).map_err(failed)?;
        let arguments = ["build", "--load-restrictor", "LoadRestrictionsRootOnly", "."];
        let output = runtime.block_on(process::run(&self.program, &arguments, &folder, DEADLINE))?;
        if !output.success {
            // The copy's place is ours; the user knows the repository's.
            let place = format!("{}/", copy.path().display());
            return Err(failed(
                output.stderr.trim_start_matches("Error: ").replace(&place, ""),
            ));
        }
        objects(&String::from_utf8_lossy(&output.stdout), path, had_origins)
    }
}

/// The kustomization file of a folder.
pub(super) fn file_of(snapshot: &Snapshot, folder: &Entry) -> Result<Option<Entry>, Error> {
    for name in FILE_NAMES {
        if let Some(path) = folder.path.join(name)
            && let Some(file) = snapshot.find(&path)?
            && file.kind == EntryKind::File
        {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Every folder that a build of this one may read: its own, and those of all kustomizations it reaches. Kustomize
/// loads files only from below a kustomization, so nothing else can matter.
pub(super) fn roots(snapshot: &Snapshot, folder: &Entry) -> Result<Vec<Entry>, Error> {
    let mut found = BTreeMap::from([(folder.path.clone(), folder.clone())]);
    let mut waiting = vec![folder.clone()];
    while let Some(folder) = waiting.pop() {
        let Some(file) = file_of(snapshot, &folder)? else {
            continue;
        };
        for reference in references(snapshot, &file)? {
            let refuse = |reason: &str| Error::Kustomization {
                file: file.path.to_string(),
                reason: format!("{reference:?} {reason}"),
            };
            let target = folder
                .path
                .join(&reference)
                .ok_or_else(|| refuse("leaves the repository"))?;
            let target = snapshot.find(&target)?.ok_or_else(|| {
                refuse("is not in the repository (remote bases are not supported: keep a copy in Git)")
            })?;
            if target.kind == EntryKind::Folder && !found.contains_key(&target.path) {
                if found.len() == MAX_KUSTOMIZATIONS {
                    return Err(refuse("is one kustomization too many (1,000 are the most)"));
                }
                found.insert(target.path.clone(), target.clone());
                waiting.push(target);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The paths that a kustomization names in the fields where folders may stand.
fn references(snapshot: &Snapshot, file: &Entry) -> Result<Vec<String>, Error> {
    let text = snapshot.read(file)?;
    let document = yaml::parse_one(&String::from_utf8_lossy(&text)).map_err(|error| Error::Parse {
        file: file.path.to_string(),
        line: error.line,
        column: error.column,
        message: error.message,
    })?;
    Ok(FOLDER_FIELDS
        .iter()
        .filter_map(|field| document.value.get(field)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        // Generators and transformers may be written out in place.
        .filter(|entry| !entry.contains('\n'))
        .map(str::to_owned)
        .collect())
}

/// Makes the copy's kustomization ask for origins; whether its author had asked already.
fn ask_for_origins(folder: &Path) -> Result<bool, String> {
    let file = FILE_NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
        .ok_or("the kustomization file is missing")?;
    let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let mut kustomization = yaml::parse_one(&text).map_err(|error| error.to_string())?.value;
    let fields = kustomization
        .as_object_mut()
        .ok_or("the kustomization is not a map")?;
    let metadata = fields
        .entry("buildMetadata")
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .ok_or("buildMetadata is not a list")?;
    if metadata.iter().any(|entry| entry == ORIGIN_METADATA) {
        return Ok(true);
    }
    metadata.push(ORIGIN_METADATA.into());
    // JSON is YAML, and there is nothing in it to be read in two ways.
    fs::write(&file, kustomization.to_string()).map_err(|error| error.to_string())?;
    Ok(false)
}

fn objects(output: &str, path: &RepoPath, keep_origins: bool) -> Result<Vec<RenderedObject>, Error> {
    let mut rendered = Vec::new();
    for document in yaml::parse_stream(output) {
        let document = document.map_err(|error| Error::KustomizeFailed {
            path: path.to_string(),
            message: format!("its output cannot be read: {error}"),
        })?;
        for item in list::flatten(document.value) {
            let mut value = item.object;
            if let Some(reason) = flaw(&value) {
                return Err(Error::Object {
                    place: format!("output of kustomize build {path}"),
                    reason,
                });
            }
            let file = origin(&value).and_then(|relative| path.join(&relative));
            if !keep_origins {
                strip_origin(&mut value);
            }
            rendered.push(RenderedObject {
                value,
                file,
                line: None,
            });
        }
    }
    Ok(rendered)
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
