//! Where a stream falls into documents.

/// A stretch of a stream that holds one YAML document, or JSON documents one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Part<'t> {
    /// The text, with the `---` line only where that line carries content.
    pub(super) text: &'t str,
    /// Line of the stream on which the text begins, from 1.
    pub(super) line: usize,
}

/// The parts of a stream that hold anything.
///
/// A line that begins with `---` or `...` at its first column and goes on with white space or ends is a marker
/// everywhere in YAML, also where a block scalar or a quoted one is open: no content can begin so.
pub fn parts(stream: &str) -> Vec<Part<'_>> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let mut parts = Vec::new();
    let mut open = (0, 1);
    let mut offset = 0;
    for (number, line) in (1..).zip(stream.split_inclusive('\n')) {
        let after = offset + line.len();
        if let Some(content) = after_marker(line, "---") {
            push(&mut parts, &stream[open.0..offset], open.1);
            open = if is_blank(content) {
                (after, number + 1)
            } else {
                (offset, number)
            };
        } else if after_marker(line, "...").is_some() {
            push(&mut parts, &stream[open.0..offset], open.1);
            open = (after, number + 1);
        }
        offset = after;
    }
    push(&mut parts, &stream[open.0..], open.1);
    parts
}

// === impl Part ===

impl Part<'_> {
    pub(super) fn looks_like_json(&self) -> bool {
        self.text.trim_start().starts_with(['{', '['])
    }
}

fn push<'t>(parts: &mut Vec<Part<'t>>, text: &'t str, line: usize) {
    // A directive (`%YAML 1.2`) stands before the marker of its document and changes nothing that we read.
    if !text.lines().all(|line| is_blank(line) || line.starts_with('%')) {
        parts.push(Part { text, line });
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
