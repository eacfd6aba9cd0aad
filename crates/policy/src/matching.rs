//! `match` and `exclude`: whether a rule concerns a request.
//!
//! A filter holds where all its parts hold; inside a part, one of several is enough. What must be fetched first (the
//! labels of a namespace, the roles of the user) stops the question with [`Halt::Needs`].

use std::collections::BTreeSet;

use provost_manifest::object::GroupVersionKind;
use provost_manifest::wildcard::Wildcard;
use serde_json::{Map, Value};

use crate::request::{Inputs, Key, Operation, Request};
use crate::selector::LabelSelector;

/// Why a question about a request has no answer (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// This must be fetched first.
    Needs(Key),
    /// It could not be answered, and why.
    Error(String),
}

/// A `match` or `exclude` block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Match {
    /// One filter is enough.
    Any(Vec<Filter>),
    /// Every filter must hold.
    All(Vec<Filter>),
    /// The older form, with one filter.
    One(Box<Filter>),
}

/// A description of resources and users; every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub(crate) operations: Vec<Operation>,
    pub(crate) kinds: Vec<KindSelector>,
    pub(crate) names: Vec<Wildcard>,
    pub(crate) namespaces: Vec<Wildcard>,
    pub(crate) annotations: Vec<(Wildcard, Wildcard)>,
    pub(crate) selector: Option<LabelSelector>,
    pub(crate) namespace_selector: Option<LabelSelector>,
    pub(crate) roles: Vec<String>,
    pub(crate) cluster_roles: Vec<String>,
    pub(crate) subjects: Vec<Subject>,
}

/// Group, version, kind and subresource, each a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KindSelector {
    pub(crate) group: Wildcard,
    pub(crate) version: Wildcard,
    pub(crate) kind: Wildcard,
    pub(crate) subresource: Wildcard,
}

/// The subresource by which containers are added to a running Pod: what is said of Pods is said of it.
pub(crate) const EPHEMERAL_CONTAINERS: &str = "ephemeralcontainers";

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A wildcard over user names; service accounts are users named `system:serviceaccount:NS:NAME`.
    User(Wildcard),
    /// A wildcard over groups.
    Group(Wildcard),
}

/// What a `namespaceSelector` says of Namespaces themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OfNamespaces {
    /// It selects none of them (`match`, `exclude`).
    SelectNone,
    /// It does not count (exceptions).
    Ignore,
}

/// The object that is matched, and what is known about the request.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) object: &'a Value,
    pub(crate) inputs: &'a Inputs,
}

// === impl Match ===

impl Match {
    pub(crate) fn filters(&self) -> &[Filter] {
        match self {
            Self::Any(filters) | Self::All(filters) => filters,
            Self::One(filter) => std::slice::from_ref(filter),
        }
    }

    /// Whether a rule with this `match` concerns the target.
    pub(crate) fn includes(&self, target: &Target<'_>) -> Result<bool, Halt> {
        let user = target.request.user.is_some();
        self.holds(|filter| filter.holds(target, user, OfNamespaces::SelectNone))
    }

    /// Whether a rule with this `exclude` leaves the target out.
    pub(crate) fn excludes(&self, target: &Target<'_>) -> Result<bool, Halt> {
        self.holds(|filter| filter.holds(target, true, OfNamespaces::SelectNone))
    }

    /// Whether an exception with this `match` excuses the target.
    pub(crate) fn excuses(&self, target: &Target<'_>) -> Result<bool, Halt> {
        self.holds(|filter| filter.holds(target, true, OfNamespaces::Ignore))
    }

    fn holds(&self, holds: impl Fn(&Filter) -> Result<bool, Halt>) -> Result<bool, Halt> {
        match self {
            Self::Any(filters) => any(filters, holds),
            Self::All(filters) => Ok(!filters.is_empty() && all(filters, holds)?),
            Self::One(filter) => holds(filter),
        }
    }
}

/// Whether some filter holds. A yes needs nothing fetched for the filters after it.
fn any(filters: &[Filter], holds: impl Fn(&Filter) -> Result<bool, Halt>) -> Result<bool, Halt> {
    let mut halted = None;
    for filter in filters {
        match holds(filter) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(halt) => halted = halted.or(Some(halt)),
        }
    }
    halted.map_or(Ok(false), Err)
}

