//! Suites in memory: what an entry is about, what a rule sees, what counts as expected.

#![expect(clippy::needless_pass_by_value, reason = "tables hand out values")]

mod forms;
mod notices;

use insta::assert_snapshot;
use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Actual, File, Role, Row, Suite, Verdict};
use crate::result::Status;
use crate::test_support::any_json;

const OBJECTS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {team: a}}
spec: {priority: 80, containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {priority: 5}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {team: never-read}}
---
apiVersion: v1
kind: Namespace
metadata: {name: prod}
";

/// A policy whose one rule `r` is about `kinds`; `rule` holds the rest of it.
fn policy(kinds: &[&str], rule: Value) -> String {
    let mut rule = rule;
    rule["name"] = json!("r");
    rule["match"] = json!({"any": [{"resources": {"kinds": kinds}}]});
    json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
           "spec": {"background": false, "rules": [rule]}})
    .to_string()
}

/// A rule that denies where a condition on `key` holds.
fn denies(key: &str, operator: &str, value: Value) -> Value {
    json!({"validate": {"deny": {"conditions": {"all": [{"key": key, "operator": operator, "value": value}]}}}})
}

fn file(role: Role, text: &str) -> File {
    File {
        role,
        name: match role {
            Role::Policies => "policy.yaml",
            Role::Resources => "resources.yaml",
            _ => "other.yaml",
        }
        .to_owned(),
        text: text.to_owned(),
    }
}

fn judged(suite: &str, files: &[File]) -> Verdict {
    let head = "apiVersion: cli.kyverno.io/v1alpha1\nkind: Test\nmetadata: {name: t}\n";
    let suite = Suite::parse(&format!("{head}{suite}"), "kyverno-test.yaml").unwrap();
    suite.judge(files, Timestamp::UNIX_EPOCH)
}

/// `Pod shop/web: fail`
fn line(row: &Row) -> String {
    format!(
        "{} {}/{}: {}",
        row.kind,
        row.namespace,
        row.name,
        row.actual.word()
    )
}

fn lines(verdict: &Verdict) -> Vec<String> {
    verdict.rows.iter().map(line).collect()
}

/// What the rule says of the Pod shop/web, with `suite` beside the entry and more files.
fn of_the_pod(policy: &str, suite: &str, more: &[File]) -> String {
    let suite =
        format!("results: [{{policy: p, rule: r, kind: Pod, resources: [shop/web], result: fail}}]\n{suite}");
    let mut files = vec![file(Role::Policies, policy), file(Role::Resources, OBJECTS)];
    files.extend_from_slice(more);
    let verdict = judged(&suite, &files);
    assert!(verdict.invalid.is_empty(), "{:?}", verdict.invalid);
    assert!(verdict.unjudged.is_empty(), "{:?}", verdict.unjudged);
    let [row] = verdict.rows.as_slice() else {
        panic!("one row is expected: {:?}", verdict.rows);
    };
    row.actual.word().to_owned()
}

#[rstest]
#[case::of_the_kind("resources: [web], kind: Pod", &["Pod shop/web: fail", "Pod default/web: pass"])]
#[case::with_its_namespace("resources: [shop/web], kind: Pod", &["Pod shop/web: fail"])]
#[case::of_no_such_kind("resources: [shop/web], kind: Secret", &["Pod shop/web: fail", "Service shop/web: none"])]
#[case::of_any_kind("resources: [shop/web]", &["Pod shop/web: fail", "Service shop/web: none"])]
#[case::cluster_scoped("resources: [prod], kind: Namespace", &["Namespace /prod: none"])]
#[case::cluster_scoped_in_a_namespace("resources: [default/prod]", &["Namespace /prod: none"])]
#[case::older_form("resource: web, namespace: default", &["Pod default/web: pass"])]
#[case::described("resources: [], resourceSpecs: [{kind: Service, name: web}]", &["Service shop/web: none"])]
#[case::a_name_too_much("resources: [prod, nobody]", &["Namespace /prod: none"])]
#[case::nobody("resources: [nobody], kind: Pod",
    &["Pod shop/web: fail", "Service shop/web: none", "Pod default/web: pass", "Namespace /prod: none"])]
