//! The jail of a render: what `provost jail` does to itself before it becomes the renderer's program.
//!
//! The agent starts a render as `provost jail … -- PROGRAM ARGS`, which takes every right from itself and then executes
//! PROGRAM in its own place; nothing needs a privilege, and nothing has to be undone.
//!
//! *Guarantees*, for the program and whatever it may turn into
//! - Files: it reads the folders that were named and what it needs to start, and writes nothing (Landlock).
//! - System calls: no sockets, no other processes (threads are let in), no signals to others, no change of modes,
//!   owners or limits; what no renderer needs is answered as if the kernel did not have it (seccomp).
//! - Limits: memory, processor time, file size, open files, no core dumps (rlimits).
//! - It ends when the agent does.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod system_calls;

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

/// The exit code of `provost jail` where the program could not be confined or started.
pub const EXIT_CODE: u8 = 125;
/// What its complaint begins with.
pub const COMPLAINT: &str = "jail: ";

/// How much private memory one program may hold.
pub(super) const MAX_MEMORY: u64 = 1 << 30;
/// How much it may map in all: Go reserves far more than it uses.
const MAX_ADDRESS_SPACE: u64 = 8 << 30;
/// How much processor time it may use, in seconds, over all its threads.
pub(super) const MAX_PROCESSOR_SECONDS: u64 = 60;
/// How large a file it may write, if it may write at all.
const MAX_FILE_SIZE: u64 = 64 << 20;
/// How many files it may hold open.
const MAX_OPEN_FILES: u64 = 1_024;
/// How many tasks the user may have before threads are refused; not enforced for root.
const MAX_TASKS: u64 = 16_384;

/// Whether a program may run where the kernel cannot confine it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// What cannot be confined does not run.
    #[default]
    Required,
    /// What the kernel lacks is left out.
    WhereAvailable,
}

/// What a program may do, and which it is.
#[derive(Debug)]
pub struct Cell {
    /// Folders and files that it may read.
    pub read: Vec<PathBuf>,
    /// Files that it may execute, itself among them.
    pub execute: Vec<PathBuf>,
    /// What happens where the kernel lacks something.
    pub confinement: Confinement,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Why a program could not be started in its jail.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The kernel lacks what the jail is made of.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The kernel has it, and refused.
    #[error("{what} could not be set up: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// The program could not be executed.
    #[error("{program} could not be executed: {reason}")]
    Execute {
        /// The program.
        program: String,
        /// What the kernel said.
        reason: std::io::Error,
    },
}

/// Confines this process, which must have no other thread, and becomes the program.
pub fn enter(cell: &Cell) -> Result<Infallible, JailError> {
    end_with_the_agent()?;
    // Where memory ends, this is what ends with it, and not the agent. Where that cannot be said, nothing is lost.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    attempt(cell, files::restrict)?;
    // Before the last step, which refuses it.
    limit()?;
    attempt(cell, system_calls::restrict)?;
    let reason = Command::new(&cell.program).args(&cell.arguments).exec();
    Err(JailError::Execute {
        program: cell.program.display().to_string(),
        reason,
    })
}

fn limit() -> Result<(), JailError> {
    let limits = [
        (Resource::Data, MAX_MEMORY),
        (Resource::As, MAX_ADDRESS_SPACE),
        (Resource::Cpu, MAX_PROCESSOR_SECONDS),
        (Resource::Fsize, MAX_FILE_SIZE),
        (Resource::Nofile, MAX_OPEN_FILES),
        (Resource::Core, 0),
        (Resource::Nproc, MAX_TASKS),
    ];
    for (resource, most) in limits {
        let before = rustix::process::getrlimit(resource);
        // Processor time is told of once before it ends all.
        let grace = u64::from(matches!(resource, Resource::Cpu));
        // Who has less already keeps it: a limit can only go down.
        let least = |limit: u64| before.maximum.map_or(limit, |maximum| maximum.min(limit));
        let limit = Rlimit {
            current: Some(least(most)),
            maximum: Some(least(most + grace)),
        };
        setrlimit(resource, limit).map_err(|error| JailError::Refused {
            what: "a resource limit",
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

fn attempt(cell: &Cell, restrict: fn(&Cell) -> Result<(), JailError>) -> Result<(), JailError> {
    match restrict(cell) {
        Err(JailError::Unsupported(_)) if cell.confinement == Confinement::WhereAvailable => Ok(()),
        restricted => restricted,
    }
}

fn end_with_the_agent() -> Result<(), JailError> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(
        |error| JailError::Refused {
            what: "the end together with the agent",
            reason: error.to_string(),
        },
    )?;
    Ok(())
}

/// What only Linux has.
#[cfg(not(target_os = "linux"))]
mod files {
    use super::{Cell, JailError};

    pub(super) fn restrict(_: &Cell) -> Result<(), JailError> {
        Err(JailError::Unsupported("only Linux can confine a render"))
    }
}
#[cfg(not(target_os = "linux"))]
use files as system_calls;
