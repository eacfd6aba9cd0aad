//! What an expression gives over an object: values, and the paths of those that lie in it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use provost_manifest::path::{FieldPath, Segment};
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{Comparison, Node, OutOfSteps};

/// A value, and where it lies in the object; `None` where it was made.
#[derive(Clone)]
struct Item<'v> {
    path: Option<FieldPath>,
    value: Cow<'v, Value>,
}

type Items<'v> = Result<Vec<Item<'v>>, OutOfSteps>;

pub(super) struct Evaluator {
    steps: usize,
    /// Those that were compiled already; `None` for a pattern that is none.
    patterns: HashMap<String, Option<Regex>>,
}

/// Steps that a pattern costs to compile: it takes that much longer than looking at a value.
const STEPS_OF_PATTERN: usize = 2_000;
/// The largest pattern, compiled.
const MAX_PATTERN_BYTES: usize = 64 * 1024;

// === impl Evaluator ===

impl Evaluator {
    pub(super) fn new(steps: usize) -> Self {
        Self {
            steps,
            patterns: HashMap::new(),
        }
    }

    pub(super) fn paths(&mut self, node: &Node, object: &Value) -> Result<Vec<FieldPath>, OutOfSteps> {
        let root = Item {
            path: Some(FieldPath::root()),
            value: Cow::Borrowed(object),
        };
        let found = self
            .evaluate(node, &root)?
            .into_iter()
            .filter_map(|item| item.path);
        // A field that is not there has a path in jq, and nothing to ignore. The object itself stays.
        let mut paths: Vec<_> = found
            .filter(|path| !path.is_root() && path.get(object).is_some())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    fn spend(&mut self, steps: usize) -> Result<(), OutOfSteps> {
        self.steps = self.steps.checked_sub(steps).ok_or(OutOfSteps)?;
        Ok(())
    }

    fn evaluate<'v>(&mut self, node: &Node, input: &Item<'v>) -> Items<'v> {
        self.spend(1)?;
        match node {
            Node::Identity => Ok(vec![input.clone()]),
            Node::Recurse => self.recurse(input),
            Node::Literal(value) => Ok(vec![Item::made(value.clone())]),
            Node::Index(of, index) => {
                let mut found = Vec::new();
                for of in self.evaluate(of, input)? {
                    for index in self.evaluate(index, input)? {
                        self.spend(1)?;
                        found.extend(of.at(&index.value));
                    }
                }
                Ok(found)
            }
            Node::Each(of) => {
                let mut found = Vec::new();
                for of in self.evaluate(of, input)? {
                    self.each(&of, &mut found)?;
                }
                Ok(found)
            }
            Node::Pipe(left, right) => {
                let mut found = Vec::new();
                for item in self.evaluate(left, input)? {
                    found.extend(self.evaluate(right, &item)?);
                }
                Ok(found)
            }
            Node::Comma(left, right) => {
                let mut found = self.evaluate(left, input)?;
                found.extend(self.evaluate(right, input)?);
                Ok(found)
            }
            Node::Alternative(left, right) => {
                let mut found = self.evaluate(left, input)?;
                found.retain(|item| is_true(&item.value));
                if found.is_empty() {
                    self.evaluate(right, input)
                } else {
                    Ok(found)
                }
            }
            Node::And(left, right) => self.both(left, right, input, false),
            Node::Or(left, right) => self.both(left, right, input, true),
            Node::Compare(comparison, left, right) => self.compare(*comparison, left, right, input),
            Node::If(condition, then, otherwise) => {
                let mut found = Vec::new();
                for item in self.evaluate(condition, input)? {
                    let branch = if is_true(&item.value) { then } else { otherwise };
                    found.extend(self.evaluate(branch, input)?);
                }
                Ok(found)
            }
            Node::Array(None) => Ok(vec![Item::made(Value::Array(Vec::new()))]),
            Node::Array(Some(items)) => {
                let mut values = Vec::new();
                for item in self.evaluate(items, input)? {
                    self.spend(provost_manifest::bounds::nodes(&item.value))?;
                    values.push(item.value.into_owned());
                }
                Ok(vec![Item::made(Value::Array(values))])
            }
            Node::Call(name, arguments) => self.call(name, arguments, input),
        }
    }

    fn each<'v>(&mut self, of: &Item<'v>, found: &mut Vec<Item<'v>>) -> Result<(), OutOfSteps> {
        match &*of.value {
            Value::Array(items) => {
                self.spend(items.len())?;
                found.extend((0..items.len()).filter_map(|index| of.child(&Segment::Index(index))));
            }
            Value::Object(map) => {
                self.spend(map.len())?;
                found.extend(map.keys().filter_map(|key| of.child(&Segment::Key(key.clone()))));
            }
            _ => {}
        }
        Ok(())
    }

    /// The value and everything below it. Values nest no deeper than a reader lets them.
    fn recurse<'v>(&mut self, input: &Item<'v>) -> Items<'v> {
        let mut found = vec![input.clone()];
        let mut next = 0;
        while next < found.len() {
            let item = found[next].clone();
            self.each(&item, &mut found)?;
            next += 1;
        }
        Ok(found)
    }

    /// `and` (`decides` is false) and `or` (true): the left side decides alone where it is so.
    fn both<'v>(&mut self, left: &Node, right: &Node, input: &Item<'v>, decides: bool) -> Items<'v> {
        let mut found = Vec::new();
        for left in self.evaluate(left, input)? {
            if is_true(&left.value) == decides {
                found.push(Item::made(decides.into()));
                continue;
            }
            for right in self.evaluate(right, input)? {
                found.push(Item::made(is_true(&right.value).into()));
            }
        }
        Ok(found)
    }

    fn compare<'v>(
        &mut self,
        comparison: Comparison,
        left: &Node,
        right: &Node,
        input: &Item<'v>,
    ) -> Items<'v> {
        let mut found = Vec::new();
        for right in self.evaluate(right, input)? {
            for left in self.evaluate(left, input)? {
                self.spend(provost_manifest::bounds::nodes(&left.value))?;
                let holds = match (comparison, order(&left.value, &right.value)) {
                    (Comparison::Equal, order) => order == Ordering::Equal,
                    (Comparison::NotEqual, order) => order != Ordering::Equal,
                    (Comparison::Less, order) => order == Ordering::Less,
                    (Comparison::LessOrEqual, order) => order != Ordering::Greater,
                    (Comparison::Greater, order) => order == Ordering::Greater,
                    (Comparison::GreaterOrEqual, order) => order != Ordering::Less,
                };
                found.push(Item::made(holds.into()));
            }
        }
        Ok(found)
    }

    fn call<'v>(&mut self, name: &str, arguments: &[Node], input: &Item<'v>) -> Items<'v> {
        match (name, arguments) {
            ("empty", []) => Ok(Vec::new()),
            ("recurse", []) => self.recurse(input),
            ("select", [condition]) => {
                let conditions = self.evaluate(condition, input)?;
                let times = conditions.iter().filter(|item| is_true(&item.value)).count();
                Ok(vec![input.clone(); times.min(1)])
            }
            ("first", [of]) => Ok(self.evaluate(of, input)?.into_iter().take(1).collect()),
            ("last", [of]) => Ok(self.evaluate(of, input)?.pop().into_iter().collect()),
            ("any" | "all", _) => self.quantify(name == "any", arguments, input),
            ("getpath", [path]) => {
                let mut found = Vec::new();
                for path in self.evaluate(path, input)? {
                    let mut at = Some(input.clone());
                    for step in path.value.as_array().into_iter().flatten() {
                        at = at.and_then(|at| at.at(step));
                    }
                    found.extend(at);
                }
                Ok(found)
            }
            (name, []) => Ok(simple(name, &input.value).map(Item::made).into_iter().collect()),
            (name, [argument, ..]) => {
                let mut found = Vec::new();
                for argument in self.evaluate(argument, input)? {
                    self.spend(provost_manifest::bounds::nodes(&input.value))?;
                    let value = match name {
                        "test" => self.test(&input.value, &argument.value)?,
                        _ => with_argument(name, &input.value, &argument.value),
                    };
                    found.extend(value.map(Item::made));
                }
                Ok(found)
            }
        }
    }

    /// Whether a text has what the pattern describes.
    fn test(&mut self, input: &Value, pattern: &Value) -> Result<Option<Value>, OutOfSteps> {
        let (Some(text), Some(pattern)) = (input.as_str(), pattern.as_str()) else {
            return Ok(None);
        };
        if !self.patterns.contains_key(pattern) {
            self.spend(STEPS_OF_PATTERN)?;
            let regex = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build();
            self.patterns.insert(pattern.to_owned(), regex.ok());
        }
        let regex = self.patterns.get(pattern).and_then(Option::as_ref);
        Ok(regex.map(|regex| regex.is_match(text).into()))
    }

    fn quantify<'v>(&mut self, is_any: bool, arguments: &[Node], input: &Item<'v>) -> Items<'v> {
        let mut items = Vec::new();
        self.each(input, &mut items)?;
        let mut holds = Vec::new();
        for item in &items {
            match arguments {
                [condition] => holds.extend(
                    self.evaluate(condition, item)?
                        .iter()
                        .map(|item| is_true(&item.value)),
                ),
                _ => holds.push(is_true(&item.value)),
            }
        }
        let holds = if is_any {
            holds.contains(&true)
        } else {
            !holds.contains(&false)
        };
        Ok(vec![Item::made(holds.into())])
    }
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// jq's order of all values: by type, then by value.
fn order(left: &Value, right: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    };
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left
                .as_f64()
                .partial_cmp(&right.as_f64())
                .unwrap_or(Ordering::Equal),
        },
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let unequal = left.iter().zip(right).map(|(left, right)| order(left, right));
            unequal
                .into_iter()
                .find(|order| order.is_ne())
                .unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        (Value::Object(left), Value::Object(right)) => {
            let sorted = |map: &serde_json::Map<String, Value>| {
                let mut entries: Vec<_> = map
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                entries.sort_by(|one, other| one.0.cmp(&other.0));
                entries
            };
            let (left, right) = (sorted(left), sorted(right));
            let keys = left
                .iter()
                .map(|(key, _)| key)
                .cmp(right.iter().map(|(key, _)| key));
            let values = left
                .iter()
                .zip(&right)
                .map(|((_, left), (_, right))| order(left, right));
            keys.then_with(|| {
                values
                    .into_iter()
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            })
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Functions of the input alone; `None` where jq would stop with an error.
fn simple(name: &str, input: &Value) -> Option<Value> {
    Some(match name {
        "not" => Value::from(!is_true(input)),
        "length" => match input {
            Value::Null => Value::from(0),
            Value::Bool(_) => return None,
            Value::Number(number) => Value::from(number.as_f64()?.abs()),
            Value::String(text) => Value::from(text.chars().count()),
            Value::Array(items) => Value::from(items.len()),
            Value::Object(map) => Value::from(map.len()),
        },
        "keys" => match input {
            Value::Array(items) => Value::from((0..items.len()).collect::<Vec<_>>()),
            Value::Object(map) => {
                let mut keys: Vec<_> = map.keys().cloned().collect();
                keys.sort_unstable();
                Value::from(keys)
            }
            _ => return None,
        },
        "type" => Value::from(match input {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }),
        "tostring" => match input {
            Value::String(_) => input.clone(),
            other => Value::from(other.to_string()),
        },
        "ascii_downcase" => Value::from(input.as_str()?.to_ascii_lowercase()),
        _ => return None,
    })
}

/// Functions of the input and an argument; `None` where jq would stop with an error.
fn with_argument(name: &str, input: &Value, argument: &Value) -> Option<Value> {
    let texts = || Some((input.as_str()?, argument.as_str()?));
    Some(match name {
        "has" => match (input, argument) {
            (Value::Object(map), Value::String(key)) => map.contains_key(key),
            (Value::Array(items), index) => {
                usize::try_from(index.as_i64()?).is_ok_and(|index| index < items.len())
            }
            _ => return None,
        }
        .into(),
        "contains" => contains(input, argument)?.into(),
        "inside" => contains(argument, input)?.into(),
        "startswith" => texts().map(|(text, start)| text.starts_with(start))?.into(),
        "endswith" => texts().map(|(text, end)| text.ends_with(end))?.into(),
        "index" => texts()
            .and_then(|(text, part)| text.find(part))
            .map_or(Value::Null, Value::from),
        _ => return None,
    })
}

/// Texts contain parts of them, lists and maps what each wanted element is contained in.
fn contains(input: &Value, wanted: &Value) -> Option<bool> {
    Some(match (input, wanted) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(items), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| items.iter().any(|item| contains(item, wanted) == Some(true))),
        (Value::Object(map), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            map.get(key)
                .is_some_and(|value| contains(value, wanted) == Some(true))
        }),
        (one, other) if std::mem::discriminant(one) == std::mem::discriminant(other) => {
            order(one, other) == Ordering::Equal
        }
        _ => return None,
    })
}

