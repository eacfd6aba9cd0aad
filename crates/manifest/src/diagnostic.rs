//! An error or warning with its place in a file, shown as compilers show one:
//!
//! ```text
//! error: unknown field "patern" in validate; did you mean "pattern"?
//!   --> policies/require-labels.yaml:19:9
//!    |
//! 19 |         patern:
//!    |         ^^^^^^ rule "check-labels" of ClusterPolicy require-labels
//!    = The other 11 policies stay in force.
//! ```
//!
//! All of it may come from hostile files, and is escaped when it is shown.

use std::borrow::Cow;
use std::fmt;

use crate::escape;
use crate::yaml::{Position, YamlError};

/// Most characters of a source line that are shown; of a longer one, those around the place.
const MAX_WIDTH: usize = 120;

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// Refused.
    Error,
}

/// Something wrong at a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub level: Level,
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What the marked text is, shown after the marks.
    pub label: String,
    /// What follows from it and what to do; a line each.
    pub notes: Vec<String>,
}

/// A place in a file, with the line to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the reader knows it.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    source: String,
}

// === impl Level ===

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// With no place yet.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            level,
            message: message.into(),
            place: None,
            label: String::new(),
            notes: Vec::new(),
        }
    }

    /// An error, with no place yet.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Level::Error, message)
    }

    /// A warning, with no place yet.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Level::Warning, message)
    }

    /// A file that is not YAML.
    pub fn of_yaml(error: &YamlError, file: impl Into<String>, text: &str) -> Self {
        Self::error(error.message.as_str()).at(file, text, error.position())
    }

    /// At a place in a file whose whole text is given.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, text: &str, position: Position) -> Self {
        self.place = Some(Place {
            file: file.into(),
            position,
            source: text
                .lines()
                .nth(position.line.saturating_sub(1))
                .unwrap_or_default()
                .to_owned(),
        });
        self
    }

    /// With words after the marks.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With one more line below.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level, escape::line(&self.message))?;
        let gutter = match &self.place {
            Some(place) => {
                let gutter = place.position.line.to_string().len();
                self.write_place(f, place, gutter)?;
                gutter
            }
            None => 1,
        };
        for note in &self.notes {
            write!(f, "\n{:gutter$} = {}", "", escape::line(note))?;
        }
        Ok(())
    }
}

impl Diagnostic {
    fn write_place(&self, f: &mut fmt::Formatter<'_>, place: &Place, gutter: usize) -> fmt::Result {
        let Position { line, column, .. } = place.position;
        let file = escape::line(&place.file);
        write!(f, "\n{:gutter$}--> {file}:{line}:{column}", "")?;
        let Excerpt {
            before,
            marked,
            after,
        } = place.excerpt();
        if before.is_empty() && marked.is_empty() && after.is_empty() {
            return Ok(());
        }
        let indent = before.chars().count();
        let marks = marked.chars().count().max(1);
        let label = escape::line(&self.label);
        let space = if label.is_empty() { "" } else { " " };
        write!(f, "\n{:gutter$} |", "")?;
        write!(f, "\n{line} | {before}{marked}{after}")?;
        write!(
            f,
            "\n{:gutter$} | {:indent$}{:^<marks$}{space}{label}",
            "", "", ""
        )
    }
}

/// What is shown of a source line.
struct Excerpt {
    before: String,
    marked: String,
    after: String,
}

// === impl Place ===

impl Place {
    /// The line of the file.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn excerpt(&self) -> Excerpt {
        let source: Vec<char> = self.source.chars().collect();
        let start = self.position.column.saturating_sub(1).min(source.len());
        let end = start
            .saturating_add(self.position.length)
            .min(source.len())
            .min(start + MAX_WIDTH / 2);
        let from = if source.len() > MAX_WIDTH {
            start.saturating_sub(MAX_WIDTH / 4)
        } else {
            0
        };
        let to = source.len().min(from + MAX_WIDTH);
        let show = |chars: &[char]| -> String {
            let text: String = chars.iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
            escape::line(&text).into_owned()
        };
        let cut = |is_cut: bool| {
            if is_cut {
                Cow::Borrowed("…")
            } else {
                Cow::Borrowed("")
            }
        };
        Excerpt {
            before: format!("{}{}", cut(from > 0), show(&source[from..start])),
            marked: show(&source[start..end]),
            after: format!("{}{}", show(&source[end..to]), cut(to < source.len()))
                .trim_end()
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::FieldPath;
    use crate::yaml;
    use insta::assert_snapshot;

    #[test]
    fn shows_the_line_and_marks_the_place() {
        let text = format!("{}        patern:\n", "#\n".repeat(18));
        let position = Position {
            line: 19,
            column: 9,
            length: 6,
        };
        let diagnostic = Diagnostic::error("unknown field \"patern\" in validate; did you mean \"pattern\"?")
            .at("policies/require-labels.yaml", &text, position)
            .label("rule \"check-labels\" of ClusterPolicy require-labels")
            .note(
                "The other 11 policies stay in force. Fix the field, or run: provost policy lint policies/",
            );
        assert_snapshot!(diagnostic, @r#"
        error: unknown field "patern" in validate; did you mean "pattern"?
          --> policies/require-labels.yaml:19:9
           |
        19 |         patern:
           |         ^^^^^^ rule "check-labels" of ClusterPolicy require-labels
           = The other 11 policies stay in force. Fix the field, or run: provost policy lint policies/
        "#);
    }

    #[test]
    fn shows_why_a_file_is_no_yaml() {
        let text = "a: 1\nb: [1, 2\nc: 3\n";
        let error = yaml::parse_one(text).unwrap_err();
        assert_snapshot!(Diagnostic::of_yaml(&error, "a.yaml", text), @r"
        error: illegal placement of ':' indicator
         --> a.yaml:3:2
          |
        3 | c: 3
          |  ^
        ");
    }

    #[test]
    fn of_a_long_line_shows_what_is_around_the_place() {
        let text = format!(
            "{{\"a\": \"{}\", \"bad\": 1, \"c\": \"{}\"}}",
            "x".repeat(300),
            "y".repeat(300)
        );
        let document = yaml::parse_one(&text).unwrap();
        let position = document.positions().nearest(&FieldPath::root().key("bad"));
        let shown = Diagnostic::warning("odd")
            .at("a.json", &text, position)
            .to_string();
        assert_snapshot!(shown, @r#"
        warning: odd
         --> a.json:1:311
          |
        1 | …xxxxxxxxxxxxxxxxxxxxxxxxxxx", "bad": 1, "c": "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
          |                                ^^^^^
        "#);
    }

    #[test]
    fn hostile_text_is_defused() {
        let text = "\tna\u{202e}me: \u{1b}[31mred";
        let position = Position {
            line: 1,
            column: 2,
            length: 5,
        };
        let diagnostic = Diagnostic::error("a\nb")
            .at("\u{1b}]0;x\u{7}.yaml", text, position)
            .label("c\rd");
        assert_snapshot!(diagnostic, @r"
        error: a\nb
         --> \u{1b}]0;x\u{7}.yaml:1:2
          |
        1 |  na\u{202e}me: \u{1b}[31mred
          |  ^^^^^^^^^^^^ c\rd
        ");
    }

    #[test]
    fn needs_no_place() {
        let diagnostic = Diagnostic::warning("no policies in policies/").note("Add one.");
        assert_snapshot!(diagnostic, @r"
        warning: no policies in policies/
          = Add one.
        ");
    }
}
