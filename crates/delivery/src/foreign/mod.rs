//! The foreign half of the difference: what is on a live object and did not come from the render.
//!
//! The apiserver notes in `metadata.managedFields` who set each field. What somebody set and the render does not
//! have is foreign, whatever name the somebody goes by: a borrowed name (kubectl's, another controller's, our own)
//! hides nothing. Not foreign is what the server or a controller is known to write, by a table of places, and a
//! value that the server would put there by itself, which changes nothing.
//!
//! What this half does not see: a change to a field that the render has, which is the declared half's
//! ([`crate::declared`]); an addition to a list that is one value to the apiserver (rules of a Role, egress of a
//! NetworkPolicy) where the render has that list too, likewise the declared half's; and what nobody owns, that is
//! the server's defaults. An object whose `managedFields` somebody emptied has no owners to go by:
//! [`is_ownership_lost`] tells, and the next apply gives every field an owner again. A field set through another
//! API version than the live object is read in, under a name that only that version has, is not found.

mod expected;
mod ownership;
mod tables;

use std::collections::BTreeMap;

use provost_manifest::object::GroupVersionKind;
use provost_manifest::path::{FieldPath, Segment};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use expected::Expected;
use ownership::{Owner, Step};

/// A field on a live object that did not come from the render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignField {
    /// Where it is on the live object; an added element of a list as a whole.
    pub path: FieldPath,
    /// What to remove to be rid of it: itself, or the outermost field that the render lacks too, so that a probe
    /// goes as a whole and not one by one, leaving what the server would refuse.
    pub root: FieldPath,
    /// Who says to have set it: the last of them, if several.
    pub manager: Manager,
}

/// An entry of `managedFields`: what a client says of itself, not who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// The field manager's name.
    pub name: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource it wrote through; empty for the object itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
}

/// Every field of the live object that did not come from the render, in the order of their paths.
///
/// The render must be of the live object's API version, with namespace and owner label as they are applied.
pub fn fields(rendered: &Value, live: &Value) -> Vec<ForeignField> {
    let Some(kind) = GroupVersionKind::of(live) else {
        return Vec::new();
    };
    let rendered = with_encoded_strings(rendered);
    let mut search = Search {
        expected: Expected::of(&kind, &rendered, live),
        path: FieldPath::root(),
        kept: Vec::new(),
        found: BTreeMap::new(),
    };
    let mut owners = ownership::owners(live);
    // The last one to have set a field is the one to name.
    owners.sort_by(|one, other| one.manager.time.cmp(&other.manager.time));
    for owner in &owners {
        search.visit(owner, owner.fields, live, Rendered::of(Some(&rendered), 0));
    }
    search.find_older_names(live);
    search.into_fields()
}

/// Whether nothing on the object says any more that `manager` applied it, although it did: somebody emptied or
/// rewrote `managedFields`, and what they added meanwhile has no owner. Applying again gives every field an owner.
pub fn is_ownership_lost(live: &Value, manager: &str) -> bool {
    !ownership::owners(live)
        .iter()
        .any(|owner| owner.manager.name == manager && owner.manager.operation == "Apply")
}

/// The fields of the live object that these managers say to have set, the innermost of each.
pub fn owned_by(live: &Value, managers: &[String]) -> Vec<FieldPath> {
    let mut found = Vec::new();
    for owner in ownership::owners(live) {
        if managers.contains(&owner.manager.name) {
            collect_owned(owner.fields, live, &FieldPath::root(), &mut found);
        }
    }
    found
}

fn collect_owned(fields: &Map<String, Value>, live: &Value, path: &FieldPath, found: &mut Vec<FieldPath>) {
    for (step, below) in fields {
        let Some((segment, value, _)) = Step::parse(step).and_then(|step| step.resolve(live, None)) else {
            continue;
        };
        let mut path = path.clone();
        let is_element = matches!(segment, Segment::Index(_));
        match segment {
            Segment::Key(key) => path.push_key(key),
            Segment::Index(index) => path.push_index(index),
        }
        let below = below.as_object().filter(|below| !below.is_empty());
        // Who made an element of a list (`.` in it) owns it as a whole.
        match below {
            Some(below) if !(is_element && below.contains_key(".")) => {
                collect_owned(below, value, &path, found);
            }
            _ => found.push(path),
        }
    }
}

/// A Secret's `stringData` is written only; on the live object it is in `data`.
fn with_encoded_strings(rendered: &Value) -> Value {
    let mut rendered = rendered.clone();
    if let Some(Value::Object(strings)) = rendered
        .as_object_mut()
        .and_then(|object| object.remove("stringData"))
    {
        let keys = strings.into_iter().map(|(key, _)| (key, Value::from("")));
        match rendered.get_mut("data").and_then(Value::as_object_mut) {
            // Only what is there counts here, not what it is.
            Some(data) => data.extend(keys),
            None => rendered["data"] = Value::Object(keys.collect()),
        }
    }
    rendered
}

