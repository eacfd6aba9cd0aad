//! A policy in plain words: what it demands, of what, and what happens where the demand is not met.

use std::fmt::Write as _;

use provost_manifest::escape;
use serde_json::Value;

use crate::conditions::{Condition, Conditions};
use crate::pattern::demands::{Demand, Role};
use crate::pod_security::Version;
use crate::policy::Policy;
use crate::result::FailureAction;
use crate::rule::{Check, Foreach, PatternSource, Rule};
use crate::template::Template;

/// A policy in a line: for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Name, or `namespace/name`.
    pub policy: String,
    /// Its rules, as written.
    pub rules: Vec<String>,
    /// What a failure does, of each rule once, without overrides by namespace.
    pub actions: Vec<FailureAction>,
    /// The kinds that its rules name, as written, each once.
    pub kinds: Vec<String>,
    /// The kinds of pod controllers that generated rules judge.
    pub controllers: Vec<String>,
}

/// What a policy is about, in a line.
pub fn outline(policy: &Policy) -> Outline {
    let mut outline = Outline {
        policy: policy.key.to_string(),
        rules: policy.rules().map(str::to_owned).collect(),
        actions: Vec::new(),
        kinds: Vec::new(),
        controllers: controllers(policy),
    };
    for rule in &policy.written {
        push_new(&mut outline.actions, action(policy, rule));
        for selector in rule.matches.filters().iter().flat_map(|filter| &filter.kinds) {
            push_new(&mut outline.kinds, selector.kind.as_str().to_owned());
        }
    }
    outline
}

/// What a policy demands and of what, rule by rule, for people.
pub fn explain(policy: &Policy) -> String {
    let mut text = format!("{} {}", policy.kind, escape::line(&policy.key));
    if let Some(place) = &policy.place {
        let _ = write!(text, "  {place}");
    }
    text.push('\n');
    let written = policy.canonical.pointer("/spec/rules").and_then(Value::as_array);
    for (rule, document) in policy.written.iter().zip(written.into_iter().flatten()) {
        let lines = Lines::of(policy, rule, document);
        let message = rule.message.raw().trim();
        let _ = write!(text, "\n{}", escape::line(&rule.name));
        if !message.is_empty() {
            let _ = write!(text, ": {}", escape::line(message));
        }
        text.push('\n');
        lines.write(&mut text);
    }
    text
}

