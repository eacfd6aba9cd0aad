//! Hooks: started in their step, waited for, deleted as they say.

use std::collections::HashMap;

use jiff::Timestamp;
use provost_delivery::health::Status;
use provost_delivery::hook::{Phase, generated_name};
use provost_delivery::options::Propagation;
use provost_manifest::object::ObjectKey;
use serde_json::{Value, json};

use super::application::{Goal, Task};
use super::desired::DesiredHook;
use super::error::Error;
use super::plan;
use super::run::{Run, Step};
use crate::cluster::{Folded, Target};

/// Annotation of a hook with the time at which its sync began: one that an agent finds again is not run twice.
const SYNC_ANNOTATION: &str = "provost.dev/sync-started-at";

/// The hooks of a run that were begun, by phase and identity.
pub(super) type Hooks = HashMap<(Phase, ObjectKey), HookRun>;

/// One hook that was begun.
#[derive(Debug)]
pub(super) struct HookRun {
    uid: String,
    outcome: Option<Result<(), String>>,
}

/// How the hooks of a step fare.
pub(super) enum HooksState {
    /// All have succeeded.
    Succeeded,
    /// One is not done: which, and how it fares.
    Waiting(String),
}

// === impl HookRun ===

impl HookRun {
    fn of(live: &Folded) -> Self {
        let mut run = Self {
            uid: live.uid.clone(),
            outcome: None,
        };
        run.observe(Some(live));
        run
    }

    /// What a watch saw. What has ended stays so: a Job may delete itself when it is done.
    pub(super) fn observe(&mut self, seen: Option<&Folded>) {
        if self.outcome.is_some() {
            return;
        }
        let Some(live) = seen.filter(|live| live.uid == self.uid) else {
            self.outcome = Some(Err("it was deleted while it ran".to_owned()));
            return;
        };
        self.outcome = match live
            .health
            .as_ref()
            .map(|health| (health.status, &health.message))
        {
            // Kinds that do nothing are done at once.
            None | Some((Status::Healthy, _)) => Some(Ok(())),
            Some((Status::Degraded | Status::Unknown, message)) => Some(Err(message.clone())),
            Some((Status::Progressing | Status::Missing | Status::Suspended, _)) => None,
        };
    }
}

// === impl DesiredHook ===

impl DesiredHook {
    /// The object as it runs in this phase of this run, and its identity.
    pub(super) fn named(&self, goal: &Goal, phase: Phase, started_at: Timestamp) -> (ObjectKey, Value) {
        let (mut key, mut object) = (self.desired.key.clone(), self.desired.object.open());
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            if !metadata.contains_key("name")
                && let Some(generate_name) = metadata.shift_remove("generateName")
            {
                let second = started_at.as_second();
                let generate_name = generate_name.as_str().unwrap_or_default();
                key.name = generated_name(generate_name, &goal.origin.revision, phase, second);
                metadata.insert("name".to_owned(), json!(key.name));
            }
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            annotations[SYNC_ANNOTATION] = json!(started_at.to_string());
        }
        (key, object)
    }
}

// === impl Task ===

impl Task {
    /// Begins the hooks of a step that were not begun, and says how they fare.
    ///
    /// # Errors
    /// A hook has failed; it was deleted, where it says so.
    pub(super) async fn run_hooks(
        &mut self,
        goal: &Goal,
        step: &Step,
        run: &mut Run,
    ) -> Result<HooksState, Error> {
        let mut waiting = None;
        for hook in &step.hooks {
            let (key, object) = hook.named(goal, step.phase, run.started_at);
            let place = (step.phase, key);
            if !run.hooks.contains_key(&place) {
                let Some(live) = self.begin_hook(hook, &place.1, &object).await? else {
                    waiting.get_or_insert_with(|| format!("the earlier {} to go", place.1));
                    continue;
                };
                run.hooks.insert(place.clone(), HookRun::of(&live));
            }
            match run.hooks.get(&place).and_then(|hook| hook.outcome.as_ref()) {
                Some(Ok(())) => {}
                None => {
                    waiting.get_or_insert_with(|| format!("{} hook {}", step.phase, place.1));
                }
                Some(Err(message)) => {
                    let failure = Error::Hook {
                        object: place.1.to_string(),
                        phase: step.phase,
                        message: message.clone(),
                    };
                    self.end_hooks(goal, step, run, false).await?;
                    return Err(failure);
                }
            }
        }
        Ok(waiting.map_or(HooksState::Succeeded, HooksState::Waiting))
    }

