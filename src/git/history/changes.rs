//! What differs between two trees, and how files walk down the history to the commits that last changed them.

use std::collections::HashMap;
use std::path::Path;

use git2::{Commit, ObjectType, Oid, Repository, Tree, TreeEntry};

use super::{LastChange, PathId, Wanted, text};

/// A file that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathId,
    /// In what way.
    pub kind: ChangeKind,
}

/// How a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// Its content or mode is another.
    Changed,
    /// It is no longer there.
    Deleted,
}

/// Names of files, each kept once.
#[derive(Debug, Default)]
pub(super) struct Paths {
    ids: HashMap<Vec<u8>, PathId>,
    bytes: Vec<Vec<u8>>,
    texts: Vec<String>,
}

/// The files that are on their way down, by the commit that they have reached.
pub(super) struct Walkers {
    tips: Vec<Oid>,
    /// For each commit the files that are there, each with the tips that it came from.
    waiting: HashMap<Oid, HashMap<PathId, Vec<usize>>>,
    found: Vec<LastChange>,
}

/// The files that differ from the first parent; all of them, in a commit without parents.
pub(super) fn against_first_parent(
    repository: &Repository,
    commit: &Commit<'_>,
    paths: &mut Paths,
) -> Result<Vec<Change>, git2::Error> {
    let parent = match commit.parent_count() {
        0 => None,
        _ => Some(commit.parent(0)?.tree_id()),
    };
    let mut changes = Vec::new();
    visit(
        repository,
        parent,
        Some(commit.tree_id()),
        &mut |path, kind, _| {
            changes.push(Change {
                path: paths.id(path),
                kind,
            });
        },
    )?;
    Ok(changes)
}

/// Calls `found` for every file that differs between two trees, with the content that it has in the new one, or had in
/// the old.
pub(super) fn visit(
    repository: &Repository,
    old: Option<Oid>,
    new: Option<Oid>,
    found: &mut dyn FnMut(&[u8], ChangeKind, Oid),
) -> Result<(), git2::Error> {
    visit_below(repository, old, new, &mut Vec::new(), found)
}

fn visit_below(
    repository: &Repository,
    old: Option<Oid>,
    new: Option<Oid>,
    prefix: &mut Vec<u8>,
    found: &mut dyn FnMut(&[u8], ChangeKind, Oid),
) -> Result<(), git2::Error> {
    if old == new {
        return Ok(());
    }
    let old = old.map(|id| repository.find_tree(id)).transpose()?;
    let new = new.map(|id| repository.find_tree(id)).transpose()?;
    let length = prefix.len();
    for entry in new.iter().flat_map(Tree::iter) {
        let before = old
            .as_ref()
            .and_then(|old| old.get_name_bytes(entry.name_bytes()));
        prefix.extend_from_slice(entry.name_bytes());
        compare(repository, before.as_ref(), Some(&entry), prefix, found)?;
        prefix.truncate(length);
    }
    for entry in old.iter().flat_map(Tree::iter) {
        if new
            .as_ref()
            .is_none_or(|new| new.get_name_bytes(entry.name_bytes()).is_none())
        {
            prefix.extend_from_slice(entry.name_bytes());
            compare(repository, Some(&entry), None, prefix, found)?;
            prefix.truncate(length);
        }
    }
    Ok(())
}

/// Compares what stands under one name; a folder on one side alone is its files on that side.
fn compare(
    repository: &Repository,
    old: Option<&TreeEntry<'_>>,
    new: Option<&TreeEntry<'_>>,
    path: &mut Vec<u8>,
    found: &mut dyn FnMut(&[u8], ChangeKind, Oid),
) -> Result<(), git2::Error> {
    let folder = |entry: Option<&TreeEntry<'_>>| {
        entry
            .filter(|entry| entry.kind() == Some(ObjectType::Tree))
            .map(TreeEntry::id)
    };
    let file = |entry: Option<&TreeEntry<'_>>| {
        entry
            .filter(|entry| entry.kind() != Some(ObjectType::Tree))
            .map(|entry| (entry.id(), entry.filemode()))
    };
    match (file(old), file(new)) {
        (None, Some((id, _))) => found(path, ChangeKind::Added, id),
        (Some((id, _)), None) => found(path, ChangeKind::Deleted, id),
        (Some(old), Some(new)) if old != new => found(path, ChangeKind::Changed, new.0),
        _ => {}
    }
    let length = path.len();
    path.push(b'/');
    let outcome = visit_below(repository, folder(old), folder(new), path, found);
    path.truncate(length);
    outcome
}

