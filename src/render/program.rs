//! Running a renderer's program in its jail, with every bound it needs.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::Error;
use super::jail::{self, Confinement};

/// How long one render may take where nobody says otherwise.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// How much a program may print.
const MAX_OUTPUT: u64 = 64 << 20;
/// The error of a program that prints more.
const TOO_MUCH: std::io::ErrorKind = std::io::ErrorKind::FileTooLarge;
/// How much of its complaint is kept.
const MAX_COMPLAINT: u64 = 16 << 10;
/// How much of it is shown.
const MAX_SHOWN: usize = 4 << 10;
/// How much of a program is read to see what it needs to start.
const MAX_HEAD: u64 = 4 << 10;
/// What a program that is not one piece needs to start: its libraries, which hold no secrets.
const LIBRARIES: [&str; 6] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
];
/// What loads them.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// How a program that is not one piece names what loads it.
const LOADER_NAMES: [&[u8]; 2] = [b"/ld-linux", b"/ld-musl"];

/// How programs are started.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The `provost` program, which confines itself and becomes the program. The running one is `/proc/self/exe`.
    pub provost: PathBuf,
    /// What happens where the kernel cannot confine.
    pub confinement: Confinement,
    /// How long one run may take.
    pub deadline: Duration,
}

/// A renderer's program, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    launcher: Launcher,
    /// What it needs to start, beyond the folder that it renders.
    start: Start,
    started: Arc<AtomicU64>,
}

/// What a program needs to start.
#[derive(Clone, Debug)]
struct Start {
    read: Vec<PathBuf>,
    execute: Vec<PathBuf>,
}

/// What a program printed, and whether it was content.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    /// Its complaint, with what the jail had to do with it.
    pub(super) complaint: String,
}

/// What becomes of more than is wanted.
#[derive(Clone, Copy)]
enum Excess {
    /// It is an error, at once.
    Refused,
    /// It is read and dropped.
    Dropped,
}

/// Why there is no output.
#[derive(Debug)]
pub(super) enum RunError {
    /// It cannot be confined here.
    Unconfined(String),
    /// It could not be run, or had to be ended.
    Program(Error),
}

/// The program at `path`, or else the first of that name in the folders of `search` (the value of `PATH`).
pub(super) fn find(name: &str, path: Option<&Path>, search: &str) -> Option<PathBuf> {
    path.map(Path::to_owned).or_else(|| {
        std::env::split_paths(search)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
    })
}

// === impl Program ===

impl Program {
    pub(super) fn new(path: PathBuf, launcher: Launcher, started: Arc<AtomicU64>) -> Self {
        let start = Start::of(&path);
        Self {
            path,
            launcher,
            start,
            started,
        }
    }

    /// What tells this program from another at the same place that calls itself the same.
    pub(super) fn fingerprint(&self) -> String {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            return String::new();
        };
        let modified = metadata.modified().ok();
        let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        format!("{} {}", metadata.len(), since.map_or(0, |since| since.as_nanos()))
    }

    /// Runs it in a folder, which it may read and nothing else, with this environment and no other. It and whatever it
    /// started has ended when this returns.
    pub(super) async fn run(
        &self,
        arguments: &[String],
        folder: &Path,
        environment: &[(String, String)],
    ) -> Result<Output, RunError> {
        let failed =
            |error: std::io::Error| RunError::Program(self.problem(format!("could not be run: {error}")));
        self.started.fetch_add(1, Ordering::Relaxed);
        let mut child = self
            .command(arguments, folder, environment)
            .spawn()
            .map_err(failed)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let ended = tokio::time::timeout(self.launcher.deadline, watch(&mut child, group)).await;
        // Whatever happened, nothing of it stays. Where its leader has not been waited for, the group is still its own.
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let status = child.wait().await.map_err(failed)?;
        match ended {
            Ok(Ok((stdout, stderr))) => outcome(status, stdout, &stderr),
            Ok(Err(error)) if error.kind() == TOO_MUCH => Err(RunError::Program(self.problem(format!(
                "was ended: it printed more than {} MiB",
                MAX_OUTPUT >> 20
            )))),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(RunError::Program(self.problem(format!(
                "was ended: it took more than {} s",
                self.launcher.deadline.as_secs()
            )))),
        }
    }

    fn command(&self, arguments: &[String], folder: &Path, environment: &[(String, String)]) -> Command {
        let mut command = Command::new(&self.launcher.provost);
        command.arg("jail");
        let read = self.start.read.iter().map(PathBuf::as_path);
        for path in read.chain([folder]) {
            command.arg("--read").arg(path);
        }
        for path in &self.start.execute {
            command.arg("--execute").arg(path);
        }
        if self.launcher.confinement == Confinement::WhereAvailable {
            command.arg("--unconfined");
        }
        command
            .arg(&self.path)
            .arg("--")
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn problem(&self, reason: String) -> Error {
        Error::Program {
            program: self.path.display().to_string(),
            reason,
        }
    }
}

