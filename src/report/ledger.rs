//! Capture of the ledger: its records in the period, whether they are whole, and how what the agent deployed lies to the
//! branch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use git2::Oid;
use jiff::Timestamp;
use provost_evidence::facts::{Facts, Gap, SyncChange, SyncRun};
use provost_evidence::recorded::{Place, Recorded, TooManyRecords};

use super::period::{Moment, Period};
use crate::git::history::{Commit, History};
use crate::ledger::read::{Filter, Position, read};
use crate::ledger::verify::{self, Options, verify};

/// Why a ledger is not in a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("could not read the ledger {directory:?}")]
    Read {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be verified.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// It holds too much at once.
    #[error(transparent)]
    TooMany(#[from] TooManyRecords),
}

/// Why reading stopped.
enum Stopped {
    Io(io::Error),
    TooMany(TooManyRecords),
}

/// Adds what the ledger tells of the period. What is damaged in it, or was never written, is a gap.
pub(super) fn add(directory: &Path, period: Period, facts: &mut Facts) -> Result<(), Error> {
    add_damage(directory, facts)?;
    let (from, to) = (period.from.map(Moment::text), period.to.map(Moment::text));
    let mut recorded = Recorded::within(from.as_deref(), to.as_deref());
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    let outcome = read(directory, &Filter::default(), &mut Position::default(), |entry| {
        let Some(event) = &entry.event else {
            *unknown.entry(entry.kind.clone()).or_default() += 1;
            return Ok(());
        };
        let place = Place {
            chain: &entry.boot,
            seq: entry.seq,
            time: &entry.time,
        };
        recorded.add(place, event).map_err(Stopped::TooMany)
    });
    match outcome {
        Ok(()) => {}
        Err(Stopped::TooMany(error)) => return Err(error.into()),
        Err(Stopped::Io(source)) => {
            return Err(Error::Read {
                directory: directory.to_owned(),
                source,
            });
        }
    }
    let found = recorded.finish();
    facts.ledger_chains = found.ledger_chains;
    facts.evaluations = found.evaluations;
    facts.evaluation_rules = found.evaluation_rules;
    facts.writes = found.writes;
    facts.write_reviews = found.write_reviews;
    facts.syncs = found.syncs;
    facts.drifts = found.drifts;
    facts.policies_in_force = found.policies_in_force;
    facts.control_intervals = found.control_intervals;
    facts.samples = found.samples;
    facts.gaps.extend(unknown.into_iter().map(|(kind, count)| {
        gap(
            &kind,
            format!("{count} records of a kind that this version does not know"),
        )
    }));
    Ok(())
}

fn add_damage(directory: &Path, facts: &mut Facts) -> Result<(), Error> {
    let report = verify(directory, &Options::default())?;
    for chain in &report.chains {
        let name = chain.report.boot.as_deref().unwrap_or("a chain without a name");
        let damage = chain
            .report
            .findings
            .iter()
            .map(|found| (found.line, found.damage.to_string()));
        let gaps = chain
            .report
            .gaps
            .iter()
            .map(|found| (found.line, found.cause.to_string()));
        facts.gaps.extend(
            damage
                .chain(gaps)
                .map(|(line, what)| gap(name, format!("line {line}: {what}"))),
        );
        let more = chain.report.more_findings + chain.report.more_gaps;
        if more > 0 {
            facts
                .gaps
                .push(gap(name, format!("{more} more damaged or missing places")));
        }
    }
    facts.gaps.extend(report.removed.iter().map(|removed| {
        gap(
            &removed.name,
            format!(
                "the chain is gone: checkpoint {} saw {} records of it",
                removed.checkpoint, removed.count
            ),
        )
    }));
    Ok(())
}

fn gap(item: &str, reason: String) -> Gap {
    Gap {
        source: "ledger".to_owned(),
        item: item.to_owned(),
        reason,
    }
}

/// Says of each sync how its revision lies to the one before, and which changes of the branch it brought.
pub(super) fn add_revisions(history: &History, facts: &mut Facts) {
    let commits: HashMap<Oid, &Commit> = history.commits.iter().map(|commit| (commit.id, commit)).collect();
    let tip = facts
        .scope
        .first()
        .and_then(|scope| Oid::from_str(&scope.revision).ok());
    let line = tip.map_or_else(Vec::new, |tip| first_parents(&commits, tip));
    let places = line.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let branch = Branch {
        commits,
        line,
        places,
    };
    let mut changes = Vec::new();
    for sync in &mut facts.syncs {
        changes.extend(branch.place(sync));
    }
    facts.sync_changes.extend(changes);
}

/// The commits, and the first-parent line of the report's revision, the youngest first.
struct Branch<'a> {
    commits: HashMap<Oid, &'a Commit>,
    line: Vec<Oid>,
    places: HashMap<Oid, usize>,
}

// === impl Branch ===

impl Branch<'_> {
    /// Says how a sync's revision lies to the one before; the changes that it brought.
    fn place(&self, sync: &mut SyncRun) -> Vec<SyncChange> {
        let find = |text: &str| {
            Oid::from_str(text)
                .ok()
                .and_then(|id| self.commits.get(&id).copied())
        };
        let Some(revision) = find(&sync.revision) else {
            return Vec::new();
        };
        sync.in_revision = Some(revision.in_revision);
        let Some(previous) = &sync.previous else {
            sync.direction = Some("first".to_owned());
            return Vec::new();
        };
        let Some(previous) = find(previous) else {
            return Vec::new();
        };
        let (direction, brought) = self.between(previous.id, revision.id);
        sync.direction = Some(direction.to_owned());
        let finished = sync
            .recorded_at
            .parse::<Timestamp>()
            .map_or(0, Timestamp::as_second);
        brought
            .iter()
            .filter_map(|id| self.commits.get(id))
            .map(|commit| SyncChange {
                sync: sync.sync.clone(),
                step: commit.id.to_string(),
                seconds: u64::try_from(finished - commit.committer.seconds).ok(),
            })
            .collect()
    }

    /// How one revision lies to another before it, and the steps between them.
    fn between(&self, previous: Oid, revision: Oid) -> (&'static str, Vec<Oid>) {
        if revision == previous {
            return ("same", Vec::new());
        }
        // Nearly always both are on the line, whose places are known.
        if let (Some(&old), Some(&new)) = (self.places.get(&previous), self.places.get(&revision)) {
            return match self.line.get(new..old) {
                Some(steps) if new < old => ("forward", steps.to_vec()),
                _ => ("back", Vec::new()),
            };
        }
        let mut line = first_parents(&self.commits, revision);
        if let Some(at) = line.iter().position(|id| *id == previous) {
            line.truncate(at);
            return ("forward", line);
        }
        let old_line: HashSet<Oid> = first_parents(&self.commits, previous).into_iter().collect();
        if old_line.contains(&revision) {
            return ("back", Vec::new());
        }
        let shared = line.iter().position(|id| old_line.contains(id));
        line.truncate(shared.unwrap_or(line.len()));
        ("aside", line)
    }
}

/// The commit and its first parents.
fn first_parents(commits: &HashMap<Oid, &Commit>, from: Oid) -> Vec<Oid> {
    let mut line = Vec::new();
    let mut next = Some(from);
    while let Some(commit) = next.and_then(|id| commits.get(&id)) {
        line.push(commit.id);
        next = commit.parents.first().copied();
    }
    line
}

// === impl Stopped ===

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
