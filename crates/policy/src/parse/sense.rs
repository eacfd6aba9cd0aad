//! What is refused though every field is known: rules that cannot mean what they say.

use serde_json::Value;

use crate::action::Override;
use crate::fault::Fault;
use crate::matching::Match;
use crate::pattern::Anchor;
use crate::source::Cursor;

/// Checks `match` and `exclude` of a rule against each other and against how the policy is evaluated.
pub(super) fn filters(
    rule: &Cursor<'_>,
    matches: &Match,
    exclude: Option<&Match>,
    background: bool,
) -> Result<(), Fault> {
    for (block, filters) in [("match", Some(matches)), ("exclude", exclude)] {
        let (Some(block), Some(filters)) = (rule.get(block), filters) else {
            continue;
        };
        no_variables(&block)?;
        if background
            && filters
                .filters()
                .iter()
                .any(crate::matching::Filter::describes_users)
        {
            return Err(block.key_fault(
                "users and roles are not known when existing objects are judged; set background: false",
            ));
        }
    }
    match rule.get("exclude") {
        Some(block) if exclude == Some(matches) => {
            Err(block.key_fault("match and exclude are the same: the rule concerns nothing"))
        }
        _ => Ok(()),
    }
}

fn no_variables(cursor: &Cursor<'_>) -> Result<(), Fault> {
    let refuse = |cursor: &Cursor<'_>, text: &str| {
        if text.contains("{{") {
            return Err(cursor.fault("match and exclude take no variables"));
        }
        Ok(())
    };
    match cursor.value() {
        Value::String(text) => refuse(cursor, text),
        Value::Object(_) => cursor.children()?.iter().try_for_each(|(key, child)| {
            refuse(child, key)?;
            no_variables(child)
        }),
        Value::Array(_) => cursor.list()?.iter().try_for_each(no_variables),
        _ => Ok(()),
    }
}

/// A rule on kind `*` may say something of metadata alone, and judges no existing objects.
pub(super) fn any_kind(rule: &Cursor<'_>, background: bool) -> Result<(), Fault> {
    let Some(block) = rule.get("match") else {
        return Ok(());
    };
    let Some(kinds) = any_kind_list(&block)? else {
        return Ok(());
    };
    if kinds.list()?.len() > 1 {
        return Err(kinds.key_fault("\"*\" stands alone: it is every kind"));
    }
    if background {
        return Err(kinds.key_fault("a rule on kind \"*\" judges no existing objects; set background: false"));
    }
    let Some(validate) = rule.get("validate") else {
        return Ok(());
    };
    if let Some(foreach) = validate.get("foreach") {
        return Err(foreach.key_fault("a rule on kind \"*\" has no foreach"));
    }
    let any_pattern = validate
        .get("anyPattern")
        .map_or(Ok(Vec::new()), |list| list.list())?;
    for pattern in validate.get("pattern").into_iter().chain(any_pattern) {
        for (key, child) in pattern.children()? {
            if Anchor::split(key).1 != "metadata" {
                return Err(child.key_fault("a pattern for kind \"*\" speaks of metadata alone"));
            }
        }
    }
    Ok(())
}

/// The list of kinds that holds `*`.
fn any_kind_list<'d>(block: &Cursor<'d>) -> Result<Option<Cursor<'d>>, Fault> {
    let mut filters = vec![block.clone()];
    for key in ["any", "all"] {
        if let Some(list) = block.get(key) {
            filters.extend(list.list()?);
        }
    }
    let kinds = filters
        .iter()
        .filter_map(|filter| filter.get("resources")?.get("kinds"));
    for kinds in kinds {
        if kinds.texts()?.contains(&"*") {
            return Ok(Some(kinds));
        }
    }
    Ok(None)
}

/// Labels and annotations are texts: a pattern that wants something else there can never be met.
pub(super) fn labels_are_texts(pattern: &Cursor<'_>) -> Result<(), Fault> {
    let template = pattern.get("spec").and_then(|spec| spec.get("template"));
    for owner in std::iter::once(pattern).chain(template.as_ref()) {
        let Some(metadata) = owner.get("metadata") else {
            continue;
        };
        for key in ["labels", "annotations"] {
            let Some(map) = metadata.get(key).filter(|map| map.value().is_object()) else {
                continue;
            };
            for (name, value) in map.children()? {
                if !value.value().is_string() {
                    return Err(value.fault(format!("{name}: values of {key} are text; quote it")));
                }
            }
        }
    }
    Ok(())
}

/// A condition on the operation compares it with operations.
pub(super) fn operations(key: &Cursor<'_>, value: &Cursor<'_>) -> Result<(), Fault> {
    let is_operation = |text: &str| matches!(text, "CREATE" | "UPDATE" | "DELETE" | "CONNECT");
    let asks = key.value().as_str().map(|text| text.replace(' ', ""));
    if asks.as_deref() != Some("{{request.operation}}") {
        return Ok(());
    }
    let good = match value.value() {
        Value::String(text) => is_operation(text) || text.starts_with("{{"),
        Value::Array(items) => items.iter().all(|item| item.as_str().is_some_and(is_operation)),
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err(value.fault("an operation is CREATE, UPDATE, DELETE or CONNECT"))
    }
}

/// Overrides that enforce and audit the same namespace.
pub(super) fn overrides(list: &Cursor<'_>, overrides: &[Override]) -> Result<(), Fault> {
    for (position, over) in overrides.iter().enumerate() {
        for other in overrides[..position]
            .iter()
            .filter(|other| other.action != over.action)
        {
            let collides = over.namespaces.iter().find(|name| {
                let like = |other: &provost_manifest::wildcard::Wildcard| {
                    other.matches(name.as_str()) || name.matches(other.as_str())
                };
                other.namespaces.iter().any(like)
            });
            if let Some(name) = collides
                && over.selector.is_none()
                && other.selector.is_none()
            {
                return Err(list.key_fault(format!("namespace {name} is enforced and audited at once")));
            }
        }
    }
    Ok(())
}
