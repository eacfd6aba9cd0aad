//! What a sync would do, for people to read before it happens: rendered and planned like the agent's, with the rights
//! of who asks, and nothing is written.
//!
//! The comparison has the plan's two halves. Where the cluster refuses who asks a dry-run, objects are compared here,
//! without the server's defaults and webhooks, and the answer says so.

mod compare;
mod judge;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use provost_delivery::order;
use provost_delivery::owner::Owner;
use provost_delivery::plan::{self as delivery, Action, Entry, ForeignFields, Identity, Update};
use provost_delivery::prune::{Protection, Verdict, verdict_of};
use provost_manifest::mask::Masker;
use provost_manifest::object::ObjectKey;
use serde_json::Value;

use super::desired::{self, Desired, Destination};
use super::error::Error;
use super::inventory::{Inventory, key_of};
use super::plan::PARALLEL;
use super::prune::kind_of;
use super::settings::Settings;
use crate::api::argoproj::{Application, ApplicationSpec};
use crate::cluster::Cluster;
use crate::render::Rendered;
use compare::Comparison;

pub use judge::Judge;
pub use source::{SourceError, fetch, request};

/// Whose the objects are.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// An Application's: by its rules and its inventory.
    Application(&'a Application, &'a ApplicationSpec),
    /// Nobody's in particular: a folder, and the namespace of objects that name none.
    Folder(Option<&'a str>),
}

/// What a sync would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// The objects: those that are rendered in the order of applying, then those that Git no longer has.
    pub objects: Vec<Previewed>,
    /// Hooks that would run where anything is synced.
    pub hooks: Vec<ObjectKey>,
    /// Whether some object was compared without the server, because it refuses a dry-run.
    pub is_client_side: bool,
    /// Whether what Git no longer has would be deleted.
    pub prunes: bool,
    /// Why nothing would be written by itself, in the words of the Application's mode; `None` where it would be.
    pub holds_back: Option<&'static str>,
    /// What could not be looked at, a sentence each.
    pub gaps: Vec<String>,
    /// How many objects the policies in force judged; `None` where they could not be asked.
    pub judged: Option<usize>,
    /// Why they could not.
    pub unjudged: Option<String>,
}

/// What it would do to one object; the values of Secrets are masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Previewed {
    /// The object.
    pub key: ObjectKey,
    /// The file that it is written in, from the repository's root.
    pub file: Option<String>,
    /// What would be done.
    pub step: Step,
    /// The live object, without what only the server writes.
    pub live: Option<Value>,
    /// What it would be.
    pub wanted: Option<Value>,
    /// Why policies refuse to have it written.
    pub denied: Option<String>,
}

/// What would be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// As the plan says.
    Planned(Entry),
    /// It is not there, and cannot be tried before something else is: what the server says.
    Deferred(String),
    /// The cluster refuses it: why.
    Refused(String),
}

// === impl Previewed ===

impl Previewed {
    /// Whether the cluster is not as Git says here.
    pub fn differs(&self) -> bool {
        match &self.step {
            Step::Planned(entry) => {
                !matches!(entry.action, Action::Unchanged(_)) || !entry.reported.is_empty()
            }
            Step::Deferred(_) | Step::Refused(_) => true,
        }
    }

    /// Whether the cluster refuses it, or its policies would.
    pub fn is_refused(&self) -> bool {
        matches!(self.step, Step::Refused(_)) || self.denied.is_some()
    }
}

// === impl Preview ===

impl Preview {
    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        self.objects.iter().any(Previewed::differs)
    }
}

/// Compares a render with the cluster.
///
/// # Errors
/// The render cannot be made into objects, or the Application's rules cannot be read. What is about one object only is
/// said there.
pub async fn preview(
    cluster: &Cluster,
    whose: Whose<'_>,
    rendered: &Rendered,
    judge: Option<&Judge>,
) -> Result<Preview, Error> {
    let (owner, destination, settings) = match whose {
        Whose::Application(application, spec) => (
            owner_of(application),
            Destination {
                namespace: spec.namespace.as_deref(),
                create_namespace: spec.create_namespace,
                namespace_metadata: spec.sync_policy.namespace_metadata.as_ref(),
            },
            Settings::of(spec, application, None)?,
        ),
        Whose::Folder(namespace) => (
            Owner::of_application("", ""),
            Destination {
                namespace,
                create_namespace: false,
                namespace_metadata: None,
            },
            // Everything that Git does not have is a difference.
            Settings::plain(ForeignFields::Remove),
        ),
    };
    let mut wanted = desired::desired(rendered, &owner, destination, &cluster.kinds())?;
    let is_marked = matches!(whose, Whose::Application(..));
    if !is_marked {
        wanted.objects.values_mut().for_each(compare::unmark);
    }
    let coming: BTreeSet<ObjectKey> = wanted.objects.keys().cloned().collect();
    let mut preview = Preview {
        hooks: wanted.hooks.into_iter().map(|hook| hook.desired.key).collect(),
        prunes: settings.prunes,
        holds_back: holds_back(whose, &settings),
        ..Preview::default()
    };
    let comparison = Comparison {
        cluster,
        owner: is_marked.then_some(&owner),
        settings: &settings,
        coming: &coming,
        judge,
    };
    let compared: Vec<_> = futures::stream::iter(in_order(wanted.objects))
        .map(|desired| {
            let comparison = &comparison;
            async move { comparison.object(&desired).await }
        })
        .buffered(PARALLEL)
        .collect()
        .await;
    preview.judged = judge.map(|_| 0);
    for compared in compared.into_iter().flatten() {
        preview.is_client_side |= compared.is_client_side;
        preview.judged = preview
            .judged
            .map(|judged| judged + usize::from(compared.is_judged));
        preview.objects.push(compared.previewed);
    }
    if let Whose::Application(application, _) = whose {
        match no_longer_declared(cluster, application, &owner, &settings, &coming).await {
            Ok(objects) => preview.objects.extend(objects),
            Err(error) => preview.gaps.push(format!(
                "what Git no longer has cannot be found out: {}",
                error.sentence()
            )),
        }
    }
    let mut masker = Masker::new();
    for object in &mut preview.objects {
        for value in [&mut object.live, &mut object.wanted].into_iter().flatten() {
            compare::tidy(value);
            masker.mask(value);
        }
    }
    Ok(preview)
}

