//! The policies in force: read from folders and from the cluster, compiled into one immutable snapshot.
//!
//! ```text
//! folder ──read──┐
//!                ├─▶ Policies::replace ──compile──▶ Snapshot (swapped as a whole) ──judge──▶ results
//! cluster ─watch─┘
//! ```
//!
//! # Guarantees
//! - A policy that cannot be understood is out, with the reason and its place; every other one stays in force.
//! - Readers take no lock: a judgement sees one snapshot from its beginning to its end.
//! - A change of the policies in force is one ledger record and one log line.

pub mod check;
pub mod cluster;
pub mod crds;
pub mod folder;
pub mod judge;
pub mod suite;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use provost_evidence::event::{self, Event};
use provost_policy::{Fault, Policy, PolicySet};
use tokio::sync::watch;

use crate::ledger::Ledger;

pub use cluster::PolicyKind;
pub use judge::{Fetcher, judge};

/// The policies in force at one moment, and those that are out.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The compiled set.
    pub set: PolicySet,
    /// Why other policies are out.
    pub refused: Vec<Fault>,
}

/// Where policies come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Files below a folder.
    Folder(PathBuf),
    /// Objects of the cluster.
    Cluster(PolicyKind),
}

/// What one source holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The policies that were understood.
    pub policies: Vec<Policy>,
    /// Why others were not.
    pub faults: Vec<Fault>,
}

/// The policies for admission: written by sources, read by whoever judges requests.
#[derive(Debug)]
pub struct Policies {
    current: ArcSwap<Snapshot>,
    /// What each source held when it was last read; `None` before that.
    sources: Mutex<BTreeMap<Source, Option<Contents>>>,
    changes: watch::Sender<()>,
    ledger: Ledger,
}

/// Why policies cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there, or is not readable.
    #[error("cannot read the policies in {}", folder.display())]
    ReadFolder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A folder in which suites are looked for is not there, or is not readable.
    #[error("cannot look for {} in {}", suite::FILE_NAME, folder.display())]
    ReadSuites {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// More suites than anybody writes.
    #[error("{} holds more than {} suites: name a folder below it", folder.display(), suite::MAX_SUITES)]
    TooManySuites {
        /// The folder.
        folder: PathBuf,
    },
    /// More files than anybody writes: the wrong folder.
    #[error("{} holds more than {} policy files: name the folder of the policies", folder.display(), folder::MAX_FILES)]
    TooManyFiles {
        /// The folder.
        folder: PathBuf,
    },
}

// === impl Snapshot ===

impl Snapshot {
    /// Compiles what all sources hold, of policies those that are `wanted`.
    fn compile<'a>(sources: impl Iterator<Item = &'a Contents>, wanted: impl Fn(&Policy) -> bool) -> Self {
        let mut policies = Vec::new();
        let mut refused = Vec::new();
        for contents in sources {
            policies.extend(contents.policies.iter().filter(|policy| wanted(policy)).cloned());
            refused.extend(contents.faults.iter().cloned());
        }
        let (set, faults) = PolicySet::compile(policies);
        refused.extend(faults);
        Self { set, refused }
    }

    /// A snapshot of one source alone, for commands that judge files.
    pub fn of(contents: &Contents) -> Self {
        Self::compile(std::iter::once(contents), |_| true)
    }

    /// The names of the policies in force.
    pub fn loaded(&self) -> Vec<String> {
        let policies = self.set.policies().iter();
        policies.map(|policy| policy.key().to_string()).collect()
    }
}

// === impl Policies ===

impl Policies {
    /// None yet, from `sources`; changes are recorded in `ledger`.
    pub fn new(ledger: Ledger, sources: impl IntoIterator<Item = Source>) -> Self {
        Self {
            current: ArcSwap::default(),
            sources: Mutex::new(sources.into_iter().map(|source| (source, None)).collect()),
            changes: watch::Sender::new(()),
            ledger,
        }
    }

    /// Whether every source was read.
    pub fn complete(&self) -> bool {
        self.sources().values().all(Option::is_some)
    }

    /// The policies in force now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Tells each time that a source was read again.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Puts in force what `source` holds now, beside what the other sources hold.
    pub fn replace(&self, source: Source, contents: Contents) {
        // Held until the snapshot is stored, so that of two sources that change at once none is forgotten.
        let mut sources = self.sources();
        sources.insert(source, Some(contents));
        let snapshot = Arc::new(Snapshot::compile(sources.values().flatten(), Policy::admission));
        let before = self.current.swap(Arc::clone(&snapshot));
        drop(sources);
        if before.set.digest() != snapshot.set.digest() || before.refused != snapshot.refused {
            self.announce(&snapshot);
        }
        self.changes.send_replace(());
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<Source, Option<Contents>>> {
        // A panic in another holder leaves the map whole: its only change is one insert.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, snapshot: &Snapshot) {
        for fault in &snapshot.refused {
            tracing::warn!("A policy is out: {fault}.");
        }
        let loaded = snapshot.loaded();
        let refused = snapshot.refused.len();
        tracing::info!(loaded = loaded.len(), refused, policies = ?loaded, "The policies in force changed.");
        self.ledger.append(Event::Policies(event::Policies {
            policy_set: snapshot.set.digest().to_owned(),
            loaded,
            refused: snapshot.refused.iter().map(Fault::to_string).collect(),
        }));
    }
}

/// A fault as people read it: its place, the line of the file, and what stays in force.
pub fn diagnostic(fault: &Fault, snapshot: &Snapshot) -> String {
    let note = match snapshot.set.policies().len() {
        0 => "No policy is in force.".to_owned(),
        1 => "The other policy stays in force.".to_owned(),
        others => format!("The other {others} policies stay in force."),
    };
    fault.render(&note)
}
