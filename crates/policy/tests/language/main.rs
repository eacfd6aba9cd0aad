//! The policy language as its users meet it: a rule and an object in YAML, and the verdict. One file for each part of
//! the language; what a single function does is tested beside it.

#![expect(clippy::unwrap_used, reason = "tests may")]

mod autogen;
mod conditions;
mod context;
mod denials;
mod exceptions;
mod foreach;
mod functions;
mod matching;
mod patterns;
mod pod_security;
mod refused;
mod styles;
mod styles_pods;
mod suites;
mod variables;

use jiff::Timestamp;
use provost_manifest::object::GroupVersionKind;
use provost_manifest::yaml;
use provost_policy::{
    Inputs, Operation, Outcome, Policy, PolicySet, Request, RuleResult, Status, UserInfo, evaluate,
};
use serde_json::{Value, json};

/// What is judged, and how.
#[derive(Clone)]
struct Asked {
    operation: Operation,
    object: Value,
    old: Option<Value>,
    user: Option<UserInfo>,
    subresource: &'static str,
    /// The kind of the parent, where the object is the body of a subresource.
    parent: Option<GroupVersionKind>,
    inputs: Inputs,
}

impl Asked {
    /// The creation of an object.
    fn create(object: &str) -> Self {
        Self {
            operation: Operation::Create,
            object: read(object),
            old: None,
            user: None,
            subresource: "",
            parent: None,
            inputs: Inputs::new(),
        }
    }

    fn update(old: &str, object: &str) -> Self {
        Self {
            operation: Operation::Update,
            old: Some(read(old)),
            ..Self::create(object)
        }
    }

    fn delete(object: &str) -> Self {
        Self {
            operation: Operation::Delete,
            ..Self::create(object)
        }
    }

    fn results(&self, set: &PolicySet) -> Vec<RuleResult> {
        let kind = self
            .parent
            .clone()
            .unwrap_or_else(|| GroupVersionKind::of(&self.object).unwrap());
        let metadata = |key: &str| self.object["metadata"][key].as_str().unwrap_or("");
        let deleted = self.operation == Operation::Delete;
        let request = Request {
            operation: self.operation,
            kind: &kind,
            subresource: self.subresource,
            namespace: metadata("namespace"),
            name: metadata("name"),
            object: (!deleted).then_some(&self.object),
            old_object: if deleted {
                Some(&self.object)
            } else {
                self.old.as_ref()
            },
            user: self.user.as_ref(),
            dry_run: false,
            review: None,
        };
        match evaluate(set, &request, &self.inputs, Timestamp::UNIX_EPOCH, 0) {
            Outcome::Done(results) => results,
            Outcome::Needs(keys) => unreachable!("needs {keys:?}"),
        }
    }
}

/// YAML as a value.
fn read(text: &str) -> Value {
    yaml::parse_one(text).unwrap().value
}

/// A user of a name, in groups.
fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo {
        username: name.to_owned(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        ..UserInfo::default()
    }
}

/// A ClusterPolicy "p" of one rule "r"; a rule that does not say what it matches matches everything.
fn policy(rule: &str) -> Value {
    let mut rule = read(rule);
    rule["name"] = json!("r");
    if rule.get("match").is_none() {
        rule["match"] = json!({"any": [{"resources": {"kinds": ["*/*"]}}]});
    }
    json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
           "spec": {"background": false, "rules": [rule]}})
}

/// The set of one policy, which must be good.
fn set(policy: &Value) -> PolicySet {
    let parsed = Policy::from_object(policy);
    PolicySet::compile([parsed.unwrap()]).0
}

/// The set of one policy of one rule.
fn of_rule(rule: &str) -> PolicySet {
    set(&policy(rule))
}

/// What a policy of one rule says of a request, in one word; `refused` where it cannot be read.
fn verdict(rule: &str, asked: &Asked) -> &'static str {
    match Policy::from_object(&policy(rule)) {
        Err(_) => "refused",
        Ok(policy) => word(asked.results(&PolicySet::compile([policy]).0).first()),
    }
}

fn word(result: Option<&RuleResult>) -> &'static str {
    match result.map(|result| result.status) {
        None => "none",
        Some(Status::Pass) => "pass",
        Some(Status::Fail) => "fail",
        Some(Status::Warn) => "warn",
        Some(Status::Skip) => "skip",
        Some(Status::Error) => "error",
    }
}

/// A ConfigMap-like thing with this in its `spec`.
fn thing(spec: &str) -> Asked {
    Asked::create(&format!(
        "{{apiVersion: v1, kind: Thing, metadata: {{name: t, namespace: shop, labels: {{team: a, app.kubernetes.io/name: web}}, \
         annotations: {{note: hi}}}}, spec: {spec}}}"
    ))
}

/// A Pod with this `spec`.
fn pod(spec: &str) -> Asked {
    Asked::create(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: t, namespace: shop, labels: {{team: a}}}}, spec: {spec}}}"
    ))
}

/// The same pod spec in a Deployment.
fn deployment(spec: &str) -> Asked {
    Asked::create(&format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: t, namespace: shop}}, \
         spec: {{replicas: 2, template: {{metadata: {{labels: {{team: a}}}}, spec: {spec}}}}}}}"
    ))
}
