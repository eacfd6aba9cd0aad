//! `provost rollback`.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use jiff::Timestamp;
use kube::ResourceExt as _;
use provost_manifest::escape::line;
use serde_json::json;

use super::{
    render_args::local_repositories,
    target::{ApplicationArgs, CredentialArgs, age, as_arguments, block_on, mirrors},
};
use crate::{
    api::argoproj::Application,
    applications::{Commits, Rollback, RollbackRequest, Step, Way, is_suspended},
};

const EXAMPLES: &str = "\
Examples:
  provost rollback my-app -n shop
      to what was deployed before, by a commit on the branch that the Application follows
  provost rollback my-app --to v1.5.2 --reason \"v1.5.3 loses orders\" --yes
  provost rollback my-app --push --branch rollback/my-app
      on a branch of its own, for a pull request
  provost rollback my-app --set-revision
      pins the Application to the commit; it no longer follows its branch

The commit is made with the author of your Git configuration and pushed with your SSH agent or credential helper. A
branch is only ever moved forward. What the folder reads from elsewhere in the repository stays as it is.

Exit code: 0 it is done; 1 you said no; 2 it cannot be done, and nothing is changed.";

/// Longest list of commits that is shown.
const MAX_SHOWN: usize = 10;

/// Go back to what was deployed before, so that Git stays the truth
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Commit, tag or branch to go back to [default: what was deployed before]
    #[arg(long, value_name = "REV")]
    to: Option<String>,
    /// Which of several sources goes back: its position counted from 1, its name or its ref
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Push a commit in which the Application's folder is as it was [default where it follows a branch]
    #[arg(long, conflicts_with = "set_revision")]
    push: bool,
    /// Set the Application's targetRevision [default where it follows no branch]
    #[arg(long)]
    set_revision: bool,
    /// Push to a new branch of this name
    #[arg(long, value_name = "NAME", conflicts_with = "set_revision")]
    branch: Option<String>,
    /// Why, for the commit's message
    #[arg(long, value_name = "TEXT", conflicts_with = "set_revision")]
    reason: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Let the Application name a repository on this machine
    #[arg(long)]
    allow_local_repositories: bool,
    #[command(flatten)]
    credentials: CredentialArgs,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        application,
        to,
        source,
        push,
        set_revision,
        branch,
        reason,
        yes,
        allow_local_repositories,
        credentials,
    } = args;
    let way = match (push || branch.is_some(), set_revision) {
        (true, _) => Some(Way::Push { branch }),
        (false, true) => Some(Way::SetRevision),
        (false, false) => None,
    };
    let request = RollbackRequest {
        to,
        source,
        way,
        reason,
    };
    block_on(async {
        let (applications, application) = application.find().await?;
        let local = local_repositories(allow_local_repositories);
        let mirrors = mirrors()?;
        let credentials = credentials.read(applications.cluster(), &application).await?;
        let planned = applications
            .plan_rollback(&application, &request, &mirrors, local, &credentials.store)
            .await;
        let rollback = credentials.explain(planned)?;
        anstream::println!("{}", what(&application, &rollback));
        if !yes && !confirmed()? {
            anstream::println!("Nothing is changed.");
            return Ok(ExitCode::from(1));
        }
        applications.carry_out(&application, &rollback).await?;
        anstream::println!("{}", next(&application, &rollback));
        Ok(ExitCode::SUCCESS)
    })
}

fn confirmed() -> anyhow::Result<bool> {
    anyhow::ensure!(
        io::stdin().is_terminal(),
        "nobody can be asked here: --yes does it without asking"
    );
    anstream::print!("Go on? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What will be done.
fn what(application: &Application, rollback: &Rollback) -> String {
    let mut commits = Commits::unknown();
    if let Ok(repository) = rollback.mirror.open() {
        commits.look_in(repository);
    }
    let named = |revision: &str| match commits.commit(revision) {
        Some(commit) => format!(
            "{} \"{}\" ({})",
            commits.short(revision),
            commit.subject,
            commit.author
        ),
        None => commits.short(revision),
    };
    let mut lines = vec![format!(
        "{} goes back to {}",
        application.full_name(),
        named(&rollback.to)
    )];
    let mut head = "Taken back";
    for id in rollback.taken_back.iter().take(MAX_SHOWN) {
        let time = commits.commit(id).and_then(|commit| commit.time);
        lines.push(format!(
            "  {head:<11} {}, {} ago",
            named(id),
            age(time, Timestamp::now())
        ));
        head = "";
    }
    if rollback.taken_back.len() > MAX_SHOWN {
        let more = rollback.taken_back.len() - MAX_SHOWN;
        lines.push(format!("  {head:<11} and {more} more"));
    }
    match &rollback.step {
        Step::Push {
            branch,
            followed,
            author,
            ..
        } => {
            let new = if branch == followed { "" } else { "new " };
            lines.push(format!(
                "  {:<11} a commit on {new}branch {} of {}, in which {} is as it was",
                "By",
                line(branch),
                rollback.mirror.url(),
                line(&rollback.path.to_string())
            ));
            lines.push(format!("  {:<11} {}", "Author", line(author)));
        }
        Step::SetRevision {
            source,
            before,
            after,
        } => lines.push(format!(
            "  {:<11} spec.{}.targetRevision: {} → {}",
            "By",
            source.map_or_else(|| "source".to_owned(), |source| format!("sources[{source}]")),
            line(before),
            line(after)
        )),
    }
    lines.join("\n")
}

/// What was done, and what comes next.
fn next(application: &Application, rollback: &Rollback) -> String {
    let arguments = as_arguments(application, "");
    let automated = &application.spec["syncPolicy"]["automated"];
    let is_automated = automated.is_object() && automated["enabled"] != false;
    let then = if is_suspended(application) {
        format!("It is suspended: provost app resume {arguments}")
    } else if is_automated {
        "The agent brings it in".to_owned()
    } else {
        format!("To bring it in: provost app sync {arguments}")
    };
    match &rollback.step {
        Step::Push {
            commit,
            branch,
            followed,
            ..
        } if branch == followed => format!(
            "Pushed {} to {}. {then}; to wait for it: provost app wait {arguments} --revision {}",
            &commit[..7],
            line(branch),
            &commit[..7]
        ),
        Step::Push {
            commit,
            branch,
            followed,
            ..
        } => format!(
            "Pushed {} to the new branch {}. Open a pull request from it into {}",
            &commit[..7],
            line(branch),
            line(followed)
        ),
        Step::SetRevision { source, before, .. } => {
            let name = application.name_any();
            let namespace = application.namespace().unwrap_or_default();
            let (kind, patch) = match source {
                None => (
                    "merge",
                    json!({"spec": {"source": {"targetRevision": line(before)}}}),
                ),
                Some(source) => (
                    "json",
                    json!([{"op": "add", "path": format!("/spec/sources/{source}/targetRevision"),
                        "value": line(before)}]),
                ),
            };
            format!(
                "{name} follows {} no longer. {then}.\nTo follow it again: kubectl -n {namespace} patch application \
                 {name} --type {kind} -p '{patch}'",
                line(before)
            )
        }
    }
}