    /// Deletes the hooks of a step that say so, now that it has ended.
    pub(super) async fn end_hooks(
        &self,
        goal: &Goal,
        step: &Step,
        run: &Run,
        has_succeeded: bool,
    ) -> Result<(), Error> {
        for hook in step
            .hooks
            .iter()
            .filter(|hook| hook.hook.is_deleted_after(has_succeeded))
        {
            let (key, _) = hook.named(goal, step.phase, run.started_at);
            let target = self.hook_target(hook, &key)?;
            if let Some(hook) = run.hooks.get(&(step.phase, key)) {
                self.actor()?
                    .delete(&target, &hook.uid, Propagation::Background)
                    .await?;
            }
        }
        Ok(())
    }

    /// Deletes the hooks of steps that an earlier agent noted as done, where it had no time left to delete them.
    pub(super) async fn end_left_hooks(&self, goal: &Goal, done: &[Step], run: &Run) -> Result<(), Error> {
        let cluster = self.actor()?;
        for step in done {
            for hook in step.hooks.iter().filter(|hook| hook.hook.is_deleted_after(true)) {
                let (key, object) = hook.named(goal, step.phase, run.started_at);
                let target = self.hook_target(hook, &key)?;
                let Some(live) = cluster.get(&target).await? else {
                    continue;
                };
                if is_of_one_sync(&live, &object) {
                    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
                    cluster.delete(&target, uid, Propagation::Background).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes the hook; `None` while one of an earlier sync is in its place and has to go.
    async fn begin_hook(
        &mut self,
        hook: &DesiredHook,
        key: &ObjectKey,
        object: &Value,
    ) -> Result<Option<Folded>, Error> {
        let cluster = self.actor()?;
        let target = self.hook_target(hook, key)?;
        self.context.watch(&target.kind);
        if let Some(live) = cluster.get(&target).await? {
            let metadata = &live["metadata"];
            if is_of_one_sync(&live, object) {
                return Ok(Some(cluster.fold(&live)));
            }
            if !self.owner.owns(&live) {
                return Err(Error::Stage {
                    refused: vec![format!(
                        "{key}: it is there already and is not this Application's"
                    )],
                    total: 1,
                });
            }
            let is_going = metadata["deletionTimestamp"].is_string();
            if is_going || hook.hook.is_deleted_before() {
                let uid = metadata["uid"].as_str().unwrap_or_default();
                let is_deleted = !is_going && cluster.delete(&target, uid, Propagation::Background).await?;
                if is_deleted && cluster.get(&target).await?.is_none() {
                    return Ok(Some(cluster.fold(&cluster.apply(&target, object).await?)));
                }
                return Ok(None);
            }
        }
        let made = cluster.apply(&target, object).await.map_err(|error| {
            let file = hook.desired.file.as_deref().unwrap_or("the render");
            Error::Apply(vec![format!(
                "{key} ({file}): {}",
                plan::Error::from(error).sentence()
            )])
        })?;
        Ok(Some(cluster.fold(&made)))
    }

    fn hook_target(&self, hook: &DesiredHook, key: &ObjectKey) -> Result<Target, Error> {
        let kinds = self.context.cluster.kinds();
        let kind = kinds
            .get(&hook.desired.gvk)
            .ok_or_else(|| Error::Unserved(vec![format!("{key}: the cluster does not serve its kind")]))?;
        Ok(kind.target(key))
    }
}

/// Whether both are the hook of one and the same sync.
fn is_of_one_sync(live: &Value, hook: &Value) -> bool {
    let began = |object: &Value| object["metadata"]["annotations"][SYNC_ANNOTATION].clone();
    began(live) == began(hook)
}
