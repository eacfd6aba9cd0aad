//! What an object is called: group, version, kind, namespace, name.

use std::fmt;

use serde_json::Value;

/// Group, version and kind of an object; the group is empty for core kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersionKind {
    /// API group, `""` for the core group.
    pub group: String,
    /// API version, `v1`.
    pub version: String,
    /// Kind, `Deployment`.
    pub kind: String,
}

/// The identity that an object keeps over its versions: group, kind, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// API group, `""` for the core group.
    pub group: String,
    /// Kind, `Deployment`.
    pub kind: String,
    /// Namespace; `None` for what is cluster-scoped.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

// === impl GroupVersionKind ===

impl GroupVersionKind {
    /// From its parts.
    pub fn new(group: impl Into<String>, version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }

    /// From `apiVersion` (`v1`, `apps/v1`) and `kind`.
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::new(group, version, kind)
    }

    /// Of an object, from its `apiVersion` and `kind`; `None` where one is missing, empty or not text.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |key| {
            object
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        Some(Self::from_api_version(text("apiVersion")?, text("kind")?))
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

// === impl ObjectKey ===

impl ObjectKey {
    /// Of an object as it stands, its namespace as written; `None` where kind or name is missing.
    pub fn of(object: &Value) -> Option<Self> {
        let GroupVersionKind { group, kind, .. } = GroupVersionKind::of(object)?;
        let metadata = object.get("metadata")?;
        let text = |key| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        Some(Self {
            group,
            kind,
            namespace: text("namespace").map(str::to_owned),
            name: text("name")?.to_owned(),
        })
    }
}

/// `Deployment shop/my-app`, `ClusterRole reader`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {}/{}", self.kind, namespace, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