/// What a program that has ended said, if it was one: the jail has its own way to say that there was none.
fn outcome(status: ExitStatus, stdout: Vec<u8>, stderr: &[u8]) -> Result<Output, RunError> {
    let stderr = String::from_utf8_lossy(stderr);
    let stderr = stderr.trim();
    if status.code() == Some(i32::from(jail::EXIT_CODE))
        && let Some(reason) = stderr.strip_prefix(jail::COMPLAINT)
    {
        return Err(RunError::Unconfined(reason.to_owned()));
    }
    Ok(Output {
        success: status.success(),
        stdout,
        complaint: explain(status, stderr),
    })
}

// === impl Start ===

impl Start {
    /// A program in one piece, as Go builds them, needs itself alone; another its libraries and what loads them, and a
    /// script its interpreter.
    fn of(program: &Path) -> Self {
        let head = head(program);
        let interpreter = interpreter(&head);
        let is_whole = interpreter.is_none() && !LOADER_NAMES.iter().any(|name| contains(&head, name));
        let paths = |names: &[&str]| -> Vec<PathBuf> {
            let names = if is_whole { &[] } else { names };
            names.iter().map(PathBuf::from).collect()
        };
        let mut execute = paths(&LOADERS);
        execute.push(program.to_owned());
        execute.extend(interpreter);
        Self {
            read: paths(&LIBRARIES),
            execute,
        }
    }
}

fn head(program: &Path) -> Vec<u8> {
    use std::io::Read as _;
    let mut head = Vec::new();
    // One that cannot be read cannot be run either, and says so then.
    if let Ok(file) = std::fs::File::open(program) {
        let _ = file.take(MAX_HEAD).read_to_end(&mut head);
    }
    head
}

/// The interpreter of a script.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().next().map(PathBuf::from)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// What it said, with what the jail had to do with it.
fn explain(status: ExitStatus, stderr: &str) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    let said: String = stderr.chars().take(MAX_SHOWN).collect();
    let lower = said.to_lowercase();
    let about = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let cause = match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => Some(format!(
            "it was ended: it used more than {} s of processor time",
            jail::MAX_PROCESSOR_SECONDS
        )),
        Some(Signal::KILL) if lower.is_empty() => Some(format!(
            "it was killed: it used more than {} s of processor time, or more memory than there is",
            jail::MAX_PROCESSOR_SECONDS
        )),
        Some(signal) => Some(format!("it was ended by signal {}", signal.as_raw())),
        None if about(&["out of memory", "cannot allocate"]) => Some(format!(
            "a render may use {} MiB of memory",
            jail::MAX_MEMORY >> 20
        )),
        None if about(&["fork", "start a process", "clone"]) && about(&["permission denied"]) => {
            Some("a render may start no other process".to_owned())
        }
        None if about(&["socket", "dial ", "lookup "]) => Some("a render may open no socket".to_owned()),
        None if about(&["permission denied", "operation not permitted", "function not implemented"]) => {
            Some(
                "a render may read only its copy of the commit's files, and may write nothing, open no socket and \
                 start no other process"
                    .to_owned(),
            )
        }
        None => None,
    };
    match cause {
        Some(cause) if said.is_empty() => cause,
        Some(cause) => format!("{said} ({cause})"),
        None => said,
    }
}

/// Reads what it prints until it has ended.
async fn watch(child: &mut Child, group: Option<Pid>) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let printed = tokio::try_join!(read(stdout, Excess::Refused), read(stderr, Excess::Dropped))?;
    if let Some(leader) = group {
        // Seen to have ended, and not yet waited for: so its id stays its own until its group is ended.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let end = move || rustix::io::retry_on_intr(|| waitid(WaitId::Pid(leader), options));
        tokio::task::spawn_blocking(end)
            .await
            .map_err(std::io::Error::other)??;
    }
    Ok(printed)
}

async fn read(stream: Option<impl AsyncRead + Unpin>, excess: Excess) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else {
        return Ok(bytes);
    };
    match excess {
        Excess::Refused => {
            (&mut stream).take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
            if bytes.len() as u64 == MAX_OUTPUT {
                return Err(TOO_MUCH.into());
            }
        }
        Excess::Dropped => {
            (&mut stream).take(MAX_COMPLAINT).read_to_end(&mut bytes).await?;
            // Read to its end, or the program would wait for us.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
    }
    Ok(bytes)
}
