//! The policies and exceptions in force: read from folders and from the cluster, compiled into one immutable snapshot.
//!
//! ```text
//! folder ──read──┐
//!                ├─▶ Policies::replace ──compile──▶ Snapshot (swapped as a whole) ──judge──▶ results
//! cluster ─watch─┘
//! ```
//!
//! # Guarantees
//! - A policy that cannot be understood is out, with the reason and its place; every other one stays in force.
//! - An exception counts only where a setting names its namespace, wherever it was read; one that does not is named.
//! - Readers take no lock: a judgement sees one snapshot from its beginning to its end.
//! - A change of the policies in force is one ledger record and one log line; a policy that is out is logged when it
//!   goes out, and again only when the reason changes.

pub mod admission;
pub mod check;
pub mod cluster;
pub mod crds;
pub mod fetch;
pub mod folder;
pub mod hindrance;
pub mod judge;
mod reads;
pub mod reload;
pub mod status;
pub mod suite;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use provost_evidence::event::{self, Event};
use provost_manifest::escape;
use provost_policy::{Exception, Fault, GlobalEntry, Parsed, Policy, PolicySet};
use tokio::sync::watch;

use crate::ledger::Ledger;

pub use admission::Admission;
pub use cluster::{PolicyKind, ServedKind};
pub use fetch::{CallHost, Fetcher, Globals, ServiceCalls};
pub use hindrance::{Hindrances, Registration};
pub use judge::{Patience, judge, judge_part};
pub use reads::Reads;

/// The policies in force at one moment, and those that are out.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The compiled set.
    pub set: PolicySet,
    /// The exceptions that count, `namespace/name`, sorted.
    pub exceptions: Vec<Arc<str>>,
    /// The entries of the global context, which rules may ask for.
    pub globals: Globals,
    /// Why other policies and exceptions are out.
    pub refused: Vec<Fault>,
    /// The exceptions that do not count because no setting names their namespace, one sentence each.
    pub uncounted: Vec<String>,
}

/// The namespaces whose exceptions count; none unless they are named. Whoever may write an exception may waive a
/// policy, so this is for an administrator to grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExceptionNamespaces(BTreeSet<String>);

/// Where policies come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Files below a folder.
    Folder(PathBuf),
    /// Objects of the cluster.
    Cluster(PolicyKind),
}

/// What one source holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The policies that were understood.
    pub policies: Vec<Policy>,
    /// The exceptions that were understood.
    pub exceptions: Vec<Exception>,
    /// The entries of the global context that were understood.
    pub globals: Vec<GlobalEntry>,
    /// Why others were not.
    pub faults: Vec<Fault>,
}

