//! What would have to be done to one object, or to a stage of them.

use std::sync::Arc;

use futures::StreamExt as _;
use provost_delivery::foreign::{self, ForeignField};
use provost_delivery::ignore::IgnoreError;
use provost_delivery::owner::{self, Owner};
use provost_delivery::plan::{self as delivery, Action, Change};
use provost_delivery::removal;
use provost_evidence::event::DriftField;
use provost_manifest::object::ObjectKey;
use serde_json::Value;

use super::desired::Desired;
use super::drift;
use super::precheck::{Judgement, Precheck};
use super::settings::Settings;
use super::untangle::untangle;
use crate::cluster::{self, Cluster, FIELD_MANAGER, Folded, Target};

/// How many requests one Application has under way at a time.
pub(super) const PARALLEL: usize = 8;
/// How often an object that changes under our eyes is looked at again.
const LOOKS: usize = 3;

/// What has to be done to an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is not there.
    Create,
    /// It is not as declared, or holds what is not and is to be removed.
    Update(Update),
    /// It cannot be changed into what is declared, and may be deleted and made anew.
    Recreate(Folded),
    /// It is as declared, but holds what somebody else put there and a setting leaves.
    Reported(Folded, Vec<DriftField>),
    /// It is as it should be.
    Unchanged(Folded),
    /// It was there before us.
    NotOurs(Folded),
}

/// In what a live object differs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Update {
    /// How it is.
    pub(super) live: Folded,
    /// The fields that we declare and that are otherwise.
    pub(super) declared: Vec<Change>,
    /// The fields that nobody declares and somebody wrote.
    pub(super) foreign: Vec<ForeignField>,
    /// Both, with values, for the record.
    pub(super) details: Vec<DriftField>,
    /// Who wrote, by managedFields.
    pub(super) managers: Vec<String>,
    /// Whether an apply is needed; else foreign fields are all there is.
    pub(super) needs_apply: bool,
    /// What is applied where ignored fields keep their live values.
    pub(super) respectful: Option<Value>,
    /// What is put in the object's place first, where an apply alone would be refused.
    pub(super) replacement: Option<Box<Value>>,
}

/// Why an object could not be planned or applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error("it belongs to the Application {owner}: declare it in one of the two only")]
    Owned { owner: String },
    #[error("the cluster does not serve its kind")]
    Unserved,
    #[error("the apiserver gave it without uid or resourceVersion")]
    NoIdentity,
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    #[error("the one that is to be made anew is not gone yet")]
    Going,
    /// The webhook refused the dry-run, and so do the policies that we know.
    #[error("it is refused by policy")]
    Denied(Judgement),
}

// === impl Verdict ===

impl Verdict {
    /// How the object is; `None` where it is not there.
    pub(super) fn live(&self) -> Option<&Folded> {
        match self {
            Self::Create => None,
            Self::Update(update) => Some(&update.live),
            Self::Recreate(live) | Self::Reported(live, _) | Self::Unchanged(live) | Self::NotOurs(live) => {
                Some(live)
            }
        }
    }
}

// === impl Error ===

