//! Values of CEL: JSON that is borrowed where it lies, and what expressions make of it.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use provost_manifest::duration::Duration;
use provost_manifest::quantity::Quantity;
use regex::Regex;
use semver::Version;
use serde_json::{Map as JsonMap, Value as Json};

use super::error::Error;
use super::library::{Format, Network, Url};
use crate::budget::Budget;
use crate::datum::{Datum, Text, View as DatumView};

/// A value; cheap to clone.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// JSON that lies in an object, so that its place can be told.
    Json(&'a Json),
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without sign.
    Uint(u64),
    /// A floating-point number.
    Double(f64),
    /// A string.
    Text(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list that was made.
    List(Arc<Vec<Self>>),
    /// A map that was made: entries sorted by key.
    Map(Arc<Vec<(Key<'a>, Self)>>),
    /// An optional value.
    Optional(Option<Arc<Self>>),
    /// A type.
    Type(&'static str),
    /// A span of time.
    Duration(Duration),
    /// A point in time.
    Timestamp(Timestamp),
    /// A regular expression that was compiled with the program.
    Regex(Arc<Regex>),
    /// A Kubernetes quantity.
    Quantity(Quantity),
    /// An IP address.
    Address(IpAddr),
    /// A range of IP addresses.
    Network(Network),
    /// A semantic version.
    Version(Arc<Version>),
    /// A URL.
    Url(Arc<Url>),
    /// A named format of text.
    Format(Format),
}

/// A key of a map. A number is held as a signed one where it fits, as `1`, `1u` and `1.0` are the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number too large for a signed one.
    Uint(u64),
    /// A string.
    Text(Text<'a>),
}

/// A value by type, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum View<'v, 'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'v str),
    List(List<'v, 'a>),
    Map(Map<'v, 'a>),
    /// What JSON does not have.
    Other(&'v Value<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum List<'v, 'a> {
    Json(&'a [Json]),
    Made(&'v [Value<'a>]),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Map<'v, 'a> {
    Json(&'a JsonMap<String, Json>),
    Made(&'v [(Key<'a>, Value<'a>)]),
}

// === impl Value ===

impl<'a> Value<'a> {
    /// A list.
    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    /// A map; the last of entries with one key counts.
    pub(super) fn map(mut entries: Vec<(Key<'a>, Self)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.reverse();
        entries.dedup_by(|a, b| a.0 == b.0);
        entries.reverse();
        Self::Map(Arc::new(entries))
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    pub(super) const NONE: Self = Self::Optional(None);

    pub(super) fn view(&self) -> View<'_, 'a> {
        match self {
            Self::Json(json) => match json {
                Json::Null => View::Null,
                Json::Bool(value) => View::Bool(*value),
                Json::Number(number) => match number.as_i64() {
                    Some(int) => View::Int(int),
                    None => View::Double(number.as_f64().unwrap_or(f64::NAN)),
                },
                Json::String(text) => View::Text(text),
                Json::Array(items) => View::List(List::Json(items)),
                Json::Object(map) => View::Map(Map::Json(map)),
            },
            Self::Null => View::Null,
            Self::Bool(value) => View::Bool(*value),
            Self::Int(value) => View::Int(*value),
            Self::Uint(value) => View::Uint(*value),
            Self::Double(value) => View::Double(*value),
            Self::Text(text) => View::Text(text),
            Self::List(items) => View::List(List::Made(items)),
            Self::Map(entries) => View::Map(Map::Made(entries)),
            other => View::Other(other),
        }
    }

    /// The boolean, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.view() {
            View::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The string, where it is one.
    pub fn as_text(&self) -> Option<Text<'a>> {
        match self {
            Self::Json(Json::String(text)) => Some(Text::Borrowed(text)),
            Self::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self.view() {
            View::Null => "null_type",
            View::Bool(_) => "bool",
            View::Int(_) => "int",
            View::Uint(_) => "uint",
            View::Double(_) => "double",
            View::Text(_) => "string",
            View::List(_) => "list",
            View::Map(_) => "map",
            View::Other(other) => match other {
                Self::Bytes(_) => "bytes",
                Self::Optional(_) => "optional_type",
                Self::Duration(_) => "google.protobuf.Duration",
                Self::Timestamp(_) => "google.protobuf.Timestamp",
                Self::Quantity(_) => "kubernetes.Quantity",
                Self::Address(_) => "net.IP",
                Self::Network(_) => "net.CIDR",
                Self::Version(_) => "kubernetes.Semver",
                Self::Url(_) => "kubernetes.URL",
                Self::Format(_) => "kubernetes.NamedFormat",
                Self::Regex(_) => "string",
                _ => "type",
            },
        }
    }

    /// The value as a key of a map.
    pub(super) fn key(&self) -> Option<Key<'a>> {
        Some(match self.view() {
            View::Bool(value) => Key::Bool(value),
            View::Int(value) => Key::Int(value),
            View::Uint(value) => i64::try_from(value).map_or(Key::Uint(value), Key::Int),
            View::Double(value) => Key::Int(whole(value)?),
            View::Text(_) => Key::Text(self.as_text()?),
            _ => return None,
        })
    }

    /// The field of a map; `None` where there is none, or where this is no map.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        match self.view() {
            View::Map(map) => map.get(name),
            _ => None,
        }
    }

    /// Whether both are equal; numbers of different types are where they are the same number.
    pub(super) fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, Error> {
        budget.step()?;
        Ok(match (self.view(), other.view()) {
            (View::Null, View::Null) => true,
            (View::Bool(left), View::Bool(right)) => left == right,
            (View::Text(left), View::Text(right)) => {
                budget.read(left.len())?;
                left == right
            }
            (View::List(left), View::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(right.iter()) {
                    if !left.equals(&right, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (View::Map(left), View::Map(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (key, value) in left.entries() {
                    match right.at(&key) {
                        Some(other) if value.equals(&other, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (View::Other(left), View::Other(right)) => equal_others(left, right, budget)?,
            (left, right) => numeric_order(&left, &right) == Some(Some(Ordering::Equal)),
        })
    }

    /// How both are ordered: `None` where their types have no order, `Some(None)` where a number is none.
    #[expect(
        clippy::option_option,
        reason = "no order of the types is another thing than NaN"
    )]
    pub(super) fn order(&self, other: &Self) -> Option<Option<Ordering>> {
        match (self.view(), other.view()) {
            (View::Bool(left), View::Bool(right)) => Some(Some(left.cmp(&right))),
            (View::Text(left), View::Text(right)) => Some(Some(left.cmp(right))),
            (View::Other(left), View::Other(right)) => match (left, right) {
                (Self::Bytes(left), Self::Bytes(right)) => Some(Some(left.cmp(right))),
                (Self::Duration(left), Self::Duration(right)) => Some(Some(left.cmp(right))),
                (Self::Timestamp(left), Self::Timestamp(right)) => Some(Some(left.cmp(right))),
                _ => None,
            },
            (left, right) => numeric_order(&left, &right),
        }
    }
}

fn equal_others(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool, Error> {
    Ok(match (left, right) {
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(left)), Value::Optional(Some(right))) => left.equals(right, budget)?,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Quantity(left), Value::Quantity(right)) => left == right,
        (Value::Address(left), Value::Address(right)) => left.to_canonical() == right.to_canonical(),
        (Value::Network(left), Value::Network(right)) => left == right,
        (Value::Version(left), Value::Version(right)) => left.cmp_precedence(right).is_eq(),
        (Value::Url(left), Value::Url(right)) => left == right,
        (Value::Format(left), Value::Format(right)) => left.name() == right.name(),
        _ => false,
    })
}

/// The order of two numbers of any types.
#[expect(
    clippy::option_option,
    reason = "what are no numbers is another thing than NaN"
)]
fn numeric_order(left: &View<'_, '_>, right: &View<'_, '_>) -> Option<Option<Ordering>> {
    let whole = |view: &View<'_, '_>| match view {
        View::Int(value) => Some(i128::from(*value)),
        View::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a comparison with a double is one between doubles"
    )]
    let double = |view: &View<'_, '_>| match view {
        View::Double(value) => Some(*value),
        other => whole(other).map(|value| value as f64),
    };
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(Some(left.cmp(&right))),
        _ => Some(double(left)?.partial_cmp(&double(right)?)),
    }
}

/// The whole number that a double is.
pub(super) fn whole(value: f64) -> Option<i64> {
    /// 2^63, the first double beyond.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

impl<'a> From<Datum<'a>> for Value<'a> {
    fn from(datum: Datum<'a>) -> Self {
        if let Datum::Borrowed(json) = datum {
            return Self::Json(json);
        }
        match datum.view() {
            DatumView::Null => Self::Null,
            DatumView::Bool(value) => Self::Bool(value),
            DatumView::Number(number) => number
                .as_i64()
                .map_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN)), Self::Int),
            DatumView::Text(text) => {
                Self::Text(datum.as_text().unwrap_or_else(|| Text::from(text.to_owned())))
            }
            DatumView::List(list) => Self::list(list.iter().map(Self::from).collect()),
            DatumView::Map(map) => Self::map(
                map.iter()
                    .map(|(key, datum)| (Key::Text(key), Self::from(datum)))
                    .collect(),
            ),
        }
    }
}

// === impl Key ===

impl<'a> From<Key<'a>> for Value<'a> {
    fn from(key: Key<'a>) -> Self {
        match key {
            Key::Bool(value) => Self::Bool(value),
            Key::Int(value) => Self::Int(value),
            Key::Uint(value) => Self::Uint(value),
            Key::Text(text) => Self::Text(text),
        }
    }
}

// === impl List ===

impl<'v, 'a> List<'v, 'a> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(super) fn get(self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Value::Json),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(self) -> impl DoubleEndedIterator<Item = Value<'a>> + use<'v, 'a> {
        (0..self.len()).filter_map(move |index| self.get(index))
    }
}

