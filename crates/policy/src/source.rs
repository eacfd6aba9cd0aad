//! Reading a document field by field, with every complaint at its place in the file.

use std::sync::Arc;

use provost_manifest::escape;
use provost_manifest::path::{FieldPath, Segment};
use provost_manifest::wildcard::Wildcard;
use provost_manifest::yaml::{Document, Position, Positions};
use serde_json::{Map, Value};

use crate::fault::{Fault, MAX_MESSAGE_CHARS, Place, Reason};

/// What a document is read from.
#[derive(Clone, Debug)]
pub(crate) enum Source<'d> {
    /// A document of a file.
    File {
        /// The file, as it was named by whoever read it.
        file: Arc<str>,
        /// The document, which knows its places.
        document: &'d Document,
    },
    /// An object, from the cluster or made here: it has no places.
    Object,
}

/// One value of a document, and where it is.
#[derive(Clone)]
pub(crate) struct Cursor<'d> {
    value: &'d Value,
    path: FieldPath,
    source: &'d Source<'d>,
}

// === impl Cursor ===

impl<'d> Cursor<'d> {
    pub(crate) fn new(value: &'d Value, source: &'d Source<'d>) -> Self {
        Self {
            value,
            path: FieldPath::root(),
            source,
        }
    }

    pub(crate) fn value(&self) -> &'d Value {
        self.value
    }

    /// The name of this field, `validate` for `spec.rules[0].validate`.
    pub(crate) fn name(&self) -> String {
        let named = self
            .path
            .segments()
            .iter()
            .rev()
            .find_map(|segment| match segment {
                Segment::Key(key) => Some(key.clone()),
                Segment::Index(_) => None,
            });
        named.unwrap_or_else(|| "the document".to_owned())
    }

    /// A child that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        self.entry(key).filter(|cursor| !cursor.value.is_null())
    }

    /// A child that is there, be it null.
    pub(crate) fn entry(&self, key: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(key)?;
        Some(Self {
            value,
            path: self.path.key(key),
            source: self.source,
        })
    }

    /// A child that must be there.
    pub(crate) fn require(&self, key: &str) -> Result<Self, Fault> {
        self.get(key)
            .ok_or_else(|| self.key_fault(format!("{} needs the field \"{key}\"", self.name())))
    }

    pub(crate) fn text(&self) -> Result<&'d str, Fault> {
        self.value.as_str().ok_or_else(|| self.wrong_type("text"))
    }

    pub(crate) fn bool(&self) -> Result<bool, Fault> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong_type("true or false"))
    }

    pub(crate) fn int(&self) -> Result<i64, Fault> {
        self.value
            .as_i64()
            .ok_or_else(|| self.wrong_type("a whole number"))
    }

    pub(crate) fn map(&self) -> Result<&'d Map<String, Value>, Fault> {
        self.value.as_object().ok_or_else(|| self.wrong_type("a map"))
    }

    pub(crate) fn list(&self) -> Result<Vec<Self>, Fault> {
        let items = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        let item = |(index, value)| Self {
            value,
            path: self.path.index(index),
            source: self.source,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(crate) fn texts(&self) -> Result<Vec<&'d str>, Fault> {
        self.list()?.iter().map(Self::text).collect()
    }

    pub(crate) fn wildcard(&self) -> Result<Wildcard, Fault> {
        self.wildcard_from(self.text()?)
    }

    /// A wildcard made of this field.
    pub(crate) fn wildcard_from(&self, text: &str) -> Result<Wildcard, Fault> {
        Wildcard::new(text).map_err(|error| self.fault(error.to_string()))
    }

    /// The list of wildcards below `key`; empty where there is none.
    pub(crate) fn wildcards_of(&self, key: &str) -> Result<Vec<Wildcard>, Fault> {
        self.get(key).map_or(Ok(Vec::new()), |cursor| {
            cursor.list()?.iter().map(Self::wildcard).collect()
        })
    }

    /// The list of texts below `key`; empty where there is none.
    pub(crate) fn texts_of(&self, key: &str) -> Result<Vec<&'d str>, Fault> {
        self.get(key).map_or(Ok(Vec::new()), |cursor| cursor.texts())
    }

    /// The switch below `key`, or what holds where it is not said.
    pub(crate) fn bool_of(&self, key: &str, default: bool) -> Result<bool, Fault> {
        self.get(key).map_or(Ok(default), |cursor| cursor.bool())
    }

    /// The children of a map, in order.
    pub(crate) fn children(&self) -> Result<Vec<(&'d str, Self)>, Fault> {
        let child = |(key, value): (&'d String, &'d Value)| {
            let cursor = Self {
                value,
                path: self.path.key(key),
                source: self.source,
            };
            (key.as_str(), cursor)
        };
        Ok(self.map()?.iter().map(child).collect())
    }

    /// Refuses a map that holds another field than these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        for (key, child) in self.children()? {
            if !known.contains(&key) {
                let hint = nearest(key, known)
                    .map(|near| format!("; did you mean \"{near}\"?"))
                    .unwrap_or_default();
                return Err(child.key_fault(format!("unknown field \"{key}\" in {}{hint}", self.name())));
            }
        }
        Ok(())
    }

    /// Refuses fields that the language has and Provost does not do.
    pub(crate) fn refuse(&self, unsupported: &[(&str, &str)]) -> Result<(), Fault> {
        for (key, reason) in unsupported {
            if let Some(child) = self.get(key) {
                return Err(child
                    .key_fault(format!("{key} is not supported: {reason}"))
                    .unsupported());
            }
        }
        Ok(())
    }

    /// A complaint about the value.
    pub(crate) fn fault(&self, message: impl Into<String>) -> Fault {
        self.fault_at(
            &message.into(),
            self.positions().and_then(|p| p.of_value(&self.path)),
        )
    }

    /// A complaint about the field as a whole: points at its key.
    pub(crate) fn key_fault(&self, message: impl Into<String>) -> Fault {
        self.fault_at(&message.into(), self.positions().map(|p| p.nearest(&self.path)))
    }

    /// Where the value stands.
    pub(crate) fn place(&self) -> Option<Place> {
        self.source.place(self.positions()?.of_value(&self.path)?)
    }

    fn positions(&self) -> Option<&'d Positions> {
        match self.source {
            Source::File { document, .. } => Some(document.positions()),
            Source::Object => None,
        }
    }

    fn fault_at(&self, message: &str, position: Option<Position>) -> Fault {
        let message = escape::shorten(message, MAX_MESSAGE_CHARS).into_owned();
        Fault {
            reason: Reason::Mistake,
            message,
            subject: String::new(),
            field: Box::new(self.path.clone()),
            place: position
                .or_else(|| Some(self.positions()?.nearest(&self.path)))
                .and_then(|position| self.source.place(position)),
        }
    }

    fn wrong_type(&self, wanted: &str) -> Fault {
        let found = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        self.fault(format!("{} must be {wanted}, found {found}", self.name()))
    }
}

// === impl Source ===

impl Source<'_> {
    fn place(&self, position: Position) -> Option<Place> {
        let Self::File { file, document } = self else {
            return None;
        };
        let lines_above = document.first_line.saturating_sub(1);
        let source = document
            .text()
            .lines()
            .nth(position.line.checked_sub(lines_above + 1)?)?;
        Some(Place::new(
            file,
            position.line,
            position.column,
            position.length,
            source,
        ))
    }
}

/// The known name that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let most = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|name| (distance(&word.to_lowercase(), &name.to_lowercase()), *name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance with swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("patern", &["pattern", "anyPattern", "deny"], Some("pattern"))]
    #[case("mesage", &["message", "match"], Some("message"))]
    #[case("Kinds", &["kinds", "names"], Some("kinds"))]
    #[case("banana", &["kinds", "names"], None)]
    fn a_misspelt_field_is_told_its_neighbour(
        #[case] word: &str,
        #[case] known: &[&str],
        #[case] near: Option<&str>,
    ) {
        assert_eq!(nearest(word, known), near);
    }
}
