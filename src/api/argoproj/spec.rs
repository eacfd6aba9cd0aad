//! An Application's spec, read strictly: what is not understood is an error that names it.

use provost_delivery::fields as delivery;
use provost_delivery::ignore::IgnoreRules;
use serde_json::{Map, Value};

use super::operation::read_info;
use super::policy::{Automated, SyncPolicy, read_ignore_differences};
use super::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};

/// The project of an Application that names none.
const DEFAULT_PROJECT: &str = "default";

/// How many syncs `status.history` keeps where the spec does not say.
const DEFAULT_HISTORY: usize = 10;
/// How many the spec may ask for.
const MAX_HISTORY: usize = 100;

/// The spec, every field of it understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSpec {
    /// Where the objects are declared.
    pub source: ApplicationSource,
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

/// One Git source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSource {
    /// Repository URL, as written.
    pub repo_url: String,
    /// Folder, as written.
    pub path: String,
    /// Branch, tag, commit or `HEAD`.
    pub target_revision: String,
    /// Whether a plain folder's folders are read too.
    pub recurse: bool,
}

/// Why a spec was refused: one sentence per field, each with the field's path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidSpec(pub Vec<String>);

/// A map that is read field by field; what is left over was not understood.
struct Fields<'v> {
    path: String,
    left: Map<String, Value>,
    empty: bool,
    flaws: &'v mut Vec<String>,
}

// === impl ApplicationSpec ===

impl ApplicationSpec {
    /// Reads a spec strictly: what is not understood, and what is understood and not carried out yet, is an error
    /// that names it.
    pub fn parse(spec: &Value) -> Result<Self, InvalidSpec> {
        Self::checked(spec, Self::not_carried_out)
    }

    /// Reads a spec with all that is understood of it, whether or not it is carried out yet.
    pub fn parse_whole(spec: &Value) -> Result<Self, InvalidSpec> {
        Self::checked(spec, |_| Vec::new())
    }

    /// Every flaw at once: of the form, and what `further` says.
    fn checked(spec: &Value, further: impl Fn(&Self) -> Vec<String>) -> Result<Self, InvalidSpec> {
        let mut flaws = Vec::new();
        let parsed = Self::read(Fields::of("spec", Some(spec), &mut flaws));
        flaws.extend(parsed.iter().flat_map(further));
        match parsed {
            Some(spec) if flaws.is_empty() => Ok(spec),
            _ => Err(InvalidSpec(flaws)),
        }
    }

    /// What is understood and not carried out yet, a sentence each. Whoever carries it out takes it from here.
    fn not_carried_out(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        if self.project != DEFAULT_PROJECT {
            flaws.push(format!(
                "spec.project {:?} is not known: only the project \"default\" is, so far",
                self.project
            ));
        }
        flaws.extend(self.sync_policy.not_carried_out());
        if !self.ignore_differences.is_empty() {
            flaws.push("spec.ignoreDifferences is not supported yet".to_owned());
        }
        flaws
    }

    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let project = fields.text("project").filter(|project| !project.is_empty());
        let source = fields.child("source", ApplicationSource::read);
        let namespace = fields.child("destination", read_destination);
        let sync_policy = SyncPolicy::read(fields.take("syncPolicy").as_ref(), fields.flaws);
        let ignore_differences =
            read_ignore_differences(fields.take("ignoreDifferences").as_ref(), fields.flaws);
        let info = serde_json::json!({ "info": fields.take("info") });
        let info = read_info(&mut delivery::Fields::of("spec", Some(&info), fields.flaws));
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
        Some(Self {
            source: source?,
            namespace,
            automated: sync_policy.automated,
            create_namespace: sync_policy.options.create_namespace.unwrap_or_default(),
            history_limit,
            project: project.unwrap_or_else(|| DEFAULT_PROJECT.to_owned()),
            sync_policy,
            ignore_differences,
            info,
        })
    }
}

// === impl ApplicationSource ===

