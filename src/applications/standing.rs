//! How an Application stands, and why: what `provost app list` says in one line and a second.

use jiff::Timestamp;
use provost_delivery::retry;
use provost_manifest::escape;

use super::commits::short;
use super::is_suspended;
use crate::api::argoproj::{Application, ApplicationSpec, Operation, ResourceStatus, SyncCode};

/// The longest reason, in characters.
const MAX_WHY: usize = 200;

/// How an Application stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub sync: String,
    /// `Healthy`, `Degraded`, …
    pub health: String,
    /// The commit that was compared with; empty where there is none yet.
    pub revision: String,
    /// Since when it is at that commit, or was tried to be brought there.
    pub since: Option<Timestamp>,
    /// What keeps it from being synced and healthy, safe to print; empty where nothing does.
    pub why: String,
    /// The commit that was deployed before, where this one does not do.
    pub last_good: Option<LastGood>,
    /// When what failed is tried again by itself, if it is.
    pub next_try: Option<NextTry>,
}

/// A failed sync that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextTry {
    /// When.
    pub at: Timestamp,
    /// Which try that will be, counted from 1.
    pub number: u32,
}

/// A commit that was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// The commit.
    pub revision: String,
    /// From when.
    pub from: Option<Timestamp>,
    /// Until when; `None` where it still is.
    pub until: Option<Timestamp>,
}

// === impl Standing ===

impl Standing {
    /// By what the agent wrote.
    pub fn of(application: &Application) -> Self {
        let status = &application.status;
        let sync = status.sync.clone().unwrap_or_default();
        let health = status.health.clone().unwrap_or_default();
        let health = if health.status.is_empty() {
            "Unknown".to_owned()
        } else {
            health.status
        };
        let last = status.operation_state.as_ref();
        let is_of = |revision: &str| !sync.revision.is_empty() && revision == sync.revision;
        let tried = last
            .filter(|state| {
                state
                    .sync_result
                    .as_ref()
                    .is_some_and(|result| is_of(&result.revision))
            })
            .and_then(|state| state.started_at.parse().ok());
        let deployed = status.history.iter().rev().find(|entry| is_of(&entry.revision));
        let deployed = deployed.and_then(|entry| entry.deployed_at.parse().ok());
        let is_bad = sync.status != SyncCode::Synced || health == "Degraded" || !status.conditions.is_empty();
        let last_good = is_bad
            .then(|| last_good(application, &sync.revision, tried))
            .flatten();
        Self {
            sync: format!("{:?}", sync.status),
            health,
            since: deployed.or(tried),
            revision: sync.revision,
            why: why(application),
            last_good,
            next_try: next_try(application).filter(|_| is_bad),
        }
    }
}

/// By how often the last sync has failed, and what the Application, or who asked for it, says of retries.
fn next_try(application: &Application) -> Option<NextTry> {
    let state = application.status.operation_state.as_ref()?;
    let failures = u32::try_from(state.retry_count).ok().filter(|count| *count > 0)?;
    if state.phase != "Failed" || is_suspended(application) {
        return None;
    }
    let ended: Timestamp = state.finished_at.as_ref()?.parse().ok()?;
    let of_asked = Operation::parse(&state.operation)
        .ok()
        .and_then(|asked| asked.retry);
    let spec = ApplicationSpec::parse(&application.spec).ok();
    let said = of_asked.or_else(|| spec?.sync_policy.retry);
    let wait = said.map_or_else(|| retry::unsaid_wait(failures), |retry| retry.wait(failures));
    Some(NextTry {
        at: ended.checked_add(wait.to_std()?).ok()?,
        number: failures.saturating_add(1),
    })
}

/// The newest commit of the history that is not the present one.
fn last_good(application: &Application, revision: &str, tried: Option<Timestamp>) -> Option<LastGood> {
    let history = &application.status.history;
    let position = history.iter().rposition(|entry| entry.revision != revision)?;
    let after = history.get(position + 1);
    Some(LastGood {
        revision: history[position].revision.clone(),
        from: history[position].deployed_at.parse().ok(),
        until: after.and_then(|entry| entry.deployed_at.parse().ok()).or(tried),
    })
}

