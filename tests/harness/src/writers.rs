//! A constant load of real writes, each of which a policy judges: what goes wrong with one of them is counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Writes that wait for an answer at once.
const WRITERS: usize = 4;
/// Between two writes of one writer, where the first was answered by then.
const PACE: Duration = Duration::from_millis(20);
/// Each of so many writes is one that the policy refuses.
const BAD: u64 = 4;
/// Complaints that are kept; the rest is counted.
const MAX_COMPLAINTS: usize = 20;

/// The policy that judges the writes: a ConfigMap has to name its team.
pub fn policy() -> Value {
    json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "team-label"},
        "spec": {
            "validationFailureAction": "Enforce",
            "rules": [{
                "name": "check-team",
                "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
                "validate": {"message": "A team is wanted", "pattern": {"metadata": {"labels": {"team": "?*"}}}},
            }],
        },
    })
}

/// Writers at work.
#[derive(Debug)]
pub struct Writers {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicU64,
    lost: AtomicU64,
    complaints: Mutex<Vec<String>>,
}

/// What became of the writes.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many were tried.
    pub writes: u64,
    /// How many got another answer than the policy's: not called, not answered, or let in unjudged.
    pub lost: u64,
    /// What was said of the first of these.
    pub complaints: Vec<String>,
}

// === impl Writers ===

impl Writers {
    /// Writes ConfigMaps into `namespace` until stopped.
    pub fn start(client: &Client, namespace: &str) -> Self {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            tasks.spawn(async move {
                let mut pace = interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    counts.writes.fetch_add(1, Ordering::Relaxed);
                    if let Err(complaint) = write(&api, writer, number).await {
                        counts.complain(format!("write {number} of writer {writer}: {complaint}"));
                    }
                    number += 1;
                }
            });
        }
        Self { tasks, stop, counts }
    }

    /// How many writes were tried so far.
    pub fn writes(&self) -> u64 {
        self.counts.writes.load(Ordering::Relaxed)
    }

    /// Waits for the writes in flight.
    pub async fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        Outcome {
            writes: self.writes(),
            lost: self.counts.lost.load(Ordering::Relaxed),
            complaints: self
                .counts
                .complaints
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

// === impl Counts ===

impl Counts {
    fn complain(&self, complaint: String) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < MAX_COMPLAINTS {
            complaints.push(complaint);
        }
    }
}

/// One write; an error where its answer is not the policy's.
async fn write(api: &Api<ConfigMap>, writer: usize, number: u64) -> Result<(), String> {
    let bad = number % BAD == BAD - 1;
    let (name, labels) = if bad {
        (format!("bad-{writer}"), json!({}))
    } else {
        (format!("good-{writer}"), json!({"team": "shop"}))
    };
    let object =
        json!({"metadata": {"name": name, "labels": labels}, "data": {"number": number.to_string()}});
    let object: ConfigMap = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let options = PostParams::default();
    let written = if bad || number == 0 {
        api.create(&options, &object).await
    } else {
        api.replace(&name, &options, &object).await
    };
    match (bad, written) {
        (false, Ok(_)) => Ok(()),
        (true, Err(kube::Error::Api(status))) if status.message.contains("A team is wanted") => Ok(()),
        (true, Ok(_)) => Err("was let in unjudged".to_owned()),
        (_, Err(kube::Error::Api(status))) => Err(status.message),
        (_, Err(error)) => Err(error.to_string()),
    }
}
