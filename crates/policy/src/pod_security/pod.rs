//! A pod, wherever it is in an object, and typed reading of its fields.

use std::borrow::Cow;
use std::fmt;

use provost_manifest::path::{FieldPath, Segment};
use serde_json::{Map, Value};

/// The three lists of containers.
pub(super) const GROUPS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The most containers of a pod that is judged; its size keeps a real one far below.
const MAX_CONTAINERS: usize = 1_000;

/// The most ports, volumes, capabilities, sysctls and annotations of a pod that is judged; a real one has some dozens.
const MAX_ITEMS: usize = 20_000;

/// A pod, or the template of one.
#[derive(Clone, Debug)]
pub(super) struct Pod<'o> {
    pub(super) metadata: Option<&'o Map<String, Value>>,
    pub(super) spec: Cow<'o, Map<String, Value>>,
    pub(super) containers: Vec<Container<'o>>,
    /// How much there is to look at, in steps.
    pub(super) size: u64,
    /// Where spec and metadata are in the object.
    spec_at: &'static [&'static str],
    metadata_at: &'static [&'static str],
}

/// A container, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'o> {
    pub(super) group: &'static str,
    pub(super) index: usize,
    pub(super) fields: &'o Map<String, Value>,
}

/// The path of a field inside of a pod: `spec.containers[0].securityContext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodPath(FieldPath);

/// Why an object cannot be read as a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(String);

// === impl Pod ===

impl<'o> Pod<'o> {
    /// The pod of an object that is one, or that makes some.
    pub(super) fn of(object: &'o Value) -> Result<Self, Malformed> {
        type Path = &'static [&'static str];
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        let (metadata_at, spec_at): (Path, Path) = match kind {
            "Pod" => (&["metadata"], &["spec"]),
            "DaemonSet" | "Deployment" | "Job" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => {
                (&["spec", "template", "metadata"], &["spec", "template", "spec"])
            }
            // The metadata of a CronJob's Job, not of its pods, as the peer has it.
            "CronJob" => (
                &["spec", "jobTemplate", "metadata"],
                &["spec", "jobTemplate", "spec", "template", "spec"],
            ),
            other => {
                return Err(Malformed(format!(
                    "PodSecurity judges pods and what makes them, not a {other}"
                )));
            }
        };
        let at = |path: Path| path.iter().try_fold(object, |value, key| value.get(key));
        let Some(Value::Object(spec)) = at(spec_at) else {
            return Err(Malformed(format!(
                "{} is not the spec of a pod",
                spec_at.join(".")
            )));
        };
        let metadata = at(metadata_at).and_then(Value::as_object);
        let containers = containers(spec)?;
        let items = items(metadata, spec, &containers);
        if items > MAX_ITEMS {
            return Err(Malformed(format!(
                "the pod has more than {MAX_ITEMS} ports, volumes, capabilities, sysctls and annotations"
            )));
        }
        Ok(Self {
            metadata,
            size: (items + containers.len()) as u64,
            containers,
            spec: Cow::Borrowed(spec),
            spec_at,
            metadata_at,
        })
    }

    /// The same pod with these containers alone.
    pub(super) fn with_containers(&self, containers: Vec<Container<'o>>) -> Self {
        Self {
            containers,
            ..self.clone()
        }
    }

    /// These containers and nothing else of the pod.
    pub(super) fn of_containers(&self, containers: Vec<Container<'o>>) -> Self {
        Self {
            metadata: None,
            spec: Cow::Owned(Map::new()),
            containers,
            ..*self
        }
    }

    pub(super) fn security_context(&self) -> Result<Option<&Map<String, Value>>, Malformed> {
        map(&self.spec, "securityContext")
    }

    /// Whether its containers run on Windows.
    pub(super) fn is_windows(&self) -> Result<bool, Malformed> {
        let os = map(&self.spec, "os")?;
        let name = os.map(|os| text(os, "name")).transpose()?.flatten();
        Ok(name == Some("windows"))
    }

    /// The same place in the object.
    pub(super) fn path_in_object(&self, path: &PodPath) -> FieldPath {
        let mut segments = path.0.segments().iter();
        let prefix = match segments.next() {
            Some(Segment::Key(key)) if key == "metadata" => self.metadata_at,
            _ => self.spec_at,
        };
        let prefix = prefix.iter().map(|key| Segment::Key((*key).to_owned()));
        prefix.chain(segments.cloned()).collect()
    }
}

fn containers(spec: &Map<String, Value>) -> Result<Vec<Container<'_>>, Malformed> {
    let mut containers = Vec::new();
    for group in GROUPS {
        for (index, item) in list(spec, group)?.iter().enumerate() {
            let Value::Object(fields) = item else {
                return Err(Malformed(format!("{group}[{index}] is not a container")));
            };
            containers.push(Container { group, index, fields });
        }
    }
    if containers.len() > MAX_CONTAINERS {
        return Err(Malformed(format!(
            "the pod has more than {MAX_CONTAINERS} containers"
        )));
    }
    Ok(containers)
}

