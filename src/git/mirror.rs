//! One bare mirror per repository, in the state folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

use git2::build::{CloneLocal, RepoBuilder};
use git2::{Direction, FetchOptions, Oid, Repository};

use provost_manifest::digest::Digest;

use super::calls::{Calls, Failure};
use super::handles::{Handle, Handles};
use super::version_range::VersionRange;
use super::{Access, Error, RepositoryUrl, Snapshot, Submodules, https};

/// How long a repository may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a repository may be silent in the middle of an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one fetch may take in all.
pub(super) const FETCH_DEADLINE: Duration = Duration::from_mins(10);
/// How long to wait for another fetch into the same mirror.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
/// How often to look whether it is done.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How many branches and tags a repository may have.
const MAX_REFERENCES: usize = 200_000;
/// The shortest abbreviation of a commit id that is taken for one.
const SHORT_ID: usize = 7;
/// How large a folder of Git may be to be kept parsed, in bytes: that of a thousand Applications has some forty thousand.
const MAX_PARSED_TREE: usize = 1 << 20;
/// How much of Git's objects is kept parsed, in bytes, over all mirrors.
const MAX_PARSED: isize = 16 << 20;
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// The folder that holds the mirrors.
#[derive(Clone, Debug)]
pub struct Mirrors {
    pub(super) folder: PathBuf,
    pub(super) submodules: Submodules,
}

/// A bare mirror of one repository. Cheap to clone; clones share what they have open.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub(super) folder: PathBuf,
    url: RepositoryUrl,
    submodules: Submodules,
    handles: Handles,
}

/// What a fetch brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Branches, tags or HEAD moved.
    Changed,
    /// Everything was as before: one exchange, nothing written.
    Unchanged,
}

// === impl Mirrors ===

impl Mirrors {
    /// Mirrors below `folder`, which is made when the first mirror is.
    pub fn new(folder: impl Into<PathBuf>, submodules: Submodules) -> Self {
        set_up_the_process();
        Self {
            folder: folder.into(),
            submodules,
        }
    }

    /// The mirror of a repository, shared by all, or of those in `scope` alone, whose credentials brought what is in
    /// it. Nothing is fetched or written yet.
    pub fn mirror(&self, url: &RepositoryUrl, scope: Option<&str>) -> Mirror {
        // No URL holds a line's end.
        let key = match scope {
            Some(scope) => format!("{}\n{scope}", url.expose()),
            None => url.expose().to_owned(),
        };
        let name = Digest::of_bytes(key.as_bytes()).to_string();
        Mirror {
            folder: self.folder.join(format!("{}.git", &name[..32])),
            url: url.clone(),
            submodules: self.submodules,
            handles: Handles::default(),
        }
    }
}

// === impl Mirror ===

impl Mirror {
    /// A repository's own folder, which is never fetched.
    pub(super) fn of_folder(folder: &Path, url: &RepositoryUrl) -> Self {
        Self {
            folder: folder.to_owned(),
            url: url.clone(),
            submodules: Submodules::Refused,
            handles: Handles::default(),
        }
    }

    /// The repository that is mirrored.
    pub fn url(&self) -> &RepositoryUrl {
        &self.url
    }

    /// Whether the content of submodules is a part of its snapshots.
    pub(super) fn submodules(&self) -> Submodules {
        self.submodules
    }

    /// Brings branches, tags and HEAD to what the repository says now.
    pub fn fetch(&self, access: &Access) -> Result<Fetched, Error> {
        let _lock = self.lock()?;
        let repository = self.open_or_create()?;
        over(&self.url, access, || self.fetch_into(&repository, access))
    }

