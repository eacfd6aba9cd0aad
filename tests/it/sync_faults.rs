//! Faults on the real thing: after each the cluster is as Git says, and nothing was lost or deleted that should not be.
//!
//! `make test` tries each once; `make soak` tries each as often as `PROVOST_SOAK_ROUNDS` says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use harness::wait_for;
use serde_json::json;

use crate::support::agent::{Agent, LIMIT};
use crate::support::gate::Side;
use crate::support::process::{Process, rounds};

/// How many objects a sync has that is cut off by the apiserver's end.
const OBJECTS: usize = 40;

/// The uid and the value of each ConfigMap.
type Parts = BTreeMap<String, (String, String)>;

fn config_map(name: &str, value: &str, annotations: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, annotations: {{{annotations}}}}}, data: {{A: '{value}'}}}}\n"
    )
}

/// ConfigMaps that all say the same.
fn config_maps(value: &str) -> String {
    (0..OBJECTS).fold(String::new(), |mut text, number| {
        let _ = write!(text, "{}", config_map(&format!("part-{number:02}"), value, ""));
        text
    })
}

/// What a round brings: two waves, hooks before and after, an object that only this round has.
fn round_files(round: usize) -> Vec<(String, String)> {
    let value = round.to_string();
    let hook = |phase: &str| {
        format!("argocd.argoproj.io/hook: {phase}, argocd.argoproj.io/hook-delete-policy: HookSucceeded")
    };
    let wave = "argocd.argoproj.io/sync-wave: '1'";
    vec![
        (
            "before".to_owned(),
            config_map("before", &value, &hook("PreSync")),
        ),
        ("a".to_owned(), config_map("a", &value, "")),
        ("b".to_owned(), config_map("b", &value, "")),
        (
            "of-round".to_owned(),
            config_map(&format!("of-round-{round}"), &value, ""),
        ),
        ("c".to_owned(), config_map("c", &value, wave)),
        ("after".to_owned(), config_map("after", &value, &hook("PostSync"))),
    ]
}

fn having(parts: &Parts, value: &str) -> usize {
    parts.values().filter(|(_, found)| found == value).count()
}

impl Process<'_> {
    fn commit_round(&mut self, round: usize) -> anyhow::Result<String> {
        let files = round_files(round);
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (format!("app/{name}.yaml"), text.as_str()))
            .collect();
        self.commit(&files)
    }

    /// Holds what is there against what the round's commit says; `before` are the uids of what stays.
    async fn assert_round(&self, round: usize, before: &Parts, when: &str) -> anyhow::Result<Parts> {
        let now = self.parts().await?;
        let value = round.to_string();
        let names: Vec<_> = now.keys().map(String::as_str).collect();
        let own = format!("of-round-{round}");
        assert_eq!(names, ["a", "b", "c", own.as_str(), "stranger"], "{when}");
        for name in ["a", "b", "c", own.as_str()] {
            assert_eq!(now[name].1, value, "{when}: {name}");
        }
        for name in ["a", "b", "c", "stranger"] {
            if let Some((uid, _)) = before.get(name) {
                assert_eq!(&now[name].0, uid, "{when}: {name} was made anew");
            }
        }
        Ok(now)
    }
}

