//! `provost app wait`.

use std::{process::ExitCode, time::Duration};

use futures::future::try_join_all;
use kube::ResourceExt as _;

use crate::{
    applications::{Goals, Progress},
    cli::target::{ClusterArgs, block_on},
};

const EXAMPLES: &str = "\
Examples:
  provost app wait my-app -n shop                           synced, healthy, and no sync under way
  provost app wait my-app --synced --revision 3f9c2ab       at that commit, healthy or not
  provost app wait my-app reader --timeout 10m

Exit code: 0 all of it is so; 1 it was not so within the timeout; 2 an Application cannot be read, or is gone.";

/// Wait until Applications are synced and healthy
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names of Applications
    #[arg(value_name = "APP", required = true)]
    names: Vec<String>,
    /// Their namespace [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Wait until the cluster is as Git says
    #[arg(long)]
    synced: bool,
    /// Wait until all objects are healthy
    #[arg(long)]
    healthy: bool,
    /// Wait until no sync is under way
    #[arg(long)]
    operation: bool,
    /// Wait until this commit is the one that is compared with; its first digits are enough
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_timeout)]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A duration as Kubernetes writes it, `90s` or `1h30m`.
pub(in crate::cli) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let parsed: Option<provost_manifest::duration::Duration> = text.parse().ok();
    parsed
        .and_then(provost_manifest::duration::Duration::to_std)
        .ok_or_else(|| format!("{text:?} is no duration: write 90s, 5m or 1h30m"))
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        names,
        namespace,
        synced,
        healthy,
        operation,
        revision,
        timeout,
        cluster,
    } = args;
    let is_any = synced || healthy || operation;
    let goals = Goals {
        synced: synced || !is_any,
        healthy: healthy || !is_any,
        idle: operation || !is_any,
        revision,
        asked: None,
    };
    block_on(async {
        let (applications, current) = cluster.connect().await?;
        let namespace = namespace.unwrap_or(current);
        let waits = names.iter().map(async |name| {
            let application = applications.get(&namespace, name).await?;
            let said = |what: &str| say(name, what);
            let progress = applications.wait(&application, &goals, timeout, said).await?;
            anyhow::Ok((application.name_any(), progress))
        });
        let mut worst = ExitCode::SUCCESS;
        for (name, progress) in try_join_all(waits).await? {
            let code = conclude(&name, &progress, timeout);
            if code != ExitCode::SUCCESS {
                worst = code;
            }
        }
        Ok(worst)
    })
}

/// A step on the way.
pub(super) fn say(name: &str, what: &str) {
    anstream::eprintln!("{name}: waiting: {what}");
}

/// What came of the waiting, and its exit code.
pub(super) fn conclude(name: &str, progress: &Progress, timeout: Duration) -> ExitCode {
    match progress {
        Progress::Reached(how) => {
            anstream::println!("{name}: {how}");
            ExitCode::SUCCESS
        }
        Progress::Failed(why) => {
            anstream::println!("{name}: failed: {why}");
            ExitCode::from(1)
        }
        Progress::Waiting(what) => {
            anstream::println!("{name}: not within {}s: {what}", timeout.as_secs());
            ExitCode::from(1)
        }
    }
}
