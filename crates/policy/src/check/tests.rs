//! Rules with variables, conditions, contexts and foreach.

#![expect(clippy::needless_pass_by_value, reason = "tables hand out values")]

use insta::assert_snapshot;
use rstest::rstest;
use serde_json::{Value, json};

use crate::request::{Inputs, Key, Operation, Request};
use crate::result::{Outcome, RuleResult, Status};
use crate::test_support::{creating, done, object, set};
use crate::{PolicySet, evaluate, text};
use Status::{Error, Fail, Pass, Skip};

fn policy(rule: Value) -> PolicySet {
    let mut rule = rule;
    rule["name"] = json!("r");
    rule["match"] = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
    set(
        &json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
                "spec": {"validationFailureAction": "Enforce", "background": false, "rules": [rule]}})
        .to_string(),
    )
}

fn pod() -> Value {
    object(
        "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {team: a, limit: '5'}}
spec:
  hostNetwork: true
  volumes: [{name: v}, {name: w}]
  containers:
  - {name: web, image: 'nginx:1.25', ports: [{containerPort: 80, hostPort: 80}]}
  - {name: side, image: 'registry.example.com/side@sha256:0000000000000000000000000000000000000000000000000000000000000000', securityContext: {privileged: true}}
",
    )
}

fn judged_with(rule: Value, inputs: &Inputs) -> Option<RuleResult> {
    creating(&pod(), |request| done(&policy(rule), request, inputs)).pop()
}

fn judged(rule: Value) -> Option<RuleResult> {
    judged_with(rule, &Inputs::new())
}

fn status(rule: Value) -> Option<Status> {
    judged(rule).map(|result| result.status)
}

fn condition(key: &str, operator: &str, value: Value) -> Value {
    json!({"key": key, "operator": operator, "value": value})
}

#[rstest]
#[case::any_true(json!({"any": [condition("{{ request.object.spec.hostNetwork }}", "Equals", json!(true))]}), Fail)]
#[case::any_false(json!({"any": [condition("{{ request.object.spec.hostNetwork }}", "Equals", json!(false))]}), Pass)]
#[case::any_empty(json!({"any": []}), Pass)]
#[case::all_empty(json!({"all": []}), Fail)]
#[case::nothing(json!({}), Fail)]
#[case::a_list_is_all(json!([condition("{{ request.operation }}", "Equals", json!("CREATE")), condition("a", "Equals", json!("b"))]), Pass)]
#[case::undefined(json!({"any": [condition("{{ request.object.spec.nothing }}", "Equals", json!(true))]}), Error)]
#[case::a_default_mends_it(json!({"any": [condition("{{ request.object.spec.nothing || `true` }}", "Equals", json!(true))]}), Fail)]
#[case::null_is_never_true(json!({"any": [condition("{{ request.object.spec.nothing || `null` }}", "NotEquals", json!("x"))]}), Pass)]
#[case::names_of_volumes(json!({"any": [condition("{{ request.object.spec.volumes[].name }}", "AnyIn", json!(["w"]))]}), Fail)]
#[case::images(json!({"any": [condition("{{ images.containers.side.registry }}", "Equals", json!("registry.example.com"))]}), Fail)]
#[case::a_namespace_in_text(json!({"any": [condition("in-{{ request.namespace }}", "Equals", json!("in-shop"))]}), Fail)]
fn deny_denies_where_its_conditions_hold(#[case] conditions: Value, #[case] expected: Status) {
    assert_eq!(
        status(json!({"validate": {"deny": {"conditions": conditions}}})),
        Some(expected)
    );
}

#[rstest]
#[case(json!({"all": [condition("{{ request.operation }}", "Equals", json!("UPDATE"))]}), Skip)]
#[case(json!({"all": [condition("{{ request.operation }}", "AnyIn", json!(["CREATE"]))]}), Fail)]
#[case(json!({"all": [condition("{{ request.object.x }}", "Equals", json!("UPDATE"))]}), Error)]
fn preconditions_come_first(#[case] preconditions: Value, #[case] expected: Status) {
    assert_eq!(
        status(json!({"preconditions": preconditions, "validate": {"deny": {}}})),
        Some(expected)
    );
}

#[rstest]
#[case(json!({"metadata": {"labels": {"team": "{{ request.object.metadata.labels.team }}"}}}), Pass)]
#[case(json!({"metadata": {"labels": {"team": "x-{{ request.namespace }}"}}}), Fail)]
#[case(json!({"metadata": {"labels": {"{{ request.object.metadata.labels.team }}": "?*"}}}), Fail)]
#[case(json!({"metadata": {"labels": {"team": "{{ request.object.nothing }}"}}}), Error)]
#[case(json!({"metadata": {"labels": {"limit": "<=$(./../most)", "most": "10"}}}), Fail)]
fn patterns_take_variables_and_references(#[case] pattern: Value, #[case] expected: Status) {
    assert_eq!(status(json!({"validate": {"pattern": pattern}})), Some(expected));
}