#[case::all("kind: Pod",
    &["Pod shop/web: fail", "Service shop/web: none", "Pod default/web: pass", "Namespace /prod: none"])]
fn an_entry_is_about_the_objects_that_bear_its_names(#[case] entry: &str, #[case] expected: &[&str]) {
    let policy = policy(
        &["Pod"],
        denies(
            "{{request.object.metadata.labels.team || ''}}",
            "Equals",
            json!("a"),
        ),
    );
    let verdict = judged(
        &format!("results: [{{policy: p, rule: r, result: fail, {entry}}}]"),
        &[file(Role::Policies, &policy), file(Role::Resources, OBJECTS)],
    );
    assert_eq!(lines(&verdict), expected);
}

#[rstest]
#[case::named("rule: r", &["r"])]
#[case::all("kind: Deployment", &["autogen-other", "autogen-r"])]
#[case::generated("rule: autogen-r", &["autogen-r"])]
fn an_entry_is_about_the_rules_that_it_names(#[case] entry: &str, #[case] expected: &[&str]) {
    let two_rules = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
  - {name: other, match: {any: [{resources: {kinds: [Pod]}}]}, validate: {pattern: {spec: {}}}}
  - {name: r, match: {any: [{resources: {kinds: [Pod]}}]}, validate: {pattern: {spec: {}}}}
";
    let deployment =
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {spec: {}}}}";
    let verdict = judged(
        &format!("results: [{{policy: some-namespace/p, resources: [web], result: pass, {entry}}}]"),
        &[file(Role::Policies, two_rules), file(Role::Resources, deployment)],
    );
    let mut rules: Vec<&str> = verdict.rows.iter().map(|row| row.rule.as_str()).collect();
    rules.sort_unstable();
    assert_eq!(rules, expected);
    assert!(verdict.holds());
}

#[rstest]
#[case(Status::Pass, Actual::None, Some(true), true)]
#[case(Status::Skip, Actual::None, Some(true), true)]
#[case(Status::Fail, Actual::None, Some(false), false)]
#[case(Status::Error, Actual::None, Some(false), false)]
#[case(Status::Pass, Actual::Absent(String::new()), Some(false), false)]
#[case(Status::Fail, Actual::Unsupported(String::new()), None, false)]
fn no_result_is_as_expected_only_where_none_is_wanted(
    #[case] expected: Status,
    #[case] actual: Actual,
    #[case] ok: Option<bool>,
    #[case] unverified: bool,
) {
    let row = Row {
        policy: String::new(),
        rule: String::new(),
        kind: String::new(),
        namespace: String::new(),
        name: String::new(),
        expected,
        actual,
        place: None,
    };
    assert_eq!((row.ok(), row.unverified()), (ok, unverified));
}

#[rstest]
#[case("pass", Some(false))]
#[case("fail", Some(true))]
#[case("skip", Some(false))]
fn an_expected_fail_is_a_fail(#[case] expected: &str, #[case] ok: Option<bool>) {
    let policy = policy(&["Pod"], json!({"validate": {"deny": {}}}));
    let verdict = judged(
        &format!("results: [{{policy: p, rule: r, resources: [shop/web], kind: Pod, result: {expected}}}]"),
        &[file(Role::Policies, &policy), file(Role::Resources, OBJECTS)],
    );
    assert_eq!(verdict.rows[0].ok(), ok);
    assert_eq!(verdict.holds(), ok == Some(true));
}

