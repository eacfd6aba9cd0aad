//! Making one object as it should be.

use provost_delivery::plan::ForeignFields;
use provost_delivery::{foreign, removal};
use serde_json::Value;

use super::desired::Desired;
use super::plan::{self, Verdict};
use crate::cluster::{self, Cluster, Folded, Target};

/// How often the removal of foreign fields is tried when the object changes meanwhile.
const REMOVALS: usize = 3;

/// Writes what the verdict says and returns the object as it then is.
///
/// An update carries the planned uid: should the object have been deleted or made anew since, it fails with a conflict
/// and is planned again.
pub(super) async fn apply_object(
    cluster: &Cluster,
    desired: &Desired,
    verdict: &Verdict,
    setting: ForeignFields,
) -> Result<Folded, plan::Error> {
    let target = plan::target(cluster, desired)?;
    let live = match verdict {
        Verdict::Unchanged(live) | Verdict::NotOurs(live) | Verdict::Reported(live, _) => {
            return Ok(live.clone());
        }
        Verdict::Create => cluster.apply(&target, &desired.object).await?,
        Verdict::Update(update) if update.needs_apply => {
            cluster
                .apply(&target, &with_uid(&desired.object, &update.live.uid))
                .await?
        }
        Verdict::Update(_) => cluster.get(&target).await?.unwrap_or_default(),
    };
    let live = match setting {
        ForeignFields::Remove => remove_foreign(cluster, &target, desired, live).await?,
        ForeignFields::Report | ForeignFields::Ignore => live,
    };
    Ok(Folded::of(&live))
}

async fn remove_foreign(
    cluster: &Cluster,
    target: &Target,
    desired: &Desired,
    mut live: Value,
) -> Result<Value, plan::Error> {
    for attempt in 1..=REMOVALS {
        let fields = foreign::fields(&desired.object, &live);
        let Some(patch) = removal::patch(&live, &fields).map_err(|_| plan::Error::NoIdentity)? else {
            break;
        };
        let patch: json_patch::Patch = serde_json::from_value(patch).map_err(|_| plan::Error::NoIdentity)?;
        match cluster.json_patch(target, patch).await {
            Ok(patched) => live = patched,
            // Its tests say that the object is another by now.
            Err(error) if moved(&error) && attempt < REMOVALS => {
                live = cluster.get(target).await?.ok_or(error)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(live)
}

fn with_uid(object: &Value, uid: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), uid.into());
    }
    object
}

fn moved(error: &cluster::Error) -> bool {
    error.is_conflict() || error.code() == Some(422)
}
