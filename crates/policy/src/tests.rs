//! The engine as a whole: which rules concern which requests, and what comes of it.

#![expect(clippy::needless_pass_by_value, reason = "tables hand out values")]

use proptest::prelude::*;
use provost_manifest::object::GroupVersionKind;
use rstest::rstest;
use serde_json::{Value, json};

use crate::request::{Inputs, Key, Operation, Request, UserInfo};
use crate::result::{FailureAction, Outcome, Status};
use crate::test_support::{any_json, creating, done, object, seed, set, statuses};
use crate::{Policy, PolicySet, evaluate};
use Status::{Error, Fail, Pass, Skip, Warn};

fn pod(image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"},
           "spec": {"containers": [{"name": "web", "image": image}]}})
}

#[rstest]
#[case("nginx", Fail)]
#[case("registry.example.com/nginx", Pass)]
#[case("gcr.io/my-project/a/b:1", Pass)]
#[case("gcr.io/other/a", Fail)]
fn the_seed_judges_images(#[case] image: &str, #[case] status: Status) {
    assert_eq!(
        statuses(&seed(), &pod(image)),
        [("check-registry".to_owned(), status)]
    );
}

#[rstest]
#[case("apps/v1", "Deployment", "autogen-check-registry")]
#[case("apps/v1", "StatefulSet", "autogen-check-registry")]
#[case("apps/v1", "DaemonSet", "autogen-check-registry")]
#[case("apps/v1", "ReplicaSet", "autogen-check-registry")]
#[case("v1", "ReplicationController", "autogen-check-registry")]
#[case("batch/v1", "Job", "autogen-check-registry")]
#[case("batch/v1", "CronJob", "autogen-cronjob-check-registry")]
fn a_policy_on_pods_judges_their_controllers(#[case] version: &str, #[case] kind: &str, #[case] rule: &str) {
    let template = json!({"spec": {"containers": [{"name": "web", "image": "nginx"}]}});
    let spec = if kind == "CronJob" {
        json!({"jobTemplate": {"spec": {"template": template}}})
    } else {
        json!({"template": template})
    };
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    assert!(statuses(&seed(), &object).contains(&(rule.to_owned(), Fail)));
}

/// A policy of one rule with these parts; JSON is YAML.
fn policy(annotations: Value, spec: Value, rule: Value) -> PolicySet {
    let mut rule = rule;
    rule["name"] = json!("r");
    if rule.get("validate").is_none() {
        rule["validate"] = json!({"pattern": {"metadata": {"labels": {"ok": "yes"}}}});
    }
    let mut spec = spec;
    spec["rules"] = json!([rule]);
    set(&json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
                "metadata": {"name": "p", "annotations": annotations}, "spec": spec})
    .to_string())
}

fn matching(filter: Value) -> PolicySet {
    policy(
        json!({}),
        json!({"background": false}),
        json!({"match": {"any": [filter]}}),
    )
}

#[rstest]
#[case::all(json!({}), json!({"kinds": ["Pod"]}), 7)]
#[case::chosen(json!({"pod-policies.kyverno.io/autogen-controllers": "Deployment,CronJob"}), json!({"kinds": ["Pod"]}), 2)]
#[case::not_trimmed(json!({"pod-policies.kyverno.io/autogen-controllers": "Deployment, CronJob"}), json!({"kinds": ["Pod"]}), 1)]
#[case::none(json!({"pod-policies.kyverno.io/autogen-controllers": "none"}), json!({"kinds": ["Pod"]}), 0)]
#[case::named(json!({}), json!({"kinds": ["Pod"], "names": ["a"]}), 0)]
#[case::selected(json!({}), json!({"kinds": ["Pod"], "selector": {"matchLabels": {"a": "b"}}}), 0)]
#[case::with_another_kind(json!({}), json!({"kinds": ["Pod", "Service"]}), 0)]
#[case::versioned(json!({}), json!({"kinds": ["v1/Pod"]}), 0)]
#[case::namespaces(json!({}), json!({"kinds": ["Pod"], "namespaces": ["shop"]}), 7)]
fn controllers_are_covered_as_the_policy_allows(
    #[case] annotations: Value,
    #[case] resources: Value,
    #[case] covered: usize,
) {
    let set = policy(
        annotations,
        json!({}),
        json!({"match": {"any": [{"resources": resources}]}}),
    );
    assert_eq!(set.policies()[0].generated.len(), covered);
}