/// The most important thing that is wrong, in one line.
fn why(application: &Application) -> String {
    let status = &application.status;
    let text = if is_suspended(application) {
        "suspended: the agent leaves it alone".to_owned()
    } else if let Some(condition) = status.conditions.first() {
        condition.message.clone()
    } else if let Some(why) = unhealthy(application) {
        why
    } else if let Some(state) = status
        .operation_state
        .as_ref()
        .filter(|state| state.phase == "Running")
    {
        state.message.clone()
    } else if application.operation.is_some() {
        "a sync is asked for, and the agent has not begun it".to_owned()
    } else if status.sync.is_none() {
        "no agent has looked at it yet".to_owned()
    } else {
        differing(&status.resources)
    };
    escape::shorten(&escape::line(&text), MAX_WHY).into_owned()
}

fn unhealthy(application: &Application) -> Option<String> {
    let health = application.status.health.as_ref()?;
    let is_fine = matches!(health.status.as_str(), "Healthy" | "Suspended" | "");
    (!is_fine && !health.message.is_empty()).then(|| health.message.clone())
}

fn differing(resources: &[ResourceStatus]) -> String {
    let mut differing = resources
        .iter()
        .filter(|resource| resource.status == SyncCode::OutOfSync);
    let Some(first) = differing.next() else {
        return String::new();
    };
    let name = name_of(first);
    match (differing.count(), first.requires_pruning) {
        (0, false) => format!("{name} is not as Git says"),
        (0, true) => format!("{name} is no longer in Git"),
        (more, _) => format!("{name} and {more} more are not as Git says"),
    }
}

/// `Deployment shop/my-app`.
pub(super) fn name_of(resource: &ResourceStatus) -> String {
    match resource.namespace.as_str() {
        "" => format!("{} {}", resource.kind, resource.name),
        namespace => format!("{} {namespace}/{}", resource.kind, resource.name),
    }
}

// === impl NextTry ===

impl NextTry {
    /// `Next try in 40 s (7th)`.
    pub fn sentence(&self, now: Timestamp) -> String {
        let seconds = self.at.as_second().saturating_sub(now.as_second());
        let when = match seconds {
            ..=0 => "now".to_owned(),
            1..120 => format!("in {seconds} s"),
            _ => format!("in {} min", seconds / 60),
        };
        let ending = match (self.number % 10, self.number % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        };
        format!("Next try {when} ({}{ending})", self.number)
    }
}

// === impl LastGood ===

impl LastGood {
    /// `2b71e90, 16:02 to 21:40 UTC`; days are named where they are not today's.
    pub fn sentence(&self, shown: &str, now: Timestamp) -> String {
        let shown = if shown.is_empty() {
            short(&self.revision)
        } else {
            shown.to_owned()
        };
        let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
        let clock = |time: Timestamp| time.strftime("%H:%M").to_string();
        let full = |time: Timestamp| {
            if day(time) == day(now) {
                clock(time)
            } else {
                format!("{} {}", day(time), clock(time))
            }
        };
        match (self.from, self.until) {
            (Some(from), Some(until)) if day(from) == day(until) => {
                format!("{shown}, {} to {} UTC", full(from), clock(until))
            }
            (Some(from), Some(until)) => format!("{shown}, {} to {} UTC", full(from), full(until)),
            (Some(from), None) => format!("{shown}, since {} UTC", full(from)),
            (None, _) => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn standing(status: &Value) -> Standing {
        let application = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {}, "status": status});
        Standing::of(&serde_json::from_value(application).unwrap())
    }

