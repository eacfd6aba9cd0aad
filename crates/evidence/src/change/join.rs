//! Joins what witnesses tell.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::draft::{CONNECTIONS, Draft, OBSERVED_WITHIN, SKEW, fill, minus, plus, sternest};
use super::scope::Scope;
use super::{Change, Counts, Reconciliation, Source, State};
use crate::event::{Admission, Event};
use crate::witness::{Audit, Observation, Subject, Witness};

/// Records of witnesses that are reconciled together; a shorter time holds fewer.
pub const MAX_CHANGES: usize = 1_000_000;
/// Admissions of one request come within this time: the apiserver asks all webhooks at once, and waits 30 s at most.
const ONE_REQUEST: SignedDuration = SignedDuration::from_secs(2);
/// The names of our webhooks end so.
const OURS: &str = ".provost.dev";
/// Those that only witness begin so.
const WITNESS: &str = "witness";

/// More was recorded than is reconciled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_CHANGES} records of writes: choose a shorter time")]
pub struct TooMany;

/// Takes records, in any order, and says what became of each write.
#[derive(Debug, Default)]
pub struct Reconciler {
    /// Only changes of this time are wanted.
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// What was asked about from when on.
    scopes: BTreeMap<Timestamp, Scope>,
    audits: BTreeMap<String, Audit>,
    admissions: BTreeMap<String, Admitted>,
    observations: Vec<(Timestamp, Observation)>,
    repeated: u64,
}

/// A request that reached us.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) time: Timestamp,
    pub(super) source: Source,
    pub(super) operation: String,
    pub(super) object: Subject,
    pub(super) user: String,
    pub(super) dry_run: bool,
    pub(super) verdict: String,
}

/// What a watch may tell of: changes of one object.
type Key = (String, String, String, String);

// === impl Reconciler ===

impl Reconciler {
    /// Of changes from one time until before another, each RFC 3339 in UTC or the beginning of it, such as `2026-11-24`.
    pub fn within(from: Option<&str>, to: Option<&str>) -> Self {
        Self {
            from: from.and_then(moment),
            to: to.and_then(moment),
            ..Self::default()
        }
    }

    fn wants(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }

