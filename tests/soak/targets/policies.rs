//! Policies, their patterns beside a matcher that is as simple as can be, and reviews.

use jiff::Timestamp;
use provost::webhook::review::Review;
use provost_manifest::object::GroupVersionKind;
use provost_manifest::yaml;
use provost_policy::{Inputs, Operation, Outcome, Policy, PolicySet, Request, RuleResult, Status, evaluate};
use serde_json::{Value, json};

use super::{JSON, YAML, holds, text_of};
use crate::grow;
use crate::random::Random;

const KEYS: &[&str] = &[
    "a", "b", "(a)", "=(a)", "X(b)", "^(a)", "<(b)", "+(a)", "metadata", "labels", "a*", "(a*)",
];
const TEXTS: &[&str] = &[
    "a", "b", "?*", "*", "!a", "a | b", ">1", "<=1Gi", "1-3", "1!-3", "1h", ">5m", "", "0", "a & b", "!?*",
    "é", "null",
];

/// A pattern and an object, as one map.
pub(super) fn pattern_and_object(random: &mut Random) -> String {
    let pattern = grow::value(random, KEYS, TEXTS, 4);
    let object = grow::value(random, &["a", "b", "ab", "metadata", "labels"], TEXTS, 4);
    json!({"pattern": pattern, "object": object}).to_string()
}

/// The same, with nothing in the pattern that means more than itself.
pub(super) fn plain_pattern_and_object(random: &mut Random) -> String {
    let pattern = grow::value(random, &["a", "b", "c"], &["a", "b", "x"], 4);
    // Mostly an object that is near the pattern.
    let object = if random.one_in(4) {
        grow::value(random, &["a", "b", "c"], &["a", "b", "x"], 4)
    } else {
        pattern.clone()
    };
    json!({"pattern": pattern, "object": object}).to_string()
}

fn parts(input: &[u8]) -> Option<(Value, Value)> {
    let mut both: Value = serde_json::from_slice(input).ok()?;
    Some((both.get_mut("pattern")?.take(), both.get_mut("object")?.take()))
}

/// The policy of one rule whose pattern has this below `spec`.
fn policy_of(pattern: &Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p"},
        "spec": {"background": false, "rules": [{
            "name": "r",
            "match": {"any": [{"resources": {"kinds": ["Thing"]}}]},
            "validate": {"message": "m", "pattern": {"spec": pattern}},
        }]},
    })
}

fn judge(policy: Policy, object: &Value) -> Result<Vec<RuleResult>, String> {
    let (set, _) = PolicySet::compile([policy]);
    let kind = GroupVersionKind {
        group: "example.com".to_owned(),
        version: "v1".to_owned(),
        kind: "Thing".to_owned(),
    };
    let request = Request {
        operation: Operation::Create,
        kind: &kind,
        subresource: "",
        namespace: "shop",
        name: "thing",
        object: Some(object),
        old_object: None,
        user: None,
        dry_run: false,
        review: None,
    };
    match evaluate(&set, &request, &Inputs::new(), Timestamp::UNIX_EPOCH, 0) {
        Outcome::Done(results) => Ok(results),
        Outcome::Needs(keys) => Err(format!("it needs {keys:?}")),
    }
}

/// A failure has a violation, and nothing else has; judging again gives the same.
pub(super) fn pattern(input: &[u8]) -> Result<(), String> {
    let Some((pattern, object)) = parts(input) else {
        return Ok(());
    };
    let Ok(policy) = Policy::from_object(&policy_of(&pattern)) else {
        return Ok(());
    };
    let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "spec": object});
    let first = judge(policy.clone(), &object)?;
    let second = judge(policy, &object)?;
    holds(format!("{first:?}") == format!("{second:?}"), || {
        format!("{first:?}, then {second:?}")
    })?;
    for result in &first {
        holds(
            (result.status == Status::Fail) != result.violations.is_empty(),
            || format!("{result:?}"),
        )?;
    }
    Ok(())
}

/// A pattern without operators, wildcards and anchors is matched as the obvious matcher does.
pub(super) fn matcher(input: &[u8]) -> Result<(), String> {
    let Some((pattern, object)) = parts(input) else {
        return Ok(());
    };
    if !is_plain(&pattern) {
        return Ok(());
    }
    let Ok(policy) = Policy::from_object(&policy_of(&pattern)) else {
        return Ok(());
    };
    let whole = json!({"apiVersion": "example.com/v1", "kind": "Thing", "spec": object});
    let results = judge(policy, &whole)?;
    let passes = results.iter().all(|result| result.status == Status::Pass);
    let expected = is_like(&pattern, Some(&object));
    holds(passes == expected, || {
        format!("the obvious matcher says {expected}: {results:?}")
    })
}

/// Whether nothing in a pattern means more than itself. Floats and texts of digits are compared in ways of their own.
fn is_plain(pattern: &Value) -> bool {
    let letters = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    match pattern {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => number.is_i64(),
        Value::String(text) => {
            letters(text) && !matches!(text.as_str(), "n" | "u" | "m" | "k" | "inf" | "nan")
        }
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(map) => map.iter().all(|(key, value)| letters(key) && is_plain(value)),
    }
}

