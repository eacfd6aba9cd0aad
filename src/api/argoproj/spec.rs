//! An Application's spec, read strictly: what is not understood is an error that names it.

use provost_delivery::fields::Fields;
use provost_delivery::ignore::IgnoreRules;
use serde_json::Value;

use super::operation::read_info;
use super::policy::{Automated, SyncPolicy, read_ignore_differences};
use super::source::ApplicationSource;
use super::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};

/// The project of an Application that names none.
pub const DEFAULT_PROJECT: &str = "default";

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
    /// Name of its AppProject.
    pub project: String,
    /// How it is synced; `automated` and `create_namespace` are in it too.
    pub sync_policy: SyncPolicy,
    /// Fields whose difference from Git is nobody's business.
    pub ignore_differences: IgnoreRules,
    /// Names and values for people.
    pub info: Vec<(String, String)>,
}

/// Why a spec was refused: one sentence per field, each with the field's path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidSpec(pub Vec<String>);

// === impl ApplicationSpec ===

impl ApplicationSpec {
    /// Reads a spec strictly: what is not understood is an error that names it, every flaw at once.
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
        let project = fields.text("project").filter(|project| !project.is_empty());
        let sources = read_sources(&mut fields);
        let namespace = fields.child("destination", read_destination);
        let sync_policy = SyncPolicy::read(fields.take("syncPolicy").as_ref(), fields.flaws());
        let ignore_differences =
            read_ignore_differences(fields.take("ignoreDifferences").as_ref(), fields.flaws());
        let info = serde_json::json!({ "info": fields.take("info") });
        let info = read_info(&mut Fields::of("spec", Some(&info), fields.flaws()));
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
        if fields.take("sourceHydrator").is_some() {
            fields.refuse(
                "sourceHydrator",
                "is not supported: nothing but promotion writes to Git",
            );
        }
        fields.finish();
        Self {
            sources,
            namespace,
            automated: sync_policy.automated,
            create_namespace: sync_policy.options.create_namespace.unwrap_or_default(),
            history_limit,
            project: project.unwrap_or_else(|| DEFAULT_PROJECT.to_owned()),
            sync_policy,
            ignore_differences,
            info,
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
        vec![(format!("{}.source", fields.path()), single)]
    } else {
        let place = |index| format!("{}.sources[{index}]", fields.path());
        several
            .into_iter()
            .enumerate()
            .map(|(index, source)| (place(index), Some(source)))
            .collect()
    };
    let mut sources = Vec::new();
    for (place, source) in written {
        sources.extend(ApplicationSource::read(
            Fields::of(&place, source.as_ref(), fields.flaws()),
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
    if fields.is_absent() {
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
    #[case("ignoreDifferences", json!([{"kind": "Secret"}]), "spec.ignoreDifferences[0] names no fields")]
    #[case("info", json!([{"name": "a", "odd": "b"}]), "spec.info[0].odd is not supported")]
    #[case("sourceHydrator", json!({}), "spec.sourceHydrator is not supported")]
    #[case("revisionHistoryLimit", json!(101), "spec.revisionHistoryLimit must be")]
    #[case("syncPolicy.managedNamespaceMetadata", json!({}), "spec.syncPolicy.managedNamespaceMetadata is not supported yet")]
    #[case("source.chart", json!("nginx"), "spec.source.chart is not supported: chart repositories")]
    #[case("source.plugin", json!({}), "spec.source.plugin is not supported: plugins")]
    #[case("destination.server", json!("https://10.0.0.1"), "spec.destination.server \"https://10.0.0.1\" is another")]
    #[case("destination.name", json!("staging"), "spec.destination.name \"staging\" is another")]
    #[case("syncPolicy.automated", json!({"prune": "yes"}), "spec.syncPolicy.automated.prune must be true or false")]
    #[case("source.helm", json!({"repository": "x"}), "spec.source.helm.repository is not supported")]
    #[case("source.helm", json!({"version": "v2"}), "spec.source.helm.version \"v2\" is not supported")]
    #[case("source.helm", json!({"parameters": [{"value": "a"}]}), "spec.source.helm.parameters[0].name is missing")]
    #[case("source.kustomize", json!({"version": "v4"}), "spec.source.kustomize.version is not supported")]
    #[case("source.kustomize", json!({"labelIncludeTemplates": true}), "spec.source.kustomize.labelIncludeTemplates needs")]
    #[case("source.directory", json!({"jsonnet": {"libs": ["a"]}}), "spec.source.directory.jsonnet is not supported")]
    #[case("source", json!({"repoURL": "a", "helm": {"skipCrds": true}, "kustomize": {"namePrefix": "a"}}), "spec.source has options of kustomize and of helm")]
    #[case("sources", json!([{"repoURL": "a", "ref": "v"}, {"repoURL": "b", "ref": "v"}]), "spec.sources give one ref to two")]
    #[case("sources", json!([{"repoURL": "a", "helm": {"x": 1}}]), "spec.sources[0].helm.x is not supported")]
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
    fn projects_differences_and_words_for_people_are_read() {
        let mut spec = spec_with("syncPolicy.syncOptions", json!(["RespectIgnoreDifferences=true"]));
        spec["project"] = json!("team-a");
        spec["ignoreDifferences"] =
            json!([{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]);
        spec["info"] = json!([{"name": "Runbook", "value": "https://wiki.example.com"}]);
        let spec = ApplicationSpec::parse(&spec).unwrap();
        assert_eq!(spec.project, "team-a");
        assert_eq!(spec.sync_policy.options.respect_ignore_differences, Some(true));
        assert!(!spec.ignore_differences.is_empty());
        assert_eq!(spec.info[0].0, "Runbook");
    }

    #[test]
    fn every_flaw_is_named_at_once() {
        let mut spec = spec_with("source.plugin", json!({"name": "x"}));
        spec["destination"]["server"] = json!("https://other.example.com");
        assert_eq!(ApplicationSpec::parse(&spec).unwrap_err().0.len(), 2);
    }
}
