//! The values that a suite states: for all policies, for one policy and object, for one rule.

use std::collections::BTreeMap;

use provost_manifest::object::GroupVersionKind;
use serde_json::{Map, Value};

use super::tree;
use crate::fault::Fault;
use crate::source::Cursor;

/// Stated values by their dotted names, in order.
type Stated = Vec<(String, Value)>;

/// What a values file, or `values` of the suite, states.
#[derive(Debug, Default)]
pub(super) struct Values {
    global: Stated,
    policies: Vec<OfPolicy>,
    /// Labels of namespaces; those of whole Namespace objects win.
    namespaces: BTreeMap<String, Value>,
    subresources: Vec<Subresource>,
}

#[derive(Debug)]
struct OfPolicy {
    name: String,
    resources: Vec<(String, Stated)>,
    rules: Vec<(String, Stated)>,
}

/// Objects of a kind that are bodies of a subresource.
#[derive(Debug)]
struct Subresource {
    body: GroupVersionKind,
    parent: GroupVersionKind,
    /// `exec` for `pods/exec`.
    name: String,
}

const SETTINGS: [&str; 5] = [
    "globalValues",
    "policies",
    "namespaceSelector",
    "namespaces",
    "subresources",
];

impl Values {
    /// Reads a values file.
    pub(super) fn file(root: &Cursor<'_>) -> Result<Self, Fault> {
        let mut known = vec!["apiVersion", "kind", "metadata"];
        known.extend(SETTINGS);
        root.only(&known)?;
        Self::read(root)
    }

    /// Reads `values` of a suite.
    pub(super) fn inline(block: &Cursor<'_>) -> Result<Self, Fault> {
        block.only(&SETTINGS)?;
        Self::read(block)
    }

    fn read(block: &Cursor<'_>) -> Result<Self, Fault> {
        let mut namespaces = BTreeMap::new();
        for selector in items(block, "namespaceSelector")? {
            selector.only(&["name", "labels"])?;
            let labels = selector.get("labels").map(|labels| labels.value().clone());
            namespaces.insert(
                name_of(&selector)?,
                labels.unwrap_or_else(|| Value::Object(Map::new())),
            );
        }
        for namespace in items(block, "namespaces")? {
            let (name, labels) = namespace_labels(namespace.value());
            namespaces.insert(name.to_owned(), labels);
        }
        Ok(Self {
            global: stated(block, "globalValues")?,
            policies: list_of(block, "policies", OfPolicy::read)?,
            namespaces,
            subresources: list_of(block, "subresources", Subresource::read)?,
        })
    }

    /// What holds for a policy and an object.
    pub(super) fn of(&self, policy: &str, object: &str) -> Map<String, Value> {
        let of_object = self
            .policies_named(policy)
            .flat_map(|policy| &policy.resources)
            .filter(|(name, _)| name == object)
            .map(|(_, values)| values);
        let mut tree = Map::new();
        for (name, value) in std::iter::once(&self.global).chain(of_object).flatten() {
            tree::set(&mut tree, name, value);
        }
        tree
    }

    /// What holds for single rules of a policy, on top of what holds for all.
    pub(super) fn of_rules<'v>(&'v self, policy: &'v str) -> BTreeMap<&'v str, Map<String, Value>> {
        let mut rules: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for (rule, values) in self.policies_named(policy).flat_map(|policy| &policy.rules) {
            let tree = rules.entry(rule).or_default();
            for (name, value) in values {
                tree::set(tree, name, value);
            }
        }
        rules
    }

