//! A change that is being put together from what its witnesses tell.

use jiff::{SignedDuration, Timestamp};

use super::join::Admitted;
use super::{Change, Source, State};
use crate::witness::Observation;

/// Clocks of the apiserver and of ours may differ by this much.
pub(super) const SKEW: SignedDuration = SignedDuration::from_secs(2);
/// How long after the answer a watch may tell.
pub(super) const OBSERVED_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// What is done inside a container, through its Pod.
pub(super) const CONNECTIONS: [&str; 4] = ["exec", "attach", "portforward", "proxy"];

/// The change, and the times between which a watch may tell of it.
pub(super) struct Draft {
    pub(super) change: Change,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

// === impl Draft ===

impl Draft {
    pub(super) fn alone(uid: &str, admitted: &Admitted) -> Self {
        let mut draft = Self {
            from: minus(admitted.time, SKEW),
            until: plus(admitted.time, OBSERVED_WITHIN),
            change: Change {
                time: crate::chain::format_time(admitted.time),
                state: State::AdmittedNotObserved,
                user: admitted.user.clone(),
                impersonated: String::new(),
                verb: admitted.operation.to_lowercase(),
                object: admitted.object.clone(),
                verdict: String::new(),
                code: 0,
                manager: String::new(),
                witnesses: Vec::new(),
                audit_id: String::new(),
                reviews: Vec::new(),
                reason: String::new(),
            },
        };
        draft.join(uid, admitted);
        draft
    }

    pub(super) fn join(&mut self, uid: &str, admitted: &Admitted) {
        let change = &mut self.change;
        change.reviews.push(uid.to_owned());
        change.reviews.sort();
        change.witnesses.push(admitted.source);
        change.witnesses.sort_unstable();
        change.witnesses.dedup();
        change.verdict = sternest([change.verdict.as_str(), admitted.verdict.as_str()]);
        if change.verdict == "denied" {
            change.state = State::Denied;
        }
    }

    pub(super) fn observed(time: Timestamp, observation: &Observation) -> Self {
        Self {
            from: time,
            until: time,
            change: Change {
                time: crate::chain::format_time(time),
                state: State::ObservedNotAdmitted,
                user: String::new(),
                impersonated: String::new(),
                verb: observation.change.clone(),
                object: observation.object.clone(),
                verdict: String::new(),
                code: 0,
                manager: observation.manager.clone(),
                witnesses: vec![Source::Watch],
                audit_id: String::new(),
                reviews: Vec::new(),
                reason: String::new(),
            },
        }
    }

    pub(super) fn may_be_seen_as(&self, observation: &Observation, time: Timestamp) -> bool {
        // What is done inside a container changes no object.
        if CONNECTIONS.contains(&self.change.object.subresource.as_str()) {
            return false;
        }
        let is_deletion = matches!(observation.change.as_str(), "deleted" | "gone");
        let verb = self.change.verb.as_str();
        let deletes = verb.starts_with("delete") || self.change.object.subresource == "eviction";
        // An object with finalizers is changed by its deletion, and goes with the change that removes the last one.
        let fits = if observation.change == "added" {
            !deletes
        } else {
            !is_deletion || deletes || verb != "create"
        };
        // A collection is seen object by object.
        let is_free = verb == "deletecollection" || !self.change.witnesses.contains(&Source::Watch);
        fits && is_free && self.from <= time && time <= self.until
    }

    pub(super) fn saw(&mut self, observation: &Observation) {
        let change = &mut self.change;
        if !change.witnesses.contains(&Source::Watch) {
            change.witnesses.push(Source::Watch);
        }
        // Who wrote last is not who deleted.
        if !matches!(observation.change.as_str(), "deleted" | "gone") {
            fill(&mut change.manager, &observation.manager);
        }
        fill(&mut change.object.kind, &observation.object.kind);
        if change.state == State::AdmittedNotObserved {
            change.state = State::Witnessed;
        }
    }
}

/// The verdict that counts of several, as an event names them.
pub(super) fn sternest<'a>(verdicts: impl IntoIterator<Item = &'a str>) -> String {
    let rank = |verdict: &str| {
        ["", "witnessed", "exempt", "allowed", "warned", "denied"]
            .iter()
            .position(|known| *known == verdict)
    };
    let sternest = verdicts
        .into_iter()
        .max_by_key(|verdict| rank(verdict))
        .unwrap_or_default();
    if sternest == "witnessed" {
        String::new()
    } else {
        sternest.to_owned()
    }
}

/// Completes a text that is not known yet.
pub(super) fn fill(text: &mut String, with: &str) {
    if text.is_empty() {
        with.clone_into(text);
    }
}

pub(super) fn plus(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(super) fn minus(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}
