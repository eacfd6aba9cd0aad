//! The command line: one file per subcommand, or a folder where it prints in many forms; it parses, prints and maps exit
//! codes. Each command is one public function of its room.

mod app;
mod check;
mod diff;
mod install;
mod jail;
mod ledger;
mod lint;
mod policy;
mod render_args;
mod rendered;
mod report;
mod rollback;
mod serve;
mod target;
mod test;
mod uninstall;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The officer that keeps order in a Kubernetes cluster and keeps the record
#[derive(Debug, Parser)]
#[command(name = "provost", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    Check(check::Args),
    Test(test::Args),
    Policy(policy::Args),
    App(app::Args),
    Diff(Box<diff::Args>),
    Rollback(rollback::Args),
    Report(report::Args),
    Ledger(ledger::Args),
    Verify(verify::Args),
    Install(install::Args),
    Uninstall(uninstall::Args),
    #[command(hide = true)]
    Jail(jail::Args),
}

/// Parses the arguments, runs the command and returns its exit code. Errors end here: the chain is printed once, with
/// its hints.
pub fn main() -> ExitCode {
    // A render is started a thousand times, and the whole command line is not built for one of them.
    if let Some(args) = jail::Args::read(std::env::args_os().skip(1)) {
        return jail::run(args);
    }
    // Before all else, so that no TLS builder can find itself without one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Policy(args) => policy::run(args),
        Command::App(args) => app::run(args),
        Command::Diff(args) => diff::run(*args),
        Command::Rollback(args) => rollback::run(args),
        Command::Report(args) => report::run(args),
        Command::Ledger(args) => ledger::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Install(args) => install::run(args),
        Command::Uninstall(args) => uninstall::run(args),
        Command::Jail(args) => Ok(jail::run(args)),
    };
    outcome.unwrap_or_else(|error| {
        anstream::eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