    /// Whether a record of this time may be of a change that is wanted: no witness but the audit log tells late.
    fn may_matter(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < plus(to, OBSERVED_WITHIN))
    }

    /// Takes one record; others than those of witnesses are passed over.
    pub fn add(&mut self, time: &str, event: &Event) -> Result<(), TooMany> {
        let Ok(time) = time.parse::<Timestamp>() else {
            return Ok(());
        };
        let is_ours = matches!(event, Event::Boot(_) | Event::Audit(_));
        if !is_ours && !self.may_matter(time) {
            return Ok(());
        }
        match event {
            Event::Boot(boot) => self.scopes.extend(Scope::of(boot).map(|scope| (time, scope))),
            Event::Admission(admission) | Event::PolicyChange(admission) => {
                self.admissions
                    .insert(admission.uid.clone(), Admitted::judged(time, admission));
            }
            Event::Witness(witness) => {
                self.admissions
                    .insert(witness.uid.clone(), Admitted::witnessed(time, witness));
            }
            Event::Audit(audit) if self.wants(received(audit)) => {
                let known = self.audits.insert(audit.audit_id.clone(), audit.clone());
                self.repeated += u64::from(known.is_some());
            }
            Event::Observation(observation) => self.observations.push((time, observation.clone())),
            _ => {}
        }
        if self.audits.len() + self.admissions.len() + self.observations.len() > MAX_CHANGES {
            return Err(TooMany);
        }
        Ok(())
    }

    /// What became of each write.
    pub fn finish(mut self) -> Reconciliation {
        let has_audit = !self.audits.is_empty();
        let mut counts = Counts {
            repeated: self.repeated,
            ..Counts::default()
        };
        let mut drafts = Vec::new();
        let mut joined = BTreeSet::new();
        let audits = std::mem::take(&mut self.audits);
        let mut audits: Vec<_> = audits
            .into_values()
            .map(|audit| (received(&audit), audit))
            .collect();
        audits.sort_by(|(a, first), (b, second)| (a, &first.audit_id).cmp(&(b, &second.audit_id)));
        // What is named first: what is only alike must not take it away from another request.
        let named: BTreeSet<String> = audits
            .iter()
            .flat_map(|(_, audit)| audit.answers.iter().map(|answer| answer.uid.clone()))
            .collect();
        let alike = self.by_user(&named);
        for (received, audit) in audits {
            let reviews = self.reviews_of(received, &audit, &alike, &mut joined);
            // A deletion says it in its body alone, which the audit log need not have.
            let admitted = reviews.iter().filter_map(|uid| self.admissions.get(uid));
            if audit.dry_run || admitted.into_iter().any(|admitted| admitted.dry_run) {
                counts.dry_runs += 1;
                continue;
            }
            drafts.push(self.audited(received, &audit, &reviews));
        }
        drafts.extend(self.admitted_alone(&joined, &mut counts));
        self.observe(&mut drafts);
        let (from, to) = (self.from, self.to);
        drafts.retain(|draft| {
            let time = draft.change.time.parse().unwrap_or(Timestamp::UNIX_EPOCH);
            from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to)
        });
        let mut changes: Vec<Change> = drafts.into_iter().map(|draft| draft.change).collect();
        changes.sort_by(|a, b| (&a.time, &a.audit_id, &a.reviews).cmp(&(&b.time, &b.audit_id, &b.reviews)));
        for change in &changes {
            counts.add(change);
        }
        Reconciliation {
            changes,
            counts,
            has_audit,
        }
    }

    /// Admissions that no audit event names, by who asked.
    fn by_user(&self, named: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<(Timestamp, String)>> {
        let mut by_user: BTreeMap<String, BTreeSet<(Timestamp, String)>> = BTreeMap::new();
        for (uid, admitted) in self.admissions.iter().filter(|(uid, _)| !named.contains(*uid)) {
            let of_user = by_user.entry(admitted.user.clone()).or_default();
            of_user.insert((admitted.time, uid.clone()));
        }
        by_user
    }

    /// The admissions of a request: those that it names, and those that are of the same object, by the same user, while
    /// it was served.
    fn reviews_of(
        &self,
        received: Timestamp,
        audit: &Audit,
        alike: &BTreeMap<String, BTreeSet<(Timestamp, String)>>,
        joined: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let mut reviews = Vec::new();
        for answer in &audit.answers {
            if self.admissions.contains_key(&answer.uid) && joined.insert(answer.uid.clone()) {
                reviews.push(answer.uid.clone());
            }
        }
        let from = minus(received, SKEW);
        let until = plus(completed(received, audit), SKEW);
        let of_user = alike.get(acting_user(audit)).into_iter();
        let during = of_user.flat_map(|all| all.range((from, String::new())..=(until, String::new())));
        for (_, uid) in during {
            let Some(admitted) = self.admissions.get(uid) else {
                continue;
            };
            if admitted.is_of(audit) && joined.insert(uid.clone()) {
                reviews.push(uid.clone());
            }
        }
        reviews
    }

    fn scope_at(&self, time: Timestamp) -> Option<&Scope> {
        self.scopes.range(..=time).next_back().map(|(_, scope)| scope)
    }

    /// Why nobody was asked about a write, where that is as it should be.
    fn not_asked(&self, time: Timestamp, object: &Subject) -> Option<&'static str> {
        match self.scope_at(time) {
            Some(scope) => scope.excludes(object),
            None => Some("no webhook of ours had ever run"),
        }
    }

    fn audited(&self, received: Timestamp, audit: &Audit, reviews: &[String]) -> Draft {
        let admitted: Vec<&Admitted> = reviews
            .iter()
            .filter_map(|uid| self.admissions.get(uid))
            .collect();
        let verdict = sternest(
            admitted
                .iter()
                .map(|admitted| admitted.verdict.as_str())
                .chain(audit.answers.iter().map(|answer| answer.verdict.as_str())),
        );
        let is_carried_out = audit.code < 400;
        let failed: Vec<&str> = audit
            .failed_open
            .iter()
            .map(String::as_str)
            .filter(|name| name.ends_with(OURS))
            .collect();
        let unjudged = failed.iter().any(|name| !name.starts_with(WITNESS));
        let is_known = !admitted.is_empty() || !audit.answers.is_empty();
        let (state, reason) = match (is_carried_out, is_known) {
            (true, _) if unjudged || (!is_known && !failed.is_empty()) => (
                State::NotEvaluated,
                format!("nobody answered for {}", failed.join(", ")),
            ),
            (true, true) => (State::Witnessed, unrecorded(audit, &admitted)),
            (true, false) => match self.not_asked(received, &audit.object) {
                Some(reason) => (State::NotAsked, reason.to_owned()),
                None => (State::NotEvaluated, "the apiserver did not ask".to_owned()),
            },
            (false, _) if verdict == "denied" => (State::Denied, String::new()),
            (false, true) => (State::RefusedAfterAdmission, audit.reason.clone()),
            (false, false) => (State::Refused, audit.reason.clone()),
        };
        let mut object = audit.object.clone();
        for known in &admitted {
            fill(&mut object.kind, &known.object.kind);
            if audit.verb != "deletecollection" {
                fill(&mut object.name, &known.object.name);
            }
        }
        let mut witnesses: Vec<Source> = admitted.iter().map(|admitted| admitted.source).collect();
        witnesses.push(Source::Audit);
        witnesses.sort_unstable();
        witnesses.dedup();
        let named = audit.answers.iter().map(|answer| answer.uid.clone());
        let reviews: BTreeSet<String> = reviews.iter().cloned().chain(named).collect();
        Draft {
            from: minus(received, SKEW),
            until: plus(completed(received, audit), OBSERVED_WITHIN),
            change: Change {
                time: crate::chain::format_time(received),
                state,
                user: audit.user.clone(),
                impersonated: audit.impersonated.clone(),
                verb: audit.verb.clone(),
                object,
                verdict,
                code: audit.code,
                manager: audit.manager.clone(),
                witnesses,
                audit_id: audit.audit_id.clone(),
                reviews: reviews.into_iter().collect(),
                reason,
            },
        }
    }

    /// Requests that only we tell of: the reviews of one go together.
    fn admitted_alone(&self, joined: &BTreeSet<String>, counts: &mut Counts) -> Vec<Draft> {
        let mut alone: Vec<(&String, &Admitted)> = self
            .admissions
            .iter()
            .filter(|(uid, _)| !joined.contains(*uid))
            .collect();
        alone.sort_by_key(|(uid, admitted)| (admitted.time, *uid));
        let mut drafts: Vec<Draft> = Vec::new();
        // The newest request of each user, operation and object, and where it stands in `drafts`.
        let mut latest = BTreeMap::new();
        for (uid, admitted) in alone {
            let same = (
                key(&admitted.object),
                admitted.object.subresource.clone(),
                admitted.operation.clone(),
                admitted.user.clone(),
                admitted.dry_run,
            );
            let near: Option<&(usize, Timestamp)> = latest
                .get(&same)
                .filter(|(_, time): &&(usize, Timestamp)| admitted.time.duration_since(*time) <= ONE_REQUEST);
            // Of one request each webhook is asked once.
            let fits = near.filter(|(index, _)| {
                drafts.get(*index).is_some_and(|draft| {
                    admitted.source == Source::Admission || !draft.change.witnesses.contains(&admitted.source)
                })
            });
            if let Some((index, _)) = fits {
                if let Some(draft) = drafts.get_mut(*index) {
                    draft.join(uid, admitted);
                }
                continue;
            }
            latest.insert(same, (drafts.len(), admitted.time));
            drafts.push(Draft::alone(uid, admitted));
        }
        let mut kept = Vec::new();
        for draft in drafts {
            let dry_run = draft
                .change
                .reviews
                .iter()
                .any(|uid| self.admissions.get(uid).is_some_and(|admitted| admitted.dry_run));
            if dry_run {
                counts.dry_runs += 1;
            } else {
                kept.push(draft);
            }
        }
        kept
    }

    /// Gives each observation to the first change that it may be of.
    fn observe(&mut self, drafts: &mut Vec<Draft>) {
        let mut of_object: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            if matches!(draft.change.state, State::Denied | State::Refused) {
                continue;
            }
            of_object
                .entry(key(&draft.change.object))
                .or_default()
                .push(index);
        }
        for indices in of_object.values_mut() {
            indices.sort_by_key(|index| drafts.get(*index).map(|draft| draft.from));
        }
        let mut observations = std::mem::take(&mut self.observations);
        observations.sort_by(|(a, first), (b, second)| {
            (a, &first.resource_version).cmp(&(b, &second.resource_version))
        });
        for (time, observation) in observations {
            let mut collection = key(&observation.object);
            collection.3.clear();
            let candidates = [
                of_object.get(&key(&observation.object)),
                of_object.get(&collection),
            ];
            let found = candidates.into_iter().flatten().flatten().copied().find(|index| {
                drafts
                    .get(*index)
                    .is_some_and(|draft| draft.may_be_seen_as(&observation, time))
            });
            match found.and_then(|index| drafts.get_mut(index)) {
                Some(draft) => draft.saw(&observation),
                None if self.not_asked(time, &observation.object).is_none() => {
                    drafts.push(Draft::observed(time, &observation));
                }
                None => {}
            }
        }
    }
}

