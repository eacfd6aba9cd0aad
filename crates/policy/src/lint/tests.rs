//! Each lint finds what was put wrong on purpose, at its place, and nothing in good policies.

use insta::assert_snapshot;
use provost_manifest::diagnostic::Level;
use rstest::rstest;

use super::{Finding, lint};
use crate::test_support::SEED;

const POLICY: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
";

/// A rule on Pods whose match or validate is as given.
fn rule(matches: &str, validate: &str) -> String {
    format!("  - name: r\n    match: {matches}\n    validate: {validate}\n")
}

fn of_kinds(kinds: &str) -> String {
    rule(
        &format!("{{any: [{{resources: {{kinds: [{kinds}]}}}}]}}"),
        "{pattern: {metadata: {name: '?*'}}}",
    )
}

fn found(rules: &str) -> Vec<Finding> {
    lint(&format!("{POLICY}{rules}"), "p.yaml")
}

fn told(findings: &[Finding]) -> String {
    let texts: Vec<String> = findings
        .iter()
        .map(|finding| format!("[{}] {}", finding.lint.name(), finding.diagnostic))
        .collect();
    texts.join("\n")
}

#[test]
fn the_policies_of_the_seed_are_clean() {
    for (name, text) in SEED {
        assert_eq!(told(&lint(text, name)), "");
    }
}

const PODS: &str = "{any: [{resources: {kinds: [Pod]}}]}";

