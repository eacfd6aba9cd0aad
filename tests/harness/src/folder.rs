//! A temporary folder that is removed even when we are killed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;
use tempfile::TempDir;

/// Removes the folder at the end of its input: when we and every guard that was given a hold have ended.
const JANITOR: &str = r#"cat >/dev/null; rm -rf "$1""#;

/// A temporary folder and its janitor, a small shell that removes it when nobody holds the pipe to it any more.
#[derive(Debug)]
pub struct Folder {
    temporary: TempDir,
    janitor: Child,
    hold: Option<ChildStdin>,
}

// === impl Folder ===

impl Folder {
    /// Makes the folder.
    pub fn new() -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix("provost-")
            .tempdir()
            .context("making a temporary folder")?;
        let mut janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(temporary.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the janitor of a temporary folder")?;
        let hold = janitor.stdin.take();
        Ok(Self {
            temporary,
            janitor,
            hold,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// A file descriptor for a child process; the folder stays until it is closed.
    pub(crate) fn hold(&self) -> anyhow::Result<Stdio> {
        let hold = self.hold.as_ref().context("the janitor has gone")?;
        let shared = std::os::fd::AsFd::as_fd(hold)
            .try_clone_to_owned()
            .context("sharing the janitor's pipe")?;
        Ok(shared.into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.hold = None;
        let _ = self.janitor.wait();
    }
}

/// Copies the files of a folder, not its folders, into another, which is made where it is missing.
pub fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy).with_context(|| format!("making {}", copy.display()))?;
        }
    }
    Ok(())
}
