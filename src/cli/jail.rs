//! `provost jail`: what the agent starts its renders with; not for people.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::render::jail::{self, Cell, Confinement};

/// Run a program that reads nothing but the named folders, writes nothing and opens no sockets
#[derive(Debug, PartialEq, clap::Args)]
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

// === impl Args ===

impl Args {
    /// Reads the command line as the agent writes it; `None` where it is another, which is for the whole parser to read.
    pub(super) fn read(mut line: impl Iterator<Item = OsString>) -> Option<Self> {
        if line.next()? != "jail" {
            return None;
        }
        let (mut read, mut execute, mut unconfined) = (Vec::new(), Vec::new(), false);
        let program = loop {
            let word = line.next()?;
            match word.to_str() {
                Some("--read") => read.push(line.next()?.into()),
                Some("--execute") => execute.push(line.next()?.into()),
                Some("--unconfined") => unconfined = true,
                Some(word) if word.starts_with('-') => return None,
                _ => break word.into(),
            }
        };
        if line.next()? != "--" {
            return None;
        }
        Some(Self {
            read,
            execute,
            unconfined,
            program,
            arguments: line.collect(),
        })
    }
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }

    fn read(line: &str) -> Option<Args> {
        Args::read(line.split(' ').map(OsString::from))
    }

    #[rstest]
    #[case(
        "jail --read /a --read /b --execute /c --unconfined /bin/kustomize -- build --load-restrictor none files"
    )]
    #[case("jail --execute /c /bin/helm -- template -- --read /etc")]
    #[case("jail /bin/helm --")]
    fn what_the_agent_writes_is_read_as_the_whole_parser_reads_it(#[case] line: &str) {
        let whole = Whole::try_parse_from(line.split(' ')).unwrap().args;
        assert_eq!(read(line), Some(whole));
    }

    #[rstest]
    #[case("serve --role agent")]
    #[case("jail")]
    #[case("jail --help")]
    #[case("jail --read")]
    #[case("jail --read=/a /bin/helm -- template")]
    #[case("jail /bin/helm template")]
    #[case("jail /bin/helm --unconfined -- template")]
    fn everything_else_is_left_to_the_whole_parser(#[case] line: &str) {
        assert_eq!(read(line), None);
    }
}
