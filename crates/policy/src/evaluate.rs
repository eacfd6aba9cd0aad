//! Judges one request by all policies of a set.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use provost_expression::{Budget, Environment};
use serde_json::Value;

use crate::check::{Judgement, Subject};
use crate::context::{Frame, Shared};
use crate::exception::Exception;
use crate::matching::{Halt, Target};
use crate::pod_security::Exclude;
use crate::policy::Policy;
use crate::request::{Inputs, Operation, Request};
use crate::result::{FailureAction, Outcome, RuleResult, Status, Violation};
use crate::rule::{Check, Rule};
use crate::set::{Candidate, PolicySet};
use crate::violations;

/// Judges `request` by every rule of `set` that matches it.
///
/// Results come in the order of policies and rules. `now` and `seed` are what time and random functions of
/// expressions see, so that the same call gives the same answer.
pub fn evaluate(
    set: &PolicySet,
    request: &Request<'_>,
    inputs: &Inputs,
    now: Timestamp,
    seed: u64,
) -> Outcome {
    let evaluation = Evaluation {
        request,
        inputs,
        environment: Environment { now, seed },
    };
    let (mut results, mut needs) = (Vec::new(), Vec::new());
    for candidates in set.candidates(&request.kind.kind) {
        if !evaluation.is_in_namespace_of(&candidates.policy) {
            continue;
        }
        for candidate in &candidates.rules {
            match evaluation.rule(&candidates.policy, candidate) {
                Ok(None) => {}
                Ok(Some(result)) => {
                    let decided = matches!(result.status, Status::Pass | Status::Fail | Status::Warn);
                    results.push(result);
                    if decided && candidates.policy.first_rule_only {
                        break;
                    }
                }
                Err(key) if needs.contains(&key) => {}
                Err(key) => needs.push(key),
            }
        }
    }
    if needs.is_empty() {
        Outcome::Done(results)
    } else {
        Outcome::Needs(needs)
    }
}

/// One call of [`evaluate`].
struct Evaluation<'a> {
    request: &'a Request<'a>,
    inputs: &'a Inputs,
    environment: Environment,
}

impl Evaluation<'_> {
    /// A namespaced Policy concerns what is, and was, in its namespace.
    fn is_in_namespace_of(&self, policy: &Policy) -> bool {
        let Some(namespace) = policy.namespace.as_deref() else {
            return true;
        };
        let inside = |object: &Value| {
            let written = object.get("metadata").and_then(|m| m.get("namespace"));
            written.and_then(Value::as_str).unwrap_or(self.request.namespace) == namespace
        };
        [self.request.object, self.request.old_object]
            .into_iter()
            .flatten()
            .all(inside)
    }

    /// The result of one rule; none where it does not concern the request. What must be fetched first is an error.
    fn rule(
        &self,
        policy: &Policy,
        candidate: &Candidate,
    ) -> Result<Option<RuleResult>, crate::request::Key> {
        let rule = &*candidate.rule;
        let Some(object) = self.request.object.or(self.request.old_object) else {
            return Ok(None);
        };
        let target = Target {
            request: self.request,
            object,
            inputs: self.inputs,
        };
        let judged = concerns(rule, &target).and_then(|concerned| {
            if concerned {
                self.judge(policy, candidate, &target)
            } else {
                Ok(None)
            }
        });
        match judged {
            Ok(result) => Ok(result),
            Err(Halt::Needs(key)) => Err(key),
            Err(Halt::Error(message)) => {
                let action = rule
                    .actions
                    .action
                    .or(policy.actions.action)
                    .unwrap_or(FailureAction::Audit);
                Ok(Some(result(policy, rule, action, Status::Error, message)))
            }
        }
    }

    fn judge(
        &self,
        policy: &Policy,
        candidate: &Candidate,
        target: &Target<'_>,
    ) -> Result<Option<RuleResult>, Halt> {
        let rule = &*candidate.rule;
        if self.request.object.is_none() && !rule.check.judges_deletions() {
            return Ok(None);
        }
        let action = match rule.actions.resolve(target)? {
            Some(action) => action,
            None => policy.actions.resolve(target)?.unwrap_or(FailureAction::Audit),
        };
        let result =
            |status, message: &str| Ok(Some(result(policy, rule, action, status, message.to_owned())));
        let run = Run {
            evaluation: self,
            policy,
            rule,
            exceptions: &candidate.exceptions,
        };
        let mut budget = Budget::default();
        match run.decide(self.request, &mut budget)? {
            Judgement::None => Ok(None),
            Judgement::Pass => result(Status::Pass, ""),
            Judgement::Skip(why) => result(Status::Skip, &why),
            Judgement::Error(why) => result(Status::Error, &why),
            Judgement::Fail(_) if self.failed_before(&run)? => result(
                Status::Skip,
                "the object failed before this update, and existing violations are allowed",
            ),
            Judgement::Fail(notes) => {
                let status = if policy.scored { Status::Fail } else { Status::Warn };
                let (message, violations) = run.explain(target.object, notes)?;
                Ok(Some(RuleResult {
                    violations,
                    ..self::result(policy, rule, action, status, message)
                }))
            }
        }
    }

    /// Whether an enforced rule lets an update in because the old object, judged as if it were created, fails too.
    fn failed_before(&self, run: &Run<'_>) -> Result<bool, Halt> {
        let action = run.rule.actions.action.or(run.policy.actions.action);
        let (Some(old), Some(_)) = (self.request.old_object, self.request.object) else {
            return Ok(false);
        };
        if !run.rule.allows_existing || action != Some(FailureAction::Enforce) {
            return Ok(false);
        }
        let request = Request {
            operation: Operation::Create,
            object: Some(old),
            old_object: None,
            user: None,
            review: None,
            ..*self.request
        };
        let target = Target {
            request: &request,
            object: old,
            inputs: self.inputs,
        };
        if !concerns(run.rule, &target)? {
            return Ok(false);
        }
        match run.decide(&request, &mut Budget::default()) {
            Ok(judgement) => Ok(matches!(judgement, Judgement::Fail(_))),
            Err(Halt::Error(_)) => Ok(false),
            Err(needs) => Err(needs),
        }
    }
}

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
struct Run<'a> {
    evaluation: &'a Evaluation<'a>,
    policy: &'a Policy,
    rule: &'a Rule,
    exceptions: &'a [Arc<Exception>],
}