/// Kills the agent at each write of a sync in turn, before the apiserver sees it and after it was done, until so many
/// kills were made and every step had its turn.
async fn kill_at_every_step(least: usize) -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Process::start(cluster, "killed").await?;
    agent.stranger().await?;
    let first = agent.commit_round(0)?;
    agent.application("my-app", "app").await?;
    agent.wait_synced("my-app", &first).await?;
    let mut before = agent.assert_round(0, &Parts::new(), "at first").await?;
    let (mut round, mut kills, mut at) = (0, 0, 0);
    let mut steps = Vec::new();
    loop {
        round += 1;
        let side = if at == 0 { Side::Before } else { Side::After };
        agent.gate.hold_at(at.max(1) - 1, side);
        let commit = agent.commit_round(round)?;
        let caught = wait_for("a write or the end of the sync", LIMIT, async || {
            match agent.gate.caught() {
                Some(caught) => anyhow::Ok(Some(caught)),
                None if agent.is_synced("my-app", &commit).await? => Ok(None),
                None => anyhow::bail!("neither"),
            }
        })
        .await?;
        let when = format!("killed {side:?} write {at} ({caught:?})");
        if let Some(caught) = caught {
            agent.kill().await?;
            kills += 1;
            at += 1;
            steps.push(caught);
            agent.gate.open();
            agent.run().await?;
        } else {
            agent.gate.open();
            if kills >= least {
                break;
            }
            at = 0;
        }
        agent.wait_synced("my-app", &commit).await?;
        before = agent.assert_round(round, &before, &when).await?;
        harness::progress::note(&when);
    }
    for (method, path) in [
        ("PUT", "/inventories/"),
        ("PATCH", "/configmaps/a"),
        ("PATCH", "/configmaps/c"),
        ("PATCH", "/configmaps/before"),
        ("DELETE", "/configmaps/before"),
        ("DELETE", "/configmaps/of-round-"),
        ("PATCH", "/configmaps/after"),
        ("PATCH", "/applications/my-app"),
    ] {
        let is_it = |step: &&String| step.starts_with(method) && step.contains(path);
        assert!(
            steps.iter().any(|step| is_it(&step)),
            "no kill at {method} {path}: {steps:#?}"
        );
    }
    harness::progress::note(&format!("{kills} kills at: {steps:#?}"));
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_at_any_step_ends_the_sync_when_it_comes_back() -> anyhow::Result<()> {
    kill_at_every_step(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: make soak runs it"]
async fn soak_an_agent_that_is_killed_at_any_step_ends_the_sync_when_it_comes_back() -> anyhow::Result<()> {
    kill_at_every_step(rounds()).await
}

/// Freezes the agent in the middle of a sync until another has taken over, and lets it go on.
async fn freeze_the_leader(times: usize) -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut first = Process::start(cluster, "frozen").await?;
    first.stranger().await?;
    let mut commit = first.commit_round(0)?;
    first.application("my-app", "app").await?;
    first.wait_synced("my-app", &commit).await?;
    let mut before = first.assert_round(0, &Parts::new(), "at first").await?;
    let mut second = first.beside().await?;
    let mut round = 0;
    for time in 0..times {
        // In turn before an object's write is done, after it, and after the inventory's.
        let (at, side) = [(4, Side::Before), (4, Side::After), (0, Side::After)][time % 3];
        round += 1;
        first.gate.hold_at(at, side);
        first.commit_round(round)?;
        let caught = first.gate.wait_caught(LIMIT).await?;
        first.signal("STOP")?;
        round += 1;
        second.repository = first.repository.clone();
        commit = second.commit_round(round)?;
        second.wait_synced("my-app", &commit).await?;
        let when = format!("frozen {side:?} {caught}");
        before = second.assert_round(round, &before, &when).await?;
        // It wakes up in the middle of its sync, and believes to hold the lease.
        first.gate.open();
        first.signal("CONT")?;
        first.wait_for_new_line("The lease was lost").await?;
        round += 1;
        commit = second.commit_round(round)?;
        second.wait_synced("my-app", &commit).await?;
        before = second.assert_round(round, &before, &when).await?;
        assert_eq!(first.gate.writes(), [""; 0], "{when}: who lost the lease wrote");
        harness::progress::note(&when);
        // Now the other way around.
        first.repository = second.repository.clone();
        std::mem::swap(&mut first, &mut second);
    }
    // And one that is killed: its lease expires.
    first.kill().await?;
    second.repository = first.repository.clone();
    round += 1;
    commit = second.commit_round(round)?;
    second.wait_synced("my-app", &commit).await?;
    second
        .assert_round(round, &before, "the leader was killed")
        .await?;
    first.run_in_background().await?;
    round += 1;
    first.gate.open();
    commit = second.commit_round(round)?;
    second.wait_synced("my-app", &commit).await?;
    assert_eq!(first.gate.writes(), [""; 0], "who waits for the lease wrote");
    first.stop().await?;
    second.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_frozen_writes_nothing_once_another_has_the_lease() -> anyhow::Result<()> {
    freeze_the_leader(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half an hour, most of it waiting for leases: make soak runs it"]
async fn soak_a_leader_that_was_frozen_writes_nothing_once_another_has_the_lease() -> anyhow::Result<()> {
    freeze_the_leader(rounds()).await
}

/// Ends the apiserver in the middle of a sync, so many times.
async fn end_the_apiserver(times: usize) -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let mut agent = Agent::start(&cluster, "outage").await?;
    agent.commit(&[("app/parts.yaml", &config_maps("start"))])?;
    agent.application("my-app", "app", json!({})).await?;
    agent.wait_parts("start", OBJECTS).await?;
    let before = agent.parts().await?;
    for time in 0..times {
        // Somewhere else each time: before the first object, after it, in the middle.
        let least = [1, 0, OBJECTS / 2, OBJECTS - 1][time % 4];
        let commit = agent.commit(&[("app/parts.yaml", &config_maps(&format!("cut-{time}")))])?;
        agent.wait_parts(&format!("cut-{time}"), least).await?;
        cluster.stop_apiserver().await?;
        // What is wrong in Git meanwhile is put right before anybody could read it.
        agent.commit(&[(
            "app/parts.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n",
        )])?;
        let value = format!("end-{time}");
        let good = agent.commit(&[("app/parts.yaml", &config_maps(&value))])?;
        assert_ne!(commit, good);
        cluster.start_apiserver().await?;
        wait_for("the agent to be done", LIMIT * 2, async || {
            let status = agent.status("my-app").await?;
            let sync = &status["sync"];
            anyhow::ensure!(
                sync["status"] == "Synced" && sync["revision"] == good,
                "{status:#}"
            );
            Ok(())
        })
        .await?;
        let after = agent.parts().await?;
        assert_eq!(having(&after, &value), OBJECTS, "after outage {time}");
        for (name, (uid, _)) in &before {
            assert_eq!(&after[name].0, uid, "{name} was made anew in outage {time}");
        }
    }
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_goes_in_the_middle_of_a_sync_is_waited_for() -> anyhow::Result<()> {
    end_the_apiserver(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: make soak runs it"]
async fn soak_an_apiserver_that_goes_in_the_middle_of_a_sync_is_waited_for() -> anyhow::Result<()> {
    end_the_apiserver(rounds()).await
}
