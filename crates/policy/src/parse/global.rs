//! Reads one GlobalContextEntry.

use std::sync::Arc;
use std::time::Duration;

use provost_expression::Expression;

use super::call::call;
use super::template::Names;
use crate::context::{GlobalEntry, GlobalSource};
use crate::fault::Fault;
use crate::source::Cursor;

const VERSIONS: [&str; 3] = ["kyverno.io/v2", "kyverno.io/v2beta1", "kyverno.io/v2alpha1"];
/// How long an answer counts where the entry does not say.
const REFRESH: Duration = Duration::from_mins(10);
/// An entry has at most this many projections.
const MAX_PROJECTIONS: usize = 64;

/// Reads an entry, its faults told of it by name.
pub(crate) fn global_entry(root: &Cursor<'_>) -> Result<GlobalEntry, Fault> {
    let name = root.require("metadata")?.require("name")?.text()?;
    read(root, name).map_err(|fault| fault.about(&format!("GlobalContextEntry {name}")))
}

fn read(root: &Cursor<'_>, name: &str) -> Result<GlobalEntry, Fault> {
    let api_version = root.require("apiVersion")?;
    let version = api_version.text()?;
    if !VERSIONS.contains(&version) {
        let message = format!(
            "a GlobalContextEntry of {version} is not supported; {} are",
            VERSIONS.join(", ")
        );
        return Err(api_version.fault(message).unsupported());
    }
    root.only(&["apiVersion", "kind", "metadata", "spec", "status"])?;
    let spec = root.require("spec")?;
    spec.only(&["kubernetesResource", "apiCall", "projections"])?;
    let source = match (spec.get("kubernetesResource"), spec.get("apiCall")) {
        (Some(resource), None) => self::resource(&resource)?,
        (None, Some(call)) => repeated(&call)?,
        _ => {
            return Err(
                spec.key_fault("a GlobalContextEntry needs exactly one of kubernetesResource and apiCall")
            );
        }
    };
    Ok(GlobalEntry {
        name: Arc::from(name),
        place: root.place(),
        canonical: spec.value().clone(),
        source,
        projections: projections(&spec)?.into(),
    })
}

fn resource(cursor: &Cursor<'_>) -> Result<GlobalSource, Fault> {
    cursor.only(&["group", "version", "resource", "namespace"])?;
    let text = |key| cursor.get(key).map_or(Ok(String::new()), |value| word(&value));
    let (group, name) = (text("group")?, cursor.require("resource")?);
    let resource = word(&name)?;
    if group.is_empty() && resource == "secrets" {
        let message = "secrets is not supported: the cluster's secrets are not kept here";
        return Err(name.fault(message).unsupported());
    }
    Ok(GlobalSource::Resource {
        group,
        version: word(&cursor.require("version")?)?,
        resource,
        namespace: text("namespace")?,
    })
}

/// A part of a path.
fn word(cursor: &Cursor<'_>) -> Result<String, Fault> {
    let text = cursor.text()?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if !text.bytes().all(fits) || matches!(text, "." | "..") {
        return Err(cursor.fault(format!(
            "{} has lower-case letters, digits, - and . only",
            cursor.name()
        )));
    }
    Ok(text.to_owned())
}

fn repeated(cursor: &Cursor<'_>) -> Result<GlobalSource, Fault> {
    cursor.only(&[
        "urlPath",
        "service",
        "method",
        "data",
        "refreshInterval",
        "retryLimit",
    ])?;
    let refresh = match cursor.get("refreshInterval") {
        None => REFRESH,
        Some(interval) => {
            let parsed = interval.text()?.parse::<provost_manifest::duration::Duration>();
            let parsed = parsed.map_err(|error| interval.fault(error.to_string()))?;
            let at_least_a_second = |refresh: &Duration| *refresh >= Duration::from_secs(1);
            parsed
                .to_std()
                .filter(at_least_a_second)
                .ok_or_else(|| interval.fault("refreshInterval is at least 1s"))?
        }
    };
    // A call that failed is tried again until it succeeds: no number of tries makes an old answer true.
    cursor.get("retryLimit").map_or(Ok(0), |limit| limit.int())?;
    let names = Names {
        entries: Vec::new(),
        element: false,
        background: true,
    };
    let call = call(cursor, &names)?;
    let key = call.fixed_key().ok_or_else(|| {
        cursor.key_fault("a GlobalContextEntry takes no variables: nobody makes a request when it is fetched")
    })?;
    Ok(GlobalSource::Call { key, refresh })
}

