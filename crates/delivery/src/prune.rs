//! What may be deleted because Git no longer has it, and when nothing may.
//!
//! An object is deleted only if all of this holds: the inventory names it, so that we applied it; it is not in the
//! render; the object as it is now carries our owner label; nothing protects it. Neither of the first and third is
//! enough alone: an inventory may name what somebody else has taken over, and controllers copy labels.
//!
//! Nothing is deleted because something could not be read: whoever calls with a render has one. A render that
//! leaves nothing of the inventory is taken for a mistake until somebody says otherwise.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use provost_manifest::digest::Digest;
use provost_manifest::object::ObjectKey;
use serde_json::Value;

use crate::options::{Deletion, OptionError, SyncOptions};
use crate::owner::Owner;
use crate::plan::{Identity, Plan};

pub use crate::options::SYNC_OPTIONS_ANNOTATION;
/// Annotation by which somebody approves of deletions, with the time at which they do (RFC 3339): on the object, or on
/// its Application for all that waits.
pub const DELETION_APPROVED_ANNOTATION: &str = "argocd.argoproj.io/deletion-approved";

/// What becomes of an object that the render no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is gone already.
    Gone,
    /// It is deleted, by this identity and no other.
    Prune(Identity),
    /// It stays.
    Keep(Protection),
}

/// Why an object stays that the render no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// It does not carry our owner label (any more): it is somebody else's.
    NotOurs,
    /// Its annotation says `Prune=false`, or `Delete=false`.
    ByAnnotation,
    /// Its Application says so, for all its objects.
    ByApplication,
    /// Its annotation says something of deletion that cannot be read.
    UnreadableOption,
    /// Its kind takes others with it (Namespace, CRD) or data (PersistentVolumeClaim), or its annotation asks for a
    /// confirmation, which is not there.
    NeedsConfirmation,
    /// Another object owns it and takes it along when it goes.
    OwnedByObject,
    /// It is being deleted already.
    BeingDeleted,
    /// It came without uid or version, so that a deletion could not be made to hit it and nothing else.
    NoIdentity,
}

/// What has been allowed of deletions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whether everything may go (`automated.allowEmpty`).
    pub allow_empty: bool,
    /// Most objects that may go at once without an approval (`provost.dev/max-deletions`).
    pub max_deletions: Option<usize>,
    /// The deletions that somebody has approved of (`provost.dev/approve-deletions`).
    pub approved: Option<Digest>,
}

/// Why nothing is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Everything would go.
    #[error(
        "all {deletions} objects would be deleted, which is more often a mistake than meant; \
         to approve: annotate the Application with provost.dev/approve-deletions={digest}"
    )]
    Everything {
        /// How many.
        deletions: usize,
        /// What to approve.
        digest: Digest,
    },
    /// More would go than a setting allows.
    #[error(
        "{deletions} objects would be deleted, more than the {most} that provost.dev/max-deletions allows; \
         to approve: annotate the Application with provost.dev/approve-deletions={digest}"
    )]
    TooMany {
        /// How many.
        deletions: usize,
        /// How many may.
        most: usize,
        /// What to approve.
        digest: Digest,
    },
}

/// What the inventory names and the render no longer has.
pub fn candidates<'k>(
    inventory: impl IntoIterator<Item = &'k ObjectKey>,
    rendered: &BTreeSet<ObjectKey>,
) -> Vec<&'k ObjectKey> {
    inventory
        .into_iter()
        .filter(|key| !rendered.contains(key))
        .collect()
}

/// What a deletion is part of, and what has been said of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Removal<'t> {
    /// Why the object would go.
    pub cause: Cause,
    /// The options of its Application.
    pub options: SyncOptions,
    /// The Application's own annotation [`DELETION_APPROVED_ANNOTATION`].
    pub approved: Option<&'t str>,
    /// When the operation began: an approval from before it was of something else. `None` lets any time count.
    pub began_at: Option<Timestamp>,
}

/// Why an object would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Git no longer has it. What may not be deleted at all may not be pruned either.
    #[default]
    Pruned,
    /// Its Application is deleted: only `Delete` counts, as `Prune` speaks of Git.
    ApplicationDeleted,
}

/// What becomes of a candidate, seen as it is now; `None` where the server says that it is not there. An object
/// that could not be read has no verdict: don't ask.
pub fn verdict(live: Option<&Value>, owner: &Owner) -> Verdict {
    verdict_of(live, owner, &Removal::default())
}

