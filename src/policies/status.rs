//! The Ready condition of the cluster's policies and exceptions: whether one is in force, and if not, why.
//!
//! | reason | status | says |
//! |---|---|---|
//! | `InForce` | True | |
//! | `NotForAdmission` | True | `spec.admission` is false |
//! | `Invalid` | False | what is wrong, field by field |
//! | `Unsupported` | False | what Provost does not do, by name |
//! | `Duplicate` | False | where the other one of this name is |
//! | `NotCounted` | False | an exception: which setting it would need |
//! | `NotRead` | False | an entry of the global context: why it cannot be read, and when it could |
//! | `WebhookNotConfigured`, `DeadlineExceeded` | False | what hinders it, see [`super::hindrance`] |
//!
//! A policy is called in force once apiservers were told to ask about it. Written by server-side apply of the status,
//! only where it would say something else than what is there. What one replica saw (a rule that overran its deadline, when
//! an entry was read) stays told although the others did not: see [`Observed::leaves`]. A condition that another manager owns (Kyverno's, during a migration) is left alone.
//!
//! Kinds whose definition has no status (Kyverno's PolicyException) have no condition: /readyz and the log speak of them.
//!
//! RBAC: patch on the status of clusterpolicies, policies, policyexceptions and globalcontextentries of kyverno.io.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use provost_policy::Fault;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Contents, Hindrances, Policies, ServedKind, Snapshot,
    hindrance::DEADLINE_EXCEEDED,
    reads::{Read, TOLD_EVERY, time_of},
};

/// The condition's type.
pub const READY: &str = "Ready";
/// The reason of a second one of a name.
const DUPLICATE: &str = "Duplicate";
/// How long a message may be; the faults beyond are counted.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// A policy as the watch saw it last.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    namespace: Option<String>,
    name: String,
    uid: String,
    resource_version: String,
    generation: Option<i64>,
    ready: Option<Condition>,
    /// Why it is out by itself.
    faults: Vec<Fault>,
    /// What it is called among the policies in force; none where it was not understood.
    subject: Option<String>,
    role: Role,
}

/// What an object is to judgements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Role {
    /// It was not understood.
    #[default]
    None,
    /// A policy of this key that takes part in admission.
    Policy(String),
    /// A policy that does not.
    PolicyElsewhere,
    /// An exception of this namespace.
    Exception(String),
    /// An entry of the global context, by its name.
    Global(Arc<str>),
}

/// What was written, and which version of the object called for it. The watch shows it a moment later.
struct Written {
    resource_version: String,
    condition: Condition,
}

/// Keeps the conditions of a kind's objects for as long as they are observed.
pub async fn keep(
    client: Client,
    served: ServedKind,
    policies: Arc<Policies>,
    mut observed: watch::Receiver<Vec<Observed>>,
) {
    let mut changes = policies.subscribe();
    let mut hindrances = policies.hindrances();
    let reads = policies.reads();
    let mut reads = reads.subscribe();
    let mut written: HashMap<String, Written> = HashMap::new();
    loop {
        changes.mark_unchanged();
        let objects = observed.borrow_and_update().clone();
        written.retain(|uid, _| objects.iter().any(|object| object.uid == *uid));
        let hindered = hindrances.borrow_and_update().clone();
        let read = reads.borrow_and_update().clone();
        let snapshot = policies.current();
        let mut whole = true;
        for object in &objects {
            // What is not known yet wakes us when it is.
            let Some(wanted) = object.wanted(&snapshot, &hindered, &read) else {
                continue;
            };
            if object.needs(&wanted, written.get(&object.uid)) {
                match write(&client, served, object, &wanted).await {
                    Ok(()) => {
                        let record = Written {
                            resource_version: object.resource_version.clone(),
                            condition: wanted,
                        };
                        written.insert(object.uid.clone(), record);
                    }
                    Err(error) => {
                        whole = false;
                        let (kind, name) = (served.kind.name(), &object.name);
                        tracing::warn!(
                            kind,
                            name,
                            error,
                            "A Ready condition could not be written; it is tried again."
                        );
                    }
                }
            }
        }
        tokio::select! {
            still = observed.changed() => if still.is_err() { return },
            // The senders live as long as `policies`.
            _ = changes.changed() => {}
            _ = hindrances.changed() => {}
            _ = reads.changed() => {}
            () = sleep(AGAIN), if !whole => {}
        }
    }
}

