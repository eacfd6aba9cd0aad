//! Every command that README.md and docs/ show is run, so that they cannot rot.
//!
//! A `console` block is run line by line in one shell, in a folder that has the project's policies/, deploy/ and
//! reports/ in it: a line `$ command` (a heredoc goes on to its end) and below it what it prints. In that text a line
//! `...` stands for any lines and `[..]` for anything inside a line; a command must exit with 0. A page that says
//! `<!-- needs a cluster -->` gets a control plane of its own behind KUBECONFIG. A `sh` block may only hold the make
//! targets by which the project is built and tested, which CI runs as they stand.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long one command of a page may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(90);

/// Printed by the shell after each command, with its exit code.
const MARKER: &str = "--- end of command, exit code";

struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

#[test]
fn commands_of_the_readme_and_docs_do_what_they_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(
        std::fs::read_dir(root.join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    pages.sort();
    let mut failures = String::new();
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
    {
        let text = std::fs::read_to_string(page).unwrap();
        for command in shell_blocks(&text, "sh").iter().flat_map(|(_, lines)| lines) {
            assert!(
                is_a_make_target(root, command),
                "{}: `{command}` stands in a `sh` block but is no make target; use a `console` block, which is run",
                page.display()
            );
        }
        let steps = steps(&text);
        if steps.is_empty() {
            continue;
        }
        if let Err(message) = run_page(root, page, &text, &steps) {
            let _ = writeln!(failures, "{message}");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn is_a_make_target(root: &Path, command: &str) -> bool {
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    let command = command.split('#').next().unwrap_or_default().trim();
    match command.strip_prefix("make ") {
        Some(target) => makefile
            .lines()
            .any(|line| line.starts_with(&format!("{target}:"))),
        None => command.is_empty() || command.starts_with("git clone ") || command.starts_with("cd "),
    }
}

/// The fenced blocks of one language, with the line that each begins at.
fn shell_blocks(text: &str, language: &str) -> Vec<(usize, Vec<String>)> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Vec<String>)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == fence => open = Some((index + 2, Vec::new())),
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, lines)) => lines.push(line.to_owned()),
            None => {}
        }
    }
    blocks
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (first_line, lines) in shell_blocks(text, "console") {
        let mut heredoc: Option<String> = None;
        for (offset, line) in lines.into_iter().enumerate() {
            if let Some(end) = &heredoc {
                let step = steps.last_mut().unwrap();
                step.command = format!("{}\n{line}", step.command);
                if line == *end {
                    heredoc = None;
                }
            } else if let Some(command) = line.strip_prefix("$ ") {
                heredoc = command
                    .split_once("<<")
                    .map(|(_, end)| end.trim_matches('\'').to_owned());
                steps.push(Step {
                    line: first_line + offset,
                    command: command.to_owned(),
                    expected: Vec::new(),
                });
            } else if let Some(step) = steps.last_mut() {
                step.expected.push(line);
            }
        }
    }
    steps
}

fn run_page(root: &Path, page: &Path, text: &str, steps: &[Step]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies", "deploy", "reports"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).unwrap();
    }
    let mut environment = vec![
        ("HOME", folder.path().to_owned()),
        ("NO_COLOR", PathBuf::from("1")),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster;
    if text.contains("<!-- needs a cluster -->") {
        if let Some(reason) = harness::skip_reason() {
            eprintln!(
                "SKIPPED: the commands of {} were not run: {reason}",
                page.display()
            );
            return Ok(());
        }
        cluster = runtime
            .block_on(harness::Cluster::own())
            .map_err(|error| format!("{error:#}"))?;
        environment.push(("KUBECONFIG", cluster.kubeconfig(harness::User::Admin)));
    }
    let mut shell = Shell::start(folder.path(), &environment);
    for step in steps {
        let place = format!("{}:{}", page.file_name().unwrap().to_string_lossy(), step.line);
        let (output, code) = shell
            .run(&step.command)
            .map_err(|problem| format!("{place}: `{}` {problem}", step.command))?;
        if code != 0 || !matches(&step.expected, &output) {
            return Err(format!(
                "{place}: `{}` exited with {code} and printed\n{}\nwhere the page shows\n{}",
                step.command,
                output.join("\n"),
                step.expected.join("\n")
            ));
        }
    }
    Ok(())
}

/// Whether `actual` is what the page shows; lines of blanks at either end do not count.
fn matches(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.iter().all(|line| line.trim().is_empty()),
        Some((first, rest)) if first == "..." => {
            (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..]))
        }
        Some((first, rest)) => match actual.split_first() {
            Some((line, others)) => line_matches(first, line) && matches(rest, others),
            None => first.trim().is_empty() && matches(rest, actual),
        },
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let mut parts = expected.trim_end().split("[..]");
    let Some(mut rest) = actual.trim_end().strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    match last {
        None => rest.is_empty(),
        Some(part) => part.is_empty() || rest.is_empty() || actual.trim_end().ends_with(part),
    }
}

/// One bash for a page, its commands and what they leave running.
struct Shell {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Shell {
    fn start(folder: &Path, environment: &[(&str, PathBuf)]) -> Self {
        let provost = Path::new(env!("CARGO_BIN_EXE_provost")).parent().unwrap();
        let mut path = vec![provost.to_owned()];
        let programs = harness::binaries::Binaries::cached().unwrap();
        path.extend(programs.map(|programs| programs.folder().to_owned()));
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env_remove("KUBECONFIG")
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"exec 2>&1\n").unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn run(&mut self, command: &str) -> Result<(Vec<String>, i32), String> {
        let deadline = Instant::now() + COMMAND_DEADLINE;
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{command}\necho \"{MARKER} $?\"")
            .map_err(|error| format!("could not be typed: {error}"))?;
        let mut output = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|_| {
                format!(
                    "did not end in {COMMAND_DEADLINE:?}; it printed\n{}",
                    output.join("\n")
                )
            })?;
            match line.split_once(MARKER) {
                Some((before, code)) => {
                    if !before.is_empty() {
                        output.push(before.to_owned());
                    }
                    return Ok((output, code.trim().parse().unwrap_or(-1)));
                }
                None => output.push(line),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The whole group, so that nothing a page left in the background outlives it.
        let _ = Command::new("kill")
            .args(["-TERM", "--", &format!("-{}", self.child.id())])
            .status();
        let _ = self.child.wait();
    }
}

#[test]
fn dots_stand_for_lines_and_bracketed_dots_for_text_inside_a_line() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n...\nd"), &lines("a\nb\nc\nd")));
    assert!(matches(&lines("took [..] s, fine"), &lines("took 0.2 s, fine")));
    assert!(!matches(&lines("took [..] s, fine"), &lines("took 0.2 s, bad")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
    assert!(matches(&lines("a\n"), &lines("a")));
}
