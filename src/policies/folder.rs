//! Policies and exceptions from files: every `*.yaml` and `*.yml` below a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use provost_policy::{Fault, Policy};

use super::{Contents, Error};

/// How many files are read.
pub const MAX_FILES: usize = 5_000;
/// How deep folders are entered; a link that leads back up ends here.
pub const MAX_DEPTH: usize = 8;
/// How large a file may be. The largest policy library's largest file has 40 KiB.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Reads all policies at `path`, a folder or one file. What is wrong with one file or document concerns it alone.
pub fn read(path: &Path) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    for file in files(path)? {
        let name = file.display().to_string();
        match read_bounded(&file) {
            Ok(text) => contents.extend(Policy::parse(&text, &name).into()),
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                contents.faults.push(Fault::mistake(message, name));
            }
        }
    }
    Ok(contents)
}

/// The YAML files at `path`, sorted; `path` itself where it is a file. Hidden entries are passed over: a mounted
/// ConfigMap keeps its earlier versions in such folders.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = || path.to_owned();
    let read_error = |source| Error::ReadFolder {
        folder: folder(),
        source,
    };
    if fs::metadata(path).map_err(read_error)?.is_file() {
        return Ok(vec![folder()]);
    }
    let mut found = Vec::new();
    let mut open = vec![(folder(), 0)];
    while let Some((at, depth)) = open.pop() {
        for entry in fs::read_dir(&at).map_err(read_error)? {
            let entry = entry.map_err(read_error)?.path();
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            if entry.is_dir() {
                if depth < MAX_DEPTH {
                    open.push((entry, depth + 1));
                }
            } else if entry.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                found.push(entry);
            }
            if found.len() > MAX_FILES {
                return Err(Error::TooManyFiles { folder: folder() });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file of bounded size.
pub fn read_bounded(file: &Path) -> io::Result<String> {
    let size = fs::metadata(file)?.len();
    if size > MAX_FILE_BYTES {
        let message = format!("it has {size} bytes, more than the {MAX_FILE_BYTES} that are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    fs::read_to_string(file)
}