fn denied_where(context: Value, key: &str, value: Value) -> Value {
    json!({"context": context, "validate": {"deny": {"conditions": {"any": [condition(key, "Equals", value)]}}}})
}

#[rstest]
#[case::value(json!([{"name": "v", "variable": {"value": {"a": 1}}}]), "{{ v.a }}", json!(1), Fail)]
#[case::path(json!([{"name": "v", "variable": {"jmesPath": "request.object.metadata.labels.team"}}]), "{{ v }}", json!("a"), Fail)]
#[case::path_in_value(json!([{"name": "v", "variable": {"value": {"a": "b"}, "jmesPath": "a"}}]), "{{ v }}", json!("b"), Fail)]
#[case::default(json!([{"name": "v", "variable": {"jmesPath": "request.object.none", "default": "d"}}]), "{{ v }}", json!("d"), Fail)]
#[case::no_default(json!([{"name": "v", "variable": {"jmesPath": "request.object.none"}}]), "{{ v }}", json!("d"), Error)]
#[case::unused_entries_never_fail(json!([{"name": "v", "variable": {"jmesPath": "request.object.none"}}, {"name": "w", "variable": {"value": 1}}]), "{{ w }}", json!(1), Fail)]
#[case::earlier_entries_are_seen(json!([{"name": "v", "variable": {"value": "x"}}, {"name": "w", "variable": {"value": "{{ v }}y"}}]), "{{ w }}", json!("xy"), Fail)]
#[case::later_ones_are_not(json!([{"name": "v", "variable": {"value": "{{ w }}"}}, {"name": "w", "variable": {"value": "y"}}]), "{{ v }}", json!("y"), Error)]
#[case::a_redefinition_sees_the_first(json!([{"name": "v", "variable": {"value": "x"}}, {"name": "v", "variable": {"value": "{{ v }}z"}}]), "{{ v }}", json!("xz"), Fail)]
#[case::false_is_a_value(json!([{"name": "v", "variable": {"value": false}}]), "{{ v }}", json!(false), Fail)]
fn context_entries_are_loaded_when_they_are_used(
    #[case] context: Value,
    #[case] key: &str,
    #[case] value: Value,
    #[case] expected: Status,
) {
    assert_eq!(status(denied_where(context, key, value)), Some(expected));
}

#[test]
fn what_lies_in_the_cluster_is_asked_for() {
    let context =
        json!([{"name": "cm", "configMap": {"name": "allowed", "namespace": "{{ request.namespace }}"}}]);
    let rule = denied_where(context, "{{ cm.data.\"team.x\" }}", json!("a"));
    let key = Key::ConfigMap {
        namespace: "shop".to_owned(),
        name: "allowed".to_owned(),
    };
    let set = policy(rule.clone());
    let outcome = creating(&pod(), |r| {
        evaluate(&set, r, &Inputs::new(), jiff::Timestamp::UNIX_EPOCH, 0)
    });
    assert!(matches!(outcome, Outcome::Needs(keys) if keys == [key.clone()]));
    let found = Inputs::from([(key.clone(), Ok(json!({"data": {"team.x": "a"}, "metadata": {}})))]);
    assert_eq!(
        judged_with(rule.clone(), &found).map(|result| result.status),
        Some(Fail)
    );
    let missing = Inputs::from([(key, Err("there is no ConfigMap shop/allowed".to_owned()))]);
    let result = judged_with(rule, &missing).unwrap();
    assert_eq!(result.status, Error);
    assert!(
        result.message.contains("there is no ConfigMap shop/allowed"),
        "{}",
        result.message
    );
}

#[test]
fn a_variable_stays_inside_one_segment_of_an_api_path() {
    let context = json!([{"name": "v", "apiCall": {"urlPath": "/api/v1/namespaces/{{ request.object.metadata.labels.team }}/pods"}}]);
    let set = policy(denied_where(context, "{{ v }}", json!(1)));
    let mut hostile = pod();
    hostile["metadata"]["labels"]["team"] = json!("../../secrets?x=");
    let outcome = creating(&hostile, |r| {
        evaluate(&set, r, &Inputs::new(), jiff::Timestamp::UNIX_EPOCH, 0)
    });
    let Outcome::Needs(keys) = outcome else {
        unreachable!("the call has to be made")
    };
    let path = "/api/v1/namespaces/..%2F..%2Fsecrets%3Fx%3D/pods".to_owned();
    assert_eq!(keys, [Key::ApiCall { path }]);
    hostile["metadata"]["labels"]["team"] = json!("..");
    let results = creating(&hostile, |r| done(&set, r, &Inputs::new()));
    assert_eq!(results[0].status, Error);
}

