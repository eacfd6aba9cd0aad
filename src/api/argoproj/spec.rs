//! An Application's spec, read strictly: what is not understood is an error that names it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::source::ApplicationSource;
use super::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};

/// How many syncs `status.history` keeps where the spec does not say.
const DEFAULT_HISTORY: usize = 10;
/// How many the spec may ask for.
const MAX_HISTORY: usize = 100;

/// The spec, every field of it understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSpec {
    /// Where the objects are declared: at least one.
    pub sources: Vec<ApplicationSource>,
    /// Namespace of namespaced objects that name none.
    pub namespace: Option<String>,
    /// Whether and how the agent acts by itself.
    pub automated: Option<Automated>,
    /// Whether the destination namespace is made where it is missing.
    pub create_namespace: bool,
    /// How many syncs are kept in the status.
    pub history_limit: usize,
}

/// `syncPolicy.automated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automated {
    /// Delete what is no longer declared.
    pub prune: bool,
    /// Put back what somebody changed in the cluster.
    pub self_heal: bool,
    /// Let an empty folder delete everything.
    pub allow_empty: bool,
}

/// Why a spec was refused: one sentence per field, each with the field's path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidSpec(pub Vec<String>);

/// A map that is read field by field; what is left over was not understood.
pub(super) struct Fields<'v> {
    path: String,
    left: Map<String, Value>,
    pub(super) empty: bool,
    flaws: &'v mut Vec<String>,
}

// === impl ApplicationSpec ===

impl ApplicationSpec {
    /// Reads a spec strictly: what is not understood is an error that names it.
    pub fn parse(spec: &Value) -> Result<Self, InvalidSpec> {
        let mut flaws = Vec::new();
        let parsed = Self::read(Fields::of("spec", Some(spec), &mut flaws));
        if flaws.is_empty() {
            Ok(parsed)
        } else {
            Err(InvalidSpec(flaws))
        }
    }

    fn read(mut fields: Fields<'_>) -> Self {
        if let Some(project) = fields
            .text("project")
            .filter(|project| !project.is_empty() && project != "default")
        {
            fields.refuse(
                "project",
                &format!("{project:?} is not known: only the project \"default\" is, so far"),
            );
        }
        let sources = read_sources(&mut fields);
        let namespace = fields.child("destination", read_destination);
        let (automated, create_namespace) = fields.child("syncPolicy", read_sync_policy);
        let history_limit = match fields.take("revisionHistoryLimit") {
            None => DEFAULT_HISTORY,
            Some(limit) => match limit.as_u64().and_then(|limit| usize::try_from(limit).ok()) {
                Some(limit) if limit <= MAX_HISTORY => limit,
                _ => {
                    fields.refuse("revisionHistoryLimit", "must be a number from 0 to 100");
                    DEFAULT_HISTORY
                }
            },
        };
        // Free text for people.
        fields.take("info");
        fields.finish();
        Self {
            sources,
            namespace,
            automated,
            create_namespace,
            history_limit,
        }
    }
}

/// `sources` where there are any, or else `source`, as Argo CD decides it.
fn read_sources(fields: &mut Fields<'_>) -> Vec<ApplicationSource> {
    let single = fields.take("source");
    let several = match fields.take("sources") {
        None => Vec::new(),
        Some(Value::Array(sources)) => sources,
        Some(_) => {
            fields.refuse("sources", "must be a list");
            Vec::new()
        }
    };
    let written = if several.is_empty() {
        vec![(format!("{}.source", fields.path), single)]
    } else {
        let place = |index| format!("{}.sources[{index}]", fields.path);
        several
            .into_iter()
            .enumerate()
            .map(|(index, source)| (place(index), Some(source)))
            .collect()
    };
    let mut sources = Vec::new();
    for (place, source) in written {
        sources.extend(ApplicationSource::read(
            Fields::of(&place, source.as_ref(), fields.flaws),
            source.as_ref(),
        ));
    }
    let mut names: Vec<_> = sources
        .iter()
        .filter_map(|source| source.reference.as_deref())
        .collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        fields.refuse("sources", "give one ref to two sources");
    }
    sources
}

