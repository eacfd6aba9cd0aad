use std::collections::BTreeMap;

use super::*;
use crate::event::{End, Gap, Heartbeat};
use crate::witness::{Audit, Subject};

/// A minute and a second of 2026-01-01.
fn at(minute: u32, second: u32) -> String {
    format!("2026-01-01T00:{minute:02}:{second:02}.000Z")
}

fn boot(roles: &[&str]) -> Event {
    Event::Boot(Boot {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        writer: format!("{}@host", roles[0]),
        heartbeat_seconds: 30,
        witness: true,
        ..Boot::default()
    })
}

fn beat(configuration: &str) -> Event {
    Event::Heartbeat(Heartbeat {
        configurations: BTreeMap::from([("enforce".to_owned(), configuration.to_owned())]),
        ..Heartbeat::default()
    })
}

fn end() -> Event {
    Event::End(End::default())
}

/// A write to `shop/NAME` that the apiserver carried out without asking.
fn unasked(time: &str, name: &str) -> Event {
    Event::Audit(Audit {
        audit_id: format!("audit of {name}"),
        verb: "create".into(),
        object: Subject {
            version: "v1".into(),
            resource: "configmaps".into(),
            namespace: "shop".into(),
            name: name.into(),
            ..Subject::default()
        },
        user: "mallory".into(),
        code: 201,
        received: time.into(),
        completed: time.into(),
        failed_open: vec!["enforce.provost.dev".into()],
        ..Audit::default()
    })
}

/// Takes records of chains, each a name and its records.
fn taken(from: &str, to: &str, chains: &[(&str, &[(String, Event)])]) -> Facts {
    let mut recorded = Recorded::within(Some(from), Some(to));
    for (chain, records) in chains {
        for (seq, (time, event)) in (0..).zip(*records) {
            recorded.add(Place { chain, seq, time }, event).unwrap();
        }
    }
    recorded.finish()
}

fn intervals(facts: &Facts, component: &str) -> Vec<(String, String, String, String)> {
    let mut rows: Vec<_> = facts
        .control_intervals
        .iter()
        .filter(|interval| interval.component == component)
        .map(|interval| {
            (
                interval.valid_from.clone(),
                interval.valid_to.clone(),
                interval.state.clone(),
                interval.basis.clone(),
            )
        })
        .collect();
    rows.sort();
    rows
}

fn row(from: &str, to: &str, state: &str, basis: &str) -> (String, String, String, String) {
    (from.into(), to.into(), state.into(), basis.into())
}

#[test]
fn a_component_is_up_while_heartbeats_come_and_nobody_knows_after_silence() {
    let first = [
        (at(1, 0), boot(&["webhook"])),
        (at(1, 30), beat("digest")),
        (at(2, 0), beat("digest")),
        // Two minutes of silence, then it is there again.
        (at(4, 0), beat("digest")),
        (at(4, 30), end()),
    ];
    let second = [
        (at(6, 0), boot(&["webhook"])),
        (at(6, 30), Event::Gap(Gap::default())),
        (at(7, 0), beat("digest")),
    ];
    let facts = taken(&at(0, 0), &at(10, 0), &[("one", &first), ("two", &second)]);
    assert_eq!(
        intervals(&facts, "webhook"),
        [
            row(&at(0, 0), &at(1, 0), "unknown", "before its first record"),
            row(&at(1, 0), &at(2, 0), "up", "heartbeats"),
            row(&at(2, 0), &at(4, 0), "unknown", "silence"),
            row(&at(4, 0), &at(4, 30), "up", "heartbeats"),
            row(&at(4, 30), &at(6, 0), "down", "its end was recorded"),
            row(&at(6, 0), &at(6, 30), "degraded", "records were lost"),
            row(&at(6, 30), &at(7, 0), "up", "heartbeats"),
            row(&at(7, 0), &at(10, 0), "unknown", "silence"),
        ]
    );
    assert_eq!(
        intervals(&facts, "agent"),
        [row(
            &at(0, 0),
            &at(10, 0),
            "unknown",
            "the ledger has no record of it"
        )]
    );
}

#[test]
fn a_second_replica_covers_the_first() {
    let first = [
        (at(1, 0), boot(&["webhook"])),
        (at(2, 0), beat("digest")),
        (at(2, 0), end()),
    ];
    let second = [
        (at(1, 30), boot(&["webhook"])),
        (at(2, 30), beat("digest")),
        (at(3, 30), beat("digest")),
    ];
    let facts = taken(&at(1, 0), &at(3, 30), &[("one", &first), ("two", &second)]);
    assert_eq!(
        intervals(&facts, "webhook"),
        [row(&at(1, 0), &at(3, 30), "up", "heartbeats")]
    );
}

#[test]
fn an_absent_configuration_is_a_webhook_that_is_not_asked() {
    let records = [
        (at(1, 0), boot(&["webhook"])),
        (at(1, 30), beat("digest")),
        (at(2, 0), beat("absent")),
        (at(2, 30), beat("absent")),
        (at(3, 0), beat("digest")),
        (at(3, 30), beat("digest")),
    ];
    let facts = taken(&at(1, 0), &at(3, 30), &[("one", &records)]);
    assert_eq!(
        intervals(&facts, "webhook"),
        [
            row(&at(1, 0), &at(2, 0), "up", "heartbeats"),
            row(&at(2, 0), &at(3, 0), "down", "a webhook configuration was absent"),
            row(&at(3, 0), &at(3, 30), "up", "heartbeats"),
        ]
    );
}

