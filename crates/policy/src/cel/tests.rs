//! Rules in CEL: verdicts, messages, violations, generated rules, and what is refused.

use insta::assert_snapshot;
use rstest::rstest;
use serde_json::{Value, json};

use crate::request::{Inputs, Key, Operation, Request};
use crate::result::{Found, Outcome, RuleResult, Status};
use crate::test_support::{creating, done, object, set, statuses};
use crate::{Policy, PolicySet, evaluate};
use jiff::Timestamp;
use provost_manifest::object::GroupVersionKind;

/// A policy with one rule on Pods, and this in it.
fn policy(rule: &str) -> String {
    let rule = rule.replace('\n', "\n    ");
    format!(
        "apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: p}}
spec:
  validationFailureAction: Enforce
  rules:
  - name: r
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    {rule}
"
    )
}

fn validated(expressions: &str) -> PolicySet {
    set(&policy(&format!(
        "validate: {{cel: {{expressions: [{expressions}]}}}}"
    )))
}

fn pod() -> Value {
    object(
        "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
  - {name: a, image: 'nginx:latest'}
  - {name: b, image: 'nginx:1.2', securityContext: {privileged: true}}
",
    )
}

fn judged(set: &PolicySet, object: &Value) -> RuleResult {
    creating(object, |request| done(set, request, &Inputs::new()).remove(0))
}

/// Status, message and violations, as lines.
fn told(result: &RuleResult) -> String {
    let mut lines = vec![format!("{:?}: {}", result.status, result.message)];
    for violation in &result.violations {
        let found = match &violation.found {
            Found::Missing => "missing".to_owned(),
            Found::Hidden => "hidden".to_owned(),
            Found::Value(value) | Found::Computed { value, .. } => value.to_string(),
        };
        let within = violation.within.as_deref().unwrap_or("the object");
        lines.push(format!(
            "{} = {found} in {within}: {}",
            violation.path, violation.accepted.0
        ));
    }
    lines.join("\n")
}

#[test]
fn every_expression_that_fails_is_told_with_every_field() {
    let set = set(&policy(
        "validate:
  message: The rule.
  cel:
    variables:
    - name: containers
      expression: object.spec.containers + object.spec.?initContainers.orValue([])
    expressions:
    - expression: variables.containers.all(c, !c.image.endsWith(':latest'))
      message: No latest.
    - expression: variables.containers.all(c, c.?securityContext.?privileged.orValue(true) == false)
    - expression: has(object.spec.hostname)
      messageExpression: \"'Pod ' + object.metadata.name + ' needs a host name'\"
    - expression: object.metadata.name == 'web'
      message: That one is good.",
    ));
    assert_snapshot!(told(&judged(&set, &pod())), @r#"
    Fail: No latest.; The rule.; Pod web needs a host name
    spec.hostname = missing in the object: Pod web needs a host name
    spec.containers[0].image = "nginx:latest" in container "a": No latest.
    spec.containers[0].securityContext.privileged = missing in container "a": The rule.
    spec.containers[1].securityContext.privileged = true in container "b": The rule.
    "#);
}

#[test]
fn an_expression_without_words_is_told_itself_and_one_without_fields_concerns_the_object() {
    let small = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}});
    assert_snapshot!(told(&judged(&validated("{expression: 1 == 2}, {expression: 'false', message: Never.}"), &small)), @r#"
    Fail: failed expression: 1 == 2; Never.
    the object = {"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}} in the object: failed expression: 1 == 2; Never.
    "#);
}

#[rstest]
#[case::good("object.spec.containers.size() == 2", Status::Pass)]
#[case::bad("object.spec.containers.size() == 3", Status::Fail)]
#[case::missing_key("object.spec.hostname == 'x'", Status::Fail)]
#[case::no_boolean("object.metadata.name", Status::Fail)]
#[case::no_old_object("oldObject == null", Status::Pass)]
#[case::request(
    "request.operation == 'CREATE' && request.kind.kind == 'Pod' && request.name == 'web'",
    Status::Pass
)]
#[case::nobody_asks("has(request.userInfo.username)", Status::Fail)]
#[case::endless(
    "cel.bind(l, lists.range(100), l.all(a, l.all(b, l.all(c, l.all(d, a + b + c + d >= 0)))))",
    Status::Error
)]
fn an_expression_gives_this_status(#[case] expression: &str, #[case] status: Status) {
    let result = judged(
        &validated(&format!("{{expression: {}}}", json!(expression))),
        &pod(),
    );
    assert_eq!(result.status, status, "{}", result.message);
}

