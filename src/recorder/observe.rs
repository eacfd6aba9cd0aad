//! Watches that see what happened: every change of a governed object, without its content.
//!
//! ```text
//! metadata of each governed kind ─watch─▶ folded (some hundred bytes an object) ─▶ observation ─▶ ledger
//! ```
//!
//! # Guarantees
//! - A watch that was interrupted begins anew by a list: what changed or went meanwhile is told then, as one change.
//! - What a controller says of an object in its status is no change.
//! - A kind that is new is watched a moment after its definition, and within [`DISCOVER_INTERVAL`] in any case; what
//!   happened to it before is not evidenced by a watch.
//!
//! RBAC: list and watch on what is watched.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event as Watched, watcher};
use provost_evidence::change::EVERYWHERE;
use provost_evidence::event::Event;
use provost_evidence::witness::{Observation, Subject};
use provost_manifest::digest::Digest;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Kind, Kinds};
use crate::config::WitnessScope;
use crate::ledger::Ledger;

/// How often it is asked which kinds there are.
pub const DISCOVER_INTERVAL: Duration = Duration::from_secs(30);
/// When it is asked after a definition changed: the apiserver tells of a kind a moment after it has the definition.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// The group of the definitions of kinds.
const DEFINITIONS: &str = "apiextensions.k8s.io";
/// Groups whose objects say every second that somebody lives, or are questions.
const DROPPED: [&str; 5] = [
    "coordination.k8s.io",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "metrics.k8s.io",
];
/// The group of RBAC and that of webhook configurations: what changes there is sampled at once.
const SAMPLED: [&str; 2] = ["rbac.authorization.k8s.io", "admissionregistration.k8s.io"];

/// Watches a cluster.
#[derive(Clone)]
pub struct Observer {
    /// The cluster.
    pub client: kube::Client,
    /// Where it is told.
    pub ledger: Ledger,
    /// The namespaces that are watched.
    pub scope: WitnessScope,
    /// Those that are not.
    pub exempt: BTreeSet<String>,
    /// Told where something changed that is sampled.
    pub sampled: Arc<Notify>,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folded {
    uid: String,
    resource_version: String,
    /// Of all that anybody but a status writes into its metadata.
    digest: Digest,
    generation: u64,
}

// === impl Observer ===

impl Observer {
    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut watched = BTreeSet::new();
        let defined = Arc::new(Notify::new());
        let mut looks = LOOKS.iter();
        loop {
            match Kinds::discover(&self.client).await {
                Ok(kinds) => {
                    for kind in kinds.all().filter(|kind| is_governed(kind)) {
                        if watched.insert((kind.gvk.group.clone(), kind.plural.clone())) {
                            let follow = self.clone().follow(kind.clone(), Arc::clone(&defined));
                            tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "It could not be asked which kinds there are to watch; it is tried again.");
                }
            }
            let wait = looks.next().copied().unwrap_or(DISCOVER_INTERVAL);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
                () = defined.notified() => {
                    // A definition seldom comes alone.
                    sleep(LOOKS[0]).await;
                    looks = LOOKS.iter();
                }
            }
        }
    }

    async fn follow(self, kind: Kind, defined: Arc<Notify>) {
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::all_with(self.client.clone(), &kind.api_resource());
        let mut events = watcher(api, Config::default()).default_backoff().boxed();
        let mut known: HashMap<(String, String), Folded> = HashMap::new();
        let mut listed: HashMap<(String, String), Folded> = HashMap::new();
        // What is there before we look is no change.
        let mut is_first = true;
        while let Some(event) = events.next().await {
            let is_told = matches!(event, Ok(Watched::Apply(_) | Watched::InitDone));
            if kind.gvk.group == DEFINITIONS && is_told {
                defined.notify_one();
            }
            match event {
                Ok(Watched::Init) => listed.clear(),
                Ok(Watched::InitApply(object)) => {
                    let (key, folded) = fold(&object);
                    let before = known.get(&key);
                    if !is_first
                        && before.is_none_or(|before| before.resource_version != folded.resource_version)
                    {
                        self.tell_present(&kind, &object, before, &folded);
                    }
                    listed.insert(key, folded);
                }
                Ok(Watched::InitDone) => {
                    let before = std::mem::replace(&mut known, std::mem::take(&mut listed));
                    for ((namespace, name), folded) in before {
                        if !known.contains_key(&(namespace.clone(), name.clone())) {
                            self.tell("gone", &kind, (namespace, name), &folded, None);
                        }
                    }
                    is_first = false;
                }
                Ok(Watched::Apply(object)) => {
                    let (key, folded) = fold(&object);
                    self.tell_present(&kind, &object, known.get(&key), &folded);
                    known.insert(key, folded);
                }
                Ok(Watched::Delete(object)) => {
                    let (key, folded) = fold(&object);
                    known.remove(&key);
                    self.tell("deleted", &kind, key, &folded, newest(&object.metadata));
                }
                Err(error) => {
                    tracing::debug!(kind = %kind.gvk, %error, "A watch was interrupted; it is taken up again.");
                }
            }
        }
    }