// === impl Walkers ===

impl Walkers {
    pub(super) fn start(
        repository: &Repository,
        wanted: &Wanted,
        paths: &mut Paths,
    ) -> Result<Self, git2::Error> {
        let mut waiting: HashMap<Oid, HashMap<PathId, Vec<usize>>> = HashMap::new();
        for (tip, (revision, files)) in wanted.iter().enumerate() {
            let here = waiting.entry(*revision).or_default();
            let tree = repository.find_commit(*revision)?.tree_id();
            visit(repository, None, Some(tree), &mut |path, _, _| {
                if files
                    .as_ref()
                    .is_none_or(|files| files.contains(&text::path(path)))
                {
                    here.entry(paths.id(path)).or_default().push(tip);
                }
            })?;
        }
        Ok(Self {
            tips: wanted.keys().copied().collect(),
            waiting,
            found: Vec::new(),
        })
    }

    /// Sends the files that have reached a commit on to its parents, or finds that it changed them. A commit must not
    /// come before its children.
    pub(super) fn pass(
        &mut self,
        commit: &Commit<'_>,
        changes: &[Change],
        paths: &Paths,
    ) -> Result<(), git2::Error> {
        let Some(mut same) = self.waiting.remove(&commit.id()) else {
            return Ok(());
        };
        let mut differing: HashMap<PathId, Vec<usize>> = changes
            .iter()
            .filter_map(|change| same.remove_entry(&change.path))
            .collect();
        let mut parents = commit.parents();
        if let Some(first) = parents.next() {
            self.send(first.id(), same);
        }
        let tree = commit.tree()?;
        for parent in parents {
            if differing.is_empty() {
                break;
            }
            let parent_tree = parent.tree()?;
            let (same, rest) = differing.into_iter().partition(|(path, _)| {
                let path = paths.bytes(*path);
                entry(&tree, path) == entry(&parent_tree, path)
            });
            self.send(parent.id(), same);
            differing = rest;
        }
        for (path, tips) in differing {
            let found = tips.into_iter().map(|tip| LastChange {
                revision: self.tips[tip],
                path,
                commit: commit.id(),
            });
            self.found.extend(found);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<LastChange> {
        self.found
    }

    /// The larger set takes in the smaller.
    fn send(&mut self, parent: Oid, mut files: HashMap<PathId, Vec<usize>>) {
        let there = self.waiting.entry(parent).or_default();
        if there.len() < files.len() {
            std::mem::swap(there, &mut files);
        }
        for (path, tips) in files {
            there.entry(path).or_default().extend(tips);
        }
    }
}

/// What a tree has at a path.
fn entry(tree: &Tree<'_>, path: &[u8]) -> Option<(Oid, i32)> {
    let path = bytes_to_path(path);
    tree.get_path(path)
        .ok()
        .map(|entry| (entry.id(), entry.filemode()))
}

#[cfg(unix)]
fn bytes_to_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

// === impl Paths ===

impl Paths {
    fn id(&mut self, path: &[u8]) -> PathId {
        if let Some(id) = self.ids.get(path) {
            return *id;
        }
        // A repository of four thousand million names would not have fitted in memory before.
        let id = PathId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.ids.insert(path.to_owned(), id);
        self.bytes.push(path.to_owned());
        self.texts.push(text::path(path));
        id
    }

    fn bytes(&self, path: PathId) -> &[u8] {
        &self.bytes[path.0 as usize]
    }

    pub(super) fn text(&self, path: PathId) -> &str {
        &self.texts[path.0 as usize]
    }
}