#[rstest]
#[case::for_all("globalValues: {v: x}", "fail")]
#[case::dotted("globalValues: {v.w: x}", "pass")]
#[case::for_the_object("policies: [{name: p, resources: [{name: web, values: {v: x}}]}]", "fail")]
#[case::for_another_object("policies: [{name: p, resources: [{name: other, values: {v: x}}]}]", "error")]
#[case::for_another_policy("policies: [{name: q, resources: [{name: web, values: {v: x}}]}]", "error")]
#[case::for_the_rule("policies: [{name: p, rules: [{name: r, values: {v: x}}]}]", "fail")]
#[case::for_another_rule("policies: [{name: p, rules: [{name: s, values: {v: x}}]}]", "error")]
#[case::the_rule_wins(
    "{globalValues: {v: y}, policies: [{name: p, rules: [{name: r, values: {v: x}}]}]}",
    "fail"
)]
#[case::of_each_element_the_first(
    "policies: [{name: p, rules: [{name: r, foreachValues: {v: [x, y]}}]}]",
    "fail"
)]
fn stated_values_stand_in_for_what_a_context_would_fetch(#[case] values: &str, #[case] expected: &str) {
    let mut rule = denies("{{v}}", "Equals", json!("x"));
    rule["context"] = json!([{"name": "v", "apiCall": {"urlPath": "/api/v1/namespaces"}}]);
    let policy = policy(&["Pod"], rule);
    let block: Vec<String> = values.lines().map(|line| format!("  {line}")).collect();
    let inline = format!("values:\n{}", block.join("\n"));
    assert_eq!(
        of_the_pod(&policy, &inline, &[]),
        expected,
        "written in the suite"
    );
    let in_a_file = file(Role::Values, values);
    assert_eq!(
        of_the_pod(&policy, "variables: v.yaml", &[in_a_file]),
        expected,
        "in a file"
    );
}

#[rstest]
#[case::nothing_is_known_but("request.keys(@) | sort(@) | join(',', @)", "", "namespace,object,operation")]
#[case::a_creation("request.operation", "", "CREATE")]
#[case::an_update("request.operation", "globalValues: {request.operation: UPDATE}", "UPDATE")]
#[case::the_old_object(
    "request.oldObject.metadata.name",
    "globalValues: {request.operation: UPDATE}",
    "web"
)]
#[case::a_deleted_object(
    "request.object.metadata.name",
    "globalValues: {request.operation: DELETE}",
    "web"
)]
#[case::an_override(
    "request.object.metadata.labels.team",
    "globalValues: {request.object.metadata.labels.team: b}",
    "b"
)]
#[case::for_one_rule(
    "request.operation",
    "policies: [{name: p, rules: [{name: r, values: {request.operation: UPDATE}}]}]",
    "UPDATE"
)]
#[case::an_account("serviceAccountName", "globalValues: {serviceAccountName: robot}", "robot")]
fn a_rule_sees_the_request_that_the_values_make(
    #[case] expression: &str,
    #[case] values: &str,
    #[case] expected: &str,
) {
    let expression = expression.replace("request.keys(@)", "keys(request)");
    let policy = policy(
        &["Pod"],
        denies(&format!("{{{{ {expression} }}}}"), "Equals", json!(expected)),
    );
    let suite = if values.is_empty() {
        String::new()
    } else {
        format!("values: {{{values}}}")
    };
    assert_eq!(of_the_pod(&policy, &suite, &[]), "fail");
}

#[rstest]
#[case::numbers_are_floats(json!({"spec": {"priority": "8?"}}), "fail")]
#[case::whose_text_has_an_exponent(json!({"spec": {"priority": "8E*"}}), "pass")]
#[case::but_are_compared_as_numbers(json!({"spec": {"priority": "<=80"}}), "pass")]
fn objects_are_read_as_the_suites_know_it(#[case] pattern: Value, #[case] expected: &str) {
    let policy = policy(&["Pod"], json!({"validate": {"pattern": pattern}}));
    assert_eq!(of_the_pod(&policy, "", &[]), expected);
}

#[test]
fn every_object_is_in_a_namespace_but_is_told_by_its_own() {
    let rule = denies("{{request.namespace}}", "Equals", json!("default"));
    let verdict = judged(
        "results: [{policy: p, rule: r, resources: [prod], result: fail}]",
        &[
            file(Role::Policies, &policy(&["Namespace"], rule)),
            file(Role::Resources, OBJECTS),
        ],
    );
    assert_eq!(lines(&verdict), ["Namespace /prod: fail"]);
}

