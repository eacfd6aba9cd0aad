//! An organisation's own health rules, in CEL, put before the built-in ones.
//!
//! ```yaml
//! - group: cert-manager.io
//!   kind: Certificate
//!   rules:
//!     - status: Healthy
//!       when: object.status.conditions.exists(c, c.type == "Ready" && c.status == "True")
//!     - status: Degraded
//!       when: has(object.status.lastFailureTime)
//!       message: '"not issued since " + object.status.lastFailureTime'
//! ```
//!
//! `group` and `kind` may hold `*` and `?`; the group of core kinds is `""`. Rules are tried in the order of the
//! file, and the first whose `when` is true decides; one without `when` always does. Where none decides, the
//! built-in rules do. An expression that fails makes the object Unknown: a rule that nobody can evaluate says
//! nothing good.

use provost_expression::Budget;
use provost_expression::cel::{Program, Scope};
use provost_manifest::diagnostic::Diagnostic;
use provost_manifest::object::GroupVersionKind;
use provost_manifest::path::FieldPath;
use provost_manifest::wildcard::Wildcard;
use provost_manifest::yaml::{self, Document};
use serde_json::{Map, Value};

use super::{Health, Status};

/// Most rules of one file.
pub const MAX_RULES: usize = 1_000;

/// Rules for some kinds, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// One rule of one entry.
#[derive(Debug)]
struct Rule {
    group: Wildcard,
    kind: Wildcard,
    /// Its place in the file, for who reads its errors.
    name: String,
    status: Status,
    when: Option<Program>,
    message: Option<Program>,
}

/// A file that is being read.
struct Reader<'d> {
    document: &'d Document,
    text: &'d str,
    file: &'d str,
    rules: Vec<Rule>,
    flaws: Vec<Diagnostic>,
}

// === impl Rules ===

impl Rules {
    /// Reads rules from YAML: a list of `{group, kind, rules}`. Every flaw is told at once; `file` is what to call
    /// the text in them.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<Diagnostic>> {
        let (mut rules, mut flaws) = (Vec::new(), Vec::new());
        for document in yaml::parse_stream(text) {
            match document {
                Err(error) => flaws.push(Diagnostic::of_yaml(&error, file, text)),
                Ok(document) => {
                    let mut reader = Reader {
                        document: &document,
                        text,
                        file,
                        rules: std::mem::take(&mut rules),
                        flaws: std::mem::take(&mut flaws),
                    };
                    reader.read();
                    (rules, flaws) = (reader.rules, reader.flaws);
                }
            }
        }
        if rules.len() > MAX_RULES {
            let count = rules.len();
            flaws.push(Diagnostic::error(format!(
                "{file} has {count} rules, more than the {MAX_RULES} that are read"
            )));
        }
        if flaws.is_empty() {
            Ok(Self { rules })
        } else {
            Err(flaws)
        }
    }

    /// Further rules behind these.
    pub fn extend(&mut self, more: Self) {
        self.rules.extend(more.rules);
    }

    /// How the live object is doing: by these rules where one decides, otherwise as [`super::assess`] says. What is
    /// being deleted is on its way, whatever they say.
    pub fn assess(&self, object: &Value) -> Health {
        if super::is_being_deleted(object) {
            return super::being_deleted(object);
        }
        GroupVersionKind::of(object)
            .and_then(|kind| self.decide(object, &kind))
            .unwrap_or_else(|| super::by_kind(object))
    }

    fn decide(&self, object: &Value, kind: &GroupVersionKind) -> Option<Health> {
        let of_kind = self
            .rules
            .iter()
            .filter(|rule| rule.group.matches(&kind.group) && rule.kind.matches(&kind.kind));
        let scope = Scope::new(Some(object), None, &[]);
        let mut budget = Budget::default();
        for rule in of_kind {
            match rule.applies(&scope, &mut budget) {
                Ok(true) => return Some(Health::new(rule.status, rule.words(&scope, &mut budget))),
                Ok(false) => {}
                Err(reason) => {
                    let message = format!("health rule {}: when: {reason}", rule.name);
                    return Some(Health::new(Status::Unknown, message));
                }
            }
        }
        None
    }
}

// === impl Rule ===

impl Rule {
    fn applies<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<bool, String> {
        let Some(when) = &self.when else {
            return Ok(true);
        };
        let value = evaluate(when, scope, budget)?;
        value
            .as_bool()
            .ok_or_else(|| format!("gives {}, where true or false is wanted", value.type_name()))
    }

    /// What to say with the status; a message that cannot be worked out changes nothing about it.
    fn words<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> String {
        let Some(message) = &self.message else {
            return String::new();
        };
        let text = evaluate(message, scope, budget).and_then(|value| {
            let text = value.as_text().map(|text| text.to_string());
            text.ok_or_else(|| format!("gives {}, where text is wanted", value.type_name()))
        });
        text.unwrap_or_else(|reason| format!("health rule {}: message: {reason}", self.name))
    }
}