/// The lines about one rule, each under its word.
#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn of(policy: &Policy, rule: &Rule, document: &Value) -> Self {
        let mut lines = Self::default();
        for filter in filters(&document["match"]) {
            lines.add("judges", filter);
        }
        if rule.matches.filters().iter().any(|filter| {
            let mut kinds = filter.kinds.iter();
            kinds.any(|selector| selector.kind.as_str() == "Pod")
        }) && !policy.generated.is_empty()
        {
            let controllers = controllers(policy).join(", ");
            lines.add("judges", format!("the pod templates of {controllers}"));
        }
        for filter in filters(&document["exclude"]) {
            lines.add("but not", filter);
        }
        if let Some(preconditions) = &rule.preconditions {
            lines.conditions("only where", preconditions);
        }
        lines.check(&rule.check);
        let verdict = match (action(policy, rule), policy.scored) {
            (_, false) => "a warning, not counted as a failure",
            (FailureAction::Enforce, _) => "the write is refused",
            (FailureAction::Audit, _) => "the write is let in with a warning",
        };
        let overrides = rule.actions.overrides.len().max(policy.actions.overrides.len());
        let note = if overrides > 0 {
            ", but for namespaces with an action of their own"
        } else {
            ""
        };
        lines.add("on failure", format!("{verdict}{note}"));
        lines
    }

    fn add(&mut self, word: &'static str, text: impl Into<String>) {
        self.0.push((word, text.into()));
    }

    fn check(&mut self, check: &Check) {
        match check {
            Check::Pattern(pattern) => self.pattern(pattern),
            Check::AnyPattern(patterns) => {
                for (index, pattern) in patterns.iter().enumerate() {
                    self.add("demands", if index == 0 { "either" } else { "or" });
                    self.pattern(pattern);
                }
            }
            Check::Deny(conditions) => self.conditions("fails where", conditions),
            Check::Cel(cel) => {
                for condition in &cel.conditions {
                    self.add("only where", condition.text());
                }
                for assertion in &cel.assertions {
                    self.add("demands", assertion.program.text());
                }
            }
            Check::Foreach(entries) => entries.iter().for_each(|entry| self.foreach(entry)),
            Check::PodSecurity(standards) => {
                let version = match standards.version {
                    Version::Minor(minor) => format!("as of Kubernetes 1.{minor}"),
                    Version::Latest => "in their latest version".to_owned(),
                };
                let level = standards.level.name();
                self.add(
                    "demands",
                    format!("the Pod Security Standards, level {level}, {version}"),
                );
                if !standards.exclude.is_empty() {
                    self.add(
                        "but not",
                        format!("{} excluded controls", standards.exclude.len()),
                    );
                }
            }
        }
    }

    fn foreach(&mut self, entry: &Foreach) {
        self.add("of each in", entry.list.text());
        if let Some(preconditions) = &entry.preconditions {
            self.conditions("only where", preconditions);
        }
        self.check(&entry.check);
    }

    fn pattern(&mut self, source: &PatternSource) {
        match source {
            PatternSource::Fixed(pattern) => pattern
                .demands()
                .into_iter()
                .for_each(|demand| self.demand(demand)),
            PatternSource::Variable(template, _) => {
                self.add(
                    "demands",
                    format!("a form that depends on variables: {}", words(template)),
                );
            }
        }
    }

    fn demand(&mut self, demand: Demand) {
        let Demand { path, accepted, role } = demand;
        let path = if path.is_empty() {
            "the object".to_owned()
        } else {
            path
        };
        match role {
            Role::Needed => self.add("demands", format!("{path}: {accepted}")),
            Role::NeededIfThere => self.add("demands", format!("{path}, if there: {accepted}")),
            Role::Condition => self.add("only where", format!("{path}: {accepted}")),
        }
    }

    fn conditions(&mut self, word: &'static str, conditions: &Conditions) {
        if let Some(any) = &conditions.any {
            let any: Vec<String> = any.iter().map(condition).collect();
            self.add(
                word,
                if any.is_empty() {
                    "never".to_owned()
                } else {
                    any.join(", or ")
                },
            );
        }
        for all in &conditions.all {
            self.add(word, condition(all));
        }
        if conditions.any.is_none() && conditions.all.is_empty() {
            self.add(word, "always");
        }
    }

    /// Aligned; a word that is said again is not repeated.
    fn write(&self, text: &mut String) {
        let width = self
            .0
            .iter()
            .map(|(word, _)| word.len())
            .max()
            .unwrap_or_default();
        let mut last = "";
        for (word, line) in &self.0 {
            let shown = if *word == last { "" } else { word };
            let _ = writeln!(text, "  {shown:width$}  {}", escape::line(line));
            last = word;
        }
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn action(policy: &Policy, rule: &Rule) -> FailureAction {
    let actions = [rule.actions.action, policy.actions.action];
    actions
        .into_iter()
        .flatten()
        .next()
        .unwrap_or(FailureAction::Audit)
}

/// The controllers for which rules are generated.
fn controllers(policy: &Policy) -> Vec<String> {
    let generated = policy.generated.iter().filter(|(_, rules)| !rules.is_empty());
    generated.map(|(kind, _)| kind.clone()).collect()
}

/// Each filter of a `match` or `exclude` block as a line.
fn filters(block: &Value) -> Vec<String> {
    let listed = |key: &str| block[key].as_array().cloned();
    if let Some(any) = listed("any") {
        return any.iter().map(filter).collect();
    }
    if let Some(all) = listed("all") {
        let all: Vec<String> = all.iter().map(filter).collect();
        return vec![all.join(", and ")];
    }
    if block.is_object() {
        vec![filter(block)]
    } else {
        Vec::new()
    }
}

/// `Pod, Deployment; namespaces shop-*; operations CREATE`
fn filter(filter: &Value) -> String {
    let mut parts = Vec::new();
    let resources = filter["resources"].as_object();
    for (key, value) in resources.into_iter().flatten() {
        parts.push(match key.as_str() {
            "kinds" => value_words(value),
            key => format!("{key} {}", value_words(value)),
        });
    }
    for subject in filter["subjects"].as_array().into_iter().flatten() {
        let text = |key: &str| subject[key].as_str().unwrap_or_default();
        let namespace = match text("namespace") {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        parts.push(format!("{} {namespace}{}", text("kind"), text("name")));
    }
    for key in ["roles", "clusterRoles"] {
        if let Some(value) = filter.get(key) {
            parts.push(format!("{key} {}", value_words(value)));
        }
    }
    parts.join("; ")
}

fn condition(condition: &Condition) -> String {
    let operator = format!("{:?}", condition.operator);
    format!("{} {operator} {}", words(&condition.key), words(&condition.value))
}

/// A template as its author wrote it, in one line.
fn words(template: &Template) -> String {
    match template {
        Template::Static(value) => value_words(value),
        Template::Text(text) => text.raw().to_owned(),
        Template::List(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Template::Map(entries) => {
            let entry = |(key, value): &(crate::template::TextTemplate, Template)| {
                format!("{}: {}", key.raw(), words(value))
            };
            entries.iter().map(entry).collect::<Vec<_>>().join("; ")
        }
    }
}

fn value_words(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(value_words).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::test_support::SEED;

    fn parsed(text: &str) -> Policy {
        let mut parsed = Policy::parse(text, "p.yaml");
        assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
        parsed.policies.remove(0)
    }

    #[test]
    fn the_seeds_policies_are_told_in_words() {
        let told: Vec<String> = SEED.iter().map(|(_, text)| explain(&parsed(text))).collect();
        assert_snapshot!(told.join("\n"), @r#"
    ClusterPolicy require-approved-registry  p.yaml:2:1

    check-registry: Images must come from approved registries
      judges      Pod
                  the pod templates of CronJob, DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet
      demands     spec.containers[].image: registry.example.com/* or gcr.io/my-project/*
      on failure  the write is refused

    ClusterPolicy require-labels  p.yaml:2:1

    check-labels: Resources must have required labels
      judges      Deployment, Service
      demands     metadata.labels["app.kubernetes.io/name"]: any value
                  metadata.labels["app.kubernetes.io/managed-by"]: any value
      on failure  the write is refused

    ClusterPolicy require-resource-limits  p.yaml:2:1

    check-limits: All containers must have resource limits
      judges      Deployment, StatefulSet
      demands     spec.template.spec.containers[].resources.limits.memory: any value
                  spec.template.spec.containers[].resources.limits.cpu: any value
      on failure  the write is refused
    "#);
    }

    #[test]
    fn every_kind_of_check_is_told() {
        let text = explain(&parsed(
            "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: all-kinds}
spec:
  background: false
  rules:
  - name: anchors
    match: {any: [{resources: {kinds: [Service], namespaces: ['shop-*'], operations: [CREATE]}}]}
    exclude: {any: [{subjects: [{kind: User, name: admin}]}]}
    preconditions: {all: [{key: '{{request.operation}}', operator: AnyIn, value: [CREATE, UPDATE]}]}
    validate:
      failureAction: Enforce
      message: services are plain
      pattern: {spec: {(type): LoadBalancer, =(externalName): '!*', X(externalIPs): null, ports: [{port: '<1024 | 8080'}]}}
  - name: forms
    match: {any: [{resources: {kinds: [Service]}}]}
    validate: {anyPattern: [{metadata: {labels: {a.b/c: '?*'}}}, {metadata: {name: '*'}}]}
  - name: conditions
    match: {all: [{resources: {kinds: [Service]}}, {resources: {kinds: ['*'], names: [web]}}]}
    validate: {deny: {conditions: {any: [{key: '{{request.object.spec.type}}', operator: Equals, value: NodePort}]}}}
  - name: each
    match: {any: [{resources: {kinds: [Service]}}]}
    validate: {foreach: [{list: request.object.spec.ports, deny: {}}]}
  - name: standards
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {podSecurity: {level: restricted, version: v1.29}}
",
        ));
        assert_snapshot!(text, @r#"
    ClusterPolicy all-kinds  p.yaml:2:1

    anchors: services are plain
      judges      Service; namespaces shop-*; operations CREATE
      but not     User admin
      only where  {{request.operation}} AnyIn CREATE, UPDATE
                  spec.type: LoadBalancer
      demands     spec.externalName, if there: no text
                  spec.externalIPs: to be absent
                  spec.ports[].port: less than 1024 or 8080
      on failure  the write is refused

    forms
      judges      Service
      demands     either
                  metadata.labels["a.b/c"]: any value
                  or
                  metadata.name: any value
      on failure  the write is let in with a warning

    conditions
      judges       Service, and *; names web
      fails where  {{request.object.spec.type}} Equals NodePort
      on failure   the write is let in with a warning

    each
      judges       Service
      of each in   request.object.spec.ports
      fails where  always
      on failure   the write is let in with a warning

    standards
      judges      Pod
      demands     the Pod Security Standards, level restricted, as of Kubernetes 1.29
      on failure  the write is let in with a warning
    "#);
    }

    #[test]
    fn an_outline_says_what_a_list_shows() {
        let outline = outline(&parsed(SEED[1].1));
        assert_eq!(outline.policy, "require-labels");
        assert_eq!(outline.kinds, ["Deployment", "Service"]);
        assert_eq!(outline.actions, [FailureAction::Enforce]);
        assert!(outline.controllers.is_empty());
    }
}
