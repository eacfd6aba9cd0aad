//! Git bundles (format v2): a history in one file, which `git clone FILE` and [`open`] read.
//!
//! ```text
//! # v2 git bundle
//! ID refs/provost/…
//!
//! PACK…
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

const SIGNATURE: &str = "# v2 git bundle\n";
/// Lines before the pack.
const MAX_HEADER_LINES: usize = 100_000;
/// Bytes of one such line.
const MAX_LINE_BYTES: u64 = 4_096;
/// Bytes of the pack that are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Why a bundle could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository could not be read, or the pack is none.
    #[error("could not read the commits")]
    Git(#[from] git2::Error),
    /// A file could not be read or written.
    #[error("could not read or write {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no bundle.
    #[error("{path:?} is no Git bundle of format v2 that stands for itself")]
    Form {
        /// Which.
        path: PathBuf,
    },
}

/// Writes everything that these commits reach, each under a ref of the given name.
pub fn write(repository: &Repository, refs: &[(String, Oid)], path: &Path) -> Result<(), Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    file.write_all(SIGNATURE.as_bytes()).map_err(failed)?;
    let mut walk = repository.revwalk()?;
    for (name, id) in refs {
        writeln!(file, "{id} {name}").map_err(failed)?;
        walk.push(*id)?;
    }
    file.write_all(b"\n").map_err(failed)?;
    let mut pack = repository.packbuilder()?;
    // With several, the bytes depend on who is first.
    pack.set_threads(1);
    pack.insert_walk(&mut walk)?;
    let mut outcome = Ok(());
    pack.foreach(|bytes| {
        outcome = file.write_all(bytes);
        outcome.is_ok()
    })?;
    outcome.and_then(|()| file.flush()).map_err(failed)
}

/// Unpacks a bundle into a new bare repository in `folder`, which is empty. Every object is named by what it holds, so
/// that a commit that is there is the one that was asked for.
pub fn open(path: &Path, folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let refs = header(&mut file, path)?;
    let repository = Repository::init_bare(folder)?;
    let odb = repository.odb()?;
    let mut pack = odb.packwriter()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            break;
        }
        pack.write_all(&chunk[..read]).map_err(failed)?;
    }
    pack.commit()?;
    drop(pack);
    for (id, name) in refs {
        let path = folder.join(&name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, format!("{id}\n")))
            .map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// The refs that it has; none may be wanted before.
fn header(file: &mut BufReader<File>, path: &Path) -> Result<Vec<(Oid, String)>, Error> {
    let form = || Error::Form {
        path: path.to_owned(),
    };
    let mut next = || -> Result<String, Error> {
        let mut line = Vec::new();
        let read = file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        read.map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        String::from_utf8(line).map_err(|_| form())
    };
    if next()? != SIGNATURE {
        return Err(form());
    }
    let mut refs = Vec::new();
    for _ in 0..MAX_HEADER_LINES {
        let line = next()?;
        if line == "\n" {
            return Ok(refs);
        }
        let (id, name) = line.trim_end().split_once(' ').ok_or_else(form)?;
        // Only names that we give: a ref's name is a place in a folder.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '/' || c == '-';
        if !name.starts_with("refs/provost/") || !name.chars().all(is_plain) {
            return Err(form());
        }
        refs.push((Oid::from_str(id).map_err(|_| form())?, name.to_owned()));
    }
    Err(form())
}
