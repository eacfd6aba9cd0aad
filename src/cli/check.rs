//! `provost check`.

use std::process::ExitCode;

/// Check manifests against policies, as the webhook would
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {} = args;
    anyhow::bail!("not there yet")
}
