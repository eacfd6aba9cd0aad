//! Argo CD's `Application`, as users know it.
//!
//! The object keeps its spec as written, because a field that is not supported must be refused by name and never
//! ignored: [`ApplicationSpec::parse`] reads it strictly. The status holds Argo CD's fields and nothing else.

mod operation;
mod policy;
mod project;
mod source;
mod spec;

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use operation::{Operation, OperationResource};
pub use policy::{Automated, NamespaceMetadata, SyncPolicy};
pub use project::AppProject;
pub use source::{
    ApplicationSource, DirectoryOptions, HelmOptions, HelmParameter, KustomizeOptions, SourceOptions,
};
pub use spec::{ApplicationSpec, DEFAULT_PROJECT, InvalidSpec};

/// Names the cluster that the agent runs against.
pub const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
/// The same, by name.
pub const IN_CLUSTER_NAME: &str = "in-cluster";
/// The finalizer that makes an Application's deletion delete what it owns.
pub const RESOURCES_FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
/// Asks for a look at the repository at once; removed when that was done.
pub const REFRESH_ANNOTATION: &str = "argocd.argoproj.io/refresh";
/// Says what the agent may do: `enforce`, `drift-only` or `off`.
pub const MODE_ANNOTATION: &str = "provost.dev/mode";
/// The mode in which an Application is left alone altogether.
pub const MODE_OFF: &str = "off";
/// An Application object as it is in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Its metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Its spec as written.
    #[serde(default)]
    pub spec: Value,
    /// What was said of it last.
    #[serde(default, deserialize_with = "lenient")]
    pub status: ApplicationStatus,
    /// An operation that somebody asked for.
    #[serde(default)]
    pub operation: Option<Value>,
}

/// `status`, Argo CD's fields only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationStatus {
    /// Whether the cluster is as Git says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncStatus>,
    /// How the objects fare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// What was deployed, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<RevisionHistory>,
    /// The last sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_state: Option<OperationState>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The objects, capped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceStatus>,
    /// When the agent last compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<String>,
}

/// `status.sync`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncStatus {
    /// Whether the cluster is as Git says.
    pub status: SyncCode,
    /// The commit that was compared with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The commit of each source, where the spec has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// What was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_to: Option<ComparedTo>,
}

/// `status.sync.comparedTo`: sources and destination as the spec writes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparedTo {
    /// `spec.source`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub source: Value,
    /// `spec.sources`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub sources: Value,
    /// `spec.destination`.
    pub destination: Value,
}

/// Whether the cluster is as Git says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncCode {
    /// It is.
    Synced,
    /// It is not.
    OutOfSync,
    /// That could not be found out.
    #[default]
    Unknown,
}

/// `status.health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthStatus {
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    pub status: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One entry of `status.history`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionHistory {
    /// Counts up.
    pub id: i64,
    /// The commit.
    pub revision: String,
    /// When it was there.
    pub deployed_at: String,
    /// When the agent started to bring it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy_started_at: Option<String>,
    /// `spec.source` as it was then.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub source: Value,
    /// The commit of each source, where there were several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// `spec.sources` as it was then.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub sources: Value,
}

/// `status.operationState`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OperationState {
    /// What was asked for.
    pub operation: Value,
    /// `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// What came of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How often it has failed, where it is tried again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_count: i64,
    /// Its result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_result: Option<SyncResult>,
}

/// `status.operationState.syncResult`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncResult {
    /// The commit.
    pub revision: String,
}

/// `status.conditions[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `InvalidSpecError`, `ComparisonError`, `SyncError`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, where, what to do.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

/// `status.resources[]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceStatus {
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether the object is as Git says.
    pub status: SyncCode,
    /// How it fares, where its kind has a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
    /// Whether it is only there to be pruned.
    #[serde(skip_serializing_if = "is_false")]
    pub requires_pruning: bool,
}

// === impl Application ===

impl kube::Resource for Application {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Application".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "applications".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Application {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}/{}", text(&self.metadata.namespace), text(&self.metadata.name))
    }

    /// Whether its deletion deletes what it owns.
    pub fn deletes_resources(&self) -> bool {
        let finalizers = self.metadata.finalizers.iter().flatten();
        finalizers
            .map(String::as_str)
            .any(|name| name == RESOURCES_FINALIZER || name.starts_with(&format!("{RESOURCES_FINALIZER}/")))
    }

    /// Whether somebody asks for a look at the repository.
    pub fn wants_refresh(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key(REFRESH_ANNOTATION))
    }
}

/// A status that another tool wrote in a form of its own is no reason to lose the Application.
fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ApplicationStatus, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_in_another_form_does_not_hide_the_application() {
        let application: Application =
            serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {}, "status": {"history": 3}}))
                .unwrap();
        assert_eq!(application.status, ApplicationStatus::default());
    }
}