/// Whether every filter holds. A no needs nothing fetched for the others.
fn all(filters: &[Filter], holds: impl Fn(&Filter) -> Result<bool, Halt>) -> Result<bool, Halt> {
    let mut halted = None;
    for filter in filters {
        match holds(filter) {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(halt) => halted = halted.or(Some(halt)),
        }
    }
    halted.map_or(Ok(true), Err)
}

// === impl Filter ===

impl Filter {
    /// Whether the filter holds; `with_user` says whether what it says about users counts. A filter that says
    /// nothing never holds.
    fn holds(&self, target: &Target<'_>, with_user: bool, of: OfNamespaces) -> Result<bool, Halt> {
        let says_something = self.describes_resources() || (with_user && self.describes_users());
        if !says_something || !self.resource_holds(target) {
            return Ok(false);
        }
        if with_user && !self.user_holds(target)? {
            return Ok(false);
        }
        self.namespace_selector_holds(target, of)
    }

    pub(crate) fn describes_users(&self) -> bool {
        !(self.roles.is_empty() && self.cluster_roles.is_empty() && self.subjects.is_empty())
    }

    fn describes_resources(&self) -> bool {
        !(self.operations.is_empty()
            && self.kinds.is_empty()
            && self.names.is_empty()
            && self.namespaces.is_empty()
            && self.annotations.is_empty()
            && self.selector.is_none()
            && self.namespace_selector.is_none())
    }

    /// All that needs nothing but the object and the request.
    fn resource_holds(&self, target: &Target<'_>) -> bool {
        let request = target.request;
        let metadata = target.object.get("metadata");
        let text = |key| {
            metadata
                .and_then(|m| m.get(key))
                .and_then(Value::as_str)
                .unwrap_or("")
        };
        (self.operations.is_empty() || self.operations.contains(&request.operation))
            && (self.kinds.is_empty()
                || self
                    .kinds
                    .iter()
                    .any(|kind| kind.selects(request.kind, request.subresource)))
            && (self.names.is_empty() || {
                let name = Some(text("name")).filter(|name| !name.is_empty());
                one_matches(&self.names, name.unwrap_or_else(|| text("generateName")))
            })
            && (self.namespaces.is_empty() || one_matches(&self.namespaces, namespace_of(target)))
            && self.annotations.iter().all(|(key, value)| {
                labels(target.object, "annotations").is_some_and(|annotations| {
                    annotations
                        .iter()
                        .any(|(k, v)| key.matches(k) && v.as_str().is_some_and(|v| value.matches(v)))
                })
            })
            && self
                .selector
                .as_ref()
                .is_none_or(|selector| selector.selects(labels(target.object, "labels")))
    }

    fn user_holds(&self, target: &Target<'_>) -> Result<bool, Halt> {
        if !self.describes_users() {
            return Ok(true);
        }
        let Some(user) = target.request.user else {
            return Ok(false);
        };
        let subject = self.subjects.is_empty()
            || self.subjects.iter().any(|subject| match subject {
                Subject::User(pattern) => pattern.matches(&user.username),
                Subject::Group(pattern) => user.groups.iter().any(|group| pattern.matches(group)),
            });
        if !subject {
            return Ok(false);
        }
        if self.roles.is_empty() && self.cluster_roles.is_empty() {
            return Ok(true);
        }
        let roles = fetched(target.inputs, Key::Roles)?;
        let bound = |wanted: &[String], key: &str| {
            wanted.is_empty()
                || roles
                    .get(key)
                    .and_then(Value::as_array)
                    .is_some_and(|bound| bound.iter().any(|role| wanted.iter().any(|w| role == w)))
        };
        Ok(bound(&self.roles, "roles") && bound(&self.cluster_roles, "clusterRoles"))
    }

    fn namespace_selector_holds(&self, target: &Target<'_>, of: OfNamespaces) -> Result<bool, Halt> {
        let Some(selector) = &self.namespace_selector else {
            return Ok(true);
        };
        if target.request.kind.kind == "Namespace" {
            return Ok(of == OfNamespaces::Ignore);
        }
        selects_namespace(selector, target)
    }
}

/// The namespace that `namespaces` is about: for a Namespace itself, its own name.
fn namespace_of<'a>(target: &Target<'a>) -> &'a str {
    let key = if target.request.kind.kind == "Namespace" {
        "name"
    } else {
        "namespace"
    };
    let written = target
        .object
        .get("metadata")
        .and_then(|m| m.get(key))
        .and_then(Value::as_str);
    match written.filter(|text| !text.is_empty()) {
        Some(text) => text,
        None if key == "name" => target.request.name,
        // The body of a subresource often has no metadata; its namespace is the request's.
        None => target.request.namespace,
    }
}

