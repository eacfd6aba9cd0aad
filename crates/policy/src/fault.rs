//! Why a policy is refused: what is wrong, where it stands, what to do.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use provost_manifest::escape;
use provost_manifest::path::FieldPath;

/// A line of a file is kept up to so many characters.
const MAX_LINE_CHARS: usize = 500;
/// What is wrong is said in so many characters at most; it may quote the policy.
pub(crate) const MAX_MESSAGE_CHARS: usize = 1_000;

/// One reason why a policy (or a file of policies) is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether the policy is wrong, or Provost does not do what it says.
    pub reason: Reason,
    /// What is wrong, such as `unknown field "patern" in validate; did you mean "pattern"?`.
    pub message: String,
    /// What it is wrong with, such as `rule "check-labels" of ClusterPolicy require-labels`; may be empty.
    pub subject: String,
    /// The field of the document, `spec.rules[0].validate.patern`; the root where it concerns the whole. Boxed, since a
    /// fault travels in many results.
    pub field: Box<FieldPath>,
    /// Where it stands; `None` for a policy that came from the cluster.
    pub place: Option<Place>,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The policy's: the language has no such field, value or name. Nobody can run it.
    #[default]
    Mistake,
    /// Provost's: the language has this, and Provost does not do it, or not to this extent. Kyverno may run it.
    Unsupported,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named by whoever read it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters are meant, at least 1.
    pub width: usize,
    /// The text of the line.
    pub source: Box<str>,
}

// === impl Fault ===

impl Fault {
    /// A mistake that has no place in a file.
    pub fn mistake(message: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            reason: Reason::Mistake,
            message: message.into(),
            subject: subject.into(),
            field: Box::default(),
            place: None,
        }
    }

    /// Whether the policy may be right, and says what the language has and Provost does not do.
    pub fn is_unsupported(&self) -> bool {
        self.reason == Reason::Unsupported
    }

    /// The same fault, as one of what Provost does not do.
    #[must_use]
    pub(crate) fn unsupported(self) -> Self {
        Self {
            reason: Reason::Unsupported,
            ..self
        }
    }

    /// The same fault, known to concern `subject`; what was said before stays.
    #[must_use]
    pub(crate) fn about(mut self, subject: &str) -> Self {
        if self.subject.is_empty() {
            subject.clone_into(&mut self.subject);
        }
        self
    }

    /// The fault with its place, the source line shown, and `note` (what stays in force, what to do) below it.
    pub fn render(&self, note: &str) -> String {
        let mut text = format!("error: {}\n", escape::line(&self.message));
        let Some(place) = &self.place else {
            if !self.subject.is_empty() {
                let _ = writeln!(text, "  --> {}", escape::line(&self.subject));
            }
            if !note.is_empty() {
                let _ = writeln!(text, "   = {note}");
            }
            return text;
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len().max(2));
        let shift = " ".repeat(place.column.saturating_sub(1).min(MAX_LINE_CHARS));
        let marks = "^".repeat(place.width);
        let _ = writeln!(text, "{margin}--> {place}");
        let _ = writeln!(text, "{margin} |");
        let _ = writeln!(
            text,
            "{number:>width$} | {}",
            escape::line(&place.source),
            width = margin.len()
        );
        let _ = writeln!(
            text,
            "{margin} | {}",
            format!("{shift}{marks} {}", escape::line(&self.subject)).trim_end()
        );
        if !note.is_empty() {
            let _ = writeln!(text, "{margin} = {note}");
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        } else if !self.field.segments().is_empty() {
            write!(f, "{}: ", escape::line(&self.field.to_string()))?;
        }
        f.write_str(&escape::line(&self.message))?;
        if !self.subject.is_empty() {
            write!(f, " ({})", escape::line(&self.subject))?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

// === impl Place ===

impl Place {
    /// A place of `width` characters, fewer where the line ends before.
    pub(crate) fn new(file: &Arc<str>, line: usize, column: usize, width: usize, source: &str) -> Self {
        let rest = source.chars().count().saturating_sub(column.saturating_sub(1));
        Self {
            file: Arc::clone(file),
            line,
            column,
            width: width.clamp(1, rest.clamp(1, MAX_LINE_CHARS)),
            source: escape::shorten(source, MAX_LINE_CHARS).into(),
        }
    }
}

/// `policies/require-labels.yaml:19:9`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", escape::line(&self.file), self.line, self.column)
    }
}
