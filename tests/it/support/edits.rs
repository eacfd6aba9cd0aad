//! Edits of live objects, as people, tools and attackers make them.

use std::fmt;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::random::Random;

/// How an edit reaches the apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Merge,
    Strategic,
    Json,
    Apply,
    Update,
    Delete,
}

/// An object as somebody wants it to be.
#[derive(Debug)]
pub(crate) struct Edit {
    /// As it was.
    pub(crate) live: Value,
    /// As it is to be.
    pub(crate) object: Value,
    /// The field manager that the writer says to be.
    pub(crate) manager: &'static str,
    pub(crate) verb: Verb,
}

/// One change, at the place that a JSON pointer names.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Sets a field, and makes the maps above it.
    Set(String, Value),
    /// Adds to the end of a list, which may not be there.
    Add(String, Value),
    Remove(String),
}

// === impl Verb ===

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge patch",
            Self::Strategic => "strategic patch",
            Self::Json => "JSON patch",
            Self::Apply => "apply",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

// === impl Edit ===

impl Edit {
    /// The merge patch that makes of the live object the other; lists as a whole.
    pub(crate) fn merge_patch(&self, live: &Value) -> Value {
        merge_patch(live, &self.object)
    }

    /// The object as one applies it.
    pub(crate) fn applied(&self) -> Value {
        let mut object = self.object.clone();
        let fields = object.as_object_mut().unwrap();
        fields.remove("status");
        let metadata = fields["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| {
            ["name", "namespace", "labels", "annotations", "finalizers"].contains(&key.as_str())
        });
        object
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = json_patch::diff(&self.live, &self.object);
        write!(f, "{} as {}: {changes}", self.verb.name(), self.manager)
    }
}

fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in to {
        match from.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(key.clone(), merge_patch(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

// === impl Change ===

impl Change {
    pub(crate) fn set(place: &str, value: Value) -> Self {
        Self::Set(place.to_owned(), value)
    }

    pub(crate) fn add(place: &str, value: Value) -> Self {
        Self::Add(place.to_owned(), value)
    }

    pub(crate) fn remove(place: &str) -> Self {
        Self::Remove(place.to_owned())
    }

    pub(crate) fn make(&self, object: &mut Value) -> anyhow::Result<()> {
        match self {
            Self::Set(place, value) => *ensure(object, place)? = value.clone(),
            Self::Add(place, value) => {
                let list = ensure(object, place)?;
                if list.is_null() {
                    *list = json!([]);
                }
                list.as_array_mut().context("not a list")?.push(value.clone());
            }
            Self::Remove(place) => {
                let (around, step) = place.rsplit_once('/').context("not a pointer")?;
                let around = object.pointer_mut(around).context("nothing is there")?;
                match around {
                    Value::Object(map) => drop(map.shift_remove(&unescape(step))),
                    Value::Array(list) => drop(list.remove(step.parse()?)),
                    _ => anyhow::bail!("{place} is in no map or list"),
                }
            }
        }
        Ok(())
    }
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// The value at a place, with the maps above it made where they are missing.
fn ensure<'v>(object: &'v mut Value, place: &str) -> anyhow::Result<&'v mut Value> {
    let mut at = object;
    for step in place.split('/').skip(1) {
        at = match at {
            Value::Array(list) => list.get_mut(step.parse::<usize>()?).context("no such element")?,
            other => {
                if other.is_null() {
                    *other = json!({});
                }
                let map = other.as_object_mut().context("not a map")?;
                map.entry(unescape(step)).or_insert(Value::Null)
            }
        };
    }
    Ok(at)
}

/// What an edit of an object may change and people can see: all but its status and the server's bookkeeping. A deleted
/// object comes back with another identity and other addresses.
pub(crate) fn without_bookkeeping(object: &Value, verb: Verb) -> Value {
    let mut object = object.clone();
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(key);
        }
        if verb == Verb::Delete {
            metadata.remove("uid");
            metadata.remove("creationTimestamp");
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove("deployment.kubernetes.io/revision");
        }
    }
    if let (Verb::Delete, Some(Value::Object(spec))) = (verb, fields.get_mut("spec")) {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    object
}

/// Names under which random edits are made.
const MANAGERS: [&str; 6] = [
    "kubectl-edit",
    "kubectl-client-side-apply",
    "somebody",
    "provost",
    "argocd-controller",
    "kube-controller-manager",
];

/// Places that are left alone, and why: an edit there is none of what is promised.
const LEFT: [&str; 12] = [
    "/apiVersion",
    "/kind",
    "/status",
    // The object's identity and the server's bookkeeping.
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/uid",
    "/metadata/creationTimestamp",
    "/metadata/generation",
    "/metadata/resourceVersion",
    "/metadata/managedFields",
    "/metadata/annotations/deployment.kubernetes.io~1revision",
    // Whoever it names owns the object from then on: that is said, and not put back.
    "/metadata/labels/provost.dev~1owner",
];

/// A random edit of the object; `None` where the dice fell badly.
pub(crate) fn mutate(random: &mut Random, live: &Value) -> Option<Edit> {
    let manager = *random.pick(&MANAGERS);
    let verbs = [
        Verb::Merge,
        Verb::Strategic,
        Verb::Json,
        Verb::Apply,
        Verb::Update,
    ];
    let mut verb = *random.pick(&verbs);
    let is_builtin = !live["apiVersion"].as_str()?.contains("example.com");
    if verb == Verb::Strategic && !is_builtin {
        verb = Verb::Merge;
    }
    if random.below(25) == 0 {
        verb = Verb::Delete;
    }
    let change = match random.below(3) {
        0 => addition(random, live)?,
        1 => removal(random, live),
        _ => alteration(random, live)?,
    };
    let mut object = live.clone();
    change.make(&mut object).ok()?;
    (object != *live).then(|| Edit {
        live: live.clone(),
        object,
        manager,
        verb,
    })
}

fn addition(random: &mut Random, live: &Value) -> Option<Change> {
    let known = additions(live["kind"].as_str()?);
    let number = random.below(known.len() + 3);
    if let Some(change) = known.into_iter().nth(number) {
        return Some(change);
    }
    // Or one more of what is there: an element of a list, a bit different.
    let lists: Vec<_> = places(live)
        .into_iter()
        .filter(|(_, value)| value.as_array().is_some_and(|list| !list.is_empty()))
        .collect();
    if lists.is_empty() {
        return None;
    }
    let (place, list) = random.pick(&lists).clone();
    let mut more = random.pick(list.as_array()?).clone();
    match &mut more {
        Value::Object(map) => {
            let keys: Vec<_> = map.keys().cloned().collect();
            for key in keys {
                let value = map.get_mut(&key)?;
                if key == "name" || value.is_number() {
                    *value = altered(random, value);
                }
            }
        }
        value => *value = altered(random, value),
    }
    Some(Change::Add(place, more))
}

fn removal(random: &mut Random, live: &Value) -> Change {
    let mut all = places(live);
    all.retain(|(place, _)| place.matches('/').count() > 1);
    let owner = "/metadata/labels/provost.dev~1owner".to_owned();
    all.push((owner, Value::Null));
    Change::Remove(random.pick(&all).0.clone())
}

fn alteration(random: &mut Random, live: &Value) -> Option<Change> {
    let mut all = places(live);
    all.retain(|(_, value)| !value.is_object() && !value.is_array());
    if all.is_empty() {
        return None;
    }
    let (place, value) = random.pick(&all).clone();
    let value = altered(random, &value);
    Some(Change::Set(place, value))
}

fn altered(random: &mut Random, value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::Number(number) => json!(
            number.as_i64().unwrap_or_default() + 1 + i64::try_from(random.below(3)).unwrap_or_default()
        ),
        Value::String(text) => {
            let others: &[&str] = match text.as_str() {
                "TCP" => &["UDP", "SCTP"],
                "IfNotPresent" | "Always" | "Never" => &["Always", "Never", "OnFailure", "IfNotPresent"],
                "ClusterIP" => &["NodePort", "LoadBalancer"],
                "None" => &["ClientIP"],
                "RollingUpdate" => &["Recreate", "OnDelete"],
                "Allow" => &["Forbid", "Replace"],
                "ClusterFirst" => &["Default"],
                "Prefix" | "Exact" => &["ImplementationSpecific", "Exact", "Prefix"],
                "Cluster" => &["Local"],
                "25%" => &["50%", "1"],
                "YWJj" => &["YWJjZA=="],
                _ => &[],
            };
            if others.is_empty() {
                json!(format!("{text}{}", random.below(10)))
            } else {
                json!(random.pick(others))
            }
        }
        _ => json!("x"),
    }
}

/// Every place of an object that an edit may touch, with its value.
fn places(live: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    collect(live, String::new(), &mut found);
    found
}

