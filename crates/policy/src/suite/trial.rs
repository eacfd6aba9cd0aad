//! The run of a suite: reads its files, finds for each entry the objects and rules that it is about, and compares.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use provost_manifest::list::flatten;
use provost_manifest::yaml::{self, Duplicates};
use serde_json::Value;

use super::object::{Object, Objects};
use super::subject::{self, State, Subject};
use super::values::Values;
use super::world::{Case, User, World, is_of_rule};
use super::{Actual, Expectation, File, MAX_OBJECTS, MAX_ROWS, Role, Row, Suite, Verdict, one_document};
use crate::fault::Fault;
use crate::parse;
use crate::request::Operation;
use crate::result::RuleResult;

/// What the rules of one policy say of one object; or why there is no telling.
type Results = Arc<Result<Vec<Arc<RuleResult>>, String>>;

struct Trial<'s> {
    subjects: Vec<Subject>,
    objects: Vec<Object>,
    world: World<'s>,
    /// Results by the numbers of policy and object.
    known: HashMap<(usize, usize, Option<Operation>), Results>,
    verdict: Verdict,
}

pub(super) fn judge(suite: &Suite, files: &[File], now: Timestamp) -> Verdict {
    let mut verdict = Verdict {
        notices: suite.notices.clone(),
        ..Verdict::default()
    };
    let settings = match Settings::read(files) {
        Ok(settings) => settings,
        Err(fault) => {
            verdict.unjudged.push(fault);
            return verdict;
        }
    };
    let values = suite.values.as_ref().unwrap_or(&settings.values);
    let subjects = subject::read(files, values);
    verdict.invalid = subjects.invalid;
    verdict.notices.extend(subjects.left_out);
    let mut objects = Objects::default();
    let mut cluster = Vec::new();
    let mut global = vec![Vec::new(); suite.mocks.global.len()];
    for (file, document) in documents(files, &mut verdict.unjudged) {
        match file.role {
            Role::Resources => {
                let strangers = objects.add(document, values);
                verdict.unjudged.extend((strangers > 0).then(|| {
                    let message = "a document is no Kubernetes object: apiVersion or kind is missing";
                    without_place(message.to_owned(), &file.name)
                }));
            }
            Role::ClusterResources => cluster.extend(in_cluster(document)),
            Role::GlobalContext(entry) => {
                if let Some(list) = global.get_mut(entry) {
                    list.extend(flatten(document).into_iter().map(|item| item.object));
                }
            }
            _ => {}
        }
        if objects.list.len() > MAX_OBJECTS {
            let message = format!("the suite holds more than {MAX_OBJECTS} objects");
            verdict.unjudged.push(without_place(message, &file.name));
            return verdict;
        }
    }
    let world = World {
        values,
        mocks: &suite.mocks,
        user: settings.user,
        cluster,
        global,
        now,
    };
    let mut trial = Trial {
        subjects: subjects.list,
        objects: objects.list,
        world,
        known: HashMap::new(),
        verdict,
    };
    for expectation in &suite.expectations {
        if !trial.compare(expectation) {
            break;
        }
    }
    trial.verdict
}

/// The files of which a suite has at most one.
#[derive(Default)]
struct Settings {
    values: Values,
    user: Option<User>,
}

