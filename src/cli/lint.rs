//! `provost policy lint`.

use std::{path::PathBuf, process::ExitCode};

use provost_manifest::diagnostic::{Diagnostic, Level, Place};
use provost_policy::lint::{self, Finding};
use serde_json::json;

use crate::policies::folder;

const EXAMPLES: &str = "\
Examples:
  provost policy lint
  provost policy lint policies/require-labels.yaml deploy/policies
  provost policy lint -o json | jq -c 'select(.level != \"note\")'

A note is worth knowing and may well be meant; it does not change the exit code.

Exit code: 0 nothing is found, 1 something is, 2 a file cannot be read.";

/// Find what a policy says and probably does not mean
///
/// Rules that can never match or that an earlier one leaves nothing to do, kinds, fields, variables and functions that
/// do not exist, checks that are content where the field is missing, expressions whose cost grows faster than the
/// object.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Files of policies, or folders of them
    #[arg(value_name = "PATH", default_value = "policies")]
    paths: Vec<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Each finding with its line of the file.
    Table,
    /// For programs: one JSON object a line for each finding.
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { paths, output } = args;
    let (mut findings, mut read, mut unread) = (Vec::new(), 0, false);
    for path in &paths {
        for file in folder::files(path)? {
            let name = file.display().to_string();
            match folder::read_bounded(&file) {
                Ok(text) => {
                    read += 1;
                    findings.extend(lint::lint(&text, &name));
                }
                Err(error) => {
                    unread = true;
                    let diagnostic = Diagnostic::error(format!("cannot read {name}")).note(error.to_string());
                    anstream::eprintln!("{diagnostic}");
                }
            }
        }
    }
    for finding in &findings {
        match output {
            Form::Table => anstream::println!("{}\n", finding.diagnostic),
            Form::Json => anstream::println!("{}", as_json(finding)),
        }
    }
    if output == Form::Table {
        anstream::println!("{}", summary(&findings, read));
    }
    let is_found = findings
        .iter()
        .any(|finding| finding.diagnostic.level > Level::Note);
    Ok(match (unread, is_found) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let diagnostic = &finding.diagnostic;
    let place = diagnostic.place.as_ref();
    json!({
        "lint": finding.lint.name(),
        "level": diagnostic.level.to_string(),
        "message": diagnostic.message,
        "subject": diagnostic.label,
        "file": place.map(|place| &place.file),
        "line": place.map(|place| place.position.line),
        "column": place.map(|place| place.position.column),
        "source": place.map(Place::source),
        "advice": diagnostic.notes,
    })
}

fn summary(findings: &[Finding], files: usize) -> String {
    let count = |level: Level| {
        let of_level = findings
            .iter()
            .filter(|finding| finding.diagnostic.level == level);
        match of_level.count() {
            1 => format!("1 {level}"),
            many => format!("{many} {level}s"),
        }
    };
    let files = match files {
        1 => "1 file".to_owned(),
        many => format!("{many} files"),
    };
    let [errors, warnings, notes] = [Level::Error, Level::Warning, Level::Note].map(count);
    format!("{files}: {errors}, {warnings}, {notes}.")
}
