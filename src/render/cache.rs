//! Renders that were kept: a folder of files, each named by the digest of all that the render could read.
//!
//! The folder may be deleted at any time: what is missing is rendered anew. A file that is not whole counts as missing.
//! A render that holds a Secret is never written to the disk: it is kept in memory, and gone with the process.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use provost_manifest::digest::Digest;
use provost_manifest::mask;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RenderedObject;
use crate::git::RepoPath;

/// How much the folder may hold.
const MAX_BYTES: u64 = 256 << 20;
/// How many renders it may hold.
const MAX_ENTRIES: usize = 10_000;
/// How much of renders that hold a Secret may be kept in memory: such a render is small, and is made again otherwise.
const MAX_BYTES_IN_MEMORY: u64 = 8 << 20;
/// How the name of a kept render ends. Whatever is called otherwise was not whole, or is an older version's, which wrote
/// Secrets too.
const ENDING: &str = ".render";

/// The folder of kept renders.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    index: Mutex<Index>,
    in_memory: Mutex<InMemory>,
}

/// Renders that hold a Secret, the one that was of use least recently first.
#[derive(Default)]
struct InMemory {
    renders: Vec<(String, Arc<str>)>,
}

/// What is there, and when it was last of use.
#[derive(Debug, Default)]
struct Index {
    entries: HashMap<String, Kept>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    bytes: u64,
    used: u64,
}

/// An object as it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    value: Value,
    file: Option<String>,
    line: Option<usize>,
}

// === impl Cache ===

impl Cache {
    /// The cache in `folder`, which is made where absent.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(key) = name.strip_suffix(ENDING) else {
                // What is no file of ours is nobody's to fail for.
                let _ = fs::remove_file(entry.path());
                continue;
            };
            let metadata = entry.metadata()?;
            found.push((metadata.modified()?, key.to_owned(), metadata.len()));
        }
        found.sort();
        let mut index = Index::default();
        for (_, name, bytes) in found {
            index.add(name, bytes);
        }
        let cache = Self {
            folder: folder.to_owned(),
            index: Mutex::new(index),
            in_memory: Mutex::default(),
        };
        cache.shrink();
        Ok(cache)
    }

    /// The render of this key, where it was kept.
    pub(super) fn get(&self, key: &str) -> Option<Vec<RenderedObject>> {
        if let Some(body) = self.memory().get(key) {
            return objects(&body);
        }
        if !self.lock().touch(key) {
            return None;
        }
        let text = fs::read_to_string(self.file(key)).ok()?;
        let (digest, body) = text.split_once('\n')?;
        if Digest::of_bytes(body.as_bytes()).to_string() != digest {
            return None;
        }
        objects(body)
    }

    /// Keeps a render. One that cannot be kept is made again the next time, and that is all.
    pub(super) fn put(&self, key: &str, objects: &[RenderedObject]) {
        let stored: Vec<Stored> = objects.iter().map(Stored::from).collect();
        let Ok(body) = serde_json::to_string(&stored) else {
            return;
        };
        if objects.iter().any(|object| mask::is_secret(&object.value)) {
            self.memory().put(key, body.into());
            return;
        }
        match self.write(key, &body) {
            Ok(bytes) => {
                self.lock().add(key.to_owned(), bytes);
                self.shrink();
            }
            Err(error) => tracing::debug!(%error, "A render was not kept."),
        }
    }

    fn write(&self, key: &str, body: &str) -> std::io::Result<u64> {
        let text = format!("{}\n{body}", Digest::of_bytes(body.as_bytes()));
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.file(key))?;
        Ok(text.len() as u64)
    }

    /// Drops what was of use least recently until all is within bounds.
    fn shrink(&self) {
        let mut index = self.lock();
        while index.bytes > MAX_BYTES || index.entries.len() > MAX_ENTRIES {
            let oldest = index.entries.iter().min_by_key(|(_, kept)| kept.used);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            index.remove(&name);
            // What is gone already needs no deleting.
            let _ = fs::remove_file(self.file(&name));
        }
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}{ENDING}"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, InMemory> {
        self.in_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn objects(body: &str) -> Option<Vec<RenderedObject>> {
    let stored: Vec<Stored> = serde_json::from_str(body).ok()?;
    Some(stored.into_iter().map(RenderedObject::from).collect())
}

