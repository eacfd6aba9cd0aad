//! What keeps policies that were understood from their work: told by whoever finds out, shown in Ready conditions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use provost_policy::PolicySet;

/// The reason of a policy with a rule that was stopped.
pub(super) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// How many policies are remembered to have overrun.
const MAX_OVERRUNS: usize = 1_000;

/// What is in the way of which policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hindrances {
    /// Whether apiservers were told to ask.
    registration: Registration,
    /// By policy, what one of its rules took too long for.
    overruns: BTreeMap<Arc<str>, Overrun>,
}

/// Whether apiservers were told to ask about the policies in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody was told yet.
    #[default]
    Pending,
    /// They were told about the set with this digest.
    Done {
        /// Digest of the set.
        policy_set: String,
    },
    /// They could not be told; what they were told before stands.
    Failed {
        /// Why, and what is to be done.
        reason: String,
    },
}

/// A rule that was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Overrun {
    rule: Arc<str>,
    deadline: Duration,
}

/// A hindrance, as a Ready condition says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hindrance {
    /// The condition's reason.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) message: String,
}

// === impl Hindrances ===

impl Hindrances {
    /// What is in the way of the policy with this key.
    pub(super) fn of(&self, policy: &str) -> Option<Hindrance> {
        if let Some(overrun) = self.overruns.get(policy) {
            let Overrun { rule, deadline } = overrun;
            let milliseconds = deadline.as_millis();
            return Some(Hindrance {
                reason: DEADLINE_EXCEEDED,
                message: format!(
                    "rule \"{rule}\" did not end within {milliseconds} ms, or before the time of the whole request was over, \
                     which is an error for the request that it judged; in force, and looked at again once the policy changes"
                ),
            });
        }
        self.not_registered().map(|why| Hindrance {
            reason: "WebhookNotConfigured",
            message: format!("the apiserver may not ask for it yet, which is tried again: {why}"),
        })
    }

    /// Why apiservers could not be told of the policies in force.
    pub fn not_registered(&self) -> Option<&str> {
        match &self.registration {
            Registration::Failed { reason } => Some(reason),
            Registration::Done { .. } | Registration::Pending => None,
        }
    }

    /// Whether apiservers were told of the set with this digest.
    pub(super) fn is_registered(&self, digest: &str) -> bool {
        matches!(&self.registration, Registration::Done { policy_set } if policy_set == digest)
    }

    /// Notes whether apiservers were told; true where that is news.
    pub(super) fn registered(&mut self, registration: Registration) -> bool {
        let is_news = self.registration != registration;
        self.registration = registration;
        is_news
    }

    /// Notes a rule that was stopped; true where that is news.
    pub(super) fn overran(&mut self, policy: &Arc<str>, rule: &Arc<str>, deadline: Duration) -> bool {
        if self.overruns.contains_key(policy) || self.overruns.len() >= MAX_OVERRUNS {
            return false;
        }
        let rule = Arc::clone(rule);
        self.overruns
            .insert(Arc::clone(policy), Overrun { rule, deadline });
        true
    }

    /// Forgets what is no longer so: overruns of policies that say something else now. True where there are any.
    pub(super) fn forget_changed(&mut self, before: &PolicySet, after: &PolicySet) -> bool {
        let find = |set: &PolicySet, key: &str| {
            let policies = set.policies().iter();
            policies.clone().find(|policy| **policy.key() == *key).cloned()
        };
        let count = self.overruns.len();
        self.overruns
            .retain(|key, _| match (find(before, key), find(after, key)) {
                (Some(before), Some(after)) => before.says_the_same(&after),
                _ => false,
            });
        self.overruns.len() < count
    }
}

#[cfg(test)]
mod tests {
    use provost_policy::Policy;

    use super::*;

    fn set(message: &str) -> PolicySet {
        let text = format!(
            "apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: p}}
spec: {{rules: [{{name: r, match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}, validate: {{message: {message}, deny: {{}}}}}}]}}"
        );
        PolicySet::compile(Policy::parse(&text, "p.yaml").policies).0
    }

    #[test]
    fn an_overrun_is_told_until_the_policy_says_something_else() {
        let mut hindrances = Hindrances::default();
        let (policy, rule): (Arc<str>, Arc<str>) = ("p".into(), "r".into());
        assert!(hindrances.overran(&policy, &rule, Duration::from_secs(1)));
        assert!(!hindrances.overran(&policy, &rule, Duration::from_secs(1)));
        assert!(!hindrances.forget_changed(&set("m"), &set("m")));
        let told = hindrances.of("p").unwrap();
        assert_eq!(told.reason, "DeadlineExceeded");
        assert!(
            told.message.starts_with("rule \"r\" did not end within 1000 ms"),
            "{}",
            told.message
        );
        assert_eq!(hindrances.of("another"), None);
        assert!(hindrances.forget_changed(&set("m"), &set("another")));
        assert_eq!(hindrances.of("p"), None);
    }

    #[test]
    fn a_configuration_that_was_not_written_hinders_every_policy_until_it_is() {
        let mut hindrances = Hindrances::default();
        let done = || Registration::Done {
            policy_set: "sha256:1".to_owned(),
        };
        let failed = || Registration::Failed {
            reason: "forbidden".to_owned(),
        };
        assert!(!hindrances.registered(Registration::Pending));
        assert!(hindrances.registered(failed()));
        assert!(!hindrances.registered(failed()));
        assert_eq!(hindrances.of("p").unwrap().reason, "WebhookNotConfigured");
        assert!(hindrances.registered(done()));
        assert_eq!(hindrances.of("p"), None);
        assert!(hindrances.is_registered("sha256:1") && !hindrances.is_registered("sha256:2"));
    }
}
