//! Rules that concern nothing: what they match excludes itself.

use std::collections::BTreeSet;

use super::{Findings, Lint, filters, kinds};
use crate::matching::{Filter, KindSelector, Match, operations};
use crate::policy::Policy;
use crate::request::Operation;
use crate::rule::Rule;
use crate::selector::{LabelSelector, Relation};
use crate::source::Cursor;

const ADVICE: &str = "The rule judges nothing, and nobody is told: mend it, or take it out.";

pub(super) fn lint(cursor: &Cursor<'_>, rule: &Rule, policy: &Policy, findings: &mut Findings<'_>) {
    let Some(block) = cursor.get("match") else { return };
    let written = filters(&block);
    for (filter, place) in rule.matches.filters().iter().zip(&written) {
        look_at_filter(filter, place, policy, findings);
    }
    if let Match::All(filters) = &rule.matches {
        look_at_all(filters, &rule.matches, &block, findings);
    }
    if let (Some(exclude), Some(place)) = (&rule.exclude, cursor.get("exclude"))
        && exclude.covers(&rule.matches)
    {
        let fault = place.key_fault("exclude leaves out all that match lets in");
        findings.warn(Lint::NeverMatches, &fault, ADVICE);
    }
    let only_deletions = operations(&rule.matches) == BTreeSet::from([Operation::Delete]);
    if only_deletions && !rule.check.judges_deletions() {
        let fault = block.key_fault("the rule is about deletions, of which a pattern says nothing");
        findings.warn(
            Lint::NeverMatches,
            &fault,
            "Use deny with conditions on request.oldObject.",
        );
    }
}

fn look_at_filter(filter: &Filter, place: &Cursor<'_>, policy: &Policy, findings: &mut Findings<'_>) {
    let Some(resources) = place.get("resources") else {
        return;
    };
    let selectors = [
        ("selector", &filter.selector),
        ("namespaceSelector", &filter.namespace_selector),
    ];
    for (key, selector) in selectors {
        if let (Some(selector), Some(place)) = (selector, resources.get(key))
            && let Some(why) = contradiction(selector)
        {
            findings.warn(Lint::NeverMatches, &place.key_fault(why), ADVICE);
        }
    }
    let is_namespace = |kind: &KindSelector| kind.kind.as_str() == "Namespace";
    if let Some(place) = resources.get("namespaceSelector")
        && filter.kinds.iter().all(is_namespace)
    {
        let fault = place.key_fault("a namespaceSelector never selects Namespaces themselves");
        findings.warn(
            Lint::NeverMatches,
            &fault,
            "Use selector: it is about the labels of the Namespace.",
        );
    }
    if let Some(own) = &policy.namespace {
        of_one_namespace(filter, own, &resources, findings);
    }
}

/// A namespaced Policy judges its own namespace alone.
fn of_one_namespace(filter: &Filter, own: &str, resources: &Cursor<'_>, findings: &mut Findings<'_>) {
    let elsewhere =
        !filter.namespaces.is_empty() && !filter.namespaces.iter().any(|namespace| namespace.matches(own));
    let place = if elsewhere {
        resources.get("namespaces")
    } else {
        None
    };
    if let Some(place) = place {
        let fault = place.key_fault(format!("a Policy of namespace {own} judges no other namespace"));
        findings.warn(
            Lint::NeverMatches,
            &fault,
            "Use a ClusterPolicy, or put the Policy there.",
        );
    }
    if filter.kinds.iter().all(kinds::is_cluster_scoped)
        && let Some(place) = resources.get("kinds")
    {
        let fault =
            place.key_fault("a Policy judges only what is in its namespace, and these kinds are in none");
        findings.warn(Lint::NeverMatches, &fault, "Use a ClusterPolicy.");
    }
}

/// Filters that must all hold, and cannot.
fn look_at_all(all: &[Filter], matches: &Match, block: &Cursor<'_>, findings: &mut Findings<'_>) {
    let Some(place) = block.get("all") else { return };
    let mut why = None;
    if operations(matches).is_empty() {
        why = Some("no operation is in every filter of all".to_owned());
    }
    for (at, filter) in all.iter().enumerate() {
        let apart = all[..at]
            .iter()
            .any(|other| are_apart(&filter.kinds, &other.kinds));
        if apart {
            why = Some("no kind is in every filter of all".to_owned());
        }
    }
    if let Some(why) = why {
        findings.warn(
            Lint::NeverMatches,
            &place.key_fault(why),
            "One object is of one kind: use any where one filter is enough.",
        );
    }
}

/// Whether two lists of kinds have nothing in common, as far as that is plain.
fn are_apart(one: &[KindSelector], other: &[KindSelector]) -> bool {
    let differ = |a: &KindSelector, b: &KindSelector| match (a.kind.literal(), b.kind.literal()) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    !one.is_empty() && !other.is_empty() && one.iter().all(|a| other.iter().all(|b| differ(a, b)))
}

/// Why no labels can be what a selector wants.
fn contradiction(selector: &LabelSelector) -> Option<String> {
    for requirement in &selector.match_expressions {
        let key = &requirement.key;
        let wanted = selector
            .match_labels
            .iter()
            .find(|(label, _)| label.as_str() == key)
            .and_then(|(_, value)| value.literal());
        let lists = |value: &str| requirement.values.iter().any(|listed| listed == value);
        let clash = match (requirement.operator, wanted) {
            (Relation::DoesNotExist, Some(_)) => true,
            (Relation::NotIn, Some(value)) => lists(value),
            (Relation::In, Some(value)) => !lists(value),
            _ => false,
        };
        let against = selector.match_expressions.iter().any(|other| {
            let listed = |value: &String| other.values.contains(value);
            other.key == *key
                && match (requirement.operator, other.operator) {
                    (Relation::DoesNotExist, Relation::In | Relation::Exists) => true,
                    (Relation::In, Relation::In) => !requirement.values.iter().any(listed),
                    (Relation::In, Relation::NotIn) => requirement.values.iter().all(listed),
                    _ => false,
                }
        });
        if clash || against {
            return Some(format!("the selector contradicts itself about label {key}"));
        }
    }
    None
}
