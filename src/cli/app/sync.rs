//! `provost app sync`.

use std::{process::ExitCode, time::Duration};

use kube::ResourceExt as _;

use super::wait::{self, parse_timeout};
use crate::{
    applications::{Goals, Progress, SyncRequest},
    cli::target::{ApplicationArgs, block_on},
};

const EXAMPLES: &str = "\
Examples:
  provost app sync my-app -n shop
  provost app sync my-app --dry-run
  provost app sync my-app --revision v1.5.2 --prune
  provost app sync my-app --resource Deployment/my-app
  provost app sync my-app --async && provost app wait my-app

A sync that brings another revision than the Application's own is put back by the next automated one: to stay there,
use provost rollback.

Exit code: 0 the sync is done (with --async: asked for); 1 it failed, or was not done within the timeout; 2 it could not
be asked for.";

/// Ask the agent for a sync, and wait until it is done
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Commit, tag or branch [default: the Application's own]
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// Delete what is no longer declared
    #[arg(long)]
    prune: bool,
    /// Only say how many objects would change; for which and how: provost app diff
    #[arg(long)]
    dry_run: bool,
    /// Delete and make anew what cannot be changed
    #[arg(long)]
    force: bool,
    /// Only this object, KIND/NAME or NAMESPACE/KIND/NAME; may be given often
    #[arg(long = "resource", value_name = "KIND/NAME")]
    resources: Vec<String>,
    /// How often a failure is tried again
    #[arg(long, value_name = "N")]
    retry_limit: Option<u32>,
    /// Sync option, such as Replace=true; may be given often
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Do not wait
    #[arg(long = "async")]
    is_async: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_timeout)]
    timeout: Duration,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        application,
        revision,
        prune,
        dry_run,
        force,
        resources,
        retry_limit,
        options,
        is_async,
        timeout,
    } = args;
    let request = SyncRequest {
        revision,
        prune,
        dry_run,
        force,
        resources,
        retry_limit,
        options,
    };
    block_on(async {
        let (applications, application) = application.find().await?;
        let asked = applications.sync(&application, &request).await?;
        let name = application.name_any();
        if is_async {
            anstream::println!("{name}: a sync is asked for");
            return Ok(ExitCode::SUCCESS);
        }
        let goals = Goals {
            asked: Some(asked),
            ..Goals::default()
        };
        let say = |what: &str| wait::say(&name, what);
        let progress = applications.wait(&application, &goals, timeout, say).await?;
        if let Progress::Waiting(what) = &progress
            && what == "the agent has not begun"
        {
            anstream::eprintln!(
                "{name}: no agent took it up: is one running, and does it serve this namespace?"
            );
        }
        Ok(wait::conclude(&name, &progress, timeout))
    })
}
