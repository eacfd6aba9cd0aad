//! Values of the global context, kept ready: objects by a watch, answers by asking again at intervals.
//!
//! An entry is kept from the first time that a rule asks for it, until no policy set has it any more.
//!
//! RBAC: list, watch on the resources that entries name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher::{Config, Event, watcher},
};
use provost_policy::{GlobalEntry, GlobalSource, Input, Key};
use serde_json::Value;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Globals, NO_CLUSTER, Origin};

/// How many entries are kept at a time.
const MAX_ENTRIES: usize = 64;
/// How many objects an entry holds at most.
const MAX_OBJECTS: usize = 10_000;
/// How large an entry's objects are together, as JSON. A rule copies what it reads, so that this bounds a request too.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long to wait before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The entries that rules asked for.
#[derive(Default)]
pub(super) struct Kept {
    /// Held for the length of a look-up, never across an await.
    entries: Mutex<HashMap<Arc<str>, Running>>,
}

/// An entry that is kept; dropping it ends that.
struct Running {
    entry: Arc<GlobalEntry>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing is known yet.
    Reading,
    /// The answer to a call.
    Answer(Arc<Value>),
    /// The objects of a resource, as they are now.
    Objects(Arc<Mutex<Objects>>),
    /// Why the value is not known now.
    Failed(String),
}

/// The objects of a resource.
#[derive(Debug, Default)]
struct Objects {
    /// By namespace and name, each with its size.
    by_name: BTreeMap<(String, String), (Value, usize)>,
    bytes: usize,
    /// The list of them, made when a rule asks and kept until an object changes.
    list: Option<Arc<Value>>,
}

// === impl Kept ===

impl Kept {
    /// The value of `name` or `name.projection`. Whoever asks sets the deadline.
    pub(super) async fn get(&self, name: &str, globals: &Globals, origin: &Origin) -> Input {
        let (entry, projection) = find(name, globals)?;
        let mut state = self.state(entry, globals, origin)?;
        let known = state.wait_for(|state| !matches!(state, State::Reading)).await;
        let state = known.map(|state| state.clone());
        match state {
            Ok(State::Answer(value)) => entry.project(projection, &value, Timestamp::now()),
            Ok(State::Objects(objects)) => {
                let list = lock(&objects).list();
                entry.project(projection, &list, Timestamp::now())
            }
            Ok(State::Failed(why)) => Err(format!("GlobalContextEntry {} has no value: {why}", entry.name())),
            Ok(State::Reading) | Err(_) => Err(format!(
                "GlobalContextEntry {} is not kept any more",
                entry.name()
            )),
        }
    }

    fn state(
        &self,
        entry: &Arc<GlobalEntry>,
        globals: &Globals,
        origin: &Origin,
    ) -> Result<watch::Receiver<State>, String> {
        let mut entries = self.entries();
        let is_current = |running: &Running| {
            let current = globals.get(running.entry.name());
            current.is_some_and(|current| current.says_the_same(&running.entry))
        };
        entries.retain(|name, running| {
            let is_current = is_current(running);
            if !is_current {
                origin.reads.forget(name);
            }
            is_current
        });
        if let Some(running) = entries.get(entry.name()) {
            return Ok(running.state.clone());
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(format!(
                "more than {MAX_ENTRIES} entries of the global context are in use"
            ));
        }
        let stop = origin.stop.child_token();
        let (sender, state) = watch::channel(State::Reading);
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(keep(Arc::clone(entry), origin.clone(), sender)),
        );
        let running = Running {
            entry: Arc::clone(entry),
            state: state.clone(),
            stop,
        };
        entries.insert(Arc::clone(entry.name()), running);
        Ok(state)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<str>, Running>> {
        lock(&self.entries)
    }
}

/// What is locked here stays whole, whatever panics: its changes are single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An entry and the projection that is asked of it. Names of entries may hold dots, those of projections do not.
fn find<'a, 'n>(
    name: &'n str,
    globals: &'a Globals,
) -> Result<(&'a Arc<GlobalEntry>, Option<&'n str>), String> {
    if let Some(entry) = globals.get(name) {
        return Ok((entry, None));
    }
    let split = name.rsplit_once('.');
    match split.and_then(|(entry, projection)| Some((globals.get(entry)?, Some(projection)))) {
        Some(found) => Ok(found),
        None => Err(format!(
            "there is no GlobalContextEntry {}",
            split.map_or(name, |(entry, _)| entry)
        )),
    }
}

async fn keep(entry: Arc<GlobalEntry>, origin: Origin, state: watch::Sender<State>) {
    match entry.source() {
        GlobalSource::Resource {
            group,
            version,
            resource,
            namespace,
        } => {
            let Some(client) = &origin.client else {
                state.send_replace(State::Failed(NO_CLUSTER.to_owned()));
                // The reason stays for as long as somebody may ask.
                return std::future::pending().await;
            };
            let api = api(client, group, version, resource, namespace);
            let mut told = String::new();
            loop {
                let listed = || origin.reads.read(entry.name(), Timestamp::now());
                let end = follow(&api, &state, listed).await;
                let (End::Failed(why) | End::TooMuch(why)) = &end;
                origin.reads.failed(entry.name(), Timestamp::now(), why);
                if *why != told {
                    let name = entry.name();
                    tracing::warn!(%name, why, "The objects of a GlobalContextEntry are not known.");
                    told.clone_from(why);
                }
                state.send_replace(State::Failed(why.clone()));
                if let End::TooMuch(_) = end {
                    // They are listed anew only once the entry says something else.
                    return std::future::pending().await;
                }
                sleep(AGAIN).await;
            }
        }
        GlobalSource::Call { key, refresh } => loop {
            let answer = call(&origin, key).await;
            let wait = if answer.is_ok() {
                *refresh
            } else {
                AGAIN.min(*refresh)
            };
            let (name, now) = (entry.name(), Timestamp::now());
            state.send_replace(match answer {
                Ok(value) => {
                    origin.reads.read(name, now);
                    State::Answer(Arc::new(value))
                }
                Err(why) => {
                    origin.reads.failed(name, now, &why);
                    State::Failed(why)
                }
            });
            sleep(wait).await;
        },
    }
}

