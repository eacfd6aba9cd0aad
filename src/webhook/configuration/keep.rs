//! Writes a webhook configuration, and records where it was found otherwise than we had left it.
//!
//! # Guarantees
//! - What is written holds whatever others added: a condition, a selector or a webhook of theirs is taken out, and not
//!   only what they changed of ours.
//! - Each time that it was edited or deleted, as far as we notice, is one record, with the digests before and after.
//!
//! RBAC: get, create, patch, update and watch on our configurations, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event as Watched, watcher};
use kube::{Api, Client};
use provost_evidence::event::Event;
use provost_evidence::witness::Restoration;
use provost_manifest::digest::Digest;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Error, NAME, witness};
use crate::ledger::Ledger;

/// The field manager that we write as.
const MANAGER: &str = "provost";
/// How long an edit stands before it is undone: whoever uninstalls deletes the configuration first and us next, and
/// whoever fights us over it gets no more than one write a second.
pub const RESTORE_AFTER: Duration = Duration::from_secs(1);
/// How often a write is tried over what somebody changed in between.
const TRIES: usize = 3;
/// What stands for the digest of a configuration that is not there.
const ABSENT: &str = "absent";

/// What our configurations said when they were last written.
#[derive(Debug, Default)]
pub struct Keep {
    ledger: Ledger,
    written: Mutex<BTreeMap<String, String>>,
}

// === impl Keep ===

impl Keep {
    /// Nothing was written yet.
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            written: Mutex::default(),
        }
    }

    /// Makes the configuration what it should be.
    pub(super) async fn write(
        &self,
        api: &Api<ValidatingWebhookConfiguration>,
        mut present: Option<ValidatingWebhookConfiguration>,
        wanted: &ValidatingWebhookConfiguration,
    ) -> Result<(), Error> {
        let name = wanted.metadata.name.clone().unwrap_or_default();
        let failed = |source| Error::Write {
            name: name.clone(),
            source: Box::new(source),
        };
        let options = PatchParams::apply(MANAGER).force();
        let mut tries = 1;
        let mut now = loop {
            // Only over what was looked at: else an edit in between would be undone and never told.
            let mut applied = wanted.clone();
            let seen = present.as_ref().map(|present| &present.metadata);
            applied.metadata.uid = seen.and_then(|seen| seen.uid.clone());
            applied.metadata.resource_version = seen.and_then(|seen| seen.resource_version.clone());
            match api.patch(&name, &options, &Patch::Apply(&applied)).await {
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => {
                    present = super::get(api, &name).await?;
                    tries += 1;
                }
                written => break written.map_err(failed)?,
            }
        };
        if !others(&now).is_empty() {
            // An apply leaves alone what others added, and that may be the condition that switches us off.
            let mut whole = wanted.clone();
            whole.metadata.resource_version = now.metadata.resource_version;
            whole.metadata.labels = now.metadata.labels;
            whole
                .metadata
                .annotations
                .get_or_insert_default()
                .extend(now.metadata.annotations.unwrap_or_default());
            let options = PostParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PostParams::default()
            };
            now = api.replace(&name, &options, &whole).await.map_err(failed)?;
        }
        self.note(&name, present.as_ref(), &digest(&now));
        Ok(())
    }

    fn note(&self, name: &str, present: Option<&ValidatingWebhookConfiguration>, restored: &str) {
        let expected = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(name.to_owned(), restored.to_owned())
        };
        let found = present.map_or_else(|| ABSENT.to_owned(), digest);
        // Another replica may have written what we were about to.
        let Some(expected) = expected.filter(|expected| *expected != found && found != restored) else {
            return;
        };
        let managers: Vec<String> = present.map(others).unwrap_or_default().into_iter().collect();
        tracing::warn!(
            configuration = name,
            %found,
            ?managers,
            "The webhook configuration was not as we had written it. It was written again."
        );
        let entries = present.and_then(|present| present.metadata.managed_fields.as_deref());
        let times = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.time.as_ref());
        let changed = times.map(|time| time.0).max();
        self.ledger.append(Event::Restoration(Restoration {
            configuration: name.to_owned(),
            expected,
            found,
            restored: restored.to_owned(),
            managers,
            changed: changed.map(|time| time.to_string()).unwrap_or_default(),
        }));
    }

    /// Whether it is as we last wrote it, or was never written.
    fn is_as_written(&self, name: &str, found: &str) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(name).is_none_or(|written| written == found)
    }
}

/// Tells, from now on and until `stop`, that one of our configurations may not be as we wrote it.
pub fn edits(client: &Client, keep: &Arc<Keep>, stop: &CancellationToken) -> watch::Receiver<()> {
    let (tell, told) = watch::channel(());
    for name in [NAME, witness::NAME] {
        let (client, keep, tell) = (client.clone(), Arc::clone(keep), tell.clone());
        let follow = async move {
            let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
            let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let mut events = watcher(api, only).default_backoff().boxed();
            // Whether the list that just came had it.
            let mut listed = false;
            while let Some(event) = events.next().await {
                let found = match event {
                    Ok(Watched::Init) => {
                        listed = false;
                        continue;
                    }
                    Ok(Watched::InitApply(configuration)) => {
                        listed = true;
                        digest(&configuration)
                    }
                    Ok(Watched::InitDone) if listed => continue,
                    Ok(Watched::InitDone | Watched::Delete(_)) => ABSENT.to_owned(),
                    Ok(Watched::Apply(configuration)) => digest(&configuration),
                    Err(error) => {
                        tracing::debug!(name, %error, "The watch of a webhook configuration was interrupted.");
                        continue;
                    }
                };
                if !keep.is_as_written(name, &found) {
                    sleep(RESTORE_AFTER).await;
                    // Nobody to tell is nobody who writes.
                    let _ = tell.send(());
                }
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
    }
    told
}

/// The digest of what makes the apiserver ask us.
pub fn digest(configuration: &ValidatingWebhookConfiguration) -> String {
    serde_json::to_value(&configuration.webhooks).map_or_else(
        |_| "unknown".to_owned(),
        |webhooks| Digest::of_value(&webhooks).to_string(),
    )
}

/// The field managers, but for our apply, that hold a part of the webhooks.
fn others(configuration: &ValidatingWebhookConfiguration) -> BTreeSet<String> {
    let entries = configuration
        .metadata
        .managed_fields
        .as_deref()
        .unwrap_or_default();
    let holds = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.as_object());
        let is_our_apply =
            entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply");
        !is_our_apply && fields.is_some_and(|fields| fields.contains_key("f:webhooks"))
    };
    entries
        .iter()
        .filter(holds)
        .map(|entry| entry.manager.clone().unwrap_or_default())
        .collect()
}
