//! Reads a `kyverno-test.yaml`, in its present form and in the older ones.

use provost_manifest::yaml::Duplicates;

use super::mocks::Mocks;
use super::selection::Selection;
use super::values::{Values, items};
use super::{Expectation, FileName, MAX_EXPECTATIONS, Role, Suite, one_document};
use crate::fault::Fault;
use crate::request::Operation;
use crate::result::Status;
use crate::source::Cursor;

/// Fields that name lists of files.
const FILES: [(&str, Role); 4] = [
    ("policies", Role::Policies),
    ("resources", Role::Resources),
    ("exceptions", Role::Exceptions),
    ("clusterResources", Role::ClusterResources),
];

/// Fields that are known: those above, what is read below, and what only rules need that Provost does not do.
const SUITE: [&str; 22] = [
    "apiVersion",
    "kind",
    "name",
    "metadata",
    "policies",
    "resources",
    "exceptions",
    "clusterResources",
    "variables",
    "values",
    "userinfo",
    "results",
    "checks",
    "apiCallResponses",
    "globalContextEntries",
    "context",
    "targetResources",
    "paramResources",
    "jsonPayload",
    "jsonPayloads",
    "httpPayloads",
    "envoyPayloads",
];

const ENTRY: [&str; 25] = [
    "policy",
    "rule",
    "resource",
    "resources",
    "resourceSpecs",
    "namespace",
    "kind",
    "operation",
    "result",
    "status",
    "patchedResource",
    "patchedResources",
    "generatedResource",
    "cloneSourceResource",
    "isValidatingAdmissionPolicy",
    "isMutatingAdmissionPolicy",
    "isValidatingPolicy",
    "isNamespacedValidatingPolicy",
    "isImageValidatingPolicy",
    "isNamespacedImageValidatingPolicy",
    "isMutatingPolicy",
    "isNamespacedMutatingPolicy",
    "isGeneratingPolicy",
    "isDeletingPolicy",
    "isNamespacedDeletingPolicy",
];

pub(super) fn suite(text: &str, file: &str) -> Result<Suite, Fault> {
    one_document(text, file, Duplicates::Refused, read).map_err(|fault| fault.about("this suite"))
}

fn read(root: &Cursor<'_>) -> Result<Suite, Fault> {
    root.only(&SUITE)?;
    if let Some(kind) = root.get("kind")
        && kind.text()? != "Test"
    {
        return Err(kind.fault("a suite is of kind Test"));
    }
    let mut files = Vec::new();
    for (key, role) in FILES {
        for path in items(root, key)? {
            files.push(file_name(&path, role)?);
        }
    }
    if let Some(path) = root.get("userinfo") {
        files.push(file_name(&path, Role::User)?);
    }
    // Values that are written in the suite win over a file of them.
    let values = root
        .get("values")
        .map(|block| Values::inline(&block))
        .transpose()?;
    if values.is_none()
        && let Some(path) = root.get("variables")
    {
        files.push(file_name(&path, Role::Values)?);
    }
    let mocks = Mocks::read(root, &mut files)?;
    let entries = items(root, "results")?;
    if entries.len() > MAX_EXPECTATIONS {
        return Err(root.key_fault(format!("a suite expects at most {MAX_EXPECTATIONS} results")));
    }
    let mut notices = Vec::new();
    if let Some(checks) = root.get("checks") {
        notices.push(checks.key_fault("checks are not supported: only results are compared"));
    }
    Ok(Suite {
        files,
        values,
        mocks,
        expectations: entries.iter().map(expectation).collect::<Result<_, _>>()?,
        notices,
    })
}

fn file_name(path: &Cursor<'_>, role: Role) -> Result<FileName, Fault> {
    Ok(FileName {
        role,
        path: path.text()?.to_owned(),
        place: path.place(),
    })
}

fn expectation(entry: &Cursor<'_>) -> Result<Expectation, Fault> {
    entry.only(&ENTRY)?;
    let text = |key: &str| -> Result<Option<String>, Fault> {
        let text = entry.get(key).map(|text| text.text()).transpose()?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let result = match entry.get("result") {
        Some(result) => result,
        None => entry
            .get("status")
            .ok_or_else(|| entry.key_fault("an entry needs the result that is expected"))?,
    };
    let expected = Status::of_word(result.text()?)
        .ok_or_else(|| result.fault("a result is pass, fail, skip, warn or error"))?;
    Ok(Expectation {
        policy: entry.require("policy")?.text()?.to_owned(),
        rule: text("rule")?,
        kind: text("kind")?,
        selection: Selection::read(entry)?,
        operation: entry.get("operation").map(|word| operation(&word)).transpose()?,
        expected,
        place: entry.place(),
    })
}

fn operation(word: &Cursor<'_>) -> Result<Operation, Fault> {
    Operation::of_word(word.text()?)
        .ok_or_else(|| word.fault("an operation is CREATE, UPDATE, DELETE or CONNECT"))
}
