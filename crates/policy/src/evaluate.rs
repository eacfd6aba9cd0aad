//! Judges one request by all policies of a set.

use std::sync::Arc;

use jiff::Timestamp;
use provost_expression::{Budget, Deadline, Environment};
use serde_json::Value;

use crate::cel;
use crate::check::Judgement;
use crate::matching::{Halt, Target};
use crate::policy::Policy;
use crate::request::{Inputs, Operation, Request};
use crate::result::{FailureAction, Outcome, RuleResult, Status};
use crate::rule::{Check, Rule};
use crate::run::Run;
use crate::set::{Candidate, Part, PolicySet};

/// All rules together report at most so many violations of one object, and one for each rule that fails.
const MAX_REQUEST_VIOLATIONS: usize = 10_000;

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
    evaluate_part(set, Part::default(), None, request, inputs, now, seed)
}

/// As [`evaluate`], and a rule that takes longer than it may ends in an error.
pub fn evaluate_within(
    deadline: Deadline,
    set: &PolicySet,
    request: &Request<'_>,
    inputs: &Inputs,
    now: Timestamp,
    seed: u64,
) -> Outcome {
    evaluate_part(set, Part::default(), Some(deadline), request, inputs, now, seed)
}

/// As [`evaluate`], by a part of the set, within a deadline where there is one.
pub fn evaluate_part(
    set: &PolicySet,
    part: Part,
    deadline: Option<Deadline>,
    request: &Request<'_>,
    inputs: &Inputs,
    now: Timestamp,
    seed: u64,
) -> Outcome {
    let evaluation = Evaluation {
        request,
        inputs,
        environment: Environment { now, seed },
        deadline,
    };
    let (mut results, mut needs) = (Vec::new(), Vec::new());
    let mut room = MAX_REQUEST_VIOLATIONS;
    for candidates in set.candidates(&evaluation.request.kind.kind) {
        if !evaluation.is_in_namespace_of(&candidates.policy) {
            continue;
        }
        for candidate in candidates.rules.iter().filter(|candidate| part.has(candidate)) {
            match evaluation.rule(&candidates.policy, candidate) {
                Ok(None) => {}
                Ok(Some(mut result)) => {
                    // A rule that fails keeps one at least.
                    result.violations.truncate(room.max(1));
                    room = room.saturating_sub(result.violations.len());
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
    deadline: Option<Deadline>,
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
        let mut budget = budget(self.deadline);
        let judged = concerns(rule, &target).and_then(|concerned| {
            let judges = self.request.object.is_some() || rule.check.judges_deletions();
            if concerned && judges && self.is_looked_at(policy, &mut budget)? {
                self.judge(policy, candidate, &target, &mut budget)
            } else {
                Ok(None)
            }
        });
        match judged {
            Ok(result) => Ok(result),
            Err(Halt::Needs(key)) => Err(key),
            Err(Halt::Error(message)) => {
                let action = action(policy, rule, &target).unwrap_or_else(|_| strictest(policy, rule));
                Ok(Some(RuleResult {
                    overran: budget.overran(),
                    ..result(policy, rule, action, Status::Error, message)
                }))
            }
        }
    }

    /// Whether the conditions of the policy on requests hold.
    fn is_looked_at(&self, policy: &Policy, budget: &mut Budget) -> Result<bool, Halt> {
        cel::all_hold(&policy.match_conditions, self.request, self.inputs, budget)
    }

    fn judge(
        &self,
        policy: &Policy,
        candidate: &Candidate,
        target: &Target<'_>,
        budget: &mut Budget,
    ) -> Result<Option<RuleResult>, Halt> {
        let rule = &*candidate.rule;
        let action = action(policy, rule, target)?;
        let run = Run {
            request: self.request,
            inputs: self.inputs,
            environment: self.environment,
            policy,
            rule,
            exceptions: &candidate.exceptions,
        };
        let judgement = run.decide(self.request, budget)?;
        // Some places take an error for "no". What was stopped there has not been judged.
        if let Some(stopped) = budget.stopped()
            && !matches!(judgement, Judgement::Fail(_))
        {
            return Err(Halt::Error(stopped.to_string()));
        }
        let properties = run.properties(&judgement, budget)?;
        let result = |status, message: &str| {
            Ok(Some(RuleResult {
                properties: properties.clone(),
                ..result(policy, rule, action, status, message.to_owned())
            }))
        };
        match judgement {
            Judgement::None => Ok(None),
            Judgement::Pass => result(Status::Pass, ""),
            Judgement::Skip(why) => result(Status::Skip, &why),
            Judgement::Error(why) => result(Status::Error, &why),
            Judgement::Fail(_) if self.failed_before(&run, budget)? => result(
                Status::Skip,
                "the object failed before this update, and existing violations are allowed",
            ),
            Judgement::Fail(notes) => {
                let status = if policy.scored { Status::Fail } else { Status::Warn };
                let (message, violations) = run.explain(target.object, notes, budget)?;
                Ok(Some(RuleResult {
                    violations,
                    properties,
                    ..self::result(policy, rule, action, status, message)
                }))
            }
        }
    }

    /// Whether an enforced rule lets an update in because the old object, judged as if it were created, fails too.
    fn failed_before(&self, run: &Run<'_>, budget: &Budget) -> Result<bool, Halt> {
        let action = run.rule.actions.action.or(run.policy.actions.action);
        let (Some(old), Some(_)) = (self.request.old_object, self.request.object) else {
            return Ok(false);
        };
        if !run.rule.allows_existing
            || matches!(run.rule.check, Check::Cel(_))
            || action != Some(FailureAction::Enforce)
        {
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
        match run.decide(&request, &mut budget.renewed()) {
            Ok(judgement) => Ok(matches!(judgement, Judgement::Fail(_))),
            Err(Halt::Error(_)) => Ok(false),
            Err(needs) => Err(needs),
        }
    }
}

/// What the first part of a rule's evaluation may spend; each further part has a budget renewed, and the same time.
fn budget(deadline: Option<Deadline>) -> Budget {
    let budget = Budget::default();
    match deadline {
        Some(deadline) => budget.with_deadline(deadline),
        None => budget,
    }
}

/// What a failure of the rule does to this target.
fn action(policy: &Policy, rule: &Rule, target: &Target<'_>) -> Result<FailureAction, Halt> {
    match rule.actions.resolve(target)? {
        Some(action) => Ok(action),
        None => Ok(policy.actions.resolve(target)?.unwrap_or(FailureAction::Audit)),
    }
}

/// What a failure of the rule may do to some target: what holds where it cannot be told for this one.
fn strictest(policy: &Policy, rule: &Rule) -> FailureAction {
    let enforces = rule
        .actions
        .may_enforce()
        .or_else(|| policy.actions.may_enforce());
    if enforces == Some(true) {
        FailureAction::Enforce
    } else {
        FailureAction::Audit
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
        overran: false,
        properties: Vec::new(),
    }
}
