//! Policy tests on disk: finds suites below a folder and reads the files that they name.
//!
//! Only local files are read, regular ones, of bounded size; a suite may name files outside its own folder, as the
//! community's do.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;
use provost_policy::{
    Fault,
    suite::{File, FileName, Suite, Verdict},
};

use super::{Error, folder};

/// The file that holds a suite.
pub const FILE_NAME: &str = "kyverno-test.yaml";
/// How many suites are run.
pub const MAX_SUITES: usize = 10_000;
/// How deep folders are entered to find suites.
pub const MAX_DEPTH: usize = 32;
/// How many files one suite may name, those in folders included.
pub const MAX_FILES: usize = 2_000;

/// A suite and what came out of it.
#[derive(Debug)]
pub struct Outcome {
    /// Its folder, relative to where suites were looked for; `.` for that folder itself.
    pub suite: String,
    /// Its file.
    pub file: PathBuf,
    /// What came out.
    pub verdict: Verdict,
}

/// Finds all suites below `root` (hidden folders too, but for Git's own), sorted. Links are not followed.
pub fn find(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let read_error = |folder: &Path, source| Error::ReadSuites {
        folder: folder.to_owned(),
        source,
    };
    if fs::metadata(root)
        .map_err(|source| read_error(root, source))?
        .is_file()
    {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((at, depth)) = open.pop() {
        for entry in fs::read_dir(&at).map_err(|source| read_error(&at, source))? {
            let entry = entry.map_err(|source| read_error(&at, source))?;
            let kind = entry.file_type().map_err(|source| read_error(&at, source))?;
            if kind.is_dir() && entry.file_name() != ".git" && depth < MAX_DEPTH {
                open.push((entry.path(), depth + 1));
            } else if kind.is_file() && entry.file_name() == FILE_NAME {
                found.push(entry.path());
            }
        }
        if found.len() > MAX_SUITES {
            return Err(Error::TooManySuites {
                folder: root.to_owned(),
            });
        }
    }
    found.sort();
    Ok(found)
}

/// Runs the suite in `file`, which was found below `root`. `now` is what time functions of policies see.
pub fn run(root: &Path, file: &Path, now: Timestamp) -> Outcome {
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let relative = match folder.strip_prefix(root) {
        Ok(relative) if !relative.as_os_str().is_empty() => relative.display().to_string(),
        _ => ".".to_owned(),
    };
    Outcome {
        suite: relative,
        file: file.to_owned(),
        verdict: judge(folder, file, now).unwrap_or_else(Verdict::unjudged),
    }
}

fn judge(folder: &Path, file: &Path, now: Timestamp) -> Result<Verdict, Fault> {
    let name = shown(file);
    let text = read_regular(file)
        .map_err(|reason| Fault::mistake(format!("the suite cannot be read: {reason}"), &name))?;
    let suite = Suite::parse(&text, &name)?;
    let mut files = Vec::new();
    for named in suite.files() {
        let fault = |reason: String| Fault {
            place: named.place.clone(),
            ..Fault::mistake(format!("{} cannot be read: {reason}", named.path), "")
        };
        read_named(folder, named, &mut files).map_err(fault)?;
        if files.len() > MAX_FILES {
            return Err(fault(format!("the suite names more than {MAX_FILES} files")));
        }
    }
    Ok(suite.judge(&files, now))
}

/// Reads a file that a suite names, or all YAML files of a folder.
fn read_named(folder: &Path, named: &FileName, files: &mut Vec<File>) -> Result<(), String> {
    // `git@host:path` too, as ssh and scp have it.
    if named.path.contains("://") || named.path.starts_with("git@") {
        return Err("only local files are read; keep a copy beside the suite".to_owned());
    }
    let path = folder.join(&named.path);
    let paths = if path.is_dir() {
        folder::files(&path).map_err(|error| error.to_string())?
    } else {
        vec![path]
    };
    for path in paths {
        files.push(File {
            role: named.role,
            text: read_regular(&path)?,
            name: shown(&path),
        });
    }
    Ok(())
}

/// A path as people write it: `team/policy.yaml` for `./team/.kyverno-test/../policy.yaml`.
fn shown(path: &Path) -> String {
    let mut short = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(short.components().next_back(), Some(Component::Normal(_))) => {
                short.pop();
            }
            other => short.push(other),
        }
    }
    short.display().to_string()
}

/// The text of a regular file of bounded size: a device or a pipe could be read without end.
fn read_regular(path: &Path) -> Result<String, String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => folder::read_bounded(path).map_err(|error| error.to_string()),
        Ok(_) => Err("it is no regular file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