// === impl Admitted ===

impl Admitted {
    fn judged(time: Timestamp, admission: &Admission) -> Self {
        Self {
            time,
            source: Source::Admission,
            operation: admission.operation.clone(),
            object: Subject {
                group: admission.group.clone(),
                version: admission.version.clone(),
                kind: admission.kind.clone(),
                resource: admission.resource.clone(),
                subresource: admission.subresource.clone(),
                namespace: admission.namespace.clone(),
                name: admission.name.clone(),
            },
            user: admission.user.clone(),
            dry_run: admission.dry_run,
            verdict: admission.verdict.clone(),
        }
    }

    fn witnessed(time: Timestamp, witness: &Witness) -> Self {
        Self {
            time,
            source: Source::Witness,
            operation: witness.operation.clone(),
            object: witness.object.clone(),
            user: witness.user.clone(),
            dry_run: witness.dry_run,
            verdict: String::new(),
        }
    }

    /// Whether it may be a review of this request.
    fn is_of(&self, audit: &Audit) -> bool {
        let (ours, theirs) = (&self.object, &audit.object);
        let operation = match audit.verb.as_str() {
            _ if CONNECTIONS.contains(&theirs.subresource.as_str()) => self.operation == "CONNECT",
            "create" => self.operation == "CREATE",
            "update" | "patch" => matches!(self.operation.as_str(), "CREATE" | "UPDATE"),
            "delete" | "deletecollection" => self.operation == "DELETE",
            _ => false,
        };
        operation
            && (self.dry_run == audit.dry_run || self.operation == "DELETE")
            && (&ours.group, &ours.resource, &ours.subresource, &ours.namespace)
                == (
                    &theirs.group,
                    &theirs.resource,
                    &theirs.subresource,
                    &theirs.namespace,
                )
            && (theirs.name.is_empty() || ours.name == theirs.name)
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, change: &Change) {
        let is_audited = change.witnesses.contains(&Source::Audit);
        let count = |condition: bool| u64::from(condition);
        match change.state {
            State::Witnessed | State::AdmittedNotObserved => {
                self.admitted += 1;
                self.both += count(is_audited);
                self.audited_writes += count(is_audited);
                self.admitted_without_audit += count(!is_audited);
            }
            State::RefusedAfterAdmission => {
                self.admitted += 1;
                self.refused_after_admission += 1;
            }
            State::NotEvaluated => {
                self.audited_writes += 1;
                self.not_evaluated += 1;
            }
            State::ObservedNotAdmitted => self.observed_not_admitted += 1,
            State::Denied => self.denied += 1,
            State::Refused => self.refused += 1,
            State::NotAsked => self.not_asked += 1,
        }
    }
}

