//! Where a stream falls into documents.

use serde::de::IgnoredAny;

use super::MAX_NODES;

/// A stretch of a stream that holds one document.
#[derive(Clone, Copy, Debug)]
pub struct Part<'t> {
    /// The text, with the `---` line only where that line carries content.
    pub(super) text: &'t str,
    /// Line of the stream on which the text begins, from 1.
    pub(super) line: usize,
}

/// The parts of a stream, one after the other.
#[derive(Clone, Debug)]
pub struct Parts<'t> {
    /// What is still to be split.
    rest: &'t str,
    /// Line of the stream on which that begins, from 1.
    line: usize,
    /// What is left of a part that holds several JSON documents.
    json: Option<Part<'t>>,
}

/// The parts of a stream that hold anything, each a document of its own.
///
/// A line that begins with `---` or `...` at its first column and goes on with white space or ends is a marker
/// everywhere in YAML, also where a block scalar or a quoted one is open: no content can begin so. Between two markers
/// may stand several JSON documents, as kubectl takes them. Splitting holds no more than the place where it is.
pub fn parts(stream: &str) -> Parts<'_> {
    Parts {
        rest: stream.strip_prefix('\u{feff}').unwrap_or(stream),
        line: 1,
        json: None,
    }
}

// === impl Parts ===

impl<'t> Iterator for Parts<'t> {
    type Item = Part<'t>;

    fn next(&mut self) -> Option<Part<'t>> {
        loop {
            if let Some(part) = self.json.take() {
                let (first, rest) = part.split_json();
                self.json = rest;
                return Some(first);
            }
            if self.rest.is_empty() {
                return None;
            }
            let part = self.take_to_marker();
            if part.is_empty() {
                continue;
            }
            if !part.is_json_documents() {
                return Some(part);
            }
            self.json = Some(part);
        }
    }
}

impl<'t> Parts<'t> {
    /// Takes what stands before the next marker.
    fn take_to_marker(&mut self) -> Part<'t> {
        let (text, first) = (self.rest, self.line);
        let part = |end: usize| Part {
            text: &text[..end],
            line: first,
        };
        let mut offset = 0;
        for (number, line) in (first..).zip(text.split_inclusive('\n')) {
            let after = offset + line.len();
            if let Some(content) = after_marker(line, "---") {
                // What the marker's own line carries belongs to its document, and is no marker of a next one.
                let begins = offset == 0 && number == first;
                if is_blank(content) {
                    (self.rest, self.line) = (&text[after..], number + 1);
                    return part(offset);
                } else if !begins {
                    (self.rest, self.line) = (&text[offset..], number);
                    return part(offset);
                }
            } else if after_marker(line, "...").is_some() {
                (self.rest, self.line) = (&text[after..], number + 1);
                return part(offset);
            }
            offset = after;
        }
        self.rest = "";
        part(offset)
    }
}

// === impl Part ===

#[expect(
    clippy::len_without_is_empty,
    reason = "a part that is given out is not empty"
)]
impl Part<'_> {
    /// How many bytes of the stream it takes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// So many nodes at most that it has, without reading it: each but the first follows a mark of its own. An alias may
    /// stand for as many as a document may have.
    pub fn most_nodes(&self) -> usize {
        let is_mark = |byte: &u8| matches!(byte, b'\n' | b',' | b':' | b'-' | b'?' | b'[' | b'{');
        if self.text.contains('&') && self.text.contains('*') {
            return MAX_NODES;
        }
        let marks = self.text.bytes().filter(|byte| is_mark(byte)).count();
        MAX_NODES.min(marks + 1)
    }

    pub(super) fn looks_like_json(&self) -> bool {
        self.text.trim_start().starts_with(['{', '['])
    }

    /// Nothing but comments. A directive (`%YAML 1.2`) stands before the marker of its document and changes nothing
    /// that we read.
    fn is_empty(&self) -> bool {
        self.text
            .lines()
            .all(|line| is_blank(line) || line.starts_with('%'))
    }

    /// Whether it is JSON from end to end, and more than one document. What looks like JSON may be a YAML flow mapping.
    fn is_json_documents(&self) -> bool {
        if !self.looks_like_json() {
            return false;
        }
        let mut documents = 0;
        for document in serde_json::Deserializer::from_str(self.text).into_iter::<IgnoredAny>() {
            if document.is_err() {
                return false;
            }
            documents += 1;
        }
        documents > 1
    }

    /// The first of its JSON documents, and the others.
    fn split_json(self) -> (Self, Option<Self>) {
        let mut documents = serde_json::Deserializer::from_str(self.text).into_iter::<IgnoredAny>();
        documents.next();
        let (first, rest) = self.text.split_at(documents.byte_offset());
        let next = rest.trim_start();
        let between = &rest[..rest.len() - next.len()];
        let lines = |text: &str| text.matches('\n').count();
        let others = Self {
            text: next,
            line: self.line + lines(first) + lines(between),
        };
        let first = Self { text: first, ..self };
        (first, (!next.is_empty()).then_some(others))
    }
}

fn after_marker<'l>(line: &'l str, marker: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(marker)?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
}

/// Nothing but white space or a comment.
fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}
