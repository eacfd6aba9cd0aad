//! Open handles of one mirror, to be used again: opening reads configuration, and a new handle has parsed nothing yet.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use git2::Repository;

/// How many open handles of one mirror are kept.
const MAX_KEPT: usize = 4;

/// Open handles of one mirror that nobody uses now. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Handles(Arc<Mutex<Vec<Repository>>>);

/// An open mirror, given back when dropped.
pub(super) struct Handle {
    repository: Option<Repository>,
    handles: Handles,
}

// === impl Handles ===

impl Handles {
    /// One that is kept, or else a new one. References are read from the folder each time they are asked for, and so
    /// are objects that a handle does not know yet.
    pub(super) fn take(&self, folder: &Path) -> Result<Handle, git2::Error> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let repository = match kept {
            // Where the folder is gone, opening says so.
            Some(repository) if folder.exists() => repository,
            _ => Repository::open_bare(folder)?,
        };
        Ok(Handle {
            repository: Some(repository),
            handles: self.clone(),
        })
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

// === impl Handle ===

impl Deref for Handle {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        self.repository
            .as_ref()
            .expect("it is there until the handle is dropped")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(repository) = self.repository.take() else {
            return;
        };
        let mut kept = self.handles.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(repository);
        }
    }
}
