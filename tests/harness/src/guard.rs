//! A child process that cannot outlive us.
//!
//! Each child runs under a small shell, its guard, which holds the read end of a pipe whose only write end is ours.
//! When that end closes, because we dropped it, panicked, were interrupted or killed, the guard ends the child. Guard
//! and child have a process group of their own, so that Ctrl-C in a terminal reaches us first, and we stop them in
//! order.
//!
//! Guarantees: after drop the child has ended; after our death it ends within its grace period.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::folder::Folder;

/// Most of a log that an error message repeats.
const LOG_TAIL: u64 = 4 * 1024;

/// Arguments: grace in tenths of a second, log file, then the program and its arguments. Tells the child's process id
/// on standard output; each line on standard input names a signal for the child; the end of input ends it. Standard
/// error is the hold on the log's folder.
const GUARD: &str = r#"
grace=$1; log=$2; shift 2
exec 3<&0 </dev/null
"$@" 3<&- >>"$log" 2>&1 &
child=$!
echo "$child"
exec >/dev/null
{
    while read -r signal; do kill -s "$signal" "$child"; done
    [ "$grace" = 0 ] || kill -s TERM "$child"
    while [ "$grace" -gt 0 ] && kill -0 "$child"; do sleep 0.1; grace=$((grace - 1)); done
    kill -s KILL "$child"
} <&3 &
watcher=$!
exec 3<&-
wait "$child"; code=$?
kill "$watcher"
exit "$code"
"#;

/// A running child and its guard.
#[derive(Debug)]
pub struct Guarded {
    name: String,
    guard: Child,
    control: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
}

/// What happens to the child when it is told to stop.
#[derive(Clone, Copy, Debug)]
pub enum Grace {
    /// SIGKILL at once, for what keeps nothing worth keeping.
    None,
    /// SIGTERM, and SIGKILL when this much time has passed.
    Term(Duration),
}

// === impl Guarded ===

impl Guarded {
    /// Starts `command` (its program, arguments, folder and environment) with its output appended to `NAME.log` in
    /// `folder`, which stays until the child has ended.
    pub fn start(name: &str, command: &Command, grace: Grace, folder: &Folder) -> anyhow::Result<Self> {
        let log = folder.path().join(format!("{name}.log"));
        let tenths = match grace {
            Grace::None => 0,
            Grace::Term(time) => (time.as_millis() / 100).max(1),
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "guard", &tenths.to_string()]).arg(&log);
        shell.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(current) = command.get_current_dir() {
            shell.current_dir(current);
        }
        let mut guard = shell
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(folder.hold()?)
            .spawn()
            .with_context(|| format!("starting a guard for {name}"))?;
        let control = guard.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = guard.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let pid = line
            .trim()
            .parse()
            .with_context(|| format!("{name} did not start"))?;
        Ok(Self {
            name: name.to_owned(),
            guard,
            control,
            pid,
            log,
        })
    }

    /// Process id of the child itself, not of its guard.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// File with the child's output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal, by its name without SIG: `TERM`, `HUP`, `STOP`.
    pub fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        let control = self.control.as_mut().context("the process was stopped before")?;
        writeln!(control, "{signal}").with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// The exit code if the child has ended by itself; 128 and the signal's number where a signal ended it.
    pub fn ended(&mut self) -> io::Result<Option<i32>> {
        Ok(self.guard.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    /// Fails, with the end of the log, if the child has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(code) = self.ended()? {
            anyhow::bail!(
                "{} ended with code {code}; its log ends:\n{}",
                self.name,
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Stops the child, waits for its end and returns its exit code. Blocks for its grace period at most.
    pub fn stop(&mut self) -> io::Result<i32> {
        self.control = None;
        Ok(self.guard.wait()?.code().unwrap_or(-1))
    }

    /// The last lines of the child's output.
    pub fn log_tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
