//! A JSON value that is borrowed where it can be: what expressions take and give.
//!
//! A datum is cheap to clone. Data built by an expression may share parts, so walking one can take far longer than
//! building it did: whatever walks a datum spends from the [`Budget`].

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::budget::Budget;
use crate::error::EvalError;

/// A JSON value: one that lies elsewhere, or one that was built.
#[derive(Clone, Debug)]
pub enum Datum<'a> {
    /// A value that lies in the root or in the expression.
    Borrowed(&'a Value),
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Text<'a>),
    /// A list.
    List(Arc<Vec<Self>>),
    /// A map.
    Map(Arc<BTreeMap<Text<'a>, Self>>),
}

/// A string that is borrowed or shared.
#[derive(Clone)]
pub enum Text<'a> {
    /// Text that lies elsewhere.
    Borrowed(&'a str),
    /// Text that was built.
    Shared(Arc<str>),
}

/// A datum by type, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum View<'d, 'a> {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(&'d Number),
    /// A string.
    Text(&'d str),
    /// A list.
    List(List<'d, 'a>),
    /// A map.
    Map(Map<'d, 'a>),
}

/// The elements of a list.
#[derive(Clone, Copy, Debug)]
pub enum List<'d, 'a> {
    /// Of a JSON value.
    Values(&'a [Value]),
    /// Of a list that was built.
    Data(&'d [Datum<'a>]),
}

/// The entries of a map.
#[derive(Clone, Copy, Debug)]
pub enum Map<'d, 'a> {
    /// Of a JSON value.
    Values(&'a serde_json::Map<String, Value>),
    /// Of a map that was built.
    Data(&'d BTreeMap<Text<'a>, Datum<'a>>),
}

// === impl Datum ===

impl<'a> Datum<'a> {
    /// The datum by type.
    pub fn view(&self) -> View<'_, 'a> {
        match self {
            Self::Borrowed(Value::Null) | Self::Null => View::Null,
            Self::Borrowed(Value::Bool(value)) | Self::Bool(value) => View::Bool(*value),
            Self::Borrowed(Value::Number(number)) | Self::Number(number) => View::Number(number),
            Self::Borrowed(Value::String(text)) => View::Text(text),
            Self::Borrowed(Value::Array(values)) => View::List(List::Values(values)),
            Self::Borrowed(Value::Object(values)) => View::Map(Map::Values(values)),
            Self::Text(text) => View::Text(text),
            Self::List(data) => View::List(List::Data(data)),
            Self::Map(data) => View::Map(Map::Data(data)),
        }
    }

    /// A finite number; null for one that is not, as JSON has none.
    pub fn number(value: f64) -> Self {
        Number::from_f64(value).map_or(Self::Null, Self::Number)
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.view(), View::Null)
    }

    /// What JMESPath takes for true: all but null, false and what is empty.
    pub fn is_truthy(&self) -> bool {
        match self.view() {
            View::Null => false,
            View::Bool(value) => value,
            View::Number(_) => true,
            View::Text(text) => !text.is_empty(),
            View::List(list) => !list.is_empty(),
            View::Map(map) => !map.is_empty(),
        }
    }

    /// The string, where it is one.
    pub fn as_text(&self) -> Option<Text<'a>> {
        match self {
            Self::Borrowed(Value::String(text)) => Some(Text::Borrowed(text)),
            Self::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The number as a double, where it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self.view() {
            View::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The list, where it is one.
    pub fn as_list(&self) -> Option<List<'_, 'a>> {
        match self.view() {
            View::List(list) => Some(list),
            _ => None,
        }
    }

    /// The map, where it is one.
    pub fn as_map(&self) -> Option<Map<'_, 'a>> {
        match self.view() {
            View::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The name of its type, as `type()` says it.
    pub fn type_name(&self) -> &'static str {
        match self.view() {
            View::Null => "null",
            View::Bool(_) => "boolean",
            View::Number(_) => "number",
            View::Text(_) => "string",
            View::List(_) => "array",
            View::Map(_) => "object",
        }
    }

    /// Whether both are the same JSON, number for number as doubles; the order of keys does not count.
    pub fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, EvalError> {
        budget.step()?;
        Ok(match (self.view(), other.view()) {
            (View::Null, View::Null) => true,
            (View::Bool(left), View::Bool(right)) => left == right,
            (View::Number(left), View::Number(right)) => left == right || left.as_f64() == right.as_f64(),
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
                for (key, left) in left.iter() {
                    match right.get(&key) {
                        Some(right) if left.equals(&right, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        })
    }

    /// A JSON value of its own; a copy of what was borrowed.
    pub fn into_value(self, budget: &mut Budget) -> Result<Value, EvalError> {
        budget.step()?;
        budget.allocate(size_of::<Value>())?;
        Ok(match self.view() {
            View::Null => Value::Null,
            View::Bool(value) => Value::Bool(value),
            View::Number(number) => Value::Number(number.clone()),
            View::Text(text) => {
                budget.allocate(text.len())?;
                Value::String(text.to_owned())
            }
            View::List(list) => Value::Array(
                list.iter()
                    .map(|datum| datum.into_value(budget))
                    .collect::<Result<_, _>>()?,
            ),
            View::Map(map) => {
                let mut values = serde_json::Map::new();
                for (key, datum) in map.iter() {
                    budget.allocate(key.len())?;
                    values.insert(key.to_string(), datum.into_value(budget)?);
                }
                Value::Object(values)
            }
        })
    }
}

impl<'a> From<&'a Value> for Datum<'a> {
    fn from(value: &'a Value) -> Self {
        Self::Borrowed(value)
    }
}

impl From<Value> for Datum<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(values) => Self::List(Arc::new(values.into_iter().map(Self::from).collect())),
            Value::Object(values) => Self::Map(Arc::new(
                values
                    .into_iter()
                    .map(|(key, value)| (key.into(), Self::from(value)))
                    .collect(),
            )),
        }
    }
}

// === impl Text ===

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self)
    }
}

// === impl List ===

impl<'d, 'a> List<'d, 'a> {
    /// How many elements there are.
    pub fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Data(data) => data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element at an index.
    pub fn get(self, index: usize) -> Option<Datum<'a>> {
        match self {
            Self::Values(values) => values.get(index).map(Datum::Borrowed),
            Self::Data(data) => data.get(index).cloned(),
        }
    }

    /// The elements in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Datum<'a>> + use<'d, 'a> {
        (0..self.len()).filter_map(move |index| self.get(index))
    }
}

// === impl Map ===

impl<'d, 'a> Map<'d, 'a> {
    /// How many entries there are.
    pub fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Data(data) => data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(self, key: &str) -> Option<Datum<'a>> {
        match self {
            Self::Values(values) => values.get(key).map(Datum::Borrowed),
            Self::Data(data) => data.get(key).cloned(),
        }
    }

    /// The entries, in no promised order.
    pub fn iter(self) -> Box<dyn Iterator<Item = (Text<'a>, Datum<'a>)> + 'd>
    where
        'a: 'd,
    {
        match self {
            Self::Values(values) => Box::new(
                values
                    .iter()
                    .map(|(key, value)| (Text::Borrowed(key), Datum::Borrowed(value))),
            ),
            Self::Data(data) => Box::new(data.iter().map(|(key, datum)| (key.clone(), datum.clone()))),
        }
    }

    /// The entries, sorted by key.
    pub fn sorted(self) -> Vec<(Text<'a>, Datum<'a>)> {
        let mut entries: Vec<_> = self.iter().collect();
        if matches!(self, Self::Values(_)) {
            entries.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        }
        entries
    }
}
