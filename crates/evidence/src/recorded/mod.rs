//! What a ledger's records tell in a period, as facts.
//!
//! ```text
//! records ──┬──▶ one fact each: evaluations, syncs, drifts, samples
//!           ├──▶ when each process worked ──operation──▶ control_intervals
//!           └──change::Reconciler──▶ writes, write_reviews
//! ```
//!
//! # Guarantees
//! - Records of one chain come in their order; how chains are mixed changes nothing.
//! - What is in the period is said by the record's own time; of a write, by the apiserver's.
//! - A record that could not be counted is an error, never left out.

mod operation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::chain::format_time;
use crate::change::{Change, Reconciler, State, TooMany};
use crate::event::{Admission, Boot, Drift, Event, Sync};
use crate::facts::{
    DriftSeen, Evaluation, EvaluationRule, Facts, LedgerChain, PolicyInForce, SampleTaken, SyncRun, Write,
    WriteReview,
};
use crate::witness::Sample;

use self::operation::{Life, Operation};

/// Evaluations, syncs, drifts and samples that one report holds; a shorter period holds fewer.
pub const MAX_RECORDS: usize = 2_000_000;

/// Kinds that are remembered by their resources.
const MAX_KINDS: usize = 10_000;

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its chain.
    pub chain: &'a str,
    /// Its number there.
    pub seq: u64,
    /// Its time: RFC 3339, UTC, milliseconds.
    pub time: &'a str,
}

/// More is recorded than a report takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger has more than {MAX_RECORDS} records in the period: choose a shorter one")]
pub struct TooManyRecords;

/// Takes a ledger's records and makes facts of them.
#[derive(Debug)]
pub struct Recorded {
    from: Option<String>,
    to: Option<String>,
    reconciler: Reconciler,
    chains: BTreeMap<String, ChainSoFar>,
    facts: Facts,
    kept: usize,
    /// Kinds by API group and resource: an audit log names the resource alone.
    kinds: BTreeMap<(String, String), String>,
}

/// What is known of a chain up to the record that was taken last.
#[derive(Debug)]
struct ChainSoFar {
    fact: LedgerChain,
    life: Life,
    /// The set in force, the time since which it is, and its policies.
    in_force: Option<(String, PolicySet)>,
}

#[derive(Debug)]
struct PolicySet {
    digest: String,
    /// Kind and name.
    members: Vec<(&'static str, String)>,
}

// === impl Recorded ===

impl Recorded {
    /// For a period, from a time until before another, in the form of the records.
    pub fn within(from: Option<&str>, to: Option<&str>) -> Self {
        Self {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            reconciler: Reconciler::within(from, to),
            chains: BTreeMap::new(),
            facts: Facts::default(),
            kept: 0,
            kinds: BTreeMap::new(),
        }
    }

    /// Takes one record.
    pub fn add(&mut self, place: Place<'_>, event: &Event) -> Result<(), TooManyRecords> {
        let Ok(time) = place.time.parse::<Timestamp>() else {
            return Ok(());
        };
        self.reconciler
            .add(place.time, event)
            .map_err(|TooMany| TooManyRecords)?;
        let chain = self
            .chains
            .entry(place.chain.to_owned())
            .or_insert_with(|| ChainSoFar::new(place));
        let closed_set = chain.add(place, time, event);
        self.add_policies(place.chain, closed_set, place.time);
        self.learn_kind(event);
        if !self.contains(place.time) {
            return Ok(());
        }
        match event {
            Event::Admission(admission) => self.add_evaluation(place, admission, false),
            Event::PolicyChange(admission) => self.add_evaluation(place, admission, true),
            Event::Sync(sync) => self.add_sync(place, sync),
            Event::Drift(drift) => self.facts.drifts.push(drift_seen(place, time, drift)),
            Event::Sample(sample) => self.facts.samples.push(sample_taken(place, sample)),
            _ => return Ok(()),
        }
        self.kept += 1;
        if self.kept > MAX_RECORDS {
            return Err(TooManyRecords);
        }
        Ok(())
    }

    /// Everything, as facts.
    pub fn finish(mut self) -> Facts {
        let open: Vec<_> = self
            .chains
            .iter_mut()
            .filter_map(|(name, chain)| {
                Some((name.clone(), chain.in_force.take()?, chain.fact.last_at.clone()))
            })
            .collect();
        for (chain, set, until) in open {
            self.add_policies(&chain, Some(set), &until);
        }
        let mut facts = self.facts;
        add_ages(&mut facts.syncs);
        for (number, mut change) in (0..).zip(self.reconciler.finish().changes) {
            let object = &mut change.object;
            if object.kind.is_empty() {
                let kind = self.kinds.get(&(object.group.clone(), object.resource.clone()));
                object.kind = kind.cloned().unwrap_or_default();
            }
            add_write(number, &change, &mut facts);
        }
        let operation = Operation {
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            lives: self.chains.values().map(|chain| &chain.life).collect(),
            facts: &facts,
        };
        facts.control_intervals = operation.intervals();
        facts.ledger_chains = self.chains.into_values().map(|chain| chain.fact).collect();
        facts
    }

