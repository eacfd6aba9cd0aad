//! Tells the story: numbered steps, a line or two of why, and commands with what they really print.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Prints to standard output and, without colours, to a transcript.
pub(crate) struct Narrator {
    transcript: File,
    colours: bool,
    step: u32,
}

/// Somebody at a shell: whose name the prompt shows, where they are, and their environment.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) path: String,
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// What a command is expected to do; the story stops where it does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Success,
    Refusal,
}

// === impl Narrator ===

impl Narrator {
    pub(crate) fn new(transcript: &Path, no_color: bool) -> anyhow::Result<Self> {
        let transcript =
            File::create(transcript).with_context(|| format!("making {}", transcript.display()))?;
        Ok(Self {
            transcript,
            colours: io::stdout().is_terminal() && !no_color,
            step: 0,
        })
    }

    /// Opens the next step.
    pub(crate) fn step(&mut self, title: &str) -> anyhow::Result<()> {
        self.step += 1;
        let title = format!("{}. {title}", self.step);
        self.print("")?;
        self.styled("1", &title)
    }

    /// Says why.
    pub(crate) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        text.lines()
            .try_for_each(|line| self.print(format!("   {line}").trim_end()))
    }

    /// Runs a shell command as `person`, shows it and everything that it prints, and returns that.
    pub(crate) fn run(
        &mut self,
        person: &Person,
        command: &str,
        expected: Expected,
    ) -> anyhow::Result<String> {
        self.show(person, command)?;
        let printed = person.run(command, expected)?;
        printed.trim_end().lines().try_for_each(|line| self.print(line))?;
        Ok(printed)
    }

    /// Shows a command that was started otherwise and goes on.
    pub(crate) fn show(&mut self, person: &Person, command: &str) -> anyhow::Result<()> {
        self.print("")?;
        self.styled("36", &format!("{}$ {command}", person.name))
    }

    /// A line as it is.
    pub(crate) fn print(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(io::stdout(), "{line}")?;
        writeln!(self.transcript, "{line}").context("writing the transcript")
    }

    fn styled(&mut self, style: &str, line: &str) -> anyhow::Result<()> {
        if self.colours {
            writeln!(io::stdout(), "\x1b[{style}m{line}\x1b[0m")?;
        } else {
            writeln!(io::stdout(), "{line}")?;
        }
        writeln!(self.transcript, "{line}").context("writing the transcript")
    }
}

// === impl Person ===

impl Person {
    /// Runs a shell command; standard error is shown where it stands, between standard output.
    pub(crate) fn run(&self, command: &str, expected: Expected) -> anyhow::Result<String> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(&self.folder)
            .env("PATH", &self.path);
        shell
            .env("HOME", &self.folder)
            .env("NO_COLOR", "1")
            .env_remove("KUBECONFIG");
        shell
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_PAGER", "cat");
        if let Some(kubeconfig) = &self.kubeconfig {
            shell.env("KUBECONFIG", kubeconfig);
        }
        let output = shell.output().with_context(|| format!("running {command}"))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success() == (expected == Expected::Success),
            "{command} ended with {}, where {expected:?} was expected:\n{printed}",
            output.status
        );
        Ok(printed)
    }
}