#[rstest]
#[case::misspelt_kind(
    of_kinds("Deploymnet"),
    "unknown-kind",
    "no kind is named Deploymnet; did you mean \"Deployment\"?"
)]
#[case::plural_kind(of_kinds("Pods"), "unknown-kind", "did you mean \"Pod\"?")]
#[case::lower_case_kind(of_kinds("pod"), "unknown-kind", "did you mean \"Pod\"?")]
#[case::other_group(
    of_kinds("apps/v1/Pod"),
    "unknown-kind",
    "no Pod is in group apps: it is in the core group"
)]
#[case::group_without_version(
    of_kinds("apps/Deployment"),
    "never-matches",
    "subresource Deployment of kind apps"
)]
#[case::any_group_and_version("  - name: r\n    match: {any: [{resources: {kinds: ['*/*/Deployment']}}]}\n    validate: {pattern: {spec: {replicas: '>1'}}}\n".to_owned(), "never-matches", "matches nothing")]
#[case::selector_against_itself(
    rule(
        "{any: [{resources: {kinds: [Pod], selector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: NotIn, values: [b]}]}}}]}",
        "{deny: {}}"
    ),
    "never-matches",
    "contradicts itself about label a"
)]
#[case::exists_and_does_not(
    rule(
        "{any: [{resources: {kinds: [Pod], selector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: DoesNotExist}]}}}]}",
        "{deny: {}}"
    ),
    "never-matches",
    "contradicts itself"
)]
#[case::in_nothing_common(
    rule(
        "{any: [{resources: {kinds: [Pod], namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [one]}, {key: a, operator: In, values: [two]}]}}}]}",
        "{deny: {}}"
    ),
    "never-matches",
    "contradicts itself"
)]
#[case::selector_of_namespaces(
    rule(
        "{any: [{resources: {kinds: [Namespace], namespaceSelector: {matchLabels: {a: b}}}}]}",
        "{deny: {}}"
    ),
    "never-matches",
    "never selects Namespaces themselves"
)]
#[case::excluded_again(format!("{}    exclude: {{any: [{{resources: {{namespaces: ['*']}}}}]}}\n", rule("{any: [{resources: {kinds: [Pod], namespaces: [shop]}}]}", "{deny: {}}")), "never-matches", "exclude leaves out all")]
#[case::excluded_by_kind(format!("{}    exclude: {{any: [{{resources: {{kinds: ['*']}}}}]}}\n", rule("{any: [{resources: {kinds: [Pod, Service]}}]}", "{deny: {}}")), "never-matches", "exclude leaves out all")]
#[case::two_kinds_at_once(
    rule(
        "{all: [{resources: {kinds: [Pod]}}, {resources: {kinds: [Service]}}]}",
        "{deny: {}}"
    ),
    "never-matches",
    "no kind is in every filter"
)]
#[case::two_operations_at_once(
    rule(
        "{all: [{resources: {kinds: [Pod], operations: [CREATE]}}, {resources: {kinds: [Pod], operations: [DELETE]}}]}",
        "{deny: {}}"
    ),
    "never-matches",
    "no operation is in every filter"
)]
#[case::pattern_of_deletions(
    rule(
        "{any: [{resources: {kinds: [Pod], operations: [DELETE]}}]}",
        "{pattern: {metadata: {name: 'a?'}}}"
    ),
    "never-matches",
    "about deletions"
)]
#[case::said_twice(format!("{}{}", rule(PODS, "{message: a, pattern: {spec: {nodeName: x}}}"), rule(PODS, "{message: b, pattern: {spec: {nodeName: x}}}").replace("name: r", "name: s")), "shadowed", "rule \"r\" already says the same")]
#[case::at_most(
    rule(PODS, "{pattern: {spec: {terminationGracePeriodSeconds: '<=5'}}}"),
    "passes-where-missing",
    "\"<=5\" is also met where terminationGracePeriodSeconds is missing"
)]
#[case::not_five(
    rule(PODS, "{pattern: {spec: {priority: '!5'}}}"),
    "passes-where-missing",
    "\"!5\" is also met"
)]
#[case::range_from_zero(
    rule(PODS, "{anyPattern: [{spec: {priority: 0-9}}]}"),
    "passes-where-missing",
    "\"0-9\" is also met"
)]
#[case::inside_a_list(
    rule(PODS, "{pattern: {spec: {containers: [{ports: [{hostPort: '<1024'}]}]}}}"),
    "passes-where-missing",
    "hostPort"
)]
#[case::inside_foreach(
    rule(
        PODS,
        "{foreach: [{list: request.object.spec.containers, pattern: {x: '<1'}}]}"
    ),
    "passes-where-missing",
    "\"<1\""
)]
#[case::unknown_name(
    rule(
        PODS,
        "{deny: {conditions: {all: [{key: \"{{ length(registries) }}\", operator: Equals, value: 1}]}}}"
    ),
    "undefined",
    "no name registries is known here"
)]
#[case::misspelt_request(
    rule(
        PODS,
        "{deny: {conditions: {all: [{key: \"{{ request.objct.spec }}\", operator: Equals, value: 1}]}}}"
    ),
    "undefined",
    "a request has no objct; did you mean \"object\"?"
)]
#[case::unknown_function(
    rule(
        PODS,
        "{deny: {conditions: {all: [{key: \"{{ lenght(request.object.spec.containers) }}\", operator: Equals, value: 1}]}}}"
    ),
    "undefined",
    "there is no function lenght"
)]
#[case::used_before_it_is_known(format!("{}    context: [{{name: a, variable: {{value: '{{{{ b }}}}'}}}}, {{name: b, variable: {{value: 1}}}}]\n", rule(PODS, "{deny: {conditions: {all: [{key: \"{{ a }}\", operator: Equals, value: 1}]}}}")), "undefined", "b: no name b is known here")]
#[case::same_list_inside(
    rule(
        PODS,
        "{foreach: [{list: 'request.object.spec.containers', foreach: [{list: 'request.object.spec.containers', deny: {}}]}]}"
    ),
    "cost",
    "request.object.spec.containers is gone through for each of its own elements"
)]
#[case::context_of_each(
    rule(
        PODS,
        "{foreach: [{list: 'request.object.spec.containers', context: [{name: all, variable: {jmesPath: 'request.object.spec.containers[].name'}}], deny: {conditions: {all: [{key: '{{ element.name }}', operator: AnyIn, value: '{{ all }}'}]}}}]}"
    ),
    "cost",
    "gone through for each"
)]
#[case::same_list_inside_in_cel(
    rule(
        PODS,
        "{cel: {expressions: [{expression: 'object.spec.containers.all(a, object.spec.containers.exists_one(b, a.name == b.name))'}]}}"
    ),
    "cost",
    "object.spec.containers is gone through for each of its own elements (at byte 63 of the expression)"
)]
#[case::same_variable_inside_in_cel(
    rule(
        PODS,
        "{cel: {variables: [{name: all, expression: 'object.spec.containers'}], expressions: [{expression: 'variables.all.all(a, variables.all.filter(b, b.name == a.name).size() == 1)'}]}}"
    ),
    "cost",
    "variables.all is gone through for each"
)]
#[case::unknown_field(rule(PODS, "{patern: {}}"), "refused", "unknown field \"patern\"")]
#[case::no_yaml("  - [".to_owned(), "refused", "")]
fn a_fault_is_found(#[case] rules: String, #[case] name: &str, #[case] text: &str) {
    let findings = found(&rules);
    let told = told(&findings);
    let [finding] = findings.as_slice() else {
        panic!("one finding is expected:\n{told}");
    };
    assert_eq!(finding.lint.name(), name, "{told}");
    assert!(finding.diagnostic.message.contains(text), "{told}");
    assert!(finding.diagnostic.level > Level::Note, "{told}");
    assert!(finding.diagnostic.place.is_some(), "{told}");
}