impl Run<'_> {
    /// Preconditions, then exceptions, then the check.
    fn decide(&self, request: &Request<'_>, budget: &mut Budget) -> Result<Judgement, Halt> {
        let shared = self.shared(request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        if let Some(preconditions) = &self.rule.preconditions
            && !preconditions.decide(&frame.view(), budget)?.holds
        {
            return Ok(Judgement::Skip("the preconditions are not met".into()));
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
            inputs: self.evaluation.inputs,
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
    fn explain(&self, object: &Value, notes: Vec<String>) -> Result<(String, Vec<Violation>), Halt> {
        let request = self.evaluation.request;
        let shared = self.shared(request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        let mut budget = Budget::default();
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
        words.extend(Some(self.message(request)).filter(|message| !message.is_empty()));
        words.extend(notes);
        Ok((words.join("; "), violations))
    }

    /// The author's message, completed; as it is written where it cannot be. Of a Secret nothing is put into it.
    fn message(&self, request: &Request<'_>) -> String {
        let message = &self.rule.message;
        let shared = self.shared(request);
        let frame = Frame::of_rule(&shared, &self.rule.context);
        let written = || message.raw().trim().to_owned();
        if violations::is_secret_kind(request.kind) {
            return written();
        }
        let completed = message.text(&frame.view(), &mut Budget::default());
        completed.map_or_else(|_| written(), |text| text.trim().to_owned())
    }

    fn shared<'s>(&'s self, request: &'s Request<'s>) -> Shared<'s> {
        Shared::new(
            request,
            self.evaluation.inputs,
            self.evaluation.environment,
            self.policy,
            self.rule,
            !self.exceptions.is_empty() || !self.rule.is_static(),
        )
    }
}

fn concerns(rule: &Rule, target: &Target<'_>) -> Result<bool, Halt> {
    if !rule.matches.includes(target)? {
        return Ok(false);
    }
    match &rule.exclude {
        Some(exclude) => Ok(!exclude.excludes(target)?),
        None => Ok(true),
    }
}

fn result(
    policy: &Policy,
    rule: &Rule,
    action: FailureAction,
    status: Status,
    message: String,
) -> RuleResult {
    RuleResult {
        policy: Arc::clone(&policy.key),
        rule: Arc::clone(&rule.name),
        status,
        action,
        fails_closed: policy.fails_closed,
        message,
        violations: Vec::new(),
    }
}
