//! SARIF 2.1.0 (OASIS), as code scanning takes it: rules with help, results with places, fingerprints that stay the
//! same while lines move.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Write},
    sync::Arc,
};

use provost_manifest::{digest::Digest, escape};
use provost_policy::{Fault, Policy, explain};
use serde_json::{Value, json};

use super::{Printer, Tally};
use crate::policies::check::{Checked, Field, Judged, Place, Ruling};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// GitHub refuses a run with more results.
const MAX_RESULTS: usize = 25_000;
/// The fingerprint that GitHub compares results by; where there is none it makes one of the line.
const FINGERPRINT: &str = "primaryLocationLineHash";

pub(super) struct Sarif<'s, W> {
    out: W,
    strict: bool,
    policies: &'s [Arc<Policy>],
    rules: Vec<Value>,
    /// The numbers of rules by their ids.
    indices: HashMap<String, usize>,
    results: Vec<Value>,
    left_out: usize,
    /// How often each fingerprint was given.
    fingerprints: HashMap<Digest, usize>,
    /// What could not be judged.
    notifications: Vec<Value>,
    /// The policies that are out.
    configuration: Vec<Value>,
}

// === impl Sarif ===

impl<'s, W: Write> Sarif<'s, W> {
    pub(super) fn new(out: W, policies: &'s [Arc<Policy>], strict: bool) -> Self {
        let mut sarif = Self {
            out,
            strict,
            policies,
            rules: Vec::new(),
            indices: HashMap::new(),
            results: Vec::new(),
            left_out: 0,
            fingerprints: HashMap::new(),
            notifications: Vec::new(),
            configuration: Vec::new(),
        };
        for policy in policies {
            for rule in policy.rules() {
                sarif.rule(policy.key(), rule);
            }
        }
        sarif
    }

    /// The number of a rule. One that is generated for pod controllers comes in when it first objects.
    fn rule(&mut self, policy: &str, rule: &str) -> usize {
        let id = format!("{policy}/{rule}");
        if let Some(index) = self.indices.get(&id) {
            return *index;
        }
        let written = self.policies.iter().find(|known| &**known.key() == policy);
        let help = written.map_or_else(String::new, |policy| explain::explain(policy));
        let index = self.rules.len();
        self.rules.push(json!({
            "id": escape::line(&id),
            "shortDescription": {"text": escape::line(&format!("Rule {rule} of policy {policy}"))},
            "fullDescription": {"text": escape::line(&format!("Rule {rule} of policy {policy}"))},
            "help": {
                "text": escape::block(&help),
                "markdown": format!("```text\n{}```\n", escape::block(&help).replace("```", "` ` `")),
            },
            "properties": {"tags": ["kubernetes", "policy"]},
        }));
        self.indices.insert(id, index);
        index
    }

    fn judged(&mut self, judged: &Judged) {
        for rule in judged.rules.iter().filter(|rule| rule.objects()) {
            if rule.fields.is_empty() {
                self.result(judged, rule, None);
            }
            for field in &rule.fields {
                self.result(judged, rule, Some(field));
            }
        }
    }

