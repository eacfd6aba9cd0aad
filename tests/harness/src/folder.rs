//! A temporary folder that is removed even when we are killed.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;
use tempfile::TempDir;

use crate::guard::Guarded;

/// Each line on standard input is the process id of a guard that may still write into the folder. At the end of input
/// waits for them, 15 seconds at most, and removes the folder.
const JANITOR: &str = r#"
guards=
while read -r pid; do guards="$guards $pid"; done
left=150
for pid in $guards; do
    while [ "$left" -gt 0 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; left=$((left - 1)); done
done
rm -rf "$1"
"#;

/// A temporary folder and its janitor, a small shell that removes it when the pipe to us closes.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    janitor: Child,
    control: Option<ChildStdin>,
}

// === impl Folder ===

impl Folder {
    /// Makes the folder.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("provost-").tempdir().context("making a temporary folder")?;
        let mut janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the janitor of a temporary folder")?;
        let control = janitor.stdin.take();
        Ok(Self { folder, janitor, control })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder until this process has ended.
    pub fn used_by(&mut self, process: &Guarded) -> anyhow::Result<()> {
        let control = self.control.as_mut().context("the janitor has gone")?;
        writeln!(control, "{}", process.guard_pid()).context("telling the janitor of a process")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.control = None;
        let _ = self.janitor.wait();
    }
}
