//! What is accepted without effect, and what is refused by name.

use provost_policy::Policy;
use rstest::rstest;

use super::{of_rule, pod, policy, read, verdict};

/// Why a policy is refused; nothing where it is not.
fn refusal(policy: &serde_json::Value) -> String {
    match Policy::from_object(policy) {
        Ok(_) => String::new(),
        Err(faults) => faults
            .iter()
            .map(|fault| fault.message.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[rstest]
#[case::settings(
    "{validationFailureAction: enforce, background: true, emitWarning: true, admission: true}",
    ""
)]
#[case::audit(
    "{validationFailureAction: Audit, failurePolicy: Ignore, webhookTimeoutSeconds: 30}",
    ""
)]
#[case::of_other_rules(
    "{generateExisting: true, generateExistingOnPolicyUpdate: false, mutateExistingOnPolicyUpdate: false, schemaValidation: false, useServerSideApply: true}",
    ""
)]
#[case::webhook(
    "{webhookConfiguration: {failurePolicy: Fail, timeoutSeconds: 5, matchConditions: [{name: a, expression: 'true'}]}}",
    ""
)]
#[case::apply_one("{applyRules: One}", "")]
#[case::overrides(
    "{validationFailureActionOverrides: [{action: Enforce, namespaces: [a]}, {action: Audit, namespaces: [b], namespaceSelector: {matchLabels: {c: d}}}]}",
    ""
)]
#[case::bad_action(
    "{validationFailureAction: deny}",
    "validationFailureAction is Enforce or Audit"
)]
#[case::bad_timeout("{webhookTimeoutSeconds: 31}", "1 to 30 seconds")]
#[case::timeout_twice(
    "{webhookTimeoutSeconds: 3, webhookConfiguration: {timeoutSeconds: 3}}",
    "keep one"
)]
#[case::failure_policy_twice(
    "{failurePolicy: Fail, webhookConfiguration: {failurePolicy: Fail}}",
    "keep one"
)]
#[case::never("{admission: false, background: false}", "never be evaluated")]
#[case::enforced_and_audited(
    "{validationFailureActionOverrides: [{action: Enforce, namespaces: ['a*']}, {action: Audit, namespaces: [ab]}]}",
    "enforced and audited"
)]
#[case::unknown("{validationFailureActon: audit}", "did you mean \"validationFailureAction\"")]
fn settings_are_read_or_refused(#[case] spec: &str, #[case] message: &str) {
    let mut policy = policy("validate: {pattern: {a: b}}");
    for (key, value) in read(spec).as_object().unwrap() {
        policy["spec"][key] = value.clone();
    }
    let refusal = refusal(&policy);
    assert!(
        if message.is_empty() {
            refusal.is_empty()
        } else {
            refusal.contains(message)
        },
        "{refusal}"
    );
}

#[rstest]
#[case("kyverno.io/v1", "ClusterPolicy", "")]
#[case("kyverno.io/v2beta1", "ClusterPolicy", "")]
#[case("kyverno.io/v1", "Policy", "")]
#[case("kyverno.io/v2beta1", "Policy", "")]
#[case("kyverno.io/v3", "ClusterPolicy", "kyverno.io/v3 is not supported")]
#[case(
    "policies.kyverno.io/v1",
    "ValidatingPolicy",
    "ValidatingPolicy is not supported yet"
)]
#[case(
    "policies.kyverno.io/v1",
    "NamespacedValidatingPolicy",
    "NamespacedValidatingPolicy is not supported yet"
)]
#[case(
    "policies.kyverno.io/v1alpha1",
    "ImageValidatingPolicy",
    "ImageValidatingPolicy is not supported yet"
)]
#[case(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicy is not supported yet"
)]
#[case(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicyBinding is not supported yet"
)]
#[case(
    "kyverno.io/v2",
    "ClusterCleanupPolicy",
    "ClusterCleanupPolicy is not supported yet"
)]
#[case(
    "kyverno.io/v2alpha1",
    "GlobalContextEntry",
    "GlobalContextEntry is not supported yet"
)]
#[case("v1", "ConfigMap", "ConfigMap is not a policy")]
fn kinds_are_known_or_refused_by_name(#[case] api_version: &str, #[case] kind: &str, #[case] message: &str) {
    let mut policy = policy("validate: {pattern: {a: b}}");
    policy["apiVersion"] = api_version.into();
    policy["kind"] = kind.into();
    let refusal = refusal(&policy);
    assert!(
        if message.is_empty() {
            refusal.is_empty()
        } else {
            refusal.contains(message)
        },
        "{refusal}"
    );
}

