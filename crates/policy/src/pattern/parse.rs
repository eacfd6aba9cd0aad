//! From the JSON of a pattern to its compiled form.

use std::collections::HashMap;

use provost_manifest::wildcard::{Wildcard, WildcardError, has_wildcard};
use serde_json::{Map, Value};

use super::{Anchor, Entry, ListNode, MapNode, Node, Pattern, Scalar};

/// How number literals of a pattern compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// As they are written (`pattern`).
    AsWritten,
    /// All as floats (`anyPattern`).
    Floats,
}

/// Where in a pattern a map stands; labels and annotations have wildcards in their keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Metadata,
    Labels,
}

struct Compiler {
    numbers: Numbers,
    /// The number of each `(k)` and `^(k)`, by its whole text.
    tracked: HashMap<String, usize>,
}

impl Pattern {
    /// Compiles a pattern without variables.
    pub(crate) fn compile(pattern: &Value, numbers: Numbers) -> Result<Self, WildcardError> {
        let mut compiler = Compiler {
            numbers,
            tracked: HashMap::new(),
        };
        let root = compiler.node(pattern, Place::Elsewhere)?;
        Ok(Self {
            root,
            tracked: compiler.tracked.len(),
        })
    }
}

impl Compiler {
    fn node(&mut self, pattern: &Value, place: Place) -> Result<Node, WildcardError> {
        Ok(match pattern {
            Value::Object(map) => Node::Map(self.map(map, place)?),
            Value::Array(list) => Node::List(self.list(list)?),
            scalar => Node::Scalar(Scalar::compile(scalar, self.numbers)?),
        })
    }

    fn list(&mut self, list: &[Value]) -> Result<ListNode, WildcardError> {
        Ok(match list.first() {
            None => ListNode::Empty,
            Some(Value::Object(map)) => ListNode::Each(self.map(map, Place::Elsewhere)?),
            Some(Value::Array(_)) => {
                let nodes = list.iter().map(|element| self.node(element, Place::Elsewhere));
                ListNode::Positional(nodes.collect::<Result<_, _>>()?)
            }
            Some(scalar) => ListNode::Scalar(Scalar::compile(scalar, self.numbers)?),
        })
    }

    fn map(&mut self, map: &Map<String, Value>, place: Place) -> Result<MapNode, WildcardError> {
        let mut keys: Vec<(usize, (&String, &Value))> = map.iter().enumerate().collect();
        keys.sort_unstable_by_key(|(_, (text, _))| text.as_str());
        let mut compiled = MapNode::default();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (position, (text, value)) in keys {
            if place == Place::Labels && !value.is_string() {
                // Labels and annotations are text; the peer drops other entries when it expands wildcards.
                continue;
            }
            let entry = Entry {
                position,
                ..self.entry(text, value, place)?
            };
            if entry.anchor.decides_first() {
                compiled.anchored.push(entry);
            } else if entry.anchor == Anchor::Global || holds_anchor(value) {
                first.push(entry);
            } else {
                last.push(entry);
            }
        }
        first.reverse();
        first.append(&mut last);
        compiled.fields = first;
        Ok(compiled)
    }

    fn entry(&mut self, text: &str, value: &Value, place: Place) -> Result<Entry, WildcardError> {
        let (anchor, key) = match Anchor::split(text) {
            (Anchor::Addition, _) => (Anchor::Plain, text),
            split => split,
        };
        let below = match (place, key) {
            (Place::Metadata, "labels" | "annotations") => Place::Labels,
            (Place::Elsewhere, "metadata") => Place::Metadata,
            _ => Place::Elsewhere,
        };
        let node = match (anchor, value) {
            (Anchor::Existence, Value::Array(maps)) => Node::Existence(
                maps.iter()
                    .filter_map(Value::as_object)
                    .map(|map| self.map(map, Place::Elsewhere))
                    .collect::<Result<_, _>>()?,
            ),
            _ => self.node(value, below)?,
        };
        let next = self.tracked.len();
        let tracked = matches!(anchor, Anchor::Condition | Anchor::Existence)
            .then(|| *self.tracked.entry(text.to_owned()).or_insert(next));
        let is_wildcard = place == Place::Labels && has_wildcard(key);
        Ok(Entry {
            position: 0,
            anchor,
            key: key.to_owned(),
            node,
            anything: anchor == Anchor::Plain && value == "*",
            wildcard: is_wildcard.then(|| Wildcard::new(key)).transpose()?,
            tracked,
        })
    }
}

/// Whether some key at or below `value` bears an anchor.
fn holds_anchor(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(text, value)| Anchor::split(text).0 != Anchor::Plain || holds_anchor(value)),
        Value::Array(list) => list.iter().any(holds_anchor),
        _ => false,
    }
}
