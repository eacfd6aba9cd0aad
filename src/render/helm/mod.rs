//! Helm charts in Git, rendered by `helm template`.
//!
//! The chart's dependencies lie beside it in Git: vendored in `charts/`, or elsewhere in the same repository
//! (`repository: file://…`), whence they are copied. Nothing is downloaded. Hooks come with their annotations.

mod dependencies;
mod values;

use std::collections::BTreeMap;

use provost_manifest::{list, yaml};

use super::object::flaw;
use super::request::{BuildEnvironment, Request, SourceAt};
use super::work::{Work, place_of};
use super::{Error, RenderedObject};
use crate::api::argoproj::{HelmOptions, HelmParameter};
use crate::git::{Entry, EntryKind, RepoPath, Snapshot};

/// The file that makes a folder a chart.
const CHART_FILE: &str = "Chart.yaml";
/// What helm says of a dependency that is not there.
const MISSING_DEPENDENCY: &str = "missing in charts/";
/// How helm says which template an object comes from.
const SOURCE_COMMENT: &str = "# Source: ";
/// Where values written in the Application are put.
const INLINE_VALUES: &str = "values/application.yaml";

/// What a chart is rendered for.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) request: &'a Request,
    pub(super) environment: &'a BuildEnvironment,
    /// The sources that others' value files may name.
    pub(super) references: &'a BTreeMap<String, SourceAt>,
}

/// A Helm render, ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) work: Work,
    chart: RepoPath,
    /// Subcharts that were copied into the chart, by their path in it, and where they are in the commit.
    copied: BTreeMap<String, RepoPath>,
    /// What the copies of value files are called, for messages.
    names: Vec<(String, String)>,
}

/// Whether a folder is a chart.
pub(super) fn is_chart(snapshot: &Snapshot, folder: &Entry) -> Result<bool, Error> {
    let file = folder.path.join(CHART_FILE);
    let found = file.map(|file| snapshot.find(&file)).transpose()?.flatten();
    Ok(found.is_some_and(|file| file.kind == EntryKind::File))
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(
        snapshot: &Snapshot,
        folder: &Entry,
        options: &HelmOptions,
        context: Context<'_>,
    ) -> Result<Self, Error> {
        if !is_chart(snapshot, folder)? {
            return Err(Error::refused(
                &folder.path,
                "has options of helm, and no Chart.yaml: charts in Git are rendered, chart repositories are not read",
            ));
        }
        let mut work = Work::default();
        work.copy(folder.clone());
        let copied = dependencies::copy(snapshot, folder, &mut work)?;
        work.arguments = release(folder, options, context.request);
        let mut files = values::Files::new(snapshot, folder, context, options.ignore_missing_value_files);
        for written in &options.value_files {
            for place in files.add(written, &mut work)? {
                work.arguments.extend(["--values".to_owned(), place]);
            }
        }
        if let Some(values) = &options.values {
            work.written
                .insert(INLINE_VALUES.to_owned(), values.clone().into_bytes());
            work.arguments
                .extend(["--values".to_owned(), INLINE_VALUES.to_owned()]);
        }
        for parameter in &options.parameters {
            work.arguments.extend(set(parameter, context.environment));
        }
        for (name, written) in &options.file_parameters {
            let place = files.add_one(written, &mut work)?;
            work.arguments
                .extend(["--set-file".to_owned(), format!("{name}={place}")]);
        }
        let mut names = files.names();
        names.push((INLINE_VALUES.to_owned(), "the Application's values".to_owned()));
        work.environment = home();
        Ok(Self {
            work,
            chart: folder.path.clone(),
            copied,
            names,
        })
    }

    /// Helm's complaint in the words of the repository, with what to do where that is known.
    pub(super) fn explain(&self, complaint: &str) -> String {
        let mut complaint = complaint.to_owned();
        for (place, name) in &self.names {
            complaint = complaint.replace(place, name);
        }
        if complaint.contains(MISSING_DEPENDENCY) {
            complaint = format!(
                "{complaint}\nNothing is downloaded here: run `helm dependency build {0}` and commit {0}/charts.",
                self.chart
            );
        }
        complaint
    }

    pub(super) fn objects(&self, output: &str, snapshot: &Snapshot) -> Result<Vec<RenderedObject>, Error> {
        let mut rendered = Vec::new();
        let mut template = None;
        for document in yaml::parse_stream(output) {
            let document = document.map_err(|error| Error::Failed {
                command: format!("helm template {}", self.chart),
                message: match &template {
                    Some(template) => format!("after {template}, what it renders cannot be read: {error}"),
                    None => format!("what it renders cannot be read: {error}"),
                },
            })?;
            // A file of several documents is named before the first of them.
            if let Some(named) = template_of(document.text()) {
                template = Some(named.to_owned());
            }
            let file = self.file(template.as_deref(), snapshot);
            for item in list::flatten(document.value) {
                if let Some(reason) = flaw(&item.object) {
                    let place = template.as_deref().unwrap_or("output");
                    return Err(Error::Object {
                        place: format!("{place} of helm template {}", self.chart),
                        reason,
                    });
                }
                rendered.push(RenderedObject {
                    value: item.object,
                    file: file.clone(),
                    line: None,
                    repository: None,
                });
            }
        }
        Ok(rendered)
    }

    /// The file in the repository of `CHART/templates/a.yaml`; `None` where it lies in a packed subchart.
    fn file(&self, template: Option<&str>, snapshot: &Snapshot) -> Option<RepoPath> {
        let (_, inside) = template?.split_once('/')?;
        let copied = self
            .copied
            .iter()
            .filter(|(place, _)| inside.starts_with(&format!("{place}/")))
            .max_by_key(|(place, _)| place.len());
        let path = match copied {
            Some((place, from)) => from.join(&inside[place.len() + 1..])?,
            None => self.chart.join(inside)?,
        };
        snapshot.find(&path).ok()??;
        Some(path)
    }
}

