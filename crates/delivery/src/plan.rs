//! What a sync would do, object by object. The agent makes the plan, the policies judge it, people read it, and
//! nothing is written that is not in it.

use provost_manifest::diff::Difference;
use provost_manifest::digest::Digest;
use provost_manifest::mask::{Masker, is_secret};
use provost_manifest::object::ObjectKey;
use provost_manifest::path::FieldPath;
use serde_json::{Value, json};

use crate::foreign::ForeignField;
use crate::ignore::{IgnoreError, Ignored};
use crate::prune::Protection;
use crate::{declared, foreign};

/// Annotation on an Application that says what becomes of foreign fields.
pub const FOREIGN_FIELDS_ANNOTATION: &str = "provost.dev/foreign-fields";

/// What a sync would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One for each object that is rendered or in the inventory.
    pub entries: Vec<Entry>,
}

/// What it would do to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The object.
    pub key: ObjectKey,
    /// What is done.
    pub action: Action,
    /// Foreign fields that are left on it, because a setting says to only report them.
    pub reported: Vec<ForeignField>,
}

/// What is done to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is not there and is applied.
    Create,
    /// It is applied, freed of foreign fields, or both.
    Update(Update),
    /// It is as it should be.
    Unchanged(Identity),
    /// It is deleted.
    Prune(Identity),
    /// It would be deleted, but stays.
    Keep(Protection),
}

/// How an object differs from what is wanted; one of the two lists is not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The object this was found on: what writes names it, so that nothing else is written.
    pub identity: Identity,
    /// What an apply changes.
    pub apply: Vec<Change>,
    /// What a patch removes.
    pub remove: Vec<ForeignField>,
}

/// Which version of which object a plan was made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// A field that an apply changes; the values of Secrets are masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where on the live object.
    pub path: FieldPath,
    /// What is there; `None` where nothing is.
    pub live: Option<Value>,
    /// What is wanted; `None` where nothing is.
    pub wanted: Option<Value>,
}

/// What becomes of fields that did not come from Git.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignFields {
    /// They are removed.
    #[default]
    Remove,
    /// They stay, and are shown.
    Report,
    /// They stay, and nobody asks.
    Ignore,
}

/// A value of the annotation that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FOREIGN_FIELDS_ANNOTATION} is {0:?}: remove, report or ignore is wanted")]
pub struct ForeignFieldsError(String);

/// How many objects a plan does what to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Created.
    pub created: usize,
    /// Changed.
    pub updated: usize,
    /// Deleted.
    pub pruned: usize,
    /// Not deleted, because protected.
    pub kept: usize,
    /// Left as they are.
    pub unchanged: usize,
}

/// Compares one object in both halves: `applied` is the answer to a forced server-side apply of `rendered` as a
/// dry run. `None` where the live object has no identity, as no live object should.
pub fn compare(rendered: &Value, live: &Value, applied: &Value, setting: ForeignFields) -> Option<Entry> {
    let found = find_foreign(rendered, live, setting);
    entry(live, changes(live, applied), found, setting)
}

/// The same without what is ignored of the object.
pub fn compare_ignoring(
    rendered: &Value,
    live: &Value,
    applied: &Value,
    setting: ForeignFields,
    ignored: &Ignored<'_>,
) -> Result<Option<Entry>, IgnoreError> {
    if ignored.is_empty() {
        return Ok(compare(rendered, live, applied, setting));
    }
    let (on_live, on_applied) = (ignored.paths(live)?, ignored.paths(applied)?);
    let apply = changes_that(live, applied, |difference| {
        Ignored::is_difference(difference, &on_live, &on_applied)
    });
    let found = Ignored::leave_out(find_foreign(rendered, live, setting), &on_live);
    Ok(entry(live, apply, found, setting))
}

fn find_foreign(rendered: &Value, live: &Value, setting: ForeignFields) -> Vec<ForeignField> {
    match setting {
        ForeignFields::Ignore => Vec::new(),
        ForeignFields::Remove | ForeignFields::Report => foreign::fields(rendered, live),
    }
}

