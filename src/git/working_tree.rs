//! A folder on this machine, read like a repository: as its files are now, committed or not, or as a revision has them.
//!
//! Nothing is written to the repository that the folder is in: what is not committed becomes a commit of a repository
//! of its own, which borrows the other's objects and goes with this value.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use git2::{Index, IndexEntry, IndexTime, Oid, Repository, Signature, StatusOptions};
use tempfile::TempDir;

use super::{Error, LocalRepositories, Mirror, RepoPath, RepositoryUrl};

/// How much of what is not committed is read.
const MAX_BYTES: u64 = 256 << 20;
/// How many files of it.
const MAX_FILES: usize = 20_000;
const LIMIT: &str = "is read of what is not committed (256 MiB, 20,000 files)";
const FILE_MODE: u32 = 0o100_644;
const PROGRAM_MODE: u32 = 0o100_755;
const LINK_MODE: u32 = 0o120_000;

/// A folder at a commit.
#[derive(Debug)]
pub struct WorkingTree {
    /// The repository that has the commit.
    pub mirror: Mirror,
    /// The commit.
    pub commit: String,
    /// The folder in it.
    pub path: RepoPath,
    /// The repository's root on this machine, or the folder itself where there is no repository.
    pub root: PathBuf,
    /// Whether the commit is a revision's, and not only the files as they are now.
    pub is_committed: bool,
    _borrower: Option<TempDir>,
}

// === impl WorkingTree ===

impl WorkingTree {
    /// The folder with its files as they are now. What Git ignores is left out.
    pub fn now(folder: &Path) -> Result<Self, Error> {
        let folder = folder
            .canonicalize()
            .map_err(|source| unreadable(folder, source))?;
        let Ok(repository) = Repository::discover(&folder) else {
            return Self::without_repository(&folder);
        };
        let Some(root) = root_of(&repository) else {
            return Self::without_repository(&folder);
        };
        let path = path_in(&root, &folder)?;
        let start = || -> Result<_, git2::Error> {
            let (borrower, copy) = borrower(&repository)?;
            let mut index = Index::new()?;
            if let Ok(head) = repository.head().and_then(|head| head.peel_to_tree()) {
                index.read_tree(&head)?;
            }
            let mut options = StatusOptions::new();
            options
                .include_untracked(true)
                .recurse_untracked_dirs(true)
                .include_ignored(false)
                .exclude_submodules(true);
            let statuses = repository.statuses(Some(&mut options))?;
            let changed = statuses
                .iter()
                .map(|status| status.path_bytes().to_vec())
                .collect::<Vec<_>>();
            Ok((borrower, copy, index, changed))
        };
        let (borrower, copy, mut index, changed) = start().map_err(|source| cannot_read(&folder, source))?;
        let mut budget = Budget::default();
        for name in changed {
            let file = root.join(as_path(&name));
            match fs::symlink_metadata(&file) {
                Ok(metadata) if !metadata.is_dir() => add(&copy, &mut index, &file, &name, &mut budget)?,
                // It was deleted.
                _ => index
                    .remove(as_path(&name), 0)
                    .map_err(|source| cannot_read(&file, source))?,
            }
        }
        Self::commit(borrower, &copy, &mut index, &root, path)
    }

    /// The folder as a revision (whatever `git rev-parse` takes) of its repository has it; the folder need not be there
    /// now.
    pub fn at(folder: &Path, revision: &str) -> Result<Self, Error> {
        let folder = absolute(folder)?;
        let existing = folder
            .ancestors()
            .find(|folder| folder.is_dir())
            .unwrap_or(&folder);
        let repository = Repository::discover(existing).map_err(|source| cannot_read(&folder, source))?;
        let root = root_of(&repository).unwrap_or_else(|| existing.to_owned());
        let url = url_of(&root)?;
        let found = repository
            .revparse_single(revision)
            .and_then(|object| object.peel_to_commit());
        let commit = found.map_err(|_| Error::Revision {
            revision: revision.to_owned(),
            url: url.to_string(),
        })?;
        Ok(Self {
            mirror: Mirror::of_folder(repository.commondir(), &url),
            commit: commit.id().to_string(),
            path: path_in(&root, &folder)?,
            root,
            is_committed: true,
            _borrower: None,
        })
    }

