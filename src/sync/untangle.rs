//! What to write where somebody's edit keeps an apply from being accepted.
//!
//! An apply adds what is declared beside what is there. Where somebody changed what an element of a list is known by
//! (a port's number), or gave a variable another source, both together are refused: two ports of one name, a value
//! and a source. There the object has to be written at once as it should be: what is there, without what they wrote
//! and with what is declared.

use provost_delivery::foreign;
use provost_delivery::owner::Owner;
use provost_delivery::plan::ForeignFields;
use provost_delivery::removal;
use serde_json::Value;

use super::desired::Desired;
use super::plan::Error;
use super::settings::Settings;
use crate::cluster::{Cluster, Target};

/// A replacement that the apiserver would accept.
pub(super) struct Untangled {
    /// The object as it is.
    pub(super) live: Value,
    /// What to put in its place.
    pub(super) replacement: Value,
    /// What would come of that.
    pub(super) replaced: Value,
}

/// Looks for a replacement where a dry-run was refused: `None` where foreign fields are not the reason, where they are
/// to stay, or where something else is to be left alone.
pub(super) async fn untangle(
    cluster: &Cluster,
    owner: &Owner,
    desired: &Desired,
    target: &Target,
    settings: &Settings,
) -> Result<Option<Untangled>, Error> {
    if settings.foreign != ForeignFields::Remove || !settings.ignored.of(&desired.key).is_empty() {
        return Ok(None);
    }
    let Some(live) = cluster.get(target).await?.filter(|live| owner.owns(live)) else {
        return Ok(None);
    };
    let Some(replacement) = replacement(&desired.object.open(), &live)? else {
        return Ok(None);
    };
    match cluster.dry_run_replace(target, &replacement).await {
        Ok(replaced) => Ok(Some(Untangled {
            live,
            replacement,
            replaced,
        })),
        // Then it is refused for another reason, and the first refusal says which.
        Err(error) if error.is_verdict() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The live object without what is foreign on it, and with what is declared; `None` where nothing is foreign.
fn replacement(declared: &Value, live: &Value) -> Result<Option<Value>, Error> {
    let fields = foreign::fields(declared, live);
    let Some(patch) = removal::patch(live, &fields).map_err(|_| Error::NoIdentity)? else {
        return Ok(None);
    };
    let mut object = live.clone();
    let removed = serde_json::from_value::<json_patch::Patch>(patch)
        .is_ok_and(|patch| json_patch::patch(&mut object, &patch).is_ok());
    if !removed {
        return Ok(None);
    }
    lay_over(&mut object, declared);
    Ok(Some(object))
}

/// Maps are merged; a list is as declared, and the server fills in its defaults.
fn lay_over(object: &mut Value, declared: &Value) {
    match (object, declared) {
        (Value::Object(object), Value::Object(declared)) => {
            for (key, value) in declared {
                match object.get_mut(key) {
                    Some(there) => lay_over(there, value),
                    None => {
                        object.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (object, declared) => *object = declared.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replacement_has_what_is_declared_and_nothing_that_somebody_added() {
        let declared = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"ports": [{"name": "http", "port": 80}]}});
        let live = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "managedFields": [
                {"manager": "provost", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:ports": {}}}},
                {"manager": "somebody", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {
                    "f:ports": {"k:{\"port\":81,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}},
                    "f:externalIPs": {}}}}]},
            "spec": {"clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.1"], "ports": [{"name": "http", "port": 81, "protocol": "TCP"}]}});
        let replacement = replacement(&declared, &live).unwrap().unwrap();
        assert_eq!(
            replacement["spec"],
            json!({"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]})
        );
        assert_eq!(replacement["metadata"]["resourceVersion"], "7");
    }
}
