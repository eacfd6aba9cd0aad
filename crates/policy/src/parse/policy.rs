//! Reads one ClusterPolicy or Policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::sense;
use crate::action::{Actions, Override};
use crate::autogen;
use crate::fault::Fault;
use crate::policy::Policy;
use crate::result::FailureAction;
use crate::rule::Rule;
use crate::source::{Cursor, Source};

const SPEC: [&str; 15] = [
    "rules",
    "applyRules",
    "failurePolicy",
    "webhookConfiguration",
    "validationFailureAction",
    "validationFailureActionOverrides",
    "emitWarning",
    "admission",
    "background",
    "webhookTimeoutSeconds",
    "schemaValidation",
    "useServerSideApply",
    "generateExisting",
    "generateExistingOnPolicyUpdate",
    "mutateExistingOnPolicyUpdate",
];

/// Names of policies and rules are at most this long.
const MAX_NAME: usize = 63;

/// Kinds of policies that exist and are not done here.
const OTHER_KINDS: [&str; 18] = [
    "CleanupPolicy",
    "ClusterCleanupPolicy",
    "GlobalContextEntry",
    "UpdateRequest",
    "ValidatingPolicy",
    "NamespacedValidatingPolicy",
    "MutatingPolicy",
    "NamespacedMutatingPolicy",
    "GeneratingPolicy",
    "NamespacedGeneratingPolicy",
    "DeletingPolicy",
    "NamespacedDeletingPolicy",
    "ImageValidatingPolicy",
    "NamespacedImageValidatingPolicy",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// Reads a policy; every rule that is refused has a fault of its own.
pub(super) fn policy(root: &Cursor<'_>) -> Result<Policy, Vec<Fault>> {
    let head = head(root).map_err(|fault| vec![fault])?;
    let about = |fault: Fault| fault.about(&format!("{} {}", head.kind, head.name));
    let mut policy = settings(root, &head).map_err(|fault| vec![about(fault)])?;
    let (rules, faults) = rules(root, &policy).map_err(|fault| vec![about(fault)])?;
    if !faults.is_empty() {
        return Err(faults.into_iter().map(about).collect());
    }
    policy.written = rules;
    policy.generated = generated(root, &head, &policy).map_err(|fault| vec![about(fault)])?;
    Ok(policy)
}

/// What every policy begins with.
struct Head<'d> {
    kind: &'static str,
    name: &'d str,
    namespace: Option<&'d str>,
    annotations: Vec<(&'d str, &'d str)>,
}

fn head<'d>(root: &Cursor<'d>) -> Result<Head<'d>, Fault> {
    let kind = root.require("kind")?;
    let api_version = root.require("apiVersion")?;
    let known = match (api_version.text()?, kind.text()?) {
        ("kyverno.io/v1" | "kyverno.io/v2beta1", "ClusterPolicy") => "ClusterPolicy",
        ("kyverno.io/v1" | "kyverno.io/v2beta1", "Policy") => "Policy",
        (version, "ClusterPolicy" | "Policy") => {
            let message = format!(
                "apiVersion {version} is not supported; policies are kyverno.io/v1 or kyverno.io/v2beta1"
            );
            return Err(api_version.fault(message).unsupported());
        }
        (_, other) if OTHER_KINDS.contains(&other) => {
            return Err(kind.fault(format!("{other} is not supported yet")).unsupported());
        }
        (_, other) => return Err(kind.fault(format!("{other} is not a policy"))),
    };
    root.only(&["apiVersion", "kind", "metadata", "spec", "status"])?;
    let metadata = root.require("metadata")?;
    let name = metadata.require("name")?;
    if name.text()?.len() > MAX_NAME {
        return Err(name.fault(format!("a policy's name has at most {MAX_NAME} characters")));
    }
    let namespace = metadata.get("namespace");
    if known == "ClusterPolicy"
        && let Some(namespace) = &namespace
    {
        return Err(
            namespace.key_fault("a ClusterPolicy has no namespace; use kind Policy for one namespace")
        );
    }
    let mut annotations = Vec::new();
    if let Some(map) = metadata.get("annotations") {
        for (key, value) in map.children()? {
            let text = value.text()?;
            if key == autogen::ANNOTATION && text == "all" {
                return Err(value.fault("name the controllers, or leave the annotation out to have them all"));
            }
            annotations.push((key, text));
        }
    }
    Ok(Head {
        kind: known,
        name: name.text()?,
        namespace: match known {
            "Policy" => Some(namespace.map_or(Ok("default"), |namespace| namespace.text())?),
            _ => None,
        },
        annotations,
    })
}

