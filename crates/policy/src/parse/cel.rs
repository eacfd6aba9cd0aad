//! Reads what rules and policies say in CEL.

use provost_expression::cel::{Program, Variable};

use crate::cel::{Assertion, Cel};
use crate::fault::Fault;
use crate::source::Cursor;

const CEL: [&str; 6] = [
    "expressions",
    "variables",
    "paramKind",
    "paramRef",
    "auditAnnotations",
    "generate",
];

/// How many expressions, variables or conditions one list may hold.
const MAX_ITEMS: usize = 64;

const REASONS: [&str; 4] = ["Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"];

/// Reads `validate.cel`; `message` is what the rule says where an expression has no words of its own.
pub(super) fn cel(body: &Cursor<'_>, message: &str) -> Result<Cel, Fault> {
    body.only(&CEL)?;
    body.refuse(&[
        ("paramKind", "parameters of policies are not read"),
        ("paramRef", "parameters of policies are not read"),
    ])?;
    if body.bool_of("generate", false)? {
        let message = "generate is not supported: no ValidatingAdmissionPolicy is made; leave it out to have the rule judged here";
        return Err(body.require("generate")?.key_fault(message).unsupported());
    }
    let variables = variables(body)?;
    audit_annotations(body, &variables)?;
    let expressions = body.require("expressions")?;
    let assertions = items(&expressions)?
        .iter()
        .map(|item| assertion(item, &variables, message))
        .collect::<Result<Vec<_>, _>>()?;
    if assertions.is_empty() {
        return Err(expressions.key_fault("expressions is empty: the rule would demand nothing"));
    }
    Ok(Cel {
        conditions: Vec::new(),
        variables,
        assertions,
    })
}

/// Reads a list of `{name, expression}`: the conditions under which a rule or policy looks at a request.
pub(super) fn conditions(list: &Cursor<'_>) -> Result<Vec<Program>, Fault> {
    let one = |item: &Cursor<'_>| {
        item.only(&["name", "expression"])?;
        item.require("name")?.text()?;
        program(&item.require("expression")?, &[])
    };
    items(list)?.iter().map(one).collect()
}

fn items<'d>(list: &Cursor<'d>) -> Result<Vec<Cursor<'d>>, Fault> {
    let items = list.list()?;
    if items.len() > MAX_ITEMS {
        let message = format!("{} has more than {MAX_ITEMS} entries", list.name());
        return Err(list.key_fault(message).unsupported());
    }
    Ok(items)
}

/// The variables. Each may use those before it.
fn variables(body: &Cursor<'_>) -> Result<Vec<Variable>, Fault> {
    let mut variables: Vec<Variable> = Vec::new();
    let Some(list) = body.get("variables") else {
        return Ok(variables);
    };
    for item in items(&list)? {
        item.only(&["name", "expression"])?;
        let name = item.require("name")?;
        let text = name.text()?;
        let mut letters = text.chars();
        let is_name = letters
            .next()
            .is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !is_name {
            return Err(name.fault(format!("\"{text}\" cannot be the name of a variable")));
        }
        if variables.iter().any(|known| known.name == text) {
            return Err(name.fault(format!("two variables are named \"{text}\"")));
        }
        variables.push(Variable {
            name: text.to_owned(),
            program: program(&item.require("expression")?, &variables)?,
        });
    }
    Ok(variables)
}

fn assertion(item: &Cursor<'_>, variables: &[Variable], message: &str) -> Result<Assertion, Fault> {
    item.only(&["expression", "message", "messageExpression", "reason"])?;
    if let Some(reason) = item.get("reason")
        && !REASONS.contains(&reason.text()?)
    {
        return Err(reason.fault(format!("a reason is one of {}", REASONS.join(", "))));
    }
    let own = item
        .get("message")
        .map_or(Ok(""), |message| message.text())?
        .trim();
    Ok(Assertion {
        program: program(&item.require("expression")?, variables)?,
        message: if own.is_empty() { message.trim() } else { own }.to_owned(),
        message_expression: item
            .get("messageExpression")
            .map(|cursor| program(&cursor, variables))
            .transpose()?,
    })
}

/// Annotations of the audit log: they must be right, and have no effect.
fn audit_annotations(body: &Cursor<'_>, variables: &[Variable]) -> Result<(), Fault> {
    let Some(list) = body.get("auditAnnotations") else {
        return Ok(());
    };
    for item in items(&list)? {
        item.only(&["key", "valueExpression"])?;
        item.require("key")?.text()?;
        program(&item.require("valueExpression")?, variables)?;
    }
    Ok(())
}

fn program(cursor: &Cursor<'_>, variables: &[Variable]) -> Result<Program, Fault> {
    Program::compile(cursor.text()?, variables).map_err(|error| cursor.fault(error.to_string()))
}
