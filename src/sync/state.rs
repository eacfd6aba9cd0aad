//! What an Application's task remembers of each object between passes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use provost_manifest::digest::Digest;
use provost_manifest::object::ObjectKey;

use crate::cluster::Folded;

/// How often one object may be put back within [`HEAL_WINDOW`]; more is a fight with another controller.
const HEAL_BUDGET: u32 = 10;
/// The window of the budget.
const HEAL_WINDOW: Duration = Duration::from_mins(1);

/// The objects as the task knows them.
#[derive(Debug, Default)]
pub(super) struct State {
    seen: HashMap<ObjectKey, Seen>,
}

/// One object as the task knows it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Digest of what was wanted when it was compared.
    pub(super) wanted: Digest,
    /// How it was; `None` where it was not there.
    pub(super) live: Option<Folded>,
    /// What came of the comparison.
    pub(super) standing: Standing,
    /// When it was first seen to be otherwise, while it is.
    pub(super) differs_since: Option<Timestamp>,
    /// Whether it has changed since.
    stale: bool,
    heals: u32,
    last_heal: Option<Instant>,
    /// With whom it is fought over, once the budget is spent.
    fight: Option<String>,
}

/// Whether an object is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    InSync,
    /// It is not, and nobody told us to change that.
    OutOfSync,
    /// It was there before us: it is not ours to change or delete.
    NotOurs,
}

// === impl State ===

impl State {
    /// What the watches saw: only what differs from what is remembered makes an object stale.
    pub(super) fn observe(&mut self, observed: HashMap<ObjectKey, Option<Folded>>) {
        for (key, live) in observed {
            let Some(seen) = self.seen.get_mut(&key) else {
                continue;
            };
            match (live, &mut seen.live) {
                (Some(now), Some(before)) if now.uid == before.uid && now.is_older_than(before) => {}
                (Some(now), Some(before)) if now.uid == before.uid && now.digest == before.digest => {
                    *before = now;
                }
                (None, None) => {}
                _ => seen.stale = true,
            }
        }
    }

    /// Whether the object need not be compared: it is as when it was compared with the same.
    pub(super) fn is_known(&self, key: &ObjectKey, wanted: &Digest) -> bool {
        self.seen
            .get(key)
            .is_some_and(|seen| !seen.stale && seen.wanted == *wanted)
    }

    /// Remembers a comparison; whether it stands differently now.
    pub(super) fn record(
        &mut self,
        key: &ObjectKey,
        wanted: Digest,
        live: Option<Folded>,
        standing: Standing,
    ) -> bool {
        let before = self.seen.get(key);
        let changed = before.is_none_or(|before| before.standing != standing || before.stale);
        let (heals, last_heal) = before.map_or((0, None), |before| (before.heals, before.last_heal));
        let since = before.and_then(|before| before.differs_since);
        let seen = Seen {
            differs_since: (standing == Standing::OutOfSync).then(|| since.unwrap_or_else(Timestamp::now)),
            wanted,
            live,
            standing,
            stale: false,
            heals,
            last_heal,
            fight: None,
        };
        self.seen.insert(key.clone(), seen);
        changed
    }

    /// The object must be compared again.
    pub(super) fn distrust(&mut self, key: &ObjectKey) {
        if let Some(seen) = self.seen.get_mut(key) {
            seen.stale = true;
        }
    }

    /// Whatever stands so must be compared again.
    pub(super) fn distrust_standing(&mut self, standing: Standing) {
        let seen = self.seen.values_mut().filter(|seen| seen.standing == standing);
        seen.for_each(|seen| seen.stale = true);
    }

    /// Takes one from the object's budget of being put back; `false` where it is spent.
    pub(super) fn may_heal(&mut self, key: &ObjectKey) -> bool {
        let Some(seen) = self.seen.get_mut(key) else {
            return true;
        };
        if seen.last_heal.is_none_or(|last| last.elapsed() > HEAL_WINDOW) {
            seen.heals = 0;
        }
        if seen.heals >= HEAL_BUDGET {
            return false;
        }
        seen.heals += 1;
        seen.last_heal = Some(Instant::now());
        true
    }

    /// The object is fought over: it is left alone until the window has passed.
    pub(super) fn hold(&mut self, key: &ObjectKey, fight: String) {
        if let Some(seen) = self.seen.get_mut(key) {
            seen.stale = true;
            seen.fight = Some(fight);
        }
    }

    /// With whom an object is fought over that is to be left alone for now.
    pub(super) fn held(&self, key: &ObjectKey) -> Option<&str> {
        let seen = self.seen.get(key)?;
        let in_window = seen.last_heal.is_some_and(|last| last.elapsed() <= HEAL_WINDOW);
        seen.fight.as_deref().filter(|_| in_window)
    }

    /// What is remembered of an object.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Seen> {
        self.seen.get(key)
    }

    /// Whether the object was as `wanted` by the last comparison, so that it has been changed if it is not now.
    pub(super) fn was_in_sync(&self, key: &ObjectKey, wanted: &Digest) -> bool {
        let seen = self.seen.get(key);
        seen.is_some_and(|seen| seen.standing == Standing::InSync && seen.wanted == *wanted)
    }

    /// Whether the object may differ from what it was when it was compared with `wanted`, or was not compared at all.
    pub(super) fn has_changed_since(&self, key: &ObjectKey, wanted: &Digest) -> bool {
        let seen = self.seen.get(key);
        seen.is_none_or(|seen| seen.wanted == *wanted && (seen.stale || seen.standing == Standing::OutOfSync))
    }

    /// Forgets what is no longer wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(&ObjectKey) -> bool) {
        self.seen.retain(|key, _| wanted(key));
    }
}
