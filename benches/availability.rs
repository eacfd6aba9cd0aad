//! `make bench-webhook`, second part: what the webhook's operation costs those who write. Replicas run as installed,
//! behind a balancer, with the real apiserver calling them for each write under failurePolicy Fail.
//!
//! 1. How soon a change of policies is in force: from the apiserver's answer to the change, to the verdict that shows
//!    it.
//! 2. How many of the writes are lost while replicas are restarted in turn, and certificate authorities rotated,
//!    again and again.
//!
//! Prints a table, and writes target/bench/availability.json. Skipped loudly where the control plane cannot be built.

#[path = "support/enforcement.rs"]
mod enforcement;
#[path = "support/figures.rs"]
#[expect(dead_code, reason = "the other benchmarks use more of it")]
mod figures;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use enforcement::{Changed, Enforcement};
use figures::{Figure, Target, publish};
use harness::progress::note;
use harness::replicas::Replicas;
use harness::writers::{self, Writers};
use harness::{Cluster, User, wait_until};

/// How often each replica is restarted, one after the other.
const ROLLING_RESTARTS: u32 = 100;
/// How often the certificate authority is rotated meanwhile.
const ROTATIONS: u32 = 10;
const REPLICAS: u32 = 2;
/// A line is shown after so many rolling restarts.
const PROGRESS: u32 = 20;
/// Quicker than in production, so that a hundred restarts fit into minutes.
const QUICK: [&str; 2] = ["--rotation-overlap=2s", "--drain-delay=500ms"];
/// For what is waited for, on a busy machine.
const SOON: Duration = Duration::from_mins(1);

const LOST: Target = Target::AtMost(0.0);
const IN_FORCE_MS: Target = Target::AtMost(1_000.0);

fn main() -> anyhow::Result<()> {
    if let Some(reason) = harness::skip_reason() {
        note(&format!(
            "SKIPPED: availability of the webhook: no cluster: {reason}"
        ));
        return Ok(());
    }
    tokio::runtime::Runtime::new()?.block_on(bench())
}

async fn bench() -> anyhow::Result<()> {
    let cluster = Cluster::own().await?;
    let mut replicas = Replicas::install(&cluster, &QUICK).await?;
    for _ in 0..REPLICAS {
        replicas.start().await?;
    }
    let namespace = cluster.namespace("shop").await?;
    let mut figures = time_to_enforcement(&replicas, &namespace).await?;
    figures.extend(lost_writes(&mut replicas, &namespace).await?);
    publish("availability", "", &figures)
}

async fn time_to_enforcement(replicas: &Replicas<'_>, namespace: &str) -> anyhow::Result<Vec<Figure>> {
    let enforcement = Enforcement::new(replicas, namespace).await?;
    let mut figures = Vec::new();
    for (name, changes) in enforcement.measure().await? {
        let Changed { p50, p99, count } = changes;
        figures.push(Figure::alone(&format!("{name}: p50 of {count}"), p50, "ms", None));
        figures.push(Figure::alone(
            &format!("{name}: p99 of {count}"),
            p99,
            "ms",
            Some(IN_FORCE_MS),
        ));
    }
    Ok(figures)
}

async fn lost_writes(replicas: &mut Replicas<'_>, namespace: &str) -> anyhow::Result<Vec<Figure>> {
    let client = replicas.cluster().client(User::Developer).await?;
    replicas.apply(&writers::policy()).await?;
    Enforcement::new(replicas, namespace).await?.in_force().await?;
    let writers = Writers::start(&client, namespace);
    let started = Instant::now();

    let mut rotations = 0;
    let mut before = replicas.authority().await?;
    for restart in 0..ROLLING_RESTARTS {
        if restart % (ROLLING_RESTARTS / ROTATIONS) == 0 {
            if restart > 0 {
                before = replicas.rotated(&before, SOON).await?;
                rotations += 1;
            }
            replicas.ask_for_rotation().await?;
        }
        let rolled = replicas.roll().await;
        rolled.with_context(|| format!("rolling restart {restart}"))?;
        if restart % PROGRESS == PROGRESS - 1 {
            let (done, written) = (restart + 1, writers.writes());
            note(&format!(
                "{done} of {ROLLING_RESTARTS} rolling restarts, {written} writes"
            ));
        }
    }
    replicas.rotated(&before, SOON).await?;
    rotations += 1;
    let written = writers.writes();
    wait_until("writes go on after all that", SOON, async || {
        writers.writes() > written + 100
    })
    .await?;

    let outcome = writers.stop().await;
    for complaint in &outcome.complaints {
        note(&format!("lost: {complaint}"));
    }
    let lost = count(outcome.lost);
    Ok(vec![
        Figure::alone("rolling restarts", f64::from(ROLLING_RESTARTS), "", None),
        Figure::alone("rotations of the authority", f64::from(rotations), "", None),
        Figure::alone("writes meanwhile", count(outcome.writes), "", None),
        Figure::alone("time taken", started.elapsed().as_secs_f64(), "s", None),
        Figure::alone("writes lost", lost, "", Some(LOST)),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "nobody makes 2^53 writes")]
fn count(number: u64) -> f64 {
    number as f64
}
