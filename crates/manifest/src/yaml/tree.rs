//! From text to [`Value`], within bounds.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{MessageFormatter as _, Options, UserMessageFormatter};

use super::{Duplicates, MAX_ALIASES, MAX_DEPTH, MAX_NODES, YamlError};

/// 2^63 as a float: from here on a whole float is no 64-bit integer.
const INTEGER_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Reads one YAML document, and says how many nodes it has; a place in the error counts from the text's own first line.
pub(super) fn read_yaml(text: &str, duplicates: Duplicates) -> Result<(Value, usize), YamlError> {
    let read = match duplicates {
        Duplicates::Refused => match read_quickly(text) {
            Some(Ok(value)) => Ok(value),
            // What is too large is so either way.
            Some(Err(error)) if matches!(error.without_snippet(), serde_saphyr::Error::Budget { .. }) => {
                Err(error)
            }
            Some(Err(_)) | None => read::<false>(text, strict()),
        },
        Duplicates::LastCounts => {
            let mut options = strict();
            options.duplicate_keys = DuplicateKeyPolicy::LastWins;
            read::<true>(text, options)
        }
    };
    read.map_err(|error| yaml_error(&error))
}

/// Reads a document in which no merge key can be; `None` where one may be. Its errors are for the slow way to tell.
///
/// What it saves is the parser's own memory of each map's keys, which only merging needs: the tree below sees
/// duplicates by itself. It is a sixth of all work.
fn read_quickly(text: &str) -> Option<Result<(Value, usize), serde_saphyr::Error>> {
    if text.contains("<<") || text.contains('!') {
        return None;
    }
    let mut options = strict();
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    Some(read::<false>(text, options))
}

fn read<const LAST_COUNTS: bool>(
    text: &str,
    options: Options,
) -> Result<(Value, usize), serde_saphyr::Error> {
    serde_saphyr::from_str_with_options::<Tree<LAST_COUNTS>>(text, options).map(Tree::counted)
}

fn strict() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            // The tree below counts depth and values itself, with aliases expanded and for JSON too; keys count here.
            max_depth: MAX_DEPTH + 1,
            max_nodes: 2 * MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            // Many uses of one anchor are honest; what they expand to is bounded by the nodes.
            enforce_alias_anchor_ratio: false,
        },
    }
}

/// Reads one JSON document, and says how many nodes it has; `None` where the text is no JSON.
pub(super) fn read_json(text: &str, duplicates: Duplicates) -> Option<(Value, usize)> {
    match duplicates {
        Duplicates::Refused => serde_json::from_str::<Tree<false>>(text).map(Tree::counted),
        Duplicates::LastCounts => serde_json::from_str::<Tree<true>>(text).map(Tree::counted),
    }
    .ok()
}

/// A map's key as kubectl spells it: `yes:` becomes `"true"`, `0x10:` becomes `"16"`.
pub(super) fn key_text(scalar: &str) -> Option<String> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<KeyText>(scalar, options)
        .ok()
        .map(|key| key.0)
}

fn yaml_error(error: &serde_saphyr::Error) -> YamlError {
    let (line, column) = error
        .location()
        .map_or((1, 1), |at| (at.line().max(1), at.column().max(1)));
    let message = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key {key:?}"),
        serde_saphyr::Error::NonFiniteFloat { value, .. } => format!("the number {value} is not finite"),
        serde_saphyr::Error::Budget { .. } => "the document is too large or too deeply nested".to_owned(),
        error => UserMessageFormatter.format_message(error).into_owned(),
    };
    YamlError::new(to_usize(line), to_usize(column), message)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A whole document; of a key that stands twice the last counts, or it is refused.
struct Tree<const LAST_COUNTS: bool> {
    value: Value,
    nodes: usize,
}

/// A node of a document, with what is left of the bounds.
#[derive(Clone, Copy)]
struct Node<'b> {
    nodes_left: &'b Cell<usize>,
    depth_left: usize,
    last_counts: bool,
}

struct KeyText(String);

// === impl Tree ===

impl<'de, const LAST_COUNTS: bool> Deserialize<'de> for Tree<LAST_COUNTS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nodes_left = Cell::new(MAX_NODES);
        let root = Node {
            nodes_left: &nodes_left,
            depth_left: MAX_DEPTH,
            last_counts: LAST_COUNTS,
        };
        let value = root.deserialize(deserializer)?;
        Ok(Self {
            value,
            nodes: MAX_NODES - nodes_left.get(),
        })
    }
}

impl<const LAST_COUNTS: bool> Tree<LAST_COUNTS> {
    fn counted(self) -> (Value, usize) {
        (self.value, self.nodes)
    }
}

// === impl Node ===

impl Node<'_> {
    fn child<E: Error>(self) -> Result<Self, E> {
        let depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or_else(|| E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")))?;
        Ok(Self { depth_left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self
            .nodes_left
            .get()
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format_args!("more than {MAX_NODES} fields and values")))?;
        self.nodes_left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML or JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if value.fract() == 0.0 && (-INTEGER_LIMIT..INTEGER_LIMIT).contains(&value) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and inside the range of i64"
            )]
            return Ok(Value::from(value as i64));
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("the number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let child = self.child()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(child)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let child = self.child()?;
        let mut map = Map::new();
        while let Some(KeyText(key)) = entries.next_key()? {
            if !self.last_counts && map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            let value = entries.next_value_seed(child)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

// === impl KeyText ===

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = KeyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key that is text, a number or a boolean")
            }

            fn visit_bool<E>(self, key: bool) -> Result<KeyText, E> {
                Ok(KeyText(key.to_string()))
            }

            fn visit_i64<E>(self, key: i64) -> Result<KeyText, E> {
                Ok(KeyText(key.to_string()))
            }

            fn visit_u64<E>(self, key: u64) -> Result<KeyText, E> {
                Ok(KeyText(key.to_string()))
            }

            fn visit_f64<E>(self, key: f64) -> Result<KeyText, E> {
                Ok(KeyText(key.to_string()))
            }

            fn visit_str<E>(self, key: &str) -> Result<KeyText, E> {
                Ok(KeyText(key.to_owned()))
            }

            fn visit_string<E>(self, key: String) -> Result<KeyText, E> {
                Ok(KeyText(key))
            }
        }

        deserializer.deserialize_any(KeyVisitor)
    }
}