#[rstest]
#[case::selected("namespaceSelector: [{name: shop, labels: {env: prod}}]", "fail")]
#[case::a_whole_namespace_wins(
    "namespaceSelector: [{name: shop, labels: {env: test}}], namespaces: [{metadata: {name: shop, labels: {env: prod}}}]",
    "fail"
)]
#[case::other_labels("namespaceSelector: [{name: shop, labels: {env: test}}]", "none")]
#[case::no_labels("globalValues: {}", "none")]
fn namespaces_have_the_labels_that_are_stated(#[case] values: &str, #[case] expected: &str) {
    let mut document: Value =
        serde_json::from_str(&policy(&["Pod"], json!({"validate": {"deny": {}}}))).unwrap();
    document["spec"]["rules"][0]["match"]["any"][0]["resources"]["namespaceSelector"] =
        json!({"matchLabels": {"env": "prod"}});
    assert_eq!(
        of_the_pod(&document.to_string(), &format!("values: {{{values}}}"), &[]),
        expected
    );
}

#[rstest]
#[case::by_name("userInfo: {username: alice}", "fail")]
#[case::by_group("userInfo: {groups: [alice, admins]}", "none")]
#[case::nobody_known("roles: []", "fail")]
#[case::roles_alone("roles: ['shop:editor']", "none")]
fn the_user_is_the_one_of_the_file(#[case] user: &str, #[case] expected: &str) {
    let mut document: Value =
        serde_json::from_str(&policy(&["Pod"], json!({"validate": {"deny": {}}}))).unwrap();
    document["spec"]["rules"][0]["match"]["any"][0]["subjects"] = json!([{"kind": "User", "name": "alice"}]);
    let user = file(Role::User, user);
    assert_eq!(
        of_the_pod(&document.to_string(), "userinfo: user.yaml", &[user]),
        expected
    );
}

#[test]
fn exceptions_of_the_suite_excuse() {
    let exception = "
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: e, namespace: any}
spec:
  exceptions: [{policyName: p, ruleNames: [r]}]
  match: {any: [{resources: {kinds: [Pod], names: [web]}}]}
";
    let policy = policy(&["Pod"], json!({"validate": {"deny": {}}}));
    assert_eq!(
        of_the_pod(&policy, "", &[file(Role::Exceptions, exception)]),
        "skip"
    );
}

#[test]
fn an_exception_that_is_not_done_is_told_and_excuses_nothing() {
    let exception =
        "{apiVersion: policies.kyverno.io/v1, kind: PolicyException, metadata: {name: e}, spec: {}}";
    let policy = policy(&["Pod"], json!({"validate": {"deny": {}}}));
    let verdict = judged(
        "results: [{policy: p, rule: r, kind: Pod, resources: [shop/web], result: fail}]",
        &[
            file(Role::Policies, &policy),
            file(Role::Resources, OBJECTS),
            file(Role::Exceptions, exception),
        ],
    );
    assert_eq!(lines(&verdict), ["Pod shop/web: fail"]);
    assert!(verdict.holds());
    assert!(
        verdict.notices[0].message.contains("is not supported"),
        "{:?}",
        verdict.notices
    );
}

