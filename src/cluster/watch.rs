//! Watches over the live objects that we answer for, folded as they come in.

use std::collections::HashMap;

use futures::StreamExt as _;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use provost_delivery::health::rules::Rules;
use provost_delivery::owner;
use provost_manifest::object::ObjectKey;
use serde_json::Value;

use super::{Cluster, Folded, Kind, fold};

/// What a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The object's owner label.
    pub owner: String,
    /// The object.
    pub key: ObjectKey,
    /// How it is; `None` once it is gone, or no longer carries the label.
    pub seen: Option<Folded>,
}

/// Watches every object of a kind that carries the owner label, for ever; what is seen is handed to `observe`. Lost
/// connections are taken up again with backoff, and what went missing meanwhile is reported then.
pub async fn watch_owned(cluster: Cluster, kind: Kind, observe: impl Fn(Observation)) {
    let (client, rules) = (cluster.client().clone(), cluster.health_rules());
    let api: Api<DynamicObject> = Api::all_with(client, &kind.api_resource());
    let config = watcher::Config::default().labels(owner::LABEL);
    let mut events = watcher(api, config).default_backoff().boxed();
    // Whom each object belongs to, so that one that vanishes between two lists is not forgotten.
    let mut owners: HashMap<ObjectKey, String> = HashMap::new();
    let mut listed: HashMap<ObjectKey, String> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                if let Some(observation) = present(&kind, &object, rules) {
                    listed.insert(observation.key.clone(), observation.owner.clone());
                    observe(observation);
                }
            }
            Ok(Event::InitDone) => {
                let known = std::mem::replace(&mut owners, std::mem::take(&mut listed));
                for (key, owner) in known {
                    if !owners.contains_key(&key) {
                        observe(Observation {
                            owner,
                            key,
                            seen: None,
                        });
                    }
                }
            }
            Ok(Event::Apply(object)) => {
                if let Some(observation) = present(&kind, &object, rules) {
                    owners.insert(observation.key.clone(), observation.owner.clone());
                    observe(observation);
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some(observation) = present(&kind, &object, rules) {
                    owners.remove(&observation.key);
                    observe(Observation {
                        seen: None,
                        ..observation
                    });
                }
            }
            Err(error) => {
                tracing::debug!(kind = %kind.gvk, %error, "A watch was interrupted; it is taken up again.");
            }
        }
    }
}

fn present(kind: &Kind, object: &DynamicObject, rules: &Rules) -> Option<Observation> {
    let owner = object.metadata.labels.as_ref()?.get(owner::LABEL)?.clone();
    let mut value = serde_json::to_value(object).ok()?;
    // Lists give their items without kind and version.
    if let Value::Object(fields) = &mut value {
        fields.insert("apiVersion".to_owned(), kind.gvk.api_version().into());
        fields.insert("kind".to_owned(), kind.gvk.kind.clone().into());
    }
    Some(Observation {
        owner,
        key: fold::key_of(&value)?,
        seen: Some(Folded::by(&value, rules)),
    })
}