/// All but the rules.
fn settings(root: &Cursor<'_>, head: &Head<'_>) -> Result<Policy, Fault> {
    let spec = root.require("spec")?;
    spec.only(&SPEC)?;
    let annotation = |key| {
        head.annotations
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| *value)
    };
    let webhook = spec.get("webhookConfiguration");
    if let Some(webhook) = &webhook {
        webhook.only(&["failurePolicy", "timeoutSeconds", "matchConditions"])?;
    }
    let match_conditions = webhook
        .as_ref()
        .and_then(|webhook| webhook.get("matchConditions"));
    let timeout = one_of(&spec, "webhookTimeoutSeconds", webhook.as_ref(), "timeoutSeconds")?;
    let timeout_seconds = match timeout {
        None => None,
        Some(timeout) => match u8::try_from(timeout.int()?) {
            Ok(seconds @ 1..=30) => Some(seconds),
            _ => return Err(timeout.fault("a timeout is 1 to 30 seconds")),
        },
    };
    let fails_closed = match one_of(&spec, "failurePolicy", webhook.as_ref(), "failurePolicy")? {
        None => true,
        Some(policy) => match policy.text()? {
            "Fail" => true,
            "Ignore" => false,
            _ => return Err(policy.fault("failurePolicy is Fail or Ignore")),
        },
    };
    let (admission, background) = (
        spec.bool_of("admission", true)?,
        spec.bool_of("background", true)?,
    );
    if !admission && !background {
        return Err(
            spec.key_fault("admission and background are both false: the policy would never be evaluated")
        );
    }
    let first_rule_only = match spec.get("applyRules") {
        None => false,
        Some(apply) => match apply.text()? {
            "All" => false,
            "One" => true,
            _ => return Err(apply.fault("applyRules is All or One")),
        },
    };
    let key = match head.namespace {
        Some(namespace) => format!("{namespace}/{}", head.name),
        None => head.name.to_owned(),
    };
    let counted: BTreeMap<&str, &str> = head
        .annotations
        .iter()
        .filter(|(key, _)| [SCORED, autogen::ANNOTATION].contains(key))
        .copied()
        .collect();
    Ok(Policy {
        kind: head.kind,
        canonical: json!({"kind": head.kind, "key": &key, "annotations": counted, "spec": spec.value()}),
        key: Arc::from(key),
        namespace: head.namespace.map(str::to_owned),
        place: root.place(),
        admission,
        background,
        fails_closed,
        match_conditions: match_conditions
            .map_or(Ok(Vec::new()), |list| super::cel::conditions(&list))?
            .into(),
        timeout_seconds,
        scored: annotation(SCORED) != Some("false"),
        first_rule_only,
        actions: spec_actions(&spec, head)?,
        written: Vec::new(),
        generated: BTreeMap::new(),
    })
}

/// The annotation that makes failures warnings.
const SCORED: &str = "policies.kyverno.io/scored";

/// A setting that has an older place and a newer one; not both.
fn one_of<'d>(
    spec: &Cursor<'d>,
    older: &str,
    webhook: Option<&Cursor<'d>>,
    newer: &str,
) -> Result<Option<Cursor<'d>>, Fault> {
    match (spec.get(older), webhook.and_then(|webhook| webhook.get(newer))) {
        (Some(_), Some(twice)) => {
            Err(twice.key_fault(format!("{newer} is also set as spec.{older}; keep one")))
        }
        (older, newer) => Ok(newer.or(older)),
    }
}