/// Whether a selector selects the target's namespace, by its labels.
pub(crate) fn selects_namespace(selector: &LabelSelector, target: &Target<'_>) -> Result<bool, Halt> {
    let namespace = target.request.namespace;
    if namespace.is_empty() {
        return Ok(selector.selects(None));
    }
    let labels = fetched(target.inputs, Key::NamespaceLabels(namespace.to_owned()))?;
    Ok(selector.selects(labels.as_object()))
}

/// What was fetched for `key`.
pub(crate) fn fetched(inputs: &Inputs, key: Key) -> Result<&Value, Halt> {
    match inputs.get(&key) {
        Some(Ok(value)) => Ok(value),
        Some(Err(why)) => Err(Halt::Error(why.clone())),
        None => Err(Halt::Needs(key)),
    }
}

/// `metadata.labels` or `metadata.annotations` of an object.
fn labels<'o>(object: &'o Value, which: &str) -> Option<&'o Map<String, Value>> {
    object.get("metadata")?.get(which)?.as_object()
}

pub(crate) fn one_matches(patterns: &[Wildcard], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

// === impl KindSelector ===

impl KindSelector {
    /// Reads `Pod`, `apps/v1/Deployment`, `v1/Pod/exec`, `Pod.status`, `*/*`; `None` for what matches
    /// nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts: Vec<&str> = text.split('/').collect();
        let last = parts.pop()?;
        parts.extend(last.split('.'));
        let is_version = |part: &str| part == "*" || is_api_version(part);
        let (group, version, kind, subresource) = match *parts.as_slice() {
            [kind] => ("*", "*", kind, ""),
            ["*", "*"] => ("*", "*", "*", "*"),
            ["*", subresource] if is_lower_case(subresource) => ("*", "*", "*", subresource),
            [version, kind] if is_version(version) => ("*", version, kind, ""),
            [kind, subresource] => ("*", "*", kind, subresource),
            [version, kind, subresource] if is_version(version) => ("*", version, kind, subresource),
            [group, version, kind] => (group, version, kind, ""),
            [group, version, kind, subresource] => (group, version, kind, subresource),
            _ => return None,
        };
        Some(Self {
            group: Wildcard::new(group).ok()?,
            version: Wildcard::new(version).ok()?,
            kind: Wildcard::new(kind).ok()?,
            subresource: Wildcard::new(subresource).ok()?,
        })
    }

    /// Group, version, kind and subresource as they are written.
    pub(crate) fn parts(&self) -> [&str; 4] {
        [&self.group, &self.version, &self.kind, &self.subresource].map(Wildcard::as_str)
    }

    /// Whether it selects a kind and subresource.
    pub(crate) fn selects(&self, kind: &GroupVersionKind, subresource: &str) -> bool {
        let subresource_selected = self.subresource.matches(subresource)
            || (self.subresource.as_str().is_empty()
                && subresource == EPHEMERAL_CONTAINERS
                && kind.kind == "Pod");
        subresource_selected
            && self.kind.matches(&kind.kind)
            && self.version.matches(&kind.version)
            && self.group.matches(&kind.group)
    }
}

/// `^v\d((alpha|beta)\d)?$`
fn is_api_version(part: &str) -> bool {
    let digit = |text: &str| text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = part.strip_prefix('v') else {
        return false;
    };
    digit(rest)
        || ["alpha", "beta"].iter().any(|stage| {
            rest.split_once(stage)
                .is_some_and(|(major, minor)| digit(major) && digit(minor))
        })
}

fn is_lower_case(text: &str) -> bool {
    text == text.to_lowercase()
}

/// Every operation that the filters of a match let through.
pub(crate) fn operations(matches: &Match) -> BTreeSet<Operation> {
    const ALL: [Operation; 4] = [
        Operation::Create,
        Operation::Update,
        Operation::Delete,
        Operation::Connect,
    ];
    let of_filter = |filter: &Filter| -> BTreeSet<Operation> {
        if filter.operations.is_empty() {
            ALL.into()
        } else {
            filter.operations.iter().copied().collect()
        }
    };
    let sets = matches.filters().iter().map(of_filter);
    match matches {
        Match::All(_) => sets.reduce(|a, b| &a & &b).unwrap_or_default(),
        Match::Any(_) | Match::One(_) => sets.flatten().collect(),
    }
}
