//! `provost verify`.

use std::process::ExitCode;

/// Verify that a ledger is whole
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {} = args;
    anyhow::bail!("not there yet")
}
