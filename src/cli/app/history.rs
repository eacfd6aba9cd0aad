//! `provost app history`.

use std::process::ExitCode;

use jiff::Timestamp;
use provost_manifest::escape::line;
use serde_json::json;

use crate::{
    api::argoproj::RevisionHistory,
    applications::Commits,
    cli::target::{ApplicationArgs, Form, age, block_on, columns, commits, print_value},
};

const EXAMPLES: &str = "\
Examples:
  provost app history my-app -n shop
  provost app history my-app -o json | jq -r '.[0].revision'

The newest is first. Subjects, authors and tags are known in a clone of the repository.

Exit code: 0 the history is shown; 2 it cannot be read.";

/// Show which commits were deployed, and when
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { application, output } = args;
    let (_, application) = block_on(application.find())?;
    let commits = commits([&application]);
    let mut history = application.status.history.clone();
    history.reverse();
    match output {
        Form::Json | Form::Yaml => {
            let entries: Vec<_> = history
                .iter()
                .map(|entry| {
                    let commit = commits.commit(&entry.revision);
                    json!({
                        "id": entry.id, "revision": entry.revision, "tag": commits.tag(&entry.revision),
                        "deployStartedAt": entry.deploy_started_at, "deployedAt": entry.deployed_at,
                        "subject": commit.as_ref().map(|commit| &commit.subject),
                        "author": commit.as_ref().map(|commit| &commit.author),
                    })
                })
                .collect();
            print_value(&json!(entries), output)?;
        }
        Form::Table | Form::Wide => {
            if history.is_empty() {
                anstream::println!("Nothing was deployed yet.");
            } else {
                for line in table(&history, &commits, Timestamp::now()) {
                    anstream::println!("{line}");
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(history: &[RevisionHistory], commits: &Commits, now: Timestamp) -> Vec<String> {
    let rows: Vec<Vec<String>> = history
        .iter()
        .map(|entry| {
            let commit = commits.commit(&entry.revision);
            let deployed: Option<Timestamp> = entry.deployed_at.parse().ok();
            vec![
                entry.id.to_string(),
                commits.short(&entry.revision),
                line(&entry.deployed_at).into_owned(),
                age(deployed, now),
                commit.map_or_else(
                    || "(not in a clone at hand)".to_owned(),
                    |commit| format!("{} ({})", commit.subject, commit.author),
                ),
            ]
        })
        .collect();
    columns(&["ID", "REVISION", "DEPLOYED", "AGE", "COMMIT"], &rows)
}