/// The template that a document's comment names.
fn template_of(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix(SOURCE_COMMENT))
        .map(str::trim)
}

/// What is told of release, cluster and chart.
fn release(folder: &Entry, options: &HelmOptions, request: &Request) -> Vec<String> {
    let mut arguments = vec!["template".to_owned(), place_of(&folder.path)];
    let mut tell = |name: &str, value: &str| {
        if !value.is_empty() {
            arguments.extend([name.to_owned(), value.to_owned()]);
        }
    };
    tell(
        "--name-template",
        options.release_name.as_deref().unwrap_or(&request.application),
    );
    let namespace = options.namespace.as_deref().or(request.namespace.as_deref());
    tell("--namespace", namespace.unwrap_or_default());
    let cluster = &request.capabilities;
    tell(
        "--kube-version",
        options.kube_version.as_deref().unwrap_or(&cluster.kube_version),
    );
    let api_versions = match &options.api_versions[..] {
        [] => &cluster.api_versions[..],
        named => named,
    };
    tell("--api-versions", &api_versions.join(","));
    let flags = [
        (!options.skip_crds, "--include-crds"),
        (options.skip_crds, "--skip-crds"),
        (options.skip_tests, "--skip-tests"),
        (options.skip_schema_validation, "--skip-schema-validation"),
    ];
    let flags = flags.iter().filter(|(set, _)| *set);
    arguments.extend(flags.map(|(_, flag)| (*flag).to_owned()));
    arguments
}

/// Helm's homes, none of which is there: no plugins, no repositories, no registries.
fn home() -> Vec<(String, String)> {
    let none = "/nonexistent";
    [
        ("HELM_CACHE_HOME", none),
        ("HELM_CONFIG_HOME", none),
        ("HELM_DATA_HOME", none),
        ("HELM_PLUGINS", none),
        ("HELM_NO_PLUGINS", "1"),
        ("HOME", none),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// `--set NAME=VALUE`. Commas in a value that is no list are the value's own, as with Argo CD.
fn set(parameter: &HelmParameter, environment: &BuildEnvironment) -> [String; 2] {
    let flag = if parameter.force_string {
        "--set-string"
    } else {
        "--set"
    };
    let value = environment.substitute(&parameter.value);
    let value = if value.starts_with('{') && value.ends_with('}') {
        value
    } else {
        escape_commas(&value)
    };
    [flag.to_owned(), format!("{}={value}", parameter.name)]
}

fn escape_commas(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let mut before = None;
    for c in value.chars() {
        if c == ',' && before != Some('\\') {
            escaped.push('\\');
        }
        escaped.push(c);
        before = Some(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a", "a")]
    #[case("a,b", r"a\,b")]
    #[case(r"a\,b", r"a\,b")]
    #[case(",", r"\,")]
    fn commas_belong_to_the_value(#[case] value: &str, #[case] escaped: &str) {
        assert_eq!(escape_commas(value), escaped);
    }
}