#[rstest]
#[case::mutate("mutate: {patchStrategicMerge: {a: b}}", "mutate is not supported")]
#[case::generate("generate: {kind: a}", "generate is not supported")]
#[case::verify_images("verifyImages: [{imageReferences: [a]}]", "verifyImages is not supported")]
#[case::manifests("validate: {manifests: {attestors: []}}", "manifests is not supported yet")]
#[case::assert("validate: {assert: {object: {}}}", "assert is not supported yet")]
#[case::nothing("validate: {message: a}", "needs one of pattern")]
#[case::two("validate: {pattern: {a: b}, deny: {}}", "exclude each other")]
#[case::addition("validate: {pattern: {'+(a)': b}}", "+()")]
#[case::existence("validate: {pattern: {'^(a)': []}}", "needs a list of maps")]
#[case::number_label("validate: {pattern: {metadata: {labels: {a: 1}}}}", "are text")]
#[case::param_kind(
    "validate: {cel: {paramKind: {kind: a}, expressions: [{expression: 'true'}]}}",
    "paramKind is not supported"
)]
#[case::generate_vap(
    "validate: {cel: {generate: true, expressions: [{expression: 'true'}]}}",
    "generate is not supported"
)]
#[case::cel_with_context(
    "context: [{name: a, variable: {value: 1}}], validate: {cel: {expressions: [{expression: 'true'}]}}",
    "CEL sees no context"
)]
#[case::conditions_of_cel(
    "celPreconditions: [{name: a, expression: 'true'}], validate: {deny: {}}",
    "go with validate.cel only"
)]
#[case::no_kinds(
    "match: {any: [{resources: {names: [a]}}]}, validate: {deny: {}}",
    "needs resources.kinds"
)]
#[case::any_and_all("match: {any: [], all: []}, validate: {deny: {}}", "exclude each other")]
#[case::any_and_older(
    "match: {any: [{resources: {kinds: [Pod]}}], resources: {kinds: [Pod]}}, validate: {deny: {}}",
    "exclude each other"
)]
#[case::name_and_names(
    "match: {any: [{resources: {kinds: [Pod], name: a, names: [b]}}]}, validate: {deny: {}}",
    "name and names"
)]
#[case::empty_selector(
    "match: {any: [{resources: {kinds: [Pod], selector: {}}}]}, validate: {deny: {}}",
    "a selector needs"
)]
#[case::wild_expression(
    "match: {any: [{resources: {kinds: [Pod], selector: {matchExpressions: [{key: a, operator: In, values: ['b*']}]}}}]}, validate: {deny: {}}",
    "wildcards stand in matchLabels only"
)]
#[case::role(
    "match: {any: [{resources: {kinds: [Pod]}, roles: [a]}]}, validate: {deny: {}}",
    "namespace:name"
)]
#[case::subject(
    "match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: Robot, name: a}]}]}, validate: {deny: {}}",
    "a User, a Group or a ServiceAccount"
)]
#[case::account_without_namespace(
    "match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: ServiceAccount, name: a}]}]}, validate: {deny: {}}",
    "namespace"
)]
#[case::same(
    "match: {any: [{resources: {kinds: [Pod]}}]}, exclude: {any: [{resources: {kinds: [Pod]}}]}, validate: {deny: {}}",
    "the same"
)]
#[case::variable_in_match(
    "match: {any: [{resources: {kinds: [Pod], names: ['{{ request.namespace }}']}}]}, validate: {deny: {}}",
    "no variables"
)]
#[case::every_kind_and_one(
    "match: {any: [{resources: {kinds: ['*', Pod]}}]}, validate: {deny: {}}",
    "stands alone"
)]
#[case::every_kind_with_foreach(
    "match: {any: [{resources: {kinds: ['*']}}]}, validate: {foreach: [{list: request.object, deny: {}}]}",
    "no foreach"
)]
#[case::every_kind_beyond_metadata(
    "match: {any: [{resources: {kinds: ['*']}}]}, validate: {pattern: {spec: {a: b}}}",
    "metadata alone"
)]
#[case::undeclared("validate: {message: '{{ nobody }}', deny: {}}", "no such name")]
#[case::bad_expression("validate: {message: '{{ request.object. }}', deny: {}}", "request.object")]
#[case::arithmetic("validate: {message: '{{ request.a + `1` }}', deny: {}}", "")]
#[case::unknown_field("validate: {patern: {a: b}}", "did you mean \"pattern\"")]
fn rules_that_cannot_be_meant_are_refused(#[case] rule: &str, #[case] message: &str) {
    let refusal = refusal(&policy(&format!("{{{rule}}}")));
    assert!(!refusal.is_empty() && refusal.contains(message), "{refusal}");
}

