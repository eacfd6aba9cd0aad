//! When entries of the global context were last read, and what went wrong last: for their Ready conditions.
//!
//! Several replicas keep an entry each, and one condition tells of it. So it is told at most once a minute, and by whoever
//! knows something later.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use jiff::{Timestamp, Unit};
use provost_manifest::escape;
use tokio::sync::watch;

/// How often at most it is told again that an entry was read, or could still not be read.
pub(super) const TOLD_EVERY: Duration = Duration::from_mins(1);
/// How much of a failure is told.
const MAX_WHY_CHARS: usize = 500;

/// What is told of the entries that are kept. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reads(Arc<watch::Sender<BTreeMap<Arc<str>, Read>>>);

/// What is told of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// When it was read last.
    read: Option<Timestamp>,
    /// When it could not be read last, and why.
    failed: Option<(Timestamp, String)>,
}

// === impl Reads ===

impl Reads {
    /// What is told now; changes each time that there is something to tell.
    pub(super) fn subscribe(&self) -> watch::Receiver<BTreeMap<Arc<str>, Read>> {
        self.0.subscribe()
    }

    /// An entry of this name was read.
    pub(super) fn read(&self, name: &Arc<str>, now: Timestamp) {
        self.tell(name, |known| {
            let is_news = known.is_failing() || known.read.is_none_or(|before| is_due(before, now));
            known.read = Some(now);
            is_news
        });
    }

    /// It could not be read.
    pub(super) fn failed(&self, name: &Arc<str>, now: Timestamp, why: &str) {
        let why: String = escape::line(why)
            .to_string()
            .chars()
            .take(MAX_WHY_CHARS)
            .collect();
        self.tell(name, |known| {
            let is_news = !known.is_failing()
                || known
                    .failed
                    .as_ref()
                    .is_none_or(|(before, told)| is_due(*before, now) || *told != why);
            known.failed = Some((now, why));
            is_news
        });
    }

    /// Keeps what is told where `change` says that there is nothing new.
    fn tell(&self, name: &Arc<str>, change: impl FnOnce(&mut Read) -> bool) {
        self.0.send_if_modified(|all| {
            let known = all.entry(Arc::clone(name)).or_default();
            let mut changed = known.clone();
            let is_news = change(&mut changed);
            if is_news {
                *known = changed;
            }
            is_news
        });
    }

    /// It is not kept any more.
    pub(super) fn forget(&self, name: &str) {
        self.0.send_if_modified(|all| all.remove(name).is_some());
    }
}

fn is_due(before: Timestamp, now: Timestamp) -> bool {
    now.duration_since(before) >= jiff::SignedDuration::try_from(TOLD_EVERY).unwrap_or_default()
}

// === impl Read ===

impl Read {
    /// Whether it could not be read when that was last tried.
    pub(super) fn is_failing(&self) -> bool {
        let failed = self.failed.as_ref().map(|(when, _)| *when);
        failed.is_some() && failed >= self.read
    }

    /// As a condition says it. The first time in it is that of what happened last.
    pub(super) fn message(&self) -> String {
        let mut text = String::new();
        match (self.read, &self.failed) {
            (Some(read), Some((failed, why))) if self.is_failing() => {
                let _ = write!(
                    text,
                    "could not be read at {}: {why}; it was read last at {}",
                    shown(*failed),
                    shown(read)
                );
            }
            (_, Some((failed, why))) if self.is_failing() => {
                let _ = write!(
                    text,
                    "could not be read at {}: {why}; it was never read",
                    shown(*failed)
                );
            }
            (Some(read), Some((failed, why))) => {
                let _ = write!(
                    text,
                    "read at {}; it could not be read last at {}: {why}",
                    shown(read),
                    shown(*failed)
                );
            }
            (Some(read), None) => {
                let _ = write!(text, "read at {}", shown(read));
            }
            (None, _) => text.push_str("kept once a rule reads it"),
        }
        text
    }
}

/// To the second, as Kubernetes writes times.
fn shown(time: Timestamp) -> Timestamp {
    time.round(Unit::Second).unwrap_or(time)
}

/// The time of what happened last, as a condition says it.
pub(super) fn time_of(message: &str) -> Option<Timestamp> {
    let (_, rest) = message.split_once(" at ")?;
    let end = rest.find(|letter: char| ![':', '-', '.'].contains(&letter) && !letter.is_ascii_alphanumeric());
    let time = &rest[..end.unwrap_or(rest.len())];
    time.trim_end_matches(':').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_read_is_told_at_once_and_then_once_a_minute_and_a_failure_as_soon_as_it_changes() {
        let reads = Reads::default();
        let mut told = reads.subscribe();
        let name: Arc<str> = "teams".into();
        let mut news = |what: &dyn Fn(&Reads)| {
            what(&reads);
            let is_news = told.has_changed().unwrap();
            let known = told.borrow_and_update().get("teams").map(Read::message);
            is_news.then(|| known.unwrap_or_default())
        };
        insta::assert_snapshot!(news(&|reads| reads.read(&name, at(0))).unwrap(), @"read at 2027-01-15T08:00:00Z");
        assert_eq!(news(&|reads| reads.read(&name, at(59))), None);
        insta::assert_snapshot!(news(&|reads| reads.read(&name, at(60))).unwrap(), @"read at 2027-01-15T08:01:00Z");
        insta::assert_snapshot!(
            news(&|reads| reads.failed(&name, at(61), "no answer")).unwrap(),
            @"could not be read at 2027-01-15T08:01:01Z: no answer; it was read last at 2027-01-15T08:01:00Z");
        assert_eq!(news(&|reads| reads.failed(&name, at(62), "no answer")), None);
        assert!(news(&|reads| reads.failed(&name, at(63), "forbidden")).is_some());
        insta::assert_snapshot!(
            news(&|reads| reads.read(&name, at(64))).unwrap(),
            @"read at 2027-01-15T08:01:04Z; it could not be read last at 2027-01-15T08:01:03Z: forbidden");
        assert!(news(&|reads| reads.forget("teams")).is_some());
        insta::assert_snapshot!(
            news(&|reads| reads.failed(&name, at(70), "no answer")).unwrap(),
            @"could not be read at 2027-01-15T08:01:10Z: no answer; it was never read");
    }

    #[test]
    fn a_condition_tells_when_it_was_written() {
        for message in [
            "read at 2027-01-15T08:00:00Z",
            "read at 2027-01-15T08:00:00Z; it could not be read last at 2026-01-15T08:01:03Z: forbidden",
            "could not be read at 2027-01-15T08:00:00Z: no answer at 5; it was never read",
        ] {
            assert_eq!(time_of(message), Some(at(0)), "{message}");
        }
        assert_eq!(time_of("kept once a rule reads it"), None);
    }
}
