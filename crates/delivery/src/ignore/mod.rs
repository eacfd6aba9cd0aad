//! `ignoreDifferences`: fields whose difference from Git is nobody's business.
//!
//! A rule names kinds (and perhaps a name and a namespace) and fields of theirs, by JSON pointers, by jq paths
//! ([`jq`]), or by the field managers that set them. Both halves of the diff leave such fields out:
//! [`Ignored::is_difference`] for what an apply would change, [`Ignored::leave_out`] for what did not come from Git. With
//! `RespectIgnoreDifferences` the live values go into what is applied: [`Ignored::respect`].

pub mod jq;

use std::collections::BTreeSet;

use provost_manifest::diff::Difference;
use provost_manifest::object::ObjectKey;
use provost_manifest::path::{FieldPath, Segment};
use provost_manifest::wildcard::Wildcard;
use serde_json::Value;

use crate::fields::Fields;
use crate::foreign::{self, ForeignField};

/// Most rules that an Application may have.
pub const MAX_RULES: usize = 200;

/// The rules of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreRules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    group: Wildcard,
    kind: Wildcard,
    name: String,
    namespace: String,
    pointers: Vec<Pointer>,
    expressions: Vec<jq::Expression>,
    managers: Vec<String>,
}

/// A JSON pointer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pointer(Vec<String>);

/// What is ignored of one object.
#[derive(Clone, Debug, Default)]
pub struct Ignored<'r> {
    rules: Vec<&'r Rule>,
}

/// A rule that could not be worked out for an object, so that what it names is not ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ignoreDifferences of {object}: {expression}: {reason}")]
pub struct IgnoreError {
    /// The object.
    pub object: String,
    /// The expression.
    pub expression: String,
    /// Why.
    pub reason: jq::OutOfSteps,
}

// === impl IgnoreRules ===

impl IgnoreRules {
    /// Reads the list `name` (`spec.ignoreDifferences`); flaws go to the fields.
    pub fn read(fields: &mut Fields<'_>, name: &str) -> Self {
        let rules: Vec<_> = fields.children(name, Rule::read).into_iter().flatten().collect();
        if rules.len() > MAX_RULES {
            fields.refuse(name, &format!("has more than {MAX_RULES} rules"));
        }
        Self { rules }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Those about an object.
    pub fn of(&self, key: &ObjectKey) -> Ignored<'_> {
        Ignored {
            rules: self.rules.iter().filter(|rule| rule.is_about(key)).collect(),
        }
    }
}

// === impl Rule ===

impl Rule {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let mut wildcard = |name: &str| {
            let text = fields.text(name).unwrap_or_default();
            Wildcard::new(&text)
                .inspect_err(|error| fields.refuse(name, &format!("is refused: {error}")))
                .ok()
        };
        let (group, kind) = (wildcard("group"), wildcard("kind"));
        if kind.as_ref().is_some_and(|kind| kind.as_str().is_empty()) {
            fields.refuse("kind", "is missing");
        }
        let name = fields.text("name").unwrap_or_default();
        let namespace = fields.text("namespace").unwrap_or_default();
        let mut pointers = Vec::new();
        for (index, text) in fields.texts("jsonPointers").iter().enumerate() {
            match Pointer::parse(text) {
                Some(pointer) => pointers.push(pointer),
                None => fields.refuse(
                    &format!("jsonPointers[{index}]"),
                    &format!("{text:?} is no JSON pointer to a field: /spec/replicas is one"),
                ),
            }
        }
        let mut expressions = Vec::new();
        for (index, text) in fields.texts("jqPathExpressions").iter().enumerate() {
            match jq::Expression::parse(text) {
                Ok(expression) => expressions.push(expression),
                Err(error) => fields.refuse(
                    &format!("jqPathExpressions[{index}]"),
                    &format!("{text:?} is refused: {error}"),
                ),
            }
        }
        let managers = fields.texts("managedFieldsManagers");
        if pointers.is_empty() && expressions.is_empty() && managers.is_empty() {
            fields.refuse(
                "",
                "names no fields: jsonPointers, jqPathExpressions or managedFieldsManagers is wanted",
            );
        }
        fields.finish();
        Some(Self {
            group: group?,
            kind: kind?,
            name,
            namespace,
            pointers,
            expressions,
            managers,
        })
    }

    fn is_about(&self, key: &ObjectKey) -> bool {
        let is_of = |wanted: &str, text: &str| wanted.is_empty() || wanted == text;
        self.group.matches(&key.group)
            && self.kind.matches(&key.kind)
            && is_of(&self.name, &key.name)
            && is_of(&self.namespace, key.namespace.as_deref().unwrap_or_default())
    }
}