fn entry(
    live: &Value,
    apply: Vec<Change>,
    found: Vec<ForeignField>,
    setting: ForeignFields,
) -> Option<Entry> {
    let key = ObjectKey::of(live)?;
    let identity = Identity::of(live)?;
    let (remove, reported) = match setting {
        ForeignFields::Remove => (found, Vec::new()),
        ForeignFields::Report | ForeignFields::Ignore => (Vec::new(), found),
    };
    let action = if apply.is_empty() && remove.is_empty() {
        Action::Unchanged(identity)
    } else {
        Action::Update(Update {
            identity,
            apply,
            remove,
        })
    };
    Some(Entry {
        key,
        action,
        reported,
    })
}

/// The declared half alone, fit to be shown: what differs between two forms of an object.
pub fn changes(live: &Value, applied: &Value) -> Vec<Change> {
    changes_that(live, applied, |_| true)
}

fn changes_that(live: &Value, applied: &Value, counts: impl Fn(&Difference<'_>) -> bool) -> Vec<Change> {
    let as_changes = |live: &Value, applied: &Value| {
        declared::differences(live, applied)
            .into_iter()
            .filter(&counts)
            .map(|difference| Change {
                path: difference.path,
                live: difference.left.cloned(),
                wanted: difference.right.cloned(),
            })
            .collect()
    };
    if !is_secret(live) {
        return as_changes(live, applied);
    }
    let (mut live, mut applied) = (live.clone(), applied.clone());
    let mut masker = Masker::new();
    masker.mask(&mut live);
    masker.mask(&mut applied);
    as_changes(&live, &applied)
}

// === impl Plan ===

impl Plan {
    /// Whether the cluster is as it should be; what is protected from pruning still should not be there.
    pub fn is_in_sync(&self) -> bool {
        self.entries
            .iter()
            .all(|entry| matches!(entry.action, Action::Unchanged(_)))
    }

    /// How many objects what is done to.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in &self.entries {
            let count = match entry.action {
                Action::Create => &mut counts.created,
                Action::Update(_) => &mut counts.updated,
                Action::Prune(_) => &mut counts.pruned,
                Action::Keep(_) => &mut counts.kept,
                Action::Unchanged(_) => &mut counts.unchanged,
            };
            *count += 1;
        }
        counts
    }

    /// What is deleted.
    pub fn deletions(&self) -> impl Iterator<Item = (&ObjectKey, &Identity)> {
        self.entries.iter().filter_map(|entry| match &entry.action {
            Action::Prune(identity) => Some((&entry.key, identity)),
            _ => None,
        })
    }

    /// The name of exactly these deletions, by which a person approves of them; the order does not matter.
    pub fn deletions_digest(&self) -> Digest {
        let mut deletions: Vec<_> = self
            .deletions()
            .map(|(key, identity)| {
                json!([key.group, key.kind, key.namespace, key.name, identity.uid]).to_string()
            })
            .collect();
        deletions.sort_unstable();
        Digest::of_value(&json!(deletions))
    }
}

// === impl Identity ===

impl Identity {
    /// Of a live object.
    pub fn of(live: &Value) -> Option<Self> {
        let text = |key: &str| live["metadata"][key].as_str().map(str::to_owned);
        Some(Self {
            uid: text("uid")?,
            resource_version: text("resourceVersion")?,
        })
    }
}

// === impl ForeignFields ===

