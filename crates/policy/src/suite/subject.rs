//! The policies of a suite: what of them can be judged here, and why the rest cannot.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_manifest::yaml;
use serde_json::{Value, json};

use super::values::Values;
use super::{File, Role};
use crate::autogen;
use crate::exception::Exception;
use crate::fault::Fault;
use crate::parse;
use crate::policy::Policy;
use crate::set::PolicySet;
use crate::source::{Cursor, Source};

/// A policy that entries may name.
#[derive(Debug)]
pub(super) struct Subject {
    /// Its number among the suite's policies.
    pub(super) index: usize,
    /// `name`, or `namespace/name`.
    pub(super) key: String,
    pub(super) state: State,
}

/// What becomes of a policy.
#[derive(Debug)]
pub(super) enum State {
    /// Its rules judge objects, but for those that are left out.
    Judges {
        set: PolicySet,
        rules: Vec<String>,
        left_out: BTreeMap<String, String>,
    },
    /// Provost does not do it, for this reason.
    Unsupported(String),
    /// It is invalid, for this reason.
    Invalid(String),
}

/// The policies of a suite, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Subjects {
    pub(super) list: Vec<Subject>,
    /// Why policies and exceptions are invalid.
    pub(super) invalid: Vec<Fault>,
    /// Exceptions that Provost does not do: they excuse nothing.
    pub(super) left_out: Vec<Fault>,
}

/// Reads the policies and exceptions of a suite.
pub(super) fn read(files: &[File], values: &Values) -> Subjects {
    let mut reader = Reader {
        values,
        drafts: Vec::new(),
        exceptions: Vec::new(),
        faults: Vec::new(),
        left_out: Vec::new(),
    };
    for file in files {
        match file.role {
            Role::Policies => reader.policies(file),
            Role::Exceptions => reader.exceptions(file),
            _ => {}
        }
    }
    reader.finish()
}

/// A policy as it was read, before the exceptions are known.
enum Draft {
    Judges {
        policy: Box<Policy>,
        left_out: BTreeMap<String, String>,
    },
    Refused(State),
}

struct Reader<'s> {
    values: &'s Values,
    drafts: Vec<(String, Draft)>,
    exceptions: Vec<Exception>,
    faults: Vec<Fault>,
    left_out: Vec<Fault>,
}

impl Reader<'_> {
    fn policies(&mut self, file: &File) {
        let name: Arc<str> = Arc::from(file.name.as_str());
        for document in yaml::parse_stream(&file.text) {
            let document = match document {
                Ok(document) => document,
                Err(error) => {
                    self.faults.push(parse::syntax_fault(&error, &file.text, &name));
                    continue;
                }
            };
            let source = Source::File {
                file: Arc::clone(&name),
                document: &document,
            };
            let root = Cursor::new(&document.value, &source);
            let draft = match parse::document(&root) {
                Ok(policy) => Draft::Judges {
                    policy: Box::new(policy),
                    left_out: BTreeMap::new(),
                },
                Err(faults) => self.refused(&document.value, faults),
            };
            self.drafts.push((key(&document.value), draft));
        }
    }

    /// What can be made of a policy that was not read whole: one that also does what Provost does not still validates.
    fn refused(&mut self, document: &Value, faults: Vec<Fault>) -> Draft {
        let reason = faults
            .first()
            .map(|fault| fault.message.clone())
            .unwrap_or_default();
        if let Some(invalid) = self.invalid(faults) {
            return Draft::Refused(invalid);
        }
        let unsupported = || Draft::Refused(State::Unsupported(reason));
        let mut document = document.clone();
        if self.without_registries(&mut document)
            && let Ok(policy) = Policy::from_object(&document)
        {
            return Draft::Judges {
                policy: Box::new(policy),
                left_out: BTreeMap::new(),
            };
        }
        let Some((rest, left_out)) = without_unsupported_rules(&document) else {
            return unsupported();
        };
        match Policy::from_object(&rest) {
            Ok(policy) => Draft::Judges {
                policy: Box::new(policy),
                left_out,
            },
            Err(faults) => self.invalid(faults).map_or_else(unsupported, Draft::Refused),
        }
    }

    /// Puts another source, which is not read either, in the place of registries of images, where the suite states what
    /// they would give; whether there were any.
    fn without_registries(&self, policy: &mut Value) -> bool {
        let key = key(policy);
        let states = |name: &str| self.values.states(&key, name);
        let rules = policy.pointer_mut("/spec/rules").and_then(Value::as_array_mut);
        let mut changed = false;
        for rule in rules.into_iter().flatten() {
            changed |= replace_registries(rule, &states);
            changed |= rule
                .get_mut("validate")
                .is_some_and(|validate| replace_registries(validate, &states));
        }
        changed
    }

    /// Notes the faults that make a policy invalid, where there are any beside what Provost does not do.
    fn invalid(&mut self, faults: Vec<Fault>) -> Option<State> {
        let before = self.faults.len();
        self.faults
            .extend(faults.into_iter().filter(|fault| !fault.is_unsupported()));
        let first = self.faults.get(before)?;
        Some(State::Invalid(first.to_string()))
    }

    fn exceptions(&mut self, file: &File) {
        let parsed = Policy::parse(&file.text, &file.name);
        self.exceptions.extend(parsed.exceptions);
        let (left_out, invalid): (Vec<Fault>, Vec<Fault>) =
            parsed.faults.into_iter().partition(Fault::is_unsupported);
        self.left_out.extend(left_out);
        self.faults.extend(invalid);
    }

    fn finish(self) -> Subjects {
        let subject = |(index, (key, draft))| {
            let state = match draft {
                Draft::Refused(state) => state,
                Draft::Judges { policy, left_out } => State::Judges {
                    rules: policy.rules().map(str::to_owned).collect(),
                    set: PolicySet::compile_with([*policy], self.exceptions.iter().cloned()).0,
                    left_out,
                },
            };
            Subject { index, key, state }
        };
        Subjects {
            list: self.drafts.into_iter().enumerate().map(subject).collect(),
            invalid: self.faults,
            left_out: self.left_out,
        }
    }
}

