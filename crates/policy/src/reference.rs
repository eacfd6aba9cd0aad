//! References, `$(./../limit)`: a pattern's text that stands elsewhere in the same pattern.

use serde_json::{Map, Value};

use crate::pattern::Anchor;

/// References may lead to texts with references; so often a text is completed.
const MAX_STEPS: usize = 16;

/// The pattern with every reference replaced; an error names the one that leads nowhere.
pub(crate) fn resolve(pattern: &Value) -> Result<Value, String> {
    if !holds_reference(pattern) {
        return Ok(pattern.clone());
    }
    walk(pattern, pattern, &mut Vec::new())
}

fn holds_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("$("),
        Value::Array(items) => items.iter().any(holds_reference),
        Value::Object(map) => map.values().any(holds_reference),
        _ => false,
    }
}

fn walk(value: &Value, document: &Value, path: &mut Vec<String>) -> Result<Value, String> {
    match value {
        Value::String(text) => complete(text, document, path).map(Value::String),
        Value::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                list.push(walk(item, document, path)?);
                path.pop();
            }
            Ok(Value::Array(list))
        }
        Value::Object(map) => {
            let mut entries = Map::new();
            for (text, value) in map {
                path.push(Anchor::split(text).1.to_owned());
                entries.insert(text.clone(), walk(value, document, path)?);
                path.pop();
            }
            Ok(Value::Object(entries))
        }
        scalar => Ok(scalar.clone()),
    }
}

fn complete(text: &str, document: &Value, path: &[String]) -> Result<String, String> {
    let mut text = text.to_owned();
    for _ in 0..MAX_STEPS {
        let Some((start, end)) = next_reference(&text) else {
            return Ok(text.replace("\\$(", "$("));
        };
        let inner = text[start + 2..end - 1].trim();
        let (operator, target) = split_operator(inner);
        let found = find(document, &absolute(target, path));
        let replacement = match found {
            Some(Value::String(found)) => format!("{operator}{found}"),
            Some(Value::Number(number)) if !operator.is_empty() => match number.as_i64() {
                Some(int) => format!("{operator}{int}"),
                None => format!("{operator}{:.6}", number.as_f64().unwrap_or_default()),
            },
            _ => {
                return Err(format!(
                    "the reference $({inner}) leads to no text in the pattern"
                ));
            }
        };
        text.replace_range(start..end, &replacement);
    }
    Err("references go round in a circle".to_owned())
}

/// The next `$(…)` that is not escaped, its end included.
fn next_reference(text: &str) -> Option<(usize, usize)> {
    text.match_indices("$(").find_map(|(start, _)| {
        let escaped = text[..start].ends_with('\\');
        let end = start + text[start..].find(')')? + 1;
        (!escaped).then_some((start, end))
    })
}

fn split_operator(inner: &str) -> (&str, &str) {
    [">=", "<=", ">", "<", "!"]
        .iter()
        .find_map(|operator| Some((*operator, inner.strip_prefix(operator)?.trim())))
        .unwrap_or(("", inner))
}

/// A relative path is joined to that of the field which holds the reference.
fn absolute(target: &str, path: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = if target.starts_with('/') {
        Vec::new()
    } else {
        path.to_vec()
    };
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                joined.pop();
            }
            name => joined.push(name.to_owned()),
        }
    }
    joined
}

fn find<'d>(document: &'d Value, path: &[String]) -> Option<&'d Value> {
    path.iter().try_fold(document, |value, segment| match value {
        Value::Object(map) => map
            .iter()
            .find(|(text, _)| Anchor::split(text).1 == segment)
            .map(|(_, value)| value),
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({"a": "$(./../b)", "b": "10"}), json!({"a": "10", "b": "10"}))]
    #[case(json!({"a": "<=$(./../lim)", "lim": "10"}), json!({"a": "<=10", "lim": "10"}))]
    #[case(json!({"a": "$(<=./../lim)", "lim": 10}), json!({"a": "<=10", "lim": 10}))]
    #[case(json!({"=(a)": {"b": "$(/c/0)"}, "(c)": ["x"]}), json!({"=(a)": {"b": "x"}, "(c)": ["x"]}))]
    #[case(json!({"a": "\\$(b)"}), json!({"a": "$(b)"}))]
    fn a_reference_stands_for_a_text_of_the_same_pattern(#[case] pattern: Value, #[case] resolved: Value) {
        assert_eq!(resolve(&pattern), Ok(resolved));
    }

    #[rstest]
    #[case(json!({"a": "$(./../lim)", "lim": 10}))]
    #[case(json!({"a": "$(./../nowhere)"}))]
    #[case(json!({"a": "$(./../b)", "b": "$(./../a)"}))]
    fn a_reference_that_leads_nowhere_is_refused(#[case] pattern: Value) {
        assert!(resolve(&pattern).is_err());
    }
}
