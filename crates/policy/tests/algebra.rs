//! What does not change a verdict: the order of policies, rules and conditions, writing a policy down and reading it
//! again, negating twice, and who writes the rule for a controller.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps wrongly fails, as it should"
)]

use jiff::Timestamp;
use proptest::prelude::*;
use provost_manifest::object::GroupVersionKind;
use provost_manifest::yaml;
use provost_policy::{Inputs, Operation, Outcome, Policy, PolicySet, Request, RuleResult, Status, evaluate};
use serde_json::{Map, Value, json};

fn json_of(keys: &'static [&'static str], texts: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..4_i64).prop_map(Value::from),
        prop::sample::select(texts).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys), inner), 0..3).prop_map(|entries| {
                let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(entries.collect::<Map<_, _>>())
            }),
        ]
    })
}

fn patterns() -> impl Strategy<Value = Value> {
    json_of(
        &["a", "b", "c", "(a)", "=(b)", "X(c)", "<(a)"],
        &["x", "?*", "!x", "x | y", ">1", "1-3", "*", ""],
    )
}

fn objects() -> impl Strategy<Value = Value> {
    json_of(&["a", "b", "c"], &["x", "y", "", "2", "3Gi"])
}

fn conditions() -> impl Strategy<Value = Vec<Value>> {
    let keys = vec![
        "{{ request.object.spec.a }}",
        "{{ request.object.spec.b || `[]` }}",
        "{{ request.object.spec.nothing || '' }}",
        "{{ to_string(request.object.spec) }}",
        "x",
    ];
    let operators = vec![
        "Equals",
        "NotEquals",
        "AnyIn",
        "AllNotIn",
        "GreaterThan",
        "AnyNotIn",
    ];
    let one = (
        prop::sample::select(keys),
        prop::sample::select(operators),
        objects(),
    );
    let one =
        one.prop_map(|(key, operator, value)| json!({"key": key, "operator": operator, "value": value}));
    prop::collection::vec(one, 1..4)
}

fn rule(name: &str, kind: &str, validate: &Value) -> Value {
    json!({"name": name, "match": {"any": [{"resources": {"kinds": [kind]}}]}, "validate": validate})
}

fn policy(name: &str, controllers: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": controllers}},
        "spec": {"background": false, "rules": rules},
    })
}

/// The set of these policies; none where one is refused, since not every pattern is one.
fn set(policies: &[Value]) -> Option<PolicySet> {
    let read = policies.iter().map(|policy| Policy::from_object(policy).ok());
    let (set, faults) = PolicySet::compile(read.collect::<Option<Vec<_>>>()?);
    assert_eq!(faults, []);
    Some(set)
}

fn judged(set: &PolicySet, object: &Value) -> Vec<RuleResult> {
    let kind = GroupVersionKind::of(object).unwrap();
    let request = Request {
        operation: Operation::Create,
        kind: &kind,
        subresource: "",
        namespace: "shop",
        name: "a",
        object: Some(object),
        old_object: None,
        user: None,
        dry_run: false,
        review: None,
    };
    match evaluate(set, &request, &Inputs::new(), Timestamp::UNIX_EPOCH, 0) {
        Outcome::Done(results) => results,
        Outcome::Needs(keys) => unreachable!("{keys:?}"),
    }
}

/// Policy, rule, status and message of each result, sorted.
fn verdicts(set: &PolicySet, object: &Value) -> Vec<String> {
    let said = |result: &RuleResult| format!("{result:?}");
    let mut verdicts: Vec<String> = judged(set, object).iter().map(said).collect();
    verdicts.sort();
    verdicts
}

fn statuses(set: &PolicySet, object: &Value) -> Vec<Status> {
    judged(set, object).iter().map(|result| result.status).collect()
}

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
}

