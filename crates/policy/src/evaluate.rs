//! Judges one request by all policies of a set.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::matching::{Halt, Target};
use crate::pattern::{Pattern, Verdict};
use crate::policy::Policy;
use crate::request::{Inputs, Operation, Request};
use crate::result::{FailureAction, Outcome, RuleResult, Status, Violation};
use crate::rule::{Check, Rule};
use crate::set::PolicySet;
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
        _now: now,
        _seed: seed,
    };
    let (mut results, mut needs) = (Vec::new(), Vec::new());
    for candidates in set.candidates(&request.kind.kind) {
        if !evaluation.is_in_namespace_of(&candidates.policy) {
            continue;
        }
        for rule in &candidates.rules {
            match evaluation.rule(&candidates.policy, rule) {
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
    _now: Timestamp,
    _seed: u64,
}

/// What a check says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    Pass,
    Fail,
    Skip(&'static str),
    Error(String),
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
    fn rule(&self, policy: &Policy, rule: &Rule) -> Result<Option<RuleResult>, crate::request::Key> {
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
                self.judge(policy, rule, &target)
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

    fn judge(&self, policy: &Policy, rule: &Rule, target: &Target<'_>) -> Result<Option<RuleResult>, Halt> {
        if self.request.object.is_none() && !rule.check.judges_deletions() {
            return Ok(None);
        }
        let action = match rule.actions.resolve(target)? {
            Some(action) => action,
            None => policy.actions.resolve(target)?.unwrap_or(FailureAction::Audit),
        };
        let result = |status, message: &str| result(policy, rule, action, status, message.to_owned());
        Ok(Some(match check(rule, target.object) {
            Judgement::Pass => result(Status::Pass, ""),
            Judgement::Skip(why) => result(Status::Skip, why),
            Judgement::Error(why) => result(Status::Error, &why),
            Judgement::Fail if self.failed_before(policy, rule)? => result(
                Status::Skip,
                "the object failed before this update, and existing violations are allowed",
            ),
            Judgement::Fail => {
                let status = if policy.scored { Status::Fail } else { Status::Warn };
                let mut result = result(status, &rule.message);
                result.violations = collect(rule, target.object);
                violations::finish(&mut result.violations, target.object, self.request.kind);
                result
            }
        }))
    }

    /// Whether an enforced rule lets an update in because the old object, judged as if it were created, fails too.
    fn failed_before(&self, policy: &Policy, rule: &Rule) -> Result<bool, Halt> {
        let action = rule.actions.action.or(policy.actions.action);
        let (Some(old), Some(_)) = (self.request.old_object, self.request.object) else {
            return Ok(false);
        };
        if !rule.allows_existing || action != Some(FailureAction::Enforce) {
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
        Ok(concerns(rule, &target)? && check(rule, old) == Judgement::Fail)
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

/// The verdict of a rule's check, which stops at the first thing that decides.
fn check(rule: &Rule, object: &Value) -> Judgement {
    match &rule.check {
        Check::Pattern(pattern) => judgement(pattern.check(object)),
        Check::AnyPattern(patterns) => any_pattern(patterns, object),
    }
}

fn judgement(verdict: Verdict) -> Judgement {
    match verdict {
        Verdict::Pass => Judgement::Pass,
        Verdict::Fail => Judgement::Fail,
        Verdict::Skip => Judgement::Skip("an anchor of the pattern does not match the object"),
        Verdict::AnchorMissing => Judgement::Error(
            "the object is not like the pattern, and a field that an anchor asks for is nowhere in it"
                .to_owned(),
        ),
        Verdict::ListTooShort => Judgement::Error("a list is shorter than in the pattern".to_owned()),
    }
}

/// The first pattern that passes decides; else a failure or error of some outweighs the skips of others.
fn any_pattern(patterns: &[Pattern], object: &Value) -> Judgement {
    let mut skipped_all = !patterns.is_empty();
    for pattern in patterns {
        match pattern.check(object) {
            Verdict::Pass => return Judgement::Pass,
            Verdict::Skip => {}
            Verdict::Fail | Verdict::AnchorMissing | Verdict::ListTooShort => skipped_all = false,
        }
    }
    if skipped_all {
        Judgement::Skip("no pattern concerns the object")
    } else if patterns.is_empty() {
        Judgement::Pass
    } else {
        Judgement::Fail
    }
}

/// Every violation of a rule that failed; of several patterns, those of the one that is nearest to being met.
fn collect(rule: &Rule, object: &Value) -> Vec<Violation> {
    let of = |pattern: &Pattern| {
        let mut violations = Vec::new();
        pattern.collect(
            object,
            &provost_manifest::path::FieldPath::root(),
            &mut violations,
        );
        violations
    };
    match &rule.check {
        Check::Pattern(pattern) => of(pattern),
        Check::AnyPattern(patterns) => patterns
            .iter()
            .map(of)
            .filter(|violations| !violations.is_empty())
            .min_by_key(Vec::len)
            .unwrap_or_default(),
    }
}
