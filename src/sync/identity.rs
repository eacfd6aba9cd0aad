//! Which agent this is: by its state folder, so that one that comes back is the same.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use ring::rand::{SystemRandom, generate};

use super::error::Error;

/// The file that names the agent, in the state folder.
const FILE: &str = "agent";

/// An agent's name; no other process has it while this lives.
#[derive(Debug)]
pub(super) struct Identity {
    name: String,
    /// Holds the lock.
    _file: File,
}

// === impl Identity ===

impl Identity {
    /// The name that the state folder keeps, a new one where it has none.
    pub(super) fn of(state: &Path) -> Result<Self, Error> {
        let path = state.join(FILE);
        let unusable = |source| Error::State {
            path: path.display().to_string(),
            source,
        };
        // What Git holds is for the agent alone.
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700);
        folder.create(state).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::StateTaken(state.display().to_string())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let mut name = String::new();
        file.read_to_string(&mut name).map_err(unusable)?;
        let mut name = name.trim().to_owned();
        if name.is_empty() {
            let random: [u8; 8] = generate(&SystemRandom::new())
                .map_err(|_| Error::Random)?
                .expose();
            name = format!("agent-{:016x}", u64::from_be_bytes(random));
            writeln!(file, "{name}").map_err(unusable)?;
        }
        Ok(Self { name, _file: file })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_comes_back_is_the_same_and_two_at_once_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::of(folder.path()).unwrap();
        let refused = Identity::of(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("another agent"), "{refused}");
        let name = first.name().to_owned();
        drop(first);
        assert_eq!(Identity::of(folder.path()).unwrap().name(), name);
    }
}
