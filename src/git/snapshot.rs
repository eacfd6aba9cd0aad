//! The files of one commit, read from Git's objects.

use std::fs;
use std::path::Path;

use git2::{ObjectType, Oid, Tree};

use super::handles::Handle;
use super::{Error, RepoPath, Submodules};

/// How many symbolic links may follow each other.
const MAX_LINKS: usize = 8;
/// How much one export may write.
const MAX_EXPORT_BYTES: u64 = 256 << 20;
/// How many files one export may write.
const MAX_EXPORT_FILES: usize = 20_000;
/// Git's mode of a symbolic link.
const LINK_MODE: i32 = 0o120_000;
/// Git's mode of a program.
const PROGRAM_MODE: i32 = 0o100_755;

/// The files of one commit.
pub struct Snapshot {
    repository: Handle,
    root: Oid,
    commit: String,
    url: String,
    submodules: Submodules,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is, links followed.
    pub path: RepoPath,
    /// Its tree or blob id, 40 hex digits.
    pub id: String,
    /// Folder or file.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A tree.
    Folder,
    /// A blob.
    File,
}

/// What an entry is, links not followed.
enum Raw {
    Folder,
    File { program: bool },
    Link,
    Submodule,
}

/// What an export may still write.
struct Budget {
    bytes: u64,
    files: usize,
}

// === impl Snapshot ===

impl Snapshot {
    pub(super) fn new(
        repository: Handle,
        commit: &str,
        url: String,
        submodules: Submodules,
    ) -> Result<Self, Error> {
        let root = Oid::from_str(commit)
            .and_then(|id| repository.find_commit(id))
            .map(|commit| commit.tree_id())
            .map_err(|source| Error::Read {
                what: format!("commit {commit}"),
                url: url.clone(),
                source,
            })?;
        Ok(Self {
            repository,
            root,
            commit: commit.to_owned(),
            url,
            submodules,
        })
    }

    /// The commit, 40 hex digits.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// What is at a path, symbolic links followed; `None` where nothing is.
    pub fn find(&self, path: &RepoPath) -> Result<Option<Entry>, Error> {
        self.find_within(path, MAX_LINKS)
    }

    /// The folder at a path.
    pub fn folder(&self, path: &RepoPath) -> Result<Entry, Error> {
        let entry = self.find(path)?.ok_or_else(|| Error::Missing {
            path: path.to_string(),
            url: self.url.clone(),
            commit: self.commit.chars().take(7).collect(),
        })?;
        match entry.kind {
            EntryKind::Folder => Ok(entry),
            EntryKind::File => Err(Error::Kind {
                path: path.to_string(),
                wanted: "folder",
            }),
        }
    }

    /// What a folder holds, in order of names, links followed. Links that lead nowhere are left out.
    pub fn list(&self, folder: &Entry) -> Result<Vec<Entry>, Error> {
        let tree = self.tree(folder.id.as_str(), &folder.path)?;
        let mut entries = Vec::new();
        for name in tree
            .iter()
            .filter_map(|entry| entry.name().ok().map(str::to_owned))
        {
            if let Some(path) = folder.path.join(&name)
                && let Some(entry) = self.find(&path)?
            {
                // Named by where it was found, so that messages name what the user sees.
                entries.push(Entry { path, ..entry });
            }
        }
        Ok(entries)
    }

    /// A file's bytes.
    pub fn read(&self, file: &Entry) -> Result<Vec<u8>, Error> {
        let cannot = |source| self.unreadable(&file.path, source);
        let id = Oid::from_str(&file.id).map_err(cannot)?;
        let blob = self.repository.find_blob(id).map_err(cannot)?;
        Ok(blob.content().to_vec())
    }

    /// A file's size in bytes, without reading it.
    pub fn size(&self, file: &Entry) -> Result<u64, Error> {
        let header = || {
            let odb = self.repository.odb()?;
            odb.read_header(Oid::from_str(&file.id)?)
        };
        let (size, _) = header().map_err(|source| self.unreadable(&file.path, source))?;
        Ok(size as u64)
    }

    /// Writes folders and files below `target`, each at its path. Symbolic links are written as files of what they lead
    /// to, so that none can be followed out; one that leaves the repository is refused.
    pub fn export(&self, entries: &[Entry], target: &Path) -> Result<(), Error> {
        let entries = entries.iter().map(|entry| (entry.path.as_str(), entry));
        self.export_at(entries, target)
    }

