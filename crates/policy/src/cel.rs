//! `validate.cel`: expressions that must be true of the object.
//!
//! As Kubernetes' validating admission has it, an expression that is false, or cannot be evaluated, is a failure of
//! the object; only one that overruns its budget is an error of the rule.

use std::borrow::Cow;
use std::sync::Arc;

use provost_expression::cel::{Error, Program, Scope, Value as CelValue, Variable};
use provost_expression::{Budget, Datum, Text};
use provost_manifest::escape::{line, shorten};
use provost_manifest::path::FieldPath;
use serde_json::{Value, json};

use crate::check::Judgement;
use crate::context::request_datum;
use crate::matching::{Halt, fetched};
use crate::pattern::MAX_VIOLATIONS;
use crate::request::{Inputs, Key, Request};
use crate::result::{Accepted, Found, Violation};
use crate::violations::{is_secret_kind, place_of};

/// An expression in a message is cut at this many characters.
const MAX_EXPRESSION_CHARS: usize = 200;

/// What a rule demands in CEL.
#[derive(Debug, Default)]
pub(crate) struct Cel {
    /// The rule concerns only what all of these are true of (`celPreconditions`).
    pub(crate) conditions: Vec<Program>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) assertions: Vec<Assertion>,
}

/// An expression that must be true.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) program: Program,
    /// The author's words on a failure; may be empty.
    pub(crate) message: String,
    /// Words that are made for each object.
    pub(crate) message_expression: Option<Program>,
}

/// What expressions speak of beside the object.
#[derive(Clone, Copy, Default)]
struct Uses {
    request: bool,
    namespace: bool,
}

/// One evaluation: over what, and with how much.
struct Evaluation<'s, 'a> {
    scope: Scope<'a>,
    budget: &'s mut Budget,
    /// Whether the object holds secrets, which no message may show.
    secret: bool,
}

// === impl Cel ===

impl Cel {
    /// The verdict; on a failure, what every expression that is not true says.
    pub(crate) fn judge(
        &self,
        request: &Request<'_>,
        inputs: &Inputs,
        budget: &mut Budget,
    ) -> Result<Judgement, Halt> {
        let mut evaluation = self.evaluation(request, inputs, budget)?;
        for condition in &self.conditions {
            match evaluation.holds(condition)? {
                Ok(true) => {}
                Ok(false) => return Ok(Judgement::Skip("the CEL preconditions are not met".into())),
                Err(error) => return Ok(Judgement::Fail(vec![evaluation.failed(condition, &error)])),
            }
        }
        let mut complaints = Vec::new();
        for assertion in &self.assertions {
            match evaluation.complaint(assertion) {
                Ok(complaint) => complaints.extend(complaint),
                // The verdict stands already.
                Err(_) if !complaints.is_empty() => break,
                Err(halt) => return Err(halt),
            }
        }
        Ok(if complaints.is_empty() {
            Judgement::Pass
        } else {
            Judgement::Fail(complaints)
        })
    }

    /// For every expression that is not true, the fields to blame; the whole object where its form does not tell.
    pub(crate) fn collect(
        &self,
        request: &Request<'_>,
        inputs: &Inputs,
        object: &Value,
        budget: &mut Budget,
        violations: &mut Vec<Violation>,
    ) -> Result<(), Halt> {
        let mut evaluation = self.evaluation(request, inputs, budget)?;
        let mut unplaced: Vec<String> = Vec::new();
        for assertion in &self.assertions {
            let Some(complaint) = evaluation.complaint(assertion)? else {
                continue;
            };
            let room = MAX_VIOLATIONS.saturating_sub(violations.len());
            let before = violations.len();
            for blame in assertion
                .program
                .blame(&evaluation.scope, evaluation.budget, room)
            {
                let Some(place) = place_of(blame.at, object, evaluation.budget) else {
                    continue;
                };
                let path: FieldPath = place.segments().iter().chain(&blame.below).cloned().collect();
                if path.is_root() {
                    continue;
                }
                violations.push(Violation {
                    found: path.get(object).map_or(Found::Missing, Found::of),
                    path,
                    accepted: Accepted(complaint.clone()),
                    within: None,
                });
            }
            if violations.len() == before {
                unplaced.push(complaint);
            }
        }
        if !unplaced.is_empty() && violations.len() < MAX_VIOLATIONS {
            violations.push(Violation {
                path: FieldPath::root(),
                found: Found::of(object),
                accepted: Accepted(unplaced.join("; ")),
                within: None,
            });
        }
        Ok(())
    }

    fn evaluation<'s, 'a>(
        &'a self,
        request: &'a Request<'_>,
        inputs: &'a Inputs,
        budget: &'s mut Budget,
    ) -> Result<Evaluation<'s, 'a>, Halt> {
        let assertions = self.assertions.iter();
        let programs = self
            .conditions
            .iter()
            .chain(self.variables.iter().map(|variable| &variable.program))
            .chain(assertions.flat_map(|one| std::iter::once(&one.program).chain(&one.message_expression)));
        Evaluation::new(Uses::of(programs), &self.variables, request, inputs, budget)
    }
}