    fn result(&mut self, judged: &Judged, rule: &Ruling, field: Option<&Field>) {
        if self.results.len() >= MAX_RESULTS {
            self.left_out += 1;
            return;
        }
        let index = self.rule(&rule.policy, &rule.rule);
        let sentence = field.map_or("", |field| &field.sentence);
        let words: Vec<&str> = [sentence, rule.message.trim()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let text = format!("{}: {}", judged.object, words.join(": "));
        let place = field.map_or(judged.place.as_ref(), |field| field.place.as_ref());
        let path = field.map_or("", |field| &field.path);
        let fingerprint = self.fingerprint(judged, rule, path);
        self.results.push(json!({
            "ruleId": self.rules[index]["id"],
            "ruleIndex": index,
            "level": if rule.denies || self.strict { "error" } else { "warning" },
            "message": {"text": escape::line(&text)},
            "locations": [location(place, judged, path)],
            "partialFingerprints": {FINGERPRINT: fingerprint},
        }));
    }

    /// The same for the same violation of the same object in the same file, on whatever line it stands. A file may say
    /// an object twice: the second has a number.
    fn fingerprint(&mut self, judged: &Judged, rule: &Ruling, path: &str) -> String {
        let file = judged.place.as_ref().map_or("", |place| &*place.file);
        let group = &judged.kind.group;
        let digest = Digest::of_value(&json!([
            file,
            group,
            judged.object,
            &*rule.policy,
            &*rule.rule,
            path
        ]));
        let times = self.fingerprints.entry(digest).or_default();
        *times += 1;
        format!("{digest}:{times}")
    }

    fn log(&self, complete: bool) -> Value {
        let mut notifications = self.notifications.clone();
        if self.left_out > 0 {
            let text = format!(
                "{} more results are left out: a run holds at most {MAX_RESULTS}",
                self.left_out
            );
            notifications.push(json!({"level": "warning", "message": {"text": text}}));
        }
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "Provost",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": self.rules,
                }},
                "columnKind": "unicodeCodePoints",
                "invocations": [{
                    "executionSuccessful": complete,
                    "toolExecutionNotifications": notifications,
                    "toolConfigurationNotifications": self.configuration,
                }],
                "results": self.results,
            }],
        })
    }
}

impl<W: Write> Printer for Sarif<'_, W> {
    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        let place = fault
            .place
            .as_ref()
            .map(|place| physical(&place.file, Some((place.line, place.column))));
        self.configuration
            .push(notification(&fault.message, place.into_iter().collect()));
        Ok(())
    }

    fn checked(&mut self, checked: &Checked) -> io::Result<()> {
        match checked {
            Checked::Judged(judged) => self.judged(judged),
            Checked::Unjudged(unjudged) => {
                let position = unjudged.position.map(|at| (at.line, at.column));
                let place = unjudged.file.as_ref().map(|file| physical(file, position));
                self.notifications
                    .push(notification(&unjudged.message, place.into_iter().collect()));
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Tally) -> io::Result<()> {
        let complete = self.notifications.is_empty() && self.configuration.is_empty();
        let log = self.log(complete);
        serde_json::to_writer_pretty(&mut self.out, &log)?;
        writeln!(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn notification(message: &str, places: Vec<Value>) -> Value {
    let locations: Vec<Value> = places
        .into_iter()
        .map(|place| json!({"physicalLocation": place}))
        .collect();
    json!({"level": "error", "message": {"text": escape::line(message)}, "locations": locations})
}

/// Where in a file, as far as there is one; and which field of which object.
fn location(place: Option<&Place>, judged: &Judged, path: &str) -> Value {
    let name = [judged.object.as_str(), path].join(" ");
    let mut location = json!({"logicalLocations": [{
        "fullyQualifiedName": escape::line(name.trim()),
        "kind": "object",
    }]});
    if let Some(place) = place {
        let position = Some((place.position.line, place.position.column));
        location["physicalLocation"] = physical(&place.file, position);
    }
    location
}

fn physical(file: &str, position: Option<(usize, usize)>) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(file)}});
    if let Some((line, column)) = position {
        place["region"] = json!({"startLine": line, "startColumn": column});
    }
    place
}

/// A path as a URI reference: relative paths stay relative to where the check ran, which is the repository's root.
fn uri(path: &str) -> String {
    let relative = path.trim_start_matches("./");
    let mut uri = String::from(if relative.starts_with('/') { "file://" } else { "" });
    for byte in relative.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("apps/my-app.yaml", "apps/my-app.yaml")]
    #[case("./apps/a b%.yaml", "apps/a%20b%25.yaml")]
    #[case("/work/é.yaml", "file:///work/%C3%A9.yaml")]
    #[case("javascript:x", "javascript%3Ax")]
    fn a_path_is_a_uri_reference(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(uri(path), expected);
    }
}
