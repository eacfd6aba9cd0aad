//! The conditions in CEL under which the apiserver asks at all (`matchConditions`).
//!
//! # Guarantees
//! - No condition of ours can end in an error, which would deny a request unasked: each looks only at what every request
//!   has. One of a policy's own that does is an error here as it is there, and denies under Fail.
//! - None is false of a request that some rule may match, but for what is never judged.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use provost_manifest::wildcard::has_wildcard;
use provost_policy::reach::Reach;

use super::{
    plan::Shares,
    resources::{Resource, needed_to_recover},
};

/// Above this many groups of resources with namespaces of their own, the others are asked about in all namespaces. An
/// apiserver takes 64 conditions.
const MAX_NARROWED: usize = 32;

/// Likewise of resources with `matchConditions` of their own policies.
const MAX_OWN: usize = 24;

/// The apiserver's own writes, by which it starts: its roles, its priorities, the Endpoints by which it is found.
const NOT_THE_APISERVER: &str =
    r#"!has(request.userInfo.username) || request.userInfo.username != "system:apiserver""#;

/// What is cluster-scoped has no namespace at all.
const NAMESPACE: &str = r#"(has(request.namespace) ? request.namespace : "")"#;

/// The conditions for what a webhook asks about.
pub(super) fn conditions(shares: &Shares) -> Vec<MatchCondition> {
    let mut conditions = vec![condition("not-the-apiserver", NOT_THE_APISERVER.to_owned())];
    if shares.keys().any(Resource::is_any) {
        let needed = needed_to_recover().map(|(group, plurals)| resource_test(group, plurals));
        let expression = format!("!({})", joined(needed));
        conditions.push(condition("not-needed-to-recover", expression));
    }
    conditions.extend(narrowed(shares, "namespaces", namespace_test, MAX_NARROWED));
    conditions.extend(narrowed(shares, "policies", own_test, MAX_OWN));
    conditions
}

/// A condition for each test that some of the resources have, `most` of them.
fn narrowed(
    shares: &Shares,
    name: &str,
    test: impl Fn(&Reach) -> String,
    most: usize,
) -> Vec<MatchCondition> {
    let mut narrowed: BTreeMap<String, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for (resource, share) in shares {
        let groups = narrowed.entry(test(&share.reach)).or_default();
        groups
            .entry(&resource.group)
            .or_default()
            .insert(&resource.plural);
    }
    let alike = narrowed.len() == 1;
    let tests = narrowed.into_iter().filter(|(test, _)| !test.is_empty());
    let conditions = tests.take(most).enumerate().map(|(number, (test, groups))| {
        let expression = if alike {
            test
        } else {
            let groups = groups.into_iter();
            let resources = joined(groups.map(|(group, plurals)| resource_test(group, &plurals)));
            format!("!({resources}) || ({test})")
        };
        condition(&format!("{name}-{}", number + 1), expression)
    });
    conditions.collect()
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition {
        name: name.to_owned(),
        expression,
    }
}

/// Whether the request is for one of these resources, whichever subresource; `*` is all of the group.
fn resource_test<'a>(group: &str, plurals: impl IntoIterator<Item = &'a &'a str>) -> String {
    let plurals: Vec<&str> = plurals.into_iter().copied().collect();
    let group = format!("request.resource.group == {}", quoted(group));
    if plurals.contains(&"*") {
        group
    } else {
        format!("{group} && request.resource.resource in {}", list(&plurals))
    }
}

/// Whether the request is in the namespaces that are reached; empty where any will do.
fn namespace_test(reach: &Reach) -> String {
    let within = reach.namespaces.as_ref().map(is_one_of);
    let without = Some(&reach.not_namespaces).filter(|names| !names.is_empty());
    let without = without.map(|names| format!("!({})", is_one_of(names)));
    match (within, without) {
        (Some(within), Some(without)) => format!("({within}) && {without}"),
        (Some(test), None) | (None, Some(test)) => test,
        (None, None) => String::new(),
    }
}

/// Whether all conditions hold of one of the policies that have any; empty where a policy has none.
fn own_test(reach: &Reach) -> String {
    let policies = reach.conditions.iter().flatten();
    joined(policies.map(|conditions| {
        // A comment at its end would take the bracket in.
        let conditions = conditions.iter().map(|condition| {
            if condition.contains("//") {
                format!("({condition}\n)")
            } else {
                format!("({condition})")
            }
        });
        conditions.collect::<Vec<_>>().join(" && ")
    }))
}

fn is_one_of(names: &BTreeSet<String>) -> String {
    let (patterns, literals): (Vec<&str>, Vec<&str>) = names
        .iter()
        .map(String::as_str)
        .partition(|name| has_wildcard(name));
    let mut tests = Vec::new();
    if !literals.is_empty() {
        tests.push(format!("{NAMESPACE} in {}", list(&literals)));
    }
    if !patterns.is_empty() {
        let patterns: Vec<String> = patterns
            .iter()
            .map(|pattern| pattern.replace('*', ".*").replace('?', "."))
            .collect();
        let expression = quoted(&format!("^({})$", patterns.join("|")));
        tests.push(format!("{NAMESPACE}.matches({expression})"));
    }
    tests.join(" || ")
}

fn joined(tests: impl Iterator<Item = String>) -> String {
    tests
        .map(|test| format!("({test})"))
        .collect::<Vec<_>>()
        .join(" || ")
}

fn list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// A string of CEL, whose escapes are those of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
