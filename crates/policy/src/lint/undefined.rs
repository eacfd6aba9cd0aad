//! Variables and functions that do not exist where they are used.
//!
//! The parser refuses what can be nothing at all; here each name is looked up where it stands: an entry of a context
//! is known only after it, and only in its rule or foreach.

use provost_expression::{Expression, variables};
use serde_json::Value;

use super::{Findings, Lint, children, items};
use crate::source::{Cursor, nearest};

/// What every expression knows.
const ROOTS: [&str; 4] = [
    "request",
    "images",
    "serviceAccountName",
    "serviceAccountNamespace",
];

/// What a request has.
const REQUEST: [&str; 16] = [
    "object",
    "oldObject",
    "operation",
    "namespace",
    "name",
    "kind",
    "resource",
    "subResource",
    "uid",
    "userInfo",
    "dryRun",
    "options",
    "roles",
    "clusterRoles",
    "requestKind",
    "requestResource",
];

/// The names that are known at one place.
#[derive(Clone)]
struct Names<'d> {
    entries: Vec<&'d str>,
    in_foreach: bool,
}

pub(super) fn lint(rule: &Cursor<'_>, findings: &mut Findings<'_>) {
    let names = Names {
        entries: Vec::new(),
        in_foreach: false,
    };
    look_at(rule, &names, findings);
}

/// Looks at a rule, its `validate`, or a foreach: its context first, then all else.
fn look_at<'d>(owner: &Cursor<'d>, outer: &Names<'d>, findings: &mut Findings<'_>) {
    let mut names = outer.clone();
    for entry in items(owner, "context") {
        context_entry(&entry, &names, findings);
        if let Some(name) = entry.get("name").and_then(|name| name.value().as_str()) {
            names.entries.push(name);
        }
    }
    for (key, child) in children(owner) {
        match key {
            // Filters take no variables.
            "context" | "match" | "exclude" => {}
            "validate" => look_at(&child, &names, findings),
            "foreach" => {
                for foreach in child.list().unwrap_or_default() {
                    let inner = Names {
                        in_foreach: true,
                        ..names.clone()
                    };
                    look_at(&foreach, &inner, findings);
                }
            }
            "list" => expression(&child, outer, findings),
            _ => texts(&child, &names, findings),
        }
    }
}

fn context_entry(entry: &Cursor<'_>, names: &Names<'_>, findings: &mut Findings<'_>) {
    texts(entry, names, findings);
    // With a value, the path is searched in it.
    if let Some(variable) = entry.get("variable")
        && variable.get("value").is_none()
        && let Some(path) = variable.get("jmesPath")
    {
        expression(&path, names, findings);
    }
}

/// Looks at the variables of every text at and below a field.
fn texts(cursor: &Cursor<'_>, names: &Names<'_>, findings: &mut Findings<'_>) {
    match cursor.value() {
        Value::String(text) => variables_of(cursor, text, names, findings),
        Value::Object(_) => {
            for (key, child) in children(cursor) {
                variables_of(&child, key, names, findings);
                texts(&child, names, findings);
            }
        }
        Value::Array(_) => {
            for item in cursor.list().unwrap_or_default() {
                texts(&item, names, findings);
            }
        }
        _ => {}
    }
}

fn variables_of(cursor: &Cursor<'_>, text: &str, names: &Names<'_>, findings: &mut Findings<'_>) {
    for variable in variables::variables(text).filter(|variable| !variable.contains("{{")) {
        if let Ok(parsed) = provost_expression::parse(variable) {
            check(&parsed, cursor, names, findings);
        }
    }
}

/// Looks at a field that is an expression, without braces.
fn expression(cursor: &Cursor<'_>, names: &Names<'_>, findings: &mut Findings<'_>) {
    let Some(text) = cursor.value().as_str().filter(|text| !text.contains("{{")) else {
        return;
    };
    if let Ok(parsed) = provost_expression::parse(text) {
        check(&parsed, cursor, names, findings);
    }
}

fn check(expression: &Expression, cursor: &Cursor<'_>, names: &Names<'_>, findings: &mut Findings<'_>) {
    let text = expression.text();
    for reference in expression.references() {
        let why = match reference.as_slice() {
            ["request", field, ..] if !REQUEST.contains(field) && *field != "requestSubResource" => {
                format!("{text}: a request has no {field}{}", hint(field, &REQUEST))
            }
            [root, ..] if !names.know(root) => {
                format!("{text}: no name {root} is known here{}", hint(root, &names.all()))
            }
            _ => continue,
        };
        findings.warn(
            Lint::Undefined,
            &cursor.fault(why),
            "Where the rule comes to it, it ends in an error.",
        );
    }
    for function in expression.unknown_functions() {
        let fault = cursor.fault(format!("{text}: there is no function {function}"));
        findings.warn(
            Lint::Undefined,
            &fault,
            "Where the rule comes to it, it ends in an error.",
        );
    }
}

fn hint(word: &str, known: &[&str]) -> String {
    let near = nearest(word, known);
    near.map(|near| format!("; did you mean \"{near}\"?"))
        .unwrap_or_default()
}

// === impl Names ===

impl Names<'_> {
    fn all(&self) -> Vec<&str> {
        let mut all = self.entries.clone();
        all.extend(ROOTS);
        if self.in_foreach {
            all.extend(["element", "elementIndex"]);
        }
        all
    }

    fn know(&self, root: &str) -> bool {
        let is_element = || {
            let rest = root
                .strip_prefix("elementIndex")
                .or_else(|| root.strip_prefix("element"));
            rest.is_some_and(|depth| depth.bytes().all(|byte| byte.is_ascii_digit()))
        };
        // A dotted name of an entry is found by its first part.
        let is_entry = |entry: &&str| entry.split('.').next() == Some(root);
        ROOTS.contains(&root) || self.entries.iter().any(is_entry) || (self.in_foreach && is_element())
    }
}