#[rstest]
#[case(json!({"configMap": {"name": "a", "namespace": "other"}}), "may not read a ConfigMap of namespace other")]
#[case(json!({"apiCall": {"urlPath": "/api/v1/namespaces/other/secrets"}}), "may not read /api/v1/namespaces/other/secrets")]
#[case(json!({"apiCall": {"urlPath": "/api/v1/secrets"}}), "may not read /api/v1/secrets")]
fn a_namespaced_policy_reads_only_its_namespace(#[case] source: Value, #[case] why: &str) {
    let mut entry = source;
    entry["name"] = json!("v");
    let mut rule = denied_where(json!([entry]), "{{ v }}", json!(1));
    rule["name"] = json!("r");
    rule["match"] = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
    let set = set(&json!({"apiVersion": "kyverno.io/v1", "kind": "Policy", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"rules": [rule]}}).to_string());
    let results = creating(&pod(), |request| done(&set, request, &Inputs::new()));
    assert_eq!(results[0].status, Error);
    assert!(results[0].message.contains(why), "{}", results[0].message);
}

#[rstest]
#[case::all_pass(json!({"list": "request.object.spec.containers", "pattern": {"image": "*"}}), Some(Pass))]
#[case::one_fails(json!({"list": "request.object.spec.containers", "pattern": {"image": "registry.example.com/*"}}), Some(Fail))]
#[case::no_list(json!({"list": "request.object.spec.initContainers", "pattern": {"image": "*"}}), None)]
#[case::not_a_list(json!({"list": "request.object.spec", "deny": {"conditions": {"any": [condition("{{ element.hostNetwork }}", "Equals", json!(true))]}}}), Some(Fail))]
#[case::all_skipped(json!({"list": "request.object.spec.containers", "preconditions": {"all": [condition("{{ element.name }}", "Equals", json!("x"))]}, "deny": {}}), None)]
#[case::one_left(json!({"list": "request.object.spec.containers", "preconditions": {"all": [condition("{{ element.name }}", "Equals", json!("side"))]}, "deny": {}}), Some(Fail))]
#[case::an_error_is_told(json!({"list": "request.object.spec.containers", "deny": {"conditions": {"any": [condition("{{ element.none }}", "Equals", json!(1))]}}}), Some(Error))]
#[case::index(json!({"list": "request.object.spec.containers", "deny": {"conditions": {"any": [condition("{{ elementIndex }}", "Equals", json!(1))]}}}), Some(Fail))]
#[case::context(json!({"list": "request.object.spec.containers", "context": [{"name": "c", "variable": {"value": "{{ element.name }}!"}}], "deny": {"conditions": {"any": [condition("{{ c }}", "Equals", json!("side!"))]}}}), Some(Fail))]
#[case::nested(json!({"list": "request.object.spec.containers", "foreach": [{"list": "element.ports", "deny": {"conditions": {"any": [condition("{{ element.hostPort }}", "Equals", json!(80))]}}}]}), Some(Fail))]
#[case::nested_names(json!({"list": "request.object.spec.containers", "foreach": [{"list": "element.ports", "deny": {"conditions": {"all": [condition("{{ element0.name }}", "Equals", json!("web")), condition("{{ elementIndex1 }}", "Equals", json!(0))]}}}]}), Some(Fail))]
#[case::scalars_look_at_the_object(json!({"list": "request.object.spec.volumes[].name", "pattern": {"spec": {"hostNetwork": false}}}), Some(Fail))]
fn foreach_checks_every_element(#[case] foreach: Value, #[case] expected: Option<Status>) {
    assert_eq!(status(json!({"validate": {"foreach": [foreach]}})), expected);
}

fn denial(rule: Value) -> String {
    creating(&pod(), |request| {
        text::denial(request, &done(&policy(rule), request, &Inputs::new()), "")
    })
}

