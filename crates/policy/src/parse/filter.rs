//! Reads `match` and `exclude`.

use provost_manifest::wildcard::has_wildcard;

use crate::fault::Fault;
use crate::matching::{Filter, KindSelector, Match, Subject};
use crate::request::Operation;
use crate::selector::{LabelSelector, Relation, Requirement};
use crate::source::Cursor;

const BLOCK: [&str; 6] = ["any", "all", "resources", "subjects", "roles", "clusterRoles"];
const FILTER: [&str; 4] = ["resources", "subjects", "roles", "clusterRoles"];
const RESOURCES: [&str; 8] = [
    "kinds",
    "name",
    "names",
    "namespaces",
    "annotations",
    "selector",
    "namespaceSelector",
    "operations",
];

/// Reads a `match` (where each filter must say which kinds it is about) or an `exclude` block.
pub(crate) fn matches(block: &Cursor<'_>, kinds_required: bool) -> Result<Match, Fault> {
    block.only(&BLOCK)?;
    let legacy = FILTER.iter().find_map(|key| block.get(key));
    match (block.get("any"), block.get("all")) {
        (Some(_), Some(all)) => Err(all.key_fault("any and all exclude each other here; keep one of them")),
        (Some(any), None) => {
            not_with(legacy.as_ref(), "any")?;
            Ok(Match::Any(filters(&any, kinds_required)?))
        }
        (None, Some(all)) => {
            not_with(legacy.as_ref(), "all")?;
            Ok(Match::All(filters(&all, kinds_required)?))
        }
        (None, None) => Ok(Match::One(Box::new(filter(block, kinds_required)?))),
    }
}

fn not_with(legacy: Option<&Cursor<'_>>, block: &str) -> Result<(), Fault> {
    legacy.map_or(Ok(()), |field| {
        Err(field.key_fault(format!(
            "{} and {block} exclude each other; put it into a filter of {block}",
            field.name()
        )))
    })
}

fn filters(list: &Cursor<'_>, kinds_required: bool) -> Result<Vec<Filter>, Fault> {
    list.list()?
        .iter()
        .map(|item| {
            item.only(&FILTER)?;
            filter(item, kinds_required)
        })
        .collect()
}

fn filter(block: &Cursor<'_>, kinds_required: bool) -> Result<Filter, Fault> {
    let mut filter = Filter {
        roles: owned(&block.texts_of("roles")?),
        cluster_roles: owned(&block.texts_of("clusterRoles")?),
        ..Filter::default()
    };
    if let Some(roles) = block.get("roles") {
        for role in roles.list()? {
            if !role.text()?.contains(':') {
                return Err(role.fault("a role is written namespace:name"));
            }
        }
    }
    if let Some(subjects) = block.get("subjects") {
        filter.subjects = subjects.list()?.iter().map(subject).collect::<Result<_, _>>()?;
    }
    if let Some(resources) = block.get("resources") {
        resource_description(&resources, &mut filter)?;
    }
    if kinds_required && filter.kinds.is_empty() {
        return Err(block.key_fault("each filter of match needs resources.kinds"));
    }
    Ok(filter)
}

