//! Reads context entries.

use super::call::call;
use super::template::{Names, template, text};
use crate::context::{Entry, MAX_ENTRIES, Source};
use crate::fault::Fault;
use crate::source::Cursor;
use crate::template::TextTemplate;

const SOURCES: [&str; 5] = [
    "variable",
    "configMap",
    "apiCall",
    "globalReference",
    "imageRegistry",
];

/// Names that a context entry cannot have.
const RESERVED: [&str; 6] = [
    "images",
    "request",
    "serviceAccountName",
    "serviceAccountNamespace",
    "element",
    "elementIndex",
];

/// Reads the entries below `context`, in order; there may be none.
pub(crate) fn context(owner: &Cursor<'_>, names: &Names<'_>) -> Result<Vec<Entry>, Fault> {
    let Some(list) = owner.get("context") else {
        return Ok(Vec::new());
    };
    let items = list.list()?;
    if items.len() > MAX_ENTRIES {
        let message = format!("a context has at most {MAX_ENTRIES} entries");
        return Err(list.key_fault(message).unsupported());
    }
    // All names of the context are known to the check; what an entry sees at run time are those before it.
    let declared: Vec<&str> = items
        .iter()
        .map(|item| item.require("name")?.text())
        .collect::<Result<_, _>>()?;
    let mut names = names.clone();
    let mut entries: Vec<&str> = names.entries.clone();
    entries.extend(declared);
    names.entries = entries;
    items.iter().map(|item| entry(item, &names)).collect()
}

fn entry(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Entry, Fault> {
    let mut known = vec!["name"];
    known.extend(SOURCES);
    cursor.only(&known)?;
    cursor.refuse(&[("imageRegistry", "images are not looked up in registries")])?;
    let name = cursor.require("name")?;
    let text = name.text()?;
    let root = text.split_once('.').map_or(text, |(root, _)| root);
    if RESERVED.contains(&root) {
        return Err(name.fault(format!("a context entry cannot be named {text}")));
    }
    let given: Vec<&str> = SOURCES
        .iter()
        .copied()
        .filter(|source| cursor.get(source).is_some())
        .collect();
    let [kind] = given.as_slice() else {
        return Err(cursor.key_fault(format!(
            "context entry {text} needs exactly one of {}",
            SOURCES.join(", ")
        )));
    };
    let body = cursor.require(kind)?;
    let source = match *kind {
        "variable" => variable(&body, names)?,
        "configMap" => config_map(&body, names)?,
        "apiCall" => api_call(&body, names)?,
        _ => global_reference(&body, names)?,
    };
    Ok(Entry {
        name: text.to_owned(),
        source,
    })
}

fn variable(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Source, Fault> {
    cursor.only(&["value", "jmesPath", "default"])?;
    let (value, path, default) = (cursor.get("value"), cursor.get("jmesPath"), cursor.get("default"));
    if value.is_none() && path.is_none() {
        return Err(cursor.key_fault("a variable needs value or jmesPath"));
    }
    if let (Some(default), None) = (&default, &path) {
        return Err(default.key_fault("default needs jmesPath"));
    }
    Ok(Source::Variable {
        value: value.map(|value| template(&value, names)).transpose()?,
        path: path.map(|path| jmes_path(&path, names)).transpose()?,
        default: default.map(|default| template(&default, names)).transpose()?,
    })
}

/// An expression, which may itself hold variables; without any it must be well-formed.
fn jmes_path(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<TextTemplate, Fault> {
    let written = cursor.text()?;
    if !written.contains("{{") {
        provost_expression::parse(written).map_err(|error| cursor.fault(error.to_string()))?;
    }
    text(cursor, names)
}

fn config_map(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Source, Fault> {
    cursor.only(&["name", "namespace"])?;
    Ok(Source::ConfigMap {
        name: text(&cursor.require("name")?, names)?,
        namespace: text(&cursor.require("namespace")?, names)?,
    })
}

fn api_call(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Source, Fault> {
    cursor.only(&["urlPath", "method", "data", "service", "jmesPath", "default"])?;
    Ok(Source::ApiCall {
        call: call(cursor, names)?,
        select: cursor
            .get("jmesPath")
            .map(|path| jmes_path(&path, names))
            .transpose()?,
        default: cursor
            .get("default")
            .map(|default| template(&default, names))
            .transpose()?,
    })
}

fn global_reference(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Source, Fault> {
    cursor.only(&["name", "jmesPath"])?;
    Ok(Source::GlobalReference {
        name: text(&cursor.require("name")?, names)?,
        select: cursor
            .get("jmesPath")
            .map(|path| jmes_path(&path, names))
            .transpose()?,
    })
}
