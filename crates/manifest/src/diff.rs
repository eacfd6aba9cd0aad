//! What differs between two values, field by field.
//!
//! Lists whose elements all have a name of their own (containers, env, ports by name) are compared element by
//! element; other lists by position. Quantities are compared by amount where the caller says that a path holds one.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::path::FieldPath;
use crate::quantity::Quantity;

/// One field in which two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference<'v> {
    /// Where; in a list the index on the left, or on the right for what is only there.
    pub path: FieldPath,
    /// The value on the left; `None` where it is missing.
    pub left: Option<&'v Value>,
    /// The value on the right; `None` where it is missing.
    pub right: Option<&'v Value>,
}

/// How two values are compared.
#[derive(Clone, Copy)]
pub struct Comparison<F> {
    is_quantity: F,
}

/// Everything in which the two differ, in the order of the left one; quantities are compared as the text they are.
pub fn differences<'v>(left: &'v Value, right: &'v Value) -> Vec<Difference<'v>> {
    Comparison::with_quantities(|_| false).differences(left, right)
}

/// Whether a path of a built-in kind holds a quantity: requests and limits, capacities, quotas and size limits.
pub fn holds_quantity(path: &FieldPath) -> bool {
    const MAPS: [&str; 10] = [
        "requests",
        "limits",
        "capacity",
        "allocatable",
        "hard",
        "used",
        "default",
        "defaultRequest",
        "max",
        "min",
    ];
    const FIELDS: [&str; 4] = ["sizeLimit", "averageValue", "divisor", "podFixed"];
    let mut keys = path.segments().iter().rev().map(|segment| match segment {
        crate::path::Segment::Key(key) => key.as_str(),
        crate::path::Segment::Index(_) => "",
    });
    let (last, parent) = (keys.next().unwrap_or_default(), keys.next().unwrap_or_default());
    FIELDS.contains(&last) || MAPS.contains(&parent)
}

// === impl Comparison ===

impl<F: Fn(&FieldPath) -> bool> Comparison<F> {
    /// Compares by amount where `is_quantity` says that a path holds one; see [`holds_quantity`].
    pub fn with_quantities(is_quantity: F) -> Self {
        Self { is_quantity }
    }

    /// Everything in which the two differ.
    pub fn differences<'v>(&self, left: &'v Value, right: &'v Value) -> Vec<Difference<'v>> {
        let mut found = Vec::new();
        self.compare(&mut FieldPath::root(), left, right, &mut found);
        found
    }

    fn compare<'v>(
        &self,
        path: &mut FieldPath,
        left: &'v Value,
        right: &'v Value,
        found: &mut Vec<Difference<'v>>,
    ) {
        match (left, right) {
            (Value::Object(left), Value::Object(right)) => self.compare_maps(path, left, right, found),
            (Value::Array(left_items), Value::Array(right_items)) => {
                match Aligned::of(left_items, right_items) {
                    Some(aligned) if aligned.in_order => {
                        self.compare_pairs(path, aligned.pairs, found);
                    }
                    Some(_) => found.push(difference(path, Some(left), Some(right))),
                    None => self.compare_pairs(path, by_position(left_items, right_items), found),
                }
            }
            _ if left == right => {}
            _ if (self.is_quantity)(path) && same_amount(left, right) => {}
            _ => found.push(difference(path, Some(left), Some(right))),
        }
    }

    fn compare_maps<'v>(
        &self,
        path: &mut FieldPath,
        left: &'v Map<String, Value>,
        right: &'v Map<String, Value>,
        found: &mut Vec<Difference<'v>>,
    ) {
        let only_right = right.iter().filter(|(key, _)| !left.contains_key(*key));
        let pairs = left
            .iter()
            .map(|(key, value)| (key, Some(value), right.get(key)))
            .chain(only_right.map(|(key, value)| (key, None, Some(value))));
        for (key, left, right) in pairs {
            path.push_key(key.as_str());
            self.compare_pair(path, left, right, found);
            path.pop();
        }
    }

    fn compare_pairs<'v>(&self, path: &mut FieldPath, pairs: Vec<Pair<'v>>, found: &mut Vec<Difference<'v>>) {
        for (index, left, right) in pairs {
            path.push_index(index);
            self.compare_pair(path, left, right, found);
            path.pop();
        }
    }

    fn compare_pair<'v>(
        &self,
        path: &mut FieldPath,
        left: Option<&'v Value>,
        right: Option<&'v Value>,
        found: &mut Vec<Difference<'v>>,
    ) {
        match (left, right) {
            (Some(left), Some(right)) => self.compare(path, left, right, found),
            _ => found.push(difference(path, left, right)),
        }
    }
}

