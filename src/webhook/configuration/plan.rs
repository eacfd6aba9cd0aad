//! Which webhook of the configuration asks about what.
//!
//! A request is asked about as seldom as can be: once, where the requests of both classes of rules are the same or
//! those of [`Class::Ignore`] are among those of [`Class::Fail`]; else once for each class. A webhook's path says which
//! class it has judged, so that no rule judges a request twice, whichever configuration the apiserver still has.

use std::collections::{BTreeMap, BTreeSet};

use provost_policy::{
    Class, MatchedKind, Operation,
    reach::{Reach, Selector},
};

use super::resources::{Resource, resources};
use crate::cluster::Kinds;

/// Above this many selectors in a class none is used: each is a webhook of its own.
pub(super) const MAX_SELECTORS: usize = 16;

/// What a webhook is for. The order is that of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Purpose {
    pub(super) sort: Sort,
    /// The rules that judge; `None` for all.
    pub(super) class: Option<Class>,
    pub(super) namespace_selector: Option<Selector>,
    pub(super) object_selector: Option<Selector>,
    /// How long the apiserver waits.
    pub(super) timeout_seconds: u8,
}

/// What becomes of requests while nobody answers, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// Denied: a rule could deny them, and its policy fails closed.
    Enforce,
    /// Let in, though some rule could deny them: its policy fails open.
    FailOpen,
    /// Let in: rules only warn.
    Audit,
    /// Let in, whatever the rules say: a cluster needs them to recover.
    Recovery,
}

/// What of a resource is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) operations: BTreeSet<Operation>,
    pub(super) reach: Reach,
    may_deny: bool,
    timeout_seconds: u8,
}

pub(super) type Shares = BTreeMap<Resource, Share>;

/// The webhooks for `kinds` on a cluster that serves `served`, none of them empty.
pub(super) fn plan(kinds: &[MatchedKind], served: &Kinds) -> BTreeMap<Purpose, Shares> {
    let (mut recovery, mut fail, mut ignore) = (Shares::new(), Shares::new(), Shares::new());
    for kind in kinds {
        for resource in resources(kind, served) {
            let shares = match kind.class {
                _ if resource.is_needed_to_recover() => &mut recovery,
                Class::Fail => &mut fail,
                Class::Ignore => &mut ignore,
            };
            let share = Share {
                operations: kind.operations.iter().copied().collect(),
                reach: kind.reach.clone(),
                may_deny: kind.may_deny,
                timeout_seconds: kind.timeout_seconds,
            };
            match shares.get_mut(&resource) {
                Some(known) => known.add(share),
                None => drop(shares.insert(resource, share)),
            }
        }
    }
    for shares in [&mut recovery, &mut fail, &mut ignore] {
        widen(shares);
    }
    let mut plan: BTreeMap<Purpose, Shares> = BTreeMap::new();
    let mut ask = |sort, class, resource: &Resource, share: &Share| {
        let purpose = Purpose {
            sort,
            class,
            namespace_selector: share.reach.namespace_selector.clone(),
            object_selector: share.reach.object_selector.clone(),
            timeout_seconds: share.timeout_seconds,
        };
        plan.entry(purpose)
            .or_default()
            .insert(resource.clone(), share.clone());
    };
    for (resource, share) in &recovery {
        ask(Sort::Recovery, None, resource, share);
    }
    let apart: BTreeSet<&Resource> = fail
        .keys()
        .chain(ignore.keys())
        .filter(|resource| is_apart(resource, &fail, &ignore))
        .collect();
    // What only one class has is the same for that class and for all: it goes with what the class has apart.
    let class_of = |resource: &Resource, class, others: &Shares| {
        let alone = !apart.is_empty() && !others.contains_key(resource);
        (alone || apart.contains(resource)).then_some(class)
    };
    for (resource, share) in &fail {
        let class = class_of(resource, Class::Fail, &ignore);
        let mut share = share.clone();
        // Both classes are judged there, or what the other one has of it, it has alone.
        if let (None, Some(other)) = (class, ignore.get(resource)) {
            share.timeout_seconds = share.timeout_seconds.max(other.timeout_seconds);
        }
        ask(Sort::Enforce, class, resource, &share);
    }
    for (resource, share) in &ignore {
        if apart.contains(resource) || !fail.contains_key(resource) {
            let sort = if share.may_deny {
                Sort::FailOpen
            } else {
                Sort::Audit
            };
            ask(sort, class_of(resource, Class::Ignore, &fail), resource, share);
        }
    }
    plan
}

/// Whether the classes are asked about a resource apart: each has requests of it that the other may not have.
fn is_apart(resource: &Resource, fail: &Shares, ignore: &Shares) -> bool {
    let both = || fail.keys().chain(ignore.keys());
    if both().any(Resource::is_any) {
        return !fail.is_empty() && !ignore.is_empty();
    }
    // A request in one version may come converted to another.
    let mut family = both().filter(|other| other.family() == resource.family());
    if family.any(|other| other.version != resource.version) {
        return true;
    }
    match (fail.get(resource), ignore.get(resource)) {
        (Some(fail), Some(ignore)) => {
            !fail.reach.covers(&ignore.reach) || !fail.operations.is_superset(&ignore.operations)
        }
        _ => false,
    }
}

/// A request may match several of these resources: they get the same reach, so that one webhook has them all.
fn widen(shares: &mut Shares) {
    let is_any = shares.keys().any(Resource::is_any);
    let family = |resource: &Resource| {
        let (group, plural) = if is_any { ("*", "*") } else { resource.family() };
        (group.to_owned(), plural.to_owned())
    };
    let mut families: BTreeMap<(String, String), Share> = BTreeMap::new();
    for (resource, share) in shares.iter() {
        match families.get_mut(&family(resource)) {
            Some(known) => known.add(share.clone()),
            None => drop(families.insert(family(resource), share.clone())),
        }
    }
    let selectors: BTreeSet<_> = families
        .values()
        .map(|share| (&share.reach.namespace_selector, &share.reach.object_selector))
        .collect();
    for (resource, share) in shares.iter_mut() {
        if let Some(wide) = families.get(&family(resource)) {
            share.reach = wide.reach.clone();
            share.may_deny = wide.may_deny;
            share.timeout_seconds = wide.timeout_seconds;
        }
        if selectors.len() > MAX_SELECTORS {
            share.reach.namespace_selector = None;
            share.reach.object_selector = None;
        }
    }
}

// === impl Sort ===

impl Sort {
    /// Name of the first webhook of the sort, without the domain.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::FailOpen => "enforce-fail-open",
            Self::Audit => "audit",
            Self::Recovery => "recovery",
        }
    }
}

// === impl Share ===

impl Share {
    fn add(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.may_deny |= other.may_deny;
        self.timeout_seconds = self.timeout_seconds.max(other.timeout_seconds);
        self.reach = std::mem::take(&mut self.reach).with(other.reach);
    }
}