// === impl Map ===

impl<'v, 'a> Map<'v, 'a> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Json(map) => map.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub(super) fn get(self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(map) => map.get(name).map(Value::Json),
            Self::Made(entries) => {
                let order = |key: &Key<'_>| match key {
                    Key::Text(text) => (**text).cmp(name),
                    // Texts are behind all others.
                    _ => Ordering::Less,
                };
                let index = entries.binary_search_by(|(key, _)| order(key)).ok()?;
                Some(entries[index].1.clone())
            }
        }
    }

    pub(super) fn at(self, key: &Key<'a>) -> Option<Value<'a>> {
        match (key, self) {
            (Key::Text(name), _) => self.get(name),
            (_, Self::Json(_)) => None,
            (key, Self::Made(entries)) => {
                let index = entries.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
                Some(entries[index].1.clone())
            }
        }
    }

    pub(super) fn entries(self) -> Box<dyn Iterator<Item = (Key<'a>, Value<'a>)> + 'v>
    where
        'a: 'v,
    {
        match self {
            Self::Json(map) => Box::new(
                map.iter()
                    .map(|(key, value)| (Key::Text(Text::Borrowed(key)), Value::Json(value))),
            ),
            Self::Made(entries) => Box::new(entries.iter().cloned()),
        }
    }
}
