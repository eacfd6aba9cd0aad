//! `provost uninstall`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use provost_manifest::escape::line;

use crate::{
    cluster::Cluster,
    config::OWN_NAMESPACE,
    install::{
        Namespace,
        remove::{self, Plan},
    },
    serve::Connection,
};

const EXAMPLES: &str = "\
Examples:
  What would be removed
    provost uninstall --context kind-test

  Remove it
    provost uninstall --context kind-test --yes

The webhook configuration goes first, so that no write waits for a webhook that is gone; the namespace goes last.
The volumes with the ledgers go too: copy what you want to keep.";

/// Remove Provost from a cluster; without --yes, tell what would be removed
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Namespace that it was installed into
    #[arg(long, value_name = "NAME", default_value = OWN_NAMESPACE)]
    namespace: Namespace,
    /// Remove the CRDs too, and with them every policy, Application and inventory
    #[arg(long)]
    crds: bool,
    /// Remove, instead of telling what would be removed
    #[arg(long)]
    yes: bool,
    /// Kubeconfig that names the cluster
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // A person's own cluster is touched only when it is named.
    anyhow::ensure!(
        args.kubeconfig.is_some() || args.context.is_some(),
        "no cluster is named: give --context NAME or --kubeconfig FILE"
    );
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(uninstall(args))
}

async fn uninstall(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        namespace,
        crds,
        yes,
        kubeconfig,
        context,
    } = args;
    let connection = Connection::Kubeconfig {
        file: kubeconfig,
        context,
    };
    let cluster = Cluster::connect(connection.client().await?).await?;
    let plan = remove::plan(&cluster, &namespace, crds).await?;
    if plan.removals.is_empty() {
        anstream::println!("There is nothing to remove in namespace {namespace}.");
    } else if yes {
        remove::carry_out(&cluster, &plan, |removal| {
            anstream::println!("removed  {}", line(&removal.to_string()));
        })
        .await?;
    } else {
        for removal in &plan.removals {
            anstream::println!("would remove  {}", line(&removal.to_string()));
        }
    }
    print_kept(&plan);
    if !yes && !plan.removals.is_empty() {
        anstream::println!("\nNothing was removed. To remove it, in this order: the same command with --yes");
    }
    Ok(ExitCode::SUCCESS)
}

fn print_kept(plan: &Plan) {
    for kept in &plan.kept {
        anstream::println!("kept  {}: {}", line(&kept.what), line(&kept.why));
    }
}
