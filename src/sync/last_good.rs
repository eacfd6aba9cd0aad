//! What was deployed last, kept up while what Git says now is not carried out: refused, failing, waiting, or unreadable
//! by an agent that starts anew.
//!
//! What both say alike is put back as part of any pass. Of the rest only that is remembered about which Git says
//! otherwise now, so that it costs what a commit changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_manifest::object::ObjectKey;

use super::application::{Goal, Task};
use super::desired::Desired;
use super::error::Error;
use super::inventory::Entries;
use super::operation::AskedSync;
use super::record::Tally;
use super::settings::Settings;
use super::stage::{Planned, Write};
use crate::api::argoproj::ApplicationSpec;
use crate::git::RepoPath;
use crate::render::SourceAt;

/// The objects that were deployed last and that Git says otherwise about, or nothing, until that is deployed.
#[derive(Debug, Default)]
pub(super) struct LastGood {
    objects: BTreeMap<ObjectKey, Arc<Desired>>,
    /// Whether it was looked for in Git, for want of an agent that remembers.
    was_sought: bool,
}

// === impl LastGood ===

impl LastGood {
    /// Git says something else from now on. What was remembered before stays: it is what was deployed.
    pub(super) fn remember(&mut self, before: &Goal, now: &Goal) {
        for (key, desired) in &before.desired {
            if now
                .desired
                .get(key)
                .is_none_or(|now| now.digest != desired.digest)
            {
                let last = self.objects.entry(key.clone());
                last.or_insert_with(|| Arc::clone(desired));
            }
        }
    }

    /// Whether it knows the object.
    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        self.objects.contains_key(key)
    }

    /// What is about to be deleted is kept up no longer.
    pub(super) fn give_up(&mut self, removals: &Entries) {
        self.objects.retain(|key, _| !removals.contains_key(key));
    }

    /// What Git says is deployed.
    pub(super) fn clear(&mut self) {
        *self = Self {
            objects: BTreeMap::new(),
            was_sought: true,
        };
    }
}

// === impl Task ===

impl Task {
    /// Puts back what somebody changed since it was applied, whatever else is planned and whether that can be done or
    /// not. It was all there before, so that nothing waits for anything.
    ///
    /// What is put back is no longer among what is planned. All of it is in the inventory.
    pub(super) async fn put_back(
        &mut self,
        settings: &Settings,
        goal: &Goal,
        recorded: &Entries,
        planned: &mut Planned,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let (drifted, news): (BTreeMap<_, _>, _) = std::mem::take(&mut planned.writes)
            .into_iter()
            .partition(|(_, write)| write.is_drift);
        planned.writes = news;
        let mut writes: Vec<Write> = drifted.into_values().collect();
        let earlier = self.drifted_since(goal);
        if settings.heals && !earlier.is_empty() {
            // What is refused of it is no news, and what Git says now may mend it.
            let (earlier, _) = self
                .plan_all(settings, recorded, &earlier, &BTreeMap::new())
                .await?;
            planned.fights.extend(earlier.fights);
            let drifted = earlier.writes.into_values().filter(|write| write.is_drift);
            writes.extend(drifted);
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.apply(settings, writes, tally).await
    }

    /// What was deployed last, is declared otherwise now, and was changed by somebody.
    fn drifted_since(&self, goal: &Goal) -> Vec<Arc<Desired>> {
        let is_asked = |key| {
            self.asked
                .as_ref()
                .is_none_or(|asked: &AskedSync| asked.is_about(key))
        };
        let last = self.last_good.objects.iter().filter(|(key, last)| {
            let is_as_now = || {
                let now = goal.desired.get(*key);
                now.is_some_and(|now| now.digest == last.digest)
            };
            self.state.has_changed_since(key, &last.digest) && is_asked(key) && !is_as_now()
        });
        last.map(|(_, last)| Arc::clone(last)).collect()
    }

    /// Finds out what was deployed last, where no pass of this agent has: the inventory knows the commit. `is_whole` says
    /// that nothing of what Git says now was applied yet.
    pub(super) async fn seek_last_good(&mut self, spec: &ApplicationSpec, goal: &Goal, is_whole: bool) {
        if std::mem::replace(&mut self.last_good.was_sought, true) || !is_whole {
            return;
        }
        match self.deployed_goal(spec).await {
            Ok(Some(deployed)) => self.last_good.remember(&deployed, goal),
            Ok(None) => {}
            Err(error) => self.tell_unknown(&error),
        }
    }

    /// Takes what was deployed last for the goal, where Git cannot be read as it is now and no goal is known.
    pub(super) async fn fall_back(&mut self, spec: &ApplicationSpec) {
        if self.goal.is_some() {
            return;
        }
        match self.deployed_goal(spec).await {
            Ok(goal) => self.goal = goal.map(Arc::new),
            Err(error) => self.tell_unknown(&error),
        }
    }

    fn tell_unknown(&self, error: &Error) {
        tracing::debug!(
            application = self.name,
            error = error.sentence(),
            "What was deployed last cannot be rendered."
        );
    }

    /// The commit that the inventory names, rendered; `None` where that is not, to the byte, what was deployed then, or
    /// where there are several sources, of which the inventory knows the first one's commit only.
    async fn deployed_goal(&mut self, spec: &ApplicationSpec) -> Result<Option<Goal>, Error> {
        let origin = self.inventory().await?.origin();
        let ([source], [subscription]) = (&spec.sources[..], &self.repositories[..]) else {
            return Ok(None);
        };
        let mirror = subscription.repository.mirror.clone();
        let path = RepoPath::parse(&source.path)?.to_string();
        let is_from_here = (&origin.repository, &origin.path) == (&mirror.url().to_string(), &path);
        if origin.revision.is_empty() || !is_from_here {
            return Ok(None);
        }
        let at = SourceAt {
            source: source.clone(),
            mirror,
            commit: origin.revision.clone(),
        };
        let request = self.request(spec, vec![at]);
        let Some(rendered) = self.context.renderer.render(request, None).await? else {
            return Ok(None);
        };
        let goal = self.goal(spec, rendered, origin.clone()).await?;
        Ok((goal.origin.rendered_tree == origin.rendered_tree).then_some(goal))
    }
}
