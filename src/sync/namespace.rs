//! `managedNamespaceMetadata` for a namespace that was there before: it gets the labels and annotations, and stays
//! nobody's to delete.

use provost_manifest::object::ObjectKey;
use serde_json::json;

use super::application::{Goal, Task};
use super::error::Error;
use super::plan::target;
use crate::api::argoproj::ApplicationSpec;

// === impl Task ===

impl Task {
    /// Writes the labels and annotations that the Application wants on its namespace, where that is not its own. One
    /// that Git declares is left to Git.
    pub(super) async fn carry_namespace_metadata(
        &self,
        spec: &ApplicationSpec,
        goal: &Goal,
    ) -> Result<(), Error> {
        let (Some(metadata), Some(name), true) = (
            &spec.sync_policy.namespace_metadata,
            &spec.namespace,
            spec.create_namespace,
        ) else {
            return Ok(());
        };
        let key = ObjectKey {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: name.clone(),
        };
        let declared = goal.desired.get(&key).filter(|desired| desired.only_if_absent);
        let live = self.state.get(&key).and_then(|seen| seen.live.as_ref());
        let (Some(desired), Some(live), false) = (declared, live, self.is_ours(&key)) else {
            return Ok(());
        };
        let pairs = |pairs: &[(String, String)]| {
            let pairs = pairs.iter().map(|(key, value)| (key.clone(), json!(value)));
            serde_json::Value::Object(pairs.collect())
        };
        // With its uid, so that none is made in its place.
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "uid": live.uid,
            "labels": pairs(&metadata.labels), "annotations": pairs(&metadata.annotations),
        }});
        let actor = self.actor()?;
        let target = target(&actor, desired).map_err(|error| Error::Object(error.sentence()))?;
        actor.apply(&target, &object).await?;
        Ok(())
    }
}