    fn contains(&self, time: &str) -> bool {
        self.from.as_deref().is_none_or(|from| time >= from) && self.to.as_deref().is_none_or(|to| time < to)
    }

    fn learn_kind(&mut self, event: &Event) {
        let (group, resource, kind) = match event {
            Event::Admission(asked) | Event::PolicyChange(asked) => {
                (&asked.group, &asked.resource, &asked.kind)
            }
            Event::Witness(witness) => (
                &witness.object.group,
                &witness.object.resource,
                &witness.object.kind,
            ),
            Event::Observation(seen) => (&seen.object.group, &seen.object.resource, &seen.object.kind),
            _ => return,
        };
        if !resource.is_empty() && !kind.is_empty() && self.kinds.len() < MAX_KINDS {
            self.kinds
                .entry((group.clone(), resource.clone()))
                .or_insert_with(|| kind.clone());
        }
    }

    fn add_evaluation(&mut self, place: Place<'_>, admission: &Admission, is_policy: bool) {
        let uid = admission.uid.clone();
        self.facts
            .evaluation_rules
            .extend(admission.rules.iter().map(|rule| EvaluationRule {
                uid: uid.clone(),
                policy: rule.split('/').next().unwrap_or(rule).to_owned(),
                rule: rule.clone(),
            }));
        self.facts.evaluations.push(Evaluation {
            uid,
            chain: place.chain.to_owned(),
            seq: place.seq,
            recorded_at: place.time.to_owned(),
            operation: admission.operation.clone(),
            api_group: filled(&admission.group),
            version: admission.version.clone(),
            kind: admission.kind.clone(),
            subresource: filled(&admission.subresource),
            namespace: filled(&admission.namespace),
            name: filled(&admission.name),
            user: admission.user.clone(),
            dry_run: admission.dry_run,
            class: filled(&admission.class),
            verdict: admission.verdict.clone(),
            policy_set: filled(&admission.policy_set),
            rules: joined(&admission.rules),
            is_policy,
            object_sha256: admission.object_digest.clone(),
        });
    }

    fn add_sync(&mut self, place: Place<'_>, sync: &Sync) {
        let chain = self.chains.get(place.chain);
        self.facts.syncs.push(SyncRun {
            sync: format!("{}:{}", place.chain, place.seq),
            recorded_at: place.time.to_owned(),
            agent_version: chain.map(|chain| chain.fact.version.clone()).unwrap_or_default(),
            agent: chain.map(|chain| chain.fact.writer.clone()).unwrap_or_default(),
            application: sync.application.clone(),
            repository: sync.repository.clone(),
            revision: sync.revision.clone(),
            previous: sync.previous.clone(),
            rendered_tree: filled(&sync.rendered_tree),
            outcome: sync.outcome.clone(),
            message: filled(&sync.message),
            objects_changed: sync.created + sync.changed + sync.pruned,
            direction: None,
            in_revision: None,
            seconds_since_previous: None,
        });
    }

    /// Policies that were in force until a time, as far as that is in the period.
    fn add_policies(&mut self, chain: &str, set: Option<(String, PolicySet)>, until: &str) {
        let Some((since, set)) = set else { return };
        let from = self
            .from
            .as_deref()
            .map_or(since.as_str(), |from| from.max(&since));
        let to = self.to.as_deref().map_or(until, |to| to.min(until));
        if from >= to {
            return;
        }
        let rows = set.members.into_iter().map(|(kind, policy)| PolicyInForce {
            chain: chain.to_owned(),
            policy,
            kind: kind.to_owned(),
            policy_set: set.digest.clone(),
            valid_from: from.to_owned(),
            valid_to: to.to_owned(),
        });
        self.facts.policies_in_force.extend(rows);
    }
}

// === impl ChainSoFar ===

impl ChainSoFar {
    fn new(place: Place<'_>) -> Self {
        Self {
            fact: LedgerChain {
                chain: place.chain.to_owned(),
                opened_at: place.time.to_owned(),
                ..LedgerChain::default()
            },
            life: Life::default(),
            in_force: None,
        }
    }

    /// Takes the chain's next record; the set of policies that it ends, if it does.
    fn add(&mut self, place: Place<'_>, time: Timestamp, event: &Event) -> Option<(String, PolicySet)> {
        place.time.clone_into(&mut self.fact.last_at);
        self.fact.records += 1;
        self.life.add(time, event);
        match event {
            Event::Boot(boot) => self.boot(boot),
            Event::Gap(gap) => self.fact.lost += gap.lost,
            Event::End(_) => self.fact.closed_at = Some(place.time.to_owned()),
            Event::Policies(policies) => {
                let named = |kind, names: &[String]| {
                    names.iter().map(|name| (kind, name.clone())).collect::<Vec<_>>()
                };
                let members = [
                    named("policy", &policies.loaded),
                    named("exception", &policies.exceptions),
                    named("refused", &policies.refused),
                ];
                let set = PolicySet {
                    digest: policies.policy_set.clone(),
                    members: members.concat(),
                };
                return self.in_force.replace((place.time.to_owned(), set));
            }
            _ => {}
        }
        None
    }

