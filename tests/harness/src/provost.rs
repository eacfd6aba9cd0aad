//! The `provost` binary as a child process.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cluster::Output;
use crate::folder::Folder;
use crate::guard::{Grace, Guarded};
use crate::wait::wait_for;

/// Time that `provost` has to drain before it is killed; its own bound is shorter.
const GRACE: Duration = Duration::from_secs(35);

/// A running `provost`, with a home of its own, its log in a file.
#[derive(Debug)]
pub struct Provost {
    process: Guarded,
    folder: Folder,
}

/// The binary that `cargo build` or `cargo test` put beside the running program.
pub fn provost_binary() -> anyhow::Result<PathBuf> {
    let running = env::current_exe().context("asking where this program lies")?;
    let mut folder = running.parent().context("this program lies nowhere")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("this program lies nowhere")?;
    }
    let binary = folder.join("provost");
    ensure!(
        binary.is_file(),
        "{} is missing; run: cargo build",
        binary.display()
    );
    Ok(binary)
}

/// A command that runs `provost` with `home` as the user's folder, and nothing of the user's cluster.
pub fn provost_command(home: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(provost_binary()?);
    command
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST");
    for variable in [
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "RUST_LOG",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(variable);
    }
    Ok(command)
}

/// Runs `provost` to its end in `folder`, which is its home as well.
pub fn provost(folder: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let output = provost_command(folder)?
        .args(args)
        .current_dir(folder)
        .output()
        .context("running provost")?;
    Ok(Output::new(&output))
}

// === impl Provost ===

impl Provost {
    /// Starts `provost ARGS` in a folder of its own, with `env` added to its environment.
    pub fn start(args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_in(None, args, env)
    }

    /// As [`Provost::start`], in the folder `current`.
    pub fn start_in(current: Option<&Path>, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let mut command = provost_command(folder.path())?;
        command
            .args(args)
            .envs(env.iter().copied())
            .current_dir(current.unwrap_or_else(|| folder.path()));
        let process = Guarded::start("provost", &command, Grace::Term(GRACE), &folder)?;
        Ok(Self { process, folder })
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.process.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line that contains `text` and returns it; fails with the log's end if it ends before.
    pub async fn wait_for_line(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let what = format!("provost prints {text:?}");
        wait_for(&what, limit, async || {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return Ok(Ok(line.to_owned()));
            }
            match self.process.check() {
                Ok(()) => Err(format!("its log ends:\n{}", self.process.log_tail())),
                // No use in waiting any longer.
                Err(ended) => Ok(Err(ended)),
            }
        })
        .await?
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kibibytes: u64 = line
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .context("reading VmRSS")?;
        Ok(kibibytes * 1024)
    }

    /// Its home: state, caches and the log.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        self.process.signal(signal)
    }

    /// Its exit code, if it has ended by itself.
    pub fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.process.ended()?)
    }

    /// Sends SIGTERM, waits for the end and returns the exit code; SIGKILL (137) when its grace has passed.
    pub async fn stop(mut self) -> anyhow::Result<i32> {
        tokio::task::spawn_blocking(move || Ok(self.process.stop()?)).await?
    }
}