#[test]
fn a_missing_key_is_told_and_blamed() {
    let set = validated("{expression: object.spec.hostname == 'x', message: Never shown.}");
    assert_snapshot!(told(&judged(&set, &pod())), @"
    Fail: expression 'object.spec.hostname == 'x'' resulted in error: no such key: hostname
    spec.hostname = missing in the object: expression 'object.spec.hostname == 'x'' resulted in error: no such key: hostname
    ");
}

#[test]
fn preconditions_in_cel_skip_what_they_are_not_true_of() {
    let set = set(&policy(
        "celPreconditions: [{name: web, expression: object.metadata.name == 'web'}]
validate: {cel: {expressions: [{expression: 'false'}]}}",
    ));
    let mut other = pod();
    other["metadata"]["name"] = json!("other");
    assert_eq!(judged(&set, &pod()).status, Status::Fail);
    assert_eq!(judged(&set, &other).status, Status::Skip);
}

#[test]
fn a_policy_with_match_conditions_says_nothing_of_other_requests() {
    let text = policy("validate: {cel: {expressions: [{expression: 'false'}]}}");
    let text = text.replace(
        "spec:\n",
        "spec:\n  webhookConfiguration: {matchConditions: [{name: web, expression: object.metadata.name == 'web'}]}\n",
    );
    let set = set(&text);
    let mut other = pod();
    other["metadata"]["name"] = json!("other");
    assert_eq!(statuses(&set, &pod()), [("r".to_owned(), Status::Fail)]);
    assert_eq!(statuses(&set, &other), []);
    other["metadata"] = json!({"generateName": "x"});
    assert_eq!(
        statuses(&set, &other),
        [("r".to_owned(), Status::Error)],
        "a condition that cannot be evaluated is no \"does not match\""
    );
    let conditions: Vec<String> = Policy::parse(&text, "p.yaml").policies[0]
        .match_conditions()
        .map(str::to_owned)
        .collect();
    assert_eq!(conditions, ["object.metadata.name == 'web'"]);
}

#[test]
fn the_namespace_is_asked_for_where_it_is_spoken_of() {
    let set = validated("{expression: \"namespaceObject.metadata.labels['tier'] == 'a'\"}");
    let object = pod();
    creating(&object, |request| {
        let key = Key::NamespaceLabels("shop".to_owned());
        let evaluated = |inputs| evaluate(&set, request, inputs, Timestamp::UNIX_EPOCH, 0);
        assert!(matches!(evaluated(&Inputs::new()), Outcome::Needs(keys) if keys == [key.clone()]));
        let known = Inputs::from([(key.clone(), Ok(json!({"tier": "a"})))]);
        assert_eq!(done(&set, request, &known)[0].status, Status::Pass);
        let unknown = Inputs::from([(key, Err("no cluster".to_owned()))]);
        assert_eq!(done(&set, request, &unknown)[0].status, Status::Error);
    });
}

#[test]
fn deletions_are_judged_by_the_old_object() {
    let set = set(&policy(
        "validate: {cel: {expressions: [{expression: object == null && oldObject.metadata.name != 'web'}]}}",
    ));
    let old = pod();
    let kind = GroupVersionKind::of(&old).unwrap();
    creating(&old, |request| {
        let request = Request {
            operation: Operation::Delete,
            kind: &kind,
            object: None,
            old_object: Some(&old),
            ..*request
        };
        let result = done(&set, &request, &Inputs::new()).remove(0);
        assert_eq!(result.status, Status::Fail);
        assert_eq!(result.violations[0].path.to_string(), "metadata.name");
    });
}

#[test]
fn nothing_of_a_secret_is_told() {
    let text = policy(
        "validate:
  cel:
    expressions:
    - expression: int(object.data.password) == 1
    - {expression: object.data.password == 'x', messageExpression: object.data.password}",
    )
    .replace("Pod", "Secret");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "hunter2"}});
    let told = told(&judged(&set(&text), &secret));
    assert!(told.starts_with("Fail: ") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_rule_on_pods_judges_the_templates_of_controllers() {
    let set = set(&policy(
        "validate:
  cel:
    expressions:
    - expression: object.spec.containers.all(c, c.image.contains('@')) && oldObject == null",
    ));
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": pod()["spec"]}},
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": pod()["spec"]}}}},
    });
    let paths = |object: &Value| {
        let result = judged(&set, object);
        (result.rule.to_string(), result.violations[0].path.to_string())
    };
    assert_eq!(
        paths(&deployment),
        (
            "autogen-r".to_owned(),
            "spec.template.spec.containers[0].image".to_owned()
        )
    );
    assert_eq!(
        paths(&job),
        (
            "autogen-cronjob-r".to_owned(),
            "spec.jobTemplate.spec.template.spec.containers[0].image".to_owned()
        )
    );
}

#[rstest]
#[case::function(
    "validate: {cel: {expressions: [{expression: 'frob(1)'}]}}",
    "there is no function frob()"
)]
#[case::message(
    "validate: {cel: {expressions: [{expression: 'true', messageExpression: 'x'}]}}",
    "undeclared name x"
)]
#[case::reason(
    "validate: {cel: {expressions: [{expression: 'true', reason: Never}]}}",
    "a reason is one of"
)]
#[case::params(
    "validate: {cel: {paramKind: {kind: X}, expressions: [{expression: 'true'}]}}",
    "paramKind is not supported"
)]
#[case::generate(
    "validate: {cel: {generate: true, expressions: [{expression: 'true'}]}}",
    "generate is not supported"
)]
#[case::a_later_variable(
    "validate: {cel: {variables: [{name: a, expression: variables.b}, {name: b, expression: '1'}], \
     expressions: [{expression: 'true'}]}}",
    "undeclared variable variables.b"
)]
#[case::annotations(
    "validate: {cel: {auditAnnotations: [{key: k, valueExpression: 'x'}], expressions: [{expression: 'true'}]}}",
    "undeclared name x"
)]
#[case::context(
    "context: [{name: a, variable: {value: 1}}]\nvalidate: {cel: {expressions: [{expression: 'true'}]}}",
    "CEL sees no context"
)]
#[case::preconditions_elsewhere(
    "celPreconditions: [{name: n, expression: 'true'}]\nvalidate: {pattern: {kind: Pod}}",
    "celPreconditions go with validate.cel only"
)]
fn what_is_not_done_is_refused_at_its_place(#[case] rule: &str, #[case] why: &str) {
    let parsed = Policy::parse(&policy(rule), "p.yaml");
    let fault = &parsed.faults[0];
    assert!(fault.message.contains(why), "{}", fault.message);
    assert!(fault.place.as_ref().unwrap().line >= 9);
}
