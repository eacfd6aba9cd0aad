//! JUnit XML: a suite for each file (or kind of live objects), a case for each rule that judged an object.
//!
//! CI systems agree on little of the format: `testsuites`, `testsuite`, `testcase`, `failure`, `error`, `skipped`,
//! `system-out`, and the attributes used here.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use provost_manifest::escape;
use provost_policy::{Fault, Status};

use super::{Printer, Tally};
use crate::policies::check::{Checked, Judged, Ruling};

pub(super) struct Junit<W> {
    out: W,
    strict: bool,
    begun: bool,
    suite: Suite,
}

/// The suite that is being written; its counts stand before its cases.
#[derive(Default)]
struct Suite {
    name: String,
    cases: String,
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

// === impl Junit ===

impl<W: Write> Junit<W> {
    pub(super) fn new(out: W, strict: bool) -> Self {
        Self {
            out,
            strict,
            begun: false,
            suite: Suite::default(),
        }
    }

    /// The suite of that name, the one before it being written where it is another.
    fn suite(&mut self, name: &str) -> io::Result<&mut Suite> {
        if self.suite.name != name {
            self.write_suite()?;
            name.clone_into(&mut self.suite.name);
        }
        Ok(&mut self.suite)
    }

    fn write_suite(&mut self) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            writeln!(self.out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
            writeln!(self.out, "<testsuites name=\"provost check\">")?;
        }
        let Suite {
            name,
            cases,
            tests,
            failures,
            errors,
            skipped,
        } = std::mem::take(&mut self.suite);
        if tests == 0 {
            return Ok(());
        }
        writeln!(
            self.out,
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
             skipped=\"{skipped}\">\n{cases}  </testsuite>",
            xml(&name)
        )
    }
}

impl<W: Write> Printer for Junit<W> {
    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        let file = fault.place.as_ref().map_or("policies", |place| &*place.file);
        let (case, why) = (Case::new(file, &fault.subject), fault.to_string());
        self.suite(file)?.error(&case, &why);
        Ok(())
    }

    fn checked(&mut self, checked: &Checked) -> io::Result<()> {
        let strict = self.strict;
        match checked {
            Checked::Unjudged(unjudged) => {
                let file = unjudged.file.as_deref().unwrap_or("cluster");
                let case = Case::new("not judged", &unjudged.to_string());
                self.suite(file)?.error(&case, &unjudged.message);
            }
            Checked::Judged(judged) => {
                let kind = &judged.kind.kind;
                let file = judged.place.as_ref().map_or(kind.as_str(), |place| &*place.file);
                let suite = self.suite(file)?;
                for rule in &judged.rules {
                    suite.rule(judged, rule, strict);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Tally) -> io::Result<()> {
        self.write_suite()?;
        writeln!(self.out, "</testsuites>")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The attributes of a test case.
struct Case(String);

// === impl Case ===

impl Case {
    fn new(class: &str, name: &str) -> Self {
        Self(format!("classname=\"{}\" name=\"{}\"", xml(class), xml(name)))
    }

    /// With the place that some CI systems link to.
    fn of(judged: &Judged, rule: &Ruling) -> Self {
        let class = format!("{}/{}", rule.policy, rule.rule);
        let Self(mut attributes) = Self::new(&class, &judged.object);
        if let Some(place) = &judged.place {
            let _ = write!(
                attributes,
                " file=\"{}\" line=\"{}\"",
                xml(&place.file),
                place.position.line
            );
        }
        Self(attributes)
    }
}

// === impl Suite ===

impl Suite {
    fn rule(&mut self, judged: &Judged, rule: &Ruling, strict: bool) {
        let case = Case::of(judged, rule);
        match rule.status {
            Status::Pass => self.case(&case, ""),
            Status::Skip => {
                self.skipped += 1;
                self.case(&case, "      <skipped/>\n");
            }
            Status::Error if rule.denies || strict => self.error(&case, &rule.message),
            Status::Fail | Status::Warn if rule.denies || strict => {
                self.failures += 1;
                let first = rule.fields.first().map_or("", |field| field.sentence.as_str());
                let message = if rule.message.is_empty() {
                    first
                } else {
                    &rule.message
                };
                let text = format!(
                    "      <failure type=\"{}\" message=\"{}\">{}</failure>\n",
                    xml(&format!("{}/{}", rule.policy, rule.rule)),
                    xml(message),
                    xml_lines(&lines(rule))
                );
                self.case(&case, &text);
            }
            Status::Error | Status::Fail | Status::Warn => {
                let text = format!(
                    "      <system-out>{}</system-out>\n",
                    xml_lines(&format!("warning: {}\n{}", rule.message, lines(rule)))
                );
                self.case(&case, &text);
            }
        }
    }

    fn error(&mut self, case: &Case, why: &str) {
        self.errors += 1;
        self.case(case, &format!("      <error message=\"{}\"/>\n", xml(why)));
    }

    fn case(&mut self, Case(attributes): &Case, content: &str) {
        self.tests += 1;
        let _ = if content.is_empty() {
            writeln!(self.cases, "    <testcase {attributes}/>")
        } else {
            writeln!(
                self.cases,
                "    <testcase {attributes}>\n{content}    </testcase>"
            )
        };
    }
}

/// The fields of a violation, a line each.
fn lines(rule: &Ruling) -> String {
    let fields = rule.fields.iter().map(|field| {
        let place = field.place.as_ref().map(|place| format!("{place}: "));
        format!("{}{}", place.unwrap_or_default(), field.sentence)
    });
    fields.collect::<Vec<_>>().join("\n")
}

/// For an attribute, or text on one line.
fn xml(text: &str) -> String {
    markup(&escape::line(text))
}

/// For text on several lines.
fn xml_lines(text: &str) -> String {
    markup(escape::block(text).trim())
}

fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // The two characters that are none of XML's, of those that stand in a line as they are.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_no_markup() {
        assert_eq!(
            xml("<a b=\"c\">&amp;]]>\u{1b}[0m\n\u{ffff}"),
            "&lt;a b=&quot;c&quot;&gt;&amp;amp;]]&gt;\\u{1b}[0m\\n\u{fffd}"
        );
        assert_eq!(xml_lines("a\n<b>\u{0}\n"), "a\n&lt;b&gt;\\u{0}");
    }
}
