//! The declared half of the difference: what we set and somebody changed.
//!
//! The live object is compared with the answer to a forced server-side apply of the render, as a dry run: the
//! apiserver has put its defaults into both, merged lists by their keys and rewritten quantities, so that what
//! still differs is what an apply would change. What somebody *added* comes back unchanged and does not show here;
//! it is the other half's ([`crate::foreign`]). A list that is one value to the apiserver (the rules of a Role, the
//! egress of a NetworkPolicy) is put back as a whole, so that an addition to it shows here and not there.

use provost_manifest::diff::{Comparison, Difference, holds_quantity};
use provost_manifest::path::{FieldPath, Segment};
use serde_json::Value;

/// Fields of `metadata` that the server writes at every change.
const SERVER_FIELDS: [&str; 4] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "creationTimestamp",
];

/// What applying the render would change: the live value on the left, the wanted one on the right.
pub fn differences<'v>(live: &'v Value, applied: &'v Value) -> Vec<Difference<'v>> {
    let mut found = Comparison::with_quantities(holds_quantity).differences(live, applied);
    found.retain(|difference| !is_servers(&difference.path));
    found
}

/// Whether the server or a controller writes here whoever applies.
fn is_servers(path: &FieldPath) -> bool {
    let key = |at: usize| match path.segments().get(at) {
        Some(Segment::Key(key)) => key.as_str(),
        _ => "",
    };
    key(0) == "status" || key(0) == "metadata" && SERVER_FIELDS.contains(&key(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(live: &Value, applied: &Value) -> Vec<String> {
        differences(live, applied)
            .iter()
            .map(|difference| difference.path.to_string())
            .collect()
    }

    #[test]
    fn what_the_server_writes_is_no_difference() {
        let live = json!({
            "metadata": {"name": "a", "resourceVersion": "1", "generation": 1, "managedFields": [], "uid": "u"},
            "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]},
            "status": {"replicas": 1}
        });
        let applied = json!({
            "metadata": {"name": "a", "resourceVersion": "2", "generation": 2, "managedFields": [{}], "uid": "u"},
            "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1000m"}}}]}
        });
        assert!(paths(&live, &applied).is_empty());
    }

    #[test]
    fn what_somebody_changed_shows_with_its_path() {
        let live = json!({"metadata": {"labels": {"a": "x"}}, "spec": {"containers": [{"name": "a", "image": "evil"}, {"name": "added"}]}});
        let applied = json!({"metadata": {"labels": {"a": "y"}}, "spec": {"containers": [{"name": "a", "image": "good"}, {"name": "added"}]}});
        assert_eq!(
            paths(&live, &applied),
            ["metadata.labels.a", "spec.containers[0].image"]
        );
    }

    #[test]
    fn an_addition_to_an_atomic_list_shows() {
        let live = json!({"rules": [{"verbs": ["get"]}, {"verbs": ["*"]}]});
        let applied = json!({"rules": [{"verbs": ["get"]}]});
        assert_eq!(paths(&live, &applied), ["rules[1]"]);
    }
}
