//! One JSON document for programs, written as it comes.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Printer, Tally, tally::Verdict};
use crate::policies::check::{Checked, Field, Judged, Place, Ruling};

pub(super) struct Json<W> {
    out: W,
    /// Whether an object was written.
    begun: bool,
    unjudged: Vec<String>,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            begun: false,
            unjudged: Vec::new(),
        }
    }
}

impl<W: Write> Printer for Json<W> {
    fn checked(&mut self, checked: &Checked) -> io::Result<()> {
        match checked {
            Checked::Unjudged(unjudged) => {
                self.unjudged.push(unjudged.to_string());
                Ok(())
            }
            Checked::Judged(judged) => {
                let before = if self.begun { "," } else { "{\n  \"objects\": [" };
                self.begun = true;
                write!(self.out, "{before}\n    {}", indented(&object(judged), "    ")?)
            }
        }
    }

    fn finish(&mut self, _: &Tally) -> io::Result<()> {
        let end = if self.begun {
            "\n  ]"
        } else {
            "{\n  \"objects\": []"
        };
        let unjudged = indented(&json!(self.unjudged), "  ")?;
        writeln!(self.out, "{end},\n  \"unjudged\": {unjudged}\n}}")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn indented(value: &Value, by: &str) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)?.replace('\n', &format!("\n{by}")))
}

fn object(judged: &Judged) -> Value {
    let objecting = judged.rules.iter().filter(|rule| rule.objects());
    json!({
        "object": judged.object,
        "place": place(judged.place.as_ref()),
        "verdict": Verdict::of(judged).word(),
        "violations": objecting.map(violation).collect::<Vec<_>>(),
    })
}

fn violation(rule: &Ruling) -> Value {
    json!({
        "policy": &*rule.policy,
        "rule": &*rule.rule,
        "refuses": rule.denies,
        "message": rule.message,
        "fields": rule.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

fn field(field: &Field) -> Value {
    json!({
        "path": field.path,
        "place": place(field.place.as_ref()),
        "found": field.found,
        "needs": field.needs,
    })
}

fn place(place: Option<&Place>) -> Value {
    place.map_or(Value::Null, |place| Value::from(place.to_string()))
}
