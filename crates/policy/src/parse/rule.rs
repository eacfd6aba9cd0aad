//! Reads one rule.

use std::sync::Arc;

use serde_json::Value;

use super::policy::{action, overrides};
use crate::action::Actions;
use crate::fault::Fault;
use crate::pattern::{Anchor, Numbers, Pattern};
use crate::rule::{Check, Rule};
use crate::source::Cursor;

const RULE: [&str; 13] = [
    "name",
    "match",
    "exclude",
    "context",
    "preconditions",
    "celPreconditions",
    "validate",
    "mutate",
    "generate",
    "verifyImages",
    "skipBackgroundRequests",
    "reportProperties",
    "imageExtractors",
];

/// What a rule may do that is not validation.
const OTHER_ACTIONS: [(&str, &str); 4] = [
    ("mutate", "Provost judges objects and does not change them"),
    ("generate", "Provost judges objects and does not create them"),
    ("verifyImages", "signatures of images are not checked"),
    ("imageExtractors", "signatures of images are not checked"),
];

const VALIDATE: [&str; 12] = [
    "failureAction",
    "failureActionOverrides",
    "allowExistingViolations",
    "message",
    "pattern",
    "anyPattern",
    "deny",
    "foreach",
    "podSecurity",
    "cel",
    "manifests",
    "assert",
];

/// The ways to check, of which a rule has exactly one.
const CHECKS: [&str; 8] = [
    "pattern",
    "anyPattern",
    "deny",
    "foreach",
    "podSecurity",
    "cel",
    "manifests",
    "assert",
];

/// Reads a rule, written or generated.
pub(crate) fn rule(rule: &Cursor<'_>) -> Result<Rule, Fault> {
    rule.only(&RULE)?;
    rule.refuse(&OTHER_ACTIONS)?;
    rule.refuse(&[
        ("context", "context entries come later"),
        ("preconditions", "preconditions come later"),
        ("celPreconditions", "CEL comes later"),
        ("reportProperties", "report properties come later"),
    ])?;
    let name = rule.require("name")?.text()?;
    let matches = super::matches(&rule.require("match")?, true)?;
    let exclude = rule
        .get("exclude")
        .map(|block| super::matches(&block, false))
        .transpose()?;
    rule.bool_of("skipBackgroundRequests", true)?;
    let validate = rule.require("validate")?;
    validate.only(&VALIDATE)?;
    let check = check(&validate)?;
    Ok(Rule {
        name: Arc::from(name),
        matches,
        exclude,
        actions: actions(&validate)?,
        allows_existing: validate.bool_of("allowExistingViolations", true)?,
        message: message(&validate)?,
        check,
    })
}

fn actions(validate: &Cursor<'_>) -> Result<Actions, Fault> {
    Ok(Actions {
        action: validate
            .get("failureAction")
            .map(|cursor| action(&cursor))
            .transpose()?,
        overrides: validate
            .get("failureActionOverrides")
            .map_or(Ok(Vec::new()), |list| overrides(&list))?,
    })
}

fn message(validate: &Cursor<'_>) -> Result<String, Fault> {
    let Some(message) = validate.get("message") else {
        return Ok(String::new());
    };
    no_variables(&message)?;
    Ok(message.text()?.trim().to_owned())
}

fn check(validate: &Cursor<'_>) -> Result<Check, Fault> {
    let mut given = CHECKS.iter().filter(|key| validate.get(key).is_some());
    let Some(kind) = given.next() else {
        return Err(validate.key_fault(format!("validate needs one of {}", CHECKS.join(", "))));
    };
    if let Some(second) = given.next().and_then(|key| validate.get(key)) {
        return Err(second.key_fault(format!(
            "{kind} and {} exclude each other in one rule; make it two rules",
            second.name()
        )));
    }
    let body = validate.require(kind)?;
    match *kind {
        "pattern" => Ok(Check::Pattern(pattern(&body, Numbers::AsWritten)?)),
        "anyPattern" => Ok(Check::AnyPattern(
            body.list()?
                .iter()
                .map(|item| pattern(item, Numbers::Floats))
                .collect::<Result<_, _>>()?,
        )),
        other => Err(body.key_fault(format!("{other} is not supported yet"))),
    }
}

fn pattern(pattern: &Cursor<'_>, numbers: Numbers) -> Result<Pattern, Fault> {
    no_variables(pattern)?;
    anchors(pattern)?;
    Pattern::compile(pattern.value(), numbers).map_err(|error| pattern.fault(error.to_string()))
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

/// Refuses variables and references.
fn no_variables(cursor: &Cursor<'_>) -> Result<(), Fault> {
    let refuse = |cursor: &Cursor<'_>, text: &str| {
        if text.contains("{{") {
            Err(cursor.fault("variables, {{…}}, are not supported yet"))
        } else if text.contains("$(") {
            Err(cursor.fault("references, $(…), are not supported yet"))
        } else {
            Ok(())
        }
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
