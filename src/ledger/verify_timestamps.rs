//! Verifies the timestamps of a ledger: each must be of the checkpoint that lies there, by an authority that is trusted.

use std::path::Path;

use provost_evidence::timestamp::{Authority, Token, TokenError};

use super::verify_checkpoints::Reader;
use super::{timestamps, verify};

impl Reader {
    /// Reads the timestamps beside the checkpoints: each must be of the note that lies there.
    pub(super) fn compare_with_timestamps(
        &mut self,
        directory: &Path,
        authority: &Authority,
    ) -> Result<(), verify::Error> {
        self.report.authority_given = true;
        timestamps::read(directory, |path, line, entry| {
            let place = format!("{}:{line}", path.display());
            self.timestamp(place, entry, authority);
        })
        .map_err(|source| verify::Error::Read {
            path: directory.join(timestamps::FOLDER),
            source,
        })
    }

    fn timestamp(&mut self, place: String, entry: Option<timestamps::Entry>, authority: &Authority) {
        let Some((entry, token)) = entry.and_then(|entry| entry.token().map(|token| (entry, token))) else {
            let message = "this is not a timestamp: it was changed".to_owned();
            return self.report.findings.add(place, "timestamp-changed", message);
        };
        let number = entry.checkpoint;
        let Some(note) = self.notes.get(&number) else {
            if !self.is_thinned(number) {
                let message =
                    format!("checkpoint {number} was timestamped and is not in the ledger: it was removed");
                self.report.findings.add(place, "timestamp-only", message);
            }
            return;
        };
        match Token::read(&token).and_then(|token| token.verify(*note, authority)) {
            Ok(stamp) => {
                self.stamps += 1;
                if self.stamped.as_ref().is_none_or(|(_, last)| *last <= number) {
                    self.stamped = Some((stamp, number));
                }
            }
            Err(TokenError::OtherDigest) => {
                let message = format!(
                    "checkpoint {number} of the ledger is not the one that was timestamped: it was made anew"
                );
                self.report.findings.add(place, "timestamp-differs", message);
            }
            Err(TokenError::Untrusted) => {
                // Another authority's: it shows nothing, and proves no harm.
                let message = format!(
                    "the timestamp of checkpoint {number} by {} is not of an authority that is trusted",
                    entry.authority
                );
                self.report.gaps.add(place, "timestamp-not-trusted", message);
            }
            Err(error) => {
                let message = format!("the timestamp of checkpoint {number} counts for nothing: {error}");
                self.report.findings.add(place, "timestamp-changed", message);
            }
        }
    }
}