    fn without_repository(folder: &Path) -> Result<Self, Error> {
        let make = || -> Result<_, git2::Error> {
            let borrower = temporary()?;
            let copy = Repository::init_bare(borrower.path())?;
            Ok((borrower, copy, Index::new()?))
        };
        let (borrower, copy, mut index) = make().map_err(|source| cannot_read(folder, source))?;
        let mut budget = Budget::default();
        let mut waiting = vec![folder.to_owned()];
        while let Some(next) = waiting.pop() {
            let entries = fs::read_dir(&next).map_err(|source| unreadable(&next, source))?;
            for entry in entries {
                let entry = entry.map_err(|source| unreadable(&next, source))?;
                let kind = entry.file_type().map_err(|source| unreadable(&next, source))?;
                let file = entry.path();
                if kind.is_dir() {
                    waiting.push(file);
                } else if let Ok(name) = file.strip_prefix(folder) {
                    let name = name.as_os_str().as_encoded_bytes();
                    add(&copy, &mut index, &file, name, &mut budget)?;
                }
            }
        }
        Self::commit(borrower, &copy, &mut index, folder, RepoPath::root())
    }

    fn commit(
        borrower: TempDir,
        copy: &Repository,
        index: &mut Index,
        root: &Path,
        path: RepoPath,
    ) -> Result<Self, Error> {
        let write = |index: &mut Index| -> Result<Oid, git2::Error> {
            let tree = copy.find_tree(index.write_tree_to(copy)?)?;
            // The same files are the same commit.
            let nobody = Signature::new("nobody", "nobody", &git2::Time::new(0, 0))?;
            copy.commit(None, &nobody, &nobody, "The files as they are now", &tree, &[])
        };
        let commit = write(index).map_err(|source| cannot_read(root, source))?;
        Ok(Self {
            mirror: Mirror::of_folder(copy.path(), &url_of(root)?),
            commit: commit.to_string(),
            path,
            root: root.to_owned(),
            is_committed: false,
            _borrower: Some(borrower),
        })
    }
}

#[derive(Default)]
struct Budget {
    bytes: u64,
    files: usize,
}

fn add(
    copy: &Repository,
    index: &mut Index,
    file: &Path,
    name: &[u8],
    budget: &mut Budget,
) -> Result<(), Error> {
    let cannot = |source| unreadable(file, source);
    let metadata = fs::symlink_metadata(file).map_err(cannot)?;
    if !(metadata.is_file() || metadata.is_symlink()) {
        // A socket or a pipe is nothing that Git keeps.
        return Ok(());
    }
    budget.files += 1;
    let left = MAX_BYTES - budget.bytes;
    let mut bytes = Vec::new();
    let mode = if metadata.is_symlink() {
        let target = fs::read_link(file).map_err(cannot)?;
        bytes = target.into_os_string().into_encoded_bytes();
        LINK_MODE
    } else {
        let opened = fs::File::open(file).map_err(cannot)?;
        opened.take(left + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if is_program(&metadata) {
            PROGRAM_MODE
        } else {
            FILE_MODE
        }
    };
    if bytes.len() as u64 > left || budget.files > MAX_FILES {
        return Err(Error::TooLarge {
            path: file.display().to_string(),
            limit: LIMIT,
        });
    }
    budget.bytes += bytes.len() as u64;
    let write = |index: &mut Index| -> Result<(), git2::Error> {
        let zero = IndexTime::new(0, 0);
        index.add(&IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id: copy.blob(&bytes)?,
            flags: 0,
            flags_extended: 0,
            path: name.to_vec(),
        })
    };
    write(index).map_err(|source| cannot_read(file, source))
}