#[rstest]
#[case::loops_in_loops_in_cel(rule(
    PODS,
    "{cel: {expressions: [{expression: 'object.spec.containers.all(a, a.ports.all(b, b.hostPort == 0) && object.spec.volumes.exists(v, v.name == a.name))'}]}}"
))]
#[case::wildcards(of_kinds("'*Set', 'apps/*/Deployment', 'v1/Pod'"))]
#[case::subresources(of_kinds("Pod/exec, Deployment/scale, Pod.status, PodExecOptions"))]
#[case::group_of_a_custom_resource(of_kinds(
    "argoproj.io/v1alpha1/Application, serving.knative.dev/v1/Service"
))]
#[case::the_field_may_be_missing(rule(PODS, "{pattern: {spec: {'=(priority)': '<=5'}}}"))]
#[case::the_field_is_demanded(rule(
    PODS,
    "{pattern: {spec: {priority: '?* & <=5', nodeName: '!x', hostname: '>0'}}}"
))]
#[case::the_field_must_be_missing(rule(PODS, "{pattern: {spec: {nodeName: null, 'X(hostPID)': 'null'}}}"))]
#[case::excluded_in_part(format!("{}    exclude: {{any: [{{resources: {{kinds: [Pod], namespaces: [kube-*]}}}}]}}\n", rule("{any: [{resources: {kinds: [Pod]}}]}", "{deny: {}}")))]
#[case::entry_after_entry(format!("{}    context: [{{name: a.b, variable: {{value: 1}}}}, {{name: c, variable: {{value: '{{{{ a.b }}}}'}}}}]\n", rule(PODS, "{deny: {conditions: {all: [{key: \"{{ c }}\", operator: Equals, value: 1}]}}}")))]
#[case::lists_of_elements(rule(
    PODS,
    "{foreach: [{list: 'request.object.spec.containers', foreach: [{list: 'element.ports', deny: {conditions: {all: [{key: '{{ element1.hostPort || `0` }}', operator: Equals, value: 1}]}}}]}]}"
))]
#[case::narrower_rule_first(format!("{}{}", rule("{any: [{resources: {kinds: [Pod], namespaces: [a]}}]}", "{pattern: {spec: {nodeName: x}}}"), rule(PODS, "{pattern: {spec: {nodeName: x}}}").replace("name: r", "name: s")))]
fn what_is_meant_is_left_alone(#[case] rules: String) {
    assert_eq!(told(&found(&rules)), "");
}

#[test]
fn a_rule_behind_one_that_always_decides_is_never_reached() {
    let rules = format!(
        "  applyRules: One\n{}{}",
        rule(PODS, "{pattern: {spec: {nodeName: x}}}"),
        rule(
            "{any: [{resources: {kinds: [Pod], namespaces: [a]}}]}",
            "{pattern: {spec: {nodeName: y}}}"
        )
        .replace("name: r", "name: s")
    );
    let text =
        format!("{POLICY}{rules}").replace("  rules:\n  applyRules: One\n", "  applyRules: One\n  rules:\n");
    assert_snapshot!(told(&lint(&text, "p.yaml")), @r#"
    [shadowed] warning: the rule is never reached: with applyRules One, rule "r" decides before
      --> p.yaml:10:11
       |
    10 |   - name: s
       |           ^ rule "s" of ClusterPolicy p
       = Put the narrower rule first, or set applyRules: All.
    "#);
    assert_eq!(told(&lint(&text.replace("One", "All"), "p.yaml")), "");
}

#[test]
fn a_custom_kind_is_only_noted() {
    let findings = found(&of_kinds("Rollout"));
    assert_snapshot!(told(&findings), @r#"
    [unknown-kind] note: kind Rollout is not built in
     --> p.yaml:7:40
      |
    7 |     match: {any: [{resources: {kinds: [Rollout]}}]}
      |                                        ^^^^^^^ rule "r" of ClusterPolicy p
      = The rule concerns something only where a custom resource has this kind.
    "#);
    assert!(
        findings
            .iter()
            .all(|finding| finding.diagnostic.level == Level::Note)
    );
}

#[test]
fn a_policy_of_a_namespace_judges_nothing_else() {
    let text = format!(
        "{POLICY}{}",
        rule(
            "{any: [{resources: {kinds: [Pod], namespaces: [other]}}]}",
            "{deny: {}}"
        )
    )
    .replace("ClusterPolicy", "Policy")
    .replace("{name: p}", "{name: p, namespace: shop}");
    assert_snapshot!(told(&lint(&text, "p.yaml")), @r#"
    [never-matches] warning: a Policy of namespace shop judges no other namespace
     --> p.yaml:7:46
      |
    7 |     match: {any: [{resources: {kinds: [Pod], namespaces: [other]}}]}
      |                                              ^^^^^^^^^^ rule "r" of Policy shop/p
      = Use a ClusterPolicy, or put the Policy there.
    "#);
    let text = text.replace("kinds: [Pod], namespaces: [other]", "kinds: [Node]");
    assert!(told(&lint(&text, "p.yaml")).contains("these kinds are in none"));
}
