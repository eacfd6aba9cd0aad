//! Workflow commands of GitHub Actions: each violation becomes an annotation at its line of the change.
//!
//! What comes from files is hostile: it may not end a command or begin one. GitHub shows ten errors and ten warnings of
//! a step; what is beyond is printed as plain lines, which the step's log keeps.

use std::io::{self, Write};

use provost_manifest::escape;
use provost_policy::Fault;

use super::{Printer, Tally};
use crate::policies::check::{Checked, Judged, Place, Ruling};

/// How many annotations of each level GitHub shows of a step.
const MAX_ANNOTATIONS: usize = 10;

pub(super) struct Github<W> {
    out: W,
    strict: bool,
    errors: usize,
    warnings: usize,
}

#[derive(Clone, Copy)]
enum Level {
    Error,
    Warning,
}

/// What an annotation says, and of what.
struct Annotation<'a> {
    level: Level,
    /// File, line and column, as far as they are known.
    file: Option<&'a str>,
    position: Option<(usize, usize)>,
    title: String,
    message: String,
}

// === impl Github ===

impl<W: Write> Github<W> {
    pub(super) fn new(out: W, strict: bool) -> Self {
        Self {
            out,
            strict,
            errors: 0,
            warnings: 0,
        }
    }

    fn annotate(&mut self, annotation: &Annotation<'_>) -> io::Result<()> {
        let counted = match annotation.level {
            Level::Error => &mut self.errors,
            Level::Warning => &mut self.warnings,
        };
        *counted += 1;
        if *counted > MAX_ANNOTATIONS {
            writeln!(self.out, "{}", annotation.plain())
        } else {
            writeln!(self.out, "{}", annotation.command())
        }
    }

    fn judged(&mut self, judged: &Judged) -> io::Result<()> {
        for rule in judged.rules.iter().filter(|rule| rule.objects()) {
            let level = if rule.denies || self.strict {
                Level::Error
            } else {
                Level::Warning
            };
            if rule.fields.is_empty() {
                let place = judged.place.as_ref();
                self.annotate(&Annotation::of(level, place, judged, rule, ""))?;
            }
            for field in &rule.fields {
                let place = field.place.as_ref();
                self.annotate(&Annotation::of(level, place, judged, rule, &field.sentence))?;
            }
        }
        Ok(())
    }
}

impl<W: Write> Printer for Github<W> {
    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        let place = fault.place.as_ref();
        self.annotate(&Annotation {
            level: Level::Error,
            file: place.map(|place| &*place.file),
            position: place.map(|place| (place.line, place.column)),
            title: "a policy is out".to_owned(),
            message: fault.message.clone(),
        })
    }

    fn checked(&mut self, checked: &Checked) -> io::Result<()> {
        match checked {
            Checked::Judged(judged) => self.judged(judged),
            Checked::Unjudged(unjudged) => self.annotate(&Annotation {
                level: Level::Error,
                file: unjudged.file.as_deref(),
                position: unjudged.position.map(|at| (at.line, at.column)),
                title: "not judged".to_owned(),
                message: unjudged.message.clone(),
            }),
        }
    }

    fn finish(&mut self, tally: &Tally) -> io::Result<()> {
        let beyond = |count: usize| count.saturating_sub(MAX_ANNOTATIONS);
        match beyond(self.errors) + beyond(self.warnings) {
            0 => {}
            more => writeln!(
                self.out,
                "GitHub shows {MAX_ANNOTATIONS} annotations of a level; {more} more stand above as plain lines."
            )?,
        }
        writeln!(self.out, "{}", tally.sentence())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

// === impl Annotation ===

impl<'a> Annotation<'a> {
    fn of(level: Level, place: Option<&'a Place>, judged: &Judged, rule: &Ruling, sentence: &str) -> Self {
        let message: Vec<&str> = [sentence, rule.message.trim()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        Self {
            level,
            file: place.map(|place| &*place.file),
            position: place.map(|place| (place.position.line, place.position.column)),
            title: format!("{}/{}", rule.policy, rule.rule),
            message: format!("{}: {}", judged.object, message.join(": ")),
        }
    }

    /// `::error file=a.yaml,line=1,col=2,title=p/r::message`
    fn command(&self) -> String {
        let mut properties = Vec::new();
        if let Some(file) = self.file {
            properties.push(format!("file={}", property(file)));
        }
        if let Some((line, column)) = self.position {
            properties.push(format!("line={line},col={column}"));
        }
        properties.push(format!("title={}", property(&self.title)));
        format!(
            "::{} {}::{}",
            self.level.word(),
            properties.join(","),
            data(&self.message)
        )
    }

    /// `error: a.yaml:1:2: p/r: message`, which is no command however it begins.
    fn plain(&self) -> String {
        let mut place = self.file.map(escape::line).unwrap_or_default().into_owned();
        if let Some((line, column)) = self.position {
            place = format!("{place}:{line}:{column}");
        }
        let parts = [place, self.title.clone(), self.message.clone()];
        let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}", self.level.word(), defused(&known.join(": ")))
    }
}

// === impl Level ===

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// On one line; and `##[`, by which the older form of a command is found anywhere in a line, is none any more.
fn defused(text: &str) -> String {
    escape::line(text).replace("##[", r"#\u{23}[")
}

/// The text of a command. Line breaks are gone already; what is left would be taken for escapes.
fn data(text: &str) -> String {
    defused(text).replace('%', "%25")
}

/// The value of a property, which also ends at a comma, and a colon of which may end all.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_neither_ends_a_command_nor_begins_one() {
        let annotation = Annotation {
            level: Level::Error,
            file: Some("a,b:c%0A\n::set-output::.yaml"),
            position: Some((1, 2)),
            title: "p::r,line=9".to_owned(),
            message: "50%\r\n::stop-commands::x\n##[error]y".to_owned(),
        };
        assert_eq!(
            annotation.command(),
            "::error file=a%2Cb%3Ac%250A\\n%3A%3Aset-output%3A%3A.yaml,line=1,col=2,title=p%3A%3Ar%2Cline=9::\
             50%25\\r\\n::stop-commands::x\\n#\\u{23}[error]y"
        );
        assert_eq!(
            annotation.plain(),
            "error: a,b:c%0A\\n::set-output::.yaml:1:2: p::r,line=9: 50%\\r\\n::stop-commands::x\\n#\\u{23}[error]y"
        );
    }
}
