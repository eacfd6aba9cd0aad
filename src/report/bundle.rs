//! The bundle: a report with everything that it was made from, which somebody else can check on another machine.
//!
//! ```text
//! report: README.md, facts/, sql/, tables …   run.json
//! inputs: git/commits.bundle   ledger/
//! seal:   manifest.json (SHA-256 of each of these files) ──▶ statement.dsse.json (of manifest.json and run.json)
//! ```
//!
//! [`super::check`] checks it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::Oid;
use provost_evidence::facts::Facts;
use provost_evidence::note::SigningKey;
use provost_evidence::statement;
use provost_manifest::digest::Digest;
use serde_json::{Value, json};

use crate::git::bundle;
use crate::git::history::WholeRepository;
use crate::ledger::{FILE_EXTENSION, IDENTITIES_FILE, checkpoints, timestamps};

/// The digests of everything else.
pub const MANIFEST: &str = "manifest.json";
/// Who says so.
pub const STATEMENT: &str = "statement.dsse.json";
/// The commits.
pub const COMMITS: &str = "git/commits.bundle";
/// The ledger.
pub const LEDGER: &str = "ledger";
/// What the statement says.
pub const PREDICATE: &str = "https://provost.dev/evidence-bundle/v1";
/// What a second run over the same inputs may differ in, and what seals it.
pub(super) const NOT_IN_MANIFEST: [&str; 3] = ["run.json", MANIFEST, STATEMENT];
/// How deep folders of a ledger and a bundle lie in each other.
const MAX_DEPTH: usize = 8;
/// Files of a bundle.
const MAX_FILES: usize = 1_000_000;

/// How a bundle is made.
#[derive(Debug, Default)]
pub struct Options {
    /// Who signs it; nobody, where there is none.
    pub key: Option<SigningKey>,
    /// Whether the commits stay outside: whoever checks it then believes what is said of them.
    pub is_git_external: bool,
}

/// Why a bundle could not be made or listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The commits could not be written.
    #[error("could not write the commits into the bundle")]
    Git(#[from] bundle::Error),
    /// A file could not be read or written.
    #[error("could not read or write {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is not one of ours.
    #[error(
        "{path:?} holds more than {MAX_FILES} files, or folders deeper than {MAX_DEPTH}, or what is no file"
    )]
    Folder {
        /// Which.
        path: PathBuf,
    },
}

/// Copies a ledger into the folder of a bundle, before it is read: what is read is then what is kept. Only chains,
/// checkpoints and timestamps are copied: a key, or the names behind pseudonyms, that lie there too stay where they are.
pub(super) fn copy_ledger(ledger: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let target = folder.join(LEDGER);
    for name in files(ledger)?.iter().filter(|name| is_of_ledger(name)) {
        let (from, to) = (ledger.join(name), target.join(name));
        let copied = to.parent().map_or(Ok(()), fs::create_dir_all);
        copied
            .and_then(|()| fs::copy(&from, &to))
            .map_err(|source| Error::File { path: from, source })?;
    }
    fs::create_dir_all(&target).map_err(|source| Error::File {
        path: target.clone(),
        source,
    })?;
    Ok(target)
}

fn is_of_ledger(name: &str) -> bool {
    let path = Path::new(name);
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    match name.split_once('/') {
        None => name != IDENTITIES_FILE && is(FILE_EXTENSION),
        Some((checkpoints::FOLDER, _)) => is("txt"),
        Some((timestamps::FOLDER, _)) => is(FILE_EXTENSION),
        Some(_) => false,
    }
}

/// Adds the commits that the report is about: those that its revision reaches, and those that Applications were synced to.
pub(super) fn add_commits(repository: &WholeRepository, facts: &Facts, folder: &Path) -> Result<(), Error> {
    let revisions = facts.scope.iter().map(|scope| &scope.revision);
    let synced = facts.inventory.iter().map(|entry| &entry.revision);
    let deployed = facts
        .syncs
        .iter()
        .flat_map(|sync| std::iter::once(&sync.revision).chain(&sync.previous));
    let ids: BTreeSet<Oid> = synced
        .chain(deployed)
        .filter_map(|text| Oid::from_str(text).ok())
        .filter(|id| repository.has_commit(*id))
        .collect();
    let mut refs: Vec<(String, Oid)> = revisions
        .filter_map(|text| Some(("refs/provost/revision".to_owned(), Oid::from_str(text).ok()?)))
        .collect();
    refs.extend(
        ids.into_iter()
            .map(|id| (format!("refs/provost/synced/{id}"), id)),
    );
    let path = folder.join(COMMITS);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    Ok(repository.write_bundle(&refs, &path)?)
}

/// Writes the manifest and the statement. Everything else is there.
pub(super) fn seal(folder: &Path, facts: &Facts, key: Option<&SigningKey>) -> Result<(), Error> {
    let mut digests = BTreeMap::new();
    for name in files(folder)? {
        if !NOT_IN_MANIFEST.contains(&name.as_str()) {
            let digest = digest(&folder.join(&name))?;
            digests.insert(name, digest);
        }
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| Error::File { path, source })
    };
    write(MANIFEST, &format!("{:#}\n", json!({ "files": digests })))?;
    let subjects = [
        (MANIFEST, digest(&folder.join(MANIFEST))?),
        ("run.json", digest(&folder.join("run.json"))?),
    ];
    let statement = statement::statement(&subjects, PREDICATE, &predicate(facts));
    write(
        STATEMENT,
        &statement::seal(&statement, &key.into_iter().collect::<Vec<_>>()),
    )
}

fn predicate(facts: &Facts) -> Value {
    let scope = facts.scope.first().cloned().unwrap_or_default();
    json!({
        "generator": concat!("provost ", env!("CARGO_PKG_VERSION")),
        "revision": scope.revision,
        "from": scope.period_from,
        "to": scope.period_to,
        "cluster": scope.cluster,
    })
}

/// The SHA-256 of a file, in hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    Ok(Digest::of_bytes(&fs::read(path).map_err(failed)?).to_string())
}

/// The files in a folder and in those within it, by name, with `/` between; anything that is neither is an error.
pub(super) fn files(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, name, depth)) = waiting.pop() {
        let failed = |source| Error::File {
            path: path.clone(),
            source,
        };
        for entry in path.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let inner = format!("{name}{}", entry.file_name().to_string_lossy());
            if kind.is_dir() && depth < MAX_DEPTH {
                waiting.push((entry.path(), format!("{inner}/"), depth + 1));
            } else if kind.is_file() && found.len() < MAX_FILES {
                found.insert(inner);
            } else {
                return Err(Error::Folder { path: entry.path() });
            }
        }
    }
    Ok(found)
}