fn spec_actions(spec: &Cursor<'_>, head: &Head<'_>) -> Result<Actions, Fault> {
    let overrides = spec.get("validationFailureActionOverrides");
    if head.kind == "Policy"
        && let Some(overrides) = &overrides
    {
        return Err(overrides.key_fault("a namespaced Policy has no overrides by namespace"));
    }
    Ok(Actions {
        action: spec
            .get("validationFailureAction")
            .map(|a| action(&a))
            .transpose()?,
        overrides: overrides.map_or(Ok(Vec::new()), |list| self::overrides(&list))?,
    })
}

/// Reads `Enforce` or `Audit`.
pub(super) fn action(cursor: &Cursor<'_>) -> Result<FailureAction, Fault> {
    match cursor.text()? {
        "Enforce" | "enforce" => Ok(FailureAction::Enforce),
        "Audit" | "audit" => Ok(FailureAction::Audit),
        _ => Err(cursor.fault(format!("{} is Enforce or Audit", cursor.name()))),
    }
}

/// Reads overrides of an action by namespace.
pub(super) fn overrides(list: &Cursor<'_>) -> Result<Vec<Override>, Fault> {
    let one = |item: &Cursor<'_>| {
        item.only(&["action", "namespaces", "namespaceSelector"])?;
        Ok(Override {
            action: action(&item.require("action")?)?,
            namespaces: item.wildcards_of("namespaces")?,
            selector: item
                .get("namespaceSelector")
                .map(|selector| super::label_selector(&selector))
                .transpose()?,
        })
    };
    let read = list.list()?.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    sense::overrides(list, &read)?;
    Ok(read)
}

/// The written rules that can be read, and the faults of those that cannot.
fn rules(root: &Cursor<'_>, policy: &Policy) -> Result<(Vec<Arc<Rule>>, Vec<Fault>), Fault> {
    let list = root.require("spec")?.require("rules")?;
    let (mut rules, mut faults, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for item in list.list()? {
        let name = item.require("name")?;
        let text = name.text()?;
        if text.chars().count() > MAX_NAME {
            faults.push(name.fault(format!("a rule's name has at most {MAX_NAME} characters")));
        }
        if !names.insert(text) {
            faults.push(name.fault(format!("two rules are named \"{text}\"")));
        }
        match super::rule(&item, policy.background) {
            Ok(rule) => rules.push(Arc::new(rule)),
            Err(fault) => {
                faults.push(fault.about(&format!("rule \"{text}\" of {} {}", policy.kind, policy.key)));
            }
        }
    }
    if rules.is_empty() && faults.is_empty() {
        faults.push(list.key_fault("a policy needs rules"));
    }
    Ok((rules, faults))
}

/// The rules for pod controllers.
fn generated(
    root: &Cursor<'_>,
    head: &Head<'_>,
    policy: &Policy,
) -> Result<BTreeMap<String, Vec<Arc<Rule>>>, Fault> {
    let rules = root.require("spec")?.require("rules")?;
    let written: Vec<&Value> = rules.list()?.iter().map(Cursor::value).collect();
    let annotation = head
        .annotations
        .iter()
        .find(|(key, _)| *key == autogen::ANNOTATION);
    let mut generated = BTreeMap::new();
    for (kind, values) in autogen::generate(&written, annotation.map(|(_, value)| *value)) {
        let mut compiled = Vec::new();
        for value in values {
            let rule =
                super::rule(&Cursor::new(&value, &Source::Object), policy.background).map_err(|fault| {
                    let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
                    rules
                        .key_fault(format!(
                            "the rule generated for {kind} cannot be read: {}",
                            fault.message
                        ))
                        .about(&format!("rule \"{name}\" of {} {}", policy.kind, policy.key))
                })?;
            compiled.push(Arc::new(rule));
        }
        generated.insert(kind, compiled);
    }
    Ok(generated)
}
