//! What became of each write that a ledger tells of.

use std::io;
use std::path::Path;

use provost_evidence::change::{Reconciler, Reconciliation, TooMany};

use super::read::{Filter, Position, read};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger cannot be read.
    #[error("could not read it")]
    Read(#[from] io::Error),
    /// It is too much at once.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Joins what all witnesses tell, and keeps the changes of the time from `from` until before `to`, in the form of the
/// records or the beginning of it.
pub fn changes(directory: &Path, from: Option<&str>, to: Option<&str>) -> Result<Reconciliation, Error> {
    let mut reconciler = Reconciler::within(from, to);
    read(directory, &Filter::default(), &mut Position::default(), |entry| {
        let added = entry
            .event
            .as_ref()
            .map(|event| reconciler.add(&entry.time, event));
        added.unwrap_or(Ok(())).map_err(Error::from)
    })?;
    Ok(reconciler.finish())
}