    fn fetch_into(&self, repository: &Repository, access: &Access) -> Result<Fetched, Failure> {
        let mut remote = repository.remote_anonymous(self.url.expose())?;
        let calls = Calls::new(access);
        let connecting = remote.connect_auth(Direction::Fetch, Some(calls.callbacks()), None);
        let mut connection = connecting.map_err(|source| calls.failure(source))?;
        let head = connection
            .default_branch()
            .ok()
            .and_then(|name| name.as_str().ok().map(str::to_owned));
        let theirs: BTreeMap<String, Oid> = connection
            .list()?
            .iter()
            .filter(|head| is_mirrored(head.name()) && !head.name().ends_with("^{}"))
            .map(|head| (head.name().to_owned(), head.oid()))
            .collect();
        if theirs.len() > MAX_REFERENCES {
            return Err(Failure::Said(format!(
                "it has {} branches and tags, more than {MAX_REFERENCES}",
                theirs.len()
            )));
        }
        let ours = references(repository)?;
        let head_moved = head.as_deref().is_some_and(|head| !head_is(repository, head));
        if theirs == ours && !head_moved {
            return Ok(Fetched::Unchanged);
        }
        let mut options = FetchOptions::new();
        options.remote_callbacks(calls.callbacks());
        // First all objects. References move only once everything is here, so that a fetch that fails changes none,
        // and a branch may take the place of the folder of branches that another was in.
        let downloading = connection.remote().download(&REFSPECS, Some(&mut options));
        downloading.map_err(|source| calls.failure(source))?;
        for gone in ours.keys().filter(|name| !theirs.contains_key(*name)) {
            repository.find_reference(gone)?.delete()?;
        }
        for (name, target) in theirs
            .iter()
            .filter(|(name, target)| ours.get(*name) != Some(target))
        {
            repository.reference(name, *target, true, "fetched")?;
        }
        if let Some(head) = head {
            repository.set_head(&head)?;
        }
        Ok(Fetched::Changed)
    }

    /// The commit that a branch, a tag, a commit id, `HEAD` (or nothing) or a range of versions names in the mirror as
    /// last fetched. What is named so comes before what would be a range.
    pub fn resolve(&self, revision: &str) -> Result<String, Error> {
        let repository = self.handle()?;
        find_commit(&repository, revision)
            .or_else(|| highest_version(&repository, revision))
            .map(|id| id.to_string())
            .ok_or_else(|| match VersionRange::parse(revision) {
                Some(_) => Error::NoVersion {
                    range: revision.to_owned(),
                    url: self.url.to_string(),
                },
                None => Error::Revision {
                    revision: revision.to_owned(),
                    url: self.url.to_string(),
                },
            })
    }

    /// The files of a commit.
    pub fn snapshot(&self, commit: &str) -> Result<Snapshot, Error> {
        Snapshot::new(self.handle()?, commit, self.url.to_string(), self.submodules)
    }

    fn handle(&self) -> Result<Handle, Error> {
        self.handles
            .take(&self.folder)
            .map_err(|source| self.cannot_open(source))
    }

    /// The bare repository itself: for readers of its history.
    pub fn open(&self) -> Result<Repository, Error> {
        Repository::open_bare(&self.folder).map_err(|source| self.cannot_open(source))
    }

    fn open_or_create(&self) -> Result<Repository, Error> {
        if self.folder.exists() {
            return self.open();
        }
        if self.url.is_local() {
            self.copy().map_err(|source| self.cannot_open(source))?;
            return self.open();
        }
        Repository::init_bare(&self.folder).map_err(|source| self.cannot_open(source))
    }

    /// Copies a repository on this machine file by file. A fetch from it would pack its whole history anew, which
    /// takes the better part of a minute for some thousand commits.
    fn copy(&self) -> Result<(), git2::Error> {
        let unfinished = self.folder.with_extension("new");
        // What a copy that was interrupted left.
        let _ = fs::remove_dir_all(&unfinished);
        RepoBuilder::new()
            .bare(true)
            .clone_local(CloneLocal::Local)
            .remote_create(|repository, name, url| repository.remote_with_fetch(name, url, REFSPECS[0]))
            .clone(self.url.expose(), &unfinished)?;
        fs::rename(&unfinished, &self.folder).map_err(|error| git2::Error::from_str(&error.to_string()))
    }

    fn cannot_open(&self, source: git2::Error) -> Error {
        Error::Open {
            url: self.url.to_string(),
            source,
        }
    }