/// The same, by what the deletion is part of.
pub fn verdict_of(live: Option<&Value>, owner: &Owner, removal: &Removal<'_>) -> Verdict {
    let Some(live) = live else {
        return Verdict::Gone;
    };
    if !owner.owns(live) {
        return Verdict::Keep(Protection::NotOurs);
    }
    let metadata = &live["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        return Verdict::Keep(Protection::BeingDeleted);
    }
    if metadata["ownerReferences"]
        .as_array()
        .is_some_and(|owners| !owners.is_empty())
    {
        return Verdict::Keep(Protection::OwnedByObject);
    }
    if let Some(protection) = removal.protection(live) {
        return Verdict::Keep(protection);
    }
    Identity::of(live).map_or(Verdict::Keep(Protection::NoIdentity), Verdict::Prune)
}

// === impl Removal ===

impl Removal<'_> {
    fn protection(&self, live: &Value) -> Option<Protection> {
        let (own, errors) = SyncOptions::readable_of_object(live);
        if errors.iter().any(OptionError::is_about_deletion) {
            return Some(Protection::UnreadableOption);
        }
        let wanted = |options: &SyncOptions| match self.cause {
            Cause::Pruned => [options.prune, options.delete],
            Cause::ApplicationDeleted => [None, options.delete],
        };
        let is = |options: &SyncOptions, deletion| wanted(options).contains(&Some(deletion));
        if is(&own, Deletion::Forbidden) {
            return Some(Protection::ByAnnotation);
        }
        let both = own.over(self.options);
        if is(&both, Deletion::Forbidden) {
            return Some(Protection::ByApplication);
        }
        let needs_confirmation = takes_others_along(live) || is(&both, Deletion::OnConfirmation);
        (needs_confirmation && !self.is_confirmed(live)).then_some(Protection::NeedsConfirmation)
    }

    /// Approved on the object or on its Application, since the operation began. What is no time approves of nothing.
    fn is_confirmed(&self, live: &Value) -> bool {
        let own = live["metadata"]["annotations"][DELETION_APPROVED_ANNOTATION].as_str();
        let times = [own, self.approved].into_iter().flatten();
        times
            .filter_map(|time| time.trim().parse::<Timestamp>().ok())
            .any(|time| self.began_at.is_none_or(|began_at| time >= began_at))
    }
}

fn takes_others_along(live: &Value) -> bool {
    ObjectKey::of(live).is_some_and(|key| {
        matches!(
            (key.group.as_str(), key.kind.as_str()),
            ("", "Namespace" | "PersistentVolumeClaim")
                | ("apiextensions.k8s.io", "CustomResourceDefinition")
        )
    })
}

// === impl Protection ===

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "does not carry our owner label",
            Self::ByAnnotation => "protected by its annotation argocd.argoproj.io/sync-options",
            Self::ByApplication => "protected by spec.syncPolicy.syncOptions of its Application",
            Self::UnreadableOption => {
                "has an option in its annotation argocd.argoproj.io/sync-options that cannot be read and may protect it"
            }
            Self::NeedsConfirmation => "waits for the annotation argocd.argoproj.io/deletion-approved",
            Self::OwnedByObject => "owned by another object, which takes it along",
            Self::BeingDeleted => "is being deleted already",
            Self::NoIdentity => "has no uid or no resourceVersion to delete it by",
        })
    }
}

// === impl Guard ===

