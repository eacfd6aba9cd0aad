//! The hash chain that a ledger file is.
//!
//! One line of the file is one record, sealed:
//!
//! ```text
//! {"hash":"HASH","previous":"HASH","record":{"boot":"…","event":{…},"seq":7,"time":"2026-11-24T11:14:32.250Z"}}
//! ```
//!
//! The whole line is RFC 8785 canonical JSON. `hash` is SHA-256 over the bytes of `previous` (32, not its hex text)
//! followed by the text of `record` as it stands in the line, so anybody can recompute it with no JSON library at all.
//! `previous` is the `hash` of the line before, and 64 zeros in the first one. `seq` counts from 0. A chain belongs to
//! one writer and one boot of it: the first record is a boot record, the last an end record.

use jiff::Timestamp;
use provost_manifest::digest::{Digest, canonical_json};
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// What stands before the first record.
pub const GENESIS: Digest = Digest::from_bytes([0; 32]);

/// One event, in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The chain that it belongs to.
    pub boot: String,
    /// What happened.
    pub event: Event,
    /// Its number in the chain, from 0.
    pub seq: u64,
    /// When it was handed to the ledger: RFC 3339, UTC, milliseconds.
    pub time: String,
}

/// The writing end of a chain: it knows the next number and the last hash.
#[derive(Debug)]
pub struct Chain {
    boot: String,
    next: u64,
    head: Digest,
}

/// A line taken apart, not yet believed.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// The hash that the line claims.
    pub hash: Digest,
    /// The hash of the line before, as the line claims.
    pub previous: Digest,
    /// The text that was hashed.
    pub record: &'a str,
}

/// Why an event could not be sealed.
#[derive(Debug, thiserror::Error)]
#[error("could not write the event as JSON")]
pub struct SealError(#[from] serde_json::Error);

const HASH_KEY: &str = "{\"hash\":\"";
const PREVIOUS_KEY: &str = "\",\"previous\":\"";
const RECORD_KEY: &str = "\",\"record\":";
const HEX_LENGTH: usize = 64;

/// `2026-11-24T11:14:32.250Z`, the form of every time in ledger and facts.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

// === impl Chain ===

impl Chain {
    /// An empty chain.
    pub fn new(boot: impl Into<String>) -> Self {
        Self {
            boot: boot.into(),
            next: 0,
            head: GENESIS,
        }
    }

    /// Its name: writer and boot.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// How many records it has.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// The hash of its last record.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// The next line, with its line feed. The chain has moved on: a line that is then not written whole must be the
    /// last of its file.
    pub fn seal(&mut self, time: Timestamp, event: Event) -> Result<String, SealError> {
        let record = Record {
            boot: self.boot.clone(),
            event,
            seq: self.next,
            time: format_time(time),
        };
        let text = canonical_json(&serde_json::to_value(&record)?);
        let hash = record_hash(self.head, &text);
        let line = format!(
            "{HASH_KEY}{hash}{PREVIOUS_KEY}{}{RECORD_KEY}{text}}}\n",
            self.head
        );
        self.next += 1;
        self.head = hash;
        Ok(line)
    }
}

// === impl Sealed ===

impl<'a> Sealed<'a> {
    /// Takes a line apart (without its line feed); `None` where it hasn't the exact form of a sealed record.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(HASH_KEY.as_bytes())?;
        let (hash, rest) = rest.split_at_checked(HEX_LENGTH)?;
        let rest = rest.strip_prefix(PREVIOUS_KEY.as_bytes())?;
        let (previous, rest) = rest.split_at_checked(HEX_LENGTH)?;
        let record = rest.strip_prefix(RECORD_KEY.as_bytes())?.strip_suffix(b"}")?;
        Some(Self {
            hash: digest(hash)?,
            previous: digest(previous)?,
            record: std::str::from_utf8(record).ok()?,
        })
    }

    /// Whether the record is the one that its hash was made for.
    pub fn is_intact(&self) -> bool {
        record_hash(self.previous, self.record) == self.hash
    }
}

fn digest(hex: &[u8]) -> Option<Digest> {
    std::str::from_utf8(hex).ok()?.parse().ok()
}

fn record_hash(previous: Digest, record: &str) -> Digest {
    Digest::of_parts(&[previous.as_bytes(), record.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::End;

    #[test]
    fn a_line_is_what_its_documentation_says() {
        let mut chain = Chain::new("webhook");
        let time = Timestamp::from_millisecond(1_700_000_000_250).unwrap();
        let line = chain
            .seal(
                time,
                Event::End(End {
                    reason: "stopped".into(),
                }),
            )
            .unwrap();
        // The hash is what `sha256sum` says of 32 zero bytes and the record.
        insta::assert_snapshot!(line.trim_end(), @r#"{"hash":"089748034166a70d901fbc314be24b8ace9a5e661dd7cffd7a40d7e3d0697dfe","previous":"0000000000000000000000000000000000000000000000000000000000000000","record":{"boot":"webhook","event":{"reason":"stopped","type":"end"},"seq":0,"time":"2023-11-14T22:13:20.250Z"}}"#);
    }

    #[test]
    fn the_second_line_names_the_hash_of_the_first() {
        let mut chain = Chain::new("webhook");
        let first = chain
            .seal(Timestamp::UNIX_EPOCH, Event::End(End::default()))
            .unwrap();
        let head = chain.head();
        let second = chain
            .seal(Timestamp::UNIX_EPOCH, Event::End(End::default()))
            .unwrap();
        let first = Sealed::parse(first.trim_end().as_bytes()).unwrap();
        let second = Sealed::parse(second.trim_end().as_bytes()).unwrap();
        assert_eq!(first.previous, GENESIS);
        assert_eq!((first.hash, second.previous), (head, head));
        assert!(first.is_intact() && second.is_intact());
    }
}
