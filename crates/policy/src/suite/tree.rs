//! Values that tests state for dotted names: `request.object.metadata."app.kubernetes.io/name": web`.

use serde_json::{Map, Value};

/// Sets `value` below the dotted `name`; a map is merged into the map that is there.
pub(super) fn set(tree: &mut Map<String, Value>, name: &str, value: &Value) {
    let mut wrapped = value.clone();
    for segment in segments(name).into_iter().rev() {
        wrapped = Value::Object(Map::from_iter([(segment, wrapped)]));
    }
    if let Value::Object(map) = wrapped {
        merge(tree, map);
    }
}

/// Merges `from` into `into`: maps are merged, whatever else is replaced.
pub(super) fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(value)) => merge(there, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// The segments of a name; a segment in double quotes may hold dots, and quotes that are written twice.
fn segments(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut quoted = false;
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                push(&mut segments, '"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => segments.push(String::new()),
            other => push(&mut segments, other),
        }
    }
    segments
}

fn push(segments: &mut [String], character: char) {
    if let Some(last) = segments.last_mut() {
        last.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("a", json!(1), json!({"a": 1}))]
    #[case("a.b.c", json!("x"), json!({"a": {"b": {"c": "x"}}}))]
    #[case(r#""a.b".c"#, json!(true), json!({"a.b": {"c": true}}))]
    #[case(r#"a."b""c""#, json!([]), json!({"a": {"b\"c": []}}))]
    #[case("", json!(1), json!({"": 1}))]
    fn a_dotted_name_is_a_path(#[case] name: &str, #[case] value: Value, #[case] expected: Value) {
        let mut tree = Map::new();
        set(&mut tree, name, &value);
        assert_eq!(Value::Object(tree), expected);
    }

    #[test]
    fn maps_are_merged_and_the_rest_is_replaced() {
        let mut tree = Map::new();
        set(&mut tree, "a.b", &json!(1));
        set(&mut tree, "a", &json!({"c": [1], "d": {"e": 2}}));
        set(&mut tree, "a.c", &json!([3]));
        set(&mut tree, "a.b.x", &json!(4));
        assert_eq!(
            Value::Object(tree),
            json!({"a": {"b": {"x": 4}, "c": [3], "d": {"e": 2}}})
        );
    }
}
