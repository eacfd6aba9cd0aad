//! What a build of a kustomization reads: found by following every field that can name a file or a folder.
//!
//! The build gets a copy of exactly that. A field that is not known here can therefore only fail, with kustomize's own
//! words, and never read something that the digest of the render does not cover.

use std::collections::BTreeMap;

use provost_manifest::yaml;
use serde_json::Value;

use super::FILE_NAMES;
use crate::git::{Entry, EntryKind, RepoPath, Snapshot};
use crate::render::Error;

/// How many kustomizations one render may reach.
const MAX_KUSTOMIZATIONS: usize = 1_000;
/// Fields whose entries are files or folders with kustomizations of their own.
const RESOURCES: [&str; 3] = ["resources", "bases", "components"];
/// Fields whose entries are configurations, whose fields may name further files: as files, folders, or in place.
const CONFIGURED: [&str; 3] = ["generators", "transformers", "validators"];
/// Fields whose entries are files, or are written out in place.
const FILES: [&str; 3] = ["crds", "configurations", "patchesStrategicMerge"];
/// Fields whose entries may have a file in `path`.
const PATHS: [&str; 3] = ["patches", "patchesJson6902", "replacements"];
/// Generators of objects from files.
const GENERATORS: [&str; 2] = ["configMapGenerator", "secretGenerator"];
/// Fields by which kustomize would start Helm and download charts.
const HELM: [&str; 3] = ["helmCharts", "helmChartInflationGenerator", "helmGlobals"];

/// What a build reads: files, and folders of which anything may be read, by their place.
pub(super) type Reads = BTreeMap<RepoPath, Entry>;

/// The walk over the kustomizations.
struct Walk<'s> {
    snapshot: &'s Snapshot,
    reads: Reads,
    visited: BTreeMap<RepoPath, Entry>,
    waiting: Vec<Entry>,
}

/// One kustomization that is being read.
struct Place<'k> {
    folder: &'k Entry,
    file: &'k RepoPath,
}

/// Everything that a build of `folder` reads, where `kustomization` stands in `file`.
pub(super) fn walk(
    snapshot: &Snapshot,
    folder: &Entry,
    file: &Entry,
    kustomization: &Value,
) -> Result<Reads, Error> {
    let mut walk = Walk {
        snapshot,
        reads: Reads::new(),
        visited: BTreeMap::from([(folder.path.clone(), folder.clone())]),
        waiting: Vec::new(),
    };
    // A second file of another name is a mistake that kustomize is to report.
    walk.kustomization_files(folder)?;
    walk.visit(
        &Place {
            folder,
            file: &file.path,
        },
        kustomization,
    )?;
    while let Some(folder) = walk.waiting.pop() {
        for file in walk.kustomization_files(&folder)? {
            let kustomization = read(snapshot, &file)?;
            let place = Place {
                folder: &folder,
                file: &file.path,
            };
            walk.visit(&place, &kustomization)?;
        }
    }
    Ok(walk.reads)
}

/// A kustomization, as written.
pub(super) fn read(snapshot: &Snapshot, file: &Entry) -> Result<Value, Error> {
    let text = snapshot.read(file)?;
    let parsed = yaml::parse_one(&String::from_utf8_lossy(&text));
    parsed
        .map(|document| document.value)
        .map_err(|error| Error::Parse {
            file: file.path.to_string(),
            line: error.line,
            column: error.column,
            message: error.message,
        })
}

// === impl Walk ===

