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
pub use split::{Part, Parts, parts};

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
/// Most documents of one stream that are held at once, those that cannot be read included.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Most maps, lists and scalars of all documents of one stream that are held at once; some 100 bytes each.
pub const MAX_STREAM_NODES: usize = 1_000_000;

/// One document of a stream.
#[derive(Debug)]
pub struct Document {
    /// What it holds; never null.
    pub value: Value,
    /// Which document of those read together this is, from 0; empty ones are not counted.
    pub index: usize,
    /// Line of the file on which the document's text begins, from 1.
    pub first_line: usize,
    /// How many maps, lists and scalars it holds.
    nodes: usize,
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

/// Reads every document of a stream, each on its own: an error stands in its document's place. What is beyond the bounds
/// of a stream is not read, and an error says so at the end.
pub fn parse_stream(text: &str) -> Vec<Result<Document, YamlError>> {
    parse_stream_with(text, Duplicates::Refused)
}

/// As [`parse_stream`], with a choice of what becomes of duplicate keys.
pub fn parse_stream_with(text: &str, duplicates: Duplicates) -> Vec<Result<Document, YamlError>> {
    let mut documents: Vec<Result<Document, YamlError>> = Vec::new();
    let mut nodes_left = MAX_STREAM_NODES;
    for document in documents_with(text, duplicates) {
        let nodes = document.as_ref().map_or(1, |document| document.nodes);
        let refused = match nodes_left.checked_sub(nodes) {
            None => Some(format!("{MAX_STREAM_NODES} fields and values")),
            Some(_) if documents.len() == MAX_DOCUMENTS => Some(format!("{MAX_DOCUMENTS} documents")),
            Some(left) => {
                nodes_left = left;
                None
            }
        };
        if let Some(most) = refused {
            let line = document.map_or_else(|error| error.line, |document| document.first_line);
            let message = format!("the stream holds more than {most}: split it into several files");
            documents.push(Err(YamlError::new(line, 1, message)));
            break;
        }
        documents.push(document);
    }
    documents
}

/// Reads the documents of a stream one after the other, for who holds one at a time; see [`parse_stream`].
pub fn documents(text: &str) -> impl Iterator<Item = Result<Document, YamlError>> {
    documents_with(text, Duplicates::Refused)
}

fn documents_with(text: &str, duplicates: Duplicates) -> impl Iterator<Item = Result<Document, YamlError>> {
    let too_long = (text.len() > MAX_STREAM_BYTES).then(|| {
        let message = format!("the stream is larger than {} MiB", MAX_STREAM_BYTES >> 20);
        Err(YamlError::new(1, 1, message))
    });
    let stream = if too_long.is_some() { "" } else { text };
    let mut index = 0;
    let read = parts(stream).filter_map(move |part| {
        let read = read_part(&part, duplicates, index);
        index += usize::from(matches!(read, Some(Ok(_))));
        read
    });
    too_long.into_iter().chain(read)
}

/// Reads one part of a stream; for who reads the parts of a long stream side by side. `None` where it is null.
pub fn parse_part(part: &Part<'_>) -> Option<Result<Document, YamlError>> {
    read_part(part, Duplicates::Refused, 0)
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

fn read_part(part: &Part<'_>, duplicates: Duplicates, index: usize) -> Option<Result<Document, YamlError>> {
    if part.text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("the document is larger than {} MiB", MAX_DOCUMENT_BYTES >> 20);
        return Some(Err(YamlError::new(part.line, 1, message)));
    }
    // What looks like JSON may still be a YAML flow mapping: only a whole success counts.
    let json = part
        .looks_like_json()
        .then(|| tree::read_json(part.text, duplicates))
        .flatten();
    let read = json.map_or_else(|| tree::read_yaml(part.text, duplicates), Ok);
    match read {
        Ok((Value::Null, _)) => None,
        Ok(value) => Some(Ok(Document::new(value, index, part))),
        Err(error) => Some(Err(error.below(part.line))),
    }
}

// === impl Document ===

impl Document {
    fn new((value, nodes): (Value, usize), index: usize, part: &Part<'_>) -> Self {
        Self {
            value,
            index,
            first_line: part.line,
            nodes,
            text: part.text.into(),
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
