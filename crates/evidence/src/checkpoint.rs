//! Checkpoints: what all chains of a ledger were at one time, signed by a key that no writer of a chain holds.
//!
//! The body of the signed note:
//!
//! ```text
//! ORIGIN
//! 17
//! 2026-11-24T11:14:32.250Z
//! agent@host/20261124T111432.250Z-1f0c9a3b 1204 HASH
//! webhook@host/20261124T111431.007Z-77ab0c1d 88012 HASH
//! dropped webhook@host/20251001T000102.003Z-a1b2c3d4 500000 HASH
//! thinned 3-12
//! key NEW-KEY
//! ```
//!
//! Numbers count from 0 without a hole. A chain's line says how many records it has and the hash of the last. `dropped`
//! says that so many of a chain's first records were deleted when their retention was over, and the hash of the last of
//! them. `thinned` names earlier checkpoints that are not kept: one a minute for years is more than anybody needs. `key`
//! names the key that signs from the next checkpoint on; that note bears the signatures of both keys.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;
use std::str::FromStr;

use provost_manifest::digest::Digest;

use crate::note::{Note, SigningKey, VerifierKey};

/// The longest that two checkpoints of a recorder that works lie apart, in seconds.
pub const MAX_INTERVAL_SECONDS: u64 = 60;

/// Writer and boot, `webhook@host/20261124T111432.250Z-1f0c9a3b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainName {
    /// Who writes.
    pub writer: String,
    /// One boot of it: the name of the chain in its records.
    pub boot: String,
}

/// How far a chain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many records.
    pub count: u64,
    /// The hash of the last one.
    pub hash: Digest,
}

/// All chains at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: the name of the key that signed its first checkpoint.
    pub origin: String,
    /// Counts from 0.
    pub number: u64,
    /// When it was made: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The chains.
    pub chains: BTreeMap<ChainName, Head>,
    /// What was deleted when its retention was over.
    pub dropped: BTreeMap<ChainName, Head>,
    /// Numbers of earlier checkpoints that are not kept, ascending.
    pub thinned: Vec<RangeInclusive<u64>>,
    /// The key that signs from the next one on.
    pub key: Option<VerifierKey>,
}

/// A checkpoint and the note that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// As it was signed.
    pub note: Note,
}

/// Why a text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint in the form that the recorder writes")]
pub struct FormError;

/// What the chains of a ledger have to be, for its checkpoints to be true of them.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    chains: BTreeMap<String, ExpectedChain>,
}

/// What one chain has to be.
#[derive(Clone, Debug)]
pub struct ExpectedChain {
    /// Its name.
    pub name: ChainName,
    /// By its number of records: the hash of the last of them, and the number of the first checkpoint that says so.
    pub heads: BTreeMap<u64, (Digest, u64)>,
    /// How much of its beginning was deleted when its retention was over.
    pub dropped: u64,
}

/// Two checkpoints that cannot both be true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checkpoints {one} and {other} give chain {chain} two different histories of {count} records")]
pub struct Contradiction {
    /// The chain.
    pub chain: ChainName,
    /// After how many records.
    pub count: u64,
    /// The earlier checkpoint.
    pub one: u64,
    /// The later one.
    pub other: u64,
}

/// Whose signatures count, from one checkpoint to the next.
#[derive(Clone, Debug)]
pub struct Signers {
    keys: Vec<VerifierKey>,
    /// Those who counted until they handed over.
    former: Vec<VerifierKey>,
}

/// Why a checkpoint's signature counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// No trusted key signed it.
    Unsigned,
    /// It hands over to a key that did not sign it.
    HandedOver,
}

// === impl ChainName ===

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.writer, self.boot)
    }
}

impl FromStr for ChainName {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (writer, boot) = text.split_once('/').ok_or(FormError)?;
        let name = Self {
            writer: writer.to_owned(),
            boot: boot.to_owned(),
        };
        (is_word(writer) && is_word(boot))
            .then_some(name)
            .ok_or(FormError)
    }
}

/// Whether the text can stand in a line of a checkpoint: as a writer's name, for one.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Whether it says more than where the chains were.
    pub fn says_more(&self) -> bool {
        !self.dropped.is_empty() || !self.thinned.is_empty() || self.key.is_some()
    }

    fn thin(&mut self, numbers: &str) -> Result<(), FormError> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| FormError);
        let (first, last) = numbers.split_once('-').ok_or(FormError)?;
        let numbers = number(first)?..=number(last)?;
        let follows = self
            .thinned
            .last()
            .is_none_or(|before| before.end() < numbers.start());
        if !follows || numbers.is_empty() || *numbers.end() >= self.number {
            return Err(FormError);
        }
        self.thinned.push(numbers);
        Ok(())
    }

    /// Signed by each of the keys.
    pub fn sign<'a>(self, keys: impl IntoIterator<Item = &'a SigningKey>) -> SignedCheckpoint {
        let note = Note::sign(self.to_string(), keys);
        SignedCheckpoint {
            checkpoint: self,
            note,
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.number, self.time)?;
        for (name, head) in &self.chains {
            writeln!(f, "{name} {head}")?;
        }
        for (name, head) in &self.dropped {
            writeln!(f, "dropped {name} {head}")?;
        }
        for numbers in &self.thinned {
            writeln!(f, "thinned {}-{}", numbers.start(), numbers.end())?;
        }
        if let Some(key) = &self.key {
            writeln!(f, "key {key}")?;
        }
        Ok(())
    }
}

