//! One object against the cluster, without writing it.

use std::collections::BTreeSet;

use provost_delivery::owner::{self, Owner};
use provost_delivery::plan::{self as delivery, Action, Entry};
use provost_delivery::removal;
use provost_manifest::object::ObjectKey;
use serde_json::{Map, Value};

use super::super::desired::Desired;
use super::super::packed::Packed;
use super::super::plan::{self, target};
use super::super::settings::Settings;
use super::judge::Judge;
use super::{Previewed, Step};
use crate::cluster::{self, Cluster, Target};

/// Fields of `metadata` that nobody writes but the server.
const SERVER_FIELDS: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
];

/// What objects are compared by.
pub(super) struct Comparison<'a> {
    pub(super) cluster: &'a Cluster,
    /// `None` where the objects are nobody's in particular.
    pub(super) owner: Option<&'a Owner>,
    pub(super) settings: &'a Settings,
    /// All that is rendered.
    pub(super) coming: &'a BTreeSet<ObjectKey>,
    /// Who judges by policies, if somebody does.
    pub(super) judge: Option<&'a Judge>,
}

/// What is known of one object.
pub(super) struct Compared {
    pub(super) previewed: Previewed,
    /// Whether that was found out without the server.
    pub(super) is_client_side: bool,
    /// Whether policies judged it.
    pub(super) is_judged: bool,
}

/// An object that could not be compared.
enum Trouble {
    Deferred(String),
    Refused(String),
}

// === impl Comparison ===

impl Comparison<'_> {
    /// What a sync would do to the object. `None` where the object is not the Application's to change.
    pub(super) async fn object(&self, desired: &Desired) -> Option<Compared> {
        let trouble = |step| {
            let previewed = Previewed {
                key: desired.key.clone(),
                file: desired.file.clone(),
                step,
                live: None,
                wanted: Some(desired.object.open()),
                denied: None,
            };
            Some(Compared {
                previewed,
                is_client_side: false,
                is_judged: false,
            })
        };
        match self.compare(desired).await {
            Ok(Some((mut previewed, is_client_side))) => {
                let is_judged = match self.judge {
                    Some(judge) => {
                        previewed.denied = judge.denial(desired, &previewed).await;
                        true
                    }
                    None => false,
                };
                Some(Compared {
                    previewed,
                    is_client_side,
                    is_judged,
                })
            }
            Ok(None) => None,
            Err(Trouble::Deferred(reason)) => trouble(Step::Deferred(reason)),
            Err(Trouble::Refused(reason)) => trouble(Step::Refused(reason)),
        }
    }

    async fn compare(&self, desired: &Desired) -> Result<Option<(Previewed, bool)>, Trouble> {
        let target = target(self.cluster, desired).map_err(|error| self.trouble(&error))?;
        let live = self
            .cluster
            .get(&target)
            .await
            .map_err(|error| self.trouble(&error.into()))?;
        let Some(live) = live else {
            return self.create(desired, &target).await.map(Some);
        };
        if let Some(owner) = self.owner
            && !owner.owns(&live)
        {
            if desired.only_if_absent {
                return Ok(None);
            }
            if live["metadata"]["labels"].get(owner::LABEL).is_some() {
                let name = live["metadata"]["annotations"][owner::ANNOTATION].as_str();
                let owner = name.unwrap_or("another one").to_owned();
                return Err(self.trouble(&plan::Error::Owned { owner }));
            }
        }
        let ignored = self.settings.ignored.of(&desired.key);
        let mut wanted = desired.object.open();
        let options = self.settings.options_of(&wanted);
        if self.owner.is_none() {
            keep_mark(&mut wanted, &live);
        }
        if options.respect_ignore_differences == Some(true) && !ignored.is_empty() {
            wanted = ignored
                .respect(&wanted, &live)
                .map_err(|error| self.trouble(&error.into()))?;
        }
        let (applied, is_client_side) = match self.cluster.dry_run(&target, &wanted).await {
            Ok(applied) => (applied, false),
            Err(error) if is_about_rights(&error) => (overlay(&live, &wanted), true),
            Err(error) => return Err(self.trouble(&error.into())),
        };
        let foreign = self.settings.foreign;
        let entry = delivery::compare_ignoring(&wanted, &live, &applied, foreign, &ignored)
            .map_err(|error| self.trouble(&error.into()))?
            .ok_or_else(|| self.trouble(&plan::Error::NoIdentity))?;
        let shown = ignored.respect(&without_removed(&applied, &entry), &live);
        Ok(Some((
            Previewed {
                key: desired.key.clone(),
                file: desired.file.clone(),
                wanted: Some(shown.map_err(|error| self.trouble(&error.into()))?),
                step: Step::Planned(entry),
                live: Some(live),
                denied: None,
            },
            is_client_side,
        )))
    }

    async fn create(&self, desired: &Desired, target: &Target) -> Result<(Previewed, bool), Trouble> {
        let wanted = desired.object.open();
        let is_client_side = match self.cluster.dry_run(target, &wanted).await {
            Ok(_) => false,
            Err(error) if is_about_rights(&error) => true,
            Err(error) => return Err(self.trouble(&error.into())),
        };
        let created = Entry {
            key: desired.key.clone(),
            action: Action::Create,
            reported: Vec::new(),
        };
        Ok((
            Previewed {
                key: desired.key.clone(),
                file: desired.file.clone(),
                step: Step::Planned(created),
                live: None,
                // As Git writes it: with the server's defaults it would be long.
                wanted: Some(wanted),
                denied: None,
            },
            is_client_side,
        ))
    }

    fn trouble(&self, error: &plan::Error) -> Trouble {
        let sentence = error.sentence();
        if error.waits_for(self.coming) {
            Trouble::Deferred(sentence)
        } else {
            Trouble::Refused(sentence)
        }
    }
}

