//! From YAML to policies whose every field is understood.
//!
//! A field that the language does not have is refused with the name it was probably meant to be; one that the
//! language has and Provost does not do (yet) is refused by name. A fault leaves the other documents alone.

mod call;
mod cel;
mod check;
mod conditions;
mod context;
mod exception;
mod filter;
mod global;
mod pod_security;
mod policy;
mod rule;
mod sense;
mod template;

pub(crate) use conditions::conditions;
pub(crate) use context::context;
pub(crate) use exception::exception;
pub(crate) use filter::{label_selector, matches};
pub(crate) use global::global_entry;
pub(crate) use rule::rule;

use std::sync::Arc;

use provost_manifest::yaml::{self, YamlError};

use crate::fault::{Fault, Place, Reason};
use crate::policy::Parsed;
use crate::source::{Cursor, Source};

/// Most that is told to be wrong with a stream.
pub(crate) const MAX_FAULTS: usize = 200;

/// Reads a stream of policies.
pub(crate) fn stream(text: &str, file: &str) -> Parsed {
    let file: Arc<str> = Arc::from(file);
    let mut parsed = Parsed::default();
    for document in yaml::documents(text) {
        if parsed.faults.len() > MAX_FAULTS {
            parsed.faults.truncate(MAX_FAULTS);
            parsed.faults.push(too_many_faults(&file));
            break;
        }
        match document {
            Ok(document) => {
                let source = Source::File {
                    file: Arc::clone(&file),
                    document: &document,
                };
                parsed.read(&Cursor::new(&document.value, &source));
            }
            Err(error) => parsed.faults.push(syntax_fault(&error, text, &file)),
        }
    }
    parsed
}

impl Parsed {
    fn read(&mut self, document: &Cursor<'_>) {
        match document.value().get("kind").and_then(serde_json::Value::as_str) {
            Some("PolicyException") => match exception(document) {
                Ok(exception) => self.exceptions.push(exception),
                Err(fault) => self.faults.push(fault),
            },
            Some("GlobalContextEntry") => match global_entry(document) {
                Ok(entry) => self.globals.push(entry),
                Err(fault) => self.faults.push(fault),
            },
            _ => match policy::policy(document) {
                Ok(policy) => self.policies.push(policy),
                Err(mut faults) => self.faults.append(&mut faults),
            },
        }
    }
}

/// Reads one policy.
pub(crate) fn document(root: &Cursor<'_>) -> Result<crate::policy::Policy, Vec<Fault>> {
    policy::policy(root)
}

fn too_many_faults(file: &Arc<str>) -> Fault {
    Fault {
        reason: Reason::Mistake,
        message: format!("more than {MAX_FAULTS} faults: the rest of the file is not read"),
        subject: String::new(),
        field: Box::default(),
        place: Some(Place::new(file, 1, 1, 1, "")),
    }
}

/// What is wrong with a document that is no YAML.
pub(crate) fn syntax_fault(error: &YamlError, text: &str, file: &Arc<str>) -> Fault {
    let source = text.lines().nth(error.line.saturating_sub(1)).unwrap_or("");
    Fault {
        reason: Reason::Mistake,
        message: error.message.clone(),
        subject: String::new(),
        field: Box::default(),
        place: Some(Place::new(file, error.line, error.column, 1, source)),
    }
}

#[cfg(test)]
mod tests;
