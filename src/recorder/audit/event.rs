//! Events of the apiserver's audit log (`audit.k8s.io/v1`): which of them are of writes, and what is kept of one.
//!
//! # Guarantees
//! Bodies, queries, addresses and answers' texts are not kept: a request's query may hold a command.

use std::collections::{BTreeMap, HashMap};

use axum::extract::Query;
use axum::http::Uri;
use jiff::Timestamp;
use provost_evidence::chain::format_time;
use provost_evidence::witness::{Audit, AuditedAnswer, Subject};
use serde::Deserialize;

/// The names of our webhooks end so, and the audit log puts them before what they say.
const OURS: &str = ".provost.dev";
/// How the apiserver says that it went on without a webhook; the value is its name.
const FAILED_OPEN: [&str; 2] = [
    "failed-open.validating.webhook.admission.k8s.io/",
    "failed-open.mutation.webhook.admission.k8s.io/",
];
/// Requests that connect into a container are reads by their verb.
const CONNECTIONS: [&str; 4] = ["exec", "attach", "portforward", "proxy"];
/// Groups whose objects are questions, or say every second that somebody lives.
const DROPPED: [&str; 5] = [
    "coordination.k8s.io",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "metrics.k8s.io",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct ObjectRef {
    api_group: String,
    api_version: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    reason: String,
}

/// What is kept of an event; `None` where it is no write, or not the end of one.
pub fn parse(json: &[u8]) -> Result<Option<Audit>, serde_json::Error> {
    serde_json::from_slice::<Raw>(json).map(Raw::into_audit)
}

/// As [`parse`], of a value that was parsed already.
pub(super) fn of_value(value: serde_json::Value) -> Result<Option<Audit>, serde_json::Error> {
    serde_json::from_value::<Raw>(value).map(Raw::into_audit)
}

// === impl Raw ===

impl Raw {
    fn into_audit(self) -> Option<Audit> {
        let is_end = matches!(self.stage.as_str(), "ResponseComplete" | "Panic");
        let object = self.object_ref?;
        let is_connection = CONNECTIONS.contains(&object.subresource.as_str());
        let is_write = is_connection
            || matches!(
                self.verb.as_str(),
                "create" | "update" | "patch" | "delete" | "deletecollection"
            );
        let is_dropped = DROPPED.contains(&object.api_group.as_str())
            || object.subresource == "status"
            || (object.api_group.is_empty() && object.resource == "events");
        if !is_end || !is_write || is_dropped {
            return None;
        }
        let query = query(&self.request_uri);
        let asked = |key: &str| query.get(key).cloned().unwrap_or_default();
        let status = self.response_status.unwrap_or_default();
        Some(Audit {
            audit_id: self.audit_id,
            verb: self.verb,
            object: Subject {
                group: object.api_group,
                version: object.api_version,
                kind: String::new(),
                resource: object.resource,
                subresource: object.subresource,
                namespace: object.namespace,
                name: object.name,
            },
            user: self.user.username,
            impersonated: self.impersonated_user.unwrap_or_default().username,
            manager: asked("fieldManager"),
            dry_run: !asked("dryRun").is_empty(),
            code: status.code,
            reason: status.reason,
            received: format_time(self.request_received_timestamp),
            completed: format_time(self.stage_timestamp),
            answers: answers(&self.annotations),
            failed_open: failed_open(&self.annotations),
        })
    }
}

fn query(uri: &str) -> HashMap<String, String> {
    let parsed = uri.parse::<Uri>().ok();
    let query = parsed.and_then(|uri| Query::try_from_uri(&uri).ok());
    query.map(|Query(query)| query).unwrap_or_default()
}

fn answers(annotations: &BTreeMap<String, String>) -> Vec<AuditedAnswer> {
    let mut answers: BTreeMap<&str, AuditedAnswer> = BTreeMap::new();
    for (key, value) in annotations {
        let Some((webhook, what)) = key.split_once('/').filter(|(webhook, _)| webhook.ends_with(OURS)) else {
            continue;
        };
        let answer = answers.entry(webhook).or_default();
        webhook.clone_into(&mut answer.webhook);
        match what {
            "review" => value.clone_into(&mut answer.uid),
            "verdict" => value.clone_into(&mut answer.verdict),
            "policy-set" => value.clone_into(&mut answer.policy_set),
            "position" => value.clone_into(&mut answer.position),
            _ => {}
        }
    }
    answers.into_values().collect()
}

fn failed_open(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let failed = annotations
        .iter()
        .filter(|(key, _)| FAILED_OPEN.iter().any(|prefix| key.starts_with(prefix)));
    failed.map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn event(change: &Value) -> Value {
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "a-1",
            "stage": "ResponseComplete", "verb": "patch",
            "requestURI": "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-edit&force=true",
            "user": {"username": "dana", "groups": ["developers"]}, "sourceIPs": ["10.1.2.3"],
            "objectRef": {"resource": "deployments", "namespace": "shop", "name": "web", "apiGroup": "apps", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-11-24T11:14:32.250123Z", "stageTimestamp": "2026-11-24T11:14:32.262000Z",
        });
        json_patch::merge(&mut event, change);
        event
    }

    #[rstest]
    #[case::a_read(json!({"verb": "get"}))]
    #[case::a_watch(json!({"verb": "watch"}))]
    #[case::the_beginning(json!({"stage": "ResponseStarted"}))]
    #[case::a_lease(json!({"objectRef": {"apiGroup": "coordination.k8s.io", "resource": "leases"}}))]
    #[case::an_event(json!({"objectRef": {"apiGroup": null, "resource": "events"}}))]
    #[case::a_status(json!({"objectRef": {"subresource": "status"}}))]
    #[case::a_question(json!({"verb": "create", "objectRef": {"apiGroup": "authorization.k8s.io"}}))]
    #[case::no_object(json!({"objectRef": null}))]
    fn what_is_no_write_is_not_kept(#[case] change: Value) {
        assert_eq!(of_value(event(&change)).unwrap(), None);
    }

    #[test]
    fn an_event_joins_with_our_record_by_the_review() {
        let audit = of_value(event(&json!({
            "impersonatedUser": {"username": "system:serviceaccount:shop:deployer"},
            "annotations": {
                "authorization.k8s.io/decision": "allow",
                "enforce.provost.dev/review": "r-1",
                "enforce.provost.dev/verdict": "warned",
                "enforce.provost.dev/policy-set": "abc",
                "enforce.provost.dev/position": "20261124T111432.250Z-1f0c9a3b/17",
                "other.example.com/review": "not ours",
                "failed-open.validating.webhook.admission.k8s.io/round_0_index_1": "witness.provost.dev",
            },
        })));
        let audit = audit.unwrap().unwrap();
        assert_eq!(
            audit.answers,
            [AuditedAnswer {
                webhook: "enforce.provost.dev".into(),
                uid: "r-1".into(),
                verdict: "warned".into(),
                policy_set: "abc".into(),
                position: "20261124T111432.250Z-1f0c9a3b/17".into(),
            }]
        );
        assert_eq!(audit.failed_open, ["witness.provost.dev"]);
        assert_eq!(
            (
                audit.user.as_str(),
                audit.impersonated.as_str(),
                audit.manager.as_str()
            ),
            ("dana", "system:serviceaccount:shop:deployer", "kubectl-edit")
        );
        assert_eq!(
            (audit.received.as_str(), audit.code),
            ("2026-11-24T11:14:32.250Z", 200)
        );
        assert_eq!(audit.object.describe(), "deployments.apps shop/web");
    }

    #[test]
    fn neither_a_command_nor_a_body_nor_an_address_is_kept() {
        let exec = event(&json!({
            "verb": "get", "requestURI": "/api/v1/namespaces/shop/pods/web/exec?command=psql&command=hunter2",
            "objectRef": {"apiGroup": null, "resource": "pods", "subresource": "exec"},
            "requestObject": {"data": "hunter2"}, "responseStatus": {"code": 101, "message": "hunter2"},
        }));
        let text = serde_json::to_string(&of_value(exec).unwrap().unwrap()).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("10.1.2.3"), "{text}");
        assert!(text.contains("exec"), "{text}");
    }

    #[rstest]
    #[case(b"{" as &[u8])]
    #[case(b"[]")]
    #[case(br#"{"auditID": 7}"#)]
    #[case(b"\xff\xfe")]
    fn what_is_no_event_is_an_error(#[case] json: &[u8]) {
        parse(json).unwrap_err();
    }
}
