//! Commits every checkpoint that the anchor's branch lacks, and pushes.

use std::path::{Path, PathBuf};

use super::Error;
use super::outside::Tell;
use crate::ledger::anchor::{self, Address, Anchor};
use crate::ledger::checkpoints::{self, Entry};

pub(super) struct Anchoring {
    anchor: Anchor,
    address: Address,
    directory: PathBuf,
    /// Whether what others pushed was taken over.
    fetched: bool,
}

// === impl Anchoring ===

impl Anchoring {
    pub(super) fn open(copy: &Path, address: Address, directory: PathBuf) -> Result<Self, Error> {
        Ok(Self {
            anchor: Anchor::open(copy, address.clone())?,
            address,
            directory,
            fetched: false,
        })
    }
}

impl Tell for Anchoring {
    const FAILED: &'static str = "The checkpoints could not be anchored; they are kept and tried again.";

    fn tell(&mut self) -> Result<(), Error> {
        if !self.fetched {
            self.anchor.fetch()?;
            self.fetched = true;
        }
        let next = self.anchor.last().map_or(0, |last| last + 1);
        let mut outcome = Ok(());
        checkpoints::read_since(&self.directory, next, |_, entry| {
            if let Entry::Checkpoint(signed) = entry
                && signed.checkpoint.number >= next
                && outcome.is_ok()
            {
                outcome = self.anchor.commit(&signed);
            }
        })?;
        outcome?;
        match self.anchor.push() {
            Ok(_) => Ok(()),
            Err(error) => {
                self.fetched = !matches!(error, anchor::Error::Diverged(_) | anchor::Error::Refused { .. });
                tracing::debug!(address = %self.address, "The push failed.");
                Err(error.into())
            }
        }
    }
}