#[test]
fn what_passed_unjudged_opens_the_webhook() {
    let judged = Event::Admission(Admission {
        uid: "u1".into(),
        kind: "ConfigMap".into(),
        resource: "configmaps".into(),
        ..Admission::default()
    });
    let webhook = [
        (at(1, 0), boot(&["webhook"])),
        (at(2, 0), beat("digest")),
        (at(2, 0), end()),
        // Up again, and yet one write passed at 4:10.
        (at(4, 0), boot(&["webhook"])),
        (at(4, 30), judged),
        (at(5, 0), beat("digest")),
    ];
    let mut second = webhook.to_vec();
    let first: Vec<_> = second.drain(..3).collect();
    let audit = [
        (at(5, 0), boot(&["recorder"])),
        (at(5, 0), unasked(&at(3, 0), "one")),
        (at(5, 1), unasked(&at(4, 10), "two")),
    ];
    let facts = taken(
        &at(1, 0),
        &at(5, 0),
        &[("a", &first), ("b", &second), ("c", &audit)],
    );
    let open = "audit log: written without an evaluation";
    assert_eq!(
        intervals(&facts, "webhook"),
        [
            row(&at(1, 0), &at(2, 0), "up", "heartbeats"),
            row(&at(2, 0), &at(4, 0), "fail_open", open),
            row(&at(4, 0), &at(4, 10), "up", "heartbeats"),
            row(&at(4, 10), &at(4, 30), "fail_open", open),
            row(&at(4, 30), &at(5, 0), "up", "heartbeats"),
        ]
    );
    let kinds: Vec<_> = facts.writes.iter().map(|write| write.object.as_str()).collect();
    assert_eq!(
        kinds[..2],
        ["ConfigMap shop/one", "ConfigMap shop/two"],
        "by the kind of their resource"
    );
}

#[test]
fn intervals_tile_the_period_whatever_the_records_are() {
    // Chains of any shape: the intervals follow each other without hole and overlap, from edge to edge.
    let mut random = 7_u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) % below
    };
    for _ in 0..200 {
        let mut chains = Vec::new();
        for chain in 0..4 {
            let mut minute = next(20);
            let mut records = vec![(at(minute, 0), boot(&["webhook", "agent"]))];
            for _ in 0..next(6) {
                minute += next(4);
                let event = match next(5) {
                    0 => Event::Gap(Gap::default()),
                    1 => beat("absent"),
                    2 => unasked(&at(next(50), 0), &format!("{chain}-{}", next(1000))),
                    _ => beat("digest"),
                };
                records.push((at(minute, 0), event));
            }
            if next(2) == 0 {
                records.push((at(minute, 30), end()));
            }
            chains.push((format!("chain {chain}"), records));
        }
        let chains: Vec<(&str, &[(String, Event)])> = chains
            .iter()
            .map(|(name, records)| (name.as_str(), records.as_slice()))
            .collect();
        let (from, to) = (at(5, 0), at(30, 0));
        let facts = taken(&from, &to, &chains);
        for component in ["webhook", "agent", "recorder"] {
            let found = intervals(&facts, component);
            assert_eq!(found.first().unwrap().0, from);
            assert_eq!(found.last().unwrap().1, to);
            for pair in found.windows(2) {
                assert_eq!(pair[0].1, pair[1].0);
                assert!(pair[0].2 != pair[1].2 || pair[0].3 != pair[1].3);
            }
        }
    }
}

#[test]
fn a_set_of_policies_is_in_force_until_the_next_one() {
    let set = |digest: &str, names: &[&str]| {
        Event::Policies(crate::event::Policies {
            policy_set: digest.into(),
            loaded: names.iter().map(|name| (*name).to_owned()).collect(),
            refused: vec!["broken: no rules".into()],
            ..crate::event::Policies::default()
        })
    };
    let records = [
        (at(1, 0), boot(&["webhook"])),
        (at(1, 0), set("one", &["limits"])),
        (at(3, 0), set("two", &["limits", "labels"])),
        (at(6, 0), beat("digest")),
    ];
    let facts = taken(&at(2, 0), &at(5, 0), &[("a", &records)]);
    let mut found: Vec<_> = facts
        .policies_in_force
        .iter()
        .map(|row| {
            (
                row.policy.as_str(),
                row.kind.as_str(),
                row.valid_from.clone(),
                row.valid_to.clone(),
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("broken: no rules", "refused", at(2, 0), at(3, 0)),
            ("broken: no rules", "refused", at(3, 0), at(5, 0)),
            ("labels", "policy", at(3, 0), at(5, 0)),
            ("limits", "policy", at(2, 0), at(3, 0)),
            ("limits", "policy", at(3, 0), at(5, 0)),
        ]
    );
}