/// The policy with only the rules that can be read, and the reasons of the others; `None` where that leaves nothing,
/// or all.
fn without_unsupported_rules(document: &Value) -> Option<(Value, BTreeMap<String, String>)> {
    let background = document["spec"]["background"].as_bool().unwrap_or(true);
    let written = document["spec"]["rules"].as_array()?;
    let (mut kept, mut left_out) = (Vec::new(), BTreeMap::new());
    for rule in written {
        match parse::rule(&Cursor::new(rule, &Source::Object), background) {
            Err(fault) if fault.is_unsupported() => {
                let name = rule["name"].as_str().unwrap_or_default();
                left_out.insert(name.to_owned(), fault.message);
            }
            _ => kept.push(rule.clone()),
        }
    }
    if kept.is_empty() || left_out.is_empty() {
        return None;
    }
    let mut rest = document.clone();
    // Whether there are generated rules is decided by all rules, also by those that are left out.
    let all: Vec<&Value> = written.iter().collect();
    if autogen::generate(&all, None).is_empty() {
        rest["metadata"]["annotations"][autogen::ANNOTATION] = Value::from("none");
    }
    rest["spec"]["rules"] = Value::Array(kept);
    Some((rest, left_out))
}

/// Replaces the registries in the context of a rule or foreach, and in the foreach below it.
fn replace_registries(owner: &mut Value, states: &dyn Fn(&str) -> bool) -> bool {
    fn list<'v>(owner: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> {
        let list = owner.get_mut(key).and_then(Value::as_array_mut);
        list.into_iter().flatten()
    }
    let mut changed = false;
    for entry in list(owner, "context") {
        let is_stated = entry["name"].as_str().is_some_and(states);
        if let Some(entry) = entry.as_object_mut().filter(|_| is_stated)
            && entry.shift_remove("imageRegistry").is_some()
        {
            let stand_in = json!({"name": "stated", "namespace": "stated"});
            entry.insert("configMap".to_owned(), stand_in);
            changed = true;
        }
    }
    for entry in list(owner, "foreach") {
        changed |= replace_registries(entry, states);
    }
    changed
}

/// The name under which entries know a policy.
fn key(document: &Value) -> String {
    let metadata = |key: &str| document["metadata"][key].as_str();
    let name = metadata("name").unwrap_or_default();
    match metadata("namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

impl Subject {
    /// Whether an entry's `policy` means it: of `namespace/name` only the name counts.
    pub(super) fn is_named(&self, policy: &str) -> bool {
        let short = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
        short(&self.key) == short(policy)
    }
}
