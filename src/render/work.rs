//! A render by a program, as data: all that the program will see. What is not in it cannot be read, so its digest says
//! whether anything that matters has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use provost_manifest::digest::Digest;
use serde_json::json;

use crate::git::{self, Entry, RepoPath, Snapshot};

/// Where the commit's files lie in the copy.
pub(super) const FILES: &str = "files";

/// Changes whenever the same work would come out otherwise.
const FORMAT: &str = "render/1";

/// What a program is to render.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// What of the commit is copied, by its place in the copy.
    pub(super) files: BTreeMap<String, Entry>,
    /// What is written into the copy beside or over it.
    pub(super) written: BTreeMap<String, Vec<u8>>,
    /// What the program is told.
    pub(super) arguments: Vec<String>,
    /// Its environment.
    pub(super) environment: Vec<(String, String)>,
}

// === impl Work ===

impl Work {
    /// Copies a file or folder of the commit to where it is in the commit.
    pub(super) fn copy(&mut self, entry: Entry) {
        self.files.insert(place_of(&entry.path), entry);
    }

    /// Digest of all that the program sees, and of the program.
    pub(super) fn key(&self, program: &str) -> String {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(place, entry)| (place, &entry.id))
            .collect();
        let written: Vec<_> = self
            .written
            .iter()
            .map(|(place, bytes)| (place, Digest::of_bytes(bytes).to_string()))
            .collect();
        let all = json!([FORMAT, program, files, written, self.arguments, self.environment]);
        Digest::of_bytes(all.to_string().as_bytes()).to_string()
    }

    /// Makes the copy.
    pub(super) fn lay_out(&self, snapshot: &Snapshot, folder: &Path) -> Result<(), git::Error> {
        // First what is written: an export leaves alone what is there.
        for (place, bytes) in &self.written {
            let path = folder.join(place);
            let cannot = |source| git::Error::Export {
                path: place.clone(),
                source,
            };
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(cannot)?;
            }
            fs::write(&path, bytes).map_err(cannot)?;
        }
        let files = self.files.iter().map(|(place, entry)| (place.as_str(), entry));
        snapshot.export_at(files, folder)
    }
}

/// The place in the copy of a path in the commit.
pub(super) fn place_of(path: &RepoPath) -> String {
    if path.is_root() {
        FILES.to_owned()
    } else {
        format!("{FILES}/{}", path.as_str())
    }
}
