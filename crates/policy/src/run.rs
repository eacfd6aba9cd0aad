//! Runs one rule that concerns a request: preconditions, exceptions, the check, and for a failure its explanation.

use std::borrow::Cow;
use std::sync::Arc;

use provost_expression::{Budget, Environment};
use serde_json::Value;

use crate::check::{Judgement, Subject};
use crate::context::{Frame, Shared};
use crate::exception::Exception;
use crate::matching::{Halt, Target};
use crate::pod_security::Exclude;
use crate::policy::Policy;
use crate::request::{Inputs, Request};
use crate::result::Violation;
use crate::rule::{Check, Rule};
use crate::violations;

/// Why a rule is skipped whose preconditions are not met.
const UNMET: &str = "the preconditions are not met";

/// What exceptions excuse of one rule.
#[derive(Default)]
struct Excuse {
    keys: Vec<Arc<str>>,
    /// The rule as a whole.
    whole: bool,
    /// Controls of Pod Security.
    controls: Vec<Exclude>,
}

impl Excuse {
    fn skip(&self) -> Judgement {
        Judgement::Skip(Cow::Owned(format!(
            "excused by PolicyException {}",
            self.keys.join(", ")
        )))
    }
}

/// One rule that concerns a request.
pub(crate) struct Run<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) inputs: &'a Inputs,
    pub(crate) environment: Environment,
    pub(crate) policy: &'a Policy,
    pub(crate) rule: &'a Rule,
    pub(crate) exceptions: &'a [Arc<Exception>],
}

impl Run<'_> {
    /// Preconditions, then exceptions, then the check.
    pub(crate) fn decide(&self, request: &Request<'_>, budget: &mut Budget) -> Result<Judgement, Halt> {
        let shared = self.shared(request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        if let Some(preconditions) = &self.rule.preconditions
            && !preconditions.decide(&frame.view(), budget)?.holds
        {
            return Ok(Judgement::Skip(UNMET.into()));
        }
        let Some(object) = request.object.or(request.old_object) else {
            return Ok(Judgement::None);
        };
        let excuse = self.excuse(request, object, &frame, budget)?;
        if excuse.whole {
            return Ok(excuse.skip());
        }
        let subject = Subject {
            value: request.object,
            object,
            depth: 0,
            excused: &[],
        };
        let judgement = self.rule.check.judge(&subject, &frame, budget)?;
        if excuse.controls.is_empty() || !matches!(judgement, Judgement::Fail(_)) {
            return Ok(judgement);
        }
        let excused = Subject {
            excused: &excuse.controls,
            ..subject
        };
        match self.rule.check.judge(&excused, &frame, budget)? {
            Judgement::Pass => Ok(excuse.skip()),
            judgement => Ok(judgement),
        }
    }

    /// What exceptions excuse of this rule.
    fn excuse(
        &self,
        request: &Request<'_>,
        object: &Value,
        frame: &Frame<'_>,
        budget: &mut Budget,
    ) -> Result<Excuse, Halt> {
        let target = Target {
            request,
            object,
            inputs: self.inputs,
        };
        let of_controls = matches!(self.rule.check, Check::PodSecurity(_));
        let mut excuse = Excuse::default();
        for exception in self.exceptions {
            if exception.excuses(&target, &frame.view(), budget)? {
                excuse.keys.push(Arc::clone(&exception.key));
                excuse.whole |= exception.controls.is_empty() || !of_controls;
                excuse.controls.extend(exception.controls.iter().cloned());
            }
        }
        Ok(excuse)
    }

    /// The message and every violation of a failure. Nothing here can change the verdict: what cannot be explained
    /// is left out.
    pub(crate) fn explain(
        &self,
        object: &Value,
        notes: Vec<String>,
        spent: &Budget,
    ) -> Result<(String, Vec<Violation>), Halt> {
        let request = self.request;
        let shared = self.shared(request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        let mut budget = spent.renewed();
        let excuse = self.excuse(request, object, &frame, &mut budget)?;
        let subject = Subject {
            value: request.object,
            object,
            depth: 0,
            excused: &excuse.controls,
        };
        let mut violations = Vec::new();
        let collected = self
            .rule
            .check
            .collect(&subject, &frame, &mut budget, &mut violations);
        if let Err(needs @ Halt::Needs(_)) = collected {
            return Err(needs);
        }
        violations::finish(&mut violations, object, request.kind);
        let mut words = Vec::new();
        // Each expression in CEL has words of its own, or repeats the rule's.
        if !matches!(self.rule.check, Check::Cel(_)) {
            words.extend(Some(self.message(request, spent)).filter(|message| !message.is_empty()));
        }
        words.extend(notes);
        Ok((words.join("; "), violations))
    }

    /// The author's message, completed; as it is written where it cannot be. Of a Secret nothing is put into it.
    fn message(&self, request: &Request<'_>, spent: &Budget) -> String {
        let message = &self.rule.message;
        let shared = self.shared(request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        let written = || message.raw().trim().to_owned();
        if violations::is_secret_kind(request.kind) {
            return written();
        }
        let completed = message.text(&frame.view(), &mut spent.renewed());
        completed.map_or_else(|_| written(), |text| text.trim().to_owned())
    }

    /// The properties that the result carries into reports. They change no verdict: one that cannot be completed stays
    /// as it is written. A rule whose preconditions are not met has none.
    pub(crate) fn properties(
        &self,
        judgement: &Judgement,
        spent: &Budget,
    ) -> Result<Vec<(String, String)>, Halt> {
        let unmet = matches!(judgement, Judgement::Skip(why) if why == UNMET);
        if self.rule.properties.is_empty() || unmet {
            return Ok(Vec::new());
        }
        let shared = self.shared(self.request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        let is_secret = violations::is_secret_kind(self.request.kind);
        let mut completed = Vec::new();
        for (key, text) in &self.rule.properties {
            let written = || text.raw().to_owned();
            let value = if is_secret {
                written()
            } else {
                match text.text(&frame.view(), &mut spent.renewed()) {
                    Ok(value) => value,
                    Err(needs @ Halt::Needs(_)) => return Err(needs),
                    Err(Halt::Error(_)) => written(),
                }
            };
            completed.push((key.clone(), value));
        }
        Ok(completed)
    }

    fn shared<'s>(&'s self, request: &'s Request<'s>) -> Shared<'s> {
        Shared::new(
            request,
            self.inputs,
            self.environment,
            self.policy,
            self.rule,
            !self.exceptions.is_empty() || !self.rule.is_static(),
        )
    }
}
