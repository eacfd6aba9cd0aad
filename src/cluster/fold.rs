//! A live object folded into what a comparison needs: some two hundred bytes.

use provost_delivery::health::rules::Rules;
use provost_delivery::{health, hook};
use provost_manifest::digest::Digest;
use provost_manifest::object::ObjectKey;
use serde_json::Value;

/// Annotation with the number of a Deployment's rollout.
const DEPLOYMENT_REVISION: &str = "deployment.kubernetes.io/revision";

/// What is kept of a live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Digest of all that a person or a controller can set: everything but status and bookkeeping.
    pub digest: Digest,
    /// How it fares; `None` where its kind has no rule.
    pub health: Option<health::Health>,
}

// === impl Folded ===

impl Folded {
    /// Folds an object as the apiserver gave it, with its health by the built-in rules.
    pub fn of(object: &Value) -> Self {
        Self::by(object, &Rules::default())
    }

    /// Folds an object as the apiserver gave it, with its health by `rules` before the built-in ones.
    pub fn by(object: &Value, rules: &Rules) -> Self {
        let metadata = object.get("metadata");
        let text = |key| {
            let value = metadata
                .and_then(|metadata| metadata.get(key))
                .and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        Self {
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            digest: digest(object),
            // A hook does not count for its Application, but its sync waits for it.
            health: (health::counts(object) || hook::is_hook(object)).then(|| rules.assess(object)),
        }
    }

    /// Whether `other` was seen later. Resource versions count up; where they do not, what comes last is later.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (
            self.resource_version.parse::<u64>(),
            other.resource_version.parse::<u64>(),
        ) {
            (Ok(ours), Ok(theirs)) => ours < theirs,
            _ => true,
        }
    }
}

fn digest(object: &Value) -> Digest {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for bookkeeping in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(bookkeeping);
            }
            // Written by the deployment controller a moment after each apply; no comparison minds it either.
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(DEPLOYMENT_REVISION);
            }
        }
    }
    Digest::of_value(&object)
}

/// The identity of a live object.
pub(super) fn key_of(object: &Value) -> Option<ObjectKey> {
    ObjectKey::of(object)
}