/// Writes a condition. Nothing is wrong where the object is gone or has a new version by now (the watch shows it), or
/// where the condition is another manager's.
async fn write(
    client: &Client,
    served: ServedKind,
    object: &Observed,
    condition: &Condition,
) -> Result<(), String> {
    let resource = served.kind.api_resource(served.version);
    let api: Api<DynamicObject> = match &object.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let patch = Patch::Apply(json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"uid": object.uid},
        "status": {"conditions": [condition]},
    }));
    let parameters = PatchParams::apply("provost");
    match timeout(WRITE_TIMEOUT, api.patch_status(&object.name, &parameters, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", WRITE_TIMEOUT.as_secs())),
    }
}

fn says_the_same(one: &Condition, other: &Condition) -> bool {
    one.status == other.status
        && one.reason == other.reason
        && one.message == other.message
        && one.observed_generation == other.observed_generation
}

fn message(faults: &[&Fault]) -> String {
    let mut text = String::new();
    for (index, fault) in faults.iter().enumerate() {
        let fault = fault.to_string();
        if index > 0 && text.len() + fault.len() > MAX_MESSAGE_BYTES {
            let _ = write!(text, "\n… and {} more", faults.len() - index);
            break;
        }
        let separator = if index == 0 { "" } else { "\n" };
        let _ = write!(text, "{separator}{fault}");
    }
    text
}

/// What an object is, and what it is called in faults.
fn role(contents: &Contents) -> (Role, Option<String>) {
    if let Some(policy) = contents.policies.first() {
        let role = if policy.admission() {
            Role::Policy(policy.key().to_string())
        } else {
            Role::PolicyElsewhere
        };
        (role, Some(format!("{} {}", policy.kind(), policy.key())))
    } else if let Some(exception) = contents.exceptions.first() {
        let role = Role::Exception(exception.namespace().to_owned());
        (role, Some(format!("PolicyException {}", exception.key())))
    } else if let Some(entry) = contents.globals.first() {
        (
            Role::Global(Arc::clone(entry.name())),
            Some(format!("GlobalContextEntry {}", entry.name())),
        )
    } else {
        (Role::None, None)
    }
}

// === impl Observed ===

