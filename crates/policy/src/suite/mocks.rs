//! Answers that a suite states in place of the API and of the global context.

use jiff::Timestamp;
use provost_expression::{Budget, Environment, Expression};
use serde_json::Value;

use super::values::{items, list_of};
use super::{FileName, Role};
use crate::fault::Fault;
use crate::request::Input;
use crate::source::Cursor;

/// `apiCallResponses` and `globalContextEntries` of a suite.
#[derive(Debug, Default)]
pub(super) struct Mocks {
    calls: Vec<Call>,
    pub(super) global: Vec<GlobalEntry>,
}

/// The answer to one call.
#[derive(Debug)]
struct Call {
    path: String,
    is_read: bool,
    status: i64,
    body: Value,
}

/// An entry of the global context.
#[derive(Debug)]
pub(super) struct GlobalEntry {
    name: String,
    /// What is stated; `None` where objects of files are.
    data: Option<Value>,
    projections: Vec<(String, Expression)>,
}

impl Mocks {
    /// Reads the mocks of a suite; what files they name is added to `files`.
    pub(super) fn read(root: &Cursor<'_>, files: &mut Vec<FileName>) -> Result<Self, Fault> {
        let calls = list_of(root, "apiCallResponses", Call::read)?;
        let mut global = Vec::new();
        for entry in items(root, "globalContextEntries")? {
            for file in items(&entry, "resourceFiles")? {
                files.push(FileName {
                    role: Role::GlobalContext(global.len()),
                    path: file.text()?.to_owned(),
                    place: file.place(),
                });
            }
            global.push(GlobalEntry::read(&entry)?);
        }
        Ok(Self { calls, global })
    }

    /// Whether nothing is stated.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.global.is_empty()
    }

    /// The answer to a GET, where one is stated.
    pub(super) fn call(&self, path: &str) -> Option<Input> {
        let call = self.calls.iter().find(|call| call.is_read && call.path == path)?;
        Some(if (200..300).contains(&call.status) {
            Ok(call.body.clone())
        } else {
            Err(format!(
                "the call of {path} is stated to be answered with {}",
                call.status
            ))
        })
    }

    /// An entry, or a projection of one (`name.projection`); `files` holds the objects of each entry's files.
    pub(super) fn global(&self, key: &str, files: &[Vec<Value>]) -> Option<Input> {
        let (index, entry) = self.global.iter().enumerate().find(|(_, entry)| {
            key.strip_prefix(entry.name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })?;
        let data = match &entry.data {
            Some(data) => data.clone(),
            None => Value::Array(files.get(index).cloned().unwrap_or_default()),
        };
        let projection = key[entry.name.len()..].trim_start_matches('.');
        if projection.is_empty() {
            return Some(Ok(data));
        }
        let Some((_, expression)) = entry.projections.iter().find(|(name, _)| name == projection) else {
            return Some(Err(format!("{} has no projection {projection}", entry.name)));
        };
        Some(project(expression, &data))
    }
}

fn project(expression: &Expression, data: &Value) -> Input {
    let mut budget = Budget::default();
    let environment = Environment {
        now: Timestamp::UNIX_EPOCH,
        seed: 0,
    };
    expression
        .search(data, &mut budget, &environment)
        .and_then(|found| found.into_value(&mut budget))
        .map_err(|error| error.to_string())
}

impl Call {
    fn read(cursor: &Cursor<'_>) -> Result<Self, Fault> {
        cursor.only(&["url", "urlPath", "method", "response"])?;
        let path = match cursor.get("urlPath") {
            Some(path) => path,
            None => cursor.require("url")?,
        };
        let method = cursor.get("method").map_or(Ok("GET"), |method| method.text())?;
        let response = cursor.require("response")?;
        response.only(&["statusCode", "body", "headers"])?;
        let body = response
            .get("body")
            .map_or(Value::Null, |body| body.value().clone());
        // A body may be written as the text of its JSON.
        let body = match &body {
            Value::String(text) => serde_json::from_str(text).unwrap_or(body),
            _ => body,
        };
        Ok(Self {
            path: path.text()?.to_owned(),
            is_read: method.eq_ignore_ascii_case("GET"),
            status: response
                .get("statusCode")
                .map_or(Ok(200), |status| status.int())?,
            body,
        })
    }
}

impl GlobalEntry {
    fn read(cursor: &Cursor<'_>) -> Result<Self, Fault> {
        cursor.only(&[
            "name",
            "data",
            "resources",
            "resourceFiles",
            "fieldPath",
            "projections",
        ])?;
        cursor.refuse(&[("fieldPath", "state the value itself as data")])?;
        let data = cursor.get("data").or_else(|| cursor.get("resources"));
        Ok(Self {
            name: cursor.require("name")?.text()?.to_owned(),
            data: data.map(|data| data.value().clone()),
            projections: list_of(cursor, "projections", projection)?,
        })
    }
}

fn projection(cursor: &Cursor<'_>) -> Result<(String, Expression), Fault> {
    cursor.only(&["name", "path", "jmesPath"])?;
    let path = match cursor.get("path") {
        Some(path) => path,
        None => cursor.require("jmesPath")?,
    };
    let expression =
        provost_expression::parse(path.text()?).map_err(|error| path.fault(error.to_string()))?;
    Ok((cursor.require("name")?.text()?.to_owned(), expression))
}