/// What the language says of such patterns, as simply as it can be said.
fn is_like(pattern: &Value, value: Option<&Value>) -> bool {
    match pattern {
        Value::Object(map) => match value {
            Some(Value::Object(object)) => map.iter().all(|(key, below)| is_like(below, object.get(key))),
            _ => false,
        },
        Value::Array(patterns) => match (patterns.first(), value) {
            (Some(Value::Object(_)), Some(Value::Array(items))) => {
                items.iter().all(|item| is_like(&patterns[0], Some(item)))
            }
            (Some(Value::Array(_)), Some(Value::Array(items))) => {
                items.len() >= patterns.len()
                    && patterns
                        .iter()
                        .zip(items)
                        .all(|(pattern, item)| is_like(pattern, Some(item)))
            }
            (Some(scalar), Some(Value::Array(items))) => {
                items.iter().all(|item| is_scalar_like(scalar, Some(item)))
            }
            _ => false,
        },
        scalar => match value {
            Some(Value::Array(items)) => items.iter().all(|item| is_scalar_like(scalar, Some(item))),
            value => is_scalar_like(scalar, value),
        },
    }
}

fn is_scalar_like(pattern: &Value, value: Option<&Value>) -> bool {
    let value = value.unwrap_or(&Value::Null);
    match pattern {
        Value::Bool(wanted) => value.as_bool() == Some(*wanted),
        Value::Number(wanted) => match value {
            Value::String(text) => text.parse().ok() == wanted.as_i64(),
            value => value.as_f64() == wanted.as_f64(),
        },
        Value::String(wanted) => value.as_str() == Some(wanted),
        // Null is as good as nothing.
        _ => match value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            _ => false,
        },
    }
}

/// A policy, nearly right.
pub(super) fn policy(random: &mut Random) -> String {
    let check = match random.below(4) {
        0 => json!({"pattern": grow::value(random, KEYS, TEXTS, 3)}),
        1 => {
            json!({"anyPattern": [grow::value(random, KEYS, TEXTS, 2), grow::value(random, KEYS, TEXTS, 2)]})
        }
        2 => {
            let key = format!("{{{{ {} }}}}", grow::jmespath(random, 3));
            let operator = random.pick(&[
                "Equals",
                "AnyIn",
                "GreaterThan",
                "DurationLessThan",
                "NotAllIn",
                "In",
            ]);
            json!({"deny": {"conditions": {"any": [{"key": key, "operator": operator, "value": grow::value(random, KEYS, TEXTS, 2)}]}}})
        }
        _ => json!({"cel": {"expressions": [{"expression": grow::cel(random, 3)}]}}),
    };
    let mut policy = policy_of(&Value::Null);
    policy["spec"]["rules"][0]["validate"] = check;
    policy["spec"]["rules"][0]["match"]["any"][0]["resources"]["kinds"][0] =
        json!(random.pick(&["Pod", "Thing", "*", "*/*"]));
    if random.one_in(2) {
        policy["spec"]["rules"][0][random.pick(YAML)] = grow::value(random, KEYS, TEXTS, 2);
    }
    yaml::to_string(&policy).unwrap_or_default()
}

/// A refusal is a short sentence; a policy that is understood is the same after it was written and read again, and
/// judges without a panic.
pub(super) fn parsed(input: &[u8]) -> Result<(), String> {
    let text = text_of(input);
    let parsed = Policy::parse(&text, "p.yaml");
    for fault in &parsed.faults {
        let said = fault.to_string();
        holds(!fault.message.is_empty() && said.len() < 8_000, || said.clone())?;
        let _ = fault.render("");
    }
    for document in yaml::parse_stream(&text).into_iter().flatten() {
        let Ok(policy) = Policy::from_object(&document.value) else {
            continue;
        };
        let written = yaml::to_string(&document.value).map_err(|error| error.to_string())?;
        let again = Policy::parse(&written, "again.yaml");
        let digest = |policies: Vec<Policy>| PolicySet::compile(policies).0.digest().to_owned();
        holds(digest(vec![policy.clone()]) == digest(again.policies), || {
            format!("it is another one after it was written: {written}")
        })?;
        for object in [json!({}), json!({"spec": {"a": [{"b": "a"}], "b": 1}, "a": "x"})] {
            // What must be fetched first is an answer too.
            let _ = judge(policy.clone(), &object);
        }
    }
    Ok(())
}

/// A review, nearly right.
pub(super) fn review(random: &mut Random) -> String {
    let mut request = json!({
        "uid": "1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": random.pick(&["CREATE", "UPDATE", "DELETE", "CONNECT", "PATCH", ""]),
        "namespace": "shop",
        "object": grow::value(random, KEYS, TEXTS, 3),
        "oldObject": grow::value(random, KEYS, TEXTS, 2),
        "userInfo": {"username": "dana", "groups": ["a"], "extra": {"b": ["c"]}},
        "dryRun": random.one_in(2),
    });
    if random.one_in(2) {
        let keys = [
            "uid",
            "kind",
            "operation",
            "namespace",
            "userInfo",
            "object",
            "dryRun",
        ];
        request[random.pick(&keys)] = grow::value(random, KEYS, JSON, 2);
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

/// What is refused is refused in a sentence; what is understood has a uid and an operation, and can be judged.
pub(super) fn reviewed(input: &[u8]) -> Result<(), String> {
    let review = match Review::parse(input) {
        Ok(review) => review,
        Err(refusal) => {
            let said = refusal.to_string();
            return holds(!said.is_empty() && said.len() < 20_000, || said.clone());
        }
    };
    let request = review.request();
    let known = ["CREATE", "UPDATE", "DELETE", "CONNECT"].contains(&review.operation());
    holds(
        known && !review.uid().is_empty() && !request.kind.kind.is_empty(),
        || format!("{review:?}"),
    )?;
    let policy = policy_of(&json!({"a": "?*"}));
    let (set, _) = PolicySet::compile(Policy::from_object(&policy).ok());
    match evaluate(&set, &request, &Inputs::new(), Timestamp::UNIX_EPOCH, 0) {
        Outcome::Done(_) => Ok(()),
        Outcome::Needs(keys) => Err(format!("it needs {keys:?}")),
    }
}