fn read_destination(mut fields: Fields<'_>) -> Option<String> {
    if fields.empty {
        fields.refuse("", "is missing: server or name, and namespace are wanted");
    }
    if let Some(server) = fields
        .text("server")
        .filter(|server| !server.is_empty() && server != IN_CLUSTER_SERVER)
    {
        fields.refuse(
            "server",
            &format!("{server:?} is another cluster: only {IN_CLUSTER_SERVER} is supported"),
        );
    }
    if let Some(name) = fields
        .text("name")
        .filter(|name| !name.is_empty() && name != IN_CLUSTER_NAME)
    {
        fields.refuse(
            "name",
            &format!("{name:?} is another cluster: only {IN_CLUSTER_NAME} is supported"),
        );
    }
    let namespace = fields.text("namespace").filter(|namespace| !namespace.is_empty());
    fields.finish();
    namespace
}

fn read_sync_policy(mut fields: Fields<'_>) -> (Option<Automated>, bool) {
    let automated = fields.child("automated", |mut automated| {
        let enabled = !automated.empty && automated.take("enabled") != Some(Value::Bool(false));
        let policy = Automated {
            prune: automated.flag("prune"),
            self_heal: automated.flag("selfHeal"),
            allow_empty: automated.flag("allowEmpty"),
        };
        automated.finish();
        enabled.then_some(policy)
    });
    let options = match fields.take("syncOptions") {
        None => Vec::new(),
        Some(Value::Array(options)) => options,
        Some(_) => {
            fields.refuse("syncOptions", "must be a list");
            Vec::new()
        }
    };
    let mut create_namespace = false;
    for (index, option) in options.iter().enumerate() {
        match option.as_str() {
            Some("CreateNamespace=true") => create_namespace = true,
            // What is done anyway.
            Some("CreateNamespace=false" | "ServerSideApply=true" | "PruneLast=true") => {}
            _ => fields.refuse(
                &format!("syncOptions[{index}]"),
                &format!("{option} is not supported: only CreateNamespace=true is, so far"),
            ),
        }
    }
    fields.finish();
    (automated, create_namespace)
}

// === impl Fields ===

