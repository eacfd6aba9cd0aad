//! Deciding about objects before any of them is written: a dry-run of all, and what each of them comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_manifest::object::ObjectKey;

use super::application::Task;
use super::desired::Desired;
use super::error::Error;
use super::inventory::Entries;
use super::plan::{self, Verdict, plan_stage};
use super::settings::Settings;
use super::state::Standing;
use crate::api::provost::InventoryEntry;

/// What a dry-run of many objects comes to.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// What is to be written.
    pub(super) writes: BTreeMap<ObjectKey, Write>,
    /// What may be accepted once something else is there: why it is not yet.
    pub(super) deferred: BTreeMap<ObjectKey, Deferred>,
    /// Objects that somebody else changes as often as we put them back, one sentence each.
    pub(super) fights: Vec<String>,
    /// How many objects the policies in force judged; none where there is no policy.
    pub(super) judged: u64,
}

/// One object that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) desired: Arc<Desired>,
    pub(super) verdict: Verdict,
    /// Whether it was so before, and somebody changed it.
    pub(super) is_drift: bool,
}

/// One object that waits for another.
#[derive(Clone, Debug)]
pub(super) struct Deferred {
    pub(super) desired: Arc<Desired>,
    /// Why it was refused for now.
    pub(super) reason: String,
}

// === impl Planned ===

impl Planned {
    /// Whether anything in it is news from Git, and not only put back.
    pub(super) fn brings_news(&self) -> bool {
        !self.deferred.is_empty() || self.writes.values().any(|write| !write.is_drift)
    }
}

// === impl Task ===

impl Task {
    /// Dry-runs the objects as a whole, has the policies in force judge them, and decides what is to be written.
    ///
    /// # Errors
    /// All refusals together; nothing may then be written. What waits for an object that is `coming`, or that is made
    /// here, is no refusal.
    pub(super) async fn plan(
        &mut self,
        settings: &Settings,
        recorded: &Entries,
        objects: &[Arc<Desired>],
        coming: &BTreeMap<ObjectKey, Write>,
    ) -> Result<Planned, Error> {
        match self.plan_all(settings, recorded, objects, coming).await? {
            (planned, None) => Ok(planned),
            (_, Some(refusals)) => Err(refusals),
        }
    }

    /// The same; what is refused does not hide what is not.
    pub(super) async fn plan_all(
        &mut self,
        settings: &Settings,
        recorded: &Entries,
        objects: &[Arc<Desired>],
        coming: &BTreeMap<ObjectKey, Write>,
    ) -> Result<(Planned, Option<Error>), Error> {
        let (context, cluster) = (Arc::clone(&self.context), self.actor()?);
        for desired in objects {
            if let Some(kind) = cluster.kinds().get(&desired.gvk) {
                self.context.watch(kind);
            }
        }
        let mut planned = Planned::default();
        let (mut failed, mut denied, mut held_back) = (Vec::new(), Vec::new(), Vec::new());
        let stage = plan_stage(&cluster, &context.precheck, &self.owner, objects, settings).await;
        for (desired, verdict) in stage {
            match verdict {
                Ok((verdict, judgement)) => {
                    let key = desired.key.clone();
                    planned.judged += u64::from(context.precheck.has_policies() && verdict.is_ours());
                    let is_change = verdict.is_change();
                    self.decide(settings, recorded, &desired, verdict, &mut planned);
                    let is_write = planned.writes.contains_key(&key);
                    match (is_write, is_change, judgement.denied.is_empty()) {
                        (true, _, false) => denied.push((desired, judgement.denied)),
                        (false, true, false) => held_back.push((desired, judgement.denied)),
                        _ => self.findings.record(&key, &judgement),
                    }
                }
                Err(plan::Error::Denied(judgement)) if settings.writes => {
                    denied.push((desired, judgement.denied));
                }
                Err(plan::Error::Denied(judgement)) => {
                    // Nothing is written, so that nothing is refused either.
                    self.state
                        .record(&desired.key, desired.digest, None, Standing::OutOfSync);
                    held_back.push((desired, judgement.denied));
                }
                Err(error) => failed.push((desired, error)),
            }
        }
        self.foretell(held_back).await;
        let mut refused = self.explain(denied, "is refused by policy").await;
        for (desired, error) in failed {
            let is_missing = error.is_about_something_missing();
            if is_missing {
                // A namespace that is not ours may be gone, and then it is to be made.
                self.state.distrust_standing(Standing::NotOurs);
            }
            if is_missing && !settings.writes {
                // Without leave to write, what it waits for was not brought in, and this is no error.
                self.state
                    .record(&desired.key, desired.digest, None, Standing::OutOfSync);
            } else if error.waits_for(coming.keys().chain(planned.writes.keys())) {
                let (key, reason) = (desired.key.clone(), error.sentence());
                planned.deferred.insert(key, Deferred { desired, reason });
            } else {
                refused.push(refusal(&desired, &error.sentence()));
            }
        }
        let refusals = (!refused.is_empty()).then(|| Error::Stage {
            refused,
            total: objects.len(),
        });
        Ok((planned, refusals))
    }

    /// Whether the object is to be written; if not, how it stands is remembered.
    fn decide(
        &mut self,
        settings: &Settings,
        recorded: &Entries,
        desired: &Arc<Desired>,
        verdict: Verdict,
        planned: &mut Planned,
    ) {
        let (key, wanted) = (&desired.key, desired.digest);
        let live = match &verdict {
            Verdict::Unchanged(live) => {
                self.state
                    .record(key, wanted, Some(live.clone()), Standing::InSync);
                return;
            }
            Verdict::NotOurs(live) => {
                self.state
                    .record(key, wanted, Some(live.clone()), Standing::NotOurs);
                return;
            }
            Verdict::Reported(live, _) => {
                if self
                    .state
                    .record(key, wanted, Some(live.clone()), Standing::OutOfSync)
                {
                    self.record_drift(key, &verdict, "reported");
                }
                return;
            }
            Verdict::Create => None,
            Verdict::Recreate(live) => Some(live.clone()),
            Verdict::Update(update) => Some(update.live.clone()),
        };
        // What was applied like this before, by an earlier sync or by the one under way, has drifted; anything else is
        // news from Git.
        let was_applied = |entry: &InventoryEntry| {
            entry.uid.is_some() && entry.digest == wanted.to_string() || self.state.was_in_sync(key, &wanted)
        };
        let is_drift = recorded.get(key).is_some_and(was_applied);
        let may_write = settings.writes && (settings.heals || !is_drift);
        let is_fight = may_write && is_drift && !self.state.may_heal(key);
        if may_write && !is_fight {
            let write = Write {
                desired: Arc::clone(desired),
                verdict,
                is_drift,
            };
            planned.writes.insert(key.clone(), write);
            return;
        }
        let is_drift = is_drift || settings.is_drift_only;
        if self.state.record(key, wanted, live, Standing::OutOfSync) && is_drift {
            self.record_drift(key, &verdict, "reported");
        }
        if is_fight {
            let fight = fight(key, &verdict);
            planned.fights.push(fight.clone());
            self.state.hold(key, fight);
        }
    }
}

/// One refused object: which, where it is written, why.
pub(super) fn refusal(desired: &Desired, reason: &str) -> String {
    format!("{} ({}): {reason}", desired.key, desired.place())
}

fn fight(key: &ObjectKey, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Update(update) if !update.managers.is_empty() => {
            format!(
                "{key} is changed again and again by {}",
                update.managers.join(", ")
            )
        }
        _ => format!("{key} is changed or deleted again and again"),
    }
}
