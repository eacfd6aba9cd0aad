//! `provost app`.

mod health;

use std::process::ExitCode;

/// Look at Applications and what they are made of
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Health(health::Args),
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { command } = args;
    match command {
        Command::Health(args) => health::run(args),
    }
}
