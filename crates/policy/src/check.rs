//! Runs the check of a rule: first the verdict, which stops at the first thing that decides, and for a failure every
//! violation.

use std::borrow::Cow;

use provost_expression::{Budget, Datum, EvalError};
use provost_manifest::path::FieldPath;
use serde_json::Value;

use crate::context::Frame;
use crate::denied;
use crate::matching::Halt;
use crate::pattern::{MAX_VIOLATIONS, Pattern, Verdict};
use crate::pod_security::Exclude;
use crate::result::Violation;
use crate::rule::{Check, Foreach, PatternSource};
use crate::violations::place_of;

/// What a check says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Pass,
    /// It failed; what the conditions that decided say about it.
    Fail(Vec<String>),
    Skip(Cow<'static, str>),
    Error(String),
    /// It says nothing of this object.
    None,
}

/// What a check looks at.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// What patterns are compared with: the object, or the element of a foreach.
    pub(crate) value: Option<&'a Value>,
    /// The whole object; the old one on a deletion.
    pub(crate) object: &'a Value,
    /// How many foreach are around.
    pub(crate) depth: usize,
    /// What exceptions take from the controls of Pod Security.
    pub(crate) excused: &'a [Exclude],
}

/// One element of a foreach.
struct Element<'a> {
    index: usize,
    datum: Datum<'a>,
}

// === impl Subject ===

impl Subject<'_> {
    /// Where a value is in the object; an element that was computed, and so is in no field, is called "element".
    fn place(&self, value: &Value, budget: &mut Budget) -> FieldPath {
        let computed = || match self.depth {
            0 => FieldPath::root(),
            _ => FieldPath::root().key("element"),
        };
        place_of(value, self.object, budget).unwrap_or_else(computed)
    }
}

// === impl Check ===

impl Check {
    /// The verdict.
    pub(crate) fn judge(
        &self,
        subject: &Subject<'_>,
        frame: &Frame<'_>,
        budget: &mut Budget,
    ) -> Result<Judgement, Halt> {
        match (self, subject.value) {
            (Self::Pattern(pattern), Some(value)) => {
                let pattern = pattern.compiled(frame, budget)?;
                let verdict = pattern.as_ref().check(value, budget);
                Ok(judgement(verdict.map_err(|error| frame.view().halt(&error))?))
            }
            (Self::AnyPattern(patterns), Some(value)) => any_pattern(patterns, value, frame, budget),
            (Self::Pattern(_) | Self::AnyPattern(_) | Self::PodSecurity(_), None) => Ok(Judgement::None),
            (Self::Deny(conditions), _) => {
                let view = frame.view();
                let decision = conditions.decide(&view, budget)?;
                if !decision.holds {
                    return Ok(Judgement::Pass);
                }
                let messages = decision
                    .held
                    .iter()
                    .filter_map(|held| held.message(&view, budget));
                Ok(Judgement::Fail(messages.collect()))
            }
            (Self::Foreach(entries), _) => foreach(entries, subject, frame, budget),
            (Self::PodSecurity(pods), Some(value)) => {
                let judgement = pods.judge(value, subject.excused, budget);
                judgement.map_err(|error| frame.view().halt(&error))
            }
            (Self::Cel(cel), _) => {
                let view = frame.view();
                cel.judge(view.shared().request, view.shared().inputs, budget)
            }
        }
    }

