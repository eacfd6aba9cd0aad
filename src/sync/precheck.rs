//! Policy before write: what the webhook would say of a write, asked before anything of a stage is applied.
//!
//! ```text
//! dry-run's response ─┐
//! live object ────────┼─▶ the policies in force ─▶ Judgement ─▶ refused (with Git file and line), or a warning
//! who will apply ─────┘
//! ```
//!
//! Only what is planned is judged, so that a pass in which nothing changed judges nothing. When the policies change,
//! what is synced is judged again, to say so on the status; nothing is taken back for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};
use provost_manifest::object::ObjectKey;
use provost_policy::{MatchedKind, Operation, Request, RuleResult, UserInfo, text};
use serde_json::Value;
use tokio::sync::watch;

use super::application::{Goal, Task};
use super::desired::Desired;
use super::error::Error;
use super::place::Written;
use super::plan::{self, PARALLEL};
use crate::cluster::Cluster;
use crate::policies::{Admission, Snapshot};

/// The most objects whose warnings a status tells.
const MAX_WARNINGS: usize = 10;

/// Judges writes as the webhook would.
#[derive(Debug)]
pub(super) struct Precheck {
    admission: Admission,
    /// Who applies where the Application's project names no service account.
    ourselves: UserInfo,
    judged: AtomicU64,
}

/// What the policies in force say of a write.
#[derive(Clone, Debug, Default)]
pub(super) struct Judgement {
    /// The results that deny it.
    pub(super) denied: Vec<RuleResult>,
    /// The results that only warn.
    pub(super) warned: Vec<RuleResult>,
}

/// What an Application's task remembers of judgements.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Digest of the policies that judged everything last.
    policy_set: String,
    warnings: BTreeMap<ObjectKey, String>,
}

// === impl Precheck ===

impl Precheck {
    /// Asks the apiserver who we are to it.
    pub(super) async fn new(admission: Admission, cluster: &Cluster) -> Result<Self, Error> {
        let api: Api<SelfSubjectReview> = Api::all(cluster.client().clone());
        let (parameters, question) = (PostParams::default(), SelfSubjectReview::default());
        let ask = api.create(&parameters, &question);
        let answer = cluster.ask("ask who we are", ask).await?;
        let info = answer
            .status
            .and_then(|status| status.user_info)
            .unwrap_or_default();
        Ok(Self {
            admission,
            ourselves: UserInfo {
                username: info.username.unwrap_or_default(),
                uid: info.uid.unwrap_or_default(),
                groups: info.groups.unwrap_or_default(),
                extra: info.extra.unwrap_or_default(),
            },
            judged: AtomicU64::new(0),
        })
    }

