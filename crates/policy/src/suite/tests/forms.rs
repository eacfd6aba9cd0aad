//! The forms that suites have, and what of them is read, left out or refused.

use insta::assert_snapshot;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::{OBJECTS, denies, file, judged, lines, policy};
use crate::suite::{Role, Suite};

/// As kubectl reads them, and so Kyverno's command line: suites of the community have such.
#[test]
fn of_keys_that_stand_twice_in_objects_and_values_the_last_counts() {
    let objects = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: no, namespace: shop}, spec: {a: b, a: c}}";
    let rule = denies(
        "{{request.object.spec.a}}{{request.object.spec.v}}",
        "Equals",
        json!("cx"),
    );
    let values = file(
        Role::Values,
        "globalValues: {request.object.spec.v: y, request.object.spec.v: x}",
    );
    let verdict = judged(
        "variables: values.yaml\nresults: [{policy: p, rule: r, kind: Pod, resources: [shop/web], result: fail}]",
        &[
            file(Role::Policies, &policy(&["Pod"], rule)),
            file(Role::Resources, objects),
            values,
        ],
    );
    assert_eq!(lines(&verdict), ["Pod shop/web: fail"]);
    assert!(verdict.unjudged.is_empty(), "{:?}", verdict.unjudged);
}

#[test]
fn in_the_suite_itself_a_key_that_stands_twice_is_an_error() {
    let fault = Suite::parse("results: []\nresults: []\n", "kyverno-test.yaml").unwrap_err();
    assert_snapshot!(fault, @"kyverno-test.yaml:2:1: duplicate key \"results\" (this suite)");
}

/// The forms that suites have had over the years.
#[rstest]
#[case::older(
    "name: t\npolicies: [p.yaml]\nresources: [r.yaml]\nresults: [{policy: p, rule: r, resource: web, namespace: shop, kind: Pod, status: fail}]"
)]
#[case::of_today(
    "apiVersion: cli.kyverno.io/v1alpha1\nkind: Test\nmetadata: {name: t}\nresults: [{policy: p, rule: r, resources: [shop/web], kind: Pod, result: fail}]"
)]
#[case::of_a_namespaced_policy(
    "kind: Test\nresults: [{policy: team/p, rule: r, resources: [shop/web], kind: Pod, result: fail}]"
)]
#[case::with_checks(
    "kind: Test\nchecks: [{match: {policy: {metadata: {name: p}}}, assert: {status: fail}}]\nresults: [{policy: p, rule: r, resources: [shop/web], kind: Pod, result: fail}]"
)]
fn suites_of_every_age_are_read(#[case] suite: &str) {
    let policy = policy(&["Pod"], json!({"validate": {"deny": {}}}));
    let suite = Suite::parse(suite, "kyverno-test.yaml").unwrap();
    let files = [file(Role::Policies, &policy), file(Role::Resources, OBJECTS)];
    let verdict = suite.judge(&files, Timestamp::UNIX_EPOCH);
    assert_eq!(lines(&verdict), ["Pod shop/web: fail"]);
    assert!(verdict.holds());
}

#[test]
fn checks_are_told_to_be_left_out() {
    let suite = "kind: Test\nchecks: [{assert: {status: fail}}]\n";
    let verdict = Suite::parse(suite, "kyverno-test.yaml")
        .unwrap()
        .judge(&[], Timestamp::UNIX_EPOCH);
    let notices: Vec<String> = verdict.notices.iter().map(ToString::to_string).collect();
    assert_snapshot!(notices.join("\n"), @"kyverno-test.yaml:2:1: checks are not supported: only results are compared");
}

/// What a mutation or generation is expected to make is not compared, and said to be not.
#[rstest]
#[case::a_mutation(json!({"mutate": {"patchStrategicMerge": {}}}), "patchedResources: patched.yaml", "mutate")]
#[case::an_older_mutation(json!({"mutate": {"patchStrategicMerge": {}}}), "patchedResource: patched.yaml", "mutate")]
#[case::a_generation(json!({"generate": {"kind": "Secret"}}), "generatedResource: made.yaml, cloneSourceResource: source.yaml", "generate")]
#[case::signatures(json!({"verifyImages": [{"imageReferences": ["*"]}]}), "operation: CREATE", "verifyImages")]
fn what_is_not_done_is_named(#[case] rule: Value, #[case] entry: &str, #[case] what: &str) {
    let verdict = judged(
        &format!(
            "results: [{{policy: p, rule: r, resources: [shop/web], kind: Pod, result: pass, {entry}}}]"
        ),
        &[
            file(Role::Policies, &policy(&["Pod"], rule)),
            file(Role::Resources, OBJECTS),
        ],
    );
    assert_eq!(lines(&verdict), ["Pod shop/web: unsupported"]);
    let reason = verdict.rows[0].actual.reason().unwrap();
    assert!(
        reason.starts_with(what) && reason.contains("is not supported"),
        "{reason}"
    );
    assert_eq!(verdict.rows[0].ok(), None);
    assert!(verdict.holds());
}
