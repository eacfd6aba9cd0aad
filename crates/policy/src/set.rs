//! All policies in force: compiled once, indexed by kind, immutable; swapped as a whole.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use provost_manifest::digest::Digest;
use serde_json::Value;

use crate::exception::Exception;
use crate::fault::Fault;
use crate::matching::{EPHEMERAL_CONTAINERS, KindSelector, operations};
use crate::policy::Policy;
use crate::reach::Reach;
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
    class: Class,
    /// Whether it names the kind that it is a candidate for, and does not reach it by a wildcard.
    named: bool,
}

/// What becomes of a request that a rule concerns while nobody answers for the rule (`failurePolicy` of a webhook).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It is denied: the rule may deny, and its policy fails closed.
    Fail,
    /// It is let in: the rule only warns, or its policy fails open.
    Ignore,
}

/// How long the apiserver waits for the verdict of a policy that does not say.
pub const DEFAULT_TIMEOUT_SECONDS: u8 = 10;

/// Which rules of a set are to judge. The default is: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Those of this class; `None` for both.
    pub class: Option<Class>,
    /// Only rules that name the kind of the request, none that reach it by a wildcard.
    pub named: bool,
}

/// A kind that some rule of a class may judge; `*` and `?` in its parts are wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The class of the rules.
    pub class: Class,
    /// Whether some rule may deny.
    pub may_deny: bool,
    /// Which requests for the kind the rules may concern.
    pub reach: Reach,
    /// How long the apiserver is to wait for a verdict: the longest that one of the policies asks for.
    pub timeout_seconds: u8,
}

/// What [`PolicySet::kinds`] gathers of one kind.
struct Matched {
    operations: BTreeSet<Operation>,
    may_deny: bool,
    reach: Reach,
    timeout_seconds: u8,
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

    /// The kinds that the policies match, by class, sorted: what the webhook is to be called for.
    pub fn kinds(&self) -> Vec<MatchedKind> {
        let mut kinds: BTreeMap<([&str; 4], Class), Matched> = BTreeMap::new();
        for policy in &self.policies {
            for rule in policy.all_rules() {
                for filter in rule.matches.filters() {
                    for selector in &filter.kinds {
                        for parts in kinds_reached(rule, selector) {
                            let matched = Matched {
                                operations: judged_operations(rule, selector).collect(),
                                may_deny: may_deny(policy, rule),
                                reach: Reach::new(policy, rule, filter, selector),
                                timeout_seconds: policy.timeout_seconds().unwrap_or(DEFAULT_TIMEOUT_SECONDS),
                            };
                            matched.enter(parts, class(policy, rule), &mut kinds);
                        }
                    }
                }
            }
        }
        kinds
            .into_iter()
            .map(
                |(([group, version, kind, subresource], class), matched)| MatchedKind {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: kind.to_owned(),
                    subresource: subresource.to_owned(),
                    operations: matched.operations.into_iter().collect(),
                    class,
                    may_deny: matched.may_deny,
                    reach: matched.reach,
                    timeout_seconds: matched.timeout_seconds,
                },
            )
            .collect()
    }

    /// The rules that may concern objects of a kind.
    pub(crate) fn candidates(&self, kind: &str) -> &[Candidates] {
        self.by_kind.get(kind).unwrap_or(&self.other_kinds)
    }
}

// === impl Part ===

impl Part {
    pub(crate) fn has(self, candidate: &Candidate) -> bool {
        self.class.is_none_or(|class| class == candidate.class) && (candidate.named || !self.named)
    }
}

// === impl Matched ===

impl Matched {
    /// Puts it among the kinds. What is said of Pods is said of adding containers to them.
    fn enter<'p>(self, parts: [&'p str; 4], class: Class, kinds: &mut BTreeMap<([&'p str; 4], Class), Self>) {
        let [group, version, kind, subresource] = parts;
        if kind == "Pod" && subresource.is_empty() && self.operations.contains(&Operation::Update) {
            let of_containers = Self {
                operations: BTreeSet::from([Operation::Update]),
                may_deny: self.may_deny,
                reach: self.reach.clone(),
                timeout_seconds: self.timeout_seconds,
            };
            of_containers.enter([group, version, kind, EPHEMERAL_CONTAINERS], class, kinds);
        }
        if self.operations.is_empty() {
            return;
        }
        match kinds.entry((parts, class)) {
            Entry::Vacant(place) => {
                place.insert(self);
            }
            Entry::Occupied(mut place) => {
                let known = place.get_mut();
                known.operations.extend(self.operations);
                known.may_deny |= self.may_deny;
                known.timeout_seconds = known.timeout_seconds.max(self.timeout_seconds);
                known.reach = std::mem::take(&mut known.reach).with(self.reach);
            }
        }
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
        let named = policy.written.iter().flat_map(|rule| kinds_named_by(rule));
        kinds.extend(named.map(str::to_owned));
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
                    class: class(policy, rule),
                    named: kind.is_some_and(|kind| kinds_named_by(rule).any(|named| named == kind)),
                })
                .collect();
            (!rules.is_empty()).then(|| Candidates {
                policy: Arc::clone(policy),
                rules,
            })
        })
        .collect()
}

/// The kinds that a rule names without a wildcard.
fn kinds_named_by(rule: &Rule) -> impl Iterator<Item = &str> {
    let selectors = rule.matches.filters().iter().flat_map(|filter| &filter.kinds);
    selectors.filter_map(|selector| selector.kind.literal())
}

/// Group, version, kind and subresource that a selector says, and those of the kinds that its rule names elsewhere and
/// reaches by a wildcard here.
fn kinds_reached<'r>(rule: &'r Rule, selector: &'r KindSelector) -> impl Iterator<Item = [&'r str; 4]> {
    let [group, version, kind, subresource] = selector.parts();
    let others = kinds_named_by(rule).filter(move |named| *named != kind && selector.kind.matches(named));
    std::iter::once(kind)
        .chain(others)
        .map(move |kind| [group, version, kind, subresource])
}

fn class(policy: &Policy, rule: &Rule) -> Class {
    // Where the first rule that decides ends the policy, its rules can only be judged together.
    let denies = if policy.first_rule_only {
        policy.all_rules().any(|rule| may_deny(policy, rule))
    } else {
        may_deny(policy, rule)
    };
    if policy.fails_closed && denies {
        Class::Fail
    } else {
        Class::Ignore
    }
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