impl ApplicationSource {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        if fields.empty {
            fields.refuse("", "is missing: a Git source with repoURL and path is wanted");
            return None;
        }
        let repo_url = fields.text("repoURL").unwrap_or_default();
        if repo_url.is_empty() {
            fields.refuse("repoURL", "is missing");
        }
        let path = fields.text("path").unwrap_or_default();
        let target_revision = fields.text("targetRevision").filter(|text| !text.is_empty());
        let recurse = fields.child("directory", |mut directory| {
            let recurse = directory.flag("recurse");
            directory.finish();
            recurse
        });
        // Empty, it only says which tool; that is found out anyway.
        fields.child("kustomize", |kustomize: Fields<'_>| kustomize.finish());
        fields.finish();
        Some(Self {
            repo_url,
            path,
            target_revision: target_revision.unwrap_or_else(|| "HEAD".to_owned()),
            recurse,
        })
    }
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

// === impl Fields ===

impl<'v> Fields<'v> {
    fn of(path: &str, value: Option<&Value>, flaws: &'v mut Vec<String>) -> Self {
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

    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        if !value.is_string() {
            self.refuse(name, "must be text");
        }
        value.as_str().map(str::to_owned)
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.refuse(name, "must be true or false");
                false
            }
        }
    }

    fn child<T>(&mut self, name: &str, read: impl FnOnce(Fields<'_>) -> T) -> T {
        let value = self.left.remove(name);
        let path = format!("{}.{name}", self.path);
        read(Fields::of(&path, value.as_ref(), self.flaws))
    }

    fn refuse(&mut self, name: &str, reason: &str) {
        let dot = if name.is_empty() { "" } else { "." };
        self.flaws.push(format!("{}{dot}{name} {reason}", self.path));
    }

    /// Whatever was not taken is not supported.
    fn finish(self) {
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
        assert_eq!(spec.source.target_revision, "HEAD");
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
    #[case("sources", json!([]), "spec.sources is not supported yet")]
    #[case("ignoreDifferences", json!([{"kind": "Secret", "jsonPointers": ["/data"]}]), "spec.ignoreDifferences is not supported yet")]
    #[case("ignoreDifferences", json!([{"kind": "Secret"}]), "spec.ignoreDifferences[0] names no fields")]
    #[case("info", json!([{"name": "a", "odd": "b"}]), "spec.info[0].odd is not supported")]
    #[case("sourceHydrator", json!({}), "spec.sourceHydrator is not supported")]
    #[case("revisionHistoryLimit", json!(101), "spec.revisionHistoryLimit must be")]
    #[case("syncPolicy.managedNamespaceMetadata", json!({}), "spec.syncPolicy.managedNamespaceMetadata is not supported yet")]
    #[case("source.chart", json!("nginx"), "spec.source.chart is not supported yet")]
    #[case("source.helm", json!({"values": ""}), "spec.source.helm is not supported yet")]
    #[case("source.plugin", json!({}), "spec.source.plugin is not supported yet")]
    #[case("source.kustomize", json!({"images": ["a"]}), "spec.source.kustomize.images is not supported yet")]
    #[case("source.directory", json!({"include": "*.yaml"}), "spec.source.directory.include is not supported yet")]
    #[case("destination.server", json!("https://10.0.0.1"), "spec.destination.server \"https://10.0.0.1\" is another")]
    #[case("destination.name", json!("staging"), "spec.destination.name \"staging\" is another")]
    #[case("syncPolicy.retry", json!({"limit": 5}), "spec.syncPolicy.retry is not supported yet")]
    #[case("syncPolicy.syncOptions", json!(["Replace=true"]), "spec.syncPolicy.syncOptions: Replace is not carried out yet")]
    #[case("syncPolicy.automated", json!({"prune": "yes"}), "spec.syncPolicy.automated.prune must be true or false")]
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
    fn what_is_not_carried_out_yet_is_read_all_the_same() {
        let mut spec = spec_with("syncPolicy.syncOptions", json!(["RespectIgnoreDifferences=true"]));
        spec["project"] = json!("team-a");
        spec["ignoreDifferences"] =
            json!([{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]);
        spec["info"] = json!([{"name": "Runbook", "value": "https://wiki.example.com"}]);
        let spec = ApplicationSpec::parse_whole(&spec).unwrap();
        assert_eq!(spec.project, "team-a");
        assert_eq!(spec.sync_policy.options.respect_ignore_differences, Some(true));
        assert!(!spec.ignore_differences.is_empty());
        assert_eq!(spec.info[0].0, "Runbook");
    }

    #[test]
    fn every_flaw_is_named_at_once() {
        let mut spec = spec_with("sources", json!([]));
        spec["project"] = json!("team-a");
        assert_eq!(ApplicationSpec::parse(&spec).unwrap_err().0.len(), 2);
    }
}
