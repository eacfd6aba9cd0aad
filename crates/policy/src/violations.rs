//! What every collected violation gets: the element it is in, its rank, and the mask of secrets.

use provost_expression::Budget;
use provost_manifest::object::GroupVersionKind;
use provost_manifest::path::{FieldPath, Segment};
use serde_json::Value;

use crate::result::{Found, Violation};

/// Completes the violations of one rule: names the list elements, hides secret values, puts the most important first.
pub(crate) fn finish(violations: &mut [Violation], object: &Value, kind: &GroupVersionKind) {
    let secret = is_secret_kind(kind);
    for violation in violations.iter_mut() {
        violation.within = within(&violation.path, object);
        let hidden = match violation.found {
            Found::Value(_) => is_secret(&violation.path),
            Found::Computed { .. } => true,
            Found::Missing | Found::Hidden => false,
        };
        if secret && hidden {
            violation.found = Found::Hidden;
        }
    }
    violations.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.path.cmp(&b.path)));
}

/// What is missing higher up comes first: mending it mends what is below.
fn rank(violation: &Violation) -> (usize, bool) {
    (violation.path.segments().len(), violation.found != Found::Missing)
}

/// Whether objects of a kind hold secrets.
pub(crate) fn is_secret_kind(kind: &GroupVersionKind) -> bool {
    kind.kind == "Secret" && kind.group.is_empty()
}

/// Of a Secret only its names, labels and type may be shown; annotations can hold a copy of it.
fn is_secret(path: &FieldPath) -> bool {
    let keys: Vec<&str> = path
        .segments()
        .iter()
        .map_while(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        })
        .collect();
    !matches!(
        keys.as_slice(),
        ["apiVersion" | "kind" | "type" | "immutable"] | ["metadata", "name" | "namespace" | "labels", ..]
    )
}

/// The nearest element of a list around the path that has a name: `container "web"`.
fn within(path: &FieldPath, object: &Value) -> Option<String> {
    let segments = path.segments();
    (1..segments.len()).rev().find_map(|position| {
        let (Segment::Key(list), Segment::Index(_)) = (&segments[position - 1], &segments[position]) else {
            return None;
        };
        let element: FieldPath = segments[..=position].iter().cloned().collect();
        let name = element.get(object)?.get("name")?.as_str()?;
        Some(format!("{} {name:?}", singular(list)))
    })
}

fn singular(list: &str) -> &str {
    match list {
        "initContainers" => "init container",
        "ephemeralContainers" => "ephemeral container",
        "env" => "variable",
        _ => list.strip_suffix('s').unwrap_or(list),
    }
}

/// Where a value lies inside of an object: the very value, not one like it. The search spends steps of the budget.
pub(crate) fn place_of(value: &Value, object: &Value, budget: &mut Budget) -> Option<FieldPath> {
    let mut path = FieldPath::root();
    find(value, object, &mut path, budget).then_some(path)
}

fn find(value: &Value, here: &Value, path: &mut FieldPath, budget: &mut Budget) -> bool {
    if std::ptr::eq(value, here) {
        return true;
    }
    if budget.step().is_err() {
        return false;
    }
    match here {
        Value::Object(map) => map.iter().any(|(key, below)| {
            path.push_key(key);
            find(value, below, path, budget) || path.pop().is_none()
        }),
        Value::Array(items) => items.iter().enumerate().any(|(index, below)| {
            path.push_index(index);
            find(value, below, path, budget) || path.pop().is_none()
        }),
        _ => false,
    }
}
