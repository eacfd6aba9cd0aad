use rstest::rstest;

use super::*;
use crate::event::{Admission, Boot, Event};
use crate::witness::{Audit, AuditedAnswer, Observation, Witness};

/// A moment of the hour that all cases play in.
fn at(seconds: u32) -> String {
    format!("2026-11-24T11:{:02}:{:02}.000Z", seconds / 60, seconds % 60)
}

fn object(resource: &str, name: &str) -> Subject {
    Subject {
        group: if resource == "deployments" { "apps" } else { "" }.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        ..Subject::default()
    }
}

fn boot() -> (String, Event) {
    let boot = Boot {
        roles: vec!["webhook".into()],
        exempt_namespaces: vec!["kube-system".into()],
        witness: true,
        ..Boot::default()
    };
    (at(0), Event::Boot(boot))
}

fn witness(seconds: u32, uid: &str, operation: &str, object: Subject) -> (String, Event) {
    let witness = Witness {
        uid: uid.into(),
        operation: operation.into(),
        object,
        user: "dana".into(),
        ..Witness::default()
    };
    (at(seconds), Event::Witness(witness))
}

fn judged(seconds: u32, uid: &str, verdict: &str) -> (String, Event) {
    let admission = Admission {
        uid: uid.into(),
        operation: "CREATE".into(),
        version: "v1".into(),
        kind: "ConfigMap".into(),
        resource: "configmaps".into(),
        namespace: "shop".into(),
        name: "env".into(),
        user: "dana".into(),
        verdict: verdict.into(),
        ..Admission::default()
    };
    (at(seconds), Event::Admission(admission))
}

fn audit(seconds: u32, id: &str, code: u16, uids: &[&str]) -> Audit {
    Audit {
        audit_id: id.into(),
        verb: "create".into(),
        object: object("configmaps", "env"),
        user: "dana".into(),
        code,
        received: at(seconds),
        completed: at(seconds),
        answers: uids
            .iter()
            .map(|uid| AuditedAnswer {
                webhook: "witness.provost.dev".into(),
                uid: (*uid).into(),
                verdict: "witnessed".into(),
                ..AuditedAnswer::default()
            })
            .collect(),
        ..Audit::default()
    }
}

/// The log is read some time after.
fn logged(audit: Audit) -> (String, Event) {
    (at(600), Event::Audit(audit))
}

fn seen(seconds: u32, change: &str, object: Subject) -> (String, Event) {
    let observation = Observation {
        change: change.into(),
        object,
        manager: "kubectl".into(),
        resource_version: seconds.to_string(),
        ..Observation::default()
    };
    (at(seconds), Event::Observation(observation))
}

fn env() -> Subject {
    object("configmaps", "env")
}

fn reconcile(records: &[(String, Event)]) -> Reconciliation {
    let mut reconciler = Reconciler::default();
    for (time, event) in records {
        reconciler.add(time, event).unwrap();
    }
    reconciler.finish()
}

fn states(records: &[(String, Event)]) -> Vec<(String, String)> {
    let reconciled = reconcile(records);
    let word = |change: &Change| {
        let witnesses: Vec<_> = change.witnesses.iter().map(|source| source.name()).collect();
        (change.state.name().to_owned(), witnesses.join(" "))
    };
    reconciled.changes.iter().map(word).collect()
}

#[rstest]
#[case::all_tell(
    vec![judged(10, "a", "allowed"), witness(10, "b", "CREATE", env()), seen(11, "added", env()),
        logged(audit(10, "1", 201, &["a", "b"]))],
    &[("witnessed", "audit admission witness watch")])]
#[case::without_an_audit_log_the_reviews_of_a_request_go_together(
    vec![judged(10, "a", "allowed"), witness(10, "b", "CREATE", env()), seen(11, "added", env())],
    &[("witnessed", "admission witness watch")])]
#[case::let_in_and_never_seen(
    vec![witness(10, "b", "CREATE", env())],
    &[("admitted, not observed", "witness")])]
#[case::seen_and_never_let_in(
    vec![seen(11, "changed", env())],
    &[("observed, not admitted", "watch")])]
#[case::the_audit_log_makes_up_for_a_watch_that_was_down(
    vec![witness(10, "b", "CREATE", env()), logged(audit(10, "1", 201, &["b"]))],
    &[("witnessed", "audit witness")])]
#[case::nobody_answered(
    vec![seen(11, "added", env()),
        logged(Audit { failed_open: vec!["witness.provost.dev".into()], ..audit(10, "1", 201, &[]) })],
    &[("written without evaluation", "audit watch")])]
#[case::only_the_witness_answered(
    vec![witness(10, "b", "CREATE", env()),
        logged(Audit { failed_open: vec!["enforce.provost.dev".into()], ..audit(10, "1", 201, &["b"]) })],
    &[("written without evaluation", "audit witness")])]
#[case::another_webhook_that_failed_is_not_ours(
    vec![witness(10, "b", "CREATE", env()),
        logged(Audit { failed_open: vec!["hook.example.com".into()], ..audit(10, "1", 201, &["b"]) })],
    &[("witnessed", "audit witness")])]
