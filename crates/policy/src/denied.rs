//! The violations of conditions that deny: which field each compared, or what it worked out, and what it may be
//! instead.

use provost_expression::{Budget, Datum, Expression};
use provost_manifest::escape::{line, shorten};
use provost_manifest::path::FieldPath;
use serde_json::Value;

use crate::conditions::{Held, Operator};
use crate::context::View;
use crate::pattern::MAX_VIOLATIONS;
use crate::result::{Accepted, Found, Violation, beginning_of};
use crate::template::Template;
use crate::violations::{is_secret_kind, place_of};

/// What is accepted is described with at most this many characters.
const MAX_ACCEPTED_CHARS: usize = 200;
/// An expression is shown with at most this many characters.
const MAX_EXPRESSION_CHARS: usize = 80;

/// The side of a comparison that is about the object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Key,
    Value,
}

/// Adds what a condition which denies has compared: the fields of the object, each with its place; what was worked
/// out of one field, there; what was worked out of several, at the element of a foreach that it is about. Conditions
/// on the request itself (its operation, its user) add nothing: they say when a rule counts.
pub(crate) fn collect(
    held: &Held<'_>,
    view: &View<'_>,
    object: &Value,
    budget: &mut Budget,
    violations: &mut Vec<Violation>,
) {
    let (key, value) = (&held.condition.key, &held.condition.value);
    // A key without variables is looked for in what the value says of the object.
    let (template, side) = match key.as_static() {
        Some(_) => (value, Side::Value),
        None => (key, Side::Key),
    };
    let mut found = Vec::new();
    let mut worked_out = None;
    if let Some(expression) = template.only_expression() {
        fields(held, side, expression, view, object, budget, &mut found);
        if found.is_empty() {
            found.extend(only_field(expression, view, object, budget));
            worked_out = (!found.is_empty()).then(|| shown(expression.text()));
        }
    }
    if found.is_empty() {
        found.extend(computed(held, side, template, view, object, budget));
    }
    let other_side = match side {
        Side::Key => value,
        Side::Value => key,
    };
    let tells = other_side.as_static().is_none() && is_secret_kind(view.shared().request.kind);
    let accepted = if tells {
        "another value".to_owned()
    } else {
        accepted(held, side)
    };
    let accepted = Accepted(match worked_out {
        Some(expression) => format!("{expression} to be {accepted}"),
        None => accepted,
    });
    for (path, found) in found {
        let violation = Violation {
            path,
            found,
            accepted: accepted.clone(),
            within: None,
        };
        if violations.len() < MAX_VIOLATIONS && !violations.contains(&violation) {
            violations.push(violation);
        }
    }
}

/// The fields of the object that an expression looked at.
fn fields(
    held: &Held<'_>,
    side: Side,
    expression: &Expression,
    view: &View<'_>,
    object: &Value,
    budget: &mut Budget,
    found: &mut Vec<(FieldPath, Found)>,
) {
    let Ok(datum) = view.search(expression, budget) else {
        return;
    };
    if let Some(field) = place(&datum, object, budget) {
        return found.push(field);
    }
    if let Some(items) = datum.as_list().filter(|_| side == Side::Key) {
        for item in items.iter() {
            let Datum::Borrowed(value) = &item else {
                continue;
            };
            let alone = Value::Array(vec![(*value).clone()]);
            match held.condition.holds(&alone, &held.value, budget) {
                Ok(true) => found.extend(place(&item, object, budget)),
                Ok(false) => {}
                // What was found so far is told.
                Err(_) => break,
            }
        }
    }
    if found.is_empty() {
        found.extend(asked(expression.text(), view, object, budget));
    }
}

/// Where a value stands in the object, if it does.
fn place(datum: &Datum<'_>, object: &Value, budget: &mut Budget) -> Option<(FieldPath, Found)> {
    match datum {
        Datum::Borrowed(value) => Some((place_of(value, object, budget)?, Found::of(value))),
        _ => None,
    }
}

/// The one field that an expression works with, where there is no other.
fn only_field(
    expression: &Expression,
    view: &View<'_>,
    object: &Value,
    budget: &mut Budget,
) -> Option<(FieldPath, Found)> {
    let mut only: Option<FieldPath> = None;
    for names in expression.references() {
        let field: FieldPath = match names.as_slice() {
            ["request", "object", names @ ..] => {
                names.iter().fold(FieldPath::root(), |path, name| path.key(*name))
            }
            ["element", names @ ..] => names
                .iter()
                .fold(element(view, object, budget)?, |path, name| path.key(*name)),
            _ => return None,
        };
        if only.as_ref().is_some_and(|known| *known != field) {
            return None;
        }
        only = Some(field);
    }
    let field = only.filter(|field| !field.is_root())?;
    let found = found_at(&field, object);
    Some((field, found))
}

fn found_at(field: &FieldPath, object: &Value) -> Found {
    match field.get(object) {
        None | Some(Value::Null) => Found::Missing,
        Some(value) => Found::of(value),
    }
}

fn shown(expression: &str) -> String {
    shorten(&line(expression), MAX_EXPRESSION_CHARS).into_owned()
}

