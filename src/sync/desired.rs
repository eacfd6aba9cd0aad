//! What the cluster should hold for one Application: its render with namespaces filled in and the owner's mark.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use provost_delivery::hook::{self, Hook, Role};
use provost_delivery::options::{SYNC_OPTIONS_ANNOTATION, SyncOptions};
use provost_delivery::owner::Owner;
use provost_manifest::digest::Digest;
use provost_manifest::object::{GroupVersionKind, ObjectKey};
use serde_json::{Value, json};

use super::error::Error;
use super::packed::Packed;
use crate::api::argoproj::NamespaceMetadata;
use crate::cluster::Kinds;
use crate::render::{Rendered, RenderedObject};

/// One object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    /// Its identity.
    pub(super) key: ObjectKey,
    /// Its kind in the version that Git writes.
    pub(super) gvk: GroupVersionKind,
    /// What is applied.
    pub(super) object: Packed,
    /// Digest of that.
    pub(super) digest: Digest,
    /// The file in the repository that it is written in.
    pub(super) file: Option<String>,
    /// The line of that file on which its document begins, where it is applied as it is written.
    pub(super) line: Option<usize>,
    /// The repository of that file, where there are several sources.
    pub(super) repository: Option<String>,
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
    /// What it carries then.
    pub(super) namespace_metadata: Option<&'a NamespaceMetadata>,
}

/// An object that runs at a point of the sync.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DesiredHook {
    /// The object. One that has only a `generateName` bears that as its name in the key.
    pub(super) desired: Desired,
    /// When it runs, and when it is deleted.
    pub(super) hook: Hook,
}

/// All that a render wants of the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// What is kept in the cluster, by identity.
    pub(super) objects: BTreeMap<ObjectKey, Desired>,
    /// What runs when it changes.
    pub(super) hooks: Vec<DesiredHook>,
}

/// The objects of a render by their identities, and its hooks.
///
/// # Errors
/// Two of one identity, or kinds that neither the cluster nor the render's own CRDs know.
pub(super) fn desired(
    rendered: &Rendered,
    owner: &Owner,
    destination: Destination<'_>,
    kinds: &Kinds,
) -> Result<Wanted, Error> {
    let scopes = Scopes::new(kinds, &rendered.objects);
    let mut wanted = Wanted::default();
    let objects = &mut wanted.objects;
    let mut places: BTreeMap<ObjectKey, String> = BTreeMap::new();
    let mut flaws = Vec::new();
    for rendered in &rendered.objects {
        let role = hook::role(&rendered.value);
        if role == Role::Skipped {
            continue;
        }
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
        match role {
            Role::Hook(hook) => wanted.hooks.push(DesiredHook { desired, hook }),
            Role::Resource | Role::Skipped => {
                objects.insert(desired.key.clone(), desired);
            }
        }
    }
    if !flaws.is_empty() {
        return Err(Error::Unserved(flaws));
    }
    if let (true, Some(namespace)) = (destination.create_namespace, destination.namespace) {
        let namespace = namespace_of(namespace, destination.namespace_metadata, owner)?;
        objects.entry(namespace.key.clone()).or_insert(namespace);
    }
    Ok(wanted)
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

fn namespace_of(name: &str, metadata: Option<&NamespaceMetadata>, owner: &Owner) -> Result<Desired, Error> {
    let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let fields = metadata.map(|metadata| {
        [
            ("labels", &metadata.labels),
            ("annotations", &metadata.annotations),
        ]
    });
    for (field, pairs) in fields.into_iter().flatten() {
        for (key, value) in pairs {
            object["metadata"][field][key] = json!(value);
        }
    }
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
        object: Packed::of(object),
        file: None,
        line: None,
        repository: None,
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
        let (Some(gvk), Some(mut key)) = (GroupVersionKind::of(&object), key_of(&object)) else {
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
            object: Packed::of(object),
            file: rendered.file.as_ref().map(ToString::to_string),
            line: rendered.line,
            repository: rendered.repository.clone(),
            only_if_absent: false,
        })
    }
}

/// The identity of a rendered object; a hook may have only a `generateName`.
fn key_of(object: &Value) -> Option<ObjectKey> {
    let generate_name = &object["metadata"]["generateName"];
    if hook::is_hook(object) && generate_name.is_string() && object["metadata"]["name"].is_null() {
        let mut named = object.clone();
        named["metadata"]["name"] = generate_name.clone();
        return ObjectKey::of(&named);
    }
    ObjectKey::of(object)
}

/// What the object's annotations ask for and nobody does: a Job that is meant as a hook must not run as anything else.
fn unsupported(object: &Value) -> Option<String> {
    if let Role::Hook(hook) = hook::role(object)
        && let Some(unknown) = hook.unknown.first()
    {
        return Some(format!("{unknown} is not known"));
    }
    let errors = SyncOptions::of_object(object).err()?;
    let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Some(format!("{} ({SYNC_OPTIONS_ANNOTATION})", sentences.join("; ")))
}
