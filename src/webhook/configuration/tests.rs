//! Which webhooks come of which policies; and that no request is missed that a rule matches.

use insta::assert_snapshot;
use proptest::prelude::*;
use provost_manifest::object::GroupVersionKind;
use provost_policy::{Inputs, Key, Outcome, Part, Policy, PolicySet, Request, evaluate_part};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::cluster::Kind;

fn served() -> Kinds {
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

fn endpoint(failure_policy: FailurePolicy) -> Endpoint {
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

fn set(policies: &[String]) -> PolicySet {
    let parsed = Policy::parse(&policies.join("\n---\n"), "policies.yaml");
    assert_eq!(parsed.faults, []);
    PolicySet::compile(parsed.policies).0
}

/// What the webhooks for these policies ask, a line each.
fn outline(policies: &[String]) -> String {
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &set(policies).kinds(), &served());
    let mut lines = Vec::new();
    for webhook in configuration.webhooks.unwrap() {
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
            if condition.name.starts_with("namespaces-") {
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
fn without_policies_the_apiserver_asks_nothing() {
    let configuration = configuration(&endpoint(FailurePolicy::Fail), &[], &served());
    assert_eq!(configuration.webhooks, Some(Vec::new()));
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

// What follows plays the apiserver.

/// A request, and the labels of its namespace.
#[derive(Clone, Debug)]
struct Asked {
    kind: GroupVersionKind,
    plural: &'static str,
    subresource: &'static str,
    operation: Operation,
    namespace: &'static str,
    labels: Value,
}

const NAMESPACES: [&str; 4] = ["shop", "prod", "web", "default"];

fn labels_of_namespace(name: &str) -> Value {
    match name {
        "shop" => json!({"tier": "gold", "kubernetes.io/metadata.name": "shop"}),
        "prod" => json!({"tier": "iron", "kubernetes.io/metadata.name": "prod"}),
        name => json!({"kubernetes.io/metadata.name": name}),
    }
}

impl Asked {
    fn object(&self) -> Value {
        if self.operation == Operation::Connect {
            return json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["sh"]});
        }
        let cluster_scoped = ["Namespace", "Node"].contains(&self.kind.kind.as_str());
        let name = if self.kind.kind == "Namespace" {
            self.namespace
        } else {
            "a"
        };
        let mut metadata = json!({"name": name});
        if !self.labels.is_null() {
            metadata["labels"] = self.labels.clone();
        }
        if !cluster_scoped {
            metadata["namespace"] = json!(self.namespace);
        }
        json!({"apiVersion": self.kind.api_version(), "kind": self.kind.kind, "metadata": metadata})
    }

    fn review(&self) -> Value {
        let mut review = json!({
            "uid": "1",
            "kind": {"group": self.kind.group, "version": self.kind.version, "kind": self.kind.kind},
            "resource": {"group": self.kind.group, "version": self.kind.version, "resource": self.plural},
            "operation": operation_name(self.operation),
            "userInfo": {"username": "dana"},
        });
        for (key, text) in [("namespace", self.namespace), ("subResource", self.subresource)] {
            if !text.is_empty() {
                review[key] = json!(text);
            }
        }
        review
    }

    /// Calls `then` with the request as it is judged.
    fn with<T>(&self, then: impl FnOnce(&Request<'_>) -> T) -> T {
        let (object, review) = (self.object(), self.review());
        let has = |operations: &[Operation]| operations.contains(&self.operation).then_some(&object);
        then(&Request {
            operation: self.operation,
            kind: &self.kind,
            subresource: self.subresource,
            namespace: self.namespace,
            name: "a",
            object: has(&[Operation::Create, Operation::Update, Operation::Connect]),
            old_object: has(&[Operation::Update, Operation::Delete]),
            user: None,
            dry_run: false,
            review: Some(&review),
        })
    }

    fn is_asked_about_by(&self, webhook: &ValidatingWebhook) -> bool {
        let one_of = |names: &Option<Vec<String>>, name: &str| {
            names
                .iter()
                .flatten()
                .any(|known| [name, "*"].contains(&known.as_str()))
        };
        let rules = webhook.rules.iter().flatten().any(|rule| {
            let resource = rule.resources.iter().flatten().any(|resource| {
                let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let is = |known: &str, name: &str| known == name || known == "*";
                is(plural, self.plural) && is(subresource, self.subresource)
            });
            resource
                && one_of(&rule.api_groups, &self.kind.group)
                && one_of(&rule.api_versions, &self.kind.version)
                && one_of(&rule.operations, operation_name(self.operation))
        });
        let selects = |selector: &Option<LabelSelector>, labels: &Value| {
            let expressions = selector.iter().flat_map(|selector| &selector.match_expressions);
            expressions.flatten().all(|expression| {
                let label = labels[&expression.key].as_str();
                let values = expression.values.clone().unwrap_or_default();
                let listed = label.is_some_and(|label| values.iter().any(|value| value == label));
                match expression.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => label.is_some(),
                    "DoesNotExist" => label.is_none(),
                    other => panic!("there is no operator {other}"),
                }
            })
        };
        let object = self.object();
        let namespace = match self.kind.kind.as_str() {
            "Node" => true,
            "Namespace" => selects(&webhook.namespace_selector, &object["metadata"]["labels"]),
            _ => selects(&webhook.namespace_selector, &labels_of_namespace(self.namespace)),
        };
        let bears_labels = self.operation != Operation::Connect;
        let labelled = webhook.object_selector.is_none()
            || (bears_labels && selects(&webhook.object_selector, &object["metadata"]["labels"]));
        rules && namespace && labelled && self.meets(webhook)
    }

    /// Whether the conditions hold: as those of a policy that says something of everything.
    fn meets(&self, webhook: &ValidatingWebhook) -> bool {
        let conditions = webhook.match_conditions.iter().flatten();
        let conditions: Vec<Value> = conditions
            .map(|condition| json!({"name": condition.name, "expression": condition.expression}))
            .collect();
        let policy = json!({
            "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
            "spec": {
                "background": false,
                "webhookConfiguration": {"matchConditions": conditions},
                "rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["*/*"]}}]}, "validate": {"deny": {}}}],
            },
        });
        let results = self.results(&set(&[policy.to_string()]), Part::default());
        let errors: Vec<_> = results
            .iter()
            .filter(|result| result.status == provost_policy::Status::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        !results.is_empty()
    }

    fn results(&self, set: &PolicySet, part: Part) -> Vec<provost_policy::RuleResult> {
        let labels = |name: &str| {
            (
                Key::NamespaceLabels(name.to_owned()),
                Ok(labels_of_namespace(name)),
            )
        };
        let inputs: Inputs = NAMESPACES.into_iter().map(labels).collect();
        let outcome =
            self.with(|request| evaluate_part(set, part, request, &inputs, jiff::Timestamp::UNIX_EPOCH, 0));
        match outcome {
            Outcome::Done(results) => results,
            Outcome::Needs(keys) => panic!("needs {keys:?}"),
        }
    }
}

fn any_request() -> impl Strategy<Value = Asked> {
    let what = prop::sample::select(vec![
        ("", "Pod", "pods", ""),
        ("", "Pod", "pods", "exec"),
        ("", "Pod", "pods", "ephemeralcontainers"),
        ("", "Pod", "pods", "status"),
        ("", "ConfigMap", "configmaps", ""),
        ("apps", "Deployment", "deployments", ""),
        ("apps", "Deployment", "deployments", "scale"),
        ("", "Namespace", "namespaces", ""),
        ("", "Node", "nodes", ""),
        ("coordination.k8s.io", "Lease", "leases", ""),
    ]);
    let operation = prop::sample::select(vec![Operation::Create, Operation::Update, Operation::Delete]);
    let labels = prop::sample::select(vec![
        Value::Null,
        json!({"app": "web"}),
        json!({"app": "db", "tier": "gold"}),
        json!({"apple": "web"}),
    ]);
    (what, operation, prop::sample::select(NAMESPACES.to_vec()), labels).prop_map(
        |((group, kind, plural, subresource), operation, namespace, labels)| Asked {
            kind: GroupVersionKind::new(group, "v1", kind),
            plural,
            subresource,
            operation: match subresource {
                "exec" => Operation::Connect,
                "" => operation,
                _ => Operation::Update,
            },
            namespace: if kind == "Node" { "" } else { namespace },
            labels,
        },
    )
}

fn any_filter() -> impl Strategy<Value = Value> {
    let choose = |values: Value| prop::sample::select(values.as_array().unwrap().clone());
    let kinds = choose(json!([
        ["Pod"],
        ["Pod"],
        ["Pod", "ConfigMap"],
        ["ConfigMap"],
        ["Deployment"],
        ["apps/v1/Deployment"],
        ["Namespace"],
        ["Node"],
        ["Lease"],
        ["P*"],
        ["*"],
        ["Pod/exec"],
        ["Deployment/scale"],
        ["Deployment/*"],
        ["*/scale"],
        ["*/*"],
    ]));
    let namespaces = choose(json!([
        null,
        null,
        ["shop"],
        ["shop"],
        ["sh*"],
        ["shop", "prod"],
        ["*"],
        ["?eb", "prod"],
        ["Shop"]
    ]));
    let selector = choose(json!([
        null, null, null, {"matchLabels": {"app": "web"}}, {"matchLabels": {"app*": "web"}},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
        {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
    ]));
    let namespace_selector = choose(json!([
        null, null, null, {"matchLabels": {"tier": "gold"}}, {"matchLabels": {"tier": "g*"}},
        {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
    ]));
    let operations = choose(json!([null, null, ["CREATE"], ["UPDATE", "DELETE"], ["CONNECT"]]));
    (kinds, namespaces, selector, namespace_selector, operations).prop_map(
        |(kinds, namespaces, selector, namespace_selector, operations)| {
            let mut resources = json!({"kinds": kinds});
            for (key, value) in [
                ("namespaces", namespaces),
                ("selector", selector),
                ("namespaceSelector", namespace_selector),
                ("operations", operations),
            ] {
                if !value.is_null() {
                    resources[key] = value;
                }
            }
            json!({"resources": resources})
        },
    )
}

fn any_rule() -> impl Strategy<Value = Value> {
    let exclude = prop::sample::select(vec![
        Value::Null,
        Value::Null,
        json!({"any": [{"resources": {"namespaces": ["shop"]}}]}),
        json!({"any": [{"resources": {"namespaces": ["sh*", "web"]}}, {"resources": {"names": ["b"]}}]}),
        json!({"all": [{"resources": {"namespaces": ["prod"]}}, {"resources": {"kinds": ["Pod"]}}]}),
        json!({"any": [{"resources": {"namespaces": ["prod"], "operations": ["CREATE"]}}]}),
    ]);
    let combination = prop::sample::select(vec!["any", "any", "all"]);
    let action = prop::sample::select(vec!["Enforce", "Audit"]);
    (
        combination,
        prop::collection::vec(any_filter(), 1..3),
        exclude,
        action,
    )
        .prop_map(|(combination, filters, exclude, action)| {
            let mut rule = json!({
                "name": "r",
                "match": {combination: filters},
                "validate": {"failureAction": action, "deny": {}},
            });
            if !exclude.is_null() {
                rule["exclude"] = exclude;
            }
            rule
        })
}

fn any_policy() -> impl Strategy<Value = Value> {
    let namespace = prop::sample::select(vec![None, None, None, Some("shop")]);
    let failure = prop::sample::select(vec!["Fail", "Ignore"]);
    let apply = prop::sample::select(vec!["All", "All", "One"]);
    (namespace, failure, apply, prop::collection::vec(any_rule(), 1..3)).prop_map(
        |(namespace, failure, apply, mut rules)| {
            for (number, rule) in rules.iter_mut().enumerate() {
                rule["name"] = json!(format!("r{number}"));
            }
            let mut policy = json!({
                "apiVersion": "kyverno.io/v1",
                "kind": "ClusterPolicy",
                "metadata": {"name": "p"},
                "spec": {"background": false, "failurePolicy": failure, "applyRules": apply, "rules": rules},
            });
            if let Some(namespace) = namespace {
                policy["kind"] = json!("Policy");
                policy["metadata"]["namespace"] = json!(namespace);
            }
            policy
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Each rule that says something of a request is asked for the request, and once.
    #[test]
    fn every_request_that_a_rule_matches_is_asked_about_and_judged_once(
        mut policies in prop::collection::vec(any_policy(), 1..4),
        requests in prop::collection::vec(any_request(), 8),
    ) {
        for (number, policy) in policies.iter_mut().enumerate() {
            policy["metadata"]["name"] = json!(format!("p{number}"));
        }
        // What the language refuses is left out.
        let texts: Vec<String> = policies.iter().map(Value::to_string).collect();
        let parsed = Policy::parse(&texts.join("\n---\n"), "policies.yaml");
        let (set, _) = PolicySet::compile(parsed.policies);
        let configuration = configuration(&endpoint(FailurePolicy::Fail), &set.kinds(), &served());
        let webhooks = configuration.webhooks.unwrap();
        for request in requests {
            let named = is_needed_to_recover(&request.kind.group, request.plural);
            let asking: Vec<&ValidatingWebhook> =
                webhooks.iter().filter(|webhook| request.is_asked_about_by(webhook)).collect();
            for class in [Class::Fail, Class::Ignore] {
                let judging = asking.iter().filter(|webhook| {
                    let url = webhook.client_config.url.as_deref().unwrap();
                    let other = if class == Class::Fail { "/ignore" } else { "/fail" };
                    !url.ends_with(other)
                });
                let judging: Vec<&str> = judging.map(|webhook| webhook.name.as_str()).collect();
                let part = Part { class: Some(class), named };
                let results = request.results(&set, part);
                prop_assert!(judging.len() <= 1, "{request:?} is judged by {judging:?}");
                if !results.is_empty() {
                    prop_assert_eq!(judging.len(), 1, "{:?} is missed: {:?}", request, results);
                }
                if class == Class::Fail && !results.is_empty() && !named {
                    prop_assert!(judging[0].starts_with("enforce"), "{judging:?}");
                }
                if named {
                    prop_assert!(judging.iter().all(|name| name.starts_with("recovery")), "{judging:?}");
                }
            }
        }
    }
}