/// The policies for admission: written by sources, read by whoever judges requests.
#[derive(Debug)]
pub struct Policies {
    current: ArcSwap<Snapshot>,
    /// What each source held when it was last read; `None` before that.
    sources: Mutex<BTreeMap<Source, Option<Contents>>>,
    exception_namespaces: ExceptionNamespaces,
    changes: watch::Sender<()>,
    hindrances: watch::Sender<Hindrances>,
    reads: Reads,
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

// === impl ExceptionNamespaces ===

impl ExceptionNamespaces {
    fn admit(&self, exception: &Exception) -> bool {
        self.0.contains(exception.namespace())
    }
}

impl FromIterator<String> for ExceptionNamespaces {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

// === impl Contents ===

impl Contents {
    fn extend(&mut self, other: Self) {
        self.policies.extend(other.policies);
        self.exceptions.extend(other.exceptions);
        self.globals.extend(other.globals);
        self.faults.extend(other.faults);
    }
}

impl From<Parsed> for Contents {
    fn from(parsed: Parsed) -> Self {
        Self {
            policies: parsed.policies,
            exceptions: parsed.exceptions,
            globals: parsed.globals,
            faults: parsed.faults,
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Compiles what all sources hold, of policies those that are `wanted`.
    fn compile<'a>(
        sources: impl Iterator<Item = &'a Contents>,
        wanted: impl Fn(&Policy) -> bool,
        namespaces: &ExceptionNamespaces,
    ) -> Self {
        let mut policies = Vec::new();
        let mut refused = Vec::new();
        let (mut counted, mut uncounted) = (Vec::new(), Vec::new());
        let mut globals = Globals::new();
        for contents in sources {
            policies.extend(contents.policies.iter().filter(|policy| wanted(policy)).cloned());
            refused.extend(contents.faults.iter().cloned());
            for entry in &contents.globals {
                if let Some(first) = globals.get(entry.name()) {
                    refused.push(entry_twice(entry, first));
                } else {
                    globals.insert(Arc::clone(entry.name()), Arc::new(entry.clone()));
                }
            }
            for exception in &contents.exceptions {
                if namespaces.admit(exception) {
                    counted.push(exception.clone());
                } else {
                    uncounted.push(without_effect(exception));
                }
            }
        }
        let mut exceptions: Vec<_> = counted
            .iter()
            .map(|exception| Arc::clone(exception.key()))
            .collect();
        exceptions.sort();
        let (set, faults) = PolicySet::compile_with(policies, counted);
        refused.extend(faults);
        Self {
            set,
            exceptions,
            globals,
            refused,
            uncounted,
        }
    }

    /// A snapshot of one source alone, for commands that tell of policies.
    pub fn of(contents: &Contents, namespaces: &ExceptionNamespaces) -> Self {
        Self::compile(std::iter::once(contents), |_| true, namespaces)
    }

    /// A snapshot of one source alone, of the policies that judge writes: as the webhook has it.
    pub fn for_admission(contents: &Contents, namespaces: &ExceptionNamespaces) -> Self {
        Self::compile(std::iter::once(contents), Policy::admission, namespaces)
    }

    /// A snapshot of one source alone, of the policies that judge what is there already.
    pub fn for_scan(contents: &Contents, namespaces: &ExceptionNamespaces) -> Self {
        Self::compile(std::iter::once(contents), Policy::background, namespaces)
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.set.digest() == other.set.digest()
            && self.refused == other.refused
            && self.uncounted == other.uncounted
            && self.globals.len() == other.globals.len()
            && self.globals.iter().all(|(name, entry)| {
                let other = other.globals.get(name);
                other.is_some_and(|other| entry.says_the_same(other))
            })
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
    pub fn new(
        ledger: Ledger,
        sources: impl IntoIterator<Item = Source>,
        exception_namespaces: ExceptionNamespaces,
    ) -> Self {
        Self {
            exception_namespaces,
            current: ArcSwap::default(),
            sources: Mutex::new(sources.into_iter().map(|source| (source, None)).collect()),
            changes: watch::Sender::new(()),
            hindrances: watch::Sender::default(),
            reads: Reads::default(),
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
        let snapshot = Arc::new(Snapshot::compile(
            sources.values().flatten(),
            Policy::admission,
            &self.exception_namespaces,
        ));
        let before = self.current.swap(Arc::clone(&snapshot));
        drop(sources);
        if !before.says_the_same(&snapshot) {
            self.announce(&before, &snapshot);
        }
        self.hindrances
            .send_if_modified(|hindrances| hindrances.forget_changed(&before.set, &snapshot.set));
        self.changes.send_replace(());
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<Source, Option<Contents>>> {
        // A panic in another holder leaves the map whole: its only change is one insert.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that the kinds which the cluster serves changed: what follows the policies in force looks again.
    pub fn kinds_changed(&self) {
        self.changes.send_replace(());
    }

    /// What is in the way of policies; tells each time that this changes.
    pub fn hindrances(&self) -> watch::Receiver<Hindrances> {
        self.hindrances.subscribe()
    }

    /// Where it is told when entries of the global context are read: for whoever reads them.
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// Notes whether apiservers were told to ask about the policies in force; by whoever tells them.
    pub fn registered(&self, registration: Registration) {
        self.hindrances
            .send_if_modified(|hindrances| hindrances.registered(registration));
    }

    /// To be called when a rule was stopped because it overran `deadline`: its policy's Ready condition says so until
    /// the policy changes.
    pub fn overran(&self, policy: &Arc<str>, rule: &Arc<str>, deadline: Duration) {
        let is_news = self
            .hindrances
            .send_if_modified(|hindrances| hindrances.overran(policy, rule, deadline));
        if is_news {
            let milliseconds = deadline.as_millis();
            tracing::warn!(%policy, %rule, milliseconds, "A rule was stopped at its deadline.");
        }
    }

    /// Whether an exception of this namespace counts.
    pub fn counts_exceptions_of(&self, namespace: &str) -> bool {
        self.exception_namespaces.0.contains(namespace)
    }

    fn announce(&self, before: &Snapshot, snapshot: &Snapshot) {
        for fault in snapshot
            .refused
            .iter()
            .filter(|fault| !before.refused.contains(fault))
        {
            tracing::warn!("A policy is out: {fault}.");
        }
        for exception in snapshot
            .uncounted
            .iter()
            .filter(|text| !before.uncounted.contains(text))
        {
            tracing::warn!("{exception}.");
        }
        let loaded = snapshot.loaded();
        let refused = snapshot.refused.len();
        let exceptions: Vec<String> = snapshot.exceptions.iter().map(ToString::to_string).collect();
        tracing::info!(
            loaded = loaded.len(),
            refused,
            policies = ?loaded,
            ?exceptions,
            "The policies in force changed."
        );
        self.ledger.append(Event::Policies(event::Policies {
            policy_set: snapshot.set.digest().to_owned(),
            loaded,
            exceptions,
            refused: snapshot.refused.iter().map(Fault::to_string).collect(),
        }));
    }
}

fn entry_twice(second: &GlobalEntry, first: &GlobalEntry) -> Fault {
    let subject = format!("GlobalContextEntry {}", second.name());
    let first = first
        .place()
        .map(|place| format!("; the first is {place}"))
        .unwrap_or_default();
    Fault {
        place: second.place().cloned(),
        ..Fault::mistake(format!("{subject} is there twice{first}"), subject)
    }
}

/// Why an exception excuses nothing, and what would change that.
fn without_effect(exception: &Exception) -> String {
    let place = exception
        .place()
        .map(|place| format!(" ({place})"))
        .unwrap_or_default();
    let (key, namespace) = (escape::line(exception.key()), escape::line(exception.namespace()));
    format!("PolicyException {key}{place} does not count: that needs --exception-namespace {namespace}")
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

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
    - name: r
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate: {message: m, pattern: {data: {a: b}}}
---
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: web, namespace: shop}
spec:
  exceptions: [{policyName: p, ruleNames: [r]}]
  match: {any: [{resources: {kinds: [ConfigMap]}}]}
";

    fn snapshot(namespaces: &[&str]) -> Snapshot {
        let contents = Contents::from(Policy::parse(POLICY, "p.yaml"));
        Snapshot::of(
            &contents,
            &namespaces.iter().map(|&name| name.to_owned()).collect(),
        )
    }

    #[test]
    fn an_exception_counts_only_from_a_namespace_that_was_named() {
        let counted = snapshot(&["other", "shop"]);
        assert_eq!(counted.exceptions, [Arc::from("shop/web")]);
        assert!(counted.uncounted.is_empty());

        for namespaces in [&[][..], &["other"], &["sho*"], &["*"]] {
            let uncounted = snapshot(namespaces);
            assert!(uncounted.exceptions.is_empty(), "{namespaces:?}");
            insta::allow_duplicates! {
                insta::assert_snapshot!(uncounted.uncounted.join("\n"), @"PolicyException shop/web (p.yaml:11:1) does not count: that needs --exception-namespace shop");
            }
        }
    }

    #[test]
    fn exceptions_that_count_are_part_of_the_digest_and_others_are_not() {
        assert_ne!(snapshot(&["shop"]).set.digest(), snapshot(&[]).set.digest());
        assert_eq!(snapshot(&["other"]).set.digest(), snapshot(&[]).set.digest());
        assert!(!snapshot(&["shop"]).says_the_same(&snapshot(&[])));
    }
}
