//! `provost app suspend` and `provost app resume`.

use std::process::ExitCode;

use kube::ResourceExt as _;
use provost_manifest::escape::line;

use crate::{
    applications::Change,
    cli::target::{ApplicationArgs, as_arguments, block_on},
};

const SUSPEND_EXAMPLES: &str = "\
Examples:
  provost app suspend my-app -n shop

Sets the annotation provost.dev/mode to off. The agent then neither looks at Git nor writes nor deletes anything of the
Application, not even when it is deleted itself.

Exit code: 0 it is suspended; 2 it could not be.";

const RESUME_EXAMPLES: &str = "\
Examples:
  provost app resume my-app -n shop && provost app wait my-app -n shop

Exit code: 0 it is not suspended (any more); 2 it could not be resumed.";

/// Have the agent leave an Application alone
#[derive(Debug, clap::Args)]
#[command(after_help = SUSPEND_EXAMPLES)]
pub(super) struct SuspendArgs {
    #[command(flatten)]
    application: ApplicationArgs,
}

/// Have the agent take an Application up again, in the mode from before it was suspended
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    application: ApplicationArgs,
}

pub(super) fn suspend(args: SuspendArgs) -> anyhow::Result<ExitCode> {
    let SuspendArgs { application } = args;
    block_on(async {
        let (applications, application) = application.find().await?;
        let name = application.name_any();
        match applications.suspend(&application).await? {
            Change::None => anstream::println!("{name} is suspended already."),
            Change::Done { .. } => {
                let arguments = as_arguments(&application, "");
                anstream::println!(
                    "{name} is suspended. To take it up again: provost app resume {arguments}"
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn resume(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    let ResumeArgs { application } = args;
    block_on(async {
        let (applications, application) = application.find().await?;
        let name = application.name_any();
        match applications.resume(&application).await? {
            Change::None => anstream::println!("{name} is not suspended."),
            Change::Done { mode } => anstream::println!("{name} is taken up again, in mode {}.", line(&mode)),
        }
        Ok(ExitCode::SUCCESS)
    })
}
