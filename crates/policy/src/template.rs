//! Documents with variables: parsed once, completed for each request.

use std::collections::HashMap;

use provost_expression::variables::{self, SubstitutionError};
use provost_expression::{Budget, Datum, EvalError, Expression};
use serde_json::{Map, Number, Value};

use crate::context::View;
use crate::matching::Halt;

/// A JSON document that may hold variables.
#[derive(Debug)]
pub(crate) enum Template {
    /// Without variables.
    Static(Value),
    Text(TextTemplate),
    List(Vec<Self>),
    /// Keys may hold variables too.
    Map(Vec<(TextTemplate, Self)>),
}

/// A text that may hold variables.
#[derive(Debug, Default)]
pub(crate) struct TextTemplate {
    raw: String,
    /// The expressions of its variables, by their text. What inserted text brings is parsed when it comes.
    expressions: HashMap<String, Expression>,
}

/// Why a text is no template.
#[derive(Debug, thiserror::Error)]
#[error("{{{{{expression}}}}}: {message}")]
pub(crate) struct TemplateError {
    pub(crate) expression: String,
    pub(crate) message: String,
}

// === impl Template ===

impl Template {
    pub(crate) fn compile(value: &Value) -> Result<Self, TemplateError> {
        if !holds_variable(value) {
            return Ok(Self::Static(value.clone()));
        }
        Ok(match value {
            Value::String(text) => Self::Text(TextTemplate::compile(text)?),
            Value::Array(items) => Self::List(items.iter().map(Self::compile).collect::<Result<_, _>>()?),
            Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| Ok((TextTemplate::compile(key)?, Self::compile(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            scalar => Self::Static(scalar.clone()),
        })
    }

    /// The expression of a document that is one variable.
    pub(crate) fn only_expression(&self) -> Option<&Expression> {
        match self {
            Self::Text(text) => text.only_expression(),
            _ => None,
        }
    }

    /// The document without variables, where it has none.
    pub(crate) fn as_static(&self) -> Option<&Value> {
        match self {
            Self::Static(value) => Some(value),
            _ => None,
        }
    }

    /// The document with every variable replaced. Numbers that come out of variables are floats.
    pub(crate) fn complete(&self, view: &View<'_>, budget: &mut Budget) -> Result<Value, Halt> {
        match self {
            Self::Static(value) => Ok(value.clone()),
            Self::Text(text) => text.value(view, budget),
            Self::List(items) => items.iter().map(|item| item.complete(view, budget)).collect(),
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(key.text(view, budget)?, value.complete(view, budget)?);
                }
                Ok(Value::Object(map))
            }
        }
    }
}

fn holds_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(items) => items.iter().any(holds_variable),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains("{{") || holds_variable(value)),
        _ => false,
    }
}

// === impl TextTemplate ===

impl TextTemplate {
    pub(crate) fn compile(raw: &str) -> Result<Self, TemplateError> {
        let mut expressions = HashMap::new();
        for text in variables::variables(raw) {
            // An expression in which another variable stands is known only once that one is replaced.
            if text.contains("{{") {
                continue;
            }
            let expression = provost_expression::parse(text).map_err(|error| TemplateError {
                expression: text.to_owned(),
                message: error.to_string(),
            })?;
            expressions.insert(text.to_owned(), expression);
        }
        Ok(Self {
            raw: raw.to_owned(),
            expressions,
        })
    }

    pub(crate) fn has_variables(&self) -> bool {
        self.raw.contains("{{")
    }

    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// The expression of a text that is one variable.
    pub(crate) fn only_expression(&self) -> Option<&Expression> {
        self.expressions.get(self.only_variable()?)
    }

    /// What stands between the braces of a text that is one variable and nothing else.
    fn only_variable(&self) -> Option<&str> {
        let inner = self.raw.strip_prefix("{{")?.strip_suffix("}}")?;
        let is_one = !inner.contains("{{") && !inner.contains("}}");
        is_one.then(|| inner.strip_prefix('-').unwrap_or(inner).trim())
    }

    /// The typed value of a text that is one variable; of any other, a string.
    pub(crate) fn value(&self, view: &View<'_>, budget: &mut Budget) -> Result<Value, Halt> {
        let datum = self.datum(view, budget)?;
        let value = datum.into_value(budget).map_err(|error| view.halt(&error))?;
        Ok(with_floats(value))
    }

    /// A text; a variable that is something else is written as JSON.
    pub(crate) fn text(&self, view: &View<'_>, budget: &mut Budget) -> Result<String, Halt> {
        let datum = self.datum(view, budget)?;
        as_text(&datum, budget).map_err(|error| view.halt(&error))
    }

    /// A text in which every variable is one percent-encoded segment of a path.
    pub(crate) fn path(&self, view: &View<'_>, budget: &mut Budget) -> Result<String, Halt> {
        let completed = variables::substitute(&self.raw, budget, |text, budget| {
            let datum = self.evaluate(text, view, budget)?;
            Ok(Datum::Text(encode_segment(&as_text(&datum, budget)?).into()))
        });
        let datum = completed.map_err(|error| halt(view, error))?;
        as_text(&datum, budget).map_err(|error| view.halt(&error))
    }

    fn datum<'a>(&'a self, view: &'a View<'_>, budget: &mut Budget) -> Result<Datum<'a>, Halt> {
        // The commonest form needs no search for variables.
        if let Some(text) = self
            .only_variable()
            .filter(|text| self.expressions.contains_key(*text))
        {
            return self.evaluate(text, view, budget).map_err(|source| {
                let expression = text.to_owned();
                halt(view, SubstitutionError::Variable { expression, source })
            });
        }
        variables::substitute(&self.raw, budget, |text, budget| {
            self.evaluate(text, view, budget)
        })
        .map_err(|error| halt(view, error))
    }

    fn evaluate<'a>(
        &'a self,
        text: &str,
        view: &'a View<'_>,
        budget: &mut Budget,
    ) -> Result<Datum<'a>, EvalError> {
        match self.expressions.get(text) {
            Some(expression) if !(view.is_deletion() && text.contains("request.object")) => {
                view.search(expression, budget)
            }
            _ => view.search_text(text, budget),
        }
    }
}

fn as_text(datum: &Datum<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    match datum.as_text() {
        Some(text) => Ok(text.to_string()),
        None => provost_expression::print::json(datum, budget),
    }
}

fn halt(view: &View<'_>, error: SubstitutionError<EvalError>) -> Halt {
    match error {
        SubstitutionError::Variable { expression, source } => match view.halt(&source) {
            Halt::Error(why) => Halt::Error(format!("variable {{{{{expression}}}}} has no value: {why}")),
            needs @ Halt::Needs(_) => needs,
        },
        SubstitutionError::Budget(error) => view.halt(&error),
        SubstitutionError::Endless => Halt::Error(error.to_string()),
    }
}

/// What comes out of the context has no whole numbers: all are floats, as the language has it.
pub(crate) fn with_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number
            .as_f64()
            .and_then(Number::from_f64)
            .map_or(Value::Null, Value::Number),
        Value::Array(items) => items.into_iter().map(with_floats).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, with_floats(value)))
            .collect(),
        other => other,
    }
}

/// Percent-encodes all that could end a segment of a path, so that no value can lead to another resource.
fn encode_segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