    /// Tells each time that policies were read again.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.admission.subscribe()
    }

    /// Comes back once other policies are in force than those that the findings come from.
    pub(super) async fn changed(&self, changes: &mut watch::Receiver<()>, findings: &Findings) {
        while changes.changed().await.is_ok() {
            if self.snapshot().set.digest() != findings.policy_set {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether there is anything to judge by.
    pub(super) fn has_policies(&self) -> bool {
        !self.snapshot().set.policies().is_empty()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.admission.current()
    }

    /// Who the apiserver will say that writes, where it is written through this cluster.
    fn user(&self, actor: &Cluster) -> UserInfo {
        match actor.service_account() {
            Some(name) => service_account(name),
            None => self.ourselves.clone(),
        }
    }

    /// What the policies say of making `object`, the response to a dry-run, of `live`, as the user of `actor`.
    pub(super) async fn judge(
        &self,
        actor: &Cluster,
        desired: &Desired,
        live: Option<&Value>,
        object: &Value,
    ) -> Judgement {
        let user = self.user(actor);
        let key = &desired.key;
        // A Namespace is in itself, as the apiserver asks about it.
        let is_namespace = key.group.is_empty() && key.kind == "Namespace";
        let namespace = if is_namespace {
            Some(&key.name)
        } else {
            key.namespace.as_ref()
        };
        let request = Request {
            operation: if live.is_some() {
                Operation::Update
            } else {
                Operation::Create
            },
            kind: &desired.gvk,
            subresource: "",
            namespace: namespace.map(String::as_str).unwrap_or_default(),
            name: &key.name,
            object: Some(object),
            old_object: live,
            user: Some(&user),
            dry_run: false,
            review: None,
        };
        let seed = self.judged.fetch_add(1, Ordering::Relaxed);
        let results = self.admission.judge(&self.snapshot(), &request, seed).await;
        let mut judgement = Judgement::default();
        for result in results {
            if result.denies() {
                judgement.denied.push(result);
            } else if result.warns() {
                judgement.warned.push(result);
            }
        }
        judgement
    }
}

// === impl Judgement ===

impl Judgement {
    /// What is said of an object that stays as it is, or is written all the same.
    fn warning(&self, key: &ObjectKey) -> Option<String> {
        let objections: Vec<_> = self.denied.iter().chain(&self.warned).collect();
        if objections.is_empty() {
            return None;
        }
        let verdict = if self.denied.is_empty() {
            ""
        } else {
            " would be refused now"
        };
        Some(format!(
            "{key}{verdict}: {}",
            text::objections(objections, &|_| None)
        ))
    }
}

// === impl Findings ===

impl Findings {
    /// Remembers what is said of an object.
    pub(super) fn record(&mut self, key: &ObjectKey, judgement: &Judgement) {
        match judgement.warning(key) {
            Some(warning) => self.warnings.insert(key.clone(), warning),
            None => self.warnings.remove(key),
        };
    }

    /// Remembers what will be said of an object's write, once there is leave for it.
    fn foretell(&mut self, key: &ObjectKey, sentence: String) {
        self.warnings.insert(key.clone(), sentence);
    }

    /// Has everything judged again: somebody else writes from now on.
    pub(super) fn distrust(&mut self) {
        self.policy_set.clear();
    }

    /// Forgets what is no longer wanted.
    pub(super) fn retain<T>(&mut self, wanted: &BTreeMap<ObjectKey, T>) {
        self.warnings.retain(|key, _| wanted.contains_key(key));
    }

    /// What the status says of them; `None` where nothing objects.
    pub(super) fn warning(&self) -> Option<String> {
        let mut sentences: Vec<&str> = self
            .warnings
            .values()
            .map(String::as_str)
            .take(MAX_WARNINGS)
            .collect();
        let rest = self.warnings.len().saturating_sub(MAX_WARNINGS);
        let more = format!("and {rest} more objects");
        if rest > 0 {
            sentences.push(&more);
        }
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

// === impl Task ===

impl Task {
    /// Judges what is synced by the policies in force now, if they are others than last time: only to say so.
    pub(super) async fn judge_again(&mut self, goal: &Goal) -> Result<(), Error> {
        let context = Arc::clone(&self.context);
        let snapshot = context.precheck.snapshot();
        if snapshot.set.digest() == self.findings.policy_set {
            return Ok(());
        }
        let (kinds, actor) = (snapshot.set.kinds(), self.actor()?);
        self.findings.warnings.clear();
        let synced = goal.desired.values().filter(|desired| {
            let known = self.state.is_known(&desired.key, &desired.digest);
            known && self.is_ours(&desired.key) && kinds.iter().any(|kind| matches(kind, desired))
        });
        let synced: Vec<Arc<Desired>> = synced.cloned().collect();
        let judgements: Vec<_> = futures::stream::iter(synced)
            .map(|desired| judge_live(&context.precheck, &actor, desired))
            .buffered(PARALLEL)
            .collect()
            .await;
        for judged in judgements {
            let (desired, judgement) = judged?;
            self.findings.record(&desired.key, &judgement);
        }
        snapshot.set.digest().clone_into(&mut self.findings.policy_set);
        Ok(())
    }

    /// Says of a plan that waits for leave what will be denied of it, as it would be said then.
    pub(super) async fn foretell(&mut self, held_back: Vec<(Arc<Desired>, Vec<RuleResult>)>) {
        let keys: Vec<ObjectKey> = held_back.iter().map(|(desired, _)| desired.key.clone()).collect();
        let sentences = self.explain(held_back, "would be refused by policy").await;
        for (key, sentence) in keys.iter().zip(sentences) {
            self.findings.foretell(key, sentence);
        }
    }

    /// What is said of objects whose writes would be denied: each violation with its place in Git.
    pub(super) async fn explain(
        &self,
        denied: Vec<(Arc<Desired>, Vec<RuleResult>)>,
        verdict: &'static str,
    ) -> Vec<String> {
        let (written, count) = (self.written.clone(), denied.len());
        let explain = move || {
            let mut written = Written::new(&written);
            let denied = denied.iter();
            denied
                .map(|(desired, results)| denial(&mut written, desired, results, verdict))
                .collect()
        };
        // Refused it is, whether it can be explained or not.
        let unexplained = |_| vec![format!("an object {verdict}"); count];
        tokio::task::spawn_blocking(explain)
            .await
            .unwrap_or_else(unexplained)
    }
}

async fn judge_live(
    precheck: &Precheck,
    actor: &Cluster,
    desired: Arc<Desired>,
) -> Result<(Arc<Desired>, Judgement), Error> {
    let Ok(target) = plan::target(actor, &desired) else {
        return Ok((desired, Judgement::default()));
    };
    let judgement = match actor.get(&target).await? {
        // As if it were made now: an update would be forgiven what was wrong before.
        Some(live) => precheck.judge(actor, &desired, None, &live).await,
        None => Judgement::default(),
    };
    Ok((desired, judgement))
}

/// A service account as the apiserver shows it in a review, when somebody acts as it: with the groups that all of
/// them are in. `name` is `system:serviceaccount:NAMESPACE:NAME`.
fn service_account(name: &str) -> UserInfo {
    let namespace = name.split(':').nth(2).unwrap_or_default();
    UserInfo {
        username: name.to_owned(),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        ..UserInfo::default()
    }
}

fn denial(written: &mut Written<'_>, desired: &Desired, results: &[RuleResult], verdict: &str) -> String {
    let document = written.document(desired);
    let place = |path: &_| document.as_ref().map(|document| document.place(path));
    format!(
        "{} ({}) {verdict}: {}",
        desired.key,
        desired.place(),
        text::objections(results, &place)
    )
}

/// Whether a policy may say something of such an object.
fn matches(kind: &MatchedKind, desired: &Desired) -> bool {
    let is = |pattern: &str, value: &str| pattern == value || pattern.contains(['*', '?']);
    kind.subresource.is_empty()
        && is(&kind.group, &desired.gvk.group)
        && is(&kind.version, &desired.gvk.version)
        && is(&kind.kind, &desired.gvk.kind)
}