impl FromStr for Checkpoint {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lines = text.lines();
        let mut next = || lines.next().map(str::to_owned).ok_or(FormError);
        let mut checkpoint = Self {
            origin: next()?,
            number: next()?.parse().map_err(|_| FormError)?,
            time: next()?,
            chains: BTreeMap::new(),
            dropped: BTreeMap::new(),
            thinned: Vec::new(),
            key: None,
        };
        for line in lines {
            if let Some(numbers) = line.strip_prefix("thinned ") {
                checkpoint.thin(numbers)?;
            } else if let Some(key) = line.strip_prefix("key ") {
                checkpoint.key = Some(key.parse().map_err(|_| FormError)?);
            } else if let Some(line) = line.strip_prefix("dropped ") {
                let (name, head) = chain_line(line)?;
                checkpoint.dropped.insert(name, head);
            } else {
                let (name, head) = chain_line(line)?;
                checkpoint.chains.insert(name, head);
            }
        }
        // One text for one checkpoint: sorted, nothing twice, numbers without a sign.
        (checkpoint.to_string() == text)
            .then_some(checkpoint)
            .ok_or(FormError)
    }
}

fn chain_line(line: &str) -> Result<(ChainName, Head), FormError> {
    let (name, head) = line.split_once(' ').ok_or(FormError)?;
    let (count, hash) = head.split_once(' ').ok_or(FormError)?;
    let head = Head {
        count: count.parse().map_err(|_| FormError)?,
        hash: hash.parse().map_err(|_| FormError)?,
    };
    Ok((name.parse()?, head))
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.hash)
    }
}

// === impl SignedCheckpoint ===

impl FromStr for SignedCheckpoint {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let note: Note = text.parse().map_err(|_| FormError)?;
        Ok(Self {
            checkpoint: note.text.parse()?,
            note,
        })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

// === impl Expectations ===

impl Expectations {
    /// Adds what a checkpoint says.
    pub fn add(&mut self, checkpoint: &Checkpoint) -> Result<(), Contradiction> {
        let mut outcome = Ok(());
        for (name, head) in checkpoint.chains.iter().chain(&checkpoint.dropped) {
            let chain = self
                .chains
                .entry(name.boot.clone())
                .or_insert_with(|| ExpectedChain {
                    name: name.clone(),
                    heads: BTreeMap::new(),
                    dropped: 0,
                });
            let (hash, one) = *chain
                .heads
                .entry(head.count)
                .or_insert((head.hash, checkpoint.number));
            if hash != head.hash {
                outcome = Err(Contradiction {
                    chain: name.clone(),
                    count: head.count,
                    one,
                    other: checkpoint.number,
                });
            }
        }
        for (name, head) in &checkpoint.dropped {
            if let Some(chain) = self.chains.get_mut(&name.boot) {
                chain.dropped = chain.dropped.max(head.count);
            }
        }
        outcome
    }

    /// What the chain of this boot has to be; `None` where no checkpoint names it.
    pub fn chain(&self, boot: &str) -> Option<&ExpectedChain> {
        self.chains.get(boot)
    }

