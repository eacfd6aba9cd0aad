//! `managedNamespaceMetadata` for a namespace that was there before: it gets the labels and annotations, and stays
//! nobody's to delete.

use provost_manifest::object::ObjectKey;
use provost_policy::text;
use serde_json::{Value, json};

use super::application::{Goal, Task};
use super::error::Error;
use super::plan::target;
use crate::api::argoproj::ApplicationSpec;
use crate::cluster::FIELD_MANAGER;

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
            Value::Object(pairs.collect())
        };
        // With its uid, so that none is made in its place.
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "uid": live.uid,
            "labels": pairs(&metadata.labels), "annotations": pairs(&metadata.annotations),
        }});
        let actor = self.actor()?;
        let target = target(&actor, desired).map_err(|error| Error::Object(error.sentence()))?;
        let (applied, live) = (actor.dry_run(&target, &object).await?, actor.get(&target).await?);
        let Some(live) = live.filter(|live| !is_carried(live, &applied)) else {
            return Ok(());
        };
        let precheck = &self.context.precheck;
        let judgement = precheck.judge(&actor, desired, Some(&live), &applied).await;
        if !judgement.denied.is_empty() {
            let objections = text::objections(judgement.denied.iter().collect::<Vec<_>>(), &|_| None);
            return Err(Error::Stage {
                refused: vec![format!(
                    "Namespace {name} (the Application's syncPolicy.managedNamespaceMetadata) is refused by policy: \
                     {objections}"
                )],
                total: goal.desired.len(),
            });
        }
        actor.apply(&target, &object).await?;
        Ok(())
    }
}

/// Whether the namespace has what it would get, by our hand.
fn is_carried(live: &Value, applied: &Value) -> bool {
    let carried = |object: &Value| {
        let metadata = &object["metadata"];
        let managers = metadata["managedFields"].as_array().into_iter().flatten();
        let ours = managers.filter(|entry| entry["manager"] == FIELD_MANAGER);
        let fields: Vec<Value> = ours.map(|entry| entry["fieldsV1"].clone()).collect();
        (
            metadata["labels"].clone(),
            metadata["annotations"].clone(),
            fields,
        )
    };
    carried(live) == carried(applied)
}
