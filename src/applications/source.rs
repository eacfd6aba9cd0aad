//! Which of an Application's sources is meant.

use provost_manifest::escape;

use super::Error;
use crate::api::argoproj::{ApplicationSource, ApplicationSpec};

/// The position of the source that is meant: by its position counted from 1, its name or its ref. The only one, or the
/// only one that renders anything, need not be named.
///
/// # Errors
/// There are several, and none or another one is named; the sentence lists them.
pub fn chosen(spec: &ApplicationSpec, named: Option<&str>) -> Result<usize, Error> {
    let sources = &spec.sources;
    let Some(named) = named else {
        let mut rendering = sources
            .iter()
            .enumerate()
            .filter(|(_, source)| !source.is_reference_only());
        return match (sources.len(), rendering.next(), rendering.next()) {
            (1, ..) => Ok(0),
            (_, Some((only, _)), None) => Ok(only),
            _ => Err(Error::Source(format!(
                "the Application has several sources: say which one with --source: {}",
                listed(sources)
            ))),
        };
    };
    let by_position = named.parse::<usize>().ok();
    let position = by_position.and_then(|position| position.checked_sub(1));
    let by_name = || sources.iter().position(|source| is_named(source, named));
    position
        .filter(|position| *position < sources.len())
        .or_else(by_name)
        .ok_or_else(|| {
            Error::Source(format!(
                "the Application has no source {}: it has {}",
                escape::line(named),
                listed(sources)
            ))
        })
}

fn is_named(source: &ApplicationSource, name: &str) -> bool {
    source.written["name"] == name || source.reference.as_deref() == Some(name)
}

/// `1 (charts in https://…), 2 (values, . in https://…)`.
fn listed(sources: &[ApplicationSource]) -> String {
    let one = |(index, source): (usize, &ApplicationSource)| {
        let name = source.written["name"].as_str().or(source.reference.as_deref());
        let name = name.map(|name| format!("{name}, ")).unwrap_or_default();
        let path = if source.path.is_empty() { "." } else { &source.path };
        let url = without_credentials(&source.repo_url);
        escape::line(&format!("{} ({name}{path} in {url})", index + 1)).into_owned()
    };
    let all: Vec<String> = sources.iter().enumerate().map(one).collect();
    all.join(", ")
}

fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn spec(sources: &Value) -> ApplicationSpec {
        let spec = json!({"destination": {"namespace": "n"}, "sources": sources});
        ApplicationSpec::parse(&spec).unwrap()
    }

    #[rstest]
    #[case(
        None,
        Err(
            "say which one with --source: 1 (a in https://h/one), 2 (b in https://h/two), 3 (values, . in https://h/three)"
        )
    )]
    #[case(Some("2"), Ok(1))]
    #[case(Some("values"), Ok(2))]
    #[case(Some("0"), Err("has no source 0: it has 1 (a"))]
    #[case(Some("4"), Err("has no source 4"))]
    #[case(Some("other"), Err("has no source other"))]
    fn a_source_is_named_by_position_name_or_ref(
        #[case] named: Option<&str>,
        #[case] expected: Result<usize, &str>,
    ) {
        let spec = spec(&json!([
            {"repoURL": "https://me:token@h/one", "path": "a"},
            {"repoURL": "https://h/two", "path": "b"},
            {"repoURL": "https://h/three", "ref": "values"},
        ]));
        match (chosen(&spec, named), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn the_only_one_that_renders_need_not_be_named() {
        let spec = spec(&json!([
            {"repoURL": "https://h/values", "ref": "values"}, {"repoURL": "https://h/charts", "path": "a"},
        ]));
        assert_eq!(chosen(&spec, None).unwrap(), 1);
    }
}