// === impl Pointer ===

impl Pointer {
    /// `None` for the whole object too: who wants that has another Application in mind.
    fn parse(text: &str) -> Option<Self> {
        let steps = text.strip_prefix('/')?.split('/');
        let steps: Vec<_> = steps
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
        (!steps.iter().all(String::is_empty)).then_some(Self(steps))
    }

    /// The field that it points at, where it is there.
    fn resolve(&self, object: &Value) -> Option<FieldPath> {
        let mut at = object;
        let mut path = FieldPath::root();
        for step in &self.0 {
            at = match at {
                Value::Object(map) => {
                    path.push_key(step.as_str());
                    map.get(step)?
                }
                Value::Array(items) => {
                    let index = step.parse().ok()?;
                    path.push_index(index);
                    items.get(index)?
                }
                _ => return None,
            };
        }
        Some(path)
    }
}

// === impl Ignored ===

impl Ignored<'_> {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The fields of one version of the object that are ignored and there; managers are read from it as well.
    pub fn paths(&self, object: &Value) -> Result<BTreeSet<FieldPath>, IgnoreError> {
        let mut paths = BTreeSet::new();
        for rule in &self.rules {
            paths.extend(rule.pointers.iter().filter_map(|pointer| pointer.resolve(object)));
            for expression in &rule.expressions {
                let found = expression.paths(object).map_err(|reason| IgnoreError {
                    object: ObjectKey::of(object).map_or_else(String::new, |key| key.to_string()),
                    expression: expression.text().to_owned(),
                    reason,
                })?;
                paths.extend(found);
            }
            if !rule.managers.is_empty() {
                paths.extend(foreign::owned_by(object, &rule.managers));
            }
        }
        Ok(paths)
    }

    /// Whether a difference that is shown between `live` and `applied` is one at all: not at or below an ignored
    /// field of either, nor around ignored fields and nothing else.
    pub fn is_difference(
        difference: &Difference<'_>,
        live: &BTreeSet<FieldPath>,
        applied: &BTreeSet<FieldPath>,
    ) -> bool {
        let path = &difference.path;
        if live
            .iter()
            .chain(applied)
            .any(|ignored| path.starts_with(ignored))
        {
            return false;
        }
        let below = |paths: &BTreeSet<FieldPath>| paths.iter().any(|ignored| ignored.starts_with(path));
        if !below(live) && !below(applied) {
            return true;
        }
        without(difference.left, path, live) != without(difference.right, path, applied)
    }

    /// Foreign fields without those that are ignored; what is removed with a field never takes an ignored one along.
    pub fn leave_out(fields: Vec<ForeignField>, live: &BTreeSet<FieldPath>) -> Vec<ForeignField> {
        let is_ignored = |field: &ForeignField| live.iter().any(|ignored| field.path.starts_with(ignored));
        let mut fields = fields;
        fields.retain(|field| !is_ignored(field));
        for field in &mut fields {
            if live.iter().any(|ignored| ignored.starts_with(&field.root)) {
                field.root.clone_from(&field.path);
            }
        }
        fields
    }

    /// What to apply so that ignored fields stay as they are: `rendered` with their live values, and without those
    /// that the live object does not have. The status is nobody's to apply.
    pub fn respect(&self, rendered: &Value, live: &Value) -> Result<Value, IgnoreError> {
        let mut applied = rendered.clone();
        let on_live = self.paths(live)?;
        // From the back, so that what is removed of a list moves nothing that is still to be looked at.
        for path in self.paths(rendered)?.iter().rev() {
            let counterpart = translated(path, rendered, live);
            if counterpart.and_then(|path| path.get(live)).is_none() {
                remove(&mut applied, path);
            }
        }
        for path in on_live.iter().filter(|path| !is_status(path)) {
            let value = path.get(live).cloned();
            if let (Some(target), Some(value)) = (translated(path, live, &applied), value) {
                set(&mut applied, &target, value);
            }
        }
        Ok(applied)
    }
}