    /// All chains that a checkpoint names.
    pub fn chains(&self) -> impl Iterator<Item = &ExpectedChain> {
        self.chains.values()
    }
}

// === impl ExpectedChain ===

impl ExpectedChain {
    /// The furthest that a checkpoint says of it, with the first checkpoint that says so.
    pub fn last(&self) -> (u64, u64) {
        let last = self.heads.last_key_value();
        last.map_or((0, 0), |(count, (_, number))| (*count, *number))
    }
}

// === impl Signers ===

impl Signers {
    /// Those who count before the first checkpoint.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self {
            keys,
            former: Vec::new(),
        }
    }

    /// Whether somebody signed this checkpoint who counts now, or counted before.
    pub fn knew(&self, signed: &SignedCheckpoint) -> bool {
        let mut all = self.keys.iter().chain(&self.former);
        all.any(|key| key.signed(&signed.note))
    }

    /// Whether one of those who count signed this checkpoint, the next one in order. Where it hands over to another
    /// key, that one counts from now on, and those who signed it count no more.
    pub fn admit(&mut self, signed: &SignedCheckpoint) -> Result<(), Distrust> {
        let (by, others): (Vec<_>, Vec<_>) = self
            .keys
            .iter()
            .cloned()
            .partition(|key| key.signed(&signed.note));
        if by.is_empty() {
            return Err(Distrust::Unsigned);
        }
        let Some(new) = &signed.checkpoint.key else {
            return Ok(());
        };
        if !new.signed(&signed.note) {
            return Err(Distrust::HandedOver);
        }
        self.keys = others;
        self.former.extend(by);
        self.keys.push(new.clone());
        Ok(())
    }

    /// Their names and ids, as people read them.
    pub fn names(&self) -> String {
        let mut names = String::new();
        for (index, key) in self.keys.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Writing to a String does not fail.
            let _ = write!(names, "{comma}{} ({})", key.name(), key.id());
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn key(name: &str, seed: u8) -> SigningKey {
        SigningKey::parse(&SigningKey::secret_text(name, &[seed; 32]).unwrap()).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        let chain = |writer: &str, count| {
            let name = ChainName {
                writer: writer.to_owned(),
                boot: "20261124T111432.250Z-1f0c9a3b".to_owned(),
            };
            let hash = Digest::of_bytes(writer.as_bytes());
            (name, Head { count, hash })
        };
        Checkpoint {
            origin: "shop".into(),
            number: 17,
            time: "2026-11-24T11:14:32.250Z".into(),
            chains: BTreeMap::from([chain("webhook@a", 12), chain("agent@a", 3)]),
            dropped: BTreeMap::from([chain("old@a", 4)]),
            thinned: vec![3..=12, 14..=14],
            key: None,
        }
    }

    #[test]
    fn a_checkpoint_is_what_its_documentation_says() {
        insta::assert_snapshot!(checkpoint().sign([&key("shop", 7)]), @r"
        shop
        17
        2026-11-24T11:14:32.250Z
        agent@a/20261124T111432.250Z-1f0c9a3b 3 1b0169f32143ca482c7b06cffad849dd6ce936a3368afb7f6d25302bd0f1f8e3
        webhook@a/20261124T111432.250Z-1f0c9a3b 12 e0ae9eba31772c5ee469b41a3d5f2ddd12db365d86976ba879f814362f9ae041
        dropped old@a/20261124T111432.250Z-1f0c9a3b 4 7a3254778aed6736352e414a6c6423d8feca3fac82097d1d59742fdc907fc954
        thinned 3-12
        thinned 14-14

        — shop am2LdQ/AuG/6OvUw2B+3WRg68ziNN2DOpZzIPA/twihefAyx8taLunDNVOazlLo6JiKFDakJuCzNx4tZVEPSIN0Dawo=
        ");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let rotation = Checkpoint {
            key: Some(key("shop", 8).verifier()),
            ..checkpoint()
        };
        let signed = rotation.sign([&key("shop", 7), &key("shop", 8)]);
        assert_eq!(signed.to_string().parse(), Ok(signed));
    }

    #[rstest]
    #[case::a_leading_zero("shop\n17", "shop\n017")]
    #[case::a_line_of_no_chain("dropped", "\ndropped")]
    #[case::a_range_of_the_future("14-14", "14-17")]
    #[case::ranges_that_overlap("14-14", "12-14")]
    #[case::a_range_backwards("3-12", "12-3")]
    #[case::no_count(
        "agent@a/20261124T111432.250Z-1f0c9a3b 3 ",
        "agent@a/20261124T111432.250Z-1f0c9a3b "
    )]
    fn another_text_is_no_checkpoint(#[case] from: &str, #[case] to: &str) {
        let text = checkpoint().to_string();
        assert_eq!(text.replace(from, to).parse::<Checkpoint>(), Err(FormError));
    }

    #[test]
    fn the_next_key_counts_once_both_signed_and_the_old_one_no_more() {
        let (old, new) = (key("shop", 7), key("shop", 8));
        let rotation = Checkpoint {
            key: Some(new.verifier()),
            ..checkpoint()
        };
        let mut signers = Signers::new(vec![old.verifier()]);
        assert_eq!(signers.admit(&checkpoint().sign([&old])), Ok(()));
        assert_eq!(signers.admit(&checkpoint().sign([&new])), Err(Distrust::Unsigned));
        assert_eq!(
            signers.admit(&rotation.clone().sign([&old])),
            Err(Distrust::HandedOver)
        );
        assert_eq!(signers.admit(&rotation.sign([&old, &new])), Ok(()));
        assert_eq!(signers.admit(&checkpoint().sign([&new])), Ok(()));
        assert_eq!(signers.admit(&checkpoint().sign([&old])), Err(Distrust::Unsigned));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            let _ = text.parse::<SignedCheckpoint>();
        }
    }
}