async fn call(origin: &Origin, key: &Key) -> Input {
    match origin.call(key).await {
        Some(input) => input,
        None => Err("it is no call".to_owned()),
    }
}

/// Why objects are not followed any more.
enum End {
    /// The apiserver does not tell them.
    Failed(String),
    /// There are more than are kept.
    TooMuch(String),
}

/// Follows a watch until it fails, and says why. `listed` is called each time that the objects are known.
async fn follow(api: &Api<DynamicObject>, state: &watch::Sender<State>, listed: impl Fn()) -> End {
    let mut events = watcher(api.clone(), Config::default()).boxed();
    let mut objects = Arc::new(Mutex::new(Objects::default()));
    while let Some(event) = events.next().await {
        let bounded = match event {
            Ok(Event::Init) => {
                // Rules see the objects before until the new list is whole.
                objects = Arc::default();
                Ok(())
            }
            Ok(Event::InitApply(object)) => lock(&objects).insert(object),
            Ok(Event::Apply(object)) => {
                listed();
                lock(&objects).insert(object)
            }
            Ok(Event::InitDone) => {
                state.send_replace(State::Objects(Arc::clone(&objects)));
                listed();
                Ok(())
            }
            Ok(Event::Delete(object)) => {
                listed();
                lock(&objects).remove(&object);
                Ok(())
            }
            Err(error) => return End::Failed(error.to_string()),
        };
        if let Err(why) = bounded {
            return End::TooMuch(why);
        }
    }
    End::Failed("the watch ended".to_owned())
}

fn api(client: &Client, group: &str, version: &str, resource: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, ""), resource);
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

// === impl Objects ===

impl Objects {
    /// Takes an object in; in an error, which bound that breaks.
    fn insert(&mut self, mut object: DynamicObject) -> Result<(), String> {
        self.list = None;
        object.metadata.managed_fields = None;
        let key = key(&object);
        // What the apiserver gave as JSON is JSON again.
        let value = serde_json::to_value(&object).unwrap_or_default();
        let size = value.to_string().len();
        self.bytes += size;
        if let Some((_, before)) = self.by_name.insert(key, (value, size)) {
            self.bytes -= before;
        }
        self.bounded()
    }

    fn remove(&mut self, object: &DynamicObject) {
        self.list = None;
        if let Some((_, size)) = self.by_name.remove(&key(object)) {
            self.bytes -= size;
        }
    }

    fn bounded(&self) -> Result<(), String> {
        if self.by_name.len() > MAX_OBJECTS {
            return Err(format!(
                "there are more than {MAX_OBJECTS} objects, and they are not kept"
            ));
        }
        if self.bytes > MAX_BYTES {
            let mebibytes = MAX_BYTES / (1024 * 1024);
            return Err(format!(
                "the objects have more than {mebibytes} MiB, and they are not kept"
            ));
        }
        Ok(())
    }

    /// All of them, sorted by namespace and name.
    fn list(&mut self) -> Arc<Value> {
        let objects = self.by_name.values();
        let made = self
            .list
            .get_or_insert_with(|| Arc::new(objects.map(|(value, _)| value.clone()).collect()));
        Arc::clone(made)
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    (text(&object.metadata.namespace), text(&object.metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, text: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "shop", "managedFields": [{"manager": "kubectl"}]},
            "data": {"text": text},
        }))
        .unwrap()
    }

    #[test]
    fn objects_are_a_list_sorted_by_name_which_follows_their_changes() {
        let mut objects = Objects::default();
        for (name, text) in [("b", "1"), ("a", "1"), ("b", "2")] {
            objects.insert(object(name, text)).unwrap();
        }
        let list = objects.list();
        let names: Vec<_> = (0..2)
            .map(|index| list[index]["metadata"]["name"].clone())
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(list[1]["data"]["text"], "2");
        assert_eq!(list[0]["metadata"].get("managedFields"), None);
        objects.remove(&object("a", "1"));
        assert_eq!(objects.list().as_array().unwrap().len(), 1);
        objects.remove(&object("b", "2"));
        assert_eq!(objects.bytes, 0);
    }

    #[test]
    fn more_than_is_kept_is_said_so() {
        let mut objects = Objects::default();
        let half = "x".repeat(MAX_BYTES / 2);
        objects.insert(object("a", &half)).unwrap();
        objects.insert(object("a", &half)).unwrap();
        let why = objects.insert(object("b", &half)).unwrap_err();
        assert_eq!(why, "the objects have more than 8 MiB, and they are not kept");
    }
}
