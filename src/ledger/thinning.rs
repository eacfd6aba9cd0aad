//! Checkpoints become fewer as they age: one a minute for years is more than anybody verifies.
//!
//! Of a day that is older than [`KEPT_DAYS`] these stay: the last one, the last that has a timestamp, those that say
//! more than where the chains were (a key, what was deleted, what was thinned), those on both sides of a time without
//! checkpoints, and the first of all. Every record stays covered by the next one that stays. The checkpoint that is made
//! then names those that go; they go once it is on the disk. So `verify` misses every other.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan as _};
use provost_evidence::checkpoint::{Checkpoint, MAX_INTERVAL_SECONDS, SignedCheckpoint};

use super::checkpoints::{Entry, Error, KEPT_DAYS, Store, files, read_file};
use super::timestamps;

/// Days that are thinned in one pass: what a checkpoint says of it stays short.
const MAX_DAYS_AT_ONCE: usize = 8;

/// What is to go, and what stays in its place.
#[derive(Debug, Default)]
pub struct Thinning {
    days: Vec<Day>,
}

#[derive(Debug)]
struct Day {
    path: PathBuf,
    kept: Vec<SignedCheckpoint>,
    gone: BTreeSet<u64>,
}

// === impl Thinning ===

impl Thinning {
    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// The numbers that go.
    pub fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        let mut ranges = Vec::<RangeInclusive<u64>>::new();
        let gone: BTreeSet<u64> = self.days.iter().flat_map(|day| &day.gone).copied().collect();
        for number in gone {
            match ranges.last_mut() {
                Some(last) if last.end() + 1 == number => *last = *last.start()..=number,
                _ => ranges.push(number..=number),
            }
        }
        ranges
    }
}

// === impl Store ===

impl Store {
    /// What is old enough to go at this time.
    pub fn to_thin(&self, now: Timestamp) -> Result<Thinning, Error> {
        let failed = |source| Error::File {
            path: self.folder.clone(),
            source,
        };
        let oldest = (now.to_zoned(jiff::tz::TimeZone::UTC).date() - KEPT_DAYS.days()).to_string();
        let mut stamped = BTreeSet::new();
        timestamps::read(self.directory(), |_, _, entry| {
            stamped.extend(entry.map(|entry| entry.checkpoint));
        })
        .map_err(failed)?;
        let mut days = Vec::new();
        for path in files(&self.folder).map_err(failed)? {
            let is_old = path
                .file_stem()
                .is_some_and(|day| day.to_string_lossy().as_ref() < oldest.as_str());
            if !is_old || days.len() == MAX_DAYS_AT_ONCE {
                break;
            }
            days.extend(day(&path, &stamped)?.filter(|day| !day.gone.is_empty()));
        }
        Ok(Thinning { days })
    }

    /// Lets it go. The checkpoint that says so is on the disk.
    pub fn thin(&self, thinning: &Thinning) -> Result<(), Error> {
        for day in &thinning.days {
            let write = || {
                let mut new = tempfile::NamedTempFile::new_in(&self.folder)?;
                for signed in &day.kept {
                    writeln!(new, "{signed}")?;
                }
                new.as_file().sync_all()?;
                new.persist(&day.path).map_err(|error| error.error)?;
                timestamps::keep(self.directory(), |number| !day.gone.contains(&number))
            };
            write().map_err(|source| Error::File {
                path: day.path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

/// `None` where the file has what is no checkpoint: nobody touches that.
fn day(path: &Path, stamped: &BTreeSet<u64>) -> Result<Option<Day>, Error> {
    let (mut all, mut is_whole) = (Vec::new(), true);
    read_file(path, &mut |_, entry| match entry {
        Entry::Checkpoint(signed) => all.push(*signed),
        Entry::Damaged | Entry::Torn => is_whole = false,
    })
    .map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let last_stamped = all
        .iter()
        .map(|signed| signed.checkpoint.number)
        .rfind(|number| stamped.contains(number));
    let stays = |index: usize| {
        let checkpoint = |index: usize| all.get(index).map(|signed: &SignedCheckpoint| &signed.checkpoint);
        let Some(this) = checkpoint(index) else {
            return true;
        };
        let next = checkpoint(index + 1);
        let before = index.checked_sub(1).and_then(checkpoint);
        this.number == 0
            || next.is_none()
            || last_stamped == Some(this.number)
            || this.says_more()
            || next.is_some_and(|next| is_silence(this, next))
            || before.is_some_and(|before| is_silence(before, this))
    };
    let gone: BTreeSet<u64> = (0..all.len())
        .filter(|index| !stays(*index))
        .filter_map(|index| Some(all.get(index)?.checkpoint.number))
        .collect();
    all.retain(|signed| !gone.contains(&signed.checkpoint.number));
    Ok(is_whole.then(|| Day {
        path: path.to_owned(),
        kept: all,
        gone,
    }))
}

/// Whether the recorder did not work between the two, which follow each other.
fn is_silence(before: &Checkpoint, after: &Checkpoint) -> bool {
    let seconds = |checkpoint: &Checkpoint| checkpoint.time.parse().map_or(0, Timestamp::as_second);
    let between = seconds(after).saturating_sub(seconds(before));
    before.number + 1 == after.number
        && u64::try_from(between).is_ok_and(|seconds| seconds > 2 * MAX_INTERVAL_SECONDS)
}