    const OLD: &str = "2b71e90aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NEW: &str = "3f9c2abaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn a_failed_sync_names_what_was_good_before() {
        let standing = standing(&json!({
            "sync": {"status": "OutOfSync", "revision": NEW},
            "health": {"status": "Degraded", "message": "Deployment shop/my-app: image not found"},
            "history": [{"id": 0, "revision": OLD, "deployedAt": "2026-11-24T16:02:00Z"}],
            "operationState": {"phase": "Failed", "message": "no", "startedAt": "2026-11-24T21:40:00Z",
                "syncResult": {"revision": NEW}},
        }));
        assert_eq!(standing.why, "Deployment shop/my-app: image not found");
        assert_eq!(standing.since, "2026-11-24T21:40:00Z".parse().ok());
        let last = standing.last_good.unwrap();
        let now = "2026-11-24T21:49:00Z".parse().unwrap();
        assert_eq!(last.sentence("", now), "2b71e90, 16:02 to 21:40 UTC");
        let tomorrow = "2026-11-25T21:49:00Z".parse().unwrap();
        assert_eq!(
            last.sentence("2b71e90 (v1)", tomorrow),
            "2b71e90 (v1), 2026-11-24 16:02 to 21:40 UTC"
        );
    }

    #[rstest]
    #[case(json!({}), "no agent has looked at it yet")]
    #[case(json!({"sync": {"status": "Synced"}}), "")]
    #[case(
        json!({"sync": {"status": "Unknown"}, "conditions": [{"type": "ComparisonError", "message": "a\u{1b}[2Jb"}]}),
        "a\\u{1b}[2Jb"
    )]
    #[case(
        json!({"sync": {"status": "OutOfSync"}, "resources": [
            {"kind": "Role", "name": "a", "status": "OutOfSync"}, {"kind": "Role", "name": "b", "status": "OutOfSync"}]}),
        "Role a and 1 more are not as Git says"
    )]
    #[case(
        json!({"sync": {"status": "OutOfSync"}, "operationState": {"phase": "Running", "message": "waiting for x"}}),
        "waiting for x"
    )]
    fn the_most_important_thing_is_said(#[case] status: Value, #[case] why: &str) {
        assert_eq!(standing(&status).why, why);
    }

    #[rstest]
    // As the agent waits where nothing is said: 32 s after the sixth failure.
    #[case(json!({}), 6, "21:45:10", Some("Next try in 22 s (7th)"))]
    #[case(json!({"syncPolicy": {"retry": {"limit": 3, "backoff": {"duration": "10s"}}}}), 2, "21:45:00", Some("Next try in 20 s (3rd)"))]
    #[case(json!({"syncPolicy": {"retry": {"limit": 3}}}), 11, "21:45:00", Some("Next try in 5 min (12th)"))]
    #[case(json!({}), 1, "21:50:00", Some("Next try now (2nd)"))]
    #[case(json!({}), 0, "21:45:00", None)]
    fn a_failure_that_is_tried_again_says_when(
        #[case] more: Value,
        #[case] failures: u32,
        #[case] now: &str,
        #[case] expected: Option<&str>,
    ) {
        let mut spec =
            json!({"source": {"repoURL": "https://git.example.com/a"}, "destination": {"namespace": "n"}});
        json_patch::merge(&mut spec, &more);
        let application = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "n"}, "spec": spec,
            "status": {
                "sync": {"status": "OutOfSync", "revision": NEW},
                "operationState": {
                    "operation": {"sync": {"revision": NEW}, "initiatedBy": {"automated": true}},
                    "phase": "Failed", "message": "denied", "startedAt": "2026-11-24T21:40:00Z",
                    "finishedAt": "2026-11-24T21:45:00Z", "retryCount": failures,
                },
            },
        }));
        let now: Timestamp = format!("2026-11-24T{now}Z").parse().unwrap();
        let next = Standing::of(&application.unwrap()).next_try;
        assert_eq!(next.map(|next| next.sentence(now)).as_deref(), expected);
    }

    #[test]
    fn what_is_in_order_needs_no_way_back() {
        let status = json!({"sync": {"status": "Synced", "revision": NEW}, "health": {"status": "Healthy"},
            "history": [{"id": 0, "revision": OLD, "deployedAt": "2026-11-24T16:02:00Z"}]});
        assert_eq!(standing(&status).last_good, None);
    }
}