/// Whether the server refused because of who asks, and not because of the object.
fn is_about_rights(error: &cluster::Error) -> bool {
    let cluster::Error::Refused { status, .. } = error else {
        return false;
    };
    let message = status.message.as_str();
    status.code == 403
        && (message.contains(" cannot patch resource ") || message.contains(" cannot create resource "))
}

/// Takes off what marks an object as an Application's.
pub(super) fn unmark(desired: &mut Desired) {
    let mut object = desired.object.open();
    for (map, key) in [("labels", owner::LABEL), ("annotations", owner::ANNOTATION)] {
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            continue;
        };
        let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) else {
            continue;
        };
        entries.shift_remove(key);
        if entries.is_empty() {
            metadata.shift_remove(map);
        }
    }
    desired.object = Packed::of(object);
}

/// Whose the live object is stays as it is.
fn keep_mark(wanted: &mut Value, live: &Value) {
    for (map, key) in [("labels", owner::LABEL), ("annotations", owner::ANNOTATION)] {
        let mark = &live["metadata"][map][key];
        if mark.is_string() && wanted["metadata"].is_object() {
            if !wanted["metadata"][map].is_object() {
                wanted["metadata"][map] = Value::Object(Map::new());
            }
            wanted["metadata"][map][key] = mark.clone();
        }
    }
}

/// What it would be once the foreign fields are gone.
fn without_removed(applied: &Value, entry: &Entry) -> Value {
    let mut wanted = applied.clone();
    let Action::Update(update) = &entry.action else {
        return wanted;
    };
    let patch = removal::patch(applied, &update.remove).ok().flatten();
    let patch = patch.and_then(|patch| serde_json::from_value::<json_patch::Patch>(patch).ok());
    if let Some(patch) = patch {
        // A field that the dry-run moved stays; it is named below the difference.
        let _ = json_patch::patch(&mut wanted, &patch);
    }
    wanted
}

/// The live object with what Git says laid over it, as far as that can be told without the server: lists of named
/// things are laid over by name, others replaced.
fn overlay(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let mut laid = live.clone();
            for (key, value) in wanted {
                let below = live
                    .get(key)
                    .map_or_else(|| value.clone(), |live| overlay(live, value));
                laid.insert(key.clone(), below);
            }
            Value::Object(laid)
        }
        (Value::Array(live), Value::Array(wanted)) => {
            let mut laid = Vec::new();
            for (position, value) in wanted.iter().enumerate() {
                let same = match value["name"].as_str() {
                    Some(name) => live.iter().find(|live| live["name"] == name),
                    None => live.get(position).filter(|_| live.len() == wanted.len()),
                };
                laid.push(same.map_or_else(|| value.clone(), |live| overlay(live, value)));
            }
            // What somebody added is the other half's.
            let is_named = |live: &&Value| live["name"].is_string();
            let added = live
                .iter()
                .filter(is_named)
                .filter(|live| !wanted.iter().any(|wanted| wanted["name"] == live["name"]));
            laid.extend(added.cloned());
            Value::Array(laid)
        }
        _ => wanted.clone(),
    }
}

/// Takes off what only the server writes.
pub(super) fn tidy(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    fields.shift_remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in SERVER_FIELDS {
            metadata.shift_remove(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({"a": 1, "b": {"c": 2}}), json!({"b": {"c": 3}}), json!({"a": 1, "b": {"c": 3}}))]
    #[case(
        json!([{"name": "web", "image": "a", "pull": "Always"}, {"name": "extra"}]),
        json!([{"name": "web", "image": "b"}]),
        json!([{"name": "web", "image": "b", "pull": "Always"}, {"name": "extra"}])
    )]
    #[case(json!([{"port": 1, "protocol": "TCP"}]), json!([{"port": 2}]), json!([{"port": 2, "protocol": "TCP"}]))]
    #[case(json!(["a", "b"]), json!(["a"]), json!(["a"]))]
    #[case(json!("1"), json!("2"), json!("2"))]
    fn what_git_says_is_laid_over_what_is_there(
        #[case] live: Value,
        #[case] wanted: Value,
        #[case] laid: Value,
    ) {
        assert_eq!(overlay(&live, &wanted), laid);
    }
}
