//! `provost app`.

mod get;
pub(super) mod health;
mod history;
mod list;
mod mode;
mod sync;
mod tree;
mod wait;

use std::process::ExitCode;

use super::{diff, rollback};

/// Look at Applications and what they are made of, sync them, wait for them, go back
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Get(get::Args),
    Tree(tree::Args),
    Diff(Box<diff::ApplicationDiff>),
    Sync(sync::Args),
    Wait(wait::Args),
    History(history::Args),
    Rollback(rollback::Args),
    Suspend(mode::SuspendArgs),
    Resume(mode::ResumeArgs),
    Health(health::Args),
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { command } = args;
    match command {
        Command::List(args) => list::run(args),
        Command::Get(args) => get::run(args),
        Command::Tree(args) => tree::run(args),
        Command::Diff(args) => diff::run_for_application(*args),
        Command::Sync(args) => sync::run(args),
        Command::Wait(args) => wait::run(args),
        Command::History(args) => history::run(args),
        Command::Rollback(args) => rollback::run(args),
        Command::Suspend(args) => mode::suspend(args),
        Command::Resume(args) => mode::resume(args),
        Command::Health(args) => health::run(args),
    }
}
