//! Reads one PolicyException.

use std::sync::Arc;

use serde_json::json;

use super::pod_security::excludes;
use super::template::Names;
use super::{conditions, matches};
use crate::exception::{ExceptedRules, Exception};
use crate::fault::Fault;
use crate::matching::Match;
use crate::source::Cursor;

/// Reads an exception, its faults told of it by name.
pub(crate) fn exception(root: &Cursor<'_>) -> Result<Exception, Fault> {
    let name = root.require("metadata")?.require("name")?.text()?;
    read(root).map_err(|fault| fault.about(&format!("PolicyException {name}")))
}

fn read(root: &Cursor<'_>) -> Result<Exception, Fault> {
    let api_version = root.require("apiVersion")?;
    let version = api_version.text()?;
    if !matches!(version, "kyverno.io/v2" | "kyverno.io/v2beta1") {
        let message = format!(
            "a PolicyException of {version} is not supported; kyverno.io/v2 and kyverno.io/v2beta1 are"
        );
        return Err(api_version.fault(message).unsupported());
    }
    root.only(&["apiVersion", "kind", "metadata", "spec", "status"])?;
    let metadata = root.require("metadata")?;
    let namespace = metadata
        .get("namespace")
        .map_or(Ok("default"), |namespace| namespace.text())?;
    let spec = root.require("spec")?;
    spec.only(&["background", "match", "conditions", "exceptions", "podSecurity"])?;
    let background = spec.bool_of("background", true)?;
    let names = Names {
        entries: Vec::new(),
        element: false,
        background,
    };
    let matches = described(&spec, background)?;
    let key = format!("{namespace}/{}", metadata.require("name")?.text()?);
    Ok(Exception {
        namespace: namespace.to_owned(),
        canonical: json!({"kind": "PolicyException", "key": &key, "spec": spec.value()}),
        key: Arc::from(key),
        place: root.place(),
        targets: spec
            .require("exceptions")?
            .list()?
            .iter()
            .map(target)
            .collect::<Result<_, _>>()?,
        matches,
        controls: spec
            .get("podSecurity")
            .map_or(Ok(Vec::new()), |list| excludes(&list, None))?,
        conditions: spec
            .get("conditions")
            .map(|block| conditions(&block, &names).map(Arc::new))
            .transpose()?,
    })
}

/// What is excepted; operations are not looked at.
fn described(spec: &Cursor<'_>, background: bool) -> Result<Option<Arc<Match>>, Fault> {
    let block = spec.require("match")?;
    block.only(&["any", "all"])?;
    let mut matches = matches(&block, false)?;
    match &mut matches {
        Match::One(_) => return Ok(None),
        Match::Any(filters) | Match::All(filters) => {
            for filter in filters {
                if background && filter.describes_users() {
                    return Err(block.key_fault(
                        "users and roles are not known when existing objects are judged; set background: false",
                    ));
                }
                filter.operations.clear();
            }
        }
    }
    Ok(Some(Arc::new(matches)))
}

fn target(cursor: &Cursor<'_>) -> Result<ExceptedRules, Fault> {
    cursor.only(&["policyName", "ruleNames"])?;
    Ok(ExceptedRules {
        policy: cursor.require("policyName")?.text()?.to_owned(),
        rules: cursor.wildcards_of("ruleNames")?,
    })
}
