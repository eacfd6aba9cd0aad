//! The rules for pod controllers.

use provost_policy::{Policy, PolicySet, Status};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Asked, deployment, pod, read};

const BAD: &str = "{hostNetwork: true, containers: [{name: web, image: 'nginx:latest'}]}";

fn cron_job(spec: &str) -> Asked {
    Asked::create(&format!(
        "{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: t, namespace: shop}}, \
         spec: {{jobTemplate: {{spec: {{template: {{metadata: {{labels: {{team: a}}}}, spec: {spec}}}}}}}}}}}"
    ))
}

/// Rule and status of each result.
fn results(annotations: &Value, rules: &[&str], asked: &Asked) -> Vec<(String, Status)> {
    let rules: Vec<Value> = rules.iter().map(|rule| read(rule)).collect();
    let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
                        "metadata": {"name": "p", "annotations": annotations},
                        "spec": {"background": false, "rules": rules}});
    let (set, _) = PolicySet::compile([Policy::from_object(&policy).unwrap()]);
    let results = asked.results(&set).into_iter();
    results
        .map(|result| (result.rule.to_string(), result.status))
        .collect()
}

fn of_one(rule: &str, asked: &Asked) -> Vec<(String, Status)> {
    results(&json!({}), &[rule], asked)
}

const ON_PODS: &str = "match: {any: [{resources: {kinds: [Pod]}}]}";

#[rstest]
#[case::pattern("validate: {pattern: {spec: {'=(hostNetwork)': false}}}")]
#[case::any_pattern(
    "validate: {anyPattern: [{spec: {hostNetwork: false}}, {spec: {containers: [{name: other}]}}]}"
)]
#[case::deny(
    "validate: {deny: {conditions: {any: [{key: '{{ request.object.spec.hostNetwork }}', operator: Equals, value: true}]}}}"
)]
#[case::foreach(
    "validate: {foreach: [{list: request.object.spec.containers, pattern: {image: '!*:latest'}}]}"
)]
#[case::context(
    "context: [{name: h, variable: {jmesPath: request.object.spec.hostNetwork}}], validate: {deny: {conditions: {any: [{key: '{{ h }}', operator: Equals, value: true}]}}}"
)]
#[case::preconditions(
    "preconditions: {all: [{key: '{{ request.object.spec.hostNetwork }}', operator: Equals, value: true}]}, validate: {deny: {}}"
)]
#[case::metadata(
    "validate: {deny: {conditions: {any: [{key: '{{ request.object.metadata.labels.team }}', operator: Equals, value: a}]}}}"
)]
#[case::images(
    "validate: {deny: {conditions: {any: [{key: '{{ images.containers.*.tag }}', operator: AnyIn, value: [latest]}]}}}"
)]
#[case::pod_security("validate: {podSecurity: {level: baseline, version: latest}}")]
#[case::cel(
    "validate: {cel: {expressions: [{expression: '!has(object.spec.hostNetwork) || !object.spec.hostNetwork'}]}}"
)]
fn every_kind_of_check_is_made_of_the_template(#[case] body: &str) {
    let rule = format!("{{name: r, {ON_PODS}, {body}}}");
    assert_eq!(of_one(&rule, &pod(BAD)), [("r".to_owned(), Status::Fail)]);
    assert_eq!(
        of_one(&rule, &deployment(BAD)),
        [("autogen-r".to_owned(), Status::Fail)]
    );
    assert_eq!(
        of_one(&rule, &cron_job(BAD)),
        [("autogen-cronjob-r".to_owned(), Status::Fail)]
    );
}

#[rstest]
#[case::of_pods("{kinds: [Pod]}", 1)]
#[case::with_version("{kinds: [v1/Pod]}", 0)]
#[case::with_other_kinds("{kinds: [Pod, Deployment]}", 1)]
#[case::named("{kinds: [Pod], names: [t]}", 0)]
#[case::selected("{kinds: [Pod], selector: {matchLabels: {team: a}}}", 0)]
#[case::annotated("{kinds: [Pod], annotations: {a: b}}", 0)]
#[case::in_namespaces("{kinds: [Pod], namespaces: [shop]}", 1)]
#[case::on_operations("{kinds: [Pod], operations: [CREATE]}", 1)]
#[case::wild("{kinds: ['P*']}", 0)]
fn only_policies_on_any_pods_have_them(#[case] resources: &str, #[case] count: usize) {
    let rule = format!(
        "{{name: r, match: {{any: [{{resources: {resources}}}]}}, validate: {{pattern: {{spec: {{x: y}}}}}}}}"
    );
    assert_eq!(of_one(&rule, &deployment(BAD)).len(), count);
}

#[test]
fn one_particular_rule_takes_them_from_all() {
    let plain = format!("{{name: r, {ON_PODS}, validate: {{pattern: {{spec: {{x: y}}}}}}}}");
    let named =
        "{name: s, match: {any: [{resources: {kinds: [Service], names: [a]}}]}, validate: {deny: {}}}";
    assert_eq!(results(&json!({}), &[&plain, named], &deployment(BAD)), []);
    let service = "{name: s, match: {any: [{resources: {kinds: [Service]}}]}, validate: {deny: {}}}";
    assert_eq!(results(&json!({}), &[&plain, service], &deployment(BAD)).len(), 1);
}

