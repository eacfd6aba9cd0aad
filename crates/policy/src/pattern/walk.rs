//! The verdict of a pattern: compares and stops at the first thing that decides.
//!
//! The order in which keys are looked at decides between skip and failure, so it is kept exactly as the language
//! has it, oddities included.

use provost_expression::{Budget, EvalError};
use serde_json::{Map, Value};

use super::compare::Scalar;
use super::{Anchor, Entry, ListNode, MapNode, Node, Pattern};

/// What a pattern says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The object is as the pattern wants it.
    Pass,
    /// An anchor says that the pattern does not concern this object.
    Skip,
    /// The object is not as the pattern wants it.
    Fail,
    /// It is not, and an anchor that was met on the way is nowhere in the object; the language calls this an error.
    AnchorMissing,
    /// A list is shorter than the pattern's list of lists; the language calls this an error.
    ListTooShort,
}

/// Why a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Skip,
    Fail,
    /// A failure of `X(k)`: never an error.
    Negated,
    ListTooShort,
    /// The budget is spent, and says so itself whatever is made of this.
    Spent,
}

/// Which `(k)` and `^(k)` keys were met, and which of them some map of the object has.
#[derive(Default)]
struct Tracks(Vec<Track>);

#[derive(Clone, Copy, Default)]
struct Track {
    met: bool,
    found: bool,
}

pub(super) fn check(pattern: &Pattern, value: &Value, budget: &mut Budget) -> Result<Verdict, EvalError> {
    let mut walk = Walk {
        tracks: Tracks(vec![Track::default(); pattern.tracked]),
        budget,
    };
    let outcome = walk.node(&pattern.root, Some(value));
    // An anchor takes any failure for "does not concern me", and must not take this one for it.
    if let Some(stopped) = walk.budget.stopped() {
        return Err(stopped);
    }
    Ok(match outcome {
        Ok(()) => Verdict::Pass,
        Err(Stop::Skip) => Verdict::Skip,
        Err(Stop::Negated) => Verdict::Fail,
        Err(_) if walk.tracks.any_missing() => Verdict::AnchorMissing,
        Err(Stop::Fail | Stop::Spent) => Verdict::Fail,
        Err(Stop::ListTooShort) => Verdict::ListTooShort,
    })
}

/// How a map looks from one of its keys: also what the collector asks.
pub(super) fn outcome_of_map(map: &MapNode, value: Option<&Value>, budget: &mut Budget) -> Verdict {
    let mut walk = Walk::untracked(budget);
    match walk.map(map, value) {
        Ok(()) => Verdict::Pass,
        Err(Stop::Skip) => Verdict::Skip,
        Err(_) => Verdict::Fail,
    }
}

/// How one entry of a pattern's map sees the object's map.
pub(super) fn outcome_of_entry(entry: &Entry, object: &Map<String, Value>, budget: &mut Budget) -> Verdict {
    let mut walk = Walk::untracked(budget);
    match walk.entry(entry, object) {
        Ok(()) => Verdict::Pass,
        Err(Stop::Skip) => Verdict::Skip,
        Err(_) => Verdict::Fail,
    }
}

struct Walk<'b> {
    tracks: Tracks,
    budget: &'b mut Budget,
}

impl<'b> Walk<'b> {
    fn untracked(budget: &'b mut Budget) -> Self {
        Self {
            tracks: Tracks::default(),
            budget,
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        self.budget.spend(steps as u64).map_err(|_| Stop::Spent)
    }

    fn scalar(&mut self, scalar: &Scalar, value: Option<&Value>) -> Result<(), Stop> {
        match value {
            Some(Value::Array(items)) => self.spend(items.len())?,
            Some(Value::String(text)) => self.budget.read(text.len()).map_err(|_| Stop::Spent)?,
            _ => {}
        }
        pass_or_fail(scalar.matches_all(value))
    }

    fn node(&mut self, node: &Node, value: Option<&Value>) -> Result<(), Stop> {
        match node {
            Node::Map(map) => self.map(map, value),
            Node::List(list) => self.list(list, value),
            Node::Scalar(scalar) => self.scalar(scalar, value),
            Node::Existence(maps) => self.existence(maps, value),
        }
    }

    fn list(&mut self, list: &ListNode, value: Option<&Value>) -> Result<(), Stop> {
        let Some(Value::Array(items)) = value else {
            return Err(Stop::Fail);
        };
        match list {
            ListNode::Empty => Err(Stop::Fail),
            ListNode::Scalar(scalar) => self
                .spend(items.len())
                .and_then(|()| pass_or_fail(items.iter().all(|item| scalar.matches(Some(item))))),
            ListNode::Each(map) => self.elements(items.iter(), |walk, item| walk.map(map, Some(item))),
            ListNode::Positional(nodes) if items.len() < nodes.len() => Err(Stop::ListTooShort),
            ListNode::Positional(nodes) => self.elements(nodes.iter().zip(items), |walk, (node, item)| {
                walk.node(node, Some(item))
            }),
        }
    }

    /// Elements that skip are left aside; where some are and none passed, the list skips.
    fn elements<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut check: impl FnMut(&mut Self, T) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (mut passed, mut skipped) = (false, false);
        for item in items {
            match check(self, item) {
                Ok(()) => passed = true,
                Err(Stop::Skip) => skipped = true,
                Err(stop) => return Err(stop),
            }
        }
        if skipped && !passed {
            Err(Stop::Skip)
        } else {
            Ok(())
        }
    }

