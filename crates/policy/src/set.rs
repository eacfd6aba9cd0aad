//! All policies in force: compiled once, indexed by kind, immutable; swapped as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use provost_manifest::digest::Digest;
use serde_json::Value;

use crate::exception::Exception;
use crate::fault::Fault;
use crate::matching::{EPHEMERAL_CONTAINERS, KindSelector, operations};
use crate::policy::Policy;
use crate::request::Operation;
use crate::rule::Rule;

/// An immutable set of policies, ready to judge.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    digest: String,
    /// For each kind that some rule names: the rules that may concern it, in the order of policies and rules.
    by_kind: HashMap<String, Vec<Candidates>>,
    /// The rules that may concern any other kind.
    other_kinds: Vec<Candidates>,
}

/// The rules of one policy that may concern a kind.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) policy: Arc<Policy>,
    pub(crate) rules: Vec<Candidate>,
}

/// A rule, and the exceptions that name it.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) rule: Arc<Rule>,
    pub(crate) exceptions: Vec<Arc<Exception>>,
}

/// A kind that some rule may judge; `*` and `?` in its parts are wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchedKind {
    /// API group; `*` where the policy does not say.
    pub group: String,
    /// API version; `*` where the policy does not say.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Subresource, `""` for none.
    pub subresource: String,
    /// The operations on which a rule may say something, sorted.
    pub operations: Vec<Operation>,
    /// Whether it is to be denied while the webhook does not answer: some rule that matches it may deny, and its
    /// policy fails closed.
    pub fails_closed: bool,
}

// === impl PolicySet ===

impl PolicySet {
    /// Compiles a set. A second policy of the same kind and name is left out, with a fault that names both places.
    ///
    /// What a set is for decides which policies go into it: [`Policy::admission`] for a webhook,
    /// [`Policy::background`] for a scan.
    pub fn compile(policies: impl IntoIterator<Item = Policy>) -> (Self, Vec<Fault>) {
        Self::compile_with(policies, [])
    }

    /// Compiles a set with exceptions. Which namespaces may hold exceptions is for the caller to say, by
    /// [`Exception::namespace`].
    pub fn compile_with(
        policies: impl IntoIterator<Item = Policy>,
        exceptions: impl IntoIterator<Item = Exception>,
    ) -> (Self, Vec<Fault>) {
        let mut by_name: BTreeMap<Arc<str>, Arc<Policy>> = BTreeMap::new();
        let mut faults = Vec::new();
        for policy in policies {
            match by_name.get(&policy.key) {
                Some(first) => faults.push(twice(&policy, first)),
                None => {
                    by_name.insert(Arc::clone(&policy.key), Arc::new(policy));
                }
            }
        }
        let policies: Vec<Arc<Policy>> = by_name.into_values().collect();
        let mut exceptions: Vec<Arc<Exception>> = exceptions.into_iter().map(Arc::new).collect();
        exceptions.sort_by(|a, b| a.key.cmp(&b.key));
        let by_kind = kinds_named(&policies)
            .into_iter()
            .map(|kind| (kind.clone(), candidates(&policies, &exceptions, Some(&kind))))
            .collect();
        let set = Self {
            digest: digest(&policies, &exceptions),
            by_kind,
            other_kinds: candidates(&policies, &exceptions, None),
            policies,
        };
        (set, faults)
    }

    /// The policies, sorted by key.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// `sha256:…` over the canonical form of all policies: equal sets have equal digests, whatever the order and
    /// layout of their files.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The kinds that the policies match, sorted: what the webhook is to be called for.
    pub fn kinds(&self) -> Vec<MatchedKind> {
        let mut kinds: BTreeMap<[&str; 4], (BTreeSet<Operation>, bool)> = BTreeMap::new();
        for policy in &self.policies {
            let generated = policy.generated.values().flatten();
            for rule in policy.written.iter().chain(generated) {
                for selector in rule.matches.filters().iter().flat_map(|filter| &filter.kinds) {
                    let mut add = |parts, operations: BTreeSet<Operation>| {
                        let (known, fails_closed) = kinds.entry(parts).or_default();
                        known.extend(operations);
                        *fails_closed |= policy.fails_closed && may_deny(policy, rule);
                    };
                    let judged: BTreeSet<Operation> = judged_operations(rule, selector).collect();
                    let [group, version, kind, subresource] = selector.parts();
                    if kind == "Pod" && subresource.is_empty() && judged.contains(&Operation::Update) {
                        let parts = [group, version, kind, EPHEMERAL_CONTAINERS];
                        add(parts, BTreeSet::from([Operation::Update]));
                    }
                    add([group, version, kind, subresource], judged);
                }
            }
        }
        kinds
            .into_iter()
            .filter(|(_, (operations, _))| !operations.is_empty())
            .map(
                |([group, version, kind, subresource], (operations, fails_closed))| MatchedKind {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: kind.to_owned(),
                    subresource: subresource.to_owned(),
                    operations: operations.into_iter().collect(),
                    fails_closed,
                },
            )
            .collect()
    }

