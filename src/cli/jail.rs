//! `provost jail`: what the agent starts its renders with; not for people.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::render::jail::{self, Cell, Confinement};

/// Run a program that reads nothing but the named folders, writes nothing and opens no sockets
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder or file that may be read; may be given often
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// File that may be executed; may be given often
    #[arg(long, value_name = "FILE")]
    execute: Vec<PathBuf>,
    /// Run it where the kernel lacks a part of the jail, too
    #[arg(long)]
    unconfined: bool,
    /// The program
    program: PathBuf,
    /// Its arguments
    #[arg(last = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(super) fn run(args: Args) -> ExitCode {
    let Args {
        read,
        execute,
        unconfined,
        program,
        arguments,
    } = args;
    let outcome = jail::enter(&Cell {
        read,
        execute,
        confinement: if unconfined {
            Confinement::WhereAvailable
        } else {
            Confinement::Required
        },
        program,
        arguments,
    });
    match outcome {
        Ok(never) => match never {},
        Err(error) => {
            anstream::eprintln!("{}{error}", jail::COMPLAINT);
            ExitCode::from(jail::EXIT_CODE)
        }
    }
}
