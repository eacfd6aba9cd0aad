//! What the cluster should hold for one Application: its render with namespaces filled in and the owner's mark.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use provost_delivery::owner::Owner;
use provost_delivery::prune::SYNC_OPTIONS_ANNOTATION;
use provost_manifest::digest::Digest;
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::{Value, json};

use super::error::Error;
use crate::cluster::Kinds;
use crate::render::{Rendered, RenderedObject};

/// Annotations that make an object a hook.
const HOOKS: [&str; 2] = ["argocd.argoproj.io/hook", "helm.sh/hook"];
/// Options of an object that are kept, or done anyway.
const SUPPORTED_OPTIONS: [&str; 7] = [
    "Prune=false",
    "Prune=confirm",
    "Prune=true",
    "Delete=false",
    "Delete=true",
    "ServerSideApply=true",
    "SkipDryRunOnMissingResource=true",
];

/// One object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    /// Its identity.
    pub(super) key: ObjectKey,
    /// Its kind in the version that Git writes.
    pub(super) gvk: GroupVersionKind,
    /// What is applied.
    pub(super) object: Value,
    /// Digest of that.
    pub(super) digest: Digest,
    /// The file in the repository that it is written in.
    pub(super) file: Option<String>,
    /// Whether it is ours only if we make it: a namespace that was there before is nobody's to delete.
    pub(super) only_if_absent: bool,
}

/// Where the objects go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    /// Namespace of namespaced objects that name none.
    pub(super) namespace: Option<&'a str>,
    /// Whether that namespace is to be made.
    pub(super) create_namespace: bool,
}

/// The objects of a render by their identities.
///
/// # Errors
/// Two of one identity, or kinds that neither the cluster nor the render's own CRDs know.
pub(super) fn desired(
    rendered: &Rendered,
    owner: &Owner,
    destination: Destination<'_>,
    kinds: &Kinds,
) -> Result<BTreeMap<ObjectKey, Desired>, Error> {
    let scopes = Scopes::new(kinds, &rendered.objects);
    let mut objects = BTreeMap::new();
    let mut places: BTreeMap<ObjectKey, String> = BTreeMap::new();
    let mut flaws = Vec::new();
    for rendered in &rendered.objects {
        let desired = match scopes.complete(rendered, owner, destination.namespace) {
            Ok(desired) => desired,
            Err(sentence) => {
                flaws.push(sentence);
                continue;
            }
        };
        match places.entry(desired.key.clone()) {
            Entry::Occupied(first) => {
                return Err(Error::Duplicate {
                    object: desired.key.to_string(),
                    first: first.get().clone(),
                    second: place(rendered),
                });
            }
            Entry::Vacant(free) => free.insert(place(rendered)),
        };
        objects.insert(desired.key.clone(), desired);
    }
    if !flaws.is_empty() {
        return Err(Error::Unserved(flaws));
    }
    if let (true, Some(namespace)) = (destination.create_namespace, destination.namespace) {
        let namespace = namespace_of(namespace, owner)?;
        objects.entry(namespace.key.clone()).or_insert(namespace);
    }
    Ok(objects)
}

fn place(rendered: &RenderedObject) -> String {
    let place = match (&rendered.file, rendered.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_string(),
        (None, _) => "the render".to_owned(),
    };
    match &rendered.repository {
        Some(repository) => format!("{place} of {repository}"),
        None => place,
    }
}

fn namespace_of(name: &str, owner: &Owner) -> Result<Desired, Error> {
    let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    owner
        .mark(&mut object)
        .map_err(|error| Error::Object(error.to_string()))?;
    Ok(Desired {
        key: ObjectKey {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: name.to_owned(),
        },
        gvk: GroupVersionKind::new("", "v1", "Namespace"),
        digest: Digest::of_value(&object),
        object,
        file: None,
        only_if_absent: true,
    })
}

/// Which kinds live in namespaces: by the cluster, or by a CRD that comes in the same render.
struct Scopes<'a> {
    kinds: &'a Kinds,
    coming: BTreeMap<(String, String), bool>,
}

// === impl Scopes ===

impl<'a> Scopes<'a> {
    fn new(kinds: &'a Kinds, rendered: &[RenderedObject]) -> Self {
        let coming = rendered
            .iter()
            .filter(|rendered| {
                rendered
                    .value
                    .get("kind")
                    .is_some_and(|kind| kind == "CustomResourceDefinition")
            })
            .filter_map(|rendered| {
                let spec = rendered.value.get("spec")?;
                let kind = spec.get("names")?.get("kind")?.as_str()?;
                let namespaced = spec.get("scope")?.as_str()? == "Namespaced";
                Some((
                    (spec.get("group")?.as_str()?.to_owned(), kind.to_owned()),
                    namespaced,
                ))
            })
            .collect();
        Self { kinds, coming }
    }

    fn complete(
        &self,
        rendered: &RenderedObject,
        owner: &Owner,
        namespace: Option<&str>,
    ) -> Result<Desired, String> {
        let mut object = rendered.value.clone();
        let (Some(gvk), Some(mut key)) = (GroupVersionKind::of(&object), ObjectKey::of(&object)) else {
            return Err(format!("{} is no object", place(rendered)));
        };
        if let Some(unsupported) = unsupported(&object) {
            return Err(format!("{key} in {}: {unsupported}", place(rendered)));
        }
        let known = self.kinds.get(&gvk).map(|kind| kind.namespaced);
        let coming = || self.coming.get(&(gvk.group.clone(), gvk.kind.clone())).copied();
        let Some(namespaced) = known.or_else(coming) else {
            return Err(format!(
                "{} in {}: the cluster does not serve {} in {}",
                key,
                place(rendered),
                gvk.kind,
                gvk.api_version()
            ));
        };
        if let Some(fields) = object.as_object_mut() {
            // What only the cluster writes.
            fields.shift_remove("status");
        }
        // First the mark, which makes sure of the metadata.
        owner
            .mark(&mut object)
            .map_err(|error| format!("{key} in {}: {error}", place(rendered)))?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            if !namespaced {
                metadata.shift_remove("namespace");
                key.namespace = None;
            } else if key.namespace.is_none() {
                let namespace = namespace.unwrap_or("default");
                metadata.insert("namespace".to_owned(), namespace.into());
                key.namespace = Some(namespace.to_owned());
            }
        }
        Ok(Desired {
            digest: Digest::of_value(&object),
            key,
            gvk,
            object,
            file: rendered.file.as_ref().map(ToString::to_string),
            only_if_absent: false,
        })
    }
}

/// What the object's annotations ask for and nobody does yet: a Job that is meant as a hook must not run as anything
/// else.
fn unsupported(object: &Value) -> Option<String> {
    let annotations = object.get("metadata")?.get("annotations")?.as_object()?;
    if let Some(hook) = HOOKS.iter().find(|hook| annotations.contains_key(**hook)) {
        return Some(format!("hooks are not supported yet ({hook})"));
    }
    let options = annotations.get(SYNC_OPTIONS_ANNOTATION)?.as_str()?;
    let option = options
        .split(',')
        .map(str::trim)
        .find(|option| !option.is_empty() && !SUPPORTED_OPTIONS.contains(option))?;
    Some(format!(
        "{option} is not supported yet ({SYNC_OPTIONS_ANNOTATION})"
    ))
}
