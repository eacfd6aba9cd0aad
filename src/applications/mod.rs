//! What people ask about Applications and of them: how they stand and why, what they are made of, to sync, to wait, to
//! be left alone, to go back.
//!
//! Everything here reads and writes Application objects with the rights of who asks. Carrying out is the agent's: a
//! sync is asked for by `operation`, a rollback by a commit or by `spec.source.targetRevision`, so that Git stays the
//! truth.

mod commits;
mod error;
mod mode;
mod operation;
mod progress;
mod rollback;
mod source;
mod standing;
mod tree;

use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::argoproj::{Application, REFRESH_ANNOTATION};
use crate::cluster::{Cluster, FIELD_MANAGER};

pub use commits::{Commit, Commits};
pub use error::Error;
pub use mode::{Change, is_suspended};
pub use operation::{Asked, SyncRequest};
pub use progress::{Goals, Progress};
pub use rollback::{Rollback, RollbackRequest, Step, Way};
pub use source::chosen;
pub use standing::{LastGood, NextTry, Standing};
pub use tree::{Node, Tree};

/// How many Applications one request lists.
const PAGE: u32 = 500;

/// The Applications of a cluster.
#[derive(Clone, Debug)]
pub struct Applications {
    cluster: Cluster,
}

// === impl Applications ===

impl Applications {
    /// Those of this cluster.
    pub fn of(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// All of one namespace, or of all, by namespace and name.
    pub async fn list(&self, namespace: Option<&str>) -> Result<Vec<Application>, Error> {
        let api: Api<Application> = match namespace {
            Some(namespace) => self.api(namespace),
            None => Api::all(self.cluster.client().clone()),
        };
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = self.cluster.ask("list Applications", api.list(&parameters)).await;
            let page = page.map_err(Error::no_kind)?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => break,
            }
        }
        found.sort_by_key(Application::full_name);
        Ok(found)
    }

    /// One Application.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Application, Error> {
        let api = self.api(namespace);
        let found = self.cluster.ask("read the Application", api.get_opt(name)).await;
        found.map_err(Error::no_kind)?.ok_or_else(|| Error::Missing {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Changes an Application by a JSON merge patch; one that has changed since it was read is not touched.
    async fn change(&self, application: &Application, mut change: Value) -> Result<Application, Error> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let metadata = &application.metadata;
        json_patch::merge(
            &mut change,
            &json!({"metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid}}),
        );
        let api = self.api(&text(&metadata.namespace));
        let parameters = PatchParams {
            field_manager: Some(format!("{FIELD_MANAGER}-cli")),
            ..PatchParams::default()
        };
        let (name, patch) = (text(&metadata.name), Patch::Merge(change));
        let written = self
            .cluster
            .ask("change the Application", api.patch(&name, &parameters, &patch))
            .await;
        written.map_err(|error| {
            if error.is_conflict() {
                Error::Changed(application.full_name())
            } else {
                error.into()
            }
        })
    }

    /// Asks the agent to fetch, and to say what it compares with.
    async fn refresh(&self, application: &Application) -> Result<Application, Error> {
        let ask = json!({"metadata": {"annotations": {REFRESH_ANNOTATION: "normal"}}});
        self.change(application, ask).await
    }

    /// What the cluster calls whoever asks; empty where it does not say.
    pub async fn who(&self) -> String {
        use k8s_openapi::api::authentication::v1::SelfSubjectReview;
        let api: Api<SelfSubjectReview> = Api::all(self.cluster.client().clone());
        let (parameters, review) = (kube::api::PostParams::default(), SelfSubjectReview::default());
        let answer = self
            .cluster
            .ask("ask for one's own name", api.create(&parameters, &review))
            .await;
        let status = answer.ok().and_then(|review| review.status);
        status
            .and_then(|status| status.user_info?.username)
            .unwrap_or_default()
    }

    fn api(&self, namespace: &str) -> Api<Application> {
        Api::namespaced(self.cluster.client().clone(), namespace)
    }
}
