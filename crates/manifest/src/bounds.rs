//! How large a value is, counted with an end.

use serde_json::Value;

/// Whether the value has more than `most` maps, lists and scalars; stops counting there.
pub fn exceeds(value: &Value, most: usize) -> bool {
    count(value, most.saturating_add(1)) > most
}

/// The number of maps, lists and scalars.
pub fn nodes(value: &Value) -> usize {
    count(value, usize::MAX)
}

/// Counts up to `limit`.
fn count(value: &Value, limit: usize) -> usize {
    let mut counted = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        counted += 1;
        if counted >= limit {
            break;
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_maps_lists_and_scalars() {
        let value = json!({"a": [1, 2, {"b": null}], "c": "d"});
        assert_eq!(nodes(&value), 7);
        assert!(!exceeds(&value, 7));
        assert!(exceeds(&value, 6));
        assert!(exceeds(&value, 0));
    }
}
