//! PolicyExceptions.

use provost_policy::{Exception, Policy, PolicySet};
use rstest::rstest;

use super::{Asked, deployment, pod, policy, read, word};

fn judged(rule: &str, spec: &str, asked: &Asked) -> &'static str {
    let exception = format!(
        "{{apiVersion: kyverno.io/v2, kind: PolicyException, metadata: {{name: e, namespace: shop}}, spec: {{{spec}}}}}"
    );
    let Ok(exception) = Exception::from_object(&read(&exception)) else {
        return "refused";
    };
    let (set, _) = PolicySet::compile_with([Policy::from_object(&policy(rule)).unwrap()], [exception]);
    word(asked.results(&set).first())
}

const DENY: &str = "{match: {any: [{resources: {kinds: [Pod]}}]}, validate: {deny: {}}}";
const ANY: &str = "match: {any: [{resources: {kinds: [Pod, Deployment]}}]}";

#[rstest]
#[case::by_name("exceptions: [{policyName: p, ruleNames: [r]}]", "skip", "fail")]
#[case::with_generated("exceptions: [{policyName: p, ruleNames: [r, autogen-r]}]", "skip", "skip")]
#[case::wildcard("exceptions: [{policyName: p, ruleNames: ['*']}]", "skip", "skip")]
#[case::suffix("exceptions: [{policyName: p, ruleNames: ['*r']}]", "skip", "skip")]
#[case::policies_have_no_wildcard("exceptions: [{policyName: '*', ruleNames: ['*']}]", "fail", "fail")]
#[case::another_policy("exceptions: [{policyName: q, ruleNames: [r]}]", "fail", "fail")]
#[case::several(
    "exceptions: [{policyName: q, ruleNames: [r]}, {policyName: p, ruleNames: [r]}]",
    "skip",
    "fail"
)]
fn an_exception_names_policies_and_rules(
    #[case] names: &str,
    #[case] of_pod: &str,
    #[case] of_deployment: &str,
) {
    let spec = format!("{names}, {ANY}");
    assert_eq!(judged(DENY, &spec, &pod("{}")), of_pod);
    assert_eq!(judged(DENY, &spec, &deployment("{}")), of_deployment);
}

#[rstest]
#[case::namespace("match: {any: [{resources: {kinds: [Pod], namespaces: [shop]}}]}", "skip")]
#[case::other_namespace("match: {any: [{resources: {kinds: [Pod], namespaces: [prod]}}]}", "fail")]
#[case::label(
    "match: {any: [{resources: {kinds: [Pod], selector: {matchLabels: {team: a}}}}]}",
    "skip"
)]
#[case::all(
    "match: {all: [{resources: {kinds: [Pod]}}, {resources: {names: ['t*']}}]}",
    "skip"
)]
#[case::operations_do_not_count("match: {any: [{resources: {kinds: [Pod], operations: [DELETE]}}]}", "skip")]
#[case::nothing("match: {any: [{}]}", "fail")]
#[case::conditions(
    "match: {any: [{resources: {kinds: [Pod]}}]}, conditions: {any: [{key: '{{ request.object.metadata.labels.team }}', operator: Equals, value: a}]}",
    "skip"
)]
#[case::other_conditions(
    "match: {any: [{resources: {kinds: [Pod]}}]}, conditions: {all: [{key: '{{ request.object.metadata.labels.team }}', operator: Equals, value: b}]}",
    "fail"
)]
#[case::broken_conditions(
    "match: {any: [{resources: {kinds: [Pod]}}]}, conditions: {all: [{key: '{{ request.object.none }}', operator: Equals, value: b}]}",
    "fail"
)]
#[case::older_form("match: {resources: {kinds: [Pod]}}", "refused")]
#[case::users_in_the_background(
    "match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: User, name: a}]}]}",
    "refused"
)]
#[case::users(
    "background: false, match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: User, name: '*'}]}]}",
    "fail"
)]
fn an_exception_describes_what_it_excuses(#[case] spec: &str, #[case] expected: &str) {
    let spec = format!("exceptions: [{{policyName: p, ruleNames: [r]}}], {spec}");
    assert_eq!(judged(DENY, &spec, &pod("{}")), expected);
}

#[rstest]
#[case::what_passes_too("validate: {pattern: {metadata: {name: t}}}", "skip")]
#[case::not_before_preconditions(
    "preconditions: {all: [{key: a, operator: Equals, value: b}]}, validate: {deny: {}}",
    "skip"
)]
#[case::in_cel("validate: {cel: {expressions: [{expression: 'false'}]}}", "skip")]
#[case::in_foreach("validate: {foreach: [{list: request.object.spec.l, deny: {}}]}", "skip")]
#[case::pod_security("validate: {podSecurity: {level: restricted}}", "skip")]
fn an_excused_rule_is_skipped(#[case] rule: &str, #[case] expected: &str) {
    let rule = format!("{{match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}, {rule}}}");
    let spec = format!("exceptions: [{{policyName: p, ruleNames: [r]}}], {ANY}");
    assert_eq!(
        judged(&rule, &spec, &pod("{l: [a], containers: [{name: a, image: a}]}")),
        expected
    );
}

#[rstest]
#[case::this_control("[{controlName: Host Namespaces}]", "hostNetwork: true", "skip")]
#[case::another("[{controlName: Sysctls}]", "hostNetwork: true", "fail")]
#[case::nothing_to_excuse("[{controlName: Host Namespaces}]", "hostNetwork: false", "pass")]
fn an_exception_may_excuse_one_control(#[case] controls: &str, #[case] spec: &str, #[case] expected: &str) {
    let rule = "{match: {any: [{resources: {kinds: [Pod]}}]}, validate: {podSecurity: {level: baseline}}}";
    let exception =
        format!("exceptions: [{{policyName: p, ruleNames: [r]}}], {ANY}, podSecurity: {controls}");
    let asked = pod(&format!("{{{spec}, containers: [{{name: a, image: a}}]}}"));
    assert_eq!(judged(rule, &exception, &asked), expected);
}
