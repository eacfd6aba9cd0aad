#![expect(
    clippy::needless_pass_by_value,
    reason = "json! reads best where the value is wanted"
)]

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::plan::{Action, ForeignFields, compare_ignoring};

fn rules(list: Value) -> Result<IgnoreRules, Vec<String>> {
    let mut flaws = Vec::new();
    let spec = json!({ "ignoreDifferences": list });
    let rules = IgnoreRules::read(
        &mut Fields::of("spec", Some(&spec), &mut flaws),
        "ignoreDifferences",
    );
    if flaws.is_empty() { Ok(rules) } else { Err(flaws) }
}

fn key(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        group: group.into(),
        kind: kind.into(),
        namespace: Some(namespace.into()),
        name: name.into(),
    }
}

#[rstest]
#[case(json!({"group": "apps", "kind": "Deployment"}), true)]
#[case(json!({"group": "*", "kind": "*"}), true)]
#[case(json!({"kind": "Deployment"}), false)]
#[case(json!({"group": "apps", "kind": "StatefulSet"}), false)]
#[case(json!({"group": "apps", "kind": "Deployment", "name": "cart", "namespace": "shop"}), true)]
#[case(json!({"group": "apps", "kind": "Deployment", "name": "other"}), false)]
#[case(json!({"group": "apps", "kind": "Deployment", "namespace": "other"}), false)]
fn a_rule_is_about_the_objects_that_it_names(#[case] mut rule: Value, #[case] is_about: bool) {
    rule["jsonPointers"] = json!(["/spec/replicas"]);
    let rules = rules(json!([rule])).unwrap();
    assert_eq!(
        !rules.of(&key("apps", "Deployment", "shop", "cart")).is_empty(),
        is_about
    );
}

#[test]
fn every_flaw_of_a_rule_is_named() {
    let flaws = rules(json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["spec/replicas", "/", ""], "jqPathExpressions": [".a = 1"]},
        {"group": "apps", "jsonPointers": ["/a"]},
        {"group": "apps", "kind": "Deployment", "odd": 1},
    ]))
    .unwrap_err();
    assert_eq!(
        flaws,
        [
            "spec.ignoreDifferences[0].jsonPointers[0] \"spec/replicas\" is no JSON pointer to a field: /spec/replicas is one",
            "spec.ignoreDifferences[0].jsonPointers[1] \"/\" is no JSON pointer to a field: /spec/replicas is one",
            "spec.ignoreDifferences[0].jsonPointers[2] \"\" is no JSON pointer to a field: /spec/replicas is one",
            "spec.ignoreDifferences[0].jqPathExpressions[0] \".a = 1\" is refused: '=' is not done here, at character 4",
            "spec.ignoreDifferences[0] names no fields: jsonPointers, jqPathExpressions or managedFieldsManagers is wanted",
            "spec.ignoreDifferences[1].kind is missing",
            "spec.ignoreDifferences[2] names no fields: jsonPointers, jqPathExpressions or managedFieldsManagers is wanted",
            "spec.ignoreDifferences[2].odd is not supported",
        ]
    );
}

/// A live Deployment on which an autoscaler and a mesh have been, and people.
fn live() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": "shop", "uid": "u", "resourceVersion": "7", "managedFields": [
            {"manager": "provost", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}},
            {"manager": "mesh", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {
                "f:metadata": {"f:annotations": {".": {}, "f:mesh/injected": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"proxy\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
        ]},
        "spec": {"replicas": 9, "paused": true, "template": {
            "metadata": {"annotations": {"mesh/injected": "true"}},
            "spec": {"containers": [{"name": "proxy", "image": "mesh:1"}, {"name": "web", "image": "web:hand"}]}}},
    })
}

fn rendered() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
    })
}

/// What a forced apply of the render would leave.
fn applied() -> Value {
    let mut applied = live();
    applied["spec"]["replicas"] = json!(2);
    applied["spec"]["template"]["spec"]["containers"][1]["image"] = json!("web:1");
    applied
}

/// The paths of what an apply changes, and of what is removed.
fn compared(list: Value) -> (Vec<String>, Vec<String>) {
    let rules = rules(list).unwrap();
    let ignored = rules.of(&key("apps", "Deployment", "shop", "cart"));
    let entry = compare_ignoring(&rendered(), &live(), &applied(), ForeignFields::Remove, &ignored)
        .unwrap()
        .unwrap();
    match entry.action {
        Action::Unchanged(_) => (Vec::new(), Vec::new()),
        Action::Update(update) => (
            update
                .apply
                .iter()
                .map(|change| change.path.to_string())
                .collect(),
            update.remove.iter().map(|field| field.path.to_string()).collect(),
        ),
        other => panic!("neither: {other:?}"),
    }
}

fn rule(name: &str, fields: Value) -> Value {
    json!([{"group": "apps", "kind": "Deployment", name: fields}])
}

#[rstest]
#[case(json!([]), &["spec.replicas", "spec.template.spec.containers[1].image"],
    &["spec.paused", "spec.template.metadata.annotations[\"mesh/injected\"]", "spec.template.spec.containers[0]"])]
