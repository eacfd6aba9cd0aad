//! Maps read field by field and strictly: whatever is not taken was not understood, and is refused by its path.
//!
//! The field of a spec that nobody reads is a promise that nobody keeps; whoever wrote it hears of it here.

use provost_manifest::wildcard::Wildcard;
use serde_json::{Map, Value};

/// A map that is read field by field; what is left over was not understood.
pub struct Fields<'v> {
    path: String,
    left: Map<String, Value>,
    is_absent: bool,
    flaws: &'v mut Vec<String>,
}

// === impl Fields ===

impl<'v> Fields<'v> {
    /// Of a value at a path (`spec.source`); null is as good as nothing.
    pub fn of(path: &str, value: Option<&Value>, flaws: &'v mut Vec<String>) -> Self {
        let left = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) => Some(fields.clone()),
            Some(_) => {
                flaws.push(format!("{path} must be a map"));
                Some(Map::new())
            }
        };
        Self {
            path: path.to_owned(),
            is_absent: left.is_none(),
            left: left.unwrap_or_default(),
            flaws,
        }
    }

    /// Whether there was nothing, not even an empty map.
    pub fn is_absent(&self) -> bool {
        self.is_absent
    }

    /// Where flaws go: for readers of a part that is not a field of its own.
    pub fn flaws(&mut self) -> &mut Vec<String> {
        self.flaws
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whatever the field holds; null is as good as nothing.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        if let Value::String(text) = self.take(name)? {
            return Some(text);
        }
        self.refuse(name, "must be text");
        None
    }

    /// A text that is there and not empty.
    pub fn filled_text(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Whether the flag is set; not, where it is not there.
    pub fn flag(&mut self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or_default()
    }

    /// The flag, where it is there.
    pub fn optional_flag(&mut self, name: &str) -> Option<bool> {
        if let Value::Bool(flag) = self.take(name)? {
            return Some(flag);
        }
        self.refuse(name, "must be true or false");
        None
    }

    /// A whole number.
    pub fn number(&mut self, name: &str) -> Option<i64> {
        let value = self.take(name)?;
        let number = value.as_i64();
        if number.is_none() {
            self.refuse(name, "must be a whole number");
        }
        number
    }

    /// A list; empty where it is not there.
    pub fn list(&mut self, name: &str) -> Vec<Value> {
        self.optional_list(name).unwrap_or_default()
    }

    /// A list, where it is there.
    pub fn optional_list(&mut self, name: &str) -> Option<Vec<Value>> {
        if let Value::Array(items) = self.take(name)? {
            return Some(items);
        }
        self.refuse(name, "must be a list");
        None
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (index, item) in self.list(name).into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                _ => self.refuse(&format!("{name}[{index}]"), "must be text"),
            }
        }
        texts
    }

    /// A list of texts with `*` and `?` in them.
    pub fn wildcards(&mut self, name: &str) -> Vec<Wildcard> {
        let mut wildcards = Vec::new();
        for (index, text) in self.texts(name).into_iter().enumerate() {
            match Wildcard::new(&text) {
                Ok(wildcard) => wildcards.push(wildcard),
                Err(error) => self.refuse(&format!("{name}[{index}]"), &format!("is refused: {error}")),
            }
        }
        wildcards
    }

    /// A map of texts, in the order of its keys.
    pub fn text_map(&mut self, name: &str) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        match self.take(name) {
            None => {}
            Some(Value::Object(map)) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) => entries.push((key, text)),
                        _ => self.refuse(&format!("{name}.{key}"), "must be text"),
                    }
                }
            }
            Some(_) => self.refuse(name, "must be a map"),
        }
        entries
    }

    /// A map below this one, read by `read`; it gets one that is absent where there is none.
    pub fn child<T>(&mut self, name: &str, read: impl FnOnce(Fields<'_>) -> T) -> T {
        let value = self.left.remove(name);
        let path = format!("{}.{name}", self.path);
        read(Fields::of(&path, value.as_ref(), self.flaws))
    }

    /// A list of maps, each read by `read`.
    pub fn children<T>(&mut self, name: &str, mut read: impl FnMut(Fields<'_>) -> T) -> Vec<T> {
        let items = self.list(name);
        let path = format!("{}.{name}", self.path);
        let read_item = |(index, item): (usize, &Value)| {
            read(Fields::of(&format!("{path}[{index}]"), Some(item), self.flaws))
        };
        items.iter().enumerate().map(read_item).collect()
    }

    /// Refuses a field (or the map itself, where `name` is empty) for a reason that reads on from its path.
    pub fn refuse(&mut self, name: &str, reason: &str) {
        let dot = if name.is_empty() { "" } else { "." };
        self.flaws.push(format!("{}{dot}{name} {reason}", self.path));
    }

    /// Refuses fields that are known and not done, where they are there and say something.
    pub fn refuse_unsupported(&mut self, names: &[(&str, &str)]) {
        for (name, reason) in names {
            let is_there = self.take(name).is_some_and(|value| !is_empty(&value));
            if is_there {
                self.refuse(name, reason);
            }
        }
    }

    /// Whatever was not taken is not supported.
    pub fn finish(self) {
        for name in self.left.keys() {
            self.flaws.push(format!("{}.{name} is not supported", self.path));
        }
    }
}

/// Whether the value says nothing: `false`, `""`, `[]`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_taken_is_refused_by_its_path() {
        let mut flaws = Vec::new();
        let value = json!({"name": "a", "odd": 1, "flag": "yes", "list": {}, "texts": ["a", 2], "null": null,
            "inner": {"deep": 1}, "several": [{"x": 1}, 2], "number": "1", "map": {"k": 1}, "none": [], "some": ["x"]});
        let mut fields = Fields::of("spec", Some(&value), &mut flaws);
        assert_eq!(fields.text("name").as_deref(), Some("a"));
        assert!(!fields.flag("flag"));
        assert!(fields.list("list").is_empty());
        assert_eq!(fields.texts("texts"), ["a"]);
        assert_eq!(fields.number("number"), None);
        assert!(fields.text_map("map").is_empty());
        fields.take("null");
        fields.child("inner", |child: Fields<'_>| child.finish());
        fields.child("nowhere", |child| assert!(child.is_absent()));
        fields.children("several", |child: Fields<'_>| child.finish());
        fields.refuse_unsupported(&[("none", "is not done"), ("some", "is not done")]);
        fields.finish();
        assert_eq!(
            flaws,
            [
                "spec.flag must be true or false",
                "spec.list must be a list",
                "spec.texts[1] must be text",
                "spec.number must be a whole number",
                "spec.map.k must be text",
                "spec.inner.deep is not supported",
                "spec.several[0].x is not supported",
                "spec.several[1] must be a map",
                "spec.some is not done",
                "spec.odd is not supported",
            ]
        );
    }
}
