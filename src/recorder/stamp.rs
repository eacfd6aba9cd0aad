//! Has the last checkpoint stamped by an authority of timestamps (RFC 3161): what it covers was there by then.
//!
//! An authority that was away is asked about the last checkpoint only, which covers all that the others do.

use std::path::PathBuf;

use provost_evidence::timestamp::{MAX_TOKEN_BYTES, Token, TokenError, query, token_in_response};
use provost_manifest::digest::Digest;

use super::Error;
use super::outside::Tell;
use crate::ledger::checkpoints::{self, SignedNote};
use crate::ledger::http::Endpoint;
use crate::ledger::timestamps::{self, Entry};

#[derive(Debug)]
pub(super) struct Stamping {
    authority: Endpoint,
    directory: PathBuf,
    /// The last checkpoint that is stamped; looked up in the files once.
    last: Option<u64>,
}

// === impl Stamping ===

impl Stamping {
    pub(super) fn open(authority: Endpoint, directory: PathBuf) -> Result<Self, Error> {
        let last = timestamps::last(&directory, &authority.to_string()).map_err(|source| Error::Ledger {
            path: directory.join(timestamps::FOLDER),
            source,
        })?;
        Ok(Self {
            authority,
            directory,
            last,
        })
    }
}

impl Tell for Stamping {
    const FAILED: &'static str = "The last checkpoint could not be timestamped; it is tried again.";

    fn tell(&mut self) -> Result<(), Error> {
        let Some(SignedNote { number, day, text }) = checkpoints::last(&self.directory)? else {
            return Ok(());
        };
        if self.last.is_some_and(|last| last >= number) {
            return Ok(());
        }
        let digest = Digest::of_bytes(text.as_bytes());
        let response = self
            .authority
            .post("application/timestamp-query", query(digest))?;
        let token = token_in_response(&response)?;
        let is_of_it = token.len() <= MAX_TOKEN_BYTES && Token::read(token)?.is_of(digest);
        if !is_of_it {
            return Err(TokenError::OtherDigest.into());
        }
        let entry = Entry::new(number, digest, self.authority.to_string(), token);
        timestamps::append(&self.directory, &day, &entry).map_err(|source| Error::Ledger {
            path: self.directory.join(timestamps::FOLDER),
            source,
        })?;
        self.last = Some(number);
        Ok(())
    }
}