impl Guard {
    /// Whether the plan's deletions may be carried out: `inventory` and `rendered` are the numbers of objects that
    /// we applied before and that Git has now.
    pub fn check(&self, plan: &Plan, inventory: usize, rendered: usize) -> Result<(), GuardError> {
        let deletions = plan.deletions().count();
        if deletions == 0 {
            return Ok(());
        }
        let digest = plan.deletions_digest();
        if self.approved == Some(digest) {
            return Ok(());
        }
        let is_everything = rendered == 0 || deletions == inventory;
        if is_everything && !self.allow_empty {
            return Err(GuardError::Everything { deletions, digest });
        }
        match self.max_deletions {
            Some(most) if deletions > most => Err(GuardError::TooMany {
                deletions,
                most,
                digest,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Entry};
    use rstest::rstest;
    use serde_json::json;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: name.into(),
        }
    }

    fn owner() -> Owner {
        Owner::of_application("argocd", "my-app")
    }

    /// A live object of ours, with this in its metadata.
    fn ours(api_version: &str, kind: &str, metadata: &Value) -> Value {
        let mut live = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}});
        owner().mark(&mut live).unwrap();
        for (key, value) in metadata.as_object().unwrap() {
            if key == "annotations" {
                live["metadata"]["annotations"]
                    .as_object_mut()
                    .unwrap()
                    .extend(value.as_object().unwrap().clone());
            } else {
                live["metadata"][key] = value.clone();
            }
        }
        live
    }

    #[test]
    fn a_candidate_is_in_the_inventory_and_not_in_the_render() {
        let inventory = [key("a"), key("b")];
        let rendered = BTreeSet::from([key("b"), key("c")]);
        assert_eq!(candidates(&inventory, &rendered), [&key("a")]);
    }

    #[rstest]
    #[case("v1", "ConfigMap", json!({}), None)]
    #[case("v1", "ConfigMap", json!({"labels": {"provost.dev/owner": "other"}}), Some(Protection::NotOurs))]
    #[case("v1", "ConfigMap", json!({"labels": null}), Some(Protection::NotOurs))]
    #[case("v1", "ConfigMap", json!({"uid": null}), Some(Protection::NoIdentity))]
    #[case("v1", "ConfigMap", json!({"annotations": {"argocd.argoproj.io/sync-options": "Replace=true, Prune=false"}}), Some(Protection::ByAnnotation))]
    #[case("v1", "ConfigMap", json!({"annotations": {"argocd.argoproj.io/sync-options": "Delete=false"}}), Some(Protection::ByAnnotation))]
    #[case("v1", "ConfigMap", json!({"annotations": {"argocd.argoproj.io/sync-options": "Prune=true"}}), None)]
    #[case("v1", "ConfigMap", json!({"annotations": {"argocd.argoproj.io/sync-options": "Prune=confirm"}}), Some(Protection::NeedsConfirmation))]
    #[case("v1", "ConfigMap", json!({"annotations": {"argocd.argoproj.io/sync-options": "Prune=confirm", "argocd.argoproj.io/deletion-approved": "2026-11-03T08:00:00Z"}}), None)]
    #[case("v1", "ConfigMap", json!({"ownerReferences": [{"uid": "x"}]}), Some(Protection::OwnedByObject))]
    #[case("v1", "ConfigMap", json!({"deletionTimestamp": "2026-11-03T08:00:00Z"}), Some(Protection::BeingDeleted))]
    #[case("v1", "Namespace", json!({}), Some(Protection::NeedsConfirmation))]
    #[case("v1", "PersistentVolumeClaim", json!({}), Some(Protection::NeedsConfirmation))]
    #[case("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), Some(Protection::NeedsConfirmation))]
    #[case("v1", "Namespace", json!({"annotations": {"argocd.argoproj.io/deletion-approved": "2026-11-03T08:00:00Z"}}), None)]
    fn what_is_ours_and_unprotected_is_pruned(
        #[case] api_version: &str,
        #[case] kind: &str,
        #[case] metadata: Value,
        #[case] protection: Option<Protection>,
    ) {
        let live = ours(api_version, kind, &metadata);
        let expected = match protection {
            Some(protection) => Verdict::Keep(protection),
            None => Verdict::Prune(Identity {
                uid: "u".into(),
                resource_version: "7".into(),
            }),
        };
        assert_eq!(verdict(Some(&live), &owner()), expected);
    }

    /// The protection of a live ConfigMap with these annotations.
    fn protection(annotations: &Value, removal: &Removal<'_>) -> Option<Protection> {
        let live = ours("v1", "ConfigMap", &json!({ "annotations": annotations }));
        match verdict_of(Some(&live), &owner(), removal) {
            Verdict::Keep(protection) => Some(protection),
            Verdict::Prune(_) => None,
            Verdict::Gone => panic!("it is there"),
        }
    }

    #[rstest]
    #[case("Prune=false", Cause::Pruned, Some(Protection::ByAnnotation))]
    #[case("Prune=false", Cause::ApplicationDeleted, None)]
    #[case("Delete=false", Cause::ApplicationDeleted, Some(Protection::ByAnnotation))]
    #[case("Prune=confirm", Cause::ApplicationDeleted, None)]
    #[case(
        "Delete=confirm",
        Cause::ApplicationDeleted,
        Some(Protection::NeedsConfirmation)
    )]
    #[case("Delete=confirm", Cause::Pruned, Some(Protection::NeedsConfirmation))]
    // What may have been meant to protect does.
    #[case("Prune=flase", Cause::Pruned, Some(Protection::UnreadableOption))]
    #[case("prune=false", Cause::Pruned, Some(Protection::UnreadableOption))]
    #[case("Odd=1", Cause::Pruned, None)]
    fn options_protect_from_what_they_speak_of(
        #[case] options: &str,
        #[case] cause: Cause,
        #[case] expected: Option<Protection>,
    ) {
        let removal = Removal {
            cause,
            ..Removal::default()
        };
        let annotations = json!({ SYNC_OPTIONS_ANNOTATION: options });
        assert_eq!(protection(&annotations, &removal), expected);
    }

    #[test]
    fn an_applications_options_hold_where_the_object_says_nothing() {
        let options = SyncOptions {
            prune: Some(Deletion::Forbidden),
            ..SyncOptions::default()
        };
        let removal = Removal {
            options,
            ..Removal::default()
        };
        assert_eq!(protection(&json!({}), &removal), Some(Protection::ByApplication));
        let own = json!({SYNC_OPTIONS_ANNOTATION: "Prune=true"});
        assert_eq!(protection(&own, &removal), None);
    }

    #[rstest]
    #[case(Some("2026-11-03T08:00:00Z"), None, None)]
    #[case(Some("2026-11-03T09:00:00+01:00"), None, None)]
    #[case(None, Some("2026-11-03T08:30:00Z"), None)]
    #[case(Some("2026-11-03T07:59:59Z"), None, Some(Protection::NeedsConfirmation))]
    #[case(Some("yes"), None, Some(Protection::NeedsConfirmation))]
    #[case(None, Some("2026-11-02T08:30:00Z"), Some(Protection::NeedsConfirmation))]
    #[case(None, None, Some(Protection::NeedsConfirmation))]
    fn an_approval_counts_from_the_beginning_of_the_operation(
        #[case] on_object: Option<&str>,
        #[case] on_application: Option<&str>,
        #[case] expected: Option<Protection>,
    ) {
        let removal = Removal {
            approved: on_application,
            began_at: Some("2026-11-03T08:00:00Z".parse().unwrap()),
            ..Removal::default()
        };
        let annotations =
            json!({SYNC_OPTIONS_ANNOTATION: "Prune=confirm", DELETION_APPROVED_ANNOTATION: on_object});
        assert_eq!(protection(&annotations, &removal), expected);
    }

    #[test]
    fn what_is_gone_is_gone() {
        assert_eq!(verdict(None, &owner()), Verdict::Gone);
    }

    fn deleting(count: usize) -> Plan {
        let entry = |at: usize| Entry {
            key: key(&at.to_string()),
            action: Action::Prune(Identity {
                uid: at.to_string(),
                resource_version: "1".into(),
            }),
            reported: Vec::new(),
        };
        Plan {
            entries: (0..count).map(entry).collect(),
        }
    }

    #[test]
    fn an_empty_render_deletes_nothing_until_somebody_approves() {
        let plan = deleting(2);
        let error = Guard::default().check(&plan, 2, 0).unwrap_err();
        assert!(
            error.to_string().contains(&plan.deletions_digest().to_string()),
            "{error}"
        );
        let approved = Guard {
            approved: Some(plan.deletions_digest()),
            ..Guard::default()
        };
        assert_eq!(approved.check(&plan, 2, 0), Ok(()));
        let allowed = Guard {
            allow_empty: true,
            ..Guard::default()
        };
        assert_eq!(allowed.check(&plan, 2, 0), Ok(()));
        // Everything replaced by something else is no better.
        assert!(Guard::default().check(&plan, 2, 5).is_err());
        assert_eq!(Guard::default().check(&plan, 3, 1), Ok(()));
    }

    #[test]
    fn an_approval_is_of_these_deletions_and_no_others() {
        let approved = Guard {
            approved: Some(deleting(2).deletions_digest()),
            ..Guard::default()
        };
        assert!(approved.check(&deleting(3), 3, 0).is_err());
    }

    #[test]
    fn more_than_the_setting_allows_waits_for_approval() {
        let guard = Guard {
            max_deletions: Some(2),
            ..Guard::default()
        };
        assert_eq!(guard.check(&deleting(2), 9, 7), Ok(()));
        assert!(matches!(
            guard.check(&deleting(3), 9, 6),
            Err(GuardError::TooMany {
                deletions: 3,
                most: 2,
                ..
            })
        ));
    }

    #[test]
    fn without_deletions_there_is_nothing_to_guard() {
        assert_eq!(Guard::default().check(&Plan::default(), 0, 0), Ok(()));
        assert_eq!(Guard::default().check(&Plan::default(), 5, 0), Ok(()));
    }
}
