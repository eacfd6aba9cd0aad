//! The webhook that only witnesses: it records that the apiserver is about to carry out a request, and lets it in.
//!
//! # Guarantees
//! - Always yes, and never after a wait: what the ledger's queue cannot take becomes a gap record.
//! - Bodies are never recorded. A digest stands for one, but not for that of a Secret or of what is sent into a
//!   container: those are short enough to be guessed.

use provost_evidence::event::Event;
use provost_evidence::witness::{Subject, Witness};
use provost_manifest::digest::Digest;
use serde_json::Value;

use super::{Answer, Review, Webhook};

// === impl Webhook ===

impl Webhook {
    /// Records a request.
    pub(super) fn witness(&self, review: &Review) -> Answer {
        self.ledger.append(Event::Witness(witness(review)));
        Answer::witnessed()
    }
}

fn witness(review: &Review) -> Witness {
    let request = review.request();
    let (group, resource) = review.resource();
    let body = request.object.or(request.old_object);
    let text = |pointer: &str| {
        let found = body
            .and_then(|body| body.pointer(pointer))
            .and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let generation = body.and_then(|body| body.pointer("/metadata/generation"));
    let is_guessable = (group, resource) == ("", "secrets") || review.operation() == "CONNECT";
    let digest = |body: Option<&Value>| match body {
        Some(body) if !is_guessable => Digest::of_value(body).to_string(),
        _ => String::new(),
    };
    Witness {
        uid: review.uid().to_owned(),
        operation: review.operation().to_owned(),
        object: Subject {
            group: group.to_owned(),
            version: request.kind.version.clone(),
            kind: request.kind.kind.clone(),
            resource: resource.to_owned(),
            subresource: request.subresource.to_owned(),
            namespace: request.namespace.to_owned(),
            // Where the name was generated, the request has none yet.
            name: match request.name {
                "" => text("/metadata/name"),
                name => name.to_owned(),
            },
        },
        user: review.user().username.clone(),
        dry_run: request.dry_run,
        object_uid: text("/metadata/uid"),
        generation: generation.and_then(Value::as_u64).unwrap_or_default(),
        object_digest: digest(request.object),
        old_object_digest: digest(request.old_object),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn review(request: &Value) -> Review {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        Review::parse(review.to_string().as_bytes()).unwrap()
    }

    #[rstest]
    #[case::a_secret("", "secrets", "CREATE", "Secret")]
    #[case::a_command("", "pods", "CONNECT", "PodExecOptions")]
    fn of_what_can_be_guessed_there_is_not_even_a_digest(
        #[case] group: &str,
        #[case] resource: &str,
        #[case] operation: &str,
        #[case] kind: &str,
    ) {
        let record = witness(&review(&json!({
            "uid": "1", "operation": operation, "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "object": {"data": {"password": "aHVudGVyMg=="}, "command": ["psql", "hunter2"]},
        })));
        assert_eq!(
            (record.object_digest.as_str(), record.old_object_digest.as_str()),
            ("", "")
        );
        let text = serde_json::to_string(&record).unwrap();
        assert!(
            !text.contains("hunter2") && !text.contains("aHVudGVyMg"),
            "{text}"
        );
    }

    #[test]
    fn a_record_has_digests_and_the_name_that_was_generated() {
        let object = json!({"metadata": {"name": "job-x7k2p", "generateName": "job-", "uid": "u", "generation": 1},
            "data": {"url": "postgres://shop"}});
        let record = witness(&review(&json!({
            "uid": "1", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"}, "namespace": "shop", "object": object,
        })));
        assert_eq!(record.object_digest, Digest::of_value(&object).to_string());
        assert_eq!(record.object.describe(), "ConfigMap shop/job-x7k2p");
        assert_eq!((record.object_uid.as_str(), record.generation), ("u", 1));
        assert!(!serde_json::to_string(&record).unwrap().contains("postgres"));
    }
}
