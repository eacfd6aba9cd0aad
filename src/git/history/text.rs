//! Git's bytes as text.

use std::fmt::Write as _;

/// How a commit's text is written. Git takes a commit's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    /// ISO 8859-1, the only other one that is still met with.
    Latin1,
}

impl Encoding {
    pub(super) fn of(commit: &git2::Commit<'_>) -> Self {
        let named = commit
            .message_encoding()
            .ok()
            .flatten()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if matches!(named.as_str(), "iso-8859-1" | "iso8859-1" | "latin1" | "latin-1") {
            Self::Latin1
        } else {
            Self::Utf8
        }
    }

    /// Never fails: what is no text becomes U+FFFD, and so does NUL, at which the sqlite3 program would stop reading.
    pub(super) fn decode(self, bytes: Vec<u8>) -> String {
        let text = match self {
            Self::Utf8 => String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            Self::Latin1 => bytes.into_iter().map(char::from).collect(),
        };
        if text.contains('\0') {
            text.replace('\0', "\u{fffd}")
        } else {
            text
        }
    }
}

/// `%s`: the lines of the first paragraph, joined by blanks.
pub(super) fn subject(message: &[u8]) -> Vec<u8> {
    let lines = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let paragraph = lines
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty());
    paragraph.collect::<Vec<_>>().join(&b' ')
}

/// A path that is UTF-8 stands as it is; another one as Git quotes it, so that each path has one text.
pub(super) fn path(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with('"') => text.to_owned(),
        _ => quoted(bytes),
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push('"');
    text
}