/// How many things there are in the lists that controls look into.
fn items(
    metadata: Option<&Map<String, Value>>,
    spec: &Map<String, Value>,
    containers: &[Container<'_>],
) -> usize {
    let length = |owner: &Map<String, Value>, path: &[&str]| {
        let mut fields = path.iter();
        let first = fields.next().and_then(|key| owner.get(*key));
        match fields
            .try_fold(first, |value, key| Some(value?.get(key)))
            .flatten()
        {
            Some(Value::Array(list)) => list.len(),
            Some(Value::Object(map)) => map.len(),
            _ => 0,
        }
    };
    let of_container = |container: &Container<'_>| {
        [
            &["ports"][..],
            &["securityContext", "capabilities", "add"],
            &["securityContext", "capabilities", "drop"],
        ]
        .iter()
        .map(|path| length(container.fields, path))
        .sum::<usize>()
    };
    length(spec, &["volumes"])
        + length(spec, &["securityContext", "sysctls"])
        + metadata.map_or(0, |metadata| length(metadata, &["annotations"]))
        + containers.iter().map(of_container).sum::<usize>()
}

// === impl Container ===

impl<'o> Container<'o> {
    pub(super) fn name(&self) -> Option<&'o str> {
        self.fields.get("name")?.as_str()
    }

    pub(super) fn security_context(&self) -> Result<Option<&'o Map<String, Value>>, Malformed> {
        map(self.fields, "securityContext")
    }

    pub(super) fn path(&self) -> PodPath {
        PodPath(FieldPath::root().key("spec").key(self.group).index(self.index))
    }
}

// === impl PodPath ===

impl PodPath {
    /// `spec.` and these keys.
    pub(super) fn spec(keys: &[&str]) -> Self {
        Self(FieldPath::root().key("spec")).keys(keys)
    }

    /// `metadata.annotations["key"]`
    pub(super) fn annotation(key: &str) -> Self {
        Self(FieldPath::root().key("metadata").key("annotations").key(key))
    }

    /// These keys further down.
    pub(super) fn keys(mut self, keys: &[&str]) -> Self {
        for key in keys {
            self.0.push_key(*key);
        }
        self
    }

    pub(super) fn index(mut self, index: usize) -> Self {
        self.0.push_index(index);
        self
    }

    /// With every number replaced by `*`, as exclusions write it: `spec.containers[*].securityContext.privileged`.
    pub(super) fn normalized(&self) -> String {
        let text = self.0.to_string();
        let mut normalized = String::with_capacity(text.len());
        for c in text.chars() {
            if !c.is_ascii_digit() {
                normalized.push(c);
            } else if !normalized.ends_with('*') {
                normalized.push('*');
            }
        }
        normalized
    }
}

impl fmt::Display for PodPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A map below a key; `None` where there is none.
pub(super) fn map<'v>(
    fields: &'v Map<String, Value>,
    key: &str,
) -> Result<Option<&'v Map<String, Value>>, Malformed> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(Malformed(format!("{key} is not a map"))),
    }
}

/// A list below a key; empty where there is none.
pub(super) fn list<'v>(fields: &'v Map<String, Value>, key: &str) -> Result<&'v [Value], Malformed> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(Malformed(format!("{key} is not a list"))),
    }
}

/// The maps of a list below a key.
pub(super) fn maps<'v>(
    fields: &'v Map<String, Value>,
    key: &str,
) -> Result<Vec<&'v Map<String, Value>>, Malformed> {
    let item = |value: &'v Value| {
        value
            .as_object()
            .ok_or_else(|| Malformed(format!("{key} is not a list of maps")))
    };
    list(fields, key)?.iter().map(item).collect()
}

/// The texts of a list below a key.
pub(super) fn texts<'v>(fields: &'v Map<String, Value>, key: &str) -> Result<Vec<&'v str>, Malformed> {
    let item = |value: &'v Value| {
        value
            .as_str()
            .ok_or_else(|| Malformed(format!("{key} is not a list of texts")))
    };
    list(fields, key)?.iter().map(item).collect()
}

pub(super) fn text<'v>(fields: &'v Map<String, Value>, key: &str) -> Result<Option<&'v str>, Malformed> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Malformed(format!("{key} is not a text"))),
    }
}

pub(super) fn bool(fields: &Map<String, Value>, key: &str) -> Result<Option<bool>, Malformed> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(bool)) => Ok(Some(*bool)),
        Some(_) => Err(Malformed(format!("{key} is neither true nor false"))),
    }
}

/// A whole number; a float without fraction is one.
pub(super) fn int(fields: &Map<String, Value>, key: &str) -> Result<Option<i64>, Malformed> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => crate::pattern::whole_number(value)
            .map(Some)
            .ok_or_else(|| Malformed(format!("{key} is not a whole number"))),
    }
}