    fn boot(&mut self, boot: &Boot) {
        let fact = &mut self.fact;
        fact.writer.clone_from(&boot.writer);
        fact.roles = boot.roles.join("; ");
        fact.version.clone_from(&boot.version);
        fact.heartbeat_seconds = Some(boot.heartbeat_seconds).filter(|seconds| *seconds > 0);
        let mut exempt = boot.exempt_namespaces.clone();
        exempt.sort();
        fact.exempt_namespaces = exempt.join("; ");
    }
}

/// Says of each sync how long ago the revision before it was brought.
fn add_ages(syncs: &mut [SyncRun]) {
    syncs.sort_by(|a, b| (&a.recorded_at, &a.sync).cmp(&(&b.recorded_at, &b.sync)));
    let seconds = |text: &str| text.parse::<Timestamp>().map_or(0, Timestamp::as_second);
    let mut brought: BTreeMap<(String, String), i64> = BTreeMap::new();
    for sync in syncs {
        let now = seconds(&sync.recorded_at);
        let key = |revision: &str| (sync.application.clone(), revision.to_owned());
        let before = sync
            .previous
            .as_deref()
            .and_then(|previous| brought.get(&key(previous)));
        sync.seconds_since_previous = before.and_then(|before| u64::try_from(now - before).ok());
        if sync.previous.as_ref() != Some(&sync.revision) {
            brought.insert(key(&sync.revision), now);
        }
    }
}

fn drift_seen(place: Place<'_>, time: Timestamp, drift: &Drift) -> DriftSeen {
    let since = drift.seen_since.parse::<Timestamp>().ok();
    let managers_at = drift.details.iter().filter_map(|field| field.time.clone()).max();
    DriftSeen {
        chain: place.chain.to_owned(),
        seq: place.seq,
        recorded_at: place.time.to_owned(),
        application: drift.application.clone(),
        object: drift.object.clone(),
        fields: joined(&drift.fields),
        managers: joined(&drift.managers),
        managers_at: managers_at.map(|text| text.parse().map(format_time).unwrap_or(text)),
        resolution: drift.resolution.clone(),
        seen_since: since.map(format_time),
        seconds: since.and_then(|since| u64::try_from(time.as_second() - since.as_second()).ok()),
    }
}

fn sample_taken(place: Place<'_>, sample: &Sample) -> SampleTaken {
    SampleTaken {
        subject: sample.subject.clone(),
        recorded_at: place.time.to_owned(),
        chain: place.chain.to_owned(),
        seq: place.seq,
        digest: filled(&sample.digest),
        objects: sample.count,
        since: sample.since.parse().ok().map(format_time),
        interval_seconds: sample.interval_seconds,
        failure: filled(&sample.failure),
    }
}

fn add_write(write_id: u64, change: &Change, facts: &mut Facts) {
    let object = &change.object;
    let mut named = object.clone();
    named.subresource.clear();
    let witnesses: Vec<&str> = change.witnesses.iter().map(|source| source.name()).collect();
    facts.writes.push(Write {
        write_id,
        at: change
            .time
            .parse()
            .map_or_else(|_| change.time.clone(), format_time),
        state: state_name(change.state).to_owned(),
        user: filled(&change.user),
        impersonated: filled(&change.impersonated),
        verb: change.verb.clone(),
        object: named.describe(),
        api_group: filled(&object.group),
        version: object.version.clone(),
        kind: filled(&object.kind),
        resource: filled(&object.resource),
        subresource: filled(&object.subresource),
        namespace: filled(&object.namespace),
        name: filled(&object.name),
        code: Some(u64::from(change.code)).filter(|code| *code > 0),
        manager: filled(&change.manager),
        witnesses: witnesses.join("; "),
        audit_id: filled(&change.audit_id),
        reason: filled(&change.reason),
    });
    facts
        .write_reviews
        .extend(change.reviews.iter().map(|uid| WriteReview {
            write_id,
            uid: uid.clone(),
        }));
}

/// The word in facts, which is the one of `provost ledger changes -o json`.
fn state_name(state: State) -> &'static str {
    match state {
        State::Witnessed => "witnessed",
        State::AdmittedNotObserved => "admitted_not_observed",
        State::ObservedNotAdmitted => "observed_not_admitted",
        State::NotEvaluated => "not_evaluated",
        State::RefusedAfterAdmission => "refused_after_admission",
        State::Denied => "denied",
        State::Refused => "refused",
        State::NotAsked => "not_asked",
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn joined(texts: &[String]) -> Option<String> {
    filled(&texts.join("; "))
}
