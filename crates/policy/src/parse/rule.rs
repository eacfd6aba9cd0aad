//! Reads one rule.

use std::sync::Arc;

use serde_json::Value;

use super::check::check;
use super::policy::{action, overrides};
use super::template::{Names, text};
use super::{conditions, context, sense};
use crate::action::Actions;
use crate::fault::Fault;
use crate::rule::{Check, Rule};
use crate::source::Cursor;
use crate::template::TextTemplate;

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

/// Reads a rule, written or generated; `background` says whether it judges existing objects.
pub(crate) fn rule(rule: &Cursor<'_>, background: bool) -> Result<Rule, Fault> {
    rule.only(&RULE)?;
    for other in OTHER_ACTIONS {
        // An action that is there and empty is none, as the peer has it.
        if !rule.get(other.0).is_none_or(|action| is_nothing(action.value())) {
            rule.refuse(&[other])?;
        }
    }
    let name = rule.require("name")?.text()?;
    let matches = super::matches(&rule.require("match")?, true)?;
    let exclude = rule
        .get("exclude")
        .map(|block| super::matches(&block, false))
        .transpose()?;
    rule.bool_of("skipBackgroundRequests", true)?;
    sense::filters(rule, &matches, exclude.as_ref(), background)?;
    sense::any_kind(rule, background)?;
    let names = Names {
        entries: Vec::new(),
        element: false,
        background,
    };
    let entries = context(rule, &names)?;
    let names = names.with(&entries);
    let preconditions = rule
        .get("preconditions")
        .map(|c| conditions(&c, &names))
        .transpose()?;
    let validate = rule.require("validate")?;
    validate.only(&VALIDATE)?;
    let mut check = check(&validate, &names)?;
    in_cel(rule, &mut check)?;
    let message = match validate.get("message") {
        Some(message) => text(&message, &names)?,
        None => TextTemplate::default(),
    };
    Ok(Rule {
        name: Arc::from(name),
        matches,
        exclude,
        preconditions,
        actions: actions(&validate)?,
        allows_existing: validate.bool_of("allowExistingViolations", true)?,
        message,
        check,
        properties: properties(rule, &names)?,
        wants_roles: speaks_of_roles(rule.value()),
        context: entries,
    })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// What goes with `validate.cel` only, and what does not go with it.
fn in_cel(rule: &Cursor<'_>, check: &mut Check) -> Result<(), Fault> {
    let conditions = rule.get("celPreconditions");
    let Check::Cel(cel) = check else {
        return match conditions {
            Some(conditions) => Err(conditions.key_fault("celPreconditions go with validate.cel only")),
            None => Ok(()),
        };
    };
    if let Some(context) = rule.get("context") {
        return Err(context.key_fault("CEL sees no context; use variables of validate.cel"));
    }
    if let Some(conditions) = conditions {
        cel.conditions = super::cel::conditions(&conditions)?;
    }
    Ok(())
}

fn properties(rule: &Cursor<'_>, names: &Names<'_>) -> Result<Vec<(String, TextTemplate)>, Fault> {
    let Some(map) = rule.get("reportProperties") else {
        return Ok(Vec::new());
    };
    let one = |(key, value): (&str, Cursor<'_>)| Ok((key.to_owned(), text(&value, names)?));
    map.children()?.into_iter().map(one).collect()
}

/// Whether some text of a rule speaks of the user's roles.
fn speaks_of_roles(value: &Value) -> bool {
    let says_it = |text: &str| text.contains("request.roles") || text.contains("request.clusterRoles");
    match value {
        Value::String(text) => says_it(text),
        Value::Array(items) => items.iter().any(speaks_of_roles),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| says_it(key) || speaks_of_roles(value)),
        _ => false,
    }
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