// === impl Item ===

impl Item<'_> {
    fn made(value: Value) -> Self {
        Self {
            path: None,
            value: Cow::Owned(value),
        }
    }

    /// `.[index]`: of nothing, nothing; `None` where jq would stop with an error.
    fn at(&self, index: &Value) -> Option<Self> {
        let segment = match (&*self.value, index) {
            (Value::Object(_) | Value::Null, Value::String(key)) => Segment::Key(key.clone()),
            (Value::Array(items), Value::Number(number)) => {
                let index = number.as_i64()?;
                let index = if index < 0 {
                    index + i64::try_from(items.len()).ok()?
                } else {
                    index
                };
                Segment::Index(usize::try_from(index).ok()?)
            }
            (Value::Null, Value::Number(number)) => Segment::Index(usize::try_from(number.as_i64()?).ok()?),
            _ => return None,
        };
        self.child(&segment).or_else(|| {
            let mut path = self.path.clone();
            if let Some(path) = &mut path {
                push(path, &segment);
            }
            Some(Self {
                path,
                value: Cow::Owned(Value::Null),
            })
        })
    }

    /// A child that is there.
    fn child(&self, segment: &Segment) -> Option<Self> {
        let value = match &self.value {
            Cow::Borrowed(value) => Cow::Borrowed(step(value, segment)?),
            Cow::Owned(value) => Cow::Owned(step(value, segment)?.clone()),
        };
        let mut path = self.path.clone();
        if let Some(path) = &mut path {
            push(path, segment);
        }
        Some(Self { path, value })
    }
}

fn step<'v>(value: &'v Value, segment: &Segment) -> Option<&'v Value> {
    match segment {
        Segment::Key(key) => value.as_object()?.get(key),
        Segment::Index(index) => value.as_array()?.get(*index),
    }
}

fn push(path: &mut FieldPath, segment: &Segment) {
    match segment {
        Segment::Key(key) => path.push_key(key.clone()),
        Segment::Index(index) => path.push_index(*index),
    }
}