    /// Whether a value is stated for a name, for all policies or for some object or rule of this one.
    pub(super) fn states(&self, policy: &str, name: &str) -> bool {
        let of_policies = self
            .policies_named(policy)
            .flat_map(|of| of.resources.iter().chain(&of.rules))
            .flat_map(|(_, stated)| stated);
        self.global.iter().chain(of_policies).any(|(path, _)| {
            let rest = path.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The labels of a namespace, where they are stated.
    pub(super) fn labels(&self, namespace: &str) -> Option<&Value> {
        self.namespaces.get(namespace)
    }

    /// For the body of a subresource: the kind it belongs to, and the subresource's name.
    pub(super) fn subresource(&self, body: &GroupVersionKind) -> Option<(&GroupVersionKind, &str)> {
        let found = self.subresources.iter().find(|known| known.body == *body)?;
        Some((&found.parent, &found.name))
    }

    fn policies_named<'v>(&'v self, policy: &'v str) -> impl Iterator<Item = &'v OfPolicy> {
        let short = policy.rsplit('/').next().unwrap_or(policy);
        self.policies
            .iter()
            .filter(move |known| known.name == policy || known.name == short)
    }
}

impl OfPolicy {
    fn read(cursor: &Cursor<'_>) -> Result<Self, Fault> {
        cursor.only(&["name", "resources", "rules"])?;
        let of_resource = |cursor: &Cursor<'_>| {
            cursor.only(&["name", "values"])?;
            Ok((name_of(cursor)?, stated(cursor, "values")?))
        };
        let of_rule = |cursor: &Cursor<'_>| {
            cursor.only(&["name", "values", "foreachValues"])?;
            let mut values = stated(cursor, "values")?;
            values.extend(first_of_each(stated(cursor, "foreachValues")?));
            Ok((name_of(cursor)?, values))
        };
        Ok(Self {
            name: name_of(cursor)?,
            resources: list_of(cursor, "resources", of_resource)?,
            rules: list_of(cursor, "rules", of_rule)?,
        })
    }
}

impl Subresource {
    fn read(cursor: &Cursor<'_>) -> Result<Self, Fault> {
        cursor.only(&["subresource", "parentResource"])?;
        let (body, parent) = (cursor.require("subresource")?, cursor.require("parentResource")?);
        let name = name_of(&body)?;
        Ok(Self {
            body: kind_of(&body)?,
            parent: kind_of(&parent)?,
            name: name
                .split_once('/')
                .map_or(name.as_str(), |(_, sub)| sub)
                .to_owned(),
        })
    }
}

/// Of a list of values for the elements of a foreach, all elements see the first.
fn first_of_each(lists: Stated) -> impl Iterator<Item = (String, Value)> {
    lists.into_iter().filter_map(|(name, value)| match value {
        Value::Array(items) => Some((name, items.into_iter().next()?)),
        other => Some((name, other)),
    })
}

/// Name and labels of a Namespace.
pub(super) fn namespace_labels(namespace: &Value) -> (&str, Value) {
    let metadata = &namespace["metadata"];
    let labels = metadata.get("labels").filter(|labels| labels.is_object());
    (
        metadata["name"].as_str().unwrap_or_default(),
        labels.cloned().unwrap_or_else(|| Value::Object(Map::new())),
    )
}

fn kind_of(cursor: &Cursor<'_>) -> Result<GroupVersionKind, Fault> {
    let text = |key| cursor.get(key).map_or(Ok(""), |cursor| cursor.text());
    Ok(GroupVersionKind::new(
        text("group")?,
        text("version")?,
        cursor.require("kind")?.text()?,
    ))
}

fn name_of(cursor: &Cursor<'_>) -> Result<String, Fault> {
    Ok(cursor.require("name")?.text()?.to_owned())
}

/// The map of values below `key`; empty where there is none.
fn stated(cursor: &Cursor<'_>, key: &str) -> Result<Stated, Fault> {
    let Some(block) = cursor.get(key) else {
        return Ok(Vec::new());
    };
    let value = |(name, value): (&str, Cursor<'_>)| (name.to_owned(), value.value().clone());
    Ok(block.children()?.into_iter().map(value).collect())
}

/// The items of the list below `key`; none where there is no list.
pub(super) fn items<'d>(cursor: &Cursor<'d>, key: &str) -> Result<Vec<Cursor<'d>>, Fault> {
    cursor.get(key).map_or(Ok(Vec::new()), |list| list.list())
}

/// The list below `key`, each item read.
pub(super) fn list_of<'d, T>(
    cursor: &Cursor<'d>,
    key: &str,
    read: impl Fn(&Cursor<'d>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    items(cursor, key)?.iter().map(read).collect()
}
