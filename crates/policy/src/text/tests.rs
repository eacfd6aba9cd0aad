//! What people read, letter by letter.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{HINT, MAX_DENIAL_BYTES, denial, report, warnings};
use crate::request::Inputs;
use crate::test_support::{creating, done, object, seed, set};
use crate::{FailureAction, PolicySet};

fn my_app() -> Value {
    object(
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-app
  namespace: shop
  labels: {app.kubernetes.io/name: ''}
spec:
  template:
    spec:
      containers:
      - name: web
        image: registry.example.com/my-app:v1
        resources: {limits: {memory: 1Gi}}
      - name: sidecar
        image: registry.example.com/sidecar:v1
",
    )
}

fn denied(set: &PolicySet, object: &Value) -> String {
    creating(object, |request| {
        denial(request, &done(set, request, &Inputs::new()), HINT)
    })
}

#[test]
fn a_denial_names_every_field_of_every_rule() {
    assert_snapshot!(denied(&seed(), &my_app()), @r#"
    Deployment shop/my-app is refused: 4 violations of 2 policies.

    require-resource-limits/check-limits: All containers must have resource limits
      spec.template.spec.containers[1].resources.limits       missing (container "sidecar")   needs memory and cpu, any value
      spec.template.spec.containers[0].resources.limits.cpu   missing (container "web")       needs any value

    require-labels/check-labels: Resources must have required labels
      metadata.labels["app.kubernetes.io/managed-by"]   missing   needs any value
      metadata.labels["app.kubernetes.io/name"]         is ""     needs at least one character

    Before you apply: provost check FILE
    "#);
}

#[test]
fn a_denial_of_a_pod_shows_the_image_that_was_found() {
    let pod = object(
        "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {containers: [{name: web, image: 'nginx:latest'}]}}",
    );
    assert_snapshot!(denied(&seed(), &pod), @r#"
    Pod shop/web is refused: 1 violation of 1 policy.

    require-approved-registry/check-registry: Images must come from approved registries
      spec.containers[0].image   is "nginx:latest" (container "web")   needs registry.example.com/* or gcr.io/my-project/*

    Before you apply: provost check FILE
    "#);
}

#[test]
fn a_denial_without_labels_names_what_is_missing_as_a_whole() {
    let service = object("{apiVersion: v1, kind: Service, metadata: {generateName: web-, namespace: shop}}");
    assert_snapshot!(denied(&seed(), &service), @r#"
    Service shop/web-… is refused: 1 violation of 1 policy.

    require-labels/check-labels: Resources must have required labels
      metadata.labels   missing   needs app.kubernetes.io/name and app.kubernetes.io/managed-by, any value

    Before you apply: provost check FILE
    "#);
}

#[test]
fn a_long_denial_is_cut_and_says_how_much_is_left_out() {
    let containers: Vec<Value> = (0..200)
        .map(|n| json!({"name": format!("container-{n}"), "image": format!("docker.io/library/image-{n}:latest")}))
        .collect();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "many"}, "spec": {"containers": containers}});
    let text = denied(&seed(), &pod);
    assert!(text.len() <= MAX_DENIAL_BYTES, "{} bytes", text.len());
    let shown = text.matches("is \"docker.io").count();
    assert!(
        text.starts_with("Pod many is refused: 200 violations of 1 policy.\n"),
        "{text}"
    );
    assert!(
        text.contains(&format!("\n… and {} more violations.\n", 200 - shown)),
        "{text}"
    );
    assert!(text.ends_with(HINT));
}

#[test]
fn hostile_values_are_escaped_and_cut() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
        {"name": "\u{1b}[2Jweb", "image": format!("\u{202e}{}", "x".repeat(1_000))},
    ]}});
    let text = denied(&seed(), &pod);
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
    assert!(text.len() < 1_000, "{text}");
}

#[test]
fn a_secret_is_not_quoted() {
    let set = set(
        "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: p}, spec: {validationFailureAction: Enforce,
          rules: [{name: r, match: {any: [{resources: {kinds: [Secret]}}]},
                   validate: {pattern: {data: {key: 'YWJj'}, metadata: {labels: {team: a}}}}}]}}",
    );
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"team": "b"}},
                        "data": {"key": "c2VjcmV0"}});
    let text = denied(&set, &secret);
    assert!(!text.contains("c2VjcmV0"), "{text}");
    assert_snapshot!(text, @r#"
    Secret s is refused: 2 violations of 1 policy.

    p/r
      data.key               is a secret, not shown   needs YWJj
      metadata.labels.team   is "b"                   needs a

    Before you apply: provost check FILE
    "#);
}

#[test]
fn an_audit_failure_warns_with_the_rules_name_first() {
    let audit = crate::test_support::SEED[1].1.replace("Enforce", "Audit");
    let texts = creating(&my_app(), |request| {
        warnings(&done(&set(&audit), request, &Inputs::new()))
    });
    assert_snapshot!(texts.join("\n"), @r#"
    require-labels/check-labels (audit): metadata.labels["app.kubernetes.io/managed-by"] missing and 1 more: Resources must have required labels
    "#);
    assert!(
        texts
            .iter()
            .all(|text| text.chars().count() <= super::MAX_WARNING_CHARS)
    );
}

#[test]
fn a_report_gives_each_violation_its_place() {
    let text = creating(&my_app(), |request| {
        let mut results = done(&seed(), request, &Inputs::new());
        results[1].action = FailureAction::Audit;
        report(request, &results, &|path| {
            Some(format!("my-app.yaml:{}:9", path.segments().len()))
        })
    });
    assert_snapshot!(text, @r#"
    Deployment shop/my-app: 4 violations of 2 policies.

    require-resource-limits/check-limits: All containers must have resource limits
      my-app.yaml:7:9   spec.template.spec.containers[1].resources.limits       missing (container "sidecar")   needs memory and cpu, any value
      my-app.yaml:8:9   spec.template.spec.containers[0].resources.limits.cpu   missing (container "web")       needs any value

    require-labels/check-labels (audit): Resources must have required labels
      my-app.yaml:3:9   metadata.labels["app.kubernetes.io/managed-by"]   missing   needs any value
      my-app.yaml:3:9   metadata.labels["app.kubernetes.io/name"]         is ""     needs at least one character
    "#);
}

#[test]
fn an_error_denies_or_warns_as_the_policy_says() {
    let policy = |failure: &str| {
        set(&format!(
            "{{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {{name: p}}, spec: {{
              validationFailureAction: Enforce, failurePolicy: {failure},
              rules: [{{name: r, match: {{any: [{{resources: {{kinds: [Deployment]}}}}]}},
                       validate: {{pattern: {{metadata: {{name: '{{{{ request.object.nothing }}}}'}}}}}}}}]}}}}"
        ))
    };
    assert_snapshot!(denied(&policy("Fail"), &my_app()), @r#"
    Deployment shop/my-app is refused: 1 rule that could not be judged.

    p/r: could not be judged: variable {{request.object.nothing}} has no value: Unknown key "nothing" in path

    Before you apply: provost check FILE
    "#);
    let texts = creating(&my_app(), |request| {
        let results = done(&policy("Ignore"), request, &Inputs::new());
        assert!(!results[0].denies());
        warnings(&results)
    });
    assert_snapshot!(texts.join("\n"), @r#"
    p/r (error): could not be judged: variable {{request.object.nothing}} has no value: Unknown key "nothing" in path
    "#);
}
