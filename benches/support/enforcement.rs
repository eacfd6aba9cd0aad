//! How soon a change of policies is in force.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::replicas::Replicas;
use harness::{User, writers};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use serde_json::json;

/// Rounds, each of which makes a change of each sort.
const ROUNDS: usize = 25;
/// After that nothing comes any more.
const LIMIT: Duration = Duration::from_mins(1);

/// Where changes are made, and how they are seen.
pub(crate) struct Enforcement<'r, 'c> {
    replicas: &'r Replicas<'c>,
    writer: Client,
    administrator: Client,
    namespace: String,
}

/// Times of one sort of change, in milliseconds.
pub(crate) struct Changed {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) count: usize,
}

// === impl Enforcement ===

impl<'r, 'c> Enforcement<'r, 'c> {
    pub(crate) async fn new(replicas: &'r Replicas<'c>, namespace: &str) -> anyhow::Result<Self> {
        Ok(Self {
            replicas,
            writer: replicas.cluster().client(User::Developer).await?,
            administrator: replicas.cluster().client(User::Admin).await?,
            namespace: namespace.to_owned(),
        })
    }

    /// Waits until the policy of the writers is in force.
    pub(crate) async fn in_force(&self) -> anyhow::Result<()> {
        self.until("ConfigMap", Some("A team is wanted")).await.map(drop)
    }

    /// Makes changes of each sort and measures each. A policy of a kind that no other policy has needs the webhook
    /// configuration to be written first, and the apiserver to read it.
    pub(crate) async fn measure(&self) -> anyhow::Result<Vec<(&'static str, Changed)>> {
        let (mut created, mut changed, mut moved, mut deleted) = (vec![], vec![], vec![], vec![]);
        // The first round warms up what is made once.
        for round in 0..=ROUNDS {
            let first = format!("round {round}");
            let second = format!("round {round}, changed");
            let mut took = Vec::new();
            self.apply("ConfigMap", &first).await?;
            took.push(self.until("ConfigMap", Some(&first)).await?);
            self.apply("ConfigMap", &second).await?;
            took.push(self.until("ConfigMap", Some(&second)).await?);
            self.apply("Secret", &second).await?;
            took.push(self.until("Secret", Some(&second)).await?);
            self.delete().await?;
            took.push(self.until("Secret", None).await?);
            if round > 0 {
                for (times, took) in [&mut created, &mut changed, &mut moved, &mut deleted]
                    .into_iter()
                    .zip(took)
                {
                    times.push(took);
                }
            }
        }
        let all = [created.clone(), changed.clone(), moved.clone(), deleted.clone()].concat();
        Ok(vec![
            ("policy change to enforcement", Changed::new(all)),
            ("  a policy of a new kind", Changed::new(created)),
            ("  another message", Changed::new(changed)),
            ("  another kind", Changed::new(moved)),
            ("  a policy deleted", Changed::new(deleted)),
        ])
    }

    async fn apply(&self, kind: &str, message: &str) -> anyhow::Result<()> {
        let mut policy = writers::policy();
        policy["spec"]["rules"][0]["match"]["any"][0]["resources"]["kinds"] = json!([kind]);
        policy["spec"]["rules"][0]["validate"]["message"] = json!(message);
        self.replicas.apply(&policy).await.map(drop)
    }

    async fn delete(&self) -> anyhow::Result<()> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kyverno.io", "v1", "ClusterPolicy"));
        let api: Api<DynamicObject> = Api::all_with(self.administrator.clone(), &resource);
        api.delete("team-label", &DeleteParams::default()).await?;
        Ok(())
    }

    /// Time from now until the first answer that is as `wanted`: a denial with these words, or none.
    async fn until(&self, kind: &str, wanted: Option<&str>) -> anyhow::Result<Duration> {
        let changed = Instant::now();
        loop {
            let found = self.verdict(kind).await?;
            let answered = changed.elapsed();
            let shown = match (wanted, &found) {
                (Some(wanted), Some(found)) => found.contains(&format!(": {wanted}\n")),
                (wanted, found) => wanted.is_none() && found.is_none(),
            };
            if shown {
                return Ok(answered);
            }
            ensure!(
                answered < LIMIT,
                "wanted {wanted:?}, but the verdict is {found:?}"
            );
        }
    }

    /// What is said of an object without a team, which is not kept.
    async fn verdict(&self, kind: &str) -> anyhow::Result<Option<String>> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.writer.clone(), &self.namespace, &resource);
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "probe"}});
        let object: DynamicObject = serde_json::from_value(object).context("an object")?;
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match api.create(&dry_run, &object).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => {
                Ok(Some(status.message))
            }
            Err(error) => Err(error.into()),
        }
    }
}

// === impl Changed ===

impl Changed {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |hundredths: usize| {
            let time = times.get((times.len() * hundredths / 100).min(times.len().saturating_sub(1)));
            time.copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        Self {
            p50: at(50),
            p99: at(99),
            count: times.len(),
        }
    }
}
