//! An AdmissionReview as it came.

use std::{borrow::Cow, collections::BTreeMap};

use provost_manifest::object::GroupVersionKind;
use provost_policy::{Operation, Request, UserInfo};
use serde::Deserialize;
use serde_json::Value;

use super::{
    body::{Refusal, check_nodes},
    strict::Strict,
};
use crate::cluster::Kinds;

/// The built-in kinds that have subresources with bodies of other kinds, by group and name in URLs: for whoever was told
/// of no cluster.
const PARENTS: [(&str, &str, &str); 8] = [
    ("", "nodes", "Node"),
    ("", "pods", "Pod"),
    ("", "replicationcontrollers", "ReplicationController"),
    ("", "serviceaccounts", "ServiceAccount"),
    ("", "services", "Service"),
    ("apps", "deployments", "Deployment"),
    ("apps", "replicasets", "ReplicaSet"),
    ("apps", "statefulsets", "StatefulSet"),
];

/// An AdmissionReview v1 with a request. The request is parsed once, and all that judges it borrows from it.
#[derive(Debug)]
pub struct Review {
    request: Value,
    kind: GroupVersionKind,
    operation: Operation,
    user: UserInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    request: Option<Strict>,
}

// === impl Review ===

impl Review {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        check_nodes(body)?;
        let envelope: Envelope<'_> =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let (api_version, kind) = (&envelope.api_version, &envelope.kind);
        if api_version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
            let message = format!("it is {api_version:?} {kind:?}, not admission.k8s.io/v1 AdmissionReview");
            return Err(Refusal::Malformed(message));
        }
        let Some(Strict(request)) = envelope.request else {
            return Err(Refusal::Malformed("request is missing".to_owned()));
        };
        Self::from_request(request)
    }

    fn from_request(request: Value) -> Result<Self, Refusal> {
        required(&request, "/uid")?;
        let part = |pointer| text(&request, pointer).to_owned();
        let kind = GroupVersionKind {
            group: part("/kind/group"),
            version: required(&request, "/kind/version")?.to_owned(),
            kind: required(&request, "/kind/kind")?.to_owned(),
        };
        let operation = match required(&request, "/operation")? {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            other => {
                let message = format!("request.operation {other:?} is not CREATE, UPDATE, DELETE or CONNECT");
                return Err(Refusal::Malformed(message));
            }
        };
        let user = user(request.get("userInfo").unwrap_or(&Value::Null));
        Ok(Self {
            request,
            kind,
            operation,
            user,
        })
    }

    /// Makes a request for a subresource one of the object that it belongs to: policies speak of `Pod/exec`, and its body
    /// is a PodExecOptions.
    #[must_use]
    pub fn of_parent(mut self, served: &Kinds) -> Self {
        if text(&self.request, "/subResource").is_empty() {
            return self;
        }
        let (group, plural) = self.resource();
        let built_in = PARENTS
            .iter()
            .find(|(of_group, of_plural, _)| (*of_group, *of_plural) == (group, plural));
        let parent = served
            .of_plural(group, plural)
            .or_else(|| built_in.map(|(_, _, kind)| *kind));
        if let Some(parent) = parent {
            self.kind = GroupVersionKind::new(group, text(&self.request, "/resource/version"), parent);
        }
        self
    }

    /// Group of the resource and its name in URLs: `""` and `pods`.
    pub fn resource(&self) -> (&str, &str) {
        (
            text(&self.request, "/resource/group"),
            text(&self.request, "/resource/resource"),
        )
    }

    /// What is to be judged.
    pub fn request(&self) -> Request<'_> {
        Request {
            operation: self.operation,
            kind: &self.kind,
            subresource: text(&self.request, "/subResource"),
            namespace: text(&self.request, "/namespace"),
            name: text(&self.request, "/name"),
            object: self.field("object"),
            old_object: self.field("oldObject"),
            user: Some(&self.user),
            dry_run: self
                .request
                .get("dryRun")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            review: Some(&self.request),
        }
    }

    /// The uid, which the answer repeats.
    pub fn uid(&self) -> &str {
        text(&self.request, "/uid")
    }

    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub fn operation(&self) -> &str {
        text(&self.request, "/operation")
    }

    /// Who asks.
    pub fn user(&self) -> &UserInfo {
        &self.user
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.request.get(name).filter(|value| !value.is_null())
    }
}

/// The text at `pointer`, `""` where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn required<'a>(request: &'a Value, pointer: &str) -> Result<&'a str, Refusal> {
    match text(request, pointer) {
        "" => {
            let path = pointer.replace('/', ".");
            Err(Refusal::Malformed(format!("request{path} is missing")))
        }
        text => Ok(text),
    }
}