    pub(super) fn lock(&self) -> Result<File, Error> {
        let path = self.folder.with_extension("lock");
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let unusable = |source| Error::Folder {
            folder: folder.display().to_string(),
            source,
        };
        // Repositories may hold what only their readers are to know.
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&folder).map_err(unusable)?;
        let file = File::create(&path).map_err(unusable)?;
        let give_up = Instant::now() + LOCK_DEADLINE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                // One of ours may be fetching a submodule into it.
                Err(fs::TryLockError::WouldBlock) if Instant::now() < give_up => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::Locked {
                        url: self.url.to_string(),
                    });
                }
                Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
    }
}

/// Does what needs the repository at `url`, and says in its name why that failed.
pub(super) fn over<T>(
    url: &RepositoryUrl,
    access: &Access,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Error> {
    let deadline = Instant::now() + FETCH_DEADLINE;
    let (done, said) = https::with_access(url, access, deadline, work);
    done.map_err(|failure| match (said, failure) {
        (Some(reason), _) | (None, Failure::Said(reason)) => Error::Unreachable {
            url: url.to_string(),
            reason,
        },
        (None, Failure::Git(source)) => Error::Fetch {
            url: url.to_string(),
            source,
        },
    })
}

fn is_mirrored(reference: &str) -> bool {
    reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/")
}

fn references(repository: &Repository) -> Result<BTreeMap<String, Oid>, git2::Error> {
    let mut found = BTreeMap::new();
    for reference in repository.references()? {
        let reference = reference?;
        if let (Ok(name), Some(target)) = (reference.name(), reference.target())
            && is_mirrored(name)
        {
            found.insert(name.to_owned(), target);
        }
    }
    Ok(found)
}

fn head_is(repository: &Repository, branch: &str) -> bool {
    repository
        .find_reference("HEAD")
        .is_ok_and(|head| head.symbolic_target().ok().flatten() == Some(branch))
}

fn find_commit(repository: &Repository, revision: &str) -> Option<Oid> {
    let named = |name: &str| {
        let reference = repository.find_reference(name).ok()?;
        Some(reference.peel_to_commit().ok()?.id())
    };
    let is_hex = revision.len() >= SHORT_ID && revision.chars().all(|c| c.is_ascii_hexdigit());
    let by_id = || {
        let object = is_hex
            .then(|| repository.revparse_single(revision).ok())
            .flatten()?;
        Some(object.peel_to_commit().ok()?.id())
    };
    match revision {
        "" | "HEAD" => named("HEAD"),
        full if full.starts_with("refs/") => named(full),
        name => named(&format!("refs/heads/{name}"))
            .or_else(|| named(&format!("refs/tags/{name}")))
            .or_else(by_id),
    }
}

/// The commit of the highest version among the tags that a range takes.
fn highest_version(repository: &Repository, revision: &str) -> Option<Oid> {
    let range = VersionRange::parse(revision)?;
    let names = repository.tag_names(None).ok()?;
    let tags = names.iter().filter_map(|name| name.ok().flatten());
    let tag = range.highest(tags)?;
    let reference = repository.find_reference(&format!("refs/tags/{tag}")).ok()?;
    Some(reference.peel_to_commit().ok()?.id())
}

/// libgit2 waits for ever unless told otherwise, and keeps no folder of more than 4 KiB parsed; only the whole process can
/// be told.
fn set_up_the_process() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        // None fails for a positive number, and a default is no reason to stop.
        #[expect(
            unsafe_code,
            reason = "libgit2 keeps these as plain globals; set once, before its first connection"
        )]
        unsafe {
            let _ = git2::opts::set_server_connect_timeout_in_milliseconds(millis(CONNECT_TIMEOUT));
            let _ = git2::opts::set_server_timeout_in_milliseconds(millis(SILENCE_TIMEOUT));
            let _ = git2::opts::set_cache_object_limit(git2::ObjectType::Tree, MAX_PARSED_TREE);
            let _ = git2::opts::set_cache_max_size(MAX_PARSED);
        }
    });
}
