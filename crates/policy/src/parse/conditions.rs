//! Reads conditions.

use serde_json::Value;

use super::sense;
use super::template::{Names, template, text};
use crate::conditions::{Condition, Conditions, OPERATORS, Operator};
use crate::fault::Fault;
use crate::source::Cursor;
use crate::template::{Template, with_floats};

/// Reads `{any, all}`, or the older list, all of which must hold.
pub(crate) fn conditions(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Conditions, Fault> {
    if cursor.value().is_array() {
        return Ok(Conditions {
            any: None,
            all: list(cursor, names)?,
        });
    }
    cursor.only(&["any", "all"])?;
    Ok(Conditions {
        any: cursor.get("any").map(|any| list(&any, names)).transpose()?,
        all: cursor
            .get("all")
            .map_or(Ok(Vec::new()), |all| list(&all, names))?,
    })
}

fn list(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Vec<Condition>, Fault> {
    cursor.list()?.iter().map(|item| condition(item, names)).collect()
}

/// Of the conditions of an element (`foreach`) only the operator is checked, as the language has it: what they leave
/// out is null.
fn condition(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Condition, Fault> {
    cursor.only(&["key", "operator", "value", "message"])?;
    if !names.element {
        sense::operations(&cursor.require("key")?, &cursor.require("value")?)?;
    }
    let side = |key: &str| match cursor.get(key) {
        Some(side) => operand(&side, names),
        None => Ok(Template::Static(Value::Null)),
    };
    Ok(Condition {
        operator: operator(&cursor.require("operator")?)?,
        key: side("key")?,
        value: side("value")?,
        message: cursor
            .get("message")
            .map(|message| text(&message, names))
            .transpose()?,
    })
}

/// Scalar numbers are floats, also literal ones; those inside of literal lists and maps stay as they are.
fn operand(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Template, Fault> {
    let read = template(cursor, names)?;
    Ok(match read {
        Template::Static(number @ Value::Number(_)) => Template::Static(with_floats(number)),
        other => other,
    })
}

fn operator(cursor: &Cursor<'_>) -> Result<Operator, Fault> {
    let name = cursor.text()?;
    OPERATORS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, operator)| *operator)
        .ok_or_else(|| {
            let known: Vec<&str> = OPERATORS.iter().map(|(known, _)| *known).collect();
            let hint = crate::source::nearest(name, &known)
                .map(|near| format!("; did you mean \"{near}\"?"))
                .unwrap_or_default();
            cursor.fault(format!("unknown operator \"{name}\"{hint}"))
        })
}
