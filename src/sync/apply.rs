//! Making one object as it should be.

use provost_delivery::ignore::Ignored;
use provost_delivery::options::Propagation;
use provost_delivery::plan::ForeignFields;
use provost_delivery::{foreign, removal};
use provost_manifest::object::ObjectKey;
use serde_json::Value;

use super::desired::Desired;
use super::plan::{self, Verdict};
use super::settings::Settings;
use crate::cluster::{self, Cluster, Folded, Target};

/// How often the removal of foreign fields is tried when the object changes meanwhile.
const REMOVALS: usize = 3;

/// Writes what the verdict says and returns the object as it then is.
///
/// An update carries the planned uid, and for kinds that give power the planned resourceVersion: should the object have
/// been deleted or made anew since, or one of those changed at all, it fails with a conflict and is planned again.
pub(super) async fn apply_object(
    cluster: &Cluster,
    desired: &Desired,
    verdict: &Verdict,
    settings: &Settings,
) -> Result<Folded, plan::Error> {
    let target = plan::target(cluster, desired)?;
    let wanted = desired.object.open();
    let live = match verdict {
        Verdict::Unchanged(live) | Verdict::NotOurs(live) | Verdict::Reported(live, _) => {
            return Ok(live.clone());
        }
        Verdict::Create => cluster.apply(&target, &wanted).await?,
        Verdict::Recreate(live) => {
            cluster
                .delete(&target, &live.uid, Propagation::Foreground)
                .await?;
            if cluster.get(&target).await?.is_some() {
                return Err(plan::Error::Going);
            }
            cluster.apply(&target, &wanted).await?
        }
        Verdict::Update(update) if update.needs_apply => {
            let mut live = update.live.clone();
            let replaces = settings.options_of(&wanted).replace == Some(true);
            let declared = replaces.then_some(&wanted);
            if let Some(object) = update.replacement.as_deref().or(declared) {
                let object = with_version(object, &live.uid, &live.resource_version);
                live = cluster.fold(&cluster.replace(&target, &object).await?);
            }
            // Also after a replacement, which leaves the fields to nobody's declaration.
            let object = update.respectful.as_ref().unwrap_or(&wanted);
            cluster
                .apply(&target, &as_planned(object, &desired.key, &live))
                .await?
        }
        Verdict::Update(_) => cluster.get(&target).await?.unwrap_or_default(),
    };
    let live = match settings.foreign {
        ForeignFields::Remove => {
            remove_foreign(cluster, &target, (&desired.key, &wanted), settings, live).await?
        }
        ForeignFields::Report | ForeignFields::Ignore => live,
    };
    Ok(cluster.fold(&live))
}

async fn remove_foreign(
    cluster: &Cluster,
    target: &Target,
    (key, wanted): (&ObjectKey, &Value),
    settings: &Settings,
    mut live: Value,
) -> Result<Value, plan::Error> {
    for attempt in 1..=REMOVALS {
        let ignored = settings.ignored.of(key).paths(&live)?;
        let fields = Ignored::leave_out(foreign::fields(wanted, &live), &ignored);
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

/// The object, to be applied to the one that was planned with and to no other.
fn as_planned(object: &Value, key: &ObjectKey, live: &Folded) -> Value {
    if gives_power(key) {
        with_version(object, &live.uid, &live.resource_version)
    } else {
        with_uid(object, &live.uid)
    }
}

/// Kinds of which not even a field may have changed between the plan and the write: they say who may do what, or hold
/// what proves it.
fn gives_power(key: &ObjectKey) -> bool {
    match key.group.as_str() {
        "" => key.kind == "Secret",
        "rbac.authorization.k8s.io" => true,
        "admissionregistration.k8s.io" => key.kind.ends_with("WebhookConfiguration"),
        _ => false,
    }
}

fn with_version(object: &Value, uid: &str, resource_version: &str) -> Value {
    let mut object = with_uid(object, uid);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), resource_version.into());
    }
    object
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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("", "Secret", true)]
    #[case("rbac.authorization.k8s.io", "ClusterRoleBinding", true)]
    #[case("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", true)]
    #[case("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", false)]
    #[case("example.com", "Secret", false)]
    #[case("apps", "Deployment", false)]
    fn what_gives_power_is_applied_to_the_very_version_that_was_planned_with(
        #[case] group: &str,
        #[case] kind: &str,
        #[case] pinned: bool,
    ) {
        let live = Folded::of(&json!({"metadata": {"uid": "u-1", "resourceVersion": "7"}}));
        let key = ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: "a".to_owned(),
        };
        let metadata = as_planned(&json!({"metadata": {"name": "a"}}), &key, &live)["metadata"].clone();
        let version = if pinned { json!("7") } else { Value::Null };
        assert_eq!(
            (&metadata["uid"], &metadata["resourceVersion"]),
            (&json!("u-1"), &version)
        );
    }
}
