//! `provost policy`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfy_table::{Table, presets::NOTHING};
use provost_manifest::escape::line;
use provost_policy::{FailureAction, Policy, explain};

use super::lint;
use crate::policies::{self, ExceptionNamespaces, Snapshot, folder};

const LIST_EXAMPLES: &str = "\
Examples:
  provost policy list
  provost policy list policies/

Exit code: 0 every policy is read, 2 some is not.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  provost policy explain require-labels
  provost policy explain policies/require-labels.yaml
  provost policy explain --policies policies/

Exit code: 0 every policy named is told, 2 some is not there or cannot be read.";

/// Read policies: list them, tell what they demand, find what is wrong with them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Explain(ExplainArgs),
    Lint(lint::Args),
}

/// List the policies of a folder
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// Folder (or file) of policies
    #[arg(value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
}

/// Tell in plain words what policies demand, and of what
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
struct ExplainArgs {
    /// Names of policies, or a folder or file of them; all where none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Folder (or file) of policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { command } = args;
    match command {
        Command::List(args) => list(args),
        Command::Explain(args) => explain(args),
        Command::Lint(args) => lint::run(args),
    }
}

fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let ListArgs { policies } = args;
    let snapshot = read(&policies)?;
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["POLICY", "ACTION", "KINDS", "RULES", "PLACE"]);
    for policy in snapshot.set.policies() {
        let outline = explain::outline(policy);
        let actions = outline.actions.iter().map(|action| match action {
            FailureAction::Enforce => "Enforce",
            FailureAction::Audit => "Audit",
        });
        let controllers = match outline.controllers.as_slice() {
            [] => String::new(),
            controllers => format!(", {} pod controllers", controllers.len()),
        };
        table.add_row([
            line(&outline.policy).into_owned(),
            actions.collect::<Vec<_>>().join(", "),
            line(&outline.kinds.join(", ")).into_owned() + &controllers,
            line(&outline.rules.join(", ")).into_owned(),
            place(policy),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    anstream::println!("{}", table.trim_fmt());
    Ok(exit_code(&snapshot))
}

fn explain(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let (paths, names): (Vec<String>, Vec<String>) = args.names.into_iter().partition(|name| is_path(name));
    let policies = match paths.as_slice() {
        [] => args.policies,
        [path] => PathBuf::from(path),
        [..] => anyhow::bail!("name one folder or file of policies; all in it are told"),
    };
    let snapshot = read(&policies)?;
    for name in &names {
        anyhow::ensure!(
            snapshot
                .set
                .policies()
                .iter()
                .any(|policy| &**policy.key() == name),
            "there is no policy {} in {}; to see them all: provost policy list",
            line(name),
            policies.display()
        );
    }
    let told = snapshot
        .set
        .policies()
        .iter()
        .filter(|policy| names.is_empty() || names.iter().any(|name| &**policy.key() == name));
    let texts: Vec<String> = told.map(|policy| explain::explain(policy)).collect();
    anstream::print!("{}", texts.join("\n"));
    Ok(exit_code(&snapshot))
}

/// Whether it is a place of policies and not the name of one, which has no slash and ends in no suffix of YAML files.
fn is_path(name: &str) -> bool {
    let suffix = Path::new(name).extension().and_then(OsStr::to_str);
    name.contains('/') || matches!(suffix, Some("yaml" | "yml"))
}

/// Reads the policies and tells of those that are out.
fn read(path: &Path) -> anyhow::Result<Snapshot> {
    let snapshot = Snapshot::of(&folder::read(path)?, &ExceptionNamespaces::default());
    for fault in &snapshot.refused {
        anstream::eprintln!("{}", policies::diagnostic(fault, &snapshot));
    }
    Ok(snapshot)
}

fn place(policy: &Policy) -> String {
    policy.place().map(ToString::to_string).unwrap_or_default()
}

fn exit_code(snapshot: &Snapshot) -> ExitCode {
    if snapshot.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}