#[case::the_apiserver_did_not_ask(
    vec![logged(audit(10, "1", 201, &[]))],
    &[("written without evaluation", "audit")])]
#[case::a_quota(
    vec![judged(10, "a", "allowed"), witness(10, "b", "CREATE", env()),
        logged(Audit { reason: "Forbidden".into(), ..audit(10, "1", 403, &["a", "b"]) })],
    &[("refused after admission", "audit admission witness")])]
#[case::refused_by_policy(
    vec![judged(10, "a", "denied"), witness(10, "b", "CREATE", env()), logged(audit(10, "1", 403, &["a", "b"]))],
    &[("denied", "audit admission witness")])]
#[case::refused_by_policy_and_no_audit_log(
    vec![judged(10, "a", "denied"), witness(10, "b", "CREATE", env())],
    &[("denied", "admission witness")])]
#[case::refused_by_rbac(
    vec![logged(audit(10, "1", 403, &[]))],
    &[("refused before admission", "audit")])]
#[case::a_denied_write_takes_no_observation_of_another(
    vec![judged(10, "a", "denied"), logged(audit(10, "1", 403, &["a"])), seen(11, "added", env())],
    &[("denied", "audit admission"), ("observed, not admitted", "watch")])]
#[case::the_log_came_twice_and_before_all_others(
    vec![logged(audit(10, "1", 201, &["b"])), logged(audit(10, "1", 201, &["b"])), witness(10, "b", "CREATE", env())],
    &[("witnessed", "audit witness")])]
#[case::two_writes_one_after_the_other(
    vec![witness(10, "b", "CREATE", env()), witness(20, "c", "UPDATE", env()),
        seen(11, "added", env()), seen(21, "changed", env())],
    &[("witnessed", "witness watch"), ("witnessed", "witness watch")])]
#[case::of_two_writes_one_was_seen(
    vec![witness(10, "b", "CREATE", env()), witness(100, "c", "UPDATE", env()), seen(11, "added", env())],
    &[("witnessed", "witness watch"), ("admitted, not observed", "witness")])]
#[case::the_answer_is_in_the_log_and_the_record_of_it_was_lost(
    vec![logged(audit(10, "1", 201, &["lost"]))],
    &[("witnessed", "audit")])]
fn each_change_has_its_state(#[case] records: Vec<(String, Event)>, #[case] expected: &[(&str, &str)]) {
    let records: Vec<_> = [boot()].into_iter().chain(records).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(state, witnesses)| ((*state).to_owned(), (*witnesses).to_owned()))
        .collect();
    assert_eq!(states(&records), expected);
    let backwards: Vec<_> = records.into_iter().rev().collect();
    assert_eq!(states(&backwards), expected, "in the other order");
}

#[rstest]
#[case::an_exempt_namespace(Subject { namespace: "kube-system".into(), ..env() }, State::NotAsked)]
#[case::a_kind_of_the_cluster(Subject { namespace: String::new(), ..object("nodes", "node-1") }, State::NotAsked)]
#[case::a_token(Subject { subresource: "token".into(), ..object("serviceaccounts", "web") }, State::NotAsked)]
#[case::a_role_in_an_exempt_namespace(
    Subject { group: "rbac.authorization.k8s.io".into(), namespace: "kube-system".into(), ..object("roles", "reader") },
    State::NotEvaluated)]
#[case::a_scale(Subject { subresource: "scale".into(), ..object("deployments", "web") }, State::NotEvaluated)]
fn what_nobody_asks_about_is_told_from_what_nobody_evaluated(
    #[case] object: Subject,
    #[case] expected: State,
) {
    let audit = Audit {
        object,
        ..audit(10, "1", 200, &[])
    };
    let reconciled = reconcile(&[boot(), logged(audit)]);
    assert_eq!(
        reconciled.changes[0].state, expected,
        "{}",
        reconciled.changes[0].reason
    );
}

#[test]
fn what_was_written_before_there_was_a_webhook_was_nobodys_to_judge() {
    let (_, boot) = boot();
    let reconciled = reconcile(&[(at(300), boot), logged(audit(10, "1", 201, &[]))]);
    assert_eq!(reconciled.changes[0].state, State::NotAsked);
    assert_eq!(reconciled.changes[0].reason, "no webhook of ours had ever run");
}

#[test]
fn a_collection_takes_the_deletions_that_the_log_does_not_name() {
    let pods = |name: &str| object("pods", name);
    let collection = Audit {
        verb: "deletecollection".into(),
        object: pods(""),
        ..audit(10, "1", 200, &["a"])
    };
    let reconciled = reconcile(&[
        boot(),
        witness(10, "a", "DELETE", pods("web-1")),
        witness(10, "b", "DELETE", pods("web-2")),
        seen(11, "deleted", pods("web-1")),
        seen(12, "deleted", pods("web-2")),
        logged(collection),
    ]);
    assert_eq!(reconciled.changes.len(), 1, "{:#?}", reconciled.changes);
    assert_eq!(reconciled.changes[0].reviews, ["a", "b"]);
    assert_eq!(reconciled.counts.admitted, 1);
}