fn projections(spec: &Cursor<'_>) -> Result<Vec<(String, Expression)>, Fault> {
    let Some(list) = spec.get("projections") else {
        return Ok(Vec::new());
    };
    let items = list.list()?;
    if items.len() > MAX_PROJECTIONS {
        let message = format!("an entry has at most {MAX_PROJECTIONS} projections");
        return Err(list.key_fault(message).unsupported());
    }
    let mut projections: Vec<(String, Expression)> = Vec::new();
    for item in &items {
        item.only(&["name", "jmesPath"])?;
        let (name, path) = (item.require("name")?, item.require("jmesPath")?);
        let text = name.text()?;
        if text.is_empty() || text.contains('.') {
            return Err(name.fault("a projection's name is a word without dots"));
        }
        if projections.iter().any(|(known, _)| known == text) {
            return Err(name.fault(format!("projection {text} is there twice")));
        }
        let expression =
            provost_expression::parse(path.text()?).map_err(|error| path.fault(error.to_string()))?;
        projections.push((text.to_owned(), expression));
    }
    Ok(projections)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::Policy;
    use crate::request::Key;

    fn read(spec: &str) -> Result<GlobalEntry, Fault> {
        let text = format!(
            "apiVersion: kyverno.io/v2beta1\nkind: GlobalContextEntry\nmetadata: {{name: e}}\nspec: {spec}"
        );
        let mut parsed = Policy::parse(&text, "e.yaml");
        parsed
            .globals
            .pop()
            .map_or_else(|| Err(parsed.faults.remove(0)), Ok)
    }

    #[rstest]
    #[case::nothing("{projections: []}", "exactly one of kubernetesResource and apiCall")]
    #[case::both(
        "{kubernetesResource: {version: v1, resource: pods}, apiCall: {urlPath: /version}}",
        "exactly one of"
    )]
    #[case::misspelt(
        "{kubernetesResource: {version: v1, resorce: pods}}",
        "did you mean \"resource\"?"
    )]
    #[case::a_path(
        "{kubernetesResource: {version: v1, resource: pods/log}}",
        "lower-case letters"
    )]
    #[case::upwards("{kubernetesResource: {version: '..', resource: pods}}", "lower-case letters")]
    #[case::secrets(
        "{kubernetesResource: {version: v1, resource: secrets}}",
        "secrets is not supported"
    )]
    #[case::too_often("{apiCall: {urlPath: /version, refreshInterval: 10ms}}", "at least 1s")]
    #[case::a_variable(
        "{apiCall: {urlPath: '/api/v1/namespaces/{{ request.namespace }}/pods'}}",
        "takes no variables"
    )]
    #[case::a_write(
        "{apiCall: {urlPath: /api/v1/namespaces, method: POST}}",
        "policies only read"
    )]
    #[case::twice(
        "{apiCall: {urlPath: /version}, projections: [{name: a, jmesPath: b}, {name: a, jmesPath: c}]}",
        "projection a is there twice"
    )]
    #[case::syntax(
        "{apiCall: {urlPath: /version}, projections: [{name: a, jmesPath: 'b['}]}",
        "e.yaml:4:"
    )]
    fn what_cannot_be_kept_is_refused(#[case] spec: &str, #[case] why: &str) {
        let fault = read(spec).unwrap_err().to_string();
        assert!(fault.contains(why), "{fault}");
        assert!(fault.ends_with("(GlobalContextEntry e)"), "{fault}");
    }

    #[test]
    fn a_call_is_asked_again_every_ten_minutes_unless_the_entry_says_otherwise() {
        let key = Key::ApiCall {
            path: "/version".to_owned(),
        };
        for (spec, seconds) in [
            ("{apiCall: {urlPath: /version, retryLimit: 3}}", 600),
            ("{apiCall: {urlPath: /version, refreshInterval: 1h}}", 3600),
        ] {
            let refresh = Duration::from_secs(seconds);
            let key = key.clone();
            assert_eq!(*read(spec).unwrap().source(), GlobalSource::Call { key, refresh });
        }
    }
}