fn resource_description(resources: &Cursor<'_>, filter: &mut Filter) -> Result<(), Fault> {
    resources.only(&RESOURCES)?;
    if let Some(kinds) = resources.get("kinds") {
        for kind in kinds.list()? {
            let selector = KindSelector::parse(kind.text()?)
                .ok_or_else(|| kind.fault("a kind has at most the parts group/version/Kind/subresource"))?;
            filter.kinds.push(selector);
        }
    }
    filter.names = resources.wildcards_of("names")?;
    if let Some(name) = resources.get("name").filter(|name| name.value() != "") {
        if !filter.names.is_empty() {
            return Err(name.key_fault("name and names exclude each other; keep names"));
        }
        filter.names.push(name.wildcard()?);
    }
    filter.namespaces = resources.wildcards_of("namespaces")?;
    if let Some(annotations) = resources.get("annotations") {
        for (key, value) in annotations.children()? {
            filter
                .annotations
                .push((value.wildcard_from(key)?, value.wildcard()?));
        }
    }
    if let Some(selector) = resources.get("selector") {
        filter.selector = Some(label_selector(&selector)?);
    }
    if let Some(selector) = resources.get("namespaceSelector") {
        filter.namespace_selector = Some(label_selector(&selector)?);
    }
    if let Some(operations) = resources.get("operations") {
        filter.operations = operations
            .list()?
            .iter()
            .map(operation)
            .collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn operation(cursor: &Cursor<'_>) -> Result<Operation, Fault> {
    match cursor.text()? {
        "CREATE" => Ok(Operation::Create),
        "UPDATE" => Ok(Operation::Update),
        "DELETE" => Ok(Operation::Delete),
        "CONNECT" => Ok(Operation::Connect),
        _ => Err(cursor.fault("an operation is CREATE, UPDATE, DELETE or CONNECT")),
    }
}

fn subject(cursor: &Cursor<'_>) -> Result<Subject, Fault> {
    cursor.only(&["kind", "name", "namespace", "apiGroup"])?;
    let kind = cursor.require("kind")?;
    let name = cursor.require("name")?;
    match kind.text()? {
        "User" => Ok(Subject::User(name.wildcard()?)),
        "Group" => Ok(Subject::Group(name.wildcard()?)),
        "ServiceAccount" => {
            let namespace = cursor.require("namespace")?.text()?;
            let name = format!("system:serviceaccount:{namespace}:{}", name.text()?);
            Ok(Subject::User(cursor.wildcard_from(&name)?))
        }
        _ => Err(kind.fault("a subject is a User, a Group or a ServiceAccount")),
    }
}

/// Reads a label selector.
pub(crate) fn label_selector(cursor: &Cursor<'_>) -> Result<LabelSelector, Fault> {
    cursor.only(&["matchLabels", "matchExpressions"])?;
    let mut selector = LabelSelector::default();
    if let Some(labels) = cursor.get("matchLabels") {
        for (key, value) in labels.children()? {
            selector
                .match_labels
                .push((value.wildcard_from(key)?, value.wildcard()?));
        }
    }
    let wildcards = selector
        .match_labels
        .iter()
        .any(|(key, value)| key.literal().is_none() || value.literal().is_none());
    if let Some(expressions) = cursor.get("matchExpressions") {
        for expression in expressions.list()? {
            selector
                .match_expressions
                .push(requirement(&expression, wildcards)?);
        }
    }
    if selector == LabelSelector::default() {
        return Err(cursor.key_fault("a selector needs matchLabels or matchExpressions"));
    }
    Ok(selector)
}

fn requirement(cursor: &Cursor<'_>, wildcards: bool) -> Result<Requirement, Fault> {
    cursor.only(&["key", "operator", "values"])?;
    let operator = cursor.require("operator")?;
    let relation = match operator.text()? {
        "In" => Relation::In,
        "NotIn" => Relation::NotIn,
        "Exists" => Relation::Exists,
        "DoesNotExist" => Relation::DoesNotExist,
        _ => return Err(operator.fault("an operator here is In, NotIn, Exists or DoesNotExist")),
    };
    let values = owned(&cursor.texts_of("values")?);
    let wants_values = matches!(relation, Relation::In | Relation::NotIn);
    if wants_values == values.is_empty() {
        let verb = if wants_values { "needs" } else { "takes no" };
        return Err(operator.fault(format!("{} {verb} values", operator.text()?)));
    }
    if !wildcards && let Some(value) = values.iter().find(|value| has_wildcard(value)) {
        return Err(cursor.key_fault(format!("\"{value}\": wildcards stand in matchLabels only")));
    }
    Ok(Requirement {
        key: cursor.require("key")?.text()?.to_owned(),
        operator: relation,
        values,
    })
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
