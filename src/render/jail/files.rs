//! Which files a render reaches: Landlock.

use landlock::{
    ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};

use super::{Cell, JailError};

/// The newest rights that we ask the kernel to keep back; an older kernel keeps back those that it knows. What the
/// oldest (Linux 5.13) does not know, truncating by path, the filter of system calls refuses.
const RIGHTS: ABI = ABI::V6;
/// Devices that hold nothing.
const DEVICES: [&str; 2] = ["/dev/null", "/dev/zero"];

/// From here on, this process reads, executes and writes what the cell names and nothing else.
pub(super) fn restrict(cell: &Cell) -> Result<(), JailError> {
    let status = rules(cell).map_err(|error| JailError::Refused {
        what: "the confinement of files (Landlock)",
        reason: error.to_string(),
    })?;
    match status {
        RulesetStatus::NotEnforced => Err(JailError::Unsupported(
            "this kernel cannot confine files: Landlock is missing (Linux 5.13 or newer has it; \
             it may have to be named in lsm= at boot)",
        )),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn rules(cell: &Cell) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in &cell.read {
        // What is not there cannot be read; libraries lie in other folders on other systems.
        if let Ok(file) = PathFd::new(path) {
            let access = if path.is_dir() {
                read
            } else {
                AccessFs::ReadFile.into()
            };
            rules = rules.add_rule(PathBeneath::new(file, access))?;
        }
    }
    for path in &cell.execute {
        if let Ok(file) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(file, AccessFs::Execute | AccessFs::ReadFile))?;
        }
    }
    for path in DEVICES {
        if let Ok(file) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(file, AccessFs::ReadFile | AccessFs::WriteFile))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}
