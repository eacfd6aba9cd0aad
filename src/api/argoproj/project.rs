//! Argo CD's `AppProject`, as users know it. Its spec is kept as written; [`AppProject::project`] reads it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use provost_delivery::project::{InvalidProject, Project};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An AppProject object as it is in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppProject {
    /// Its metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Its spec as written.
    #[serde(default)]
    pub spec: Value,
}

// === impl AppProject ===

impl kube::Resource for AppProject {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "AppProject".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "appprojects".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl AppProject {
    /// What it allows; one that cannot be read allows nothing.
    pub fn project(&self) -> Result<Project, InvalidProject> {
        Project::parse(self.metadata.name.as_deref().unwrap_or_default(), &self.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_project_of_the_cluster_is_read_with_its_name() {
        let project: AppProject = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "shop", "namespace": "provost"},
            "spec": {"sourceRepos": ["*"]},
            "status": {"jwtTokensByRole": {}},
        }))
        .unwrap();
        let project = project.project().unwrap();
        assert_eq!(project.name(), "shop");
        assert!(project.check_source("https://git.example.com/a").is_ok());
    }

    #[test]
    fn a_project_without_a_spec_allows_nothing() {
        let project = AppProject::default().project().unwrap();
        assert!(project.check_source("https://git.example.com/a").is_err());
    }
}
