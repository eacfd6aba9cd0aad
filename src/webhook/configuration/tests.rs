//! Which webhooks come of which policies.

use insta::assert_snapshot;
use provost_manifest::object::GroupVersionKind;
use provost_policy::{Policy, PolicySet};
use rstest::rstest;

use super::*;
use crate::cluster::Kind;

pub(super) fn served() -> Kinds {
    let kind = |group: &str, version: &str, kind: &str, plural: &str, subresources: &[&str]| Kind {
        gvk: GroupVersionKind::new(group, version, kind),
        plural: plural.to_owned(),
        namespaced: true,
        watchable: true,
        subresources: subresources.iter().map(|&name| name.to_owned()).collect(),
    };
    let autoscaler = |version| {
        let (group, name) = ("autoscaling", "HorizontalPodAutoscaler");
        kind(group, version, name, "horizontalpodautoscalers", &[])
    };
    Kinds::from_iter([
        kind(
            "",
            "v1",
            "Pod",
            "pods",
            &["ephemeralcontainers", "exec", "status"],
        ),
        kind("", "v1", "Service", "services", &["status"]),
        kind("", "v1", "ConfigMap", "configmaps", &[]),
        kind("", "v1", "Namespace", "namespaces", &["status"]),
        kind("", "v1", "Node", "nodes", &["status"]),
        kind("coordination.k8s.io", "v1", "Lease", "leases", &[]),
        kind("apps", "v1", "Deployment", "deployments", &["scale", "status"]),
        autoscaler("v2"),
        autoscaler("v1"),
        kind("example.com", "v1", "Service", "services", &[]),
    ])
}

pub(super) fn endpoint(failure_policy: FailurePolicy) -> Endpoint {
    Endpoint {
        address: Address::Url("https://127.0.0.1:8443".to_owned()),
        path: "/validate/t".to_owned(),
        authority: "-----BEGIN".to_owned(),
        exempt_namespaces: BTreeSet::from(["kube-system".to_owned()]),
        failure_policy,
        served: Arc::default(),
    }
}

fn kind(group: &str, version: &str, kind: &str, subresource: &str) -> MatchedKind {
    MatchedKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        subresource: subresource.to_owned(),
        operations: vec![Operation::Create, Operation::Update],
        class: Class::Fail,
        may_deny: true,
        reach: provost_policy::Reach::default(),
        timeout_seconds: 10,
    }
}

#[rstest]
#[case::a_pod_comes_with_its_ephemeral_containers(
    kind("*", "*", "Pod", ""), &["/v1/pods", "/v1/pods/ephemeralcontainers"])]
#[case::a_kind_without_a_group_is_every_group_s(
    kind("*", "*", "Service", ""), &["/v1/services", "example.com/v1/services"])]
#[case::a_group_is_exact(kind("example.com", "*", "Service", ""), &["example.com/v1/services"])]
#[case::the_preferred_version_stands_for_all(
    kind("*", "*", "HorizontalPodAutoscaler", ""), &["autoscaling/v2/horizontalpodautoscalers"])]
#[case::a_version_that_is_named_is_taken(
    kind("autoscaling", "v1", "HorizontalPodAutoscaler", ""), &["autoscaling/v1/horizontalpodautoscalers"])]
#[case::a_subresource_alone(kind("*", "*", "Pod", "exec"), &["/v1/pods/exec"])]
#[case::all_subresources_and_the_kind_itself(
    kind("apps", "v1", "Deployment", "*"),
    &["apps/v1/deployments", "apps/v1/deployments/scale", "apps/v1/deployments/status"])]
#[case::a_wildcard_in_the_kind(kind("*", "*", "Deploy*", ""), &["apps/v1/deployments"])]
#[case::a_wildcard_passes_over_what_is_needed_to_recover(kind("*", "*", "*o?e", ""), &[])]
#[case::which_can_be_named(kind("*", "*", "Node", ""), &["/v1/nodes"])]
#[case::every_kind_also_of_later(kind("*", "*", "*", ""), &["*/*/*", "/v1/pods/ephemeralcontainers"])]
#[case::every_kind_of_a_group(kind("apps", "v1", "*", ""), &["apps/v1/*"])]
#[case::groups_by_a_wildcard_that_rules_do_not_have(kind("*.com", "*", "*", ""), &["*/*/*"])]
#[case::a_group_that_is_needed_to_recover(kind("coordination.k8s.io", "*", "*", ""), &[])]
#[case::a_subresource_of_every_kind(kind("*", "*", "*", "scale"), &["*/*/*/scale"])]
#[case::everything(kind("*", "*", "*", "*"), &["*/*/*/*"])]
#[case::a_kind_that_is_not_served(kind("*", "*", "Gateway", ""), &[])]
fn a_kind_of_a_policy_becomes_the_resources_that_it_means(
    #[case] kind: MatchedKind,
    #[case] expected: &[&str],
) {
    let resources = resources::resources(&kind, &served()).into_iter();
    let found: Vec<String> = resources
        .map(|resource| format!("{}/{}/{}", resource.group, resource.version, resource.name()))
        .collect();
    assert_eq!(found, expected);
}