// === impl InMemory ===

impl InMemory {
    fn get(&mut self, key: &str) -> Option<Arc<str>> {
        let place = self.renders.iter().position(|(name, _)| name == key)?;
        let render = self.renders.remove(place);
        let body = Arc::clone(&render.1);
        self.renders.push(render);
        Some(body)
    }

    fn put(&mut self, key: &str, body: Arc<str>) {
        self.renders.retain(|(name, _)| name != key);
        self.renders.push((key.to_owned(), body));
        let bytes = |renders: &[(String, Arc<str>)]| -> u64 {
            renders.iter().map(|(_, body)| body.len() as u64).sum()
        };
        while bytes(&self.renders) > MAX_BYTES_IN_MEMORY {
            self.renders.remove(0);
        }
    }
}

impl std::fmt::Debug for InMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InMemory")
            .field("renders", &self.renders.len())
            .finish()
    }
}

// === impl Index ===

impl Index {
    fn add(&mut self, name: String, bytes: u64) {
        self.remove(&name);
        self.clock += 1;
        self.bytes += bytes;
        let used = self.clock;
        self.entries.insert(name, Kept { bytes, used });
    }

    fn remove(&mut self, name: &str) {
        if let Some(kept) = self.entries.remove(name) {
            self.bytes -= kept.bytes;
        }
    }

    /// Whether it is there; from now on it is the last that was of use.
    fn touch(&mut self, name: &str) -> bool {
        self.clock += 1;
        let clock = self.clock;
        match self.entries.get_mut(name) {
            Some(kept) => {
                kept.used = clock;
                true
            }
            None => false,
        }
    }
}

// === impl Stored ===

impl From<&RenderedObject> for Stored {
    fn from(object: &RenderedObject) -> Self {
        Self {
            value: object.value.clone(),
            file: object.file.as_ref().map(|file| file.as_str().to_owned()),
            line: object.line,
        }
    }
}

impl From<Stored> for RenderedObject {
    fn from(stored: Stored) -> Self {
        Self {
            value: stored.value,
            file: stored.file.and_then(|file| RepoPath::parse(&file).ok()),
            line: stored.line,
            repository: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str) -> RenderedObject {
        RenderedObject {
            value: json!({"metadata": {"name": name}}),
            file: RepoPath::parse("apps/a.yaml").ok(),
            line: Some(3),
            repository: None,
        }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_what_is_not_whole_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.put("key", &[object("a")]);
        cache.put("torn", &[object("b")]);
        assert_eq!(cache.get("none"), None);
        let torn = folder.path().join("torn.render");
        let text = fs::read_to_string(&torn).unwrap();
        fs::write(&torn, &text[..text.len() - 2]).unwrap();
        let again = Cache::open(folder.path()).unwrap();
        assert_eq!(again.get("key"), Some(vec![object("a")]));
        assert_eq!(again.get("torn"), None);
        let mode = fs::metadata(folder.path().join("key.render"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_render_with_a_secret_is_kept_and_never_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        // As an agent left it that was ended in the middle, or one that wrote Secrets.
        fs::write(folder.path().join("older"), "hunter2").unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let mut secret = object("a");
        secret.value = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "hunter2"}});
        let objects = [object("b"), secret];
        cache.put("key", &objects);
        assert_eq!(cache.get("key"), Some(objects.to_vec()));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        assert!(!format!("{cache:?}").contains("hunter2"));
        assert_eq!(Cache::open(folder.path()).unwrap().get("key"), None);
    }

    #[test]
    fn what_is_kept_in_memory_is_bounded() {
        let mut memory = InMemory::default();
        let body: Arc<str> = "x".repeat(4 << 20).into();
        for key in ["a", "b", "c"] {
            memory.put(key, Arc::clone(&body));
            let _ = memory.get("a");
        }
        let kept: Vec<_> = memory.renders.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(kept, ["c", "a"]);
    }

    #[test]
    fn what_was_of_use_least_recently_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.put("a", &[object("a")]);
        cache.put("b", &[object("b")]);
        assert!(cache.get("a").is_some());
        // As if what is kept were large.
        cache.lock().bytes += MAX_BYTES;
        cache.shrink();
        assert_eq!(cache.get("b"), None);
    }
}