impl<'v> Fields<'v> {
    pub(super) fn of(path: &str, value: Option<&Value>, flaws: &'v mut Vec<String>) -> Self {
        let left = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) => Some(fields.clone()),
            Some(_) => {
                flaws.push(format!("{path} must be a map"));
                Some(Map::new())
            }
        };
        Self {
            path: path.to_owned(),
            empty: left.is_none(),
            left: left.unwrap_or_default(),
            flaws,
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        if !value.is_string() {
            self.refuse(name, "must be text");
        }
        value.as_str().map(str::to_owned)
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.refuse(name, "must be true or false");
                false
            }
        }
    }

    pub(super) fn child<T>(&mut self, name: &str, read: impl FnOnce(Fields<'_>) -> T) -> T {
        let value = self.left.remove(name);
        let path = format!("{}.{name}", self.path);
        read(Fields::of(&path, value.as_ref(), self.flaws))
    }

    /// A list, each entry of it a map that is read field by field.
    pub(super) fn list<T>(&mut self, name: &str, read: impl Fn(Fields<'_>) -> T) -> Vec<T> {
        let entries = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                self.refuse(name, "must be a list");
                return Vec::new();
            }
        };
        let place = |index| format!("{}.{name}[{index}]", self.path);
        let places: Vec<String> = (0..entries.len()).map(place).collect();
        let mut read_entries = Vec::with_capacity(entries.len());
        for (place, entry) in places.iter().zip(&entries) {
            read_entries.push(read(Fields::of(place, Some(entry), self.flaws)));
        }
        read_entries
    }

    /// A list of text.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => {
                let texts = texts.iter().filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            }
            Some(_) => {
                self.refuse(name, "must be a list of text");
                Vec::new()
            }
        }
    }

    /// A map of text.
    pub(super) fn text_map(&mut self, name: &str) -> BTreeMap<String, String> {
        match self.take(name) {
            None => BTreeMap::new(),
            Some(Value::Object(texts)) if texts.values().all(Value::is_string) => texts
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
                .collect(),
            Some(_) => {
                self.refuse(name, "must be a map of text");
                BTreeMap::new()
            }
        }
    }

    pub(super) fn refuse(&mut self, name: &str, reason: &str) {
        let dot = if name.is_empty() { "" } else { "." };
        self.flaws.push(format!("{}{dot}{name} {reason}", self.path));
    }

    /// Whatever was not taken is not supported.
    pub(super) fn finish(self) {
        for name in self.left.keys() {
            self.flaws
                .push(format!("{}.{name} is not supported yet", self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn spec_with(field: &str, value: Value) -> Value {
        let mut spec = json!({
            "project": "default",
            "source": {"repoURL": "https://git.example.com/company/infrastructure", "path": "apps/my-app"},
            "destination": {"server": IN_CLUSTER_SERVER, "namespace": "shop"},
        });
        let (parents, name) = field.rsplit_once('.').unwrap_or(("", field));
        let mut place = &mut spec;
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            if place.get(parent).is_none() {
                place[parent] = json!({});
            }
            place = &mut place[parent];
        }
        place[name] = value;
        spec
    }

    #[test]
    fn reads_what_the_first_cut_supports() {
        let spec = spec_with(
            "syncPolicy",
            json!({"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"]}),
        );
        let spec = ApplicationSpec::parse(&spec).unwrap();
        assert_eq!(spec.sources[0].target_revision, "HEAD");
        assert_eq!(spec.namespace.as_deref(), Some("shop"));
        assert_eq!(
            spec.automated,
            Some(Automated {
                prune: true,
                self_heal: true,
                allow_empty: false
            })
        );
        assert!(spec.create_namespace);
    }

    #[rstest]
    #[case("syncPolicy.automated", json!({}), true)]
    #[case("syncPolicy.automated", json!({"enabled": false}), false)]
    #[case("syncPolicy.automated", json!(null), false)]
    fn automated_counts_when_it_is_there_and_not_switched_off(
        #[case] field: &str,
        #[case] value: Value,
        #[case] automated: bool,
    ) {
        let spec = ApplicationSpec::parse(&spec_with(field, value)).unwrap();
        assert_eq!(spec.automated.is_some(), automated);
    }

    #[rstest]
    #[case("project", json!("team-a"), "spec.project \"team-a\" is not known")]
    #[case("ignoreDifferences", json!([]), "spec.ignoreDifferences is not supported yet")]
    #[case("source.chart", json!("nginx"), "spec.source.chart is not supported: chart repositories")]
    #[case("source.plugin", json!({}), "spec.source.plugin is not supported: plugins")]
    #[case("destination.server", json!("https://10.0.0.1"), "spec.destination.server \"https://10.0.0.1\" is another")]
    #[case("destination.name", json!("staging"), "spec.destination.name \"staging\" is another")]
    #[case("syncPolicy.retry", json!({"limit": 5}), "spec.syncPolicy.retry is not supported yet")]
    #[case("syncPolicy.syncOptions", json!(["Replace=true"]), "spec.syncPolicy.syncOptions[0] \"Replace=true\" is not")]
    #[case("syncPolicy.automated", json!({"prune": "yes"}), "spec.syncPolicy.automated.prune must be true or false")]
    #[case("source.helm", json!({"repository": "x"}), "spec.source.helm.repository is not supported yet")]
    #[case("source.helm", json!({"version": "v2"}), "spec.source.helm.version \"v2\" is not supported")]
    #[case("source.helm", json!({"parameters": [{"value": "a"}]}), "spec.source.helm.parameters[0].name is missing")]
    #[case("source.kustomize", json!({"version": "v4"}), "spec.source.kustomize.version is not supported yet")]
    #[case("source.kustomize", json!({"labelIncludeTemplates": true}), "spec.source.kustomize.labelIncludeTemplates needs")]
    #[case("source.directory", json!({"jsonnet": {"libs": ["a"]}}), "spec.source.directory.jsonnet is not supported")]
    #[case("source", json!({"repoURL": "a", "helm": {"skipCrds": true}, "kustomize": {"namePrefix": "a"}}), "spec.source has options of kustomize and of helm")]
    #[case("sources", json!([{"repoURL": "a", "ref": "v"}, {"repoURL": "b", "ref": "v"}]), "spec.sources give one ref to two")]
    #[case("sources", json!([{"repoURL": "a", "helm": {"x": 1}}]), "spec.sources[0].helm.x is not supported yet")]
    #[case("source", json!(null), "spec.source is missing")]
    #[case("source", json!("x"), "spec.source must be a map")]
    fn refuses_by_name_what_it_does_not_support(
        #[case] field: &str,
        #[case] value: Value,
        #[case] reason: &str,
    ) {
        let error = ApplicationSpec::parse(&spec_with(field, value))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(reason), "{error}");
    }

    #[test]
    fn every_flaw_is_named_at_once() {
        let mut spec = spec_with("source.plugin", json!({"name": "x"}));
        spec["project"] = json!("team-a");
        assert_eq!(ApplicationSpec::parse(&spec).unwrap_err().0.len(), 2);
    }
}