/// A policy that denies whatever it matches.
fn policy(name: &str, action: &str, failure: &str, filter: &str) -> String {
    format!(
        "{{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {{name: {name}}}, spec: {{
           validationFailureAction: {action}, failurePolicy: {failure}, background: false,
           rules: [{{name: r, match: {{any: [{{resources: {filter}}}]}}, validate: {{deny: {{}}}}}}]}}}}"
    )
}

pub(super) fn set(policies: &[String]) -> PolicySet {
    let parsed = Policy::parse(&policies.join("\n---\n"), "policies.yaml");
    assert_eq!(parsed.faults, []);
    PolicySet::compile(parsed.policies).0
}

/// What the webhooks for these policies ask, a line each.
fn outline(policies: &[String]) -> String {
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &set(policies).kinds(), &served());
    let mut lines = Vec::new();
    let webhooks = configuration.webhooks.unwrap().into_iter();
    for webhook in webhooks.filter(|webhook| webhook.name != policies::NAME) {
        let path = webhook.client_config.url.unwrap();
        let path = path.trim_start_matches("https://127.0.0.1:8443");
        lines.push(format!(
            "{} {} {path}",
            webhook.name,
            webhook.failure_policy.unwrap()
        ));
        for (what, selector) in [
            ("namespaces", &webhook.namespace_selector),
            ("objects", &webhook.object_selector),
        ] {
            let expressions = selector.iter().flat_map(|selector| &selector.match_expressions);
            for expression in expressions.flatten() {
                let (key, operator) = (&expression.key, &expression.operator);
                let values = expression.values.clone().unwrap_or_default();
                let line = format!("  {what}: {key} {operator} {}", values.join(" "));
                lines.push(line.trim_end().to_owned());
            }
        }
        for condition in webhook.match_conditions.unwrap() {
            if ["namespaces-", "policies-"]
                .iter()
                .any(|own| condition.name.starts_with(own))
            {
                lines.push(format!("  {}", condition.expression));
            } else {
                lines.push(format!("  {}", condition.name));
            }
        }
        for rule in webhook.rules.unwrap() {
            let part = |part: Option<Vec<String>>| part.unwrap().join(" ");
            let (groups, resources) = (part(rule.api_groups), part(rule.resources));
            lines.push(format!("  {groups:?} {resources}: {}", part(rule.operations)));
        }
    }
    lines.join("\n")
}