impl Settings {
    fn read(files: &[File]) -> Result<Self, Fault> {
        let mut settings = Self::default();
        for file in files {
            let (text, name) = (&file.text, &file.name);
            match file.role {
                Role::Values => {
                    settings.values = one_document(text, name, Duplicates::LastCounts, Values::file)?;
                }
                Role::User => settings.user = one_document(text, name, Duplicates::LastCounts, User::read)?,
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// The documents of the files that hold objects; what cannot be read is told.
fn documents<'f>(files: &'f [File], faults: &mut Vec<Fault>) -> Vec<(&'f File, Value)> {
    let mut documents = Vec::new();
    let hold_objects = |file: &&File| {
        matches!(
            file.role,
            Role::Resources | Role::ClusterResources | Role::GlobalContext(_)
        )
    };
    for file in files.iter().filter(hold_objects) {
        // Suites are run as they stand, and Kyverno's command line reads objects as kubectl does.
        for document in yaml::parse_stream_with(&file.text, Duplicates::LastCounts) {
            match document {
                Ok(document) => documents.push((file, document.value)),
                Err(error) => {
                    faults.push(parse::syntax_fault(
                        &error,
                        &file.text,
                        &Arc::from(file.name.as_str()),
                    ));
                }
            }
        }
    }
    documents
}

/// The objects of a file of the cluster's objects: plain ones, or those that a document lists below
/// `spec.resources`.
fn in_cluster(mut document: Value) -> Vec<Value> {
    match document.pointer_mut("/spec/resources").map(Value::take) {
        Some(Value::Array(listed)) => listed,
        _ => flatten(document).into_iter().map(|item| item.object).collect(),
    }
}

fn without_place(message: String, file: &str) -> Fault {
    Fault::mistake(message, file)
}

impl Trial<'_> {
    /// Compares an entry with what came out; says whether there is room for more.
    fn compare(&mut self, entry: &Expectation) -> bool {
        self.notice(entry);
        let objects: Vec<usize> = entry
            .selection
            .select(&self.objects, entry.kind.as_deref())
            .into_iter()
            .map(|object| object.index)
            .collect();
        if objects.is_empty() {
            let (namespace, name) = entry.selection.first();
            let reason = "the suite holds no objects".to_owned();
            let row = Row {
                kind: entry.kind.clone().unwrap_or_default(),
                namespace,
                name,
                ..entry.row(String::new(), Actual::Absent(reason))
            };
            self.verdict.rows.push(row);
        }
        for object in objects {
            for (rule, actual) in self.actual(entry, object) {
                let object = &self.objects[object];
                let row = Row {
                    kind: object.written_kind.kind.clone(),
                    namespace: object.real_namespace().to_owned(),
                    name: object.name().to_owned(),
                    ..entry.row(rule, actual)
                };
                self.verdict.rows.push(row);
            }
            if self.verdict.rows.len() >= MAX_ROWS {
                let message = format!("the suite compares more than {MAX_ROWS} results");
                self.verdict.unjudged.push(Fault {
                    place: entry.place.clone(),
                    ..Fault::mistake(message, "")
                });
                return false;
            }
        }
        true
    }

    /// For one object: what each rule that the entry is about says, by the rule's name.
    fn actual(&mut self, entry: &Expectation, object: usize) -> Vec<(String, Actual)> {
        let subjects: Vec<usize> = self
            .subjects
            .iter()
            .filter(|subject| subject.is_named(&entry.policy))
            .map(|subject| subject.index)
            .collect();
        let one = |actual| (entry.rule.clone().unwrap_or_default(), actual);
        if subjects.is_empty() {
            let reason = format!("the suite holds no policy {}", entry.policy);
            return vec![one(Actual::Absent(reason))];
        }
        let mut actual = Vec::new();
        for subject in subjects {
            let left_out = match &self.subjects[subject].state {
                State::Invalid(reason) => Some(Actual::Absent(format!("the policy is invalid: {reason}"))),
                State::Unsupported(reason) => Some(Actual::Unsupported(reason.clone())),
                State::Judges { left_out, .. } => entry
                    .rule
                    .as_ref()
                    .and_then(|rule| left_out.get(rule))
                    .map(|reason| Actual::Unsupported(reason.clone())),
            };
            if let Some(left_out) = left_out {
                actual.push(one(left_out));
                continue;
            }
            let results = self.results(subject, object, entry.operation);
            let results = match &*results {
                Ok(results) => results,
                Err(reason) => {
                    actual.push(one(Actual::Absent(reason.clone())));
                    continue;
                }
            };
            let before = actual.len();
            for result in results.iter().filter(|result| entry.is_about(&result.rule)) {
                let rule = entry.rule.clone().unwrap_or_else(|| result.rule.to_string());
                actual.push((rule, Actual::Judged(Arc::clone(result))));
            }
            if actual.len() == before {
                actual.push(one(Actual::None));
            }
        }
        actual
    }

    fn results(&mut self, subject: usize, object: usize, operation: Option<Operation>) -> Results {
        let key = (subject, object, operation);
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let subject = &self.subjects[subject];
        let results = match &subject.state {
            State::Judges { set, .. } => self.world.results(Case {
                set,
                policy: &subject.key,
                object: &self.objects[object],
                operation,
            }),
            State::Unsupported(reason) | State::Invalid(reason) => Err(reason.clone()),
        };
        let results = Arc::new(results.map(|results| results.into_iter().map(Arc::new).collect()));
        self.known.insert(key, Arc::clone(&results));
        results
    }

    /// Tells of names in an entry that nothing bears: probably misspelt, and the entry then says less than it seems.
    fn notice(&mut self, entry: &Expectation) {
        let mut messages = Vec::new();
        for name in entry.selection.unknown(&self.objects) {
            messages.push(format!("no object of the suite is named {name}"));
        }
        if let Some(rule) = &entry.rule {
            let named: Vec<&Subject> = self
                .subjects
                .iter()
                .filter(|subject| subject.is_named(&entry.policy))
                .collect();
            if !named.is_empty() && !named.iter().any(|subject| subject.may_have(rule)) {
                messages.push(format!("policy {} has no rule {rule}", entry.policy));
            }
            if named.iter().any(|subject| subject.mutates_before(rule)) {
                messages.push(format!(
                    "policy {} has a rule that mutates, which Kyverno applies before {rule}; here {rule} judges the \
                     object as it is written",
                    entry.policy
                ));
            }
        }
        let distinct: BTreeSet<String> = messages.into_iter().collect();
        self.verdict
            .notices
            .extend(distinct.into_iter().map(|message| Fault {
                place: entry.place.clone(),
                ..Fault::mistake(message, "")
            }));
    }
}

impl Subject {
    /// Whether it has a rule of that name, as far as its rules are known.
    fn may_have(&self, rule: &str) -> bool {
        match &self.state {
            State::Judges { rules, left_out, .. } => {
                let mut names = rules.iter().chain(left_out.keys());
                names.any(|name| is_of_rule(rule, name))
            }
            State::Unsupported(_) | State::Invalid(_) => true,
        }
    }
}

impl Subject {
    /// Whether a rule of that name judges, of a policy that has another one that mutates.
    fn mutates_before(&self, rule: &str) -> bool {
        match &self.state {
            State::Judges { rules, left_out, .. } => {
                let judges = rules.iter().any(|name| is_of_rule(rule, name));
                judges && left_out.values().any(|reason| reason.starts_with("mutate "))
            }
            State::Unsupported(_) | State::Invalid(_) => false,
        }
    }
}

impl Expectation {
    /// Whether the entry is about a rule as it was executed.
    fn is_about(&self, executed: &str) -> bool {
        self.rule.as_ref().is_none_or(|rule| is_of_rule(executed, rule))
    }

    /// A row of the entry; what object it is about is for the caller to say.
    fn row(&self, rule: String, actual: Actual) -> Row {
        Row {
            policy: self.policy.clone(),
            rule: if rule.is_empty() {
                self.rule.clone().unwrap_or_default()
            } else {
                rule
            },
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
            expected: self.expected,
            actual,
            place: self.place.clone(),
        }
    }
}
