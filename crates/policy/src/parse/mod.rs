//! From YAML to policies whose every field is understood.
//!
//! A field that the language does not have is refused with the name it was probably meant to be; one that the
//! language has and Provost does not do (yet) is refused by name. A fault leaves the other documents alone.

mod filter;
mod policy;
mod rule;

pub(crate) use filter::{label_selector, matches};
pub(crate) use rule::rule;

use std::sync::Arc;

use provost_manifest::yaml::{self, YamlError};

use crate::fault::{Fault, Place};
use crate::policy::Parsed;
use crate::source::{Cursor, Source};

/// Reads a stream of policies.
pub(crate) fn stream(text: &str, file: &str) -> Parsed {
    let file: Arc<str> = Arc::from(file);
    let mut parsed = Parsed::default();
    for document in yaml::parse_stream(text) {
        match document {
            Ok(document) => {
                let source = Source::File {
                    file: Arc::clone(&file),
                    document: &document,
                };
                match policy::policy(&Cursor::new(&document.value, &source)) {
                    Ok(policy) => parsed.policies.push(policy),
                    Err(mut faults) => parsed.faults.append(&mut faults),
                }
            }
            Err(error) => parsed.faults.push(syntax_fault(&error, text, &file)),
        }
    }
    parsed
}

/// Reads one policy.
pub(crate) fn document(root: &Cursor<'_>) -> Result<crate::policy::Policy, Vec<Fault>> {
    policy::policy(root)
}

fn syntax_fault(error: &YamlError, text: &str, file: &Arc<str>) -> Fault {
    let source = text.lines().nth(error.line.saturating_sub(1)).unwrap_or("");
    Fault {
        message: error.message.clone(),
        subject: String::new(),
        place: Some(Place::new(file, error.line, error.column, 1, source)),
    }
}

#[cfg(test)]
mod tests;