/// Whether all conditions of a policy on requests hold (`matchConditions`).
pub(crate) fn all_hold(
    conditions: &[Program],
    request: &Request<'_>,
    inputs: &Inputs,
    budget: &mut Budget,
) -> Result<bool, Halt> {
    if conditions.is_empty() {
        return Ok(true);
    }
    let mut evaluation = Evaluation::new(Uses::of(conditions), &[], request, inputs, budget)?;
    for condition in conditions {
        match evaluation.holds(condition)? {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => return Err(Halt::Error(evaluation.failed(condition, &error))),
        }
    }
    Ok(true)
}

// === impl Uses ===

impl Uses {
    fn of<'p>(programs: impl IntoIterator<Item = &'p Program>) -> Self {
        programs.into_iter().fold(Self::default(), |uses, program| Self {
            request: uses.request || program.uses_request(),
            namespace: uses.namespace || program.uses_namespace(),
        })
    }
}

// === impl Evaluation ===

impl<'s, 'a> Evaluation<'s, 'a> {
    /// Gets ready what the expressions speak of, and nothing else.
    fn new(
        uses: Uses,
        variables: &'a [Variable],
        request: &'a Request<'_>,
        inputs: &'a Inputs,
        budget: &'s mut Budget,
    ) -> Result<Self, Halt> {
        let mut scope = Scope::new(request.object, request.old_object, variables);
        if uses.request {
            scope = scope.with_request(CelValue::from(completed(request)));
        }
        let has_namespace = !request.namespace.is_empty() && request.kind.kind != "Namespace";
        if has_namespace && uses.namespace {
            let labels = fetched(inputs, Key::NamespaceLabels(request.namespace.to_owned()))?;
            scope = scope.with_namespace(request.namespace, Some(labels));
        }
        Ok(Self {
            scope,
            budget,
            secret: is_secret_kind(request.kind),
        })
    }

    /// Whether an expression is true; or why that cannot be told.
    fn holds(&mut self, program: &'a Program) -> Result<Result<bool, Error>, Halt> {
        match program.evaluate(&self.scope, self.budget) {
            Ok(value) => Ok(value.as_bool().ok_or_else(|| Error::NoSuchOverload {
                operation: "a condition",
                types: value.type_name().to_owned(),
            })),
            Err(error) if error.is_final() => Err(Halt::Error(format!(
                "the expression {} was stopped: {error}",
                shown(program)
            ))),
            Err(error) => Ok(Err(error)),
        }
    }

    /// What there is to say where an assertion is not true.
    fn complaint(&mut self, assertion: &'a Assertion) -> Result<Option<String>, Halt> {
        Ok(match self.holds(&assertion.program)? {
            Ok(true) => None,
            Ok(false) => Some(self.message(assertion)),
            Err(error) => Some(self.failed(&assertion.program, &error)),
        })
    }

    fn message(&mut self, assertion: &'a Assertion) -> String {
        if let Some(program) = &assertion.message_expression
            && !self.secret
            && let Ok(value) = program.evaluate(&self.scope, self.budget)
            && let Some(text) = value.as_text()
            && let text = text.trim()
            && !text.is_empty()
            && !text.contains('\n')
        {
            return text.to_owned();
        }
        match assertion.message.as_str() {
            "" => format!("failed expression: {}", shown(&assertion.program)),
            message => message.to_owned(),
        }
    }

    fn failed(&self, program: &Program, error: &Error) -> String {
        match error {
            // What a function says of its arguments may quote them.
            Error::Function { function, .. } if self.secret => format!(
                "expression '{}' resulted in error: {function}() could not work with what it got",
                shown(program)
            ),
            error => format!("expression '{}' resulted in error: {error}", shown(program)),
        }
    }
}

fn shown(program: &Program) -> String {
    let text = program.text().trim();
    let words: Cow<'_, str> = line(text);
    shorten(&words, MAX_EXPRESSION_CHARS).into_owned()
}

/// The admission request, with what every one has, for a request that was made from less.
fn completed<'a>(request: &'a Request<'_>) -> Datum<'a> {
    let kind = request.kind;
    let known = json!({
        "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "resource": {"group": "", "version": "", "resource": ""},
        "subResource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
        "dryRun": request.dry_run,
        "userInfo": {},
    });
    let mut datum = request_datum(request, None);
    if let (Datum::Map(fields), Value::Object(known)) = (&mut datum, known) {
        let fields = Arc::make_mut(fields);
        for (name, value) in known {
            fields
                .entry(Text::from(name))
                .or_insert_with(|| Datum::from(value));
        }
    }
    datum
}

#[cfg(test)]
mod tests;