#[rstest]
#[case("Deployment", "apps", "v1", "", true)]
#[case("apps/v1/Deployment", "apps", "v1", "", true)]
#[case("v1/Deployment", "apps", "v1", "", true)]
#[case("apps/Deployment", "apps", "v1", "", false)]
#[case("*/Deployment", "apps", "v1", "", true)]
#[case("*/*/Deployment", "apps", "v1", "", false)]
#[case("Deployment/scale", "apps", "v1", "scale", true)]
#[case("Deployment.scale", "apps", "v1", "scale", true)]
#[case("Deployment/*", "apps", "v1", "", true)]
#[case("Deployment/*", "apps", "v1", "scale", true)]
#[case("Deployment", "apps", "v1", "scale", false)]
#[case("*/scale", "apps", "v1", "scale", true)]
#[case("*/*", "apps", "v1", "scale", true)]
#[case("apps/*/Deploy*", "apps", "v1beta1", "", true)]
#[case("v1*/Deployment", "apps", "v1", "", false)]
#[case("deployment", "apps", "v1", "", false)]
#[case("apps/v1/Deployment/scale", "apps", "v1", "scale", true)]
#[case("a/b/c/d/e", "apps", "v1", "", false)]
fn kinds_have_group_version_and_subresource(
    #[case] text: &str,
    #[case] group: &str,
    #[case] version: &str,
    #[case] subresource: &str,
    #[case] selected: bool,
) {
    let kind = GroupVersionKind::new(group, version, "Deployment");
    let selects = crate::matching::KindSelector::parse(text).is_some_and(|s| s.selects(&kind, subresource));
    assert_eq!(selects, selected);
}

#[rstest]
#[case::name(json!({"resources": {"kinds": ["Pod"], "names": ["b", "a*"]}}), true)]
#[case::other_name(json!({"resources": {"kinds": ["Pod"], "name": "b"}}), false)]
#[case::namespace(json!({"resources": {"kinds": ["Pod"], "namespaces": ["sh?p"]}}), true)]
#[case::other_namespace(json!({"resources": {"kinds": ["Pod"], "namespaces": ["prod"]}}), false)]
#[case::operation(json!({"resources": {"kinds": ["Pod"], "operations": ["CREATE"]}}), true)]
#[case::other_operation(json!({"resources": {"kinds": ["Pod"], "operations": ["UPDATE"]}}), false)]
#[case::selector(json!({"resources": {"kinds": ["Pod"], "selector": {"matchLabels": {"te*": "?"}}}}), true)]
#[case::expression(json!({"resources": {"kinds": ["Pod"], "selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}}), false)]
#[case::absent(json!({"resources": {"kinds": ["Pod"], "selector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}}), true)]
#[case::annotation(json!({"resources": {"kinds": ["Pod"], "annotations": {"not*": "h?"}}}), true)]
#[case::other_annotation(json!({"resources": {"kinds": ["Pod"], "annotations": {"note": "x"}}}), false)]
#[case::user(json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "al*"}]}), true)]
#[case::group(json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "Group", "name": "dev"}]}), true)]
#[case::account(json!({"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "b"}]}), false)]
#[case::role(json!({"resources": {"kinds": ["Pod"]}, "roles": ["shop:reader"]}), true)]
#[case::cluster_role(json!({"resources": {"kinds": ["Pod"]}, "clusterRoles": ["admin"]}), false)]
#[case::namespace_selector(json!({"resources": {"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"tier": "gold"}}}}), true)]
fn every_part_of_a_filter_must_hold(#[case] filter: Value, #[case] matches: bool) {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a1", "namespace": "shop",
        "labels": {"team": "a"}, "annotations": {"note": "hi"}}, "spec": {}});
    let user = UserInfo {
        username: "alice".to_owned(),
        groups: vec!["dev".to_owned()],
        ..UserInfo::default()
    };
    let inputs = Inputs::from([
        (
            Key::Roles,
            Ok(json!({"roles": ["shop:reader"], "clusterRoles": []})),
        ),
        (
            Key::NamespaceLabels("shop".to_owned()),
            Ok(json!({"tier": "gold"})),
        ),
    ]);
    let results = creating(&object, |request| {
        let request = Request {
            user: Some(&user),
            ..*request
        };
        done(&matching(filter), &request, &inputs)
    });
    assert_eq!(results.len(), usize::from(matches));
}

