//! Which files a path stands for: itself, or the YAML files below a folder.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::Unjudged;

/// How many files are checked at once; a folder with more is not the one that was meant.
pub const MAX_FILES: usize = 100_000;
/// How deep folders are entered.
pub const MAX_DEPTH: usize = 32;

/// The files at `path`, sorted, and beside them what cannot be looked into. Hidden entries are passed over. A link to a
/// folder is followed, but no folder is entered twice.
pub(super) fn files(path: &Path) -> Vec<Result<PathBuf, Unjudged>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Walk::of(path),
        // A pipe is read like a file where it is named itself: `<(kustomize build …)` is one.
        Ok(_) => vec![Ok(path.to_owned())],
        Err(error) => vec![Err(unreadable(path, &error))],
    }
}

/// Why a file cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Unjudged {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let message = match error.kind() {
        io::ErrorKind::NotFound if is_link => "a link to what is not there".to_owned(),
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "reading it is not permitted".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    Unjudged::of_file(&path.display().to_string(), message)
}

/// A walk through a folder.
#[derive(Default)]
struct Walk {
    found: Vec<(PathBuf, Option<Unjudged>)>,
    /// Folders that were entered, by their real paths.
    entered: BTreeSet<PathBuf>,
    open: Vec<(PathBuf, usize)>,
}

// === impl Walk ===

impl Walk {
    fn of(folder: &Path) -> Vec<Result<PathBuf, Unjudged>> {
        let mut walk = Self::default();
        walk.open.push((folder.to_owned(), 0));
        while let Some((at, depth)) = walk.open.pop() {
            if let Err(error) = walk.enter(&at, depth) {
                let problem = unreadable(&at, &error);
                walk.found.push((at, Some(problem)));
            }
            if walk.found.len() > MAX_FILES {
                let message =
                    format!("it holds more than {MAX_FILES} files: name the folder of the manifests");
                return vec![Err(Unjudged::of_file(&folder.display().to_string(), message))];
            }
        }
        walk.found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let found = walk.found.into_iter();
        found
            .map(|(path, problem)| problem.map_or(Ok(path), Err))
            .collect()
    }

    fn enter(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        if !self.entered.insert(fs::canonicalize(folder)?) {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'))
            {
                continue;
            }
            let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() && depth < MAX_DEPTH => {
                    self.open.push((path, depth + 1));
                }
                Ok(metadata) if metadata.is_dir() => {
                    let message = format!("folders are nested deeper than {MAX_DEPTH}");
                    let problem = Unjudged::of_file(&path.display().to_string(), message);
                    self.found.push((path, Some(problem)));
                }
                _ if !is_yaml => {}
                Ok(metadata) if metadata.is_file() => self.found.push((path, None)),
                Ok(_) => {
                    let problem = Unjudged::of_file(&path.display().to_string(), "it is no regular file");
                    self.found.push((path, Some(problem)));
                }
                Err(error) => {
                    let problem = unreadable(&path, &error);
                    self.found.push((path, Some(problem)));
                }
            }
        }
        Ok(())
    }
}
