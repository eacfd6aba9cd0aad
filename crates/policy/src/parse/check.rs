//! Reads what a rule checks: patterns, conditions, and checks of each element.

use serde_json::Value;

use super::pod_security::pod_security;
use super::template::{Names, check as check_variables};
use super::{cel, conditions, context, sense};
use crate::conditions::Conditions;
use crate::fault::Fault;
use crate::pattern::{Anchor, Numbers, Pattern};
use crate::reference;
use crate::rule::{Check, Foreach, PatternSource};
use crate::source::Cursor;
use crate::template::Template;

/// The ways to check, of which a rule has exactly one.
pub(super) const CHECKS: [&str; 8] = [
    "pattern",
    "anyPattern",
    "deny",
    "foreach",
    "podSecurity",
    "cel",
    "manifests",
    "assert",
];

/// The ways to check an element.
const OF_ELEMENTS: [&str; 4] = ["pattern", "anyPattern", "deny", "foreach"];

const FOREACH: [&str; 9] = [
    "list",
    "elementScope",
    "order",
    "context",
    "preconditions",
    "pattern",
    "anyPattern",
    "deny",
    "foreach",
];

/// Foreach may stand in foreach this deep.
const MAX_FOREACH_DEPTH: usize = 8;

/// Reads the one check of `validate`.
pub(super) fn check(validate: &Cursor<'_>, names: &Names<'_>) -> Result<Check, Fault> {
    of(validate, &CHECKS, names, 0)
}

fn of(owner: &Cursor<'_>, ways: &[&str], names: &Names<'_>, depth: usize) -> Result<Check, Fault> {
    let mut given = ways.iter().filter(|key| owner.get(key).is_some());
    let Some(kind) = given.next() else {
        return Err(owner.key_fault(format!("{} needs one of {}", owner.name(), ways.join(", "))));
    };
    if let Some(second) = given.next().and_then(|key| owner.get(key)) {
        return Err(second.key_fault(format!(
            "{kind} and {} exclude each other in one rule; make it two rules",
            second.name()
        )));
    }
    let body = owner.require(kind)?;
    match *kind {
        "pattern" => Ok(Check::Pattern(pattern(&body, Numbers::AsWritten, names)?)),
        "anyPattern" => {
            let patterns = body.list()?;
            let patterns = patterns.iter().map(|item| pattern(item, Numbers::Floats, names));
            Ok(Check::AnyPattern(patterns.collect::<Result<_, _>>()?))
        }
        "deny" => Ok(Check::Deny(deny(&body, names)?)),
        "foreach" if depth == MAX_FOREACH_DEPTH => Err(body
            .key_fault(format!(
                "foreach stands in foreach more than {MAX_FOREACH_DEPTH} deep"
            ))
            .unsupported()),
        "foreach" => {
            let entries = body.list()?;
            let entries = entries.iter().map(|item| foreach(item, names, depth + 1));
            Ok(Check::Foreach(entries.collect::<Result<_, _>>()?))
        }
        "podSecurity" => Ok(Check::PodSecurity(pod_security(&body)?)),
        "cel" => {
            let message = owner.get("message").map_or(Ok(""), |message| message.text())?;
            Ok(Check::Cel(cel::cel(&body, message)?))
        }
        other => Err(body
            .key_fault(format!("{other} is not supported yet"))
            .unsupported()),
    }
}

fn deny(body: &Cursor<'_>, names: &Names<'_>) -> Result<Conditions, Fault> {
    body.only(&["conditions"])?;
    match body.get("conditions") {
        Some(list) => conditions(&list, names),
        None => Ok(Conditions {
            any: None,
            all: Vec::new(),
        }),
    }
}

fn foreach(cursor: &Cursor<'_>, names: &Names<'_>, depth: usize) -> Result<Foreach, Fault> {
    cursor.only(&FOREACH)?;
    let list = cursor.require("list")?;
    let expression =
        provost_expression::parse(list.text()?).map_err(|error| list.fault(error.to_string()))?;
    let names = names.inside();
    let entries = context(cursor, &names)?;
    let names = names.with(&entries);
    let preconditions = cursor
        .get("preconditions")
        .map(|c| conditions(&c, &names))
        .transpose()?;
    let check = of(cursor, &OF_ELEMENTS, &names, depth)?;
    Ok(Foreach {
        list: expression,
        preconditions,
        element_scope: cursor.get("elementScope").map(|scope| scope.bool()).transpose()?,
        check,
        context: entries,
    })
}

/// The patterns of elements (`foreach`) are not checked for anchors, as the language has it.
fn pattern(cursor: &Cursor<'_>, numbers: Numbers, names: &Names<'_>) -> Result<PatternSource, Fault> {
    if !names.element {
        anchors(cursor)?;
        sense::labels_are_texts(cursor)?;
    }
    check_variables(cursor, names)?;
    let resolved = reference::resolve(cursor.value()).map_err(|why| cursor.key_fault(why))?;
    let template = Template::compile(&resolved).map_err(|error| cursor.key_fault(error.to_string()))?;
    match template.as_static() {
        Some(fixed) => {
            let pattern =
                Pattern::compile(fixed, numbers).map_err(|error| cursor.key_fault(error.to_string()))?;
            Ok(PatternSource::Fixed(pattern))
        }
        None => Ok(PatternSource::Variable(template, numbers)),
    }
}

/// Refuses anchors that a validate pattern cannot have.
fn anchors(pattern: &Cursor<'_>) -> Result<(), Fault> {
    match pattern.value() {
        Value::Object(_) => {
            for (text, child) in pattern.children()? {
                match Anchor::split(text).0 {
                    Anchor::Addition => {
                        return Err(
                            child.key_fault(format!("{text}: the anchor +() belongs to mutate rules"))
                        );
                    }
                    Anchor::Existence => existence(&child, text)?,
                    _ => {}
                }
                anchors(&child)?;
            }
            Ok(())
        }
        Value::Array(_) => pattern.list()?.iter().try_for_each(anchors),
        _ => Ok(()),
    }
}

fn existence(value: &Cursor<'_>, text: &str) -> Result<(), Fault> {
    let maps = value.value().as_array();
    if maps.is_none_or(|maps| maps.is_empty() || !maps.iter().all(Value::is_object)) {
        return Err(value.key_fault(format!("{text}: the anchor ^() needs a list of maps")));
    }
    Ok(())
}
