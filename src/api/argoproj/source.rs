//! One source of an Application, read strictly: where it is, and what is asked of the tool that renders it.

use std::collections::BTreeMap;

use serde_json::Value;

use provost_delivery::fields::Fields;

/// One Git source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationSource {
    /// Repository URL, as written.
    pub repo_url: String,
    /// Folder, as written.
    pub path: String,
    /// Branch, tag, commit or `HEAD`.
    pub target_revision: String,
    /// The name by which other sources' value files mean this repository: `$NAME/path`.
    pub reference: Option<String>,
    /// What is asked of the tool.
    pub options: SourceOptions,
    /// The source as written: what `.argocd-source.yaml` is merged into.
    pub written: Value,
}

/// What is asked of the tool. At most one of these is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// `directory`.
    pub directory: DirectoryOptions,
    /// `kustomize`.
    pub kustomize: KustomizeOptions,
    /// `helm`.
    pub helm: HelmOptions,
}

/// `directory`: how a plain folder is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Its folders too.
    pub recurse: bool,
    /// Only files whose path in the folder matches this glob.
    pub include: Option<String>,
    /// No file whose path in the folder matches this glob.
    pub exclude: Option<String>,
}

/// `kustomize`: changes to the folder's kustomization, as `kustomize edit` would make them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Argo CD's fields, each a switch of its own"
)]
pub struct KustomizeOptions {
    /// Replaces `namePrefix`.
    pub name_prefix: Option<String>,
    /// Replaces `nameSuffix`.
    pub name_suffix: Option<String>,
    /// Replaces `namespace`.
    pub namespace: Option<String>,
    /// `NAME=NEW:TAG`, `NAME:TAG`, `NAME@DIGEST` …
    pub images: Vec<String>,
    /// Counts by name.
    pub replicas: Vec<(String, u64)>,
    /// Labels to add.
    pub common_labels: BTreeMap<String, String>,
    /// Not to selectors.
    pub label_without_selector: bool,
    /// To templates although not to selectors.
    pub label_include_templates: bool,
    /// Labels that are there are overwritten.
    pub force_common_labels: bool,
    /// Annotations to add.
    pub common_annotations: BTreeMap<String, String>,
    /// Build variables in their values are filled in.
    pub common_annotations_envsubst: bool,
    /// Annotations that are there are overwritten.
    pub force_common_annotations: bool,
    /// Patches to append, as kustomize writes them.
    pub patches: Vec<Value>,
    /// Components to append.
    pub components: Vec<String>,
    /// Components that are not there are left out.
    pub ignore_missing_components: bool,
}

/// `helm`: what `helm template` is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Argo CD's fields, each a switch of its own"
)]
pub struct HelmOptions {
    /// The release's name; the Application's where absent.
    pub release_name: Option<String>,
    /// The release's namespace; the destination's where absent.
    pub namespace: Option<String>,
    /// The Kubernetes version to render for; the cluster's where absent.
    pub kube_version: Option<String>,
    /// The API versions to render for; the cluster's where there are none.
    pub api_versions: Vec<String>,
    /// Files of values: paths from the chart, from the repository's root (`/…`) or of another source (`$ref/…`), globs.
    pub value_files: Vec<String>,
    /// Value files that are not there are left out.
    pub ignore_missing_value_files: bool,
    /// Values, over those of the files: YAML.
    pub values: Option<String>,
    /// Parameters, over the values.
    pub parameters: Vec<HelmParameter>,
    /// Parameters whose values are files: name and path.
    pub file_parameters: Vec<(String, String)>,
    /// Leave `crds/` out.
    pub skip_crds: bool,
    /// Leave test hooks out.
    pub skip_tests: bool,
    /// Do not check the values against the chart's schema.
    pub skip_schema_validation: bool,
}

/// One of `helm.parameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelmParameter {
    /// `image.tag`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The value is text, whatever it looks like.
    pub force_string: bool,
}