#[rstest]
#[case::user_info("validate: {message: '{{ request.userInfo.username }}', deny: {}}")]
#[case::account(
    "validate: {deny: {conditions: {any: [{key: '{{serviceAccountName}}', operator: Equals, value: a}]}}}"
)]
#[case::roles(
    "validate: {deny: {conditions: {any: [{key: '{{ request.clusterRoles }}', operator: AnyIn, value: [a]}]}}}"
)]
#[case::subjects(
    "match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: User, name: a}]}]}, validate: {deny: {}}"
)]
#[case::excluded_roles("exclude: {any: [{clusterRoles: [cluster-admin]}]}, validate: {deny: {}}")]
#[case::every_kind("match: {any: [{resources: {kinds: ['*']}}]}, validate: {pattern: {metadata: {name: a}}}")]
fn users_are_not_known_in_the_background(#[case] rule: &str) {
    let mut policy = policy(&format!("{{{rule}}}"));
    assert_eq!(refusal(&policy), "");
    policy["spec"]["background"] = true.into();
    assert_ne!(refusal(&policy), "");
}

#[rstest]
#[case::skip_background("skipBackgroundRequests: false, validate: {deny: {}}")]
#[case::existing("validate: {allowExistingViolations: false, deny: {}}")]
#[case::action(
    "validate: {failureAction: Enforce, failureActionOverrides: [{action: Audit, namespaces: [a]}], deny: {}}"
)]
#[case::properties("reportProperties: {a: '{{ request.namespace }}'}, validate: {deny: {}}")]
#[case::cel(
    "validate: {cel: {variables: [{name: a, expression: 'object.metadata.name'}], expressions: [{expression: \"variables.a == 'x'\", messageExpression: \"'no ' + variables.a\", reason: Invalid}], auditAnnotations: [{key: a, valueExpression: \"'b'\"}]}}"
)]
#[case::cel_conditions(
    "celPreconditions: [{name: a, expression: \"object.kind == 'Pod'\"}], validate: {cel: {expressions: [{expression: 'false'}]}}"
)]
fn settings_of_rules_are_read(#[case] rule: &str) {
    assert_eq!(verdict(&format!("{{{rule}}}"), &pod("{}")), "fail");
}

#[test]
fn a_rule_without_message_still_says_something() {
    let results = pod("{}").results(&of_rule("validate: {deny: {}}"));
    assert_eq!(results.len(), 1);
}