    fn tell_present(
        &self,
        kind: &Kind,
        object: &PartialObjectMeta<DynamicObject>,
        before: Option<&Folded>,
        now: &Folded,
    ) {
        let change = match before {
            Some(before) if before.uid == now.uid => "changed",
            _ => "added",
        };
        let is_status = before.is_some_and(|before| {
            let has_status = now.generation > 0 || is_reported(&object.metadata);
            has_status
                && (&before.uid, &before.digest, before.generation) == (&now.uid, &now.digest, now.generation)
        });
        if is_status {
            return;
        }
        let (key, _) = fold(object);
        self.tell(change, kind, key, now, newest(&object.metadata));
    }

    fn tell(
        &self,
        change: &str,
        kind: &Kind,
        (namespace, name): (String, String),
        folded: &Folded,
        newest: Option<&ManagedFieldsEntry>,
    ) {
        if SAMPLED.contains(&kind.gvk.group.as_str()) {
            self.sampled.notify_one();
        }
        if !self.wants(kind, &namespace) {
            return;
        }
        let manager = newest.and_then(|entry| entry.manager.clone());
        let time = newest.and_then(|entry| entry.time.as_ref());
        self.ledger.append(Event::Observation(Observation {
            change: change.to_owned(),
            object: Subject {
                group: kind.gvk.group.clone(),
                version: kind.gvk.version.clone(),
                kind: kind.gvk.kind.clone(),
                resource: kind.plural.clone(),
                subresource: String::new(),
                namespace,
                name,
            },
            object_uid: folded.uid.clone(),
            resource_version: folded.resource_version.clone(),
            generation: folded.generation,
            manager: manager.unwrap_or_default(),
            manager_time: time.map(|time| time.0.to_string()).unwrap_or_default(),
        }));
    }

    fn wants(&self, kind: &Kind, namespace: &str) -> bool {
        is_everywhere(kind)
            || match &self.scope {
                WitnessScope::Nothing => false,
                WitnessScope::Governed => kind.namespaced && !self.exempt.contains(namespace),
                WitnessScope::Named(names) => names.contains(namespace),
            }
    }
}

fn is_governed(kind: &Kind) -> bool {
    let is_dropped =
        DROPPED.contains(&kind.gvk.group.as_str()) || (kind.gvk.group.is_empty() && kind.plural == "events");
    let is_wanted = kind.namespaced || is_everywhere(kind) || SAMPLED.contains(&kind.gvk.group.as_str());
    kind.watchable && is_wanted && !is_dropped
}

fn is_everywhere(kind: &Kind) -> bool {
    EVERYWHERE.iter().any(|(group, resources)| {
        *group == kind.gvk.group && (resources.is_empty() || resources.contains(&kind.plural.as_str()))
    })
}

fn fold(object: &PartialObjectMeta<DynamicObject>) -> ((String, String), Folded) {
    let metadata = &object.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let written: Vec<_> = managed(metadata).filter(|entry| !is_of_status(entry)).collect();
    let digest = Digest::of_value(&json!([
        without_reported(metadata, "f:labels", metadata.labels.as_ref()),
        without_reported(metadata, "f:annotations", metadata.annotations.as_ref()),
        metadata.finalizers,
        metadata.owner_references,
        metadata.deletion_timestamp,
        written,
    ]));
    let folded = Folded {
        uid: text(&metadata.uid),
        resource_version: text(&metadata.resource_version),
        digest,
        generation: metadata
            .generation
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or_default(),
    };
    ((text(&metadata.namespace), text(&metadata.name)), folded)
}

fn managed(metadata: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    metadata.managed_fields.iter().flatten()
}

fn is_of_status(entry: &ManagedFieldsEntry) -> bool {
    entry.subresource.as_deref() == Some("status")
}