    /// The rules that may concern objects of a kind.
    pub(crate) fn candidates(&self, kind: &str) -> &[Candidates] {
        self.by_kind.get(kind).unwrap_or(&self.other_kinds)
    }
}

fn twice(second: &Policy, first: &Policy) -> Fault {
    let mut message = format!("{} {} is there twice", second.kind, second.key);
    if let Some(place) = first.place() {
        let _ = write!(message, "; the first is {place}");
    }
    Fault {
        place: second.place.clone(),
        ..Fault::mistake(message, format!("{} {}", second.kind, second.key))
    }
}

/// Every kind that a rule names without a wildcard.
fn kinds_named(policies: &[Arc<Policy>]) -> HashSet<String> {
    let mut kinds = HashSet::new();
    for policy in policies {
        kinds.extend(policy.generated.keys().cloned());
        let selectors = policy
            .written
            .iter()
            .flat_map(|rule| rule.matches.filters())
            .flat_map(|filter| &filter.kinds);
        kinds.extend(
            selectors
                .filter_map(|selector| selector.kind.literal())
                .map(str::to_owned),
        );
    }
    kinds
}

/// The rules that may concern a kind, or any kind that no rule names.
fn candidates(
    policies: &[Arc<Policy>],
    exceptions: &[Arc<Exception>],
    kind: Option<&str>,
) -> Vec<Candidates> {
    let may_concern = |rule: &Rule| {
        rule.matches
            .filters()
            .iter()
            .flat_map(|filter| &filter.kinds)
            .any(|selector| match kind {
                Some(kind) => selector.kind.matches(kind),
                None => selector.kind.literal().is_none(),
            })
    };
    policies
        .iter()
        .filter_map(|policy| {
            let rules: Vec<Candidate> = policy
                .rules_for(kind.unwrap_or_default())
                .filter(|rule| may_concern(rule))
                .map(|rule| Candidate {
                    rule: Arc::clone(rule),
                    exceptions: exceptions
                        .iter()
                        .filter(|exception| exception.names(&policy.key, &rule.name))
                        .map(Arc::clone)
                        .collect(),
                })
                .collect();
            (!rules.is_empty()).then(|| Candidates {
                policy: Arc::clone(policy),
                rules,
            })
        })
        .collect()
}

fn may_deny(policy: &Policy, rule: &Rule) -> bool {
    let of_rule = rule.actions.may_enforce();
    of_rule.or_else(|| policy.actions.may_enforce()).unwrap_or(false)
}

/// The operations on which a rule may say something about a kind: only subresources are connected to, and patterns
/// do not judge deletions.
fn judged_operations(rule: &Rule, selector: &KindSelector) -> impl Iterator<Item = Operation> {
    let connects = !selector.subresource.as_str().is_empty();
    let deletions = rule.check.judges_deletions();
    operations(&rule.matches)
        .into_iter()
        .filter(move |operation| match operation {
            Operation::Create | Operation::Update => true,
            Operation::Delete => deletions,
            Operation::Connect => connects,
        })
}

fn digest(policies: &[Arc<Policy>], exceptions: &[Arc<Exception>]) -> String {
    let policies = policies.iter().map(|policy| policy.canonical.clone());
    let exceptions = exceptions.iter().map(|exception| exception.canonical.clone());
    let canonical = policies.chain(exceptions).collect();
    format!("sha256:{}", Digest::of_value(&Value::Array(canonical)))
}