#[test]
fn who_acts_as_another_is_named_with_both_names() {
    let audit = Audit {
        user: "provost-agent".into(),
        impersonated: "system:serviceaccount:shop:deployer".into(),
        verb: "patch".into(),
        manager: "provost".into(),
        ..audit(10, "1", 200, &[])
    };
    // The second try of a write that met a conflict: the log names the first alone.
    let retried = Witness {
        uid: "second".into(),
        operation: "UPDATE".into(),
        object: env(),
        user: "system:serviceaccount:shop:deployer".into(),
        ..Witness::default()
    };
    let reconciled = reconcile(&[boot(), (at(10), Event::Witness(retried)), logged(audit)]);
    let change = &reconciled.changes[0];
    assert_eq!(
        (change.user.as_str(), change.impersonated.as_str()),
        ("provost-agent", "system:serviceaccount:shop:deployer")
    );
    assert_eq!(
        (change.state, change.manager.as_str()),
        (State::Witnessed, "provost")
    );
}

#[test]
fn a_time_has_the_changes_that_began_in_it_however_late_the_log() {
    let mut reconciler = Reconciler::within(Some("2026-11-24T11:01"), Some("2026-11-24T11:02"));
    let records = [
        boot(),
        logged(audit(50, "before", 201, &[])),
        logged(audit(119, "within", 201, &["a"])),
        witness(120, "a", "CREATE", env()),
        witness(125, "after", "UPDATE", object("configmaps", "other")),
    ];
    for (time, event) in &records {
        reconciler.add(time, event).unwrap();
    }
    let found = reconciler.finish();
    let ids: Vec<_> = found
        .changes
        .iter()
        .map(|change| change.audit_id.as_str())
        .collect();
    assert_eq!(ids, ["within"]);
    assert_eq!(found.counts.admitted, 1);
    assert_eq!(found.changes[0].state, State::Witnessed);
}

#[test]
fn a_connection_is_seen_by_no_watch_and_a_deletion_is_not_by_who_wrote_last() {
    let exec = Audit {
        object: Subject {
            subresource: "exec".into(),
            ..object("pods", "web")
        },
        ..audit(10, "exec", 101, &["a"])
    };
    let delete = Audit {
        verb: "delete".into(),
        object: object("pods", "web"),
        ..audit(12, "delete", 200, &["b"])
    };
    let records = [
        boot(),
        witness(10, "a", "CONNECT", exec.object.clone()),
        witness(12, "b", "DELETE", object("pods", "web")),
        seen(13, "deleted", object("pods", "web")),
        logged(exec),
        logged(delete),
    ];
    let told: Vec<_> = reconcile(&records)
        .changes
        .into_iter()
        .map(|change| {
            (
                change.audit_id,
                change.witnesses.contains(&Source::Watch),
                change.manager,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("exec".to_owned(), false, String::new()),
            ("delete".to_owned(), true, String::new()),
        ]
    );
}

#[test]
fn dry_runs_are_counted_and_not_listed() {
    let audited = Audit {
        dry_run: true,
        ..audit(10, "1", 201, &["a"])
    };
    let dry = |uid: &str, seconds| {
        let witness = Witness {
            uid: uid.into(),
            operation: "CREATE".into(),
            object: env(),
            user: "dana".into(),
            dry_run: true,
            ..Witness::default()
        };
        (at(seconds), Event::Witness(witness))
    };
    let reconciled = reconcile(&[boot(), dry("a", 10), logged(audited), dry("b", 50)]);
    assert_eq!(reconciled.changes, []);
    assert_eq!(reconciled.counts.dry_runs, 2);
}

#[test]
fn the_difference_between_log_and_admissions_has_a_name_for_each() {
    let named = |name: &str| object("configmaps", name);
    let of = |name: &str, audit: Audit| {
        logged(Audit {
            object: named(name),
            ..audit
        })
    };
    let reconciled = reconcile(&[
        boot(),
        witness(10, "a", "CREATE", named("kept")),
        of("kept", audit(10, "1", 201, &["a"])),
        of("unseen", audit(20, "2", 201, &[])),
        witness(30, "c", "CREATE", named("quota")),
        of("quota", audit(30, "3", 403, &["c"])),
        witness(40, "d", "CREATE", named("lost")),
    ]);
    let counts = reconciled.counts;
    assert!(!counts.agree());
    assert_eq!(counts.audited_writes, counts.both + counts.not_evaluated);
    assert_eq!(
        counts.admitted,
        counts.both + counts.refused_after_admission + counts.admitted_without_audit
    );
    assert_eq!(
        (
            counts.both,
            counts.not_evaluated,
            counts.refused_after_admission,
            counts.admitted_without_audit
        ),
        (1, 1, 1, 1)
    );
}