fn is_program(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

/// An empty repository that can read another's objects.
fn borrower(repository: &Repository) -> Result<(TempDir, Repository), git2::Error> {
    let folder = temporary()?;
    let copy = Repository::init_bare(folder.path())?;
    let objects = repository.commondir().join("objects");
    let text = format!("{}\n", objects.display());
    fs::write(copy.path().join("objects/info/alternates"), text).map_err(|error| as_git(&error))?;
    // Opened anew, so that it reads the file.
    let copy = Repository::open_bare(folder.path())?;
    Ok((folder, copy))
}

fn temporary() -> Result<TempDir, git2::Error> {
    tempfile::tempdir().map_err(|error| as_git(&error))
}

fn as_git(error: &std::io::Error) -> git2::Error {
    git2::Error::from_str(&error.to_string())
}

fn root_of(repository: &Repository) -> Option<PathBuf> {
    repository.workdir()?.canonicalize().ok()
}

fn path_in(root: &Path, folder: &Path) -> Result<RepoPath, Error> {
    let inside = folder.strip_prefix(root).unwrap_or_else(|_| Path::new(""));
    RepoPath::parse(&inside.to_string_lossy())
}

/// The path with the links of what exists of it resolved.
fn absolute(folder: &Path) -> Result<PathBuf, Error> {
    let whole = std::path::absolute(folder).map_err(|source| unreadable(folder, source))?;
    let existing = whole.ancestors().find(|path| path.exists());
    let resolved = existing.and_then(|path| Some((path, path.canonicalize().ok()?)));
    Ok(match resolved {
        Some((path, resolved)) => match whole.strip_prefix(path) {
            Ok(rest) if rest.as_os_str().is_empty() => resolved,
            Ok(rest) => resolved.join(rest),
            Err(_) => resolved,
        },
        None => whole,
    })
}

fn url_of(root: &Path) -> Result<RepositoryUrl, Error> {
    let mut text = String::from("file://");
    for c in root.display().to_string().chars() {
        if c.is_whitespace() || c.is_control() || c == '%' {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                let _ = write!(text, "%{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    RepositoryUrl::parse(&text, LocalRepositories::Allowed)
}

fn as_path(name: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(name))
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Folder {
        folder: path.display().to_string(),
        source,
    }
}

fn cannot_read(path: &Path, source: git2::Error) -> Error {
    Error::Read {
        what: path.display().to_string(),
        url: "this machine".to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::git::{DANA, Repository as Fixture};

    fn text(tree: &WorkingTree, file: &str) -> Option<String> {
        let snapshot = tree.mirror.snapshot(&tree.commit).unwrap();
        let found = snapshot.find(&RepoPath::parse(file).unwrap()).unwrap()?;
        Some(String::from_utf8(snapshot.read(&found).unwrap()).unwrap())
    }

    #[test]
    fn the_files_as_they_are_now_are_read_and_the_repository_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut repository = Fixture::init(folder.path()).unwrap();
        repository.write(".gitignore", "secret\n").unwrap();
        repository.write("app/kept", "1").unwrap();
        repository.write("app/gone", "1").unwrap();
        repository.write("app/changed", "1").unwrap();
        let first = repository.commit(DANA, "Add").unwrap();
        repository.write("app/changed", "2").unwrap();
        repository.write("app/new/file", "3").unwrap();
        repository.write("app/secret", "hunter2").unwrap();
        std::fs::remove_file(folder.path().join("app/gone")).unwrap();
        std::os::unix::fs::symlink("kept", folder.path().join("app/link")).unwrap();
        let before = repository.git(&["status", "--porcelain"]).unwrap();

        let now = WorkingTree::now(&folder.path().join("app")).unwrap();
        assert_eq!((now.path.as_str(), now.is_committed), ("app", false));
        let texts = ["kept", "changed", "new/file", "link", "gone", "secret"]
            .map(|file| text(&now, &format!("app/{file}")));
        let expected = [Some("1"), Some("2"), Some("3"), Some("1"), None, None];
        assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
        assert_eq!(WorkingTree::now(folder.path()).unwrap().commit, now.commit);

        let then = WorkingTree::at(&folder.path().join("app"), "HEAD").unwrap();
        assert_eq!((then.commit.as_str(), then.is_committed), (first.as_str(), true));
        assert_eq!(text(&then, "app/changed").as_deref(), Some("1"));
        let error = WorkingTree::at(folder.path(), "none").unwrap_err().to_string();
        assert!(error.starts_with("revision \"none\" is not a branch"), "{error}");
        assert_eq!(repository.git(&["status", "--porcelain"]).unwrap(), before);
    }

    #[test]
    fn a_folder_without_a_repository_is_one_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("with blank/below")).unwrap();
        std::fs::write(folder.path().join("with blank/below/file"), "1").unwrap();
        let now = WorkingTree::now(&folder.path().join("with blank")).unwrap();
        assert!(now.path.is_root());
        assert_eq!(text(&now, "below/file").as_deref(), Some("1"));
    }
}
