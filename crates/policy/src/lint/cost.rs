//! Expressions whose cost grows faster than the object: a list gone through again for each of its elements.

use provost_expression::cel::{Program, Variable};
use provost_expression::variables;
use serde_json::Value;

use super::{Findings, Lint, children, items};
use crate::source::Cursor;

pub(super) fn lint(rule: &Cursor<'_>, findings: &mut Findings<'_>) {
    if let Some(validate) = rule.get("validate") {
        for foreach in items(&validate, "foreach") {
            look_at(&foreach, &[], findings);
        }
        if let Some(cel) = validate.get("cel") {
            look_at_cel(&cel, findings);
        }
    }
}

/// Looks at every expression of a rule in CEL.
fn look_at_cel(cel: &Cursor<'_>, findings: &mut Findings<'_>) {
    let mut variables: Vec<Variable> = Vec::new();
    for item in items(cel, "variables") {
        let name = item.get("name").and_then(|name| name.value().as_str());
        let program = item
            .get("expression")
            .and_then(|text| program(&text, &variables, findings));
        if let (Some(name), Some(program)) = (name, program) {
            let name = name.to_owned();
            variables.push(Variable { name, program });
        }
    }
    for item in items(cel, "expressions") {
        for key in ["expression", "messageExpression"] {
            if let Some(text) = item.get(key) {
                program(&text, &variables, findings);
            }
        }
    }
}

fn program(text: &Cursor<'_>, variables: &[Variable], findings: &mut Findings<'_>) -> Option<Program> {
    let program = Program::compile(text.value().as_str()?, variables).ok()?;
    if let Some(repeated) = program.repeated() {
        let (list, offset) = (&repeated.list, repeated.offset);
        let message = format!(
            "{list} is gone through for each of its own elements (at byte {offset} of the expression)"
        );
        findings.warn(
            Lint::Cost,
            &text.fault(message),
            "For n elements that is n times n steps. Go through it once, or through a list of the element.",
        );
    }
    Some(program)
}

/// Looks at a foreach inside of those that go through `outer`.
fn look_at(foreach: &Cursor<'_>, outer: &[String], findings: &mut Findings<'_>) {
    let Some(place) = foreach.get("list") else { return };
    let lists: Vec<String> = place.value().as_str().map(roots).unwrap_or_default();
    if let Some(list) = lists.iter().find(|list| outer.contains(list)) {
        let fault = place.fault(format!("{list} is gone through for each of its own elements"));
        findings.warn(
            Lint::Cost,
            &fault,
            "For n elements that is n times n checks. Go through it once, or through a list of element.",
        );
    }
    let around = [outer, &lists].concat();
    for entry in items(foreach, "context") {
        context_entry(&entry, &around, findings);
    }
    for inner in items(foreach, "foreach") {
        look_at(&inner, &around, findings);
    }
}

/// An entry that says the same for every element, and goes through the list each time.
fn context_entry(entry: &Cursor<'_>, around: &[String], findings: &mut Findings<'_>) {
    let Some(variable) = entry.get("variable") else {
        return;
    };
    let mut texts = Vec::new();
    collect(&variable, &mut texts);
    let expressions: Vec<&str> = texts
        .iter()
        .flat_map(|text| {
            if text.contains("{{") {
                variables::variables(text).collect()
            } else {
                vec![*text]
            }
        })
        .collect();
    let depends = expressions.iter().any(|text| text.contains("element"));
    let again = expressions
        .iter()
        .flat_map(|text| roots(text))
        .find(|list| around.contains(list));
    if let Some(list) = again.filter(|_| !depends) {
        let fault = entry.key_fault(format!("{list} is gone through for each of its own elements"));
        findings.warn(
            Lint::Cost,
            &fault,
            "The entry is the same for every element: put it into the context of the rule.",
        );
    }
}

fn collect<'d>(cursor: &Cursor<'d>, texts: &mut Vec<&'d str>) {
    match cursor.value() {
        Value::String(text) => texts.push(text),
        _ => children(cursor)
            .iter()
            .for_each(|(_, child)| collect(child, texts)),
    }
}

/// The fields of the object that an expression goes into, as far as they are plain.
fn roots(text: &str) -> Vec<String> {
    let Ok(expression) = provost_expression::parse(text) else {
        return Vec::new();
    };
    let references = expression.references();
    references
        .iter()
        .filter(|fields| fields.len() > 2 && fields[0] == "request")
        .map(|fields| fields.join("."))
        .collect()
}