fn controller(kind: &str, template: &Value) -> Value {
    let (version, spec) = match kind {
        "CronJob" => (
            "batch/v1",
            json!({"jobTemplate": {"spec": {"template": template}}}),
        ),
        "Job" => ("batch/v1", json!({"template": template})),
        _ => ("apps/v1", json!({"template": template})),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

proptest! {
    #[test]
    fn the_order_of_policies_changes_nothing(
        checks in prop::collection::vec(patterns(), 1..4),
        spec in objects(),
    ) {
        let one = |(number, pattern): (usize, &Value)| {
            policy(&format!("p{number}"), "none", &[rule("r", "Pod", &json!({"pattern": {"spec": pattern}}))])
        };
        let policies: Vec<Value> = checks.iter().enumerate().map(one).collect();
        let turned: Vec<Value> = policies.iter().rev().cloned().collect();
        if let (Some(set), Some(turned)) = (set(&policies), set(&turned)) {
            prop_assert_eq!(set.digest(), turned.digest());
            prop_assert_eq!(verdicts(&set, &pod(&spec)), verdicts(&turned, &pod(&spec)));
        }
    }

    #[test]
    fn the_order_of_rules_changes_nothing(
        checks in prop::collection::vec(patterns(), 2..4),
        spec in objects(),
    ) {
        let one = |(number, pattern): (usize, &Value)| {
            rule(&format!("r{number}"), "Pod", &json!({"pattern": {"spec": pattern}}))
        };
        let rules: Vec<Value> = checks.iter().enumerate().map(one).collect();
        let turned: Vec<Value> = rules.iter().rev().cloned().collect();
        if let (Some(set), Some(turned)) =
            (set(&[policy("p", "none", &rules)]), set(&[policy("p", "none", &turned)]))
        {
            prop_assert_eq!(verdicts(&set, &pod(&spec)), verdicts(&turned, &pod(&spec)));
        }
    }

    #[test]
    fn the_order_of_conditions_changes_nothing(
        any in conditions(),
        all in conditions(),
        spec in objects(),
    ) {
        let denying = |any: &[Value], all: &[Value]| {
            let deny = json!({"deny": {"conditions": {"any": any, "all": all}}});
            set(&[policy("p", "none", &[rule("r", "Pod", &deny)])])
        };
        let turn = |list: &[Value]| list.iter().rev().cloned().collect::<Vec<_>>();
        if let (Some(set), Some(turned)) = (denying(&any, &all), denying(&turn(&any), &turn(&all))) {
            let (as_written, turned) = (statuses(&set, &pod(&spec)), statuses(&turned, &pod(&spec)));
            // What has no value is an error where it is reached, and nothing where something decides before.
            if !as_written.contains(&Status::Error) && !turned.contains(&Status::Error) {
                prop_assert_eq!(as_written, turned);
            }
        }
    }

    #[test]
    fn a_single_condition_is_any_and_all(condition in conditions(), spec in objects()) {
        let denying = |key: &str| {
            let deny = json!({"deny": {"conditions": {key: &condition[..1]}}});
            set(&[policy("p", "none", &[rule("r", "Pod", &deny)])])
        };
        if let (Some(any), Some(all)) = (denying("any"), denying("all")) {
            prop_assert_eq!(statuses(&any, &pod(&spec)), statuses(&all, &pod(&spec)));
        }
    }

    #[test]
    fn negating_twice_changes_nothing(spec in objects()) {
        let denying = |expression: &str| {
            let condition = json!({"key": format!("{{{{ {expression} }}}}"), "operator": "Equals", "value": true});
            set(&[policy("p", "none", &[rule("r", "Pod", &json!({"deny": {"conditions": {"all": [condition]}}}))])])
        };
        for expression in ["request.object.spec.a == `1`", "contains(to_string(request.object.spec), 'x')"] {
            let once = denying(&format!("({expression})")).unwrap();
            let twice = denying(&format!("!(!({expression}))")).unwrap();
            prop_assert_eq!(statuses(&once, &pod(&spec)), statuses(&twice, &pod(&spec)));
        }
        for expression in ["object.?spec.?a == optional.of(1)", "has(object.spec) && object.kind == 'Pod'"] {
            let of = |text: String| {
                let cel = json!({"cel": {"expressions": [{"expression": text}]}});
                set(&[policy("p", "none", &[rule("r", "Pod", &cel)])]).unwrap()
            };
            let (once, twice) = (of(expression.to_owned()), of(format!("!(!({expression}))")));
            prop_assert_eq!(statuses(&once, &pod(&spec)), statuses(&twice, &pod(&spec)));
        }
    }

    #[test]
    fn a_policy_that_is_written_and_read_again_is_the_same(pattern in patterns(), conditions in conditions(), spec in objects()) {
        let rules = [
            rule("r", "Pod", &json!({"pattern": {"spec": pattern}})),
            rule("s", "Pod", &json!({"deny": {"conditions": {"any": conditions}}})),
        ];
        let policy = policy("p", "Deployment,CronJob", &rules);
        if let Some(first) = set(std::slice::from_ref(&policy)) {
            let written = yaml::to_string(&policy).unwrap();
            let parsed = Policy::parse(&written, "p.yaml");
            prop_assert_eq!(&parsed.faults, &[]);
            let (again, _) = PolicySet::compile(parsed.policies);
            prop_assert_eq!(first.digest(), again.digest());
            for object in [pod(&spec), controller("Deployment", &json!({"spec": spec}))] {
                prop_assert_eq!(verdicts(&first, &object), verdicts(&again, &object));
            }
        }
    }

    #[test]
    fn a_generated_rule_is_the_one_that_a_hand_would_write(
        pattern in patterns(),
        spec in objects(),
        kind in prop::sample::select(vec!["Deployment", "StatefulSet", "Job", "CronJob"]),
    ) {
        let pattern = json!({"spec": pattern});
        let template = json!({"spec": {"template": &pattern}});
        let by_hand = match kind {
            "CronJob" => json!({"spec": {"jobTemplate": template}}),
            _ => template,
        };
        let generated = set(&[policy("p", kind, &[rule("r", "Pod", &json!({"pattern": pattern}))])]);
        let written = set(&[policy("p", "none", &[rule("r", kind, &json!({"pattern": by_hand}))])]);
        if let (Some(generated), Some(written)) = (generated, written) {
            let object = controller(kind, &json!({"spec": spec}));
            let (generated, written) = (judged(&generated, &object), judged(&written, &object));
            prop_assert_eq!(generated.len(), written.len());
            for (generated, written) in generated.iter().zip(&written) {
                prop_assert_eq!(generated.status, written.status);
                prop_assert_eq!(&generated.violations, &written.violations);
            }
        }
    }
}