/// The labels or annotations that nobody wrote together with a status, as the controller of Deployments does with the
/// number of the revision.
fn without_reported<'m>(
    metadata: &'m ObjectMeta,
    field: &str,
    entries: Option<&'m BTreeMap<String, String>>,
) -> BTreeMap<&'m str, &'m str> {
    let owns = |entry: &ManagedFieldsEntry, name: &str| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| !fields["f:metadata"][field][format!("f:{name}")].is_null())
    };
    let is_reported = |name: &str| {
        let mut owners = managed(metadata).filter(|entry| owns(entry, name)).peekable();
        owners.peek().is_some() && owners.all(is_of_status)
    };
    let entries = entries.into_iter().flatten();
    entries
        .filter(|(name, _)| !is_reported(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Whether somebody writes a status of it.
fn is_reported(metadata: &ObjectMeta) -> bool {
    managed(metadata).any(is_of_status)
}

/// Who wrote last, by their own claim; `None` where several did in the same second.
fn newest(metadata: &ObjectMeta) -> Option<&ManagedFieldsEntry> {
    let written = || managed(metadata).filter(|entry| !is_of_status(entry));
    let time = |entry: &ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
    let newest = written().max_by_key(|entry| time(entry))?;
    let mut others = written().filter(|entry| entry.manager != newest.manager);
    (!others.any(|entry| time(entry) == time(newest))).then_some(newest)
}

/// What a sample has of an object: its digest, by kind and name.
pub(super) type Digests = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use provost_manifest::object::GroupVersionKind;
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn object(change: &Value) -> PartialObjectMeta<DynamicObject> {
        let mut object = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7",
        "generation": 1, "managedFields": [
            {"manager": "kubectl", "operation": "Update", "time": "2026-11-24T11:14:32Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "controller", "operation": "Update", "subresource": "status", "time": "2026-11-24T11:20:00Z",
             "fieldsV1": {"f:metadata": {"f:annotations": {"f:example.com/revision": {}}}}},
        ]}});
        json_patch::merge(&mut object, change);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn who_wrote_last_is_not_who_reported_last() {
        let object = object(&json!({}));
        assert_eq!(
            newest(&object.metadata).unwrap().manager.as_deref(),
            Some("kubectl")
        );
    }

    #[test]
    fn of_two_who_wrote_in_the_same_second_none_is_named() {
        let both = object(&json!({"metadata": {"managedFields": [
            {"manager": "kubectl", "operation": "Update", "time": "2026-11-24T11:14:32Z"},
            {"manager": "kubectl-create", "operation": "Update", "time": "2026-11-24T11:14:32Z"},
        ]}}));
        assert_eq!(newest(&both.metadata), None);
    }

    #[rstest]
    #[case::a_status(json!({"metadata": {"resourceVersion": "8"}}), true)]
    #[case::what_is_written_with_it(json!({"metadata": {"resourceVersion": "8", "annotations": {"example.com/revision": "2"}}}), true)]
    #[case::a_label(json!({"metadata": {"resourceVersion": "8", "labels": {"a": "b"}}}), false)]
    #[case::an_annotation(json!({"metadata": {"resourceVersion": "8", "annotations": {"example.com/owner": "b"}}}), false)]
    #[case::a_finalizer(json!({"metadata": {"resourceVersion": "8", "finalizers": ["a/b"]}}), false)]
    #[case::its_deletion(json!({"metadata": {"resourceVersion": "8", "deletionTimestamp": "2026-11-24T11:20:00Z"}}), false)]
    fn only_a_status_leaves_the_fold_as_it_was(#[case] change: Value, #[case] same: bool) {
        let (before, after) = (fold(&object(&json!({}))).1, fold(&object(&change)).1);
        assert_eq!(before.digest == after.digest, same);
    }

    #[rstest]
    #[case("", "events", true, false)]
    #[case("coordination.k8s.io", "leases", true, false)]
    #[case("", "configmaps", true, true)]
    #[case("", "nodes", false, false)]
    #[case("", "namespaces", false, true)]
    #[case("rbac.authorization.k8s.io", "clusterroles", false, true)]
    #[case(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        false,
        true
    )]
    fn what_is_watched(
        #[case] group: &str,
        #[case] plural: &str,
        #[case] namespaced: bool,
        #[case] expected: bool,
    ) {
        let kind = Kind {
            gvk: GroupVersionKind::new(group, "v1", "Kind"),
            plural: plural.to_owned(),
            namespaced,
            watchable: true,
            subresources: Vec::new(),
        };
        assert_eq!(is_governed(&kind), expected);
    }
}
