//! Mirrors of repositories that nobody reads any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Mirror, Mirrors, Submodules};

/// What a mirror is called between its removal and its end.
const GONE: &str = "gone";

// === impl Mirrors ===

impl Mirrors {
    /// Sets mirrors aside that are not among the `used` and were not fetched since `since`: their folders, for
    /// [`delete`]. While this runs, nobody may begin to use one.
    ///
    /// Where submodules are mirrored, nothing is: whose they are is not known.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn set_aside(&self, used: &[Mirror], since: SystemTime) -> io::Result<Vec<PathBuf>> {
        let mut gone = Vec::new();
        if self.submodules == Submodules::Included || !self.folder.exists() {
            return Ok(gone);
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_used = used.iter().any(|mirror| mirror.folder == path);
            match path.extension().and_then(|extension| extension.to_str()) {
                // One that a killed agent had set aside.
                Some(GONE) => gone.push(path),
                Some("git") if !is_used && last_fetch(&path)? < since => {
                    let aside = path.with_extension(GONE);
                    // Where the place is taken, what lies there goes first.
                    if !aside.exists() {
                        fs::rename(&path, &aside)?;
                        gone.push(aside);
                    }
                }
                _ => {}
            }
        }
        Ok(gone)
    }
}

/// Blocks. Deletes mirrors that were set aside, each with its lock.
///
/// # Errors
/// One cannot be deleted; it is looked for again the next time.
pub fn delete(gone: &[PathBuf]) -> io::Result<()> {
    for folder in gone {
        fs::remove_dir_all(folder)?;
        match fs::remove_file(folder.with_extension("lock")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Each fetch opens the lock anew.
fn last_fetch(mirror: &Path) -> io::Result<SystemTime> {
    let lock = mirror.with_extension("lock");
    let file = if lock.exists() { lock.as_path() } else { mirror };
    fs::metadata(file)?.modified()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::git::{LocalRepositories, RepositoryUrl};

    #[test]
    fn only_what_nobody_uses_and_nobody_fetched_for_long_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(folder.path(), Submodules::Refused);
        let mirror = |name: &str| {
            let url = RepositoryUrl::parse(
                &format!("https://git.example.com/{name}"),
                LocalRepositories::Refused,
            );
            let mirror = mirrors.mirror(&url.unwrap(), None);
            fs::create_dir_all(mirror.folder.join("objects")).unwrap();
            fs::write(mirror.folder.with_extension("lock"), "").unwrap();
            mirror
        };
        let (used, unused) = (mirror("used"), mirror("unused"));
        let now = SystemTime::now();
        let (before, after) = (now - Duration::from_mins(1), now + Duration::from_mins(1));
        let held = [used.clone()];
        assert!(mirrors.set_aside(&held, before).unwrap().is_empty());
        let gone = mirrors.set_aside(&held, after).unwrap();
        assert_eq!(gone, [unused.folder.with_extension(GONE)]);
        assert_eq!(
            mirrors.set_aside(&held, after).unwrap(),
            gone,
            "it is found again"
        );
        delete(&gone).unwrap();
        assert!(used.folder.exists());
        assert!(!unused.folder.exists() && !unused.folder.with_extension("lock").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
