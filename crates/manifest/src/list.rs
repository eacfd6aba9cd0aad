//! Lists of objects taken apart, as kubectl does before it applies them.

use serde_json::Value;

use crate::path::FieldPath;

/// An object and where it stood in its document.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The root, or `items[2]`, or deeper for a list of lists; to be put before a path in the object to find its
    /// place in the file.
    pub path: FieldPath,
    /// The object.
    pub object: Value,
}

/// The objects of a document: itself, or the items of a `List` (or `ConfigMapList` …), lists of lists too.
/// A list without items holds nothing.
pub fn flatten(document: Value) -> Vec<Item> {
    let mut items = Vec::new();
    collect(document, &FieldPath::root(), &mut items);
    items
}

fn collect(mut value: Value, path: &FieldPath, found: &mut Vec<Item>) {
    let Some(item_type) = ItemType::of(&value) else {
        found.push(Item {
            path: path.clone(),
            object: value,
        });
        return;
    };
    let items = path.key("items");
    let Some(Value::Array(list)) = value.get_mut("items").map(Value::take) else {
        return;
    };
    for (index, mut object) in list.into_iter().enumerate() {
        item_type.complete(&mut object);
        collect(object, &items.index(index), found);
    }
}

/// What the items of a list are, where they don't say it themselves.
enum ItemType {
    /// `v1 List`: each item has its own.
    Any,
    /// `ConfigMapList`, whose items may come without, as the API answers.
    Of { api_version: Value, kind: String },
}

// === impl ItemType ===

impl ItemType {
    /// `None` where the value is no list: its kind does not end in `List`, or it has no `items` that are one.
    fn of(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let kind = object.get("kind")?.as_str()?.strip_suffix("List")?;
        let has_items = matches!(object.get("items"), Some(Value::Array(_) | Value::Null));
        if kind.is_empty() {
            return (has_items || !object.contains_key("items")).then_some(Self::Any);
        }
        // An object of somebody's own kind may be called AllowList; it has no items at the top.
        has_items.then(|| Self::Of {
            api_version: object.get("apiVersion").cloned().unwrap_or_default(),
            kind: kind.to_owned(),
        })
    }

    fn complete(&self, item: &mut Value) {
        if let (Self::Of { api_version, kind }, Some(object)) = (self, item.as_object_mut()) {
            object.entry("apiVersion").or_insert_with(|| api_version.clone());
            object.entry("kind").or_insert_with(|| Value::from(kind.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({"kind": "Pod"}), json!([["the object", {"kind": "Pod"}]]))]
    #[case(json!({"kind": "List", "items": null}), json!([]))]
    #[case(json!({"kind": "List"}), json!([]))]
    #[case(json!({"kind": "List", "items": [{"kind": "A"}, {"kind": "List", "items": [{"kind": "B"}]}]}),
        json!([["items[0]", {"kind": "A"}], ["items[1].items[0]", {"kind": "B"}]]))]
    #[case(json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"a": 1}]}),
        json!([["items[0]", {"a": 1, "apiVersion": "v1", "kind": "ConfigMap"}]]))]
    #[case(json!({"kind": "AllowList", "spec": {}}), json!([["the object", {"kind": "AllowList", "spec": {}}]]))]
    #[case(json!({"kind": "AllowList", "items": "all"}), json!([["the object", {"kind": "AllowList", "items": "all"}]]))]
    #[case(json!("text"), json!([["the object", "text"]]))]
    fn takes_lists_apart(#[case] document: Value, #[case] expected: Value) {
        let found: Value = flatten(document)
            .into_iter()
            .map(|item| json!([item.path.to_string(), item.object]))
            .collect();
        assert_eq!(found, expected);
    }
}