fn evaluate<'a>(
    program: &'a Program,
    scope: &Scope<'a>,
    budget: &mut Budget,
) -> Result<provost_expression::cel::Value<'a>, String> {
    program.evaluate(scope, budget).map_err(|error| error.to_string())
}

// === impl Reader ===

impl Reader<'_> {
    fn read(&mut self) {
        let root = FieldPath::root();
        let Value::Array(entries) = &self.document.value else {
            return self.refuse(&root, "a list of entries {group, kind, rules} is wanted");
        };
        for (index, entry) in entries.iter().enumerate() {
            self.read_entry(&root.index(index), entry);
        }
    }

    fn read_entry(&mut self, path: &FieldPath, entry: &Value) {
        let Some(entry) = self.map(path, entry, &["group", "kind", "rules"]) else {
            return;
        };
        let group = self.wildcard(path, entry, "group", Some(""));
        let kind = self.wildcard(path, entry, "kind", None);
        let rules_path = path.key("rules");
        let Some(Value::Array(rules)) = entry.get("rules") else {
            return self.refuse(&rules_path, "rules is wanted, a list of {status, when, message}");
        };
        let (Some(group), Some(kind)) = (group, kind) else {
            return;
        };
        for (index, rule) in rules.iter().enumerate() {
            self.read_rule(&rules_path.index(index), rule, &group, &kind, index);
        }
    }

    fn read_rule(&mut self, path: &FieldPath, rule: &Value, group: &Wildcard, kind: &Wildcard, index: usize) {
        let Some(rule) = self.map(path, rule, &["status", "when", "message"]) else {
            return;
        };
        let status = rule.get("status").and_then(Value::as_str);
        let status = status.and_then(|status| match status {
            "Healthy" => Some(Status::Healthy),
            "Progressing" => Some(Status::Progressing),
            "Degraded" => Some(Status::Degraded),
            "Suspended" => Some(Status::Suspended),
            "Unknown" => Some(Status::Unknown),
            _ => None,
        });
        if status.is_none() {
            self.refuse(
                &path.key("status"),
                "status must be Healthy, Progressing, Degraded, Suspended or Unknown",
            );
        }
        let when = self.program(path, rule, "when");
        let message = self.program(path, rule, "message");
        if let (Some(status), Some(when), Some(message)) = (status, when, message) {
            self.rules.push(Rule {
                group: group.clone(),
                kind: kind.clone(),
                name: format!("{} of {}", index + 1, kind.as_str()),
                status,
                when,
                message,
            });
        }
    }

    /// The outer `None` where it is refused.
    #[expect(clippy::option_option, reason = "refused, not there, there")]
    fn program(
        &mut self,
        path: &FieldPath,
        rule: &Map<String, Value>,
        name: &str,
    ) -> Option<Option<Program>> {
        let text = match rule.get(name) {
            None | Some(Value::Null) => return Some(None),
            // YAML reads these as what they look like.
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::String(text)) => text.clone(),
            Some(_) => {
                self.refuse(&path.key(name), &format!("{name} must be an expression in CEL"));
                return None;
            }
        };
        match Program::compile(&text, &[]) {
            Ok(program) if program.uses_request() || program.uses_namespace() => {
                self.refuse(&path.key(name), &format!("{name} may speak of object only"));
                None
            }
            Ok(program) => Some(Some(program)),
            Err(error) => {
                self.refuse(&path.key(name), &format!("{name}: {error}"));
                None
            }
        }
    }

    fn wildcard(
        &mut self,
        path: &FieldPath,
        entry: &Map<String, Value>,
        name: &str,
        default: Option<&str>,
    ) -> Option<Wildcard> {
        let text = match entry.get(name) {
            None | Some(Value::Null) => default,
            Some(value) => value.as_str(),
        };
        let wildcard = text.and_then(|text| Wildcard::new(text).ok());
        if wildcard.is_none() {
            self.refuse(
                &path.key(name),
                &format!("{name} is wanted, a text that may hold * and ?"),
            );
        }
        wildcard
    }

    fn map<'v>(
        &mut self,
        path: &FieldPath,
        value: &'v Value,
        known: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.refuse(path, &format!("a map of {} is wanted", known.join(", ")));
            return None;
        };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            self.refuse(
                &path.key(name.as_str()),
                &format!("unknown field {name:?}; {} are known", known.join(", ")),
            );
        }
        Some(map)
    }

    fn refuse(&mut self, path: &FieldPath, message: &str) {
        let position = self.document.positions().nearest(path);
        self.flaws
            .push(Diagnostic::error(message).at(self.file, self.text, position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    const RULES: &str = r#"
- group: example.com
  kind: Widget
  rules:
    - status: Progressing
      when: "!has(object.status)"
      message: '"no status of " + object.metadata.name'
    - status: Degraded
      when: object.status.errors > 3
      message: string(object.status.errors) + " errors"
    - status: Suspended
      when: object.status.state == "held"
    - status: Degraded
      when: object.status.state
    - status: Healthy
      when: true
      message: object.status.errors
- kind: Service
  rules:
    - status: Healthy
      when: object.spec.type == "LoadBalancer" && object.metadata.?annotations.bare.orValue("") == "true"
"#;

    fn widget(status: Value) -> Value {
        let mut widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        if !status.is_null() {
            widget["status"] = status;
        }
        widget
    }

    #[rstest]
    #[case(json!(null), Status::Progressing, "no status of w")]
    #[case(json!({"errors": 4}), Status::Degraded, "4 errors")]
    #[case(json!({"errors": 0, "state": "held"}), Status::Suspended, "")]
    #[case(json!({"errors": 0, "state": true}), Status::Degraded, "")]
    #[case(json!({"errors": 0, "state": false}), Status::Healthy, "health rule 5 of Widget: message: gives int")]
    #[case(json!({"errors": 0, "state": "odd"}), Status::Unknown, "health rule 4 of Widget: when: gives string")]
    #[case(json!({}), Status::Unknown, "health rule 2 of Widget: when: no such key: errors")]
    fn the_first_rule_that_is_true_decides(
        #[case] status: Value,
        #[case] expected: Status,
        #[case] message: &str,
    ) {
        let rules = Rules::parse(RULES, "rules.yaml").unwrap();
        let health = rules.assess(&widget(status));
        assert_eq!(health.status, expected, "{health}");
        assert!(health.message.starts_with(message), "{health}");
    }

    #[test]
    fn where_no_rule_decides_the_built_in_ones_do() {
        let rules = Rules::parse(RULES, "rules.yaml").unwrap();
        let service = |annotations: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"annotations": annotations}, "spec": {"type": "LoadBalancer"}});
        assert_eq!(rules.assess(&service(json!({}))).status, Status::Progressing);
        assert_eq!(
            rules.assess(&service(json!({"bare": "true"}))).status,
            Status::Healthy
        );
        assert_eq!(rules.assess(&json!({})).status, Status::Unknown);
    }

    #[test]
    fn what_is_being_deleted_is_on_its_way_whatever_the_rules_say() {
        let rules = Rules::parse("- {group: '*', kind: '*', rules: [{status: Healthy}]}", "r").unwrap();
        let mut widget = widget(json!(null));
        assert_eq!(rules.assess(&widget).status, Status::Healthy);
        widget["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(rules.assess(&widget).status, Status::Progressing);
    }

    #[test]
    fn an_expression_without_end_is_stopped() {
        let text = "- {group: '*', kind: '*', rules: [{status: Healthy, when: 'object.l.all(a, object.l.all(b, object.l.all(c, a + b + c >= 0)))'}]}";
        let rules = Rules::parse(text, "r").unwrap();
        let object = json!({"apiVersion": "v1", "kind": "A", "l": vec![1; 1_000]});
        let health = rules.assess(&object);
        assert_eq!(health.status, Status::Unknown);
    }

    #[rstest]
    #[case("a: 1", "a list of entries {group, kind, rules} is wanted", 1)]
    #[case("- 1", "a map of group, kind, rules is wanted", 1)]
    #[case("- {kind: A, rules: [], odd: 1}", "unknown field \"odd\"", 1)]
    #[case("- {rules: []}", "kind is wanted", 1)]
    #[case("- {kind: A}", "rules is wanted", 1)]
    #[case("- kind: A\n  rules:\n    - status: Fine", "status must be Healthy", 3)]
    #[case("- kind: A\n  rules:\n    - status: Missing", "status must be Healthy", 3)]
    #[case(
        "- kind: A\n  rules:\n    - status: Healthy\n      when: object.",
        "when: ",
        4
    )]
    #[case(
        "- kind: A\n  rules:\n    - status: Healthy\n      when: request.name == ''",
        "when may speak of object only",
        4
    )]
    #[case(
        "- kind: A\n  rules:\n    - status: Healthy\n      message: 3",
        "message must be an expression",
        4
    )]
    fn what_is_no_rule_is_refused_with_its_line(
        #[case] text: &str,
        #[case] message: &str,
        #[case] line: usize,
    ) {
        let flaws = Rules::parse(text, "rules.yaml").unwrap_err();
        assert!(flaws[0].message.starts_with(message), "{}", flaws[0]);
        assert_eq!(flaws[0].place.as_ref().unwrap().position.line, line);
    }
}