/// Why an answer of ours that the audit log has is in no record.
fn unrecorded(audit: &Audit, admitted: &[&Admitted]) -> String {
    match audit.answers.first().filter(|_| admitted.is_empty()) {
        None => String::new(),
        Some(answer) if answer.position.is_empty() => "only the audit log tells of our answer".to_owned(),
        Some(answer) => format!(
            "only the audit log tells of our answer; no record is at {}",
            answer.position
        ),
    }
}

/// The user whom admission sees.
fn acting_user(audit: &Audit) -> &str {
    if audit.impersonated.is_empty() {
        &audit.user
    } else {
        &audit.impersonated
    }
}

fn key(object: &Subject) -> Key {
    (
        object.group.clone(),
        object.resource.clone(),
        object.namespace.clone(),
        object.name.clone(),
    )
}

/// The first moment of a time that is given by its beginning.
fn moment(text: &str) -> Option<Timestamp> {
    const REST: &str = "0000-01-01T00:00:00.000Z";
    let rest = REST.get(text.len()..).unwrap_or_default();
    format!("{text}{rest}").parse().ok()
}

fn received(audit: &Audit) -> Timestamp {
    audit.received.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn completed(received: Timestamp, audit: &Audit) -> Timestamp {
    audit.completed.parse().unwrap_or(received)
}