fn is_status(path: &FieldPath) -> bool {
    matches!(path.segments().first(), Some(Segment::Key(key)) if key == "status")
}

/// The value at `path` without the ignored fields below it; what is left empty by that is nothing.
fn without(value: Option<&Value>, path: &FieldPath, ignored: &BTreeSet<FieldPath>) -> Option<Value> {
    let mut root = value?.clone();
    for below in ignored.iter().rev().filter(|below| below.starts_with(path)) {
        let rest: FieldPath = below.segments()[path.segments().len()..]
            .iter()
            .cloned()
            .collect();
        if rest.is_root() {
            return None;
        }
        remove(&mut root, &rest);
        let mut around = rest.parent();
        while let Some(path) = around.filter(|path| !path.is_root()) {
            if !path.get(&root).is_some_and(is_empty) {
                break;
            }
            remove(&mut root, &path);
            around = path.parent();
        }
    }
    (!is_empty(&root)).then_some(root)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The same field in another version of the object: elements of lists that have a name are found by it, others by
/// their index. `None` where an element of a list has no counterpart.
fn translated(path: &FieldPath, from: &Value, to: &Value) -> Option<FieldPath> {
    let mut target = FieldPath::root();
    let (mut from, mut to) = (Some(from), Some(to));
    for segment in path.segments() {
        match segment {
            Segment::Key(key) => {
                target.push_key(key.as_str());
                from = from.and_then(|from| from.get(key));
                to = to.and_then(|to| to.get(key));
            }
            Segment::Index(index) => {
                let element = from.and_then(|from| from.get(*index));
                let items = to.and_then(Value::as_array)?;
                let name = element
                    .and_then(|element| element.get("name"))
                    .filter(|name| name.is_string());
                let index = match name {
                    Some(_) => items.iter().position(|item| item.get("name") == name)?,
                    None => *index,
                };
                target.push_index(index);
                from = element;
                to = items.get(index);
            }
        }
    }
    Some(target)
}

fn parent_of<'v>(root: &'v mut Value, path: &FieldPath, is_made: bool) -> Option<&'v mut Value> {
    let (_, parents) = path.segments().split_last()?;
    let mut at = root;
    for segment in parents {
        at = match segment {
            Segment::Key(key) if is_made => {
                let map = at.as_object_mut()?;
                map.entry(key.as_str())
                    .or_insert_with(|| Value::Object(serde_json::Map::new()))
            }
            Segment::Key(key) => at.as_object_mut()?.get_mut(key)?,
            Segment::Index(index) => at.as_array_mut()?.get_mut(*index)?,
        };
    }
    Some(at)
}

fn remove(root: &mut Value, path: &FieldPath) {
    let Some(parent) = parent_of(root, path, false) else {
        return;
    };
    match (path.segments().last(), parent) {
        (Some(Segment::Key(key)), Value::Object(map)) => {
            map.remove(key);
        }
        (Some(Segment::Index(index)), Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}

/// Sets a field, with the maps around it; an element of a list only where it is there or next.
fn set(root: &mut Value, path: &FieldPath, value: Value) {
    let Some(parent) = parent_of(root, path, true) else {
        return;
    };
    match (path.segments().last(), parent) {
        (Some(Segment::Key(key)), Value::Object(map)) => {
            map.insert(key.clone(), value);
        }
        (Some(Segment::Index(index)), Value::Array(items)) => match items.get_mut(*index) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests;
