//! Context entries: named values that a rule declares, loaded when they are first used.

use provost_expression::{Budget, Datum, EvalError};
use serde_json::Value;

use super::{Call, View};
use crate::request::Key;
use crate::template::{Template, TextTemplate, with_floats};

/// A rule, or a foreach, has at most this many context entries: an entry may need all those before it.
pub(crate) const MAX_ENTRIES: usize = 64;

/// An entry of a context.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) source: Source,
}

/// Where an entry's value comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Variable {
        value: Option<Template>,
        path: Option<TextTemplate>,
        default: Option<Template>,
    },
    ConfigMap {
        namespace: TextTemplate,
        name: TextTemplate,
    },
    ApiCall {
        call: Call,
        select: Option<TextTemplate>,
        default: Option<Template>,
    },
    GlobalReference {
        name: TextTemplate,
        select: Option<TextTemplate>,
    },
}

impl Entry {
    /// Whether its value comes from outside of the policy and the request.
    pub(crate) fn is_fetched(&self) -> bool {
        !matches!(self.source, Source::Variable { .. })
    }

    /// The value; `view` sees only the entries before this one.
    pub(super) fn load(&self, view: &View<'_>, budget: &mut Budget) -> Result<Datum<'static>, EvalError> {
        if self.is_fetched() {
            if let Some(value) = view.shared().stated(&self.name) {
                return Ok(Datum::from(with_floats(value.clone())));
            }
            if view.shared().is_stated_unknown(&self.name) {
                return Err(EvalError::UnknownKey {
                    key: self.name.clone(),
                });
            }
        }
        let loaded = match &self.source {
            Source::Variable { value, path, default } => {
                variable(value.as_ref(), path.as_ref(), default.as_ref(), view, budget)
            }
            Source::ConfigMap { namespace, name } => config_map(namespace, name, view, budget),
            Source::ApiCall {
                call,
                select,
                default,
            } => {
                let key = call.key(view, budget);
                let answer = key.and_then(|key| view.shared().fetched(key));
                match (answer, default) {
                    (Err(error), Some(default)) if !error.is_final() => complete(default, view, budget),
                    (answer, _) => self::select(answer?, select.as_ref(), view, budget),
                }
            }
            Source::GlobalReference { name, select } => {
                let name = name.text(view, budget).map_err(|halt| view.error(halt))?;
                let found = view.shared().fetched(Key::GlobalContext(name))?;
                self::select(found, select.as_ref(), view, budget)
            }
        };
        let value = loaded.map_err(|error| match error {
            EvalError::Scope(_) | EvalError::UnknownKey { .. } => {
                EvalError::Scope(format!("context entry {}: {error}", self.name))
            }
            other => other,
        })?;
        Ok(Datum::from(with_floats(value)))
    }
}

fn variable(
    value: Option<&Template>,
    path: Option<&TextTemplate>,
    default: Option<&Template>,
    view: &View<'_>,
    budget: &mut Budget,
) -> Result<Value, EvalError> {
    let value = value.map(|value| complete(value, view, budget)).transpose()?;
    let found = match (value, path) {
        (Some(value), None) => value,
        (value, Some(path)) => {
            let inside_value = value.is_some();
            match (searched(value, path, view, budget), default) {
                (Err(error), _) if error.is_final() => return Err(error),
                (Err(_), Some(default)) => complete(default, view, budget)?,
                // A null found inside of a value is an error, with a default too.
                (Ok(Value::Null), Some(default)) if !inside_value => complete(default, view, budget)?,
                (found, _) => found?,
            }
        }
        (None, None) => default.map_or(Ok(Value::Null), |default| complete(default, view, budget))?,
    };
    if found.is_null() {
        return Err(EvalError::Scope("its value is null".to_owned()));
    }
    Ok(found)
}

/// What `path` finds in `value`, or in what is visible.
fn searched(
    value: Option<Value>,
    path: &TextTemplate,
    view: &View<'_>,
    budget: &mut Budget,
) -> Result<Value, EvalError> {
    if let Some(value) = value {
        return select(&value, Some(path), view, budget);
    }
    // Unlike a variable, a path means the new object also on a deletion.
    let path = path.text(view, budget).map_err(|halt| view.error(halt))?;
    let expression = provost_expression::parse(&path).map_err(|error| EvalError::Scope(error.to_string()))?;
    view.search(&expression, budget)?.into_value(budget)
}

/// What an optional expression finds in a value.
fn select(
    value: &Value,
    path: Option<&TextTemplate>,
    view: &View<'_>,
    budget: &mut Budget,
) -> Result<Value, EvalError> {
    let Some(path) = path else {
        return Ok(value.clone());
    };
    let path = path.text(view, budget).map_err(|halt| view.error(halt))?;
    let expression = provost_expression::parse(&path).map_err(|error| EvalError::Scope(error.to_string()))?;
    let found = expression.search(value, budget, &view.shared().environment)?;
    found.into_value(budget)
}

fn complete(template: &Template, view: &View<'_>, budget: &mut Budget) -> Result<Value, EvalError> {
    template.complete(view, budget).map_err(|halt| view.error(halt))
}

/// A namespaced Policy reads only ConfigMaps of its own namespace.
fn config_map(
    namespace: &TextTemplate,
    name: &TextTemplate,
    view: &View<'_>,
    budget: &mut Budget,
) -> Result<Value, EvalError> {
    let mut namespace = namespace.text(view, budget).map_err(|halt| view.error(halt))?;
    if let Some(own) = view.shared().confined_to {
        if namespace.is_empty() {
            own.clone_into(&mut namespace);
        } else if namespace != own {
            return Err(EvalError::Scope(format!(
                "a Policy in namespace {own} may not read a ConfigMap of namespace {namespace}"
            )));
        }
    }
    if namespace.is_empty() {
        return Err(EvalError::Scope("the ConfigMap's namespace is empty".to_owned()));
    }
    let name = name.text(view, budget).map_err(|halt| view.error(halt))?;
    view.shared().fetched(Key::ConfigMap { namespace, name }).cloned()
}
