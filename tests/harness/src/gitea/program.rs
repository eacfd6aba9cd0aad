//! The Gitea server's program and the files that it reads, built once from deploy/local/gitea into the user's cache
//! folder. The folder's name is another than the control plane's, so that neither is built again for the other's pins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::binaries::{check_go, go, local_folder, run_with_progress};
use crate::identity::hex;
use crate::progress::Progress;
use crate::settings;

/// Folder of the Go module below deploy/local.
const MODULE: &str = "gitea";
const PACKAGE: &str = "code.gitea.io/gitea";
/// SQLite, which is C, is part of it.
const TAGS: &str = "sqlite,sqlite_unlock_notify";
/// Cold, on two cores; as a help to those who wait.
const COLD: &str = "10 min";
/// What the server reads beside its program. Its web pages' assets are not in the module; the API needs none.
const READ: [&str; 2] = ["options", "templates"];

/// Where the program and its files are.
#[derive(Clone, Debug)]
pub struct Program {
    folder: PathBuf,
}

// === impl Program ===

impl Program {
    /// The program, if it has been built.
    pub fn cached() -> anyhow::Result<Option<Self>> {
        let program = Self {
            folder: cache_folder()?,
        };
        Ok(program.path().is_file().then_some(program))
    }

    /// The program; builds it where it is missing.
    pub fn build(progress: &Progress) -> anyhow::Result<Self> {
        if let Some(program) = Self::cached()? {
            return Ok(program);
        }
        let program = Self {
            folder: cache_folder()?,
        };
        fs::create_dir_all(&program.folder)
            .with_context(|| format!("making the cache folder {}", program.folder.display()))?;
        let lock = File::create(program.folder.join(".lock")).context("opening the cache folder's lock")?;
        if lock.try_lock().is_err() {
            progress.line("Waiting for another process that builds Gitea.");
            lock.lock().context("locking the cache folder")?;
        }
        if !program.path().is_file() {
            check_go()?;
            program.build_it(progress)?;
        }
        Ok(program)
    }

    /// Where it is, with everything that it reads.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program itself.
    pub fn path(&self) -> PathBuf {
        self.folder.join("gitea")
    }

    /// The program comes last: it is there only where all is.
    fn build_it(&self, progress: &Progress) -> anyhow::Result<()> {
        let unfinished = self.folder.join(format!(".gitea.{}", std::process::id()));
        let mut command = go(MODULE);
        command.env("CGO_ENABLED", "1").args([
            "build",
            "-trimpath",
            "-tags",
            TAGS,
            "-ldflags",
            "-s -w",
            "-o",
        ]);
        command.arg(&unfinished).arg(PACKAGE);
        run_with_progress(&command, "Building gitea", COLD, progress)
            .context("building gitea from deploy/local/gitea")?;
        let module = module_folder()?;
        for name in READ {
            copy_tree(&module.join(name), &self.folder.join(name))?;
        }
        fs::rename(&unfinished, self.path()).context("putting gitea into the cache folder")
    }
}

/// Why the program neither is there nor can be built; `None` where it is or can.
pub fn missing() -> Option<String> {
    match Program::cached() {
        Ok(Some(_)) => None,
        Ok(None) => check_go().err().map(|error| format!("{error:#}")),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Where Go keeps the module's source.
fn module_folder() -> anyhow::Result<PathBuf> {
    let output = go(MODULE)
        .args(["list", "-m", "-f", "{{.Dir}}", PACKAGE])
        .output()
        .context("running go list")?;
    ensure!(
        output.status.success(),
        "go list says: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Copies a folder whole. Go's module folders are read-only; the copy is not.
fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            let content = fs::read(entry.path())?;
            fs::write(&target, content).with_context(|| format!("writing {}", target.display()))?;
        }
    }
    Ok(())
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for file in ["go.mod", "go.sum"] {
        let path = local_folder().join(MODULE).join(file);
        context.update(&fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    context.update(TAGS.as_bytes());
    let key = hex(&context.finish().as_ref()[..6]);
    Ok(settings::cache()?.join("provost").join(format!("gitea-{key}")))
}