#[rstest]
#[case::a_call(
    json!({"apiCall": {"urlPath": "/apis/x/v1/things?limit=5", "jmesPath": "items[0].name"}}),
    "apiCallResponses: [{urlPath: '/apis/x/v1/things?limit=5', response: {statusCode: 200, body: {items: [{name: x}]}}}]",
    "fail"
)]
#[case::a_call_that_fails(
    json!({"apiCall": {"urlPath": "/apis/x/v1/things"}}),
    "apiCallResponses: [{urlPath: /apis/x/v1/things, response: {statusCode: 404, body: x}}]",
    "error"
)]
#[case::an_entry(
    json!({"globalReference": {"name": "g"}}),
    "globalContextEntries: [{name: g, data: x}]",
    "fail"
)]
#[case::a_projection(
    json!({"globalReference": {"name": "g.names"}}),
    "globalContextEntries: [{name: g, resources: [{a: x}], projections: [{name: names, path: '[0].a'}]}]",
    "fail"
)]
#[case::no_projection(
    json!({"globalReference": {"name": "g.names"}}),
    "globalContextEntries: [{name: g, data: x}]",
    "error"
)]
#[case::a_config_map(
    json!({"variable": {"jmesPath": "c.data.v"}}),
    "clusterResources: [c.yaml]",
    "fail"
)]
#[case::a_list_of_the_cluster(
    json!({"apiCall": {"urlPath": "/api/v1/namespaces/shop/configmaps", "jmesPath": "items[?metadata.name=='c'].data.v | [0]"}}),
    "clusterResources: [c.yaml]",
    "fail"
)]
#[case::an_object_that_is_not_there(
    json!({"apiCall": {"urlPath": "/api/v1/namespaces/shop/configmaps/d", "jmesPath": "data.v"}}),
    "clusterResources: [c.yaml]",
    "error"
)]
fn what_is_mocked_is_all_there_is(#[case] entry: Value, #[case] suite: &str, #[case] expected: &str) {
    let config_map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {v: x}}";
    let mut entry = entry;
    entry["name"] = json!("v");
    let mut rule = denies("{{v}}", "Equals", json!("x"));
    rule["context"] = json!([{"name": "c", "configMap": {"name": "c", "namespace": "shop"}}, entry]);
    let cluster = file(Role::ClusterResources, config_map);
    assert_eq!(of_the_pod(&policy(&["Pod"], rule), suite, &[cluster]), expected);
}

#[test]
fn the_body_of_a_subresource_is_judged_as_one() {
    let values = "
values:
  subresources:
  - subresource: {name: pods/exec, kind: PodExecOptions, version: v1}
    parentResource: {kind: Pod, version: v1}
results: [{policy: p, rule: r, kind: PodExecOptions, resources: [web], result: fail}]
";
    let body = "{apiVersion: v1, kind: PodExecOptions, metadata: {name: web}, command: [sh]}";
    let policy = policy(&["Pod/exec"], json!({"validate": {"deny": {}}}));
    let verdict = judged(
        values,
        &[file(Role::Policies, &policy), file(Role::Resources, body)],
    );
    assert_eq!(lines(&verdict), ["PodExecOptions default/web: fail"]);
}

#[rstest]
#[case("CREATE", "fail")]
#[case("UPDATE", "fail")]
#[case("DELETE", "none")]
fn an_entry_may_say_the_operation(#[case] operation: &str, #[case] expected: &str) {
    let policy = policy(&["Pod"], json!({"validate": {"pattern": {"spec": {"x": "?*"}}}}));
    let entry = format!(
        "results: [{{policy: p, rule: r, kind: Pod, resources: [shop/web], operation: {operation}, result: fail}}]"
    );
    let verdict = judged(
        &entry,
        &[file(Role::Policies, &policy), file(Role::Resources, OBJECTS)],
    );
    assert_eq!(verdict.rows[0].actual.word(), expected);
}

/// A JSON patch in one rule means that no rule is generated for pod controllers.
#[rstest]
#[case::beside_a_plain_mutation("{patchStrategicMerge: {metadata: {labels: {a: b}}}}", "fail")]
#[case::beside_a_json_patch("{patchesJson6902: ''}", "none")]
fn a_policy_that_also_mutates_still_validates(#[case] mutate: &str, #[case] expected: &str) {
    let policy = format!(
        "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: p}}
spec:
  rules:
  - name: m
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    mutate: {mutate}
  - name: r
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    validate: {{pattern: {{spec: {{hostNetwork: false}}}}}}
"
    );
    let deployment =
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {spec: {}}}}";
    let verdict = judged(
        "results: [{policy: p, rule: m, result: pass}, {policy: p, rule: r, result: fail}]",
        &[file(Role::Policies, &policy), file(Role::Resources, deployment)],
    );
    let actual: Vec<&str> = verdict.rows.iter().map(|row| row.actual.word()).collect();
    assert_eq!(actual, ["unsupported", expected]);
    assert_eq!(
        verdict.rows[0].actual.reason(),
        Some("mutate is not supported: Provost judges objects and does not change them")
    );
}