impl ForeignFields {
    /// As an Application's annotation says; without one, they are removed.
    pub fn of(application: &Value) -> Result<Self, ForeignFieldsError> {
        match application["metadata"]["annotations"][FOREIGN_FIELDS_ANNOTATION].as_str() {
            None | Some("remove") => Ok(Self::Remove),
            Some("report") => Ok(Self::Report),
            Some("ignore") => Ok(Self::Ignore),
            Some(other) => Err(ForeignFieldsError(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn live(kind: &str, rest: &Value) -> Value {
        let mut live = json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "managedFields":
                [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:extra": {}}}}]}});
        live["data"] = rest.clone();
        live
    }

    fn compared(setting: ForeignFields) -> Entry {
        let live = live("ConfigMap", &json!({"a": "changed", "extra": "x"}));
        let mut applied = live.clone();
        applied["data"]["a"] = json!("1");
        let rendered =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}});
        compare(&rendered, &live, &applied, setting).unwrap()
    }

    #[test]
    fn both_halves_are_in_an_update() {
        let entry = compared(ForeignFields::Remove);
        let Action::Update(update) = entry.action else {
            panic!("not an update: {entry:?}")
        };
        assert_eq!(
            update.identity,
            Identity {
                uid: "u".into(),
                resource_version: "7".into()
            }
        );
        assert_eq!(update.apply[0].path.to_string(), "data.a");
        assert_eq!(update.apply[0].wanted, Some(json!("1")));
        assert_eq!(update.remove[0].path.to_string(), "data.extra");
        assert!(entry.reported.is_empty());
    }

    #[test]
    fn a_setting_leaves_foreign_fields_where_they_are() {
        let entry = compared(ForeignFields::Report);
        assert!(matches!(&entry.action, Action::Update(update) if update.remove.is_empty()));
        assert_eq!(entry.reported.len(), 1);
        assert!(compared(ForeignFields::Ignore).reported.is_empty());
    }

    #[test]
    fn what_is_as_it_should_be_is_unchanged() {
        let live = live("ConfigMap", &json!({"a": "1"}));
        let rendered = json!({"data": {"a": "1"}});
        let entry = compare(&rendered, &live, &live, ForeignFields::Remove).unwrap();
        assert!(matches!(entry.action, Action::Unchanged(_)));
        assert!(Plan { entries: vec![entry] }.is_in_sync());
    }

    #[test]
    fn the_values_of_a_secret_are_masked() {
        let live = live("Secret", &json!({"a": "aHVudGVyMg=="}));
        let mut applied = live.clone();
        applied["data"]["a"] = json!("b3RoZXI=");
        let entry = compare(&applied, &live, &applied, ForeignFields::Remove).unwrap();
        let Action::Update(update) = &entry.action else {
            panic!("not an update: {entry:?}")
        };
        assert_ne!(update.apply[0].live, update.apply[0].wanted);
        assert!(!format!("{entry:?}").contains("aHVudGVyMg"), "{entry:?}");
    }

    #[test]
    fn deletions_have_a_name_that_their_order_does_not_change() {
        let entry = |name: &str, uid: &str| Entry {
            key: ObjectKey {
                group: String::new(),
                kind: "ConfigMap".into(),
                namespace: None,
                name: name.into(),
            },
            action: Action::Prune(Identity {
                uid: uid.into(),
                resource_version: "1".into(),
            }),
            reported: Vec::new(),
        };
        let digest = |entries: Vec<Entry>| Plan { entries }.deletions_digest();
        let both = digest(vec![entry("a", "1"), entry("b", "2")]);
        assert_eq!(both, digest(vec![entry("b", "2"), entry("a", "1")]));
        assert_ne!(both, digest(vec![entry("a", "1")]));
        assert_ne!(both, digest(vec![entry("a", "1"), entry("b", "3")]));
    }

    #[rstest]
    #[case(json!(null), Ok(ForeignFields::Remove))]
    #[case(json!("remove"), Ok(ForeignFields::Remove))]
    #[case(json!("report"), Ok(ForeignFields::Report))]
    #[case(json!("ignore"), Ok(ForeignFields::Ignore))]
    #[case(json!("Remove"), Err(ForeignFieldsError("Remove".into())))]
    fn the_setting_is_one_of_three(
        #[case] value: Value,
        #[case] expected: Result<ForeignFields, ForeignFieldsError>,
    ) {
        let application = json!({"metadata": {"annotations": {FOREIGN_FIELDS_ANNOTATION: value}}});
        assert_eq!(ForeignFields::of(&application), expected);
    }
}
