//! `provost report`.

use std::process::ExitCode;

/// Write evidence tables from Git history and the live cluster
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {} = args;
    anyhow::bail!("not there yet")
}
