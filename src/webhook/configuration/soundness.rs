//! That no request is missed that a rule matches, and none judged twice: policies and requests at random, against an
//! apiserver that is played.

use proptest::prelude::*;
use provost_manifest::object::GroupVersionKind;
use provost_policy::{Inputs, Key, Outcome, Part, Policy, PolicySet, Request, RuleResult, evaluate_part};
use serde_json::{Value, json};

use super::{
    tests::{endpoint, served, set},
    *,
};

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

    fn is_asked_about_by(&self, (webhook, conditions): &(ValidatingWebhook, PolicySet)) -> bool {
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
        rules && namespace && labelled && self.meets(conditions)
    }

    fn meets(&self, conditions: &PolicySet) -> bool {
        let results = self.results(conditions, Part::default());
        let is_error = |result: &RuleResult| result.status == provost_policy::Status::Error;
        assert!(!results.iter().any(is_error), "{results:?}");
        !results.is_empty()
    }

    fn results(&self, set: &PolicySet, part: Part) -> Vec<RuleResult> {
        let labels = |name: &str| {
            (
                Key::NamespaceLabels(name.to_owned()),
                Ok(labels_of_namespace(name)),
            )
        };
        let inputs: Inputs = NAMESPACES.into_iter().map(labels).collect();
        let outcome = self
            .with(|request| evaluate_part(set, part, None, request, &inputs, jiff::Timestamp::UNIX_EPOCH, 0));
        match outcome {
            Outcome::Done(results) => results,
            Outcome::Needs(keys) => panic!("needs {keys:?}"),
        }
    }
}

/// The conditions of a webhook, as those of a policy that says something of everything.
fn conditions_of(webhook: &ValidatingWebhook) -> PolicySet {
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
    set(&[policy.to_string()])
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
    let conditions = prop::sample::select(vec![
        json!([]),
        json!([]),
        json!([{"name": "a", "expression": "request.operation == 'CREATE' // and nothing else"}]),
        json!([
            {"name": "a", "expression": "!has(request.namespace) || request.namespace != 'shop'"},
            {"name": "b", "expression": "request.resource.resource != 'configmaps'"},
        ]),
    ]);
    let rules = prop::collection::vec(any_rule(), 1..3);
    (namespace, failure, apply, conditions, rules).prop_map(
        |(namespace, failure, apply, conditions, mut rules)| {
            for (number, rule) in rules.iter_mut().enumerate() {
                rule["name"] = json!(format!("r{number}"));
            }
            let mut policy = json!({
                "apiVersion": "kyverno.io/v1",
                "kind": "ClusterPolicy",
                "metadata": {"name": "p"},
                "spec": {"background": false, "failurePolicy": failure, "applyRules": apply, "rules": rules},
            });
            if conditions != json!([]) {
                policy["spec"]["webhookConfiguration"] = json!({"matchConditions": conditions});
            }
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
        let webhooks: Vec<(ValidatingWebhook, PolicySet)> = configuration
            .webhooks
            .unwrap()
            .into_iter()
            .filter(|webhook| webhook.name != policies::NAME)
            .map(|webhook| {
                let conditions = conditions_of(&webhook);
                (webhook, conditions)
            })
            .collect();
        for request in requests {
            let named = is_needed_to_recover(&request.kind.group, request.plural);
            let asking: Vec<&ValidatingWebhook> =
                webhooks.iter().filter(|webhook| request.is_asked_about_by(webhook)).map(|(webhook, _)| webhook).collect();
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