fn owner_of(application: &Application) -> Owner {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let metadata = &application.metadata;
    Owner::of_application(&text(&metadata.namespace), &text(&metadata.name))
}

fn holds_back(whose: Whose<'_>, settings: &Settings) -> Option<&'static str> {
    let Whose::Application(application, spec) = whose else {
        return None;
    };
    if super::settings::is_off(application) {
        Some("Nothing is written while it is suspended.")
    } else if spec.automated.is_none() {
        Some("Nothing is written before somebody asks: provost app sync.")
    } else if !settings.writes {
        Some("Nothing is written in mode drift-only.")
    } else {
        None
    }
}

/// The objects in the order of applying.
fn in_order(objects: BTreeMap<ObjectKey, Desired>) -> Vec<Arc<Desired>> {
    let all: Vec<Arc<Desired>> = objects.into_values().map(Arc::new).collect();
    let values: Vec<Value> = all.iter().map(|desired| desired.object.open()).collect();
    let ranked = order::steps(&values.iter().collect::<Vec<_>>());
    let places = ranked.into_iter().flat_map(|step| step.objects);
    places.map(|place| Arc::clone(&all[place])).collect()
}

/// What the inventory has and Git has not.
async fn no_longer_declared(
    cluster: &Cluster,
    application: &Application,
    owner: &Owner,
    settings: &Settings,
    rendered: &BTreeSet<ObjectKey>,
) -> Result<Vec<Previewed>, Error> {
    let inventory = Inventory::load(cluster, application, owner).await?;
    let mut found = Vec::new();
    for entry in inventory.entries().into_values() {
        let key = key_of(&entry);
        if rendered.contains(&key) {
            continue;
        }
        // A kind that the cluster no longer serves has no objects.
        let Some(kind) = kind_of(cluster, &entry) else {
            continue;
        };
        let live = cluster.get(&kind.target(&key)).await?;
        let action = match verdict_of(live.as_ref(), owner, &settings.removal(None)) {
            Verdict::Gone | Verdict::Keep(Protection::NotOurs) => continue,
            Verdict::Keep(protection) => Action::Keep(protection),
            Verdict::Prune(identity) => Action::Prune(identity),
        };
        found.push(Previewed {
            key: key.clone(),
            file: None,
            step: Step::Planned(Entry {
                key,
                action,
                reported: Vec::new(),
            }),
            live,
            wanted: None,
            denied: None,
        });
    }
    Ok(found)
}

/// What changes from one render to another, whatever any cluster has: as if the first were live.
pub fn between(before: &Rendered, after: &Rendered) -> Preview {
    let identified = |rendered: &Rendered| -> BTreeMap<ObjectKey, (Value, Option<String>)> {
        let objects = rendered.objects.iter();
        objects
            .filter_map(|object| {
                let file = object.file.as_ref().map(ToString::to_string);
                Some((ObjectKey::of(&object.value)?, (object.value.clone(), file)))
            })
            .collect()
    };
    let (old, mut new) = (identified(before), identified(after));
    let nobody = || Identity {
        uid: String::new(),
        resource_version: String::new(),
    };
    let mut preview = Preview::default();
    let mut add = |key: ObjectKey, file, action, live, wanted| {
        let entry = Entry {
            key: key.clone(),
            action,
            reported: Vec::new(),
        };
        preview.objects.push(Previewed {
            key,
            file,
            step: Step::Planned(entry),
            live,
            wanted,
            denied: None,
        });
    };
    for (key, (live, file)) in old {
        let Some((wanted, file)) = new.remove(&key) else {
            add(key, file, Action::Prune(nobody()), Some(live), None);
            continue;
        };
        let apply = delivery::changes(&live, &wanted);
        let action = if apply.is_empty() {
            Action::Unchanged(nobody())
        } else {
            Action::Update(Update {
                identity: nobody(),
                apply,
                remove: Vec::new(),
            })
        };
        add(key, file, action, Some(live), Some(wanted));
    }
    for (key, (wanted, file)) in new {
        add(key, file, Action::Create, None, Some(wanted));
    }
    let mut masker = Masker::new();
    for object in &mut preview.objects {
        for value in [&mut object.live, &mut object.wanted].into_iter().flatten() {
            masker.mask(value);
        }
    }
    preview
}
