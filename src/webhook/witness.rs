//! The webhook that only witnesses: it records that the apiserver is about to carry out a request, and lets it in.
//!
//! # Guarantees
//! - Always yes, and never after a wait: what the ledger's queue cannot take becomes a gap record.
//! - Bodies are never recorded. A digest stands for one: a keyed one for that of a Secret or of what is sent into a
//!   container, which are short enough to be guessed, and none where there is no key.

use provost_evidence::event::Event;
use provost_evidence::keyed::DigestKey;
use provost_evidence::witness::{Subject, Witness};
use provost_manifest::digest::Digest;
use serde_json::Value;

use super::{Answer, Review, Webhook};

// === impl Webhook ===

impl Webhook {
    /// Records a request.
    pub(super) fn witness(&self, review: &Review) -> Answer {
        let position = self.ledger.reserve();
        let mut record = witness(review, self.ledger.digest_key().as_deref());
        record.position.clone_from(&position);
        self.ledger.append(Event::Witness(record));
        Answer {
            position,
            ..Answer::witnessed()
        }
    }
}

fn witness(review: &Review, key: Option<&DigestKey>) -> Witness {
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
        Some(body) => key.map(|key| key.secret(body)).unwrap_or_default(),
        None => String::new(),
    };
    Witness {
        uid: review.uid().to_owned(),
        position: String::new(),
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
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use provost_evidence::event::Boot;
    use rstest::rstest;
    use serde_json::json;

    use super::super::{Verdict, tests::recording};
    use super::*;
    use crate::ledger::read::{Filter, Position, read};
    use crate::ledger::{Destination, Ledger};

    fn review(request: &Value) -> Review {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        Review::parse(review.to_string().as_bytes()).unwrap()
    }

    #[rstest]
    #[case::a_secret("", "secrets", "CREATE", "Secret")]
    #[case::a_command("", "pods", "CONNECT", "PodExecOptions")]
    fn of_what_can_be_guessed_there_is_a_keyed_digest_or_none(
        #[case] group: &str,
        #[case] resource: &str,
        #[case] operation: &str,
        #[case] kind: &str,
    ) {
        let review = review(&json!({
            "uid": "1", "operation": operation, "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "object": {"data": {"password": "aHVudGVyMg=="}, "command": ["psql", "hunter2"]},
        }));
        let key = DigestKey::new(&[7; 32]);
        let plain = Digest::of_value(review.request().object.unwrap()).to_string();
        for (key, is_there) in [(None, false), (Some(&key), true)] {
            let record = witness(&review, key);
            assert_eq!(!record.object_digest.is_empty(), is_there);
            let text = serde_json::to_string(&record).unwrap();
            assert!(
                !text.contains("hunter2") && !text.contains("aHVudGVyMg") && !text.contains(&plain),
                "{text}"
            );
        }
    }

    #[test]
    fn a_full_queue_makes_a_gap_record_and_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let destination = Destination::Directory(directory.path().to_owned());
        let webhook = recording(Ledger::open(&destination, Boot::default()).unwrap(), None);
        let review = review(&json!({
            "uid": "1", "operation": "DELETE", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        }));
        let (begun, asked) = (Instant::now(), AtomicU64::new(0));
        let slowest = std::thread::scope(|scope| {
            let ask = || {
                let mut slowest = Duration::ZERO;
                while webhook.ledger.lost() == 0 && begun.elapsed() < Duration::from_mins(1) {
                    let asking = Instant::now();
                    for _ in 0..1_000 {
                        assert_eq!(webhook.witness(&review).verdict, Verdict::Witnessed);
                    }
                    slowest = slowest.max(asking.elapsed());
                    asked.fetch_add(1_000, Ordering::Relaxed);
                }
                slowest
            };
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            asking
                .into_iter()
                .map(|asking| asking.join().unwrap())
                .max()
                .unwrap()
        });
        // The disk takes a commit every 50 ms: who waited for room would have waited for many.
        assert!(slowest < Duration::from_secs(10), "{slowest:?} for 1,000");
        webhook.ledger.close("stopped").unwrap();

        let (mut lost, mut positions) = (0, Vec::new());
        let (every, mut position) = (Filter::default(), Position::default());
        read(directory.path(), &every, &mut position, |entry| {
            match &entry.event {
                Some(Event::Gap(gap)) => lost += gap.lost,
                Some(Event::Witness(witness)) => positions.push(witness.position.clone()),
                _ => {}
            }
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
        let recorded = u64::try_from(positions.len()).unwrap();
        positions.sort_unstable();
        positions.dedup();
        assert_eq!(
            u64::try_from(positions.len()).unwrap(),
            recorded,
            "each has its own"
        );
        assert!(lost > 0, "the queue was never full");
        assert_eq!(lost + recorded, asked.into_inner());
    }

    #[test]
    fn a_record_has_digests_and_the_name_that_was_generated() {
        let object = json!({"metadata": {"name": "job-x7k2p", "generateName": "job-", "uid": "u", "generation": 1},
            "data": {"url": "postgres://shop"}});
        let record = witness(
            &review(&json!({
                "uid": "1", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
                "resource": {"group": "", "version": "v1", "resource": "configmaps"}, "namespace": "shop", "object": object,
            })),
            None,
        );
        assert_eq!(record.object_digest, Digest::of_value(&object).to_string());
        assert_eq!(record.object.describe(), "ConfigMap shop/job-x7k2p");
        assert_eq!((record.object_uid.as_str(), record.generation), ("u", 1));
        assert!(!serde_json::to_string(&record).unwrap().contains("postgres"));
    }
}
