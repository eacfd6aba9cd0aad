//! What Kyverno's command line does not know, in suites.

use jiff::Timestamp;
use provost_policy::suite::{File, Suite};
use rstest::rstest;

const SUITE: &str = "
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: s}
policies: [policy.yaml]
resources: [resource.yaml]
results: [{policy: p, rule: r, kind: Pod, resources: [a], result: pass}]
";

#[rstest]
#[case::undefined(
    "deny: {conditions: {any: [{key: '{{ map.data.x }}', operator: Equals, value: x}]}}",
    "error"
)]
#[case::with_a_default(
    "deny: {conditions: {any: [{key: \"{{ map.data.x || '' }}\", operator: Equals, value: x}]}}",
    "pass"
)]
#[case::a_list("foreach: [{list: map.data.x, deny: {}}]", "none")]
fn without_a_cluster_what_is_fetched_is_undefined(#[case] check: &str, #[case] expected: &str) {
    let policy = format!(
        "{{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {{name: p}}, spec: {{rules: [{{name: r, \
         match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}, context: [{{name: map, configMap: {{name: a, namespace: b}}}}], \
         validate: {{{check}}}}}]}}}}"
    );
    assert_eq!(judged(&policy, SUITE), expected);
}

#[rstest]
#[case::stated("{rules: [{name: r, values: {image.registry: ghcr.io}}], name: p}", "pass")]
#[case::stated_otherwise("{rules: [{name: r, values: {image.registry: docker.io}}], name: p}", "fail")]
#[case::stated_for_the_object(
    "{resources: [{name: a, values: {image: {registry: docker.io}}}], name: p}",
    "fail"
)]
#[case::not_stated("{rules: [{name: r, values: {other: x}}], name: p}", "unsupported")]
fn what_a_registry_would_give_may_be_stated(#[case] values: &str, #[case] expected: &str) {
    let policy = "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: p}, spec: {rules: [{name: r, \
         match: {any: [{resources: {kinds: [Pod]}}]}, validate: {foreach: [{list: request.object.spec.containers, \
         context: [{name: image, imageRegistry: {reference: '{{ element.image }}'}}], \
         deny: {conditions: {any: [{key: '{{ image.registry }}', operator: NotEquals, value: ghcr.io}]}}}]}}]}}";
    let suite = format!("{SUITE}values: {{policies: [{values}]}}\n");
    assert_eq!(judged(policy, &suite), expected);
}

/// The actual result of the suite's one row.
fn judged(policy: &str, suite: &str) -> &'static str {
    let suite = Suite::parse(suite, "kyverno-test.yaml").unwrap();
    let files: Vec<File> = suite
        .files()
        .iter()
        .map(|named| File {
            role: named.role,
            name: named.path.clone(),
            text: match named.path.as_str() {
                "policy.yaml" => policy.to_owned(),
                _ => "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: b}]}}".to_owned(),
            },
        })
        .collect();
    let verdict = suite.judge(&files, Timestamp::UNIX_EPOCH);
    let [row] = &verdict.rows[..] else {
        unreachable!("{verdict:?}")
    };
    row.actual.word()
}