impl Observed {
    /// From an object and what was understood of it.
    pub fn new(object: &DynamicObject, contents: &Contents) -> Self {
        let metadata = &object.metadata;
        let (role, subject) = role(contents);
        let conditions = object.data.pointer("/status/conditions").cloned();
        let conditions = conditions.map(serde_json::from_value::<Vec<Condition>>);
        Self {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            generation: metadata.generation,
            ready: conditions
                .and_then(Result::ok)
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == READY),
            faults: contents.faults.clone(),
            subject,
            role,
        }
    }

    /// The condition that tells what became of it in `snapshot`; `None` where that is not known yet, since apiservers
    /// are just being told about it.
    fn wanted(
        &self,
        snapshot: &Snapshot,
        hindrances: &Hindrances,
        reads: &BTreeMap<Arc<str>, Read>,
    ) -> Option<Condition> {
        let own = self.faults.iter();
        // Compiling a set finds more: a second policy of one name. That of a file has a place.
        let found = snapshot
            .refused
            .iter()
            .filter(|fault| fault.place.is_none() && Some(&fault.subject) == self.subject.as_ref());
        let faults: Vec<&Fault> = own.chain(found).collect();
        let (status, reason, message) = if faults.is_empty() {
            self.fares(snapshot, hindrances, reads)?
        } else {
            ("False", self.reason(), message(&faults))
        };
        let before = self.ready.as_ref().filter(|before| before.status == status);
        Some(Condition {
            type_: READY.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: self.generation,
            last_transition_time: before.map_or_else(
                || Time(Timestamp::now()),
                |before| before.last_transition_time.clone(),
            ),
        })
    }

    /// How one fares that was understood.
    fn fares(
        &self,
        snapshot: &Snapshot,
        hindrances: &Hindrances,
        reads: &BTreeMap<Arc<str>, Read>,
    ) -> Option<(&'static str, &'static str, String)> {
        Some(match &self.role {
            Role::Policy(key) => match hindrances.of(key) {
                Some(hindrance) => ("False", hindrance.reason, hindrance.message),
                None if hindrances.is_registered(snapshot.set.digest()) => {
                    ("True", "InForce", "in force".to_owned())
                }
                None => return None,
            },
            Role::PolicyElsewhere => (
                "True",
                "NotForAdmission",
                "spec.admission is false: no request is judged by it".to_owned(),
            ),
            Role::Exception(namespace) => {
                let key = format!("{namespace}/{}", self.name);
                if snapshot.exceptions.iter().any(|counted| **counted == *key) {
                    ("True", "InForce", "counts".to_owned())
                } else {
                    let message = format!("does not count: that needs --exception-namespace {namespace}");
                    ("False", "NotCounted", message)
                }
            }
            Role::Global(name) => {
                let read = reads.get(name).cloned().unwrap_or_default();
                if read.is_failing() {
                    ("False", "NotRead", read.message())
                } else {
                    ("True", "InForce", read.message())
                }
            }
            Role::None => ("False", "Invalid", "it was not understood".to_owned()),
        })
    }

    /// Why it is out, in a word.
    fn reason(&self) -> &'static str {
        match self.faults.as_slice() {
            [] => DUPLICATE,
            faults if faults.iter().all(Fault::is_unsupported) => "Unsupported",
            _ => "Invalid",
        }
    }

    /// Whether `wanted` is to be written: neither does it stand there, nor was it written for this very version.
    fn needs(&self, wanted: &Condition, written: Option<&Written>) -> bool {
        let stands = self
            .ready
            .as_ref()
            .is_some_and(|ready| says_the_same(ready, wanted));
        let done = written.is_some_and(|written| {
            written.resource_version == self.resource_version && says_the_same(&written.condition, wanted)
        });
        !stands && !done && !self.leaves(wanted, written)
    }

    /// Whether what stands there of this very policy is left, since another replica knows better.
    fn leaves(&self, wanted: &Condition, written: Option<&Written>) -> bool {
        let Some(stands) = &self.ready else { return false };
        let is_current = stands.observed_generation == self.generation;
        match &self.role {
            // It is looked at again once the policy changes.
            Role::Policy(_) => is_current && stands.reason == DEADLINE_EXCEEDED && wanted.reason != DUPLICATE,
            Role::Global(_) => {
                let ours = written.is_some_and(|written| says_the_same(&written.condition, stands));
                let is_later = match (time_of(&stands.message), time_of(&wanted.message)) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(theirs), Some(wanted)) => {
                        ours || wanted.duration_since(theirs).unsigned_abs() >= TOLD_EVERY && wanted > theirs
                    }
                };
                is_current && self.faults.is_empty() && !is_later
            }
            Role::None | Role::PolicyElsewhere | Role::Exception(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::Registration;

    fn fault(message: &str, subject: &str) -> Fault {
        Fault::mistake(message, subject)
    }

    /// What becomes of it once apiservers were told about the snapshot.
    fn told(object: &Observed, snapshot: &Snapshot) -> Condition {
        let mut hindrances = Hindrances::default();
        hindrances.registered(Registration::Done {
            policy_set: snapshot.set.digest().to_owned(),
        });
        object.wanted(snapshot, &hindrances, &BTreeMap::new()).unwrap()
    }

    fn observed() -> Observed {
        Observed {
            name: "p".to_owned(),
            uid: "1".to_owned(),
            resource_version: "7".to_owned(),
            generation: Some(1),
            subject: Some("ClusterPolicy p".to_owned()),
            role: Role::Policy("p".to_owned()),
            ..Observed::default()
        }
    }

    #[test]
    fn a_policy_is_ready_where_it_is_in_force() {
        let condition = told(&observed(), &Snapshot::default());
        assert_eq!(
            (condition.status.as_str(), condition.message.as_str()),
            ("True", "in force")
        );
    }

    #[test]
    fn a_policy_that_apiservers_were_not_told_about_is_not_called_in_force() {
        let mut hindrances = Hindrances::default();
        assert_eq!(
            observed().wanted(&Snapshot::default(), &hindrances, &BTreeMap::new()),
            None
        );
        hindrances.registered(Registration::Done {
            policy_set: "another".to_owned(),
        });
        assert_eq!(
            observed().wanted(&Snapshot::default(), &hindrances, &BTreeMap::new()),
            None
        );
    }

    #[test]
    fn a_policy_that_the_set_leaves_out_is_not_ready() {
        let snapshot = Snapshot {
            refused: vec![
                fault("is there twice", "ClusterPolicy p"),
                fault("is there twice", "ClusterPolicy other"),
            ],
            ..Snapshot::default()
        };
        let condition = told(&observed(), &snapshot);
        assert_eq!(condition.status, "False");
        assert_eq!(condition.reason, "Duplicate");
        assert_eq!(condition.message, "is there twice (ClusterPolicy p)");
    }

    #[test]
    fn a_policy_that_is_hindered_is_not_ready_and_says_by_what() {
        let mut hindrances = Hindrances::default();
        hindrances.registered(Registration::Failed {
            reason: "forbidden".to_owned(),
        });
        let condition = observed()
            .wanted(&Snapshot::default(), &hindrances, &BTreeMap::new())
            .unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("False", "WebhookNotConfigured")
        );
        let elsewhere = Observed {
            role: Role::PolicyElsewhere,
            ..observed()
        };
        let elsewhere = elsewhere
            .wanted(&Snapshot::default(), &hindrances, &BTreeMap::new())
            .unwrap();
        assert_eq!(elsewhere.status, "True");
    }

    #[test]
    fn an_exception_says_whether_it_counts() {
        let exception = Observed {
            role: Role::Exception("shop".to_owned()),
            subject: Some("PolicyException shop/p".to_owned()),
            ..observed()
        };
        let condition = exception
            .wanted(&Snapshot::default(), &Hindrances::default(), &BTreeMap::new())
            .unwrap();
        assert_eq!(
            condition.message,
            "does not count: that needs --exception-namespace shop"
        );
        let snapshot = Snapshot {
            exceptions: vec!["shop/p".into()],
            ..Snapshot::default()
        };
        assert_eq!(
            exception
                .wanted(&snapshot, &Hindrances::default(), &BTreeMap::new())
                .unwrap()
                .status,
            "True"
        );
    }

    #[test]
    fn a_condition_is_written_once_and_again_only_where_it_would_say_something_else() {
        let mut object = observed();
        let wanted = told(&object, &Snapshot::default());
        assert!(object.needs(&wanted, None));
        let written = Written {
            resource_version: "7".to_owned(),
            condition: wanted.clone(),
        };
        assert!(!object.needs(&wanted, Some(&written)));

        object.resource_version = "8".to_owned();
        assert!(object.needs(&wanted, Some(&written)), "somebody took it away");
        object.ready = Some(wanted.clone());
        assert!(!object.needs(&wanted, Some(&written)));
        assert!(!object.needs(&wanted, None));

        object.faults = vec![fault("unknown field", "ClusterPolicy p")];
        let refused = told(&object, &Snapshot::default());
        assert!(object.needs(&refused, Some(&written)));
    }

    #[test]
    fn what_another_replica_saw_of_a_policy_stays_told_until_the_policy_changes() {
        let mut object = observed();
        let in_force = told(&object, &Snapshot::default());
        object.ready = Some(Condition {
            status: "False".to_owned(),
            reason: DEADLINE_EXCEEDED.to_owned(),
            message: "rule \"r\" did not end".to_owned(),
            ..in_force.clone()
        });
        assert!(!object.needs(&in_force, None));
        object.generation = Some(2);
        let in_force = told(&object, &Snapshot::default());
        assert!(object.needs(&in_force, None));
    }

    #[test]
    fn when_an_entry_was_read_is_told_by_whoever_read_it_a_minute_later() {
        let mut object = Observed {
            role: Role::Global("teams".into()),
            ..observed()
        };
        let read = |message: &str| Condition {
            message: message.to_owned(),
            ..told(&observed(), &Snapshot::default())
        };
        let kept = read("kept once a rule reads it");
        object.ready = Some(kept.clone());
        let first = read("read at 2027-01-15T08:00:00Z");
        assert!(object.needs(&first, None));
        object.ready = Some(first.clone());
        assert!(
            !object.needs(&kept, None),
            "who never read it has nothing to tell"
        );
        assert!(!object.needs(
            &read("could not be read at 2027-01-15T08:00:59Z: no answer"),
            None
        ));
        assert!(object.needs(&read("read at 2027-01-15T08:01:00Z"), None));
        assert!(!object.needs(&read("read at 2027-01-15T07:01:00Z"), None));
        let ours = Written {
            resource_version: "6".to_owned(),
            condition: first,
        };
        assert!(object.needs(
            &read("could not be read at 2027-01-15T08:00:01Z: no answer"),
            Some(&ours)
        ));
        object.generation = Some(2);
        let kept = Condition {
            observed_generation: Some(2),
            ..kept
        };
        assert!(object.needs(&kept, None), "it says something else now");
    }

    #[test]
    fn the_time_of_transition_stays_while_the_status_does() {
        let mut object = observed();
        let first = Condition {
            last_transition_time: Time("2026-01-02T03:04:05Z".parse().unwrap()),
            ..told(&object, &Snapshot::default())
        };
        object.ready = Some(first.clone());
        object.generation = Some(2);
        assert_eq!(
            told(&object, &Snapshot::default()).last_transition_time,
            first.last_transition_time
        );
        object.faults = vec![fault("unknown field", "")];
        assert_ne!(
            told(&object, &Snapshot::default()).last_transition_time,
            first.last_transition_time
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let faults = vec![fault(&"x".repeat(1000), ""); 10];
        let text = message(&faults.iter().collect::<Vec<_>>());
        assert!(text.len() < MAX_MESSAGE_BYTES + 100);
        assert!(text.ends_with("… and 6 more"), "{text}");
    }
}