#[test]
fn what_a_rule_needs_is_asked_for_and_only_then() {
    let filter =
        json!({"resources": {"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"tier": "gold"}}}});
    let set = matching(filter);
    let ask = |object: &Value, inputs: &Inputs| {
        creating(object, |request| {
            evaluate(&set, request, inputs, jiff::Timestamp::UNIX_EPOCH, 0)
        })
    };
    let key = Key::NamespaceLabels("shop".to_owned());
    assert!(matches!(ask(&pod("a"), &Inputs::new()), Outcome::Needs(keys) if keys == [key.clone()]));
    let unreadable = Inputs::from([(key, Err("the namespace could not be read".to_owned()))]);
    let Outcome::Done(results) = ask(&pod("a"), &unreadable) else {
        unreachable!("everything was there");
    };
    assert_eq!(
        (results[0].status, results[0].message.as_str()),
        (Error, "the namespace could not be read")
    );
    let service = object("{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}}");
    assert!(matches!(ask(&service, &Inputs::new()), Outcome::Done(results) if results.is_empty()));
}

#[rstest]
#[case(json!({"any": [{"resources": {"namespaces": ["shop"]}}]}), 0)]
#[case(json!({"any": [{"resources": {"namespaces": ["prod"]}}, {"resources": {"names": ["a"]}}]}), 0)]
#[case(json!({"all": [{"resources": {"namespaces": ["shop"]}}, {"resources": {"names": ["b"]}}]}), 1)]
#[case(json!({"resources": {"namespaces": ["shop"]}}), 0)]
#[case(json!({"any": [{}]}), 1)]
#[case(json!({"any": [{"subjects": [{"kind": "User", "name": "*"}]}]}), 1)]
fn exclude_leaves_out_what_it_names(#[case] exclude: Value, #[case] results: usize) {
    let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "exclude": exclude});
    let set = policy(json!({}), json!({"background": false}), rule);
    assert_eq!(statuses(&set, &pod("a")).len(), results);
}

#[rstest]
#[case(json!({}), json!({}), FailureAction::Audit)]
#[case(json!({"validationFailureAction": "Enforce"}), json!({}), FailureAction::Enforce)]
#[case(json!({"validationFailureAction": "Enforce"}), json!({"failureAction": "Audit"}), FailureAction::Audit)]
#[case(json!({"validationFailureActionOverrides": [{"action": "Enforce", "namespaces": ["sh*"]}]}), json!({}), FailureAction::Enforce)]
#[case(json!({"validationFailureActionOverrides": [{"action": "Enforce", "namespaces": ["prod"]}]}), json!({}), FailureAction::Audit)]
#[case(json!({}), json!({"failureAction": "Enforce", "failureActionOverrides": [{"action": "Audit", "namespaces": ["shop"]}]}), FailureAction::Audit)]
fn the_action_is_the_rules_and_the_namespaces(
    #[case] spec: Value,
    #[case] validate: Value,
    #[case] action: FailureAction,
) {
    let mut validate = validate;
    validate["pattern"] = json!({"metadata": {"labels": {"ok": "yes"}}});
    let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": validate});
    let results = creating(&pod("a"), |request| {
        done(&policy(json!({}), spec, rule), request, &Inputs::new())
    });
    assert_eq!((results[0].status, results[0].action), (Fail, action));
}

#[rstest]
#[case::an_old_failure_is_allowed("nginx", json!({}), Skip)]
#[case::a_new_failure_is_not("registry.example.com/nginx", json!({}), Fail)]
#[case::unless_the_rule_says_so("nginx", json!({"allowExistingViolations": false}), Fail)]
fn an_update_is_judged_by_what_it_changes(
    #[case] old: &str,
    #[case] validate: Value,
    #[case] status: Status,
) {
    let mut validate = validate;
    validate["pattern"] = json!({"spec": {"containers": [{"image": "registry.example.com/*"}]}});
    let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": validate});
    let set = policy(json!({}), json!({"validationFailureAction": "Enforce"}), rule);
    let (old, new) = (pod(old), pod("nginx:2"));
    let results = creating(&new, |request| {
        let request = Request {
            operation: Operation::Update,
            old_object: Some(&old),
            ..*request
        };
        done(&set, &request, &Inputs::new())
    });
    assert_eq!(results[0].status, status);
}

#[test]
fn a_pattern_says_nothing_of_a_deletion() {
    let old = pod("nginx");
    let results = creating(&old, |request| {
        let request = Request {
            operation: Operation::Delete,
            object: None,
            old_object: Some(&old),
            ..*request
        };
        done(&seed(), &request, &Inputs::new())
    });
    assert!(results.is_empty());
}

#[test]
fn what_is_not_scored_only_warns() {
    let rule = json!({"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}});
    let unscored = json!({"policies.kyverno.io/scored": "false"});
    let set = policy(unscored, json!({"validationFailureAction": "Enforce"}), rule);
    let results = creating(&pod("a"), |request| done(&set, request, &Inputs::new()));
    assert_eq!(
        (results[0].status, results[0].denies(), results[0].warns()),
        (Warn, false, true)
    );
}

#[test]
fn any_pattern_wants_one_of_them_and_reports_the_nearest() {
    let patterns = json!([
        {"metadata": {"labels": {"a": "1", "b": "1"}}},
        {"metadata": {"labels": {"c": "1"}}},
    ]);
    let rule =
        json!({"match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"anyPattern": patterns}});
    let set = policy(json!({}), json!({}), rule);
    let labelled = |labels: Value| {
        let mut pod = pod("a");
        pod["metadata"]["labels"] = labels;
        creating(&pod, |request| done(&set, request, &Inputs::new())).remove(0)
    };
    assert_eq!(labelled(json!({"c": "1"})).status, Pass);
    let failed = labelled(json!({"x": "1"}));
    assert_eq!(failed.status, Fail);
    let paths: Vec<String> = failed.violations.iter().map(|v| v.path.to_string()).collect();
    assert_eq!(paths, ["metadata.labels.c"]);
}

#[test]
fn a_namespaced_policy_stays_in_its_namespace() {
    let text = json!({"apiVersion": "kyverno.io/v1", "kind": "Policy", "metadata": {"name": "p", "namespace": "prod"},
        "spec": {"rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                            "validate": {"pattern": {"metadata": {"labels": {"a": "b"}}}}}]}});
    let set = set(&text.to_string());
    assert_eq!(&**set.policies()[0].key(), "prod/p");
    assert!(statuses(&set, &pod("a")).is_empty());
    let mut inside = pod("a");
    inside["metadata"]["namespace"] = json!("prod");
    assert_eq!(statuses(&set, &inside).len(), 1);
}

#[test]
fn apply_rules_one_stops_after_the_first_decision() {
    let rule = |name: &str| {
        json!({"name": name, "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": {"pattern": {"metadata": {"name": "*"}}}})
    };
    let text = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
        "spec": {"applyRules": "One", "rules": [rule("a"), rule("b")]}});
    assert_eq!(
        statuses(&set(&text.to_string()), &pod("a")),
        [("a".to_owned(), Pass)]
    );
}

#[test]
fn the_kinds_of_a_set_tell_what_a_webhook_is_called_for() {
    let kinds = seed().kinds();
    let text: Vec<String> = kinds
        .iter()
        .map(|kind| format!("{} {:?}", kind.kind, kind.operations))
        .collect();
    assert_eq!(text.len(), 10, "{text:?}");
    assert!(kinds.iter().any(|kind| kind.subresource == "ephemeralcontainers"));
    assert!(text.contains(&"Service [Create, Update]".to_owned()));
    assert!(text.contains(&"CronJob [Create, Update]".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_rule_judges_any_object_the_same_twice(
        pattern in any_json(), key in any_json(), value in any_json(), object in any_json(),
    ) {
        let matches = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
        let condition = json!({"key": key, "operator": "AnyIn", "value": value});
        let checks = [
            json!({"pattern": pattern}),
            json!({"anyPattern": [pattern, value]}),
            json!({"deny": {"conditions": {"any": [condition]}}}),
            json!({"foreach": [{"list": "request.object.b", "pattern": pattern}]}),
            json!({"podSecurity": {"level": "restricted"}}),
        ];
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": object, "b": value});
        if let Some(spec) = pod["spec"].as_object_mut() {
            spec.insert("containers".to_owned(), json!([object]));
        }
        for check in checks {
            let text = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
                "spec": {"rules": [{"name": "r", "match": matches, "validate": check}]}});
            let compiled = || Policy::from_object(&text).map(|policy| PolicySet::compile([policy]).0);
            let (Ok(first), Ok(second)) = (compiled(), compiled()) else { continue };
            prop_assert_eq!(first.digest(), second.digest());
            let judge = |set: &PolicySet| creating(&pod, |request| format!("{:?}", done(set, request, &Inputs::new())));
            prop_assert_eq!(judge(&first), judge(&second));
        }
    }
}

#[rstest]
#[case(json!({}), Pass, &["of a", "{{ request.object.spec.none }}"])]
#[case(json!({"pattern": {"spec": {"x": "1"}}}), Fail, &["of a", "{{ request.object.spec.none }}"])]
#[case(json!({"unmet": true}), Skip, &[])]
fn results_carry_the_properties_that_their_rule_wants(
    #[case] change: Value,
    #[case] status: Status,
    #[case] expected: &[&str],
) {
    let mut rule = json!({
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": {"pattern": {"metadata": {"name": "a"}}},
        "reportProperties": {"owner": "of {{ request.object.metadata.name }}",
                             "undefined": "{{ request.object.spec.none }}"},
    });
    if change.get("pattern").is_some() {
        rule["validate"] = change.clone();
    }
    if change.get("unmet").is_some() {
        rule["preconditions"] = json!({"all": [{"key": "a", "operator": "Equals", "value": "b"}]});
    }
    let set = policy(json!({}), json!({}), rule);
    let results = creating(&pod("nginx"), |request| done(&set, request, &Inputs::default()));
    let values: Vec<&str> = results[0]
        .properties
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!((results[0].status, values.as_slice()), (status, expected));
}