#[rstest]
#[case::all_but_pods("exclude: {any: [{resources: {kinds: [Service]}}]}", 0)]
#[case::pods("exclude: {any: [{resources: {kinds: [Pod], namespaces: [other]}}]}", 1)]
#[case::pods_here("exclude: {any: [{resources: {kinds: [Pod], namespaces: [shop]}}]}", 0)]
#[case::namespaces("exclude: {any: [{resources: {namespaces: [shop]}}]}", 0)]
#[case::other_namespaces("exclude: {any: [{resources: {namespaces: [other]}}]}", 1)]
#[case::older_form("exclude: {resources: {kinds: [Pod], namespaces: [shop]}}", 0)]
#[case::users("exclude: {any: [{clusterRoles: [admin]}]}", 1)]
fn what_is_excluded_is_excluded_of_controllers_too(#[case] exclude: &str, #[case] count: usize) {
    let rule = format!("{{name: r, {ON_PODS}, {exclude}, validate: {{pattern: {{spec: {{x: y}}}}}}}}");
    assert_eq!(of_one(&rule, &deployment(BAD)).len(), count);
    assert_eq!(of_one(&rule, &cron_job(BAD)).len(), count);
}

#[rstest]
#[case::these("Deployment,StatefulSet", 1, 0)]
#[case::with_a_space("StatefulSet, Deployment", 0, 0)]
#[case::cron("CronJob", 0, 1)]
#[case::none("none", 0, 0)]
#[case::in_lower_case("deployment", 0, 0)]
#[case::empty("", 0, 0)]
fn an_annotation_chooses_the_controllers(
    #[case] annotation: &str,
    #[case] deployments: usize,
    #[case] cron_jobs: usize,
) {
    let annotations = json!({"pod-policies.kyverno.io/autogen-controllers": annotation});
    let rule = format!("{{name: r, {ON_PODS}, validate: {{pattern: {{spec: {{x: y}}}}}}}}");
    assert_eq!(
        results(&annotations, &[&rule], &deployment(BAD)).len(),
        deployments
    );
    assert_eq!(results(&annotations, &[&rule], &cron_job(BAD)).len(), cron_jobs);
}

#[test]
fn names_are_cut_at_63_characters() {
    let long = "r".repeat(63);
    let rule = format!("{{name: {long}, {ON_PODS}, validate: {{pattern: {{spec: {{x: y}}}}}}}}");
    let [(name, _)] = &of_one(&rule, &cron_job(BAD))[..] else {
        unreachable!()
    };
    assert_eq!(*name, format!("autogen-cronjob-{}", "r".repeat(47)));
}

#[test]
fn for_cron_jobs_every_filter_means_cron_jobs() {
    let rule = "{name: r, match: {any: [{resources: {kinds: [Pod]}}, {resources: {kinds: [Service], namespaces: [shop]}}]}, validate: {pattern: {spec: {x: y}}}}";
    assert_eq!(of_one(rule, &cron_job(BAD)).len(), 1);
    let all = "{name: r, match: {all: [{resources: {kinds: [Pod]}}, {resources: {kinds: ['*/*'], namespaces: [shop]}}]}, validate: {pattern: {spec: {x: y}}}}";
    assert_eq!(of_one(all, &deployment(BAD)).len(), 1);
}

#[test]
fn the_objects_own_name_is_not_that_of_the_template() {
    let rule = format!(
        "{{name: r, {ON_PODS}, validate: {{deny: {{conditions: {{any: [{{key: '{{{{ request.object.metadata.name }}}}', operator: Equals, value: t}}]}}}}}}}}"
    );
    assert_eq!(of_one(&rule, &pod(BAD))[0].1, Status::Fail);
    assert_eq!(of_one(&rule, &deployment(BAD))[0].1, Status::Error);
}

#[test]
fn rules_named_as_if_generated_do_not_judge_controllers() {
    let by_hand =
        "{name: autogen-r, match: {any: [{resources: {kinds: [Deployment]}}]}, validate: {deny: {}}}";
    assert_eq!(of_one(by_hand, &deployment(BAD)), []);
}

/// A subresource counts as its Pod for a rule, and not for the policy: some description must say `Pod` or a controller
/// itself.
#[rstest]
#[case::alone("Pod/exec", None, 0)]
#[case::eviction_alone("Pod/eviction", None, 0)]
#[case::with_a_version("v1/Pod", None, 0)]
#[case::beside_a_rule_on_pods("Pod/exec", Some("Pod"), 2)]
#[case::beside_a_rule_on_controllers("Pod/exec", Some("Deployment"), 2)]
#[case::beside_another("Pod/exec", Some("Service"), 0)]
fn subresources_of_pods_are_generated_where_pods_are(
    #[case] kind: &str,
    #[case] beside: Option<&str>,
    #[case] count: usize,
) {
    let rule = |name: &str, kind: &str| {
        format!(
            "{{name: {name}, match: {{any: [{{resources: {{kinds: ['{kind}']}}}}]}}, validate: {{pattern: {{spec: {{x: y}}}}}}}}"
        )
    };
    let rules: Vec<String> = std::iter::once(rule("a", kind))
        .chain(beside.map(|kind| rule("b", kind)))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let results = results(&json!({}), &rules, &deployment(BAD));
    assert_eq!(results.len(), count, "{results:?}");
}

#[test]
fn actions_that_are_empty_are_none() {
    let rule =
        |empty: &str| format!("{{name: r, {ON_PODS}, {empty}, validate: {{pattern: {{spec: {{x: y}}}}}}}}");
    for empty in ["mutate: {}", "generate: {}", "verifyImages: []", "mutate: null"] {
        assert_eq!(of_one(&rule(empty), &deployment(BAD)).len(), 1, "{empty}");
    }
}