    /// The same, each at a place of the caller's, who vouches that none leaves `target`.
    pub fn export_at<'e>(
        &self,
        entries: impl IntoIterator<Item = (&'e str, &'e Entry)>,
        target: &Path,
    ) -> Result<(), Error> {
        let mut budget = Budget {
            bytes: MAX_EXPORT_BYTES,
            files: MAX_EXPORT_FILES,
        };
        for (place, entry) in entries {
            let place = target.join(place);
            match entry.kind {
                EntryKind::Folder => self.export_folder(entry, &place, &mut budget, MAX_LINKS)?,
                EntryKind::File => {
                    let parent = place.parent().unwrap_or(target);
                    fs::create_dir_all(parent).map_err(|source| Error::Export {
                        path: entry.path.to_string(),
                        source,
                    })?;
                    self.export_file(entry, &place, false, &mut budget)?;
                }
            }
        }
        Ok(())
    }

    fn export_folder(
        &self,
        folder: &Entry,
        target: &Path,
        budget: &mut Budget,
        links: usize,
    ) -> Result<(), Error> {
        let cannot = |source| Error::Export {
            path: folder.path.to_string(),
            source,
        };
        fs::create_dir_all(target).map_err(cannot)?;
        let tree = self.tree(&folder.id, &folder.path)?;
        for item in &tree {
            let Some((name, path)) = item
                .name()
                .ok()
                .and_then(|name| Some((name, folder.path.join(name)?)))
            else {
                continue;
            };
            // Git refuses to make such names; a hostile repository may hold them.
            if is_hostile(name) {
                return Err(Error::Path {
                    path: format!("{}/{name}", folder.path),
                    reason: "no file can have this name",
                });
            }
            let target = target.join(name);
            let mut found = Entry {
                path,
                id: item.id().to_string(),
                kind: EntryKind::File,
            };
            match Raw::of(item.kind(), item.filemode()) {
                Raw::Folder => self.export_folder(&found, &target, budget, links)?,
                Raw::File { program } => self.export_file(&found, &target, program, budget)?,
                Raw::Submodule => {
                    found.id = self.submodule(&found.path, item.id())?.to_string();
                    self.export_folder(&found, &target, budget, links)?;
                }
                Raw::Link => match self.find_within(&found.path, links)? {
                    Some(end) if end.kind == EntryKind::File => {
                        self.export_file(&end, &target, false, budget)?;
                    }
                    Some(end) if links > 0 => self.export_folder(&end, &target, budget, links - 1)?,
                    _ => {
                        return Err(Error::Link {
                            path: found.path.to_string(),
                            reason: "leads nowhere, or too far",
                        });
                    }
                },
            }
        }
        Ok(())
    }

    fn export_file(
        &self,
        file: &Entry,
        target: &Path,
        program: bool,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        let cannot = |source| Error::Export {
            path: file.path.to_string(),
            source,
        };
        let size = self.size(file)?;
        if size > budget.bytes || budget.files == 0 {
            return Err(Error::TooLarge {
                path: file.path.parent().to_string(),
                limit: "a render may read (256 MiB, 20,000 files)",
            });
        }
        budget.bytes -= size;
        budget.files -= 1;
        if target.exists() {
            return Ok(());
        }
        fs::write(target, self.read(file)?).map_err(cannot)?;
        if program {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(target, fs::Permissions::from_mode(0o755)).map_err(cannot)?;
        }
        Ok(())
    }

    fn find_within(&self, path: &RepoPath, links: usize) -> Result<Option<Entry>, Error> {
        let mut found = Entry {
            path: RepoPath::root(),
            id: self.root.to_string(),
            kind: EntryKind::Folder,
        };
        let parts: Vec<&str> = path.parts().collect();
        for (position, part) in parts.iter().enumerate() {
            if found.kind != EntryKind::Folder {
                return Ok(None);
            }
            let tree = self.tree(&found.id, &found.path)?;
            let (Some(item), Some(here)) = (tree.get_name(part), found.path.join(part)) else {
                return Ok(None);
            };
            let mut id = item.id();
            let kind = match Raw::of(item.kind(), item.filemode()) {
                Raw::Folder => EntryKind::Folder,
                Raw::File { .. } => EntryKind::File,
                Raw::Submodule => {
                    id = self.submodule(&here, id)?;
                    EntryKind::Folder
                }
                Raw::Link => {
                    let end = self.follow(&found.path, &here, item.id(), links)?;
                    let Some(rest) = end.join(&parts[position + 1..].join("/")) else {
                        return Ok(None);
                    };
                    return self.find_within(&rest, links - 1);
                }
            };
            found = Entry {
                path: here,
                id: id.to_string(),
                kind,
            };
        }
        Ok(Some(found))
    }

    /// The files of a submodule: the tree of the commit that is pinned, if it was brought.
    fn submodule(&self, path: &RepoPath, commit: Oid) -> Result<Oid, Error> {
        let refuse = |reason: &str| Error::Submodule {
            path: path.to_string(),
            reason: reason.to_owned(),
        };
        if self.submodules == Submodules::Refused {
            return Err(refuse("submodules are read only with --allow-submodules"));
        }
        let commit = self.repository.find_commit(commit);
        let commit = commit.map_err(|_| refuse("its commit is not there: does .gitmodules name it?"))?;
        Ok(commit.tree_id())
    }

    /// Where a symbolic link leads.
    fn follow(&self, folder: &RepoPath, link: &RepoPath, id: Oid, links: usize) -> Result<RepoPath, Error> {
        let refuse = |reason| Error::Link {
            path: link.to_string(),
            reason,
        };
        if links == 0 {
            return Err(refuse("leads to too many others"));
        }
        let blob = self
            .repository
            .find_blob(id)
            .map_err(|source| self.unreadable(link, source))?;
        let target = std::str::from_utf8(blob.content()).map_err(|_| refuse("is not UTF-8"))?;
        if target.starts_with('/') {
            return Err(refuse("leaves the repository"));
        }
        folder.join(target).ok_or_else(|| refuse("leaves the repository"))
    }

    fn tree(&self, id: &str, path: &RepoPath) -> Result<Tree<'_>, Error> {
        Oid::from_str(id)
            .and_then(|id| self.repository.find_tree(id))
            .map_err(|source| self.unreadable(path, source))
    }

    fn unreadable(&self, path: &RepoPath, source: git2::Error) -> Error {
        Error::Read {
            what: path.to_string(),
            url: self.url.clone(),
            source,
        }
    }
}

/// Whether a name would lead a file that is written under it somewhere else.
fn is_hostile(name: &str) -> bool {
    matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0'])
}

// === impl Raw ===

impl Raw {
    fn of(kind: Option<ObjectType>, mode: i32) -> Self {
        match kind {
            Some(ObjectType::Tree) => Self::Folder,
            Some(ObjectType::Blob) if mode == LINK_MODE => Self::Link,
            Some(ObjectType::Blob) => Self::File {
                program: mode == PROGRAM_MODE,
            },
            _ => Self::Submodule,
        }
    }
}