#[test]
fn a_request_is_asked_about_once_where_the_policies_that_fail_closed_have_it_anyway() {
    let policies = [
        policy("a", "Enforce", "Fail", "{kinds: [ConfigMap, Pod]}"),
        policy("b", "Audit", "Fail", "{kinds: [ConfigMap], namespaces: [shop]}"),
        policy(
            "c",
            "Enforce",
            "Ignore",
            "{kinds: [ConfigMap], operations: [UPDATE]}",
        ),
        policy("d", "Audit", "Ignore", "{kinds: [Service]}"),
        policy("e", "Enforce", "Ignore", "{kinds: [Namespace]}"),
    ];
    assert_snapshot!(outline(&policies), @r#"
    enforce.provost.dev Fail /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" configmaps pods pods/ephemeralcontainers: CREATE UPDATE DELETE
    enforce-fail-open.provost.dev Ignore /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" namespaces: CREATE UPDATE DELETE
    audit.provost.dev Ignore /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" services: CREATE UPDATE DELETE
      "example.com" services: CREATE UPDATE DELETE
    "#);
}

#[test]
fn classes_are_asked_about_apart_where_each_has_requests_of_its_own() {
    let policies = [
        policy("a", "Enforce", "Fail", "{kinds: [ConfigMap], namespaces: [shop]}"),
        policy("b", "Enforce", "Ignore", "{kinds: [ConfigMap]}"),
        policy(
            "c",
            "Enforce",
            "Fail",
            "{kinds: [Deployment], operations: [CREATE]}",
        ),
        policy("d", "Audit", "Fail", "{kinds: [Deployment]}"),
    ];
    assert_snapshot!(outline(&policies), @r#"
    enforce.provost.dev Fail /validate/t/fail
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      !((request.resource.group == "" && request.resource.resource in ["configmaps"])) || ((has(request.namespace) ? request.namespace : "") in ["shop"])
      "" configmaps: CREATE UPDATE DELETE
      "apps" deployments: CREATE
    enforce-fail-open.provost.dev Ignore /validate/t/ignore
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" configmaps: CREATE UPDATE DELETE
    audit.provost.dev Ignore /validate/t/ignore
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "apps" deployments: CREATE UPDATE DELETE
    "#);
}

#[test]
fn selectors_that_all_rules_for_a_kind_share_become_the_webhooks() {
    let gold = "namespaceSelector: {matchLabels: {tier: gold}}";
    let policies = [
        policy("a", "Enforce", "Fail", &format!("{{kinds: [ConfigMap], {gold}}}")),
        policy(
            "b",
            "Enforce",
            "Fail",
            &format!("{{kinds: [ConfigMap, Service], {gold}}}"),
        ),
        policy("c", "Enforce", "Fail", "{kinds: [Service]}"),
        policy(
            "d",
            "Enforce",
            "Fail",
            "{kinds: [Deployment], selector: {matchExpressions: [{key: app, operator: Exists}]}}",
        ),
        policy(
            "e",
            "Audit",
            "Fail",
            "{kinds: [Pod], selector: {matchLabels: {'app*': web}}}",
        ),
        policy(
            "f",
            "Audit",
            "Fail",
            "{kinds: [Namespace], selector: {matchLabels: {app: 'two words'}}}",
        ),
    ];
    assert_snapshot!(outline(&policies), @r#"
    enforce.provost.dev Fail /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" services: CREATE UPDATE DELETE
      "example.com" services: CREATE UPDATE DELETE
    enforce-2.provost.dev Fail /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      objects: app Exists
      not-the-apiserver
      "apps" deployments: CREATE UPDATE DELETE
    enforce-3.provost.dev Fail /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      namespaces: tier In gold
      not-the-apiserver
      "" configmaps: CREATE UPDATE DELETE
    audit.provost.dev Ignore /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" namespaces pods pods/ephemeralcontainers: CREATE UPDATE DELETE
    "#);
}

#[test]
fn what_a_cluster_needs_to_recover_is_never_asked_about_under_fail() {
    let policies = [
        policy("a", "Enforce", "Fail", "{kinds: ['*']}"),
        policy("b", "Enforce", "Fail", "{kinds: [Node, Lease]}"),
        policy("c", "Audit", "Fail", "{kinds: [Node]}"),
    ];
    assert_snapshot!(outline(&policies), @r#"
    enforce.provost.dev Fail /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      not-needed-to-recover
      "" pods/ephemeralcontainers: CREATE UPDATE DELETE
      "*" *: CREATE UPDATE DELETE
    recovery.provost.dev Ignore /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      "" nodes: CREATE UPDATE DELETE
      "coordination.k8s.io" leases: CREATE UPDATE DELETE
    "#);
}

#[rstest]
#[case::of_namespaces("{kinds: [ConfigMap], namespaces: [shop, 'team-*', 'we?']}", "namespaces")]
#[case::of_what_is_needed_to_recover("{kinds: ['*']}", "recovery")]
fn conditions_are_what_an_apiserver_reads(#[case] filter: &str, #[case] name: &str) {
    let policies = [policy("a", "Enforce", "Fail", filter)];
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &set(&policies).kinds(), &served());
    let webhook = configuration.webhooks.unwrap().remove(0);
    let expressions: Vec<String> = webhook
        .match_conditions
        .unwrap()
        .into_iter()
        .map(|condition| {
            format!(
                "{}:\n{}",
                condition.name,
                condition.expression.replace(" || (request", "\n|| (request")
            )
        })
        .collect();
    insta::with_settings!({ snapshot_suffix => name }, { assert_snapshot!(expressions.join("\n")) });
}

#[test]
fn nobody_is_denied_without_an_answer_where_that_is_asked_for() {
    let kinds = [kind("*", "*", "Pod", "")];
    let webhooks = configuration(&endpoint(FailurePolicy::Ignore), &kinds, &served()).webhooks;
    assert_eq!(webhooks.unwrap()[0].failure_policy.as_deref(), Some("Ignore"));
}

#[test]
fn without_policies_the_apiserver_asks_about_policies_only() {
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &[], &served());
    let webhooks = configuration.webhooks.unwrap();
    let names: Vec<_> = webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    assert_eq!(names, [policies::NAME]);
    let url = webhooks[0].client_config.url.as_deref();
    assert_eq!(url, Some("https://127.0.0.1:8443/validate/t/policies"));
}

#[rstest]
#[case(Some("https://127.0.0.1:8443/validate/t"), true)]
#[case(Some("https://127.0.0.1:8443/validate/t/policies"), true)]
#[case::another_token(Some("https://127.0.0.1:8443/validate/tt"), false)]
#[case::another_process(Some("https://127.0.0.1:9443/validate/t"), false)]
#[case::a_service(None, false)]
fn a_webhook_is_ours_where_it_leads_to_our_path_or_below(#[case] url: Option<&str>, #[case] ours: bool) {
    let path = Some("https://127.0.0.1:8443/validate/t");
    assert_eq!(is_at_or_below(url, path), ours);
}

#[test]
fn more_namespaces_and_selectors_than_an_apiserver_takes_are_not_told() {
    let many = |count: usize| -> Vec<String> { (0..count).map(|number| format!("n{number}")).collect() };
    let kinds = (0..100).map(|number| {
        let mut matched = kind("*", "*", "Thing", "");
        matched.group = format!("g{number}.example.com");
        matched.reach.namespaces = Some(BTreeSet::from([format!("n{number}")]));
        matched
    });
    let served = (0..100).map(|number| Kind {
        gvk: GroupVersionKind::new(format!("g{number}.example.com"), "v1", "Thing"),
        plural: "things".to_owned(),
        namespaced: true,
        watchable: true,
        subresources: Vec::new(),
    });
    let kinds: Vec<MatchedKind> = kinds.collect();
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &kinds, &served.collect());
    assert!(
        configuration.webhooks.unwrap()[0]
            .match_conditions
            .as_ref()
            .unwrap()
            .len()
            <= 64
    );

    let names = many(65).join(", ");
    let policies = [policy(
        "a",
        "Enforce",
        "Fail",
        &format!("{{kinds: [ConfigMap], namespaces: [{names}]}}"),
    )];
    assert_eq!(set(&policies).kinds()[0].reach, provost_policy::Reach::default());
}

/// With settings of its own in `spec.webhookConfiguration`.
fn asking(settings: &str, name: &str, filter: &str) -> String {
    let policy = policy(name, "Enforce", "Fail", filter);
    policy
        .replace("failurePolicy: Fail, ", "")
        .replace("spec: {", &format!("spec: {{ webhookConfiguration: {settings}, "))
}

#[test]
fn a_webhook_waits_as_long_as_the_most_patient_of_its_policies_asks() {
    let policies = [
        asking("{timeoutSeconds: 3}", "a", "{kinds: [ConfigMap]}"),
        asking("{timeoutSeconds: 20}", "b", "{kinds: [Pod]}"),
        asking("{timeoutSeconds: 5}", "c", "{kinds: [Pod]}"),
        asking("{timeoutSeconds: 4}", "d", "{kinds: [example.com/v1/Service]}"),
        policy("e", "Audit", "Fail", "{kinds: [example.com/v1/Service]}"),
    ];
    let kinds = set(&policies).kinds();
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &kinds, &served());
    let webhooks = configuration.webhooks.unwrap().into_iter();
    let waits: Vec<String> = webhooks
        .filter(|webhook| webhook.name != policies::NAME)
        .map(|webhook| {
            let rules = webhook.rules.unwrap();
            let resources = rules.iter().flat_map(|rule| rule.resources.clone().unwrap());
            let resources: Vec<String> = resources.collect();
            let seconds = webhook.timeout_seconds.unwrap();
            format!("{} {seconds} s: {}", webhook.name, resources.join(" "))
        })
        .collect();
    assert_snapshot!(waits.join("\n"), @"
    enforce.provost.dev 3 s: configmaps
    enforce-2.provost.dev 10 s: services
    enforce-3.provost.dev 20 s: pods pods/ephemeralcontainers deployments
    ");
}

#[test]
fn conditions_of_policies_are_asked_about_where_each_policy_for_a_resource_has_some() {
    let policies = [
        asking(
            "{matchConditions: [{name: a, expression: \"request.userInfo.username != 'robot'\"}]}",
            "a",
            "{kinds: [ConfigMap]}",
        ),
        asking(
            "{matchConditions: [{name: a, expression: object.metadata.name == 'b'}, {name: b, expression: 'true'}]}",
            "b",
            "{kinds: [ConfigMap, Service]}",
        ),
        policy("c", "Enforce", "Fail", "{kinds: [Service]}"),
    ];
    assert_snapshot!(outline(&policies), @r#"
    enforce.provost.dev Fail /validate/t
      namespaces: kubernetes.io/metadata.name NotIn kube-system
      not-the-apiserver
      !((request.resource.group == "" && request.resource.resource in ["configmaps"])) || (((object.metadata.name == 'b') && (true)) || ((request.userInfo.username != 'robot')))
      "" configmaps services: CREATE UPDATE DELETE
      "example.com" services: CREATE UPDATE DELETE
    "#);
}