impl Walk<'_> {
    fn kustomization_files(&mut self, folder: &Entry) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        for name in FILE_NAMES {
            if let Some(path) = folder.path.join(name)
                && let Some(file) = self.snapshot.find(&path)?
                && file.kind == EntryKind::File
            {
                let file = Entry { path, ..file };
                self.reads.insert(file.path.clone(), file.clone());
                found.push(file);
            }
        }
        Ok(found)
    }

    fn visit(&mut self, place: &Place<'_>, kustomization: &Value) -> Result<(), Error> {
        if let Some(field) = HELM.iter().find(|field| kustomization.get(**field).is_some()) {
            return Err(Error::refused(
                place.file,
                format!(
                    "{field} is not supported: kustomize would start Helm; make the chart a source of its own"
                ),
            ));
        }
        for field in RESOURCES {
            for reference in texts(kustomization, field) {
                self.resource(place, reference)?;
            }
        }
        for field in CONFIGURED {
            // Written out in place, it may name files that only its plugin knows.
            let mut anything = false;
            for reference in texts(kustomization, field) {
                anything |= is_inline(reference) || self.configured(place, reference)?;
            }
            if anything {
                self.reads.insert(place.folder.path.clone(), place.folder.clone());
            }
        }
        for reference in files(kustomization) {
            self.file(place, reference)?;
        }
        for field in GENERATORS {
            for generator in entries(kustomization, field) {
                self.generator(place, generator)?;
            }
        }
        Ok(())
    }

    /// A resource, base or component: a file below the folder, or a folder anywhere in the repository.
    fn resource(&mut self, place: &Place<'_>, reference: &str) -> Result<(), Error> {
        let refuse = |reason: &str| Error::refused(place.file, format!("{reference:?} {reason}"));
        let path = place
            .folder
            .path
            .join(reference)
            .filter(|_| !reference.starts_with('/'))
            .ok_or_else(|| refuse("leaves the repository"))?;
        let found = self.snapshot.find(&path)?.ok_or_else(|| {
            refuse("is not in the repository (remote bases are not supported: keep a copy in Git)")
        })?;
        let found = Entry { path, ..found };
        match found.kind {
            EntryKind::Folder => self.folder(place, found, reference),
            EntryKind::File => self.keep(place, found, reference),
        }
    }

    /// A file of configurations, whether there was one; a folder of them is visited.
    fn configured(&mut self, place: &Place<'_>, reference: &str) -> Result<bool, Error> {
        let path = place.folder.path.join(reference);
        let is_folder = match &path {
            Some(path) => self
                .snapshot
                .find(path)?
                .is_some_and(|entry| entry.kind == EntryKind::Folder),
            None => false,
        };
        self.resource(place, reference)?;
        Ok(!is_folder)
    }

    fn folder(&mut self, place: &Place<'_>, folder: Entry, reference: &str) -> Result<(), Error> {
        if self.visited.contains_key(&folder.path) {
            return Ok(());
        }
        if self.visited.len() == MAX_KUSTOMIZATIONS {
            return Err(Error::refused(
                place.file,
                format!("{reference:?} is one kustomization too many (1,000 are the most)"),
            ));
        }
        self.visited.insert(folder.path.clone(), folder.clone());
        self.waiting.push(folder);
        Ok(())
    }

    /// A file that may be named; what is not there kustomize misses in its own words.
    fn file(&mut self, place: &Place<'_>, reference: &str) -> Result<(), Error> {
        let Some(path) = place.folder.path.join(reference) else {
            return Err(Error::refused(
                place.file,
                format!("{reference:?} leaves the repository"),
            ));
        };
        match self.snapshot.find(&path)? {
            Some(found) => self.keep(place, Entry { path, ..found }, reference),
            None => Ok(()),
        }
    }

    fn keep(&mut self, place: &Place<'_>, entry: Entry, reference: &str) -> Result<(), Error> {
        let folder = &place.folder.path;
        let is_below = folder.is_root() || entry.path.as_str().starts_with(&format!("{}/", folder.as_str()));
        if !is_below {
            return Err(Error::refused(
                place.file,
                format!(
                    "{reference:?} lies outside of {folder}: kustomize reads files only from below a kustomization"
                ),
            ));
        }
        self.reads.insert(entry.path.clone(), entry);
        Ok(())
    }

    fn generator(&mut self, place: &Place<'_>, generator: &Value) -> Result<(), Error> {
        for file in texts(generator, "files") {
            // `key=path` or `path`.
            self.file(place, file.split_once('=').map_or(file, |(_, path)| path))?;
        }
        let single = generator.get("env").and_then(Value::as_str);
        for file in texts(generator, "envs").into_iter().chain(single) {
            self.file(place, file)?;
        }
        Ok(())
    }
}

/// The files that a kustomization names in fields that name nothing else.
fn files(kustomization: &Value) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for field in FILES {
        found.extend(
            texts(kustomization, field)
                .into_iter()
                .filter(|text| !is_inline(text)),
        );
    }
    for field in PATHS {
        let paths = entries(kustomization, field)
            .iter()
            .filter_map(|entry| entry.get("path"));
        found.extend(paths.filter_map(Value::as_str));
    }
    found.extend(
        kustomization
            .get("openapi")
            .and_then(|openapi| openapi.get("path"))
            .and_then(Value::as_str),
    );
    found
}

fn entries<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn texts<'v>(value: &'v Value, field: &str) -> Vec<&'v str> {
    entries(value, field).iter().filter_map(Value::as_str).collect()
}

/// Whether an entry is written out in place and is no name of a file.
fn is_inline(entry: &str) -> bool {
    entry.contains('\n') || entry.trim_start().starts_with('{')
}
