//! The rules that a policy on Pods has for pod controllers, so that a Deployment is refused and not only, later and
//! out of sight, its Pods.
//!
//! Rules are rewritten as JSON: patterns are wrapped, and texts that speak of `request.object.spec` are changed to
//! speak of the pod template, by plain replacement, as the language has it.

use serde_json::{Map, Value, json};

use crate::matching::KindSelector;

/// The annotation that chooses the controllers.
pub(crate) const ANNOTATION: &str = "pod-policies.kyverno.io/autogen-controllers";

const CONTROLLERS: [&str; 7] = [
    "DaemonSet",
    "Deployment",
    "Job",
    "StatefulSet",
    "ReplicaSet",
    "ReplicationController",
    "CronJob",
];

/// Names of rules are cut at this many characters.
pub(crate) const MAX_NAME: usize = 63;

/// For each controller that the policy covers, the rules that judge it. A controller without rules is listed too:
/// rules named `autogen-…` by hand do not judge it.
pub(crate) fn generate(written: &[&Value], annotation: Option<&str>) -> Vec<(String, Vec<Value>)> {
    if !takes_part(written) {
        return Vec::new();
    }
    let chosen: Vec<&str> = match annotation {
        Some(list) => list
            .split(',')
            .filter(|kind| CONTROLLERS.contains(kind))
            .collect(),
        None => CONTROLLERS.to_vec(),
    };
    chosen
        .into_iter()
        .map(|kind| {
            let rules = written
                .iter()
                .filter(|rule| speaks_of_pods(rule))
                .filter_map(|rule| rewrite(rule, kind));
            (kind.to_owned(), rules.collect())
        })
        .collect()
}

/// Whether the policy has generated rules at all: one description of resources that is too particular, and none of
/// its rules has.
fn takes_part(written: &[&Value]) -> bool {
    let mut names_pods_or_controllers = false;
    for rule in written {
        let generates = rule.get("generate").is_some_and(|action| !is_empty(action));
        if generates || rule.pointer("/mutate/patchesJson6902").is_some() {
            return false;
        }
        for description in descriptions(rule, "match")
            .into_iter()
            .chain(descriptions(rule, "exclude"))
        {
            let particular = ["name", "names", "selector", "annotations"]
                .iter()
                .any(|key| description.get(*key).is_some_and(|value| !is_empty(value)));
            let kinds = kinds_of(description);
            if particular || (kinds.len() > 1 && kinds.contains(&"Pod")) {
                return false;
            }
            names_pods_or_controllers |= kinds
                .iter()
                .any(|kind| *kind == "Pod" || CONTROLLERS.contains(kind));
        }
    }
    names_pods_or_controllers
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Every `resources` of a match or exclude block.
fn descriptions<'r>(rule: &'r Value, block: &str) -> Vec<&'r Map<String, Value>> {
    let Some(block) = rule.get(block) else {
        return Vec::new();
    };
    let filters = ["any", "all"]
        .into_iter()
        .filter_map(|key| block.get(key)?.as_array())
        .flatten();
    std::iter::once(block)
        .chain(filters)
        .filter_map(|filter| filter.get("resources")?.as_object())
        .collect()
}

fn kinds_of(description: &Map<String, Value>) -> Vec<&str> {
    let kinds = description.get("kinds").and_then(Value::as_array);
    kinds.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn includes_pod<'k>(kinds: impl IntoIterator<Item = &'k str>) -> bool {
    kinds
        .into_iter()
        .filter_map(KindSelector::parse)
        .any(|selector| selector.kind.as_str() == "Pod")
}

/// Whether a rule is about Pods, and does not exclude only other kinds.
fn speaks_of_pods(rule: &Value) -> bool {
    let all_kinds = |block| {
        descriptions(rule, block)
            .into_iter()
            .flat_map(kinds_of)
            .collect::<Vec<_>>()
    };
    let excluded = all_kinds("exclude");
    includes_pod(all_kinds("match")) && (excluded.is_empty() || includes_pod(excluded))
}

/// The rule for one controller; `None` where it does not say how it validates.
fn rewrite(rule: &Value, kind: &str) -> Option<Value> {
    let mut rule = rule.as_object()?.clone();
    let cron = kind == "CronJob";
    let prefix = if cron { "autogen-cronjob-" } else { "autogen-" };
    let name = format!("{prefix}{}", rule.get("name")?.as_str()?);
    rule.insert(
        "name".to_owned(),
        Value::from(name.chars().take(MAX_NAME).collect::<String>()),
    );
    rule.remove("imageExtractors");
    for block in ["match", "exclude"] {
        if let Some(block) = rule.get_mut(block) {
            replace_kinds(block, kind);
        }
    }
    let validate = rule.get_mut("validate")?.as_object_mut()?;
    if let Some(pattern) = validate.get_mut("pattern") {
        wrap(pattern, cron);
    }
    if let Some(Value::Array(patterns)) = validate.get_mut("anyPattern") {
        for pattern in patterns {
            wrap(pattern, cron);
        }
    }
    let path = if cron {
        "spec/jobTemplate/spec/template"
    } else {
        "spec/template"
    };
    if let Some(Value::String(message)) = validate.get_mut("message") {
        *message = message.replace("$(pattern/", &format!("$(pattern/{path}/"));
    }
    let path = path.replace('/', ".");
    let [object, old] = if validate.contains_key("cel") {
        ["object", "oldObject"]
    } else {
        ["request.object", "request.oldObject"]
    };
    let mut text = serde_json::to_string(&rule).ok()?;
    for (part, object) in [
        ("spec", object),
        ("spec", old),
        ("metadata", object),
        ("metadata", old),
    ] {
        text = text.replace(&format!("{object}.{part}"), &format!("{object}.{path}.{part}"));
    }
    serde_json::from_str(&text).ok()
}

fn wrap(pattern: &mut Value, cron: bool) {
    let inner = pattern.take();
    let template = json!({"spec": {"template": inner}});
    *pattern = if cron {
        json!({"spec": {"jobTemplate": template}})
    } else {
        template
    };
}

/// Puts the controller in the place of Pod. For CronJobs every filter that has kinds gets it, as the language has it.
fn replace_kinds(block: &mut Value, kind: &str) {
    let replace = |filter: &mut Value| {
        if let Some(kinds) = filter.pointer_mut("/resources/kinds")
            && let Some(list) = kinds.as_array()
            && !list.is_empty()
            && (kind == "CronJob" || includes_pod(list.iter().filter_map(Value::as_str)))
        {
            *kinds = json!([kind]);
        }
    };
    replace(block);
    for key in ["any", "all"] {
        if let Some(Value::Array(filters)) = block.get_mut(key) {
            filters.iter_mut().for_each(replace);
        }
    }
}
