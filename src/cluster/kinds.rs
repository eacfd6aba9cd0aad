//! The kinds that a cluster serves, and where their objects live.

use std::collections::HashMap;
use std::fmt;

use kube::Resource as _;
use kube::core::discovery::v2::APIGroupDiscoveryList;
use kube::core::{ApiResource, DynamicObject};
use provost_manifest::object::{GroupVersionKind, ObjectKey};

/// One kind as the cluster serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Group, version and kind.
    pub gvk: GroupVersionKind,
    /// The name in URLs, `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether they can be watched.
    pub watchable: bool,
    /// The names of its subresources, `scale`.
    pub subresources: Vec<String>,
}

/// The kinds that a cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    by_gvk: HashMap<GroupVersionKind, Kind>,
    /// The version that the cluster prefers, by group and kind.
    preferred: HashMap<(String, String), GroupVersionKind>,
    /// The kind, by group and name in URLs.
    by_plural: HashMap<(String, String), String>,
}

/// One object's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for what is cluster-scoped.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

// === impl Kinds ===

impl Kinds {
    /// Two requests. A group whose backend does not answer is listed without kinds, which fails nobody else.
    pub async fn discover(client: &kube::Client) -> Result<Self, kube::Error> {
        let (core, groups) = futures::try_join!(
            client.list_core_api_versions_aggregated(),
            client.list_api_groups_aggregated()
        )?;
        let mut kinds = Self::default();
        kinds.add(core);
        kinds.add(groups);
        Ok(kinds)
    }

    fn add(&mut self, list: APIGroupDiscoveryList) {
        for group in list.items {
            let name = group
                .metadata
                .and_then(|metadata| metadata.name)
                .unwrap_or_default();
            // The preferred version comes first.
            for version in group.versions {
                let version_name = version.version.unwrap_or_default();
                for resource in version.resources {
                    let Some(kind) = resource.response_kind.and_then(|kind| kind.kind) else {
                        continue;
                    };
                    let Some(plural) = resource.resource else { continue };
                    self.insert(Kind {
                        gvk: GroupVersionKind::new(name.clone(), version_name.clone(), kind),
                        plural,
                        namespaced: resource.scope.as_deref() == Some("Namespaced"),
                        watchable: resource.verbs.iter().any(|verb| verb == "watch"),
                        subresources: resource
                            .subresources
                            .into_iter()
                            .filter_map(|subresource| subresource.subresource)
                            .collect(),
                    });
                }
            }
        }
    }

    fn insert(&mut self, kind: Kind) {
        let gvk = kind.gvk.clone();
        self.by_plural
            .insert((gvk.group.clone(), kind.plural.clone()), gvk.kind.clone());
        self.preferred
            .entry((gvk.group.clone(), gvk.kind.clone()))
            .or_insert_with(|| gvk.clone());
        self.by_gvk.insert(gvk, kind);
    }

    /// The kind, where the cluster serves it in this version.
    pub fn get(&self, gvk: &GroupVersionKind) -> Option<&Kind> {
        self.by_gvk.get(gvk)
    }

    /// All kinds, each in the version that the cluster prefers.
    pub fn all(&self) -> impl Iterator<Item = &Kind> {
        self.preferred.values().filter_map(|gvk| self.by_gvk.get(gvk))
    }

    /// All kinds in all versions, in no order.
    pub fn in_all_versions(&self) -> impl Iterator<Item = &Kind> {
        self.by_gvk.values()
    }

    /// Whether this is the version of the kind that the cluster prefers.
    pub fn prefers(&self, kind: &Kind) -> bool {
        self.preferred(&kind.gvk.group, &kind.gvk.kind) == Some(kind)
    }

    /// The kind whose objects have this name in URLs.
    pub fn of_plural(&self, group: &str, plural: &str) -> Option<&str> {
        let kind = self.by_plural.get(&(group.to_owned(), plural.to_owned()));
        kind.map(String::as_str)
    }

    /// Everything that the cluster serves, in every version.
    pub fn served(&self) -> impl Iterator<Item = &GroupVersionKind> {
        self.by_gvk.keys()
    }

    /// Whether the cluster serves anything in this version of the group.
    pub fn serves(&self, group: &str, version: &str) -> bool {
        let gvks = self.by_gvk.keys();
        gvks.into_iter()
            .any(|gvk| gvk.group == group && gvk.version == version)
    }

    /// The kind in whatever version the cluster prefers: for objects whose own version may be gone.
    pub fn preferred(&self, group: &str, kind: &str) -> Option<&Kind> {
        let gvk = self.preferred.get(&(group.to_owned(), kind.to_owned()))?;
        self.by_gvk.get(gvk)
    }
}

/// The first of several versions of a kind is the preferred one.
impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut all = Self::default();
        kinds.into_iter().for_each(|kind| all.insert(kind));
        all
    }
}

// === impl Kind ===

impl Kind {
    /// As kube's client wants it.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource {
            group: self.gvk.group.clone(),
            version: self.gvk.version.clone(),
            api_version: self.gvk.api_version(),
            kind: self.gvk.kind.clone(),
            plural: self.plural.clone(),
        }
    }

    /// The address of one of its objects.
    pub fn target(&self, key: &ObjectKey) -> Target {
        Target {
            kind: self.clone(),
            namespace: key.namespace.clone().filter(|_| self.namespaced),
            name: key.name.clone(),
        }
    }
}

// === impl Target ===

impl Target {
    pub(super) fn collection(&self) -> String {
        DynamicObject::url_path(&self.kind.api_resource(), self.namespace.as_deref())
    }

    pub(super) fn is_secret(&self) -> bool {
        self.kind.gvk.group.is_empty() && self.kind.gvk.kind == "Secret"
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.gvk.kind, self.name),
            None => write!(f, "{} {}", self.kind.gvk.kind, self.name),
        }
    }
}