/// Two elements of two lists that belong together, and the index to show.
type Pair<'v> = (usize, Option<&'v Value>, Option<&'v Value>);

fn by_position<'v>(left: &'v [Value], right: &'v [Value]) -> Vec<Pair<'v>> {
    (0..left.len().max(right.len()))
        .map(|index| (index, left.get(index), right.get(index)))
        .collect()
}

/// Two lists matched by the names of their elements.
struct Aligned<'v> {
    pairs: Vec<Pair<'v>>,
    /// Whether those in both stand in the same order: it counts for env and for init containers.
    in_order: bool,
}

// === impl Aligned ===

impl<'v> Aligned<'v> {
    /// `None` where an element of either has no name, or shares it.
    fn of(left: &'v [Value], right: &'v [Value]) -> Option<Self> {
        let right_at = names(right)?;
        let left_at = names(left)?;
        let name = |value: &'v Value| value["name"].as_str().unwrap_or_default();
        let mut pairs: Vec<Pair<'v>> = Vec::with_capacity(left.len());
        let mut last = None;
        let mut in_order = true;
        for (index, value) in left.iter().enumerate() {
            let partner = right_at.get(name(value)).copied();
            if partner.is_some() {
                in_order &= partner > last;
                last = partner;
            }
            pairs.push((index, Some(value), partner.map(|at| &right[at])));
        }
        let only_right = right
            .iter()
            .enumerate()
            .filter(|(_, value)| !left_at.contains_key(name(value)));
        pairs.extend(only_right.map(|(index, value)| (index, None, Some(value))));
        Some(Self { pairs, in_order })
    }
}

fn names(items: &[Value]) -> Option<HashMap<&str, usize>> {
    let mut names = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if names.insert(item.get("name")?.as_str()?, index).is_some() {
            return None;
        }
    }
    Some(names)
}

fn same_amount(left: &Value, right: &Value) -> bool {
    Quantity::of(left).is_some_and(|left| Some(left) == Quantity::of(right))
}

fn difference<'v>(path: &FieldPath, left: Option<&'v Value>, right: Option<&'v Value>) -> Difference<'v> {
    Difference {
        path: path.clone(),
        left,
        right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    fn shown(found: &[Difference<'_>]) -> Vec<String> {
        let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), Value::to_string);
        found
            .iter()
            .map(|found| format!("{} {} {}", found.path, text(found.left), text(found.right)))
            .collect()
    }

    #[rstest]
    #[case(json!({"a": 1, "b": {"c": 2}}), json!({"b": {"c": 2}, "a": 1}), &[])]
    #[case(json!({"a": 1}), json!({"a": 2, "b": 3}), &["a 1 2", "b - 3"])]
    #[case(json!({"a": {"b": 1}}), json!({"a": null}), &[r#"a {"b":1} null"#])]
    #[case(json!({"a": [1, 2]}), json!({"a": [1, 3, 4]}), &["a[1] 2 3", "a[2] - 4"])]
    // Matched by name: the one in front does not make the other differ.
    #[case(json!([{"name": "b", "v": 1}]), json!([{"name": "a"}, {"name": "b", "v": 2}]), &["[0].v 1 2", r#"[0] - {"name":"a"}"#])]
    // The order of named elements counts.
    #[case(json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "b"}, {"name": "a"}]),
        &[r#"the object [{"name":"a"},{"name":"b"}] [{"name":"b"},{"name":"a"}]"#])]
    // One name twice: by position.
    #[case(json!([{"name": "a", "v": 1}, {"name": "a", "v": 2}]), json!([{"name": "a", "v": 1}, {"name": "a", "v": 3}]), &["[1].v 2 3"])]
    #[case(json!({"limits": {"cpu": "1000m"}}), json!({"limits": {"cpu": 1}}), &[])]
    #[case(json!({"labels": {"cpu": "1000m"}}), json!({"labels": {"cpu": "1"}}), &[r#"labels.cpu "1000m" "1""#])]
    fn finds_what_differs(#[case] left: Value, #[case] right: Value, #[case] expected: &[&str]) {
        let comparison = Comparison::with_quantities(holds_quantity);
        assert_eq!(shown(&comparison.differences(&left, &right)), expected);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (0..3_i64).prop_map(Value::from),
            "[ab]".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("a|b|name", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_exactly_when_the_two_are_equal(left in any_value(), right in any_value()) {
            prop_assert_eq!(differences(&left, &right).is_empty(), left == right);
            prop_assert!(differences(&left, &left).is_empty());
        }

        #[test]
        fn it_is_symmetric_in_what_it_finds(left in any_value(), right in any_value()) {
            prop_assert_eq!(differences(&left, &right).len(), differences(&right, &left).len());
        }
    }
}
