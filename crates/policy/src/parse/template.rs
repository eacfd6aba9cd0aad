//! Reads texts and documents with variables, and checks that each variable can have a value.

use provost_expression::variables;
use serde_json::Value;

use crate::context::Entry;
use crate::fault::Fault;
use crate::source::Cursor;
use crate::template::{Template, TextTemplate};

/// The names that variables may use at one place of a rule.
#[derive(Clone)]
pub(crate) struct Names<'e> {
    /// Context entries, of the rule and of foreach around.
    pub(crate) entries: Vec<&'e str>,
    /// Whether the place is inside of a foreach.
    pub(crate) element: bool,
    /// Whether the policy judges existing objects, where nobody makes a request.
    pub(crate) background: bool,
}

/// What nobody has in a scan of existing objects.
const OF_A_USER: [&str; 5] = [
    "serviceAccountName",
    "serviceAccountNamespace",
    "request.userInfo",
    "request.roles",
    "request.clusterRoles",
];

// === impl Names ===

impl<'e> Names<'e> {
    /// With the names of a context beside these.
    pub(crate) fn with(&self, entries: &'e [Entry]) -> Self {
        let mut names = self.clone();
        names
            .entries
            .extend(entries.iter().map(|entry| entry.name.as_str()));
        names
    }

    /// Inside of a foreach.
    pub(crate) fn inside(&self) -> Self {
        Self {
            element: true,
            ..self.clone()
        }
    }

    /// Refuses an expression that can never have a value here.
    fn check(&self, expression: &str) -> Result<(), String> {
        let plain = expression.replace('"', "");
        if self.background
            && let Some(name) = OF_A_USER.iter().find(|name| mentions(&plain, name))
        {
            return Err(format!(
                "{name} is not known when existing objects are judged; set background: false, or do without"
            ));
        }
        if plain.contains("element") && !self.element && !self.known(&plain) {
            return Err("element is known only inside of a foreach".to_owned());
        }
        if plain == "@" {
            return Err("@ alone is not supported; name the field".to_owned());
        }
        if self.known(&plain) || plain.contains("element") {
            return Ok(());
        }
        Err("no such name; request, images, element (in a foreach) and context entries are known".to_owned())
    }

    fn known(&self, plain: &str) -> bool {
        let is_call = || {
            plain.match_indices('(').any(|(at, _)| {
                plain[..at].ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            })
        };
        [
            "request",
            "serviceAccountName",
            "serviceAccountNamespace",
            "@",
            "images",
            "image",
        ]
        .iter()
        .any(|name| plain.contains(name))
            || self.entries.iter().any(|name| plain.contains(name))
            || is_call()
    }
}

/// Whether a text speaks of a name as such, not as a field below another.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with('.'))
}

/// Reads a document with variables.
pub(crate) fn template(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Template, Fault> {
    check(cursor, names)?;
    Template::compile(cursor.value()).map_err(|error| cursor.fault(error.to_string()))
}

/// Reads a text with variables.
pub(crate) fn text(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<TextTemplate, Fault> {
    let text = cursor.text()?;
    check(cursor, names)?;
    TextTemplate::compile(text).map_err(|error| cursor.fault(error.to_string()))
}

/// Checks every variable at and below a field, each at its own place.
pub(crate) fn check(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<(), Fault> {
    let check_text = |cursor: &Cursor<'_>, text: &str| {
        for expression in variables::variables(text).filter(|expression| !expression.contains("{{")) {
            let checked = provost_expression::parse(expression)
                .map_err(|error| error.to_string())
                .and_then(|_| names.check(expression));
            checked.map_err(|why| {
                let fault = cursor.fault(format!("{{{{{expression}}}}}: {why}"));
                // The field itself: the language has it, though it hardly ever has a value.
                if expression == "@" {
                    fault.unsupported()
                } else {
                    fault
                }
            })?;
        }
        Ok(())
    };
    match cursor.value() {
        Value::String(text) => check_text(cursor, text),
        Value::Object(_) => cursor.children()?.iter().try_for_each(|(key, child)| {
            check_text(child, key)?;
            check(child, names)
        }),
        Value::Array(_) => cursor.list()?.iter().try_for_each(|item| check(item, names)),
        _ => Ok(()),
    }
}
