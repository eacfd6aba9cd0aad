//! `metadata.managedFields` read: who says to have set which field.

use provost_manifest::path::Segment;
use serde_json::{Map, Value};

use super::Manager;

/// An entry of `managedFields`.
pub(super) struct Owner<'v> {
    pub(super) manager: Manager,
    /// The fields, in the notation of `fieldsV1`.
    pub(super) fields: &'v Map<String, Value>,
}

/// One step of `fieldsV1`.
pub(super) enum Step<'v> {
    /// `f:name`: a key of a map.
    Field(&'v str),
    /// `k:{"name":"web"}`: the element of a list with these keys.
    Keys(Map<String, Value>),
    /// `v:"value"`: the element of a set.
    Element(Value),
    /// `i:0`: the element at an index.
    At(usize),
}

/// Every entry that tells fields of the object itself; that of the status is nobody's business here.
pub(super) fn owners(live: &Value) -> Vec<Owner<'_>> {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .filter_map(Owner::of)
        .filter(|owner| owner.manager.subresource != "status")
        .collect()
}

// === impl Owner ===

impl<'v> Owner<'v> {
    fn of(entry: &'v Value) -> Option<Self> {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        Some(Self {
            manager: Manager {
                name: text("manager"),
                operation: text("operation"),
                subresource: text("subresource"),
                time: text("time"),
            },
            fields: entry["fieldsV1"].as_object()?,
        })
    }
}

// === impl Step ===

impl<'v> Step<'v> {
    /// `None` for `.`, the owner of what is around, and for what is not in this notation.
    pub(super) fn parse(step: &'v str) -> Option<Self> {
        let (kind, rest) = step.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest)),
            "k" => serde_json::from_str(rest).ok().map(Self::Keys),
            "v" => serde_json::from_str(rest).ok().map(Self::Element),
            "i" => rest.parse().ok().map(Self::At),
            _ => None,
        }
    }

    /// The step as it is in the live object, its value there, and its counterpart in the render.
    pub(super) fn resolve<'r>(
        &self,
        live: &'v Value,
        rendered: Option<&'r Value>,
    ) -> Option<(Segment, &'v Value, Option<&'r Value>)> {
        if let Self::Field(name) = self {
            let value = live.as_object()?.get(*name)?;
            let counterpart = rendered.and_then(|rendered| rendered.get(*name));
            return Some((Segment::Key((*name).to_owned()), value, counterpart));
        }
        let items = live.as_array()?;
        let index = match self {
            Self::At(index) => *index,
            _ => items.iter().position(|item| self.is(item, false))?,
        };
        let counterpart = rendered
            .and_then(Value::as_array)
            .and_then(|rendered| match self {
                Self::At(index) => rendered.get(*index),
                _ => rendered.iter().find(|item| self.is(item, true)),
            });
        Some((Segment::Index(index), items.get(index)?, counterpart))
    }

    /// Whether an element of a list is meant. In a render a key may be left out where the server has a default for
    /// it (a port's protocol).
    fn is(&self, item: &Value, may_lack_keys: bool) -> bool {
        match self {
            Self::Keys(keys) => {
                let mut has_one = false;
                keys.iter().all(|(key, wanted)| match item.get(key) {
                    Some(value) => {
                        has_one = true;
                        value == wanted
                    }
                    None => may_lack_keys,
                }) && has_one
            }
            Self::Element(value) => item == value,
            Self::Field(_) | Self::At(_) => false,
        }
    }
}