// === impl ApplicationSource ===

impl ApplicationSource {
    /// Reads a source; `place` is what messages call it.
    ///
    /// # Errors
    /// One sentence per field that is not understood.
    pub fn parse(place: &str, source: &Value) -> Result<Self, Vec<String>> {
        let mut flaws = Vec::new();
        let parsed = Self::read(Fields::of(place, Some(source), &mut flaws), Some(source));
        match parsed {
            Some(source) if flaws.is_empty() => Ok(source),
            _ => Err(flaws),
        }
    }

    pub(super) fn read(mut fields: Fields<'_>, written: Option<&Value>) -> Option<Self> {
        if fields.is_absent() {
            fields.refuse("", "is missing: a Git source with repoURL and path is wanted");
            return None;
        }
        let repo_url = fields.text("repoURL").unwrap_or_default();
        if repo_url.is_empty() {
            fields.refuse("repoURL", "is missing");
        }
        if fields.text("chart").is_some_and(|chart| !chart.is_empty()) {
            fields.refuse(
                "chart",
                "is not supported: chart repositories are not read; keep the chart in Git, and give its path",
            );
        }
        if fields.take("plugin").is_some() {
            fields.refuse(
                "plugin",
                "is not supported: plugins do not run here; keep their output in Git",
            );
        }
        // A label for people.
        fields.take("name");
        let path = fields.text("path").unwrap_or_default();
        let target_revision = fields.text("targetRevision").filter(|text| !text.is_empty());
        let reference = fields.text("ref").filter(|text| !text.is_empty());
        let options = SourceOptions {
            directory: fields.child("directory", DirectoryOptions::read),
            kustomize: fields.child("kustomize", KustomizeOptions::read),
            helm: fields.child("helm", HelmOptions::read),
        };
        let tools = options.tools();
        if tools.len() > 1 {
            fields.refuse(
                "",
                &format!(
                    "has options of {}: one tool renders a source",
                    tools.join(" and of ")
                ),
            );
        }
        fields.finish();
        Some(Self {
            repo_url,
            path,
            target_revision: target_revision.unwrap_or_else(|| "HEAD".to_owned()),
            reference,
            options,
            written: written.cloned().unwrap_or_default(),
        })
    }

    /// Whether it is there only for others' value files.
    pub fn is_reference_only(&self) -> bool {
        self.reference.is_some() && self.path.is_empty()
    }
}

// === impl SourceOptions ===

impl SourceOptions {
    /// The tools whose options are set.
    fn tools(&self) -> Vec<&'static str> {
        [
            (self.directory != DirectoryOptions::default(), "directory"),
            (self.kustomize != KustomizeOptions::default(), "kustomize"),
            (self.helm != HelmOptions::default(), "helm"),
        ]
        .into_iter()
        .filter_map(|(set, tool)| set.then_some(tool))
        .collect()
    }
}

// === impl DirectoryOptions ===

impl DirectoryOptions {
    fn read(mut fields: Fields<'_>) -> Self {
        if fields.take("jsonnet").is_some_and(|jsonnet| is_set(&jsonnet)) {
            fields.refuse("jsonnet", "is not supported: keep Jsonnet's output in Git");
        }
        let options = Self {
            recurse: fields.flag("recurse"),
            include: fields.text("include").filter(|glob| !glob.is_empty()),
            exclude: fields.text("exclude").filter(|glob| !glob.is_empty()),
        };
        fields.finish();
        options
    }
}

// === impl KustomizeOptions ===

