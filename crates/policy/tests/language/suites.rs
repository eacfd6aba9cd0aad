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
    let suite = Suite::parse(SUITE, "kyverno-test.yaml").unwrap();
    let files: Vec<File> = suite
        .files()
        .iter()
        .map(|named| File {
            role: named.role,
            name: named.path.clone(),
            text: match named.path.as_str() {
                "policy.yaml" => policy.clone(),
                _ => "{apiVersion: v1, kind: Pod, metadata: {name: a}}".to_owned(),
            },
        })
        .collect();
    let verdict = suite.judge(&files, Timestamp::UNIX_EPOCH);
    let [row] = &verdict.rows[..] else {
        unreachable!("{verdict:?}")
    };
    assert_eq!(row.actual.word(), expected);
}