#[test]
fn a_condition_that_denies_names_the_field_it_looked_at() {
    let any = json!({"any": [
        condition("{{ request.object.spec.hostNetwork }}", "Equals", json!(true)),
    ]});
    let message = "No host network for {{ request.object.metadata.name }}";
    assert_snapshot!(denial(json!({"validate": {"message": message, "deny": {"conditions": any}}})), @r#"
    Pod shop/web is refused: 1 violation of 1 policy.

    p/r: No host network for web
      spec.hostNetwork   is true   needs false
    "#);
}

#[test]
fn foreach_names_the_field_of_every_element() {
    let foreach = json!([
        {"list": "request.object.spec.containers", "pattern": {"securityContext": {"privileged": false}}},
        {"list": "request.object.spec.[containers, initContainers][]", "deny": {"conditions": {"any": [
            condition("{{ element.ports[].hostPort }}", "AnyIn", json!([80, 443]))
        ]}}},
    ]);
    assert_snapshot!(denial(json!({"validate": {"message": "m", "foreach": foreach}})), @r#"
    Pod shop/web is refused: 3 violations of 1 policy.

    p/r: m
      spec.containers[0].securityContext              missing (container "web")    needs privileged: false
      spec.containers[1].securityContext.privileged   is true (container "side")   needs false
      spec.containers[0].ports[0].hostPort            is 80 (container "web")      needs anything but 80 or 443
    "#);
}

#[test]
fn a_field_that_a_condition_misses_is_named_too() {
    let any = json!({"any": [condition("{{ request.object.spec.runtimeClassName || '' }}", "NotEquals", json!("gvisor"))]});
    assert_snapshot!(denial(json!({"validate": {"message": "m", "deny": {"conditions": any}}})), @r#"
    Pod shop/web is refused: 1 violation of 1 policy.

    p/r: m
      spec.runtimeClassName   missing   needs gvisor
    "#);
}

#[test]
fn on_a_deletion_the_object_is_the_old_one() {
    let any = json!({"any": [condition("{{ request.object.metadata.labels.team }}", "Equals", json!("a"))]});
    let set = policy(json!({"validate": {"deny": {"conditions": any}}}));
    let old = pod();
    let results = creating(&old, |request| {
        let request = Request {
            operation: Operation::Delete,
            object: None,
            old_object: Some(&old),
            ..*request
        };
        done(&set, &request, &Inputs::new())
    });
    assert_eq!(results[0].status, Fail);
}

#[test]
fn an_expression_that_does_not_end_is_an_error() {
    let nested = (0..12).fold("`[1,2,3,4,5,6,7,8,9]`".to_owned(), |inner, _| {
        format!("map(&`[1,2,3,4,5,6,7,8,9]`, {inner})[]")
    });
    let any = json!({"any": [condition(&format!("{{{{ length({nested}) }}}}"), "Equals", json!(1))]});
    let result = judged(json!({"validate": {"deny": {"conditions": any}}})).unwrap();
    assert_eq!(result.status, Error);
    assert!(result.message.contains("budget"), "{}", result.message);
}

const EXCEPTION: &str = "
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: web, namespace: exceptions}
spec:
  background: false
  exceptions: [{policyName: p, ruleNames: ['r*']}]
";

#[rstest]
#[case::named("  match: {any: [{resources: {kinds: [Pod], names: [web]}}]}", Skip)]
#[case::other("  match: {any: [{resources: {kinds: [Pod], names: [other]}}]}", Fail)]
#[case::operations_do_not_count("  match: {any: [{resources: {kinds: [Pod], operations: [DELETE]}}]}", Skip)]
#[case::nothing("  match: {any: [{}]}", Fail)]
#[case::users_count("  match: {any: [{subjects: [{kind: User, name: '*'}]}]}", Fail)]
#[case::condition(
    "  match: {any: [{resources: {kinds: [Pod]}}]}\n  conditions: {all: [{key: '{{ request.namespace }}', operator: Equals, value: shop}]}",
    Skip
)]
#[case::no_condition(
    "  match: {any: [{resources: {kinds: [Pod]}}]}\n  conditions: {all: [{key: '{{ request.namespace }}', operator: Equals, value: x}]}",
    Fail
)]
#[case::broken_condition(
    "  match: {any: [{resources: {kinds: [Pod]}}]}\n  conditions: {all: [{key: '{{ request.object.nothing }}', operator: Equals, value: x}]}",
    Fail
)]
fn an_exception_excuses_what_it_describes(#[case] spec: &str, #[case] expected: Status) {
    let rule =
        json!({"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"deny": {}}});
    let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": [rule]}});
    let parsed = crate::Policy::parse(&format!("{policy}\n---\n{EXCEPTION}{spec}\n"), "p.yaml");
    assert_eq!(parsed.faults, []);
    let (set, _) = PolicySet::compile_with(parsed.policies, parsed.exceptions);
    let results = creating(&pod(), |request| done(&set, request, &Inputs::new()));
    assert_eq!(results[0].status, expected, "{}", results[0].message);
    if expected == Skip {
        assert_eq!(results[0].message, "excused by PolicyException exceptions/web");
    }
}