impl KustomizeOptions {
    fn read(mut fields: Fields<'_>) -> Self {
        let options = Self {
            name_prefix: fields.text("namePrefix").filter(|text| !text.is_empty()),
            name_suffix: fields.text("nameSuffix").filter(|text| !text.is_empty()),
            namespace: fields.text("namespace").filter(|text| !text.is_empty()),
            images: fields.texts("images"),
            replicas: fields.children("replicas", |mut replica| {
                let name = replica.text("name").unwrap_or_default();
                let count = match replica.take("count") {
                    Some(Value::String(count)) => count.parse().ok(),
                    count => count.as_ref().and_then(Value::as_u64),
                };
                if name.is_empty() || count.is_none() {
                    replica.refuse("", "needs a name and a count");
                }
                replica.finish();
                (name, count.unwrap_or_default())
            }),
            common_labels: fields.text_map("commonLabels").into_iter().collect(),
            label_without_selector: fields.flag("labelWithoutSelector"),
            label_include_templates: fields.flag("labelIncludeTemplates"),
            force_common_labels: fields.flag("forceCommonLabels"),
            common_annotations: fields.text_map("commonAnnotations").into_iter().collect(),
            common_annotations_envsubst: fields.flag("commonAnnotationsEnvsubst"),
            force_common_annotations: fields.flag("forceCommonAnnotations"),
            patches: match fields.take("patches") {
                None => Vec::new(),
                Some(Value::Array(patches)) => patches,
                Some(_) => {
                    fields.refuse("patches", "must be a list");
                    Vec::new()
                }
            },
            components: fields.texts("components"),
            ignore_missing_components: fields.flag("ignoreMissingComponents"),
        };
        if options.label_include_templates && !options.label_without_selector {
            fields.refuse(
                "labelIncludeTemplates",
                "needs labelWithoutSelector, as with kustomize",
            );
        }
        fields.finish();
        options
    }
}

// === impl HelmOptions ===

impl HelmOptions {
    fn read(mut fields: Fields<'_>) -> Self {
        if fields.text("version").is_some_and(|version| version == "v2") {
            fields.refuse("version", "\"v2\" is not supported: Helm 2 has ended");
        }
        // Nothing is downloaded, so there are no credentials to pass.
        fields.flag("passCredentials");
        let values_object = fields.take("valuesObject");
        let values = fields.text("values").filter(|values| !values.is_empty());
        let options = Self {
            release_name: fields.text("releaseName").filter(|text| !text.is_empty()),
            namespace: fields.text("namespace").filter(|text| !text.is_empty()),
            kube_version: fields.text("kubeVersion").filter(|text| !text.is_empty()),
            api_versions: fields.texts("apiVersions"),
            value_files: fields.texts("valueFiles"),
            ignore_missing_value_files: fields.flag("ignoreMissingValueFiles"),
            // An object goes before text, as with Argo CD; JSON is YAML.
            values: values_object
                .filter(is_set)
                .map(|values| values.to_string())
                .or(values),
            parameters: fields.children("parameters", HelmParameter::read),
            file_parameters: fields.children("fileParameters", |mut parameter| {
                let named = (
                    parameter.text("name").unwrap_or_default(),
                    parameter.text("path").unwrap_or_default(),
                );
                if named.0.is_empty() || named.1.is_empty() {
                    parameter.refuse("", "needs a name and a path");
                }
                parameter.finish();
                named
            }),
            skip_crds: fields.flag("skipCrds"),
            skip_tests: fields.flag("skipTests"),
            skip_schema_validation: fields.flag("skipSchemaValidation"),
        };
        fields.finish();
        options
    }
}

// === impl HelmParameter ===

impl HelmParameter {
    fn read(mut fields: Fields<'_>) -> Self {
        let value = match fields.take("value") {
            None => String::new(),
            Some(Value::String(value)) => value,
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            Some(_) => {
                fields.refuse("value", "must be text");
                String::new()
            }
        };
        let parameter = Self {
            name: fields.text("name").unwrap_or_default(),
            value,
            force_string: fields.flag("forceString"),
        };
        if parameter.name.is_empty() {
            fields.refuse("name", "is missing");
        }
        fields.finish();
        parameter
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Null => false,
        _ => true,
    }
}
