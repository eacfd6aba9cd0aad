//! YAML and JSON streams, read as kubectl reads them and written so that kubectl reads the same back.
//!
//! Flow: a stream is split at its `---` lines first, so that one broken document does not hide the others and no
//! whole-stream limit applies; each document is then parsed on its own into a [`Value`]. Where a field stands in
//! the file is worked out only when somebody asks ([`Document::positions`]): almost every object is accepted, and
//! an accepted object needs no position.
//!
//! Guarantees: the same values as kubectl (`yes` and `on` are booleans, also as keys; `0644` is octal; `1.0` is the
//! integer 1; merge keys are merged; empty documents are skipped), except that a duplicate key is an error here,
//! where kubectl keeps the last ([`Duplicates`]). No input takes more than the bounds below.

mod positions;
mod split;
mod tree;

use std::sync::OnceLock;

use serde_json::Value;

use crate::path::FieldPath;

pub use positions::{Position, Positions};
pub use split::{Part, parts};

/// The longest stream that is read.
pub const MAX_STREAM_BYTES: usize = 64 * 1024 * 1024;
/// The longest single document that is read; etcd keeps no object larger than about 1.5 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 8 * 1024 * 1024;
/// Most maps, lists and scalars in one document, aliases expanded. Each takes up to 430 bytes while a document is read
/// and its places are looked up, so that none takes more than 64 MiB.
pub const MAX_NODES: usize = 150_000;
/// Deepest nesting of maps and lists in one document. The deepest schemas of real CRDs reach about 40; the parser
/// calls itself at each level, and must fit a thread's 2 MiB stack in an unoptimised build too.
pub const MAX_DEPTH: usize = 64;
/// Most aliases (`*name`) in one document.
pub const MAX_ALIASES: usize = 10_000;

/// One document of a stream.
#[derive(Debug)]
pub struct Document {
    /// What it holds; never null.
    pub value: Value,
    /// Which document of those read together this is, from 0; empty ones are not counted.
    pub index: usize,
    /// Line of the file on which the document's text begins, from 1.
    pub first_line: usize,
    text: Box<str>,
    positions: OnceLock<Positions>,
}

/// Why a document could not be read, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in that line, in characters from 1.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
}

/// A value that cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be written as YAML")]
pub struct WriteError(#[source] serde_saphyr::SerializeError);

/// What becomes of a key that stands twice in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The document is an error: one of the two is not what its author thinks.
    Refused,
    /// The last counts, as kubectl has it: for files that others have written and that are to be read as they stand.
    LastCounts,
}

/// Reads every document of a stream, each on its own: an error stands in its document's place.
pub fn parse_stream(text: &str) -> Vec<Result<Document, YamlError>> {
    parse_stream_with(text, Duplicates::Refused)
}

/// As [`parse_stream`], with a choice of what becomes of duplicate keys.
pub fn parse_stream_with(text: &str, duplicates: Duplicates) -> Vec<Result<Document, YamlError>> {
    if text.len() > MAX_STREAM_BYTES {
        let message = format!("the stream is larger than {} MiB", MAX_STREAM_BYTES >> 20);
        return vec![Err(YamlError::new(1, 1, message))];
    }
    let mut documents = Vec::new();
    for part in parts(text) {
        read_part(&part, duplicates, &mut documents);
    }
    documents
}

/// Reads one part of a stream; for who reads the parts of a long stream side by side.
pub fn parse_part(part: &Part<'_>) -> Vec<Result<Document, YamlError>> {
    let mut documents = Vec::new();
    read_part(part, Duplicates::Refused, &mut documents);
    documents
}

/// Reads a stream that must hold exactly one document.
pub fn parse_one(text: &str) -> Result<Document, YamlError> {
    parse_one_with(text, Duplicates::Refused)
}

/// As [`parse_one`], with a choice of what becomes of duplicate keys.
pub fn parse_one_with(text: &str, duplicates: Duplicates) -> Result<Document, YamlError> {
    let mut documents = parse_stream_with(text, duplicates);
    if documents.len() > 1 {
        let line = documents
            .get(1)
            .and_then(|second| second.as_ref().ok())
            .map_or(1, |second| second.first_line);
        let message = format!("found {} documents where one is wanted", documents.len());
        return Err(YamlError::new(line, 1, message));
    }
    documents
        .pop()
        .unwrap_or_else(|| Err(YamlError::new(1, 1, "there is no document".to_owned())))
}

/// Writes a value as a YAML document that kubectl reads back as the same value.
pub fn to_string(value: &Value) -> Result<String, WriteError> {
    serde_saphyr::to_string(value).map_err(WriteError)
}

/// Reads one part: a YAML document, or JSON documents one after the other, as kubectl takes them.
fn read_part(part: &Part<'_>, duplicates: Duplicates, documents: &mut Vec<Result<Document, YamlError>>) {
    if part.text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("the document is larger than {} MiB", MAX_DOCUMENT_BYTES >> 20);
        documents.push(Err(YamlError::new(part.line, 1, message)));
        return;
    }
    // What looks like JSON may still be a YAML flow mapping: only a whole success counts.
    if part.looks_like_json()
        && let Some(values) = tree::read_json(part.text, duplicates)
    {
        for (value, at) in values {
            let line = part.line + part.text[..at.start].matches('\n').count();
            documents.push(Ok(Document::new(value, documents.len(), line, &part.text[at])));
        }
        return;
    }
    match tree::read_yaml(part.text, duplicates) {
        Ok(Value::Null) => {}
        Ok(value) => documents.push(Ok(Document::new(value, documents.len(), part.line, part.text))),
        Err(error) => documents.push(Err(error.below(part.line))),
    }
}

// === impl Document ===

impl Document {
    fn new(value: Value, index: usize, first_line: usize, text: &str) -> Self {
        Self {
            value,
            index,
            first_line,
            text: text.into(),
            positions: OnceLock::new(),
        }
    }

    /// Where each field stands in the file; worked out at the first call.
    pub fn positions(&self) -> &Positions {
        self.positions
            .get_or_init(|| Positions::of(&self.text, self.first_line))
    }

    /// Where what it holds begins. Cheap, unlike the places of its fields: a line that says it at once needs no parser.
    pub fn start(&self) -> Position {
        let mut lines = self.first_line..;
        for (line, text) in lines.by_ref().zip(self.text.lines()) {
            let content = text.trim_start_matches([' ', '\t']);
            match content.chars().next() {
                None | Some('#' | '\r') => {}
                Some('{' | '"' | '\'' | 'a'..='z' | 'A'..='Z' | '0'..='9') => {
                    return Position {
                        line,
                        column: text.len() - content.len() + 1,
                        length: 1,
                    };
                }
                // What may stand before the content proper: directives, tags, anchors, the marker of the document.
                Some(_) => break,
            }
        }
        self.positions().nearest(&FieldPath::root())
    }

    /// The document's own text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

// === impl YamlError ===

impl YamlError {
    fn new(line: usize, column: usize, message: String) -> Self {
        Self {
            line,
            column,
            message,
        }
    }

    /// Its place in the file.
    pub fn position(&self) -> Position {
        Position {
            line: self.line,
            column: self.column,
            length: 1,
        }
    }

    /// The same error seen from the whole file, where the part begins on `first_line`.
    fn below(mut self, first_line: usize) -> Self {
        self.line += first_line.saturating_sub(1);
        self
    }
}

#[cfg(test)]
mod tests;