fn user(info: &Value) -> UserInfo {
    let strings = |value: &Value| -> Vec<String> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    UserInfo {
        username: text(info, "/username").to_owned(),
        uid: text(info, "/uid").to_owned(),
        groups: info.get("groups").map(strings).unwrap_or_default(),
        extra: match info.get("extra").and_then(Value::as_object) {
            Some(extra) => extra
                .iter()
                .map(|(key, values)| (key.clone(), strings(values)))
                .collect(),
            None => BTreeMap::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn review(request: &Value) -> Vec<u8> {
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
            .to_string()
            .into_bytes()
    }

    fn review_of(request: &str) -> Vec<u8> {
        format!(r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {request}}}"#)
            .into_bytes()
    }

    #[rstest]
    #[case::not_json(b"{".to_vec(), "EOF while parsing an object")]
    #[case::not_an_object(b"[]".to_vec(), "invalid length 0")]
    #[case::another_version(
        br#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}"#.to_vec(),
        "not admission.k8s.io/v1 AdmissionReview")]
    #[case::an_answer(br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#.to_vec(), "request is missing")]
    #[case::no_uid(review(&json!({})), "request.uid is missing")]
    #[case::no_kind(review(&json!({ "uid": "1", "kind": { "version": "v1" } })), "request.kind.kind is missing")]
    #[case::an_operation_of_its_own(
        review(&json!({ "uid": "1", "kind": { "version": "v1", "kind": "Pod" }, "operation": "PATCH" })),
        "request.operation \"PATCH\" is not")]
    #[case::a_key_twice(
        br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"object": {"a": 1, "b": 2, "a": 3}}}"#.to_vec(),
        "duplicate key \"a\"")]
    #[case::two_requests(
        br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {}, "request": {}}"#.to_vec(),
        "duplicate field `request`")]
    #[case::not_utf8(
        b"{\"apiVersion\": \"admission.k8s.io/v1\", \"kind\": \"AdmissionReview\", \"request\": {\"uid\": \"\xff\"}}".to_vec(),
        "invalid unicode code point")]
    #[case::half_a_surrogate(review_of(r#"{"uid": "\ud800"}"#), "end of hex escape")]
    #[case::deep(review_of(&format!("{}{}", "[".repeat(200), "]".repeat(200))), "recursion limit exceeded")]
    #[case::an_endless_number(review_of(r#"{"uid": 1e999}"#), "number out of range")]
    fn what_is_no_review_is_refused_in_a_sentence(#[case] body: Vec<u8>, #[case] sentence: &str) {
        let refusal = Review::parse(&body).unwrap_err();
        assert_eq!(refusal.status(), axum::http::StatusCode::BAD_REQUEST);
        assert!(refusal.to_string().contains(sentence), "{refusal}");
    }

    #[test]
    fn a_deletion_has_only_the_old_object() {
        let request = json!({
            "uid": "1",
            "kind": { "group": "apps", "version": "v1", "kind": "Deployment" },
            "operation": "DELETE",
            "namespace": "shop",
            "name": "web",
            "object": null,
            "oldObject": { "kind": "Deployment" },
            "dryRun": true,
            "userInfo": { "username": "dana", "groups": ["a", "b"], "extra": { "scopes": ["x"] } },
        });
        let review = Review::parse(&review(&request)).unwrap();
        let judged = review.request();
        assert_eq!(judged.operation, Operation::Delete);
        assert_eq!(judged.object, None);
        assert_eq!(judged.old_object, Some(&json!({ "kind": "Deployment" })));
        assert!(judged.dry_run);
        assert_eq!(judged.user.unwrap().groups, ["a", "b"]);
        assert_eq!(judged.user.unwrap().extra["scopes"], ["x"]);
    }

    #[rstest]
    #[case::exec("PodExecOptions", "", "pods", "exec", "/v1, Kind=Pod")]
    #[case::scale("Scale", "apps", "deployments", "scale", "apps/v1, Kind=Deployment")]
    #[case::of_a_kind_of_the_cluster("Scale", "example.com", "things", "scale", "example.com/v1, Kind=Thing")]
    #[case::of_a_kind_that_nobody_knows("Scale", "example.com", "others", "scale", "/v1, Kind=Scale")]
    #[case::the_object_itself("Pod", "", "pods", "", "/v1, Kind=Pod")]
    fn a_subresource_is_one_of_its_object(
        #[case] kind: &str,
        #[case] group: &str,
        #[case] plural: &str,
        #[case] subresource: &str,
        #[case] expected: &str,
    ) {
        let served = Kinds::from_iter([crate::cluster::Kind {
            gvk: GroupVersionKind::new("example.com", "v1", "Thing"),
            plural: "things".to_owned(),
            namespaced: true,
            watchable: true,
            subresources: vec!["scale".to_owned()],
        }]);
        let request = json!({
            "uid": "1",
            "operation": "UPDATE",
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": plural},
            "subResource": subresource,
        });
        let review = Review::parse(&review(&request)).unwrap().of_parent(&served);
        let kind = review.request().kind;
        let found = format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind);
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Review::parse(&body);
        }

        #[test]
        fn no_request_makes_it_panic(request in "[{}\\[\\]:,\"a-z0-9 ]{0,200}") {
            let body = format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#);
            let _ = Review::parse(body.as_bytes());
        }
    }
}
