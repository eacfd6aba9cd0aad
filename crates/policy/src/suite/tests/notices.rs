//! What a suite probably does not mean, and is told.

use insta::assert_snapshot;
use serde_json::json;

use super::{OBJECTS, file, judged, policy};
use crate::suite::{Role, Row};

/// What a suite would have changed before it is judged is judged unchanged, and that is said.
#[test]
fn a_rule_that_mutates_before_is_told() {
    let of_pods = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
    let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
    "spec": {"background": false, "rules": [
        {"name": "v", "match": of_pods, "validate": {"pattern": {"metadata": {"labels": {"a": "b"}}}}},
        {"name": "m", "match": of_pods, "mutate": {"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}}},
    ]}});
    let verdict = judged(
        "results:\n- {policy: p, rule: v, kind: Pod, resources: [web], result: fail}\n- {policy: p, rule: m, kind: Pod, resources: [web], result: pass}\n",
        &[
            file(Role::Policies, &policy.to_string()),
            file(Role::Resources, OBJECTS),
        ],
    );
    let notices: Vec<String> = verdict.notices.iter().map(ToString::to_string).collect();
    let told = notices.iter().filter(|notice| notice.contains("mutates")).count();
    assert_eq!(told, 1, "{notices:?}");
    let ok: Vec<Option<bool>> = verdict.rows.iter().map(Row::ok).collect();
    assert_eq!(ok, [Some(true), Some(true), None, None]);
}

#[test]
fn names_that_nothing_bears_are_told() {
    let policy = policy(&["Pod"], json!({"validate": {"deny": {}}}));
    let verdict = judged(
        "results:\n- {policy: p, rule: misspelt, kind: Pod, resources: [web, nobody], result: pass}\n- {policy: q, rule: r, result: pass}\n",
        &[file(Role::Policies, &policy), file(Role::Resources, OBJECTS)],
    );
    let notices: Vec<String> = verdict.notices.iter().map(ToString::to_string).collect();
    assert_snapshot!(notices.join("\n"), @r"
    kyverno-test.yaml:5:3: no object of the suite is named nobody
    kyverno-test.yaml:5:3: policy p has no rule misspelt
    ");
    let misspelt = verdict.rows.iter().filter(|row| row.rule == "misspelt");
    assert!(misspelt.clone().count() == 2 && misspelt.clone().all(Row::unverified));
    let without_policy: Vec<&Row> = verdict.rows.iter().filter(|row| row.policy == "q").collect();
    assert!(without_policy.iter().all(|row| row.ok() == Some(false)));
    assert_eq!(
        without_policy[0].actual.reason(),
        Some("the suite holds no policy q")
    );
}