fn collect(value: &Value, place: String, found: &mut Vec<(String, Value)>) {
    if LEFT.contains(&place.as_str()) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, format!("{place}/{}", escape(key)), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                collect(value, format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
    if !place.is_empty() {
        found.push((place, value.clone()));
    }
}

/// What is typically added to objects of a kind.
pub(crate) fn additions(kind: &str) -> Vec<Change> {
    let mut changes = vec![
        Change::set("/metadata/labels/added", json!("by-hand")),
        Change::set("/metadata/annotations/example.com~1note", json!("by hand")),
        Change::set(
            "/metadata/annotations/kubectl.kubernetes.io~1restartedAt",
            json!("2026-01-01T00:00:00Z"),
        ),
    ];
    let pod = match kind {
        "Deployment" | "StatefulSet" => "/spec/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => "",
    };
    let more: Vec<(&str, Value)> = match kind {
        "Service" => vec![
            ("/spec/externalIPs", json!(["192.0.2.1"])),
            ("/spec/type", json!("NodePort")),
            ("/spec/publishNotReadyAddresses", json!(true)),
            ("/spec/sessionAffinity", json!("ClientIP")),
            ("/spec/selector/role", json!("more")),
        ],
        "Role" => vec![(
            "/rules",
            json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
        )],
        "NetworkPolicy" => vec![("/spec/egress", json!([{}])), ("/spec/ingress", json!([{}]))],
        "ConfigMap" => vec![
            ("/data/ADDED", json!("1")),
            ("/binaryData/more", json!("AAEC")),
            ("/immutable", json!(false)),
        ],
        "Secret" => vec![("/data/added", json!("eA=="))],
        "Ingress" => vec![
            ("/spec/ingressClassName", json!("other")),
            (
                "/spec/defaultBackend",
                json!({"service": {"name": "x", "port": {"number": 1}}}),
            ),
        ],
        "HorizontalPodAutoscaler" => vec![(
            "/spec/behavior",
            json!({"scaleDown": {"stabilizationWindowSeconds": 5}}),
        )],
        "PodDisruptionBudget" => vec![("/spec/unhealthyPodEvictionPolicy", json!("AlwaysAllow"))],
        "CronJob" => vec![
            ("/spec/timeZone", json!("Etc/UTC")),
            ("/spec/startingDeadlineSeconds", json!(60)),
            ("/spec/suspend", json!(false)),
        ],
        "ServiceAccount" => vec![
            ("/imagePullSecrets", json!([{"name": "other"}])),
            ("/automountServiceAccountToken", json!(true)),
        ],
        "Widget" => vec![
            ("/spec/free/more", json!({"deep": [1, {"a": null}]})),
            ("/spec/tags", json!(["green"])),
        ],
        "Deployment" => vec![("/spec/paused", json!(true)), ("/spec/minReadySeconds", json!(5))],
        "StatefulSet" => vec![("/spec/minReadySeconds", json!(5))],
        _ => Vec::new(),
    };
    changes.extend(more.into_iter().map(|(place, value)| Change::set(place, value)));
    if !pod.is_empty() {
        let spec = |place: &str| format!("{pod}/spec/{place}");
        let container = json!({"name": "added", "image": "registry.example.com/added:v1"});
        changes.extend([
            Change::Set(spec("hostNetwork"), json!(true)),
            Change::Set(spec("hostPID"), json!(true)),
            Change::Set(spec("serviceAccountName"), json!("other")),
            Change::Set(spec("nodeSelector/disk"), json!("fast")),
            Change::Set(spec("securityContext/runAsUser"), json!(0)),
            Change::Set(spec("shareProcessNamespace"), json!(true)),
            Change::Add(spec("tolerations"), json!({"operator": "Exists"})),
            Change::Add(spec("containers"), container.clone()),
            Change::Add(spec("initContainers"), container),
            Change::Add(
                spec("volumes"),
                json!({"name": "host", "hostPath": {"path": "/"}}),
            ),
            Change::Add(spec("containers/0/env"), json!({"name": "ADDED", "value": "1"})),
            Change::Set(spec("containers/0/securityContext/privileged"), json!(true)),
            Change::Set(spec("containers/0/command"), json!(["sh", "-c", "x"])),
            Change::Set(
                spec("containers/0/lifecycle"),
                json!({"preStop": {"exec": {"command": ["true"]}}}),
            ),
            Change::Set(
                spec("containers/0/livenessProbe"),
                json!({"exec": {"command": ["true"]}}),
            ),
            Change::Set(format!("{pod}/metadata/annotations/added"), json!("by-hand")),
            Change::Set(format!("{pod}/metadata/labels/added"), json!("by-hand")),
        ]);
    }
    changes
}