    fn existence(&mut self, maps: &[MapNode], value: Option<&Value>) -> Result<(), Stop> {
        let Some(Value::Array(items)) = value else {
            return Err(Stop::Fail);
        };
        let has_one_like = |map| items.iter().any(|item| self.map(map, Some(item)).is_ok());
        pass_or_fail(maps.iter().all(has_one_like))
    }

    fn map(&mut self, map: &MapNode, value: Option<&Value>) -> Result<(), Stop> {
        let Some(Value::Object(object)) = value else {
            return Err(Stop::Fail);
        };
        self.spend(1 + map.anchored.len() + map.fields.len())?;
        self.tracks.visit(map, object);
        self.anchored(map, object)?;
        for entry in &map.fields {
            self.entry(entry, object)?;
        }
        Ok(())
    }

    /// The keys that decide first. A condition of this very map that does not hold outweighs what fails after it.
    fn anchored(&mut self, map: &MapNode, object: &Map<String, Value>) -> Result<(), Stop> {
        let (mut applied, mut skipped, mut own_condition) = (false, false, false);
        for entry in &map.anchored {
            match self.entry(entry, object) {
                Ok(()) => applied = true,
                Err(Stop::Skip) => {
                    skipped = true;
                    own_condition |= entry.anchor == Anchor::Condition;
                }
                Err(_) if own_condition => {}
                Err(stop) => return Err(stop),
            }
        }
        if own_condition || (skipped && !applied) {
            Err(Stop::Skip)
        } else {
            Ok(())
        }
    }

    fn entry(&mut self, entry: &Entry, object: &Map<String, Value>) -> Result<(), Stop> {
        let value = entry.value_in(object);
        match (entry.anchor, value) {
            (Anchor::Plain | Anchor::Addition, _) if entry.anything => {
                pass_or_fail(value.is_some_and(|value| !value.is_null()))
            }
            (Anchor::Condition, None) => Err(Stop::Skip),
            (Anchor::Plain | Anchor::Addition, None) => self.node(&entry.node, None),
            (_, None) => Ok(()),
            (Anchor::Condition | Anchor::Global, Some(_)) => {
                self.node(&entry.node, value).map_err(|_| Stop::Skip)
            }
            (Anchor::Negation, Some(_)) => Err(Stop::Negated),
            (_, Some(_)) => self.node(&entry.node, value),
        }
    }
}

fn pass_or_fail(pass: bool) -> Result<(), Stop> {
    if pass { Ok(()) } else { Err(Stop::Fail) }
}

// === impl Entry ===

impl Entry {
    /// The object's key that this entry speaks of: for a wildcard the first that matches, in byte order, so that
    /// the order of a file's keys decides nothing.
    pub(super) fn key_in<'k>(&'k self, object: &'k Map<String, Value>) -> &'k str {
        let Some(wildcard) = &self.wildcard else {
            return &self.key;
        };
        object
            .keys()
            .filter(|key| wildcard.matches(key))
            .min()
            .unwrap_or(&self.key)
    }

    pub(super) fn value_in<'o>(&self, object: &'o Map<String, Value>) -> Option<&'o Value> {
        object.get(self.key_in(object))
    }
}

// === impl Tracks ===

impl Tracks {
    fn visit(&mut self, map: &MapNode, object: &Map<String, Value>) {
        if self.0.is_empty() {
            return;
        }
        for entry in &map.anchored {
            let found = entry.value_in(object).is_some();
            // A wildcard that found its key was replaced by it, and is not the anchor that was written.
            let replaced = entry.wildcard.is_some() && found;
            if let Some(track) = entry.tracked.filter(|_| !replaced) {
                self.0[track].met = true;
                self.0[track].found |= found;
            }
        }
    }

    fn any_missing(&self) -> bool {
        self.0.iter().any(|track| track.met && !track.found)
    }
}