#[case(rule("jsonPointers", json!(["/spec/replicas", "/spec/paused"])), &["spec.template.spec.containers[1].image"],
    &["spec.template.metadata.annotations[\"mesh/injected\"]", "spec.template.spec.containers[0]"])]
#[case(rule("jsonPointers", json!(["/spec/template/metadata/annotations/mesh~1injected"])), &["spec.replicas", "spec.template.spec.containers[1].image"],
    &["spec.paused", "spec.template.spec.containers[0]"])]
#[case(rule("jsonPointers", json!(["/spec/template"])), &["spec.replicas"], &["spec.paused"])]
#[case(rule("jqPathExpressions", json!([".spec.template.spec.containers[] | select(.name == \"proxy\")", ".spec.template.spec.containers[].image"])), &["spec.replicas"],
    &["spec.paused", "spec.template.metadata.annotations[\"mesh/injected\"]"])]
#[case(rule("managedFieldsManagers", json!(["mesh"])), &["spec.replicas", "spec.template.spec.containers[1].image"], &["spec.paused"])]
#[case(json!([
    {"group": "apps", "kind": "Deployment", "managedFieldsManagers": ["mesh", "kubectl-edit"]},
    {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas", "/spec/template/spec/containers/1/image"]},
    {"group": "apps", "kind": "StatefulSet", "jsonPointers": ["/spec"]},
]), &[], &[])]
fn both_halves_leave_out_what_is_ignored(
    #[case] list: Value,
    #[case] apply: &[&str],
    #[case] remove: &[&str],
) {
    assert_eq!(
        compared(list),
        (
            apply.iter().map(ToString::to_string).collect(),
            remove.iter().map(ToString::to_string).collect()
        )
    );
}

#[test]
fn what_is_around_ignored_fields_and_nothing_else_is_no_difference() {
    let rules = rules(rule("jsonPointers", json!(["/spec/a/b", "/spec/list/0"]))).unwrap();
    let ignored = rules.of(&key("apps", "Deployment", "shop", "cart"));
    let differences = |live: Value, applied: Value| {
        let (on_live, on_applied) = (ignored.paths(&live).unwrap(), ignored.paths(&applied).unwrap());
        let found = crate::declared::differences(&live, &applied);
        found
            .iter()
            .filter(|difference| Ignored::is_difference(difference, &on_live, &on_applied))
            .count()
    };
    assert_eq!(
        differences(json!({"spec": {"a": {"b": 1}}}), json!({"spec": {}})),
        0
    );
    assert_eq!(
        differences(json!({"spec": {"a": {"b": 1, "c": 2}}}), json!({"spec": {}})),
        1
    );
    assert_eq!(differences(json!({}), json!({"spec": {"a": {"b": 1}}})), 0);
    assert_eq!(
        differences(json!({"spec": {"list": [1]}}), json!({"spec": {}})),
        0
    );
    assert_eq!(
        differences(json!({"spec": {"list": [1, 2]}}), json!({"spec": {}})),
        1
    );
}

#[test]
fn what_is_removed_takes_no_ignored_field_along() {
    let path = |keys: &[&str]| keys.iter().fold(FieldPath::root(), |path, key| path.key(*key));
    let field = ForeignField {
        path: path(&["spec", "probe", "port"]),
        root: path(&["spec", "probe"]),
        manager: foreign::Manager {
            name: "a".into(),
            operation: "Update".into(),
            subresource: String::new(),
            time: String::new(),
        },
    };
    let ignored = BTreeSet::from([path(&["spec", "probe", "period"])]);
    let left = Ignored::leave_out(vec![field.clone()], &ignored);
    assert_eq!(left[0].root, field.path);
    assert_eq!(Ignored::leave_out(vec![field.clone()], &BTreeSet::new()), [field]);
}

#[test]
fn with_respect_the_live_values_are_what_is_applied() {
    let rules = rules(json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas", "/status", "/spec/minReadySeconds"],
         "jqPathExpressions": [".spec.template.spec.containers[] | select(.name == \"web\") | .image", ".metadata.labels.gone"]},
    ]))
    .unwrap();
    let ignored = rules.of(&key("apps", "Deployment", "shop", "cart"));
    let (mut rendered, mut live) = (rendered(), live());
    rendered["metadata"]["labels"] = json!({"gone": "a", "stays": "b"});
    live["status"] = json!({"replicas": 9});
    live["spec"]["minReadySeconds"] = json!(5);
    let applied = ignored.respect(&rendered, &live).unwrap();
    rendered["spec"]["replicas"] = json!(9);
    rendered["spec"]["minReadySeconds"] = json!(5);
    // Found by its name: on the live object it is the second.
    rendered["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:hand");
    rendered["metadata"]["labels"] = json!({"stays": "b"});
    assert_eq!(applied, rendered);
}

#[test]
fn without_rules_everything_is_as_it_was() {
    let ignored = Ignored::default();
    assert_eq!(ignored.respect(&rendered(), &live()).unwrap(), rendered());
    assert!(ignored.paths(&live()).unwrap().is_empty());
}
