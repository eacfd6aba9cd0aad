//! Samples of what no API keeps a history of: who may write (RBAC), which webhooks are asked, which policies are in
//! force, and which namespaces are exempt.
//!
//! # Guarantees
//! - Two samples of a subject are at most [`INTERVAL`] apart while we run, and each says how far; a change that a watch
//!   sees is sampled at once.
//! - What could not be read is a sample that says so, and is tried again soon.
//! - Between two samples is "not evidenced".
//!
//! RBAC: list on roles, bindings and webhook configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use provost_evidence::chain::format_time;
use provost_evidence::event::Event;
use provost_evidence::witness::Sample;
use provost_manifest::digest::Digest;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::observe::Digests;
use crate::ledger::Ledger;
use crate::policies::Policies;

/// The longest time between two samples.
pub const INTERVAL: Duration = Duration::from_mins(5);
/// How soon it is tried again what could not be read.
const RETRY: Duration = Duration::from_secs(10);
/// How long what a watch told is gathered before it is sampled.
const GATHER: Duration = Duration::from_secs(1);
/// How long the apiserver may take for one list.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Objects that a sample names one by one; of more there is the digest of all.
const MAX_OBJECTS: usize = 5_000;
/// Objects that are asked for at once.
const PAGE: u32 = 500;
/// A subject that is a list of objects.
struct Listed {
    subject: &'static str,
    /// Group, kind and resource of each.
    kinds: &'static [(&'static str, &'static str, &'static str)],
    /// The fields that count.
    fields: &'static [&'static str],
}

const LISTED: [Listed; 2] = [
    Listed {
        subject: "rbac",
        kinds: &[
            ("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
            (
                "rbac.authorization.k8s.io",
                "ClusterRoleBinding",
                "clusterrolebindings",
            ),
            ("rbac.authorization.k8s.io", "Role", "roles"),
            ("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
        ],
        fields: &["rules", "aggregationRule", "subjects", "roleRef"],
    },
    Listed {
        subject: "webhook-configurations",
        kinds: &[
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
            ),
            (
                "admissionregistration.k8s.io",
                "MutatingWebhookConfiguration",
                "mutatingwebhookconfigurations",
            ),
        ],
        fields: &["webhooks"],
    },
];

/// Takes samples.
pub struct Sampler {
    /// The cluster.
    pub client: kube::Client,
    /// Where they go.
    pub ledger: Ledger,
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Namespaces that are not judged.
    pub exempt: BTreeSet<String>,
    /// Tells that something changed.
    pub changed: Arc<Notify>,
}

/// What was sampled before.
#[derive(Default)]
struct Last(BTreeMap<&'static str, (String, String)>);

// === impl Sampler ===

impl Sampler {
    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut last = Last::default();
        loop {
            let mut next = INTERVAL;
            for listed in LISTED {
                let found = self.list(listed.kinds, listed.fields).await;
                if found.is_err() {
                    next = RETRY;
                }
                self.ledger
                    .append(Event::Sample(last.sample(listed.subject, found)));
            }
            let policies = self.policies.current();
            let loaded = policies.loaded().into_iter().map(|name| (name, String::new()));
            let mut sample = last.sample("policies", Ok(loaded.collect()));
            // The digest that judgements name.
            policies.set.digest().clone_into(&mut sample.digest);
            self.ledger.append(Event::Sample(sample));
            let exempt = self
                .exempt
                .iter()
                .map(|name| (name.clone(), String::new()))
                .collect();
            self.ledger
                .append(Event::Sample(last.sample("exempt-namespaces", Ok(exempt))));
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(next) => {}
                () = self.changed.notified() => {
                    // A change seldom comes alone.
                    tokio::select! { () = stop.cancelled() => return, () = sleep(GATHER) => {} }
                }
            }
        }
    }

    async fn list(&self, kinds: &[(&str, &str, &str)], fields: &[&str]) -> Result<Digests, String> {
        let mut digests = Digests::new();
        for (group, kind, plural) in kinds {
            let listed = timeout(TIMEOUT, self.list_kind(group, kind, plural, fields, &mut digests)).await;
            match listed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(format!("cannot list {plural}: {error}")),
                Err(_) => {
                    return Err(format!(
                        "cannot list {plural}: no answer within {} s",
                        TIMEOUT.as_secs()
                    ));
                }
            }
        }
        Ok(digests)
    }

    async fn list_kind(
        &self,
        group: &str,
        kind: &str,
        plural: &str,
        fields: &[&str],
        digests: &mut Digests,
    ) -> Result<(), kube::Error> {
        let resource = ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{group}/v1"),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api.list(&page).await?;
            for object in list.items {
                let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
                let slash = if namespace.is_empty() { "" } else { "/" };
                let name = object.metadata.name.as_deref().unwrap_or_default();
                let counted: Vec<&Value> = fields.iter().map(|field| &object.data[*field]).collect();
                let digest = Digest::of_value(&json!(counted));
                digests.insert(format!("{kind} {namespace}{slash}{name}"), digest.to_string());
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}

// === impl Last ===

impl Last {
    /// The sample of a subject; objects are named where anything changed.
    fn sample(&mut self, subject: &'static str, found: Result<Digests, String>) -> Sample {
        let now = format_time(Timestamp::now());
        let since = self
            .0
            .get(subject)
            .map(|(time, _)| time.clone())
            .unwrap_or_default();
        let sample = Sample {
            subject: subject.to_owned(),
            since,
            interval_seconds: INTERVAL.as_secs(),
            ..Sample::default()
        };
        match found {
            // The next sample says how long nothing was known.
            Err(failure) => Sample { failure, ..sample },
            Ok(objects) => {
                let digest = Digest::of_value(&json!(objects)).to_string();
                let before = self.0.insert(subject, (now, digest.clone()));
                let is_same = before.is_some_and(|(_, before)| before == digest);
                Sample {
                    count: objects.len() as u64,
                    objects: if is_same || objects.len() > MAX_OBJECTS {
                        Digests::new()
                    } else {
                        objects
                    },
                    digest,
                    ..sample
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_where_anything_changed_and_a_failure_keeps_the_time_of_what_was_known() {
        let objects = |digest: &str| Digests::from([("Role shop/reader".to_owned(), digest.to_owned())]);
        let mut last = Last::default();
        let first = last.sample("rbac", Ok(objects("a")));
        assert_eq!((first.since.as_str(), first.objects.len()), ("", 1));
        let same = last.sample("rbac", Ok(objects("a")));
        assert_eq!(
            (same.objects.len(), same.count, &same.digest),
            (0, 1, &first.digest)
        );
        let known = last.0["rbac"].0.clone();
        let failed = last.sample("rbac", Err("no answer".into()));
        assert_eq!(
            (failed.since.as_str(), failed.failure.as_str()),
            (known.as_str(), "no answer")
        );
        let changed = last.sample("rbac", Ok(objects("b")));
        assert_eq!(
            (changed.since.as_str(), changed.objects.len()),
            (known.as_str(), 1)
        );
        assert_ne!(changed.digest, first.digest);
    }
}