    /// Every violation, for a check that failed.
    pub(crate) fn collect(
        &self,
        subject: &Subject<'_>,
        frame: &Frame<'_>,
        budget: &mut Budget,
        violations: &mut Vec<Violation>,
    ) -> Result<(), Halt> {
        match (self, subject.value) {
            (Self::Pattern(pattern), Some(value)) => {
                let path = subject.place(value, budget);
                pattern
                    .compiled(frame, budget)?
                    .as_ref()
                    .collect(value, &path, budget, violations);
            }
            (Self::AnyPattern(patterns), Some(value)) => {
                let path = subject.place(value, budget);
                let nearest = nearest(patterns, value, &path, frame, budget)?;
                violations.extend(nearest);
            }
            (Self::PodSecurity(pods), Some(value)) => {
                pods.collect(value, subject.excused, budget, violations);
            }
            (Self::Pattern(_) | Self::AnyPattern(_) | Self::PodSecurity(_), None) => {}
            (Self::Deny(conditions), _) => {
                let view = frame.view();
                for held in conditions.held(&view, budget) {
                    denied::collect(&held, &view, subject.object, budget, violations);
                }
            }
            (Self::Cel(cel), _) => {
                let view = frame.view();
                let shared = view.shared();
                cel.collect(shared.request, shared.inputs, subject.object, budget, violations)?;
            }
            (Self::Foreach(entries), _) => {
                for entry in entries {
                    // A list that cannot be made has nothing to name.
                    let _ = entry.each(subject, frame, budget, &mut |check, subject, frame, budget| {
                        if let Judgement::Fail(_) = check.judge(subject, frame, budget)? {
                            check.collect(subject, frame, budget, violations)?;
                        }
                        Ok(if violations.len() < MAX_VIOLATIONS {
                            Step::Next
                        } else {
                            Step::Stop
                        })
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn judgement(verdict: Verdict) -> Judgement {
    match verdict {
        Verdict::Pass => Judgement::Pass,
        Verdict::Fail => Judgement::Fail(Vec::new()),
        Verdict::Skip => Judgement::Skip("an anchor of the pattern does not match the object".into()),
        Verdict::AnchorMissing => Judgement::Error(
            "the object is not like the pattern, and a field that an anchor asks for is nowhere in it"
                .to_owned(),
        ),
        Verdict::ListTooShort => Judgement::Error("a list is shorter than in the pattern".to_owned()),
    }
}

/// The first pattern that passes decides; else a failure or error of some outweighs the skips of others.
fn any_pattern(
    patterns: &[PatternSource],
    value: &Value,
    frame: &Frame<'_>,
    budget: &mut Budget,
) -> Result<Judgement, Halt> {
    let mut skipped_all = true;
    for pattern in patterns {
        let pattern = pattern.compiled(frame, budget)?;
        let verdict = pattern.as_ref().check(value, budget);
        match verdict.map_err(|error| frame.view().halt(&error))? {
            Verdict::Pass => return Ok(Judgement::Pass),
            Verdict::Skip => {}
            Verdict::Fail | Verdict::AnchorMissing | Verdict::ListTooShort => skipped_all = false,
        }
    }
    Ok(if patterns.is_empty() {
        Judgement::Pass
    } else if skipped_all {
        Judgement::Skip("no pattern concerns the object".into())
    } else {
        Judgement::Fail(Vec::new())
    })
}

/// The violations of the pattern that is nearest to being met.
fn nearest(
    patterns: &[PatternSource],
    value: &Value,
    path: &FieldPath,
    frame: &Frame<'_>,
    budget: &mut Budget,
) -> Result<Vec<Violation>, Halt> {
    let mut nearest: Option<Vec<Violation>> = None;
    for pattern in patterns {
        let mut violations = Vec::new();
        pattern
            .compiled(frame, budget)?
            .as_ref()
            .collect(value, path, budget, &mut violations);
        let is_nearer = nearest
            .as_ref()
            .is_none_or(|nearest| violations.len() < nearest.len());
        if !violations.is_empty() && is_nearer {
            nearest = Some(violations);
        }
    }
    Ok(nearest.unwrap_or_default())
}

/// The first element that fails decides; elements that skip do not count, and where none counts, nothing is said.
fn foreach(
    entries: &[Foreach],
    subject: &Subject<'_>,
    frame: &Frame<'_>,
    budget: &mut Budget,
) -> Result<Judgement, Halt> {
    let mut outcome = Judgement::None;
    let mut no_list = None;
    for entry in entries {
        let list = entry.each(
            subject,
            frame,
            budget,
            &mut |check, subject, frame, budget| match check.judge(subject, frame, budget)? {
                Judgement::None | Judgement::Skip(_) => Ok(Step::Next),
                Judgement::Pass => {
                    outcome = Judgement::Pass;
                    Ok(Step::Next)
                }
                decided @ (Judgement::Fail(_) | Judgement::Error(_)) => {
                    outcome = decided;
                    Ok(Step::Stop)
                }
            },
        )?;
        if matches!(outcome, Judgement::Fail(_) | Judgement::Error(_)) {
            break;
        }
        if let Err(why) = list {
            no_list = no_list.or(Some(why));
        }
    }
    match (outcome, no_list) {
        (Judgement::None, Some(why)) => {
            Ok(Judgement::Error(format!("a list of foreach has no value: {why}")))
        }
        (outcome, _) => Ok(outcome),
    }
}

/// Whether to look at further elements.
enum Step {
    Next,
    Stop,
}

/// What is done with each element that its preconditions let through.
type Visit<'v> = dyn FnMut(&Check, &Subject<'_>, &Frame<'_>, &mut Budget) -> Result<Step, Halt> + 'v;

// === impl Foreach ===

impl Foreach {
    /// Visits each element; the inner error says why the list cannot be made.
    fn each(
        &self,
        subject: &Subject<'_>,
        frame: &Frame<'_>,
        budget: &mut Budget,
        visit: &mut Visit<'_>,
    ) -> Result<Result<(), String>, Halt> {
        let view = frame.view();
        let list = match view.search(&self.list, budget) {
            Ok(list) => list,
            // A list that is not there has no elements.
            Err(EvalError::UnknownKey { .. }) => return Ok(Ok(())),
            Err(error) => match view.halt(&error) {
                Halt::Error(why) if !error.is_final() => return Ok(Err(why)),
                halt => return Err(halt),
            },
        };
        for element in elements(&list) {
            budget.step().map_err(|error| view.halt(&error))?;
            if let Step::Stop = self.element(&element, subject, frame, budget, visit)? {
                break;
            }
        }
        Ok(Ok(()))
    }

    fn element(
        &self,
        element: &Element<'_>,
        subject: &Subject<'_>,
        frame: &Frame<'_>,
        budget: &mut Budget,
        visit: &mut Visit<'_>,
    ) -> Result<Step, Halt> {
        let number = Datum::from(Value::from(element.index));
        let locals = vec![
            ("element".to_owned(), element.datum.clone()),
            (format!("element{}", subject.depth), element.datum.clone()),
            ("elementIndex".to_owned(), number.clone()),
            (format!("elementIndex{}", subject.depth), number),
        ];
        let frame = Frame::of_element(frame, locals, &self.context);
        if let Some(preconditions) = &self.preconditions {
            match preconditions.decide(&frame.view(), budget) {
                Ok(decision) if decision.holds => {}
                // Preconditions that cannot be decided leave the element out.
                Ok(_) | Err(Halt::Error(_)) => return Ok(Step::Next),
                Err(needs) => return Err(needs),
            }
        }
        let value = value_of(&element.datum, budget).map_err(|error| frame.view().halt(&error))?;
        let is_map = value.is_object();
        if self.element_scope == Some(true) && !is_map {
            return Err(Halt::Error(
                "elementScope is true, and the element is no map".to_owned(),
            ));
        }
        let inside = self.element_scope.unwrap_or(true) && is_map;
        let subject = Subject {
            value: if inside { Some(&*value) } else { subject.value },
            object: subject.object,
            depth: subject.depth + 1,
            excused: subject.excused,
        };
        visit(&self.check, &subject, &frame, budget)
    }
}

/// The elements of a list that are not null; what is no list is its own only element.
fn elements<'a>(list: &Datum<'a>) -> Vec<Element<'a>> {
    let all: Vec<Datum<'a>> = match list.as_list() {
        Some(items) => items.iter().collect(),
        None => vec![list.clone()],
    };
    all.into_iter()
        .enumerate()
        .map(|(index, datum)| Element { index, datum })
        .filter(|element| !element.datum.is_null())
        .collect()
}

/// The value itself where it lies in the object, so that its place can be told; else a copy.
fn value_of<'a>(datum: &Datum<'a>, budget: &mut Budget) -> Result<Cow<'a, Value>, EvalError> {
    match datum {
        Datum::Borrowed(value) => Ok(Cow::Borrowed(value)),
        made => made.clone().into_value(budget).map(Cow::Owned),
    }
}

// === impl PatternSource ===

/// A pattern that lies in the rule, or one that was made for this object.
enum Compiled<'p> {
    Fixed(&'p Pattern),
    Made(Box<Pattern>),
}

impl Compiled<'_> {
    fn as_ref(&self) -> &Pattern {
        match self {
            Self::Fixed(pattern) => pattern,
            Self::Made(pattern) => pattern,
        }
    }
}

impl PatternSource {
    fn compiled(&self, frame: &Frame<'_>, budget: &mut Budget) -> Result<Compiled<'_>, Halt> {
        match self {
            Self::Fixed(pattern) => Ok(Compiled::Fixed(pattern)),
            Self::Variable(template, numbers) => {
                let completed = template.complete(&frame.view(), budget)?;
                let pattern = Pattern::compile(&completed, *numbers);
                let pattern = pattern.map_err(|error| Halt::Error(error.to_string()))?;
                Ok(Compiled::Made(Box::new(pattern)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