/// What was worked out, at the element that it is about.
fn computed(
    held: &Held<'_>,
    side: Side,
    template: &Template,
    view: &View<'_>,
    object: &Value,
    budget: &mut Budget,
) -> Option<(FieldPath, Found)> {
    let Template::Text(text) = template else {
        return None;
    };
    let expression = template
        .only_expression()
        .map_or_else(|| text.raw(), Expression::text);
    if !is_about_the_object(expression) || is_secret_kind(view.shared().request.kind) {
        return None;
    }
    let value = match side {
        Side::Key => &held.key,
        Side::Value => &held.value,
    };
    let found = Found::Computed {
        expression: shown(expression),
        value: beginning_of(value),
    };
    Some((
        element(view, object, budget).unwrap_or_else(FieldPath::root),
        found,
    ))
}

/// Whether an expression speaks of the object, its element or images, or of a context entry.
fn is_about_the_object(expression: &str) -> bool {
    let names_it = ["request.object", "request.oldObject", "element", "images"];
    let names_the_request = ["request.", "serviceAccount"];
    names_it.iter().any(|name| expression.contains(name))
        || !names_the_request.iter().any(|name| expression.contains(name))
}

/// The place of the element that a foreach is at.
fn element(view: &View<'_>, object: &Value, budget: &mut Budget) -> Option<FieldPath> {
    let expression = provost_expression::parse("element").ok()?;
    let datum = view.search(&expression, budget).ok()?;
    place(&datum, object, budget).map(|(path, _)| path)
}

/// The field that `request.object.spec.hostNetwork || false` or `element.securityContext || '{}'` asks for, where the
/// default stands for it: it is not there, or empty.
fn asked(
    expression: &str,
    view: &View<'_>,
    object: &Value,
    budget: &mut Budget,
) -> Option<(FieldPath, Found)> {
    let (path, _) = expression.split_once("||").unwrap_or((expression, ""));
    let path = path.trim();
    let (mut field, names) = match path.strip_prefix("request.object.") {
        Some(names) => (FieldPath::root(), names),
        None => (element(view, object, budget)?, path.strip_prefix("element.")?),
    };
    for name in names_of(names)? {
        field.push_key(name);
    }
    let found = found_at(&field, object);
    Some((field, found))
}

/// The names of a path without functions, projections and the like: `spec.hostNetwork`, `annotations."a/b"`.
fn names_of(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path;
    loop {
        let length = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"')? + 2,
            None => rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len()),
        };
        let name = rest[..length].trim_matches('"');
        if name.is_empty() || name.contains('\\') {
            return None;
        }
        names.push(name.to_owned());
        match &rest[length..] {
            "" => return Some(names),
            more => rest = more.strip_prefix('.')?,
        }
    }
}

/// What the opposite of a condition accepts on one side, the other one staying as it is.
fn accepted(held: &Held<'_>, side: Side) -> String {
    let other = match side {
        Side::Key => &*held.value,
        Side::Value => &*held.key,
    };
    let operator = match side {
        Side::Key => held.condition.operator,
        Side::Value => seen_from_the_value(held.condition.operator),
    };
    let words = shorten(&in_words(other), MAX_ACCEPTED_CHARS).into_owned();
    match (operator, other) {
        (Operator::Equals, Value::Bool(value)) => (!value).to_string(),
        (Operator::In | Operator::AnyIn | Operator::AllIn, _) if side == Side::Value => {
            format!("a list without {words}")
        }
        (Operator::NotIn | Operator::AnyNotIn | Operator::AllNotIn, _) if side == Side::Value => {
            format!("a list with {words}")
        }
        (Operator::Equals | Operator::In | Operator::AnyIn | Operator::AllIn, _) => {
            format!("anything but {words}")
        }
        (Operator::NotEquals | Operator::NotIn | Operator::AnyNotIn | Operator::AllNotIn, _) => words,
        (Operator::GreaterThan | Operator::DurationGreaterThan, _) => format!("at most {words}"),
        (Operator::GreaterThanOrEquals | Operator::DurationGreaterThanOrEquals, _) => {
            format!("less than {words}")
        }
        (Operator::LessThan | Operator::DurationLessThan, _) => format!("at least {words}"),
        (Operator::LessThanOrEquals | Operator::DurationLessThanOrEquals, _) => {
            format!("more than {words}")
        }
    }
}

/// The comparison with its sides exchanged.
fn seen_from_the_value(operator: Operator) -> Operator {
    match operator {
        Operator::GreaterThan | Operator::DurationGreaterThan => Operator::LessThan,
        Operator::GreaterThanOrEquals | Operator::DurationGreaterThanOrEquals => Operator::LessThanOrEquals,
        Operator::LessThan | Operator::DurationLessThan => Operator::GreaterThan,
        Operator::LessThanOrEquals | Operator::DurationLessThanOrEquals => Operator::GreaterThanOrEquals,
        same => same,
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "no value".to_owned(),
        Value::String(text) if text.is_empty() => "an empty value".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => provost_expression::print::number(number),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_words).collect();
            match items.as_slice() {
                [] => "nothing".to_owned(),
                [init @ .., last] if !init.is_empty() => format!("{} or {last}", init.join(", ")),
                [only, ..] => only.clone(),
            }
        }
        other => other.to_string(),
    }
}