#[test]
fn a_suite_with_an_invalid_policy_fails_and_says_where() {
    let invalid = policy(&["Pod"], json!({"validate": {"patern": {}}}));
    let verdict = judged(
        "results: [{policy: p, rule: r, kind: Pod, resources: [shop/web], result: fail}]",
        &[file(Role::Policies, &invalid), file(Role::Resources, OBJECTS)],
    );
    assert!(!verdict.holds());
    assert_eq!(verdict.rows[0].ok(), Some(false));
    assert_snapshot!(verdict.invalid[0].message, @r#"unknown field "patern" in validate; did you mean "pattern"?"#);
    let place = verdict.invalid[0].place.as_ref().unwrap();
    assert_eq!(&*place.file, "policy.yaml");
}

#[test]
fn a_broken_document_leaves_the_others() {
    let policy = policy(&["Pod"], json!({"validate": {"deny": {}}}));
    let broken = format!("{OBJECTS}---\na: [\n---\n{{a: b}}\n");
    let verdict = judged(
        "results: [{policy: p, rule: r, kind: Pod, resources: [shop/web], result: fail}]",
        &[file(Role::Policies, &policy), file(Role::Resources, &broken)],
    );
    assert_eq!(lines(&verdict), ["Pod shop/web: fail"]);
    assert_eq!(verdict.unjudged.len(), 2, "{:?}", verdict.unjudged);
}

#[rstest]
#[case(
    "results: [{policy: p, result: passed}]",
    "a result is pass, fail, skip, warn or error"
)]
#[case("results: [{policy: p}]", "an entry needs the result that is expected")]
#[case("results: [{result: pass}]", "results needs the field \"policy\"")]
#[case(
    "results: [{policy: p, result: pass, operation: update}]",
    "an operation is CREATE, UPDATE, DELETE or CONNECT"
)]
#[case(
    "result: []",
    "unknown field \"result\" in the document; did you mean \"results\"?"
)]
#[case(
    "values: {globalValue: {}}",
    "unknown field \"globalValue\" in values; did you mean \"globalValues\"?"
)]
#[case("policies: policy.yaml", "policies must be a list, found text")]
#[case(
    "results: [{policy: p, result: pass, resource: [a]}]",
    "resource must be text, found a list"
)]
fn a_suite_that_is_wrong_is_refused(#[case] suite: &str, #[case] message: &str) {
    let fault = Suite::parse(suite, "kyverno-test.yaml").unwrap_err();
    assert_eq!(fault.message, message);
    assert!(fault.place.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_files_make_a_suite_panic(
        object in any_json(),
        values in any_json(),
        stated in any_json(),
        user in any_json(),
        rule in any_json(),
        entry in any_json(),
    ) {
        let mut object = object;
        if let Some(object) = object.as_object_mut() {
            object.insert("apiVersion".to_owned(), json!("v1"));
            object.insert("kind".to_owned(), json!("Pod"));
        }
        let values = match values {
            Value::Object(map) => json!({"policies": [{"name": "p", "rules": [{"name": "r", "values": map}]}],
                                         "globalValues": stated}),
            other => other,
        };
        let policy = policy(&["Pod"], json!({"validate": {"pattern": rule}}));
        let mut expectation = json!({"policy": "p", "result": "fail"});
        if let Some(entry) = entry.as_object() {
            expectation["resources"] = entry.values().cloned().collect();
        }
        let suite = json!({"results": [expectation], "globalContextEntries": [{"name": "g", "data": stated}]});
        if let Ok(suite) = Suite::parse(&suite.to_string(), "kyverno-test.yaml") {
            let files = [
                file(Role::Policies, &policy),
                file(Role::Resources, &object.to_string()),
                file(Role::ClusterResources, &object.to_string()),
                file(Role::Values, &values.to_string()),
                file(Role::User, &json!({"userInfo": user}).to_string()),
            ];
            let verdict = suite.judge(&files, Timestamp::UNIX_EPOCH);
            let again = suite.judge(&files, Timestamp::UNIX_EPOCH);
            prop_assert_eq!(lines(&verdict), lines(&again));
        }
    }
}
