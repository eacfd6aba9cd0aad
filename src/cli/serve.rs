//! `provost serve`.

use std::process::ExitCode;

/// Run the admission webhook and the sync agent
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {} = args;
    anyhow::bail!("not there yet")
}