/// What the render has at the place where the search is.
#[derive(Clone, Copy)]
struct Rendered<'v> {
    value: Option<&'v Value>,
    /// How many steps down the render still had something.
    known_depth: usize,
}

/// A search through what each owner says to have set.
struct Search<'v> {
    expected: Expected<'v>,
    path: FieldPath,
    /// Owned by controllers: must not go together with what is around it.
    kept: Vec<FieldPath>,
    found: BTreeMap<FieldPath, (usize, Manager)>,
}

// === impl Rendered ===

impl<'v> Rendered<'v> {
    fn of(value: Option<&'v Value>, depth: usize) -> Self {
        Self {
            // In an apply, null is as good as nothing.
            value: value.filter(|value| !value.is_null()),
            known_depth: depth,
        }
    }

    fn below(self, value: Option<&'v Value>) -> Self {
        let below = Self::of(value, self.known_depth + 1);
        if below.value.is_some() {
            below
        } else {
            Self { value: None, ..self }
        }
    }
}

// === impl Search ===

impl<'v> Search<'v> {
    fn visit(
        &mut self,
        owner: &Owner<'v>,
        fields: &'v Map<String, Value>,
        live: &'v Value,
        rendered: Rendered<'_>,
    ) {
        for (step, below) in fields {
            let Some((segment, live, in_render)) =
                Step::parse(step).and_then(|step| step.resolve(live, rendered.value))
            else {
                // The owner itself (`.`), or something that has gone since.
                continue;
            };
            let is_element = matches!(segment, Segment::Index(_));
            self.push(segment);
            let rendered = rendered.below(in_render);
            let below = below.as_object().filter(|below| !below.is_empty());
            if rendered.value.is_some() {
                if let Some(below) = below {
                    self.visit(owner, below, live, rendered);
                }
            } else if self.expected.is_by_controller(&self.path, live) {
                self.kept.push(self.path.clone());
            } else if self.expected.is_default(&self.path, live) {
                // The server would put it there by itself.
            } else if let Some(below) = below.filter(|_| !is_element) {
                self.visit(owner, below, live, rendered);
            } else {
                let found = (rendered.known_depth, owner.manager.clone());
                self.found.insert(self.path.clone(), found);
            }
            self.path.pop();
        }
    }

    /// Where the server keeps two names of one field equal, either alone would bring back the other.
    fn find_older_names(&mut self, live: &Value) {
        let older = self.found.iter().filter_map(|(path, found)| {
            let older = self.expected.older_name(path)?;
            older.get(live).is_some().then(|| (older, found.clone()))
        });
        let older: Vec<_> = older.collect();
        self.found.extend(older);
    }

    fn push(&mut self, segment: Segment) {
        match segment {
            Segment::Key(key) => self.path.push_key(key),
            Segment::Index(index) => self.path.push_index(index),
        }
    }

    fn into_fields(self) -> Vec<ForeignField> {
        let mut fields: Vec<ForeignField> = Vec::with_capacity(self.found.len());
        for (path, (known_depth, manager)) in &self.found {
            // In an added element everything is added: it is named once.
            if fields.last().is_some_and(|last| path.starts_with(&last.path)) {
                continue;
            }
            fields.push(ForeignField {
                root: self.root_of(path, *known_depth),
                path: path.clone(),
                manager: manager.clone(),
            });
        }
        fields
    }

    /// The outermost field around the path that the render lacks and that holds nothing of a controller's.
    fn root_of(&self, path: &FieldPath, known_depth: usize) -> FieldPath {
        let mut root = path.clone();
        let mut around = path.clone();
        while around.pop().is_some() && around.segments().len() > known_depth.max(1) {
            match around.segments().last() {
                Some(Segment::Key(key)) if !is_open_map(key) => {}
                Some(Segment::Index(_)) => continue,
                _ => break,
            }
            if self.kept.iter().any(|kept| kept.starts_with(&around)) {
                break;
            }
            root = around.clone();
        }
        root
    }
}

/// Maps whose keys have nothing to do with each other, and the frames of an object: these stay.
fn is_open_map(key: &str) -> bool {
    matches!(
        key,
        "labels"
            | "annotations"
            | "data"
            | "binaryData"
            | "matchLabels"
            | "nodeSelector"
            | "requests"
            | "limits"
            | "hard"
            | "parameters"
            | "metadata"
            | "spec"
            | "template"
            | "status"
    )
}

#[cfg(test)]
mod tests;