impl Error {
    /// Whether the object may well be accepted once `coming` is there: the namespace, the kind, the ServiceAccount or
    /// class that the apiserver misses.
    pub(super) fn waits_for<'k>(&self, coming: impl IntoIterator<Item = &'k ObjectKey>) -> bool {
        match self {
            Self::Cluster(error) => error.misses().is_some_and(|message| {
                let message = message.to_lowercase();
                let is_missed = |key: &ObjectKey| {
                    message.contains(&key.kind.to_lowercase()) && message.contains(&key.name)
                };
                coming.into_iter().any(is_missed)
            }),
            // A render whose kinds are not served brings their CRDs, or it was refused.
            Self::Unserved => true,
            _ => false,
        }
    }

    /// Whether something that the object stands on is not there.
    pub(super) fn is_about_something_missing(&self) -> bool {
        match self {
            Self::Cluster(error) => error.misses().is_some(),
            Self::Unserved => true,
            _ => false,
        }
    }

    /// The error with what is under it.
    pub(super) fn sentence(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

/// Plans a stage as a whole, several objects at a time. The order is that of `objects`.
pub(super) async fn plan_stage(
    cluster: &Cluster,
    precheck: &Precheck,
    owner: &Owner,
    objects: &[Arc<Desired>],
    settings: &Settings,
) -> Vec<(Arc<Desired>, Result<(Verdict, Judgement), Error>)> {
    futures::stream::iter(objects.to_vec())
        .map(|desired| {
            let (cluster, owner) = (cluster.clone(), owner.clone());
            async move {
                let verdict = plan_object(&cluster, precheck, &owner, &desired, settings).await;
                (desired, verdict)
            }
        })
        .buffered(PARALLEL)
        .collect()
        .await
}

/// Plans one object, and has the policies in force judge what it would become: one request where it is new, two where
/// it is there.
async fn plan_object(
    cluster: &Cluster,
    precheck: &Precheck,
    owner: &Owner,
    desired: &Desired,
    settings: &Settings,
) -> Result<(Verdict, Judgement), Error> {
    let target = target(cluster, desired)?;
    let declared = desired.object.open();
    let ignored = settings.ignored.of(&desired.key);
    let options = settings.options_of(&declared);
    let respects = options.respect_ignore_differences == Some(true) && !ignored.is_empty();
    let mut looks = LOOKS;
    loop {
        let respected = if respects {
            cluster.get(&target).await?
        } else {
            None
        };
        let respectful = respected
            .map(|live| ignored.respect(&declared, &live))
            .transpose()?;
        let wanted = respectful.as_ref().unwrap_or(&declared);
        let applied = match cluster.dry_run(&target, wanted).await {
            Err(error) if error.code() == Some(422) && options.force == Some(true) => {
                // What cannot be changed is made anew, if it is ours.
                return match cluster.get(&target).await? {
                    Some(live) if owner.owns(&live) => {
                        // The dry-run said nothing of what is made anew.
                        let judgement = precheck.judge(cluster, desired, None, wanted).await;
                        Ok((Verdict::Recreate(cluster.fold(&live)), judgement))
                    }
                    _ => Err(error.into()),
                };
            }
            Err(error) if error.code() == Some(422) => {
                let Some(untangled) = untangle(cluster, owner, desired, &target, settings).await? else {
                    return Err(error.into());
                };
                let (live, replaced) = (untangled.live, untangled.replaced);
                let verdict = judge(owner, desired, (&live, cluster.fold(&live)), &replaced, settings)?;
                let judgement = precheck.judge(cluster, desired, Some(&live), &replaced).await;
                let Verdict::Update(update) = verdict else {
                    return Err(error.into());
                };
                let update = Update {
                    needs_apply: true,
                    replacement: Some(Box::new(untangled.replacement)),
                    ..update
                };
                return Ok((Verdict::Update(update), judgement));
            }
            Err(error) if error.code() == Some(403) && error.misses().is_none() => {
                return Err(denied(cluster, precheck, desired, &target, error).await);
            }
            applied => applied?,
        };
        let live = match resource_version(&applied) {
            Some(_) => cluster.get(&target).await?,
            None => None,
        };
        let Some(live) = live else {
            let judgement = precheck.judge(cluster, desired, None, &applied).await;
            return Ok((Verdict::Create, judgement));
        };
        looks -= 1;
        if looks > 0 && resource_version(&live) != resource_version(&applied) {
            // It changed between the two requests: what they say cannot be compared.
            continue;
        }
        let verdict = judge(owner, desired, (&live, cluster.fold(&live)), &applied, settings)?;
        let judgement = match &verdict {
            // Nobody asks about what is not ours to write.
            Verdict::NotOurs(_) => Judgement::default(),
            // Nothing is written; what is said is said of it as it is, as if it were made now.
            Verdict::Unchanged(_) | Verdict::Reported(..) => {
                precheck.judge(cluster, desired, None, &live).await
            }
            _ => {
                precheck
                    .judge(cluster, desired, Some(&live), &written(&verdict, applied))
                    .await
            }
        };
        let verdict = match verdict {
            Verdict::Update(update) => Verdict::Update(Update { respectful, ..update }),
            verdict => verdict,
        };
        return Ok((verdict, judgement));
    }
}

/// The object as it will be once foreign fields are gone too.
fn written(verdict: &Verdict, applied: Value) -> Value {
    let Verdict::Update(update) = verdict else {
        return applied;
    };
    let Ok(Some(patch)) = removal::patch(&applied, &update.foreign) else {
        return applied;
    };
    let mut without = applied.clone();
    let removed = serde_json::from_value::<json_patch::Patch>(patch)
        .is_ok_and(|patch| json_patch::patch(&mut without, &patch).is_ok());
    if removed { without } else { applied }
}

/// Why the apiserver refused the dry-run: by policy, if the policies that we know refuse it too.
async fn denied(
    cluster: &Cluster,
    precheck: &Precheck,
    desired: &Desired,
    target: &Target,
    error: cluster::Error,
) -> Error {
    let Ok(live) = cluster.get(target).await else {
        return error.into();
    };
    let judgement = precheck
        .judge(cluster, desired, live.as_ref(), &desired.object.open())
        .await;
    if judgement.denied.is_empty() {
        error.into()
    } else {
        Error::Denied(judgement)
    }
}

/// The address of a wanted object.
pub(super) fn target(cluster: &Cluster, desired: &Desired) -> Result<Target, Error> {
    let kinds = cluster.kinds();
    let kind = kinds.get(&desired.gvk).ok_or(Error::Unserved)?;
    Ok(kind.target(&desired.key))
}

fn judge(
    owner: &Owner,
    desired: &Desired,
    (live, folded): (&Value, Folded),
    applied: &Value,
    settings: &Settings,
) -> Result<Verdict, Error> {
    if !owner.owns(live) {
        if desired.only_if_absent {
            return Ok(Verdict::NotOurs(folded));
        }
        let metadata = &live["metadata"];
        if metadata["labels"].get(owner::LABEL).is_some() {
            let name = metadata["annotations"][owner::ANNOTATION].as_str();
            return Err(Error::Owned {
                owner: name.unwrap_or("another one").to_owned(),
            });
        }
    }
    let ignored = settings.ignored.of(&desired.key);
    let entry =
        delivery::compare_ignoring(&desired.object.open(), live, applied, settings.foreign, &ignored)?
            .ok_or(Error::NoIdentity)?;
    let lost = foreign::is_ownership_lost(live, FIELD_MANAGER);
    let (declared, foreign) = match entry.action {
        Action::Update(update) => (update.apply, update.remove),
        _ if lost => (Vec::new(), Vec::new()),
        _ if !entry.reported.is_empty() => {
            return Ok(Verdict::Reported(
                folded,
                drift::details(live, &[], &entry.reported),
            ));
        }
        _ => return Ok(Verdict::Unchanged(folded)),
    };
    Ok(Verdict::Update(Update {
        live: folded,
        details: drift::details(live, &declared, &foreign),
        managers: managers(live, &declared, &foreign),
        needs_apply: lost || !declared.is_empty(),
        respectful: None,
        replacement: None,
        declared,
        foreign,
    }))
}

/// Who says to have written what differs: for foreign fields their owner, for the others everybody but us who owns
/// the field now.
fn managers(live: &Value, declared: &[Change], foreign: &[ForeignField]) -> Vec<String> {
    let mut names: Vec<String> = foreign.iter().map(|field| field.manager.name.clone()).collect();
    let entries = live["metadata"]["managedFields"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for entry in entries {
        let is_ours = entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply";
        let owns = |change: &Change| owns(&entry["fieldsV1"], change);
        if let (false, true, Some(name)) = (is_ours, declared.iter().any(owns), entry["manager"].as_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether these owned fields hold the changed one, as far as its path can be followed by keys.
pub(super) fn owns(fields: &Value, change: &Change) -> bool {
    use provost_manifest::path::Segment;
    let mut place = fields;
    for segment in change.path.segments() {
        let Segment::Key(key) = segment else { return true };
        match place.get(format!("f:{key}")) {
            Some(below) => place = below,
            // A list or map that is owned as one value has nothing below it.
            None => {
                return !std::ptr::eq(place, fields)
                    && place.as_object().is_some_and(serde_json::Map::is_empty);
            }
        }
    }
    true
}

fn resource_version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"]
        .as_str()
        .filter(|version| !version.is_empty())
}
