//! `make bench-webhook`: how many reviews a second the webhook judges, how long each takes, and how much memory the
//! process has, beside a server with the same HTTPS plumbing that parses the same review and always says yes.
//!
//! Both are processes of their own. Prints a table, and writes target/bench/webhook.json.

#[path = "support/mod.rs"]
mod support;

use std::path::Path;

use support::always_yes::{self, AlwaysYes};
use support::figures::{Figure, Target, megabytes, publish};
use support::https::Http2;
use support::judge::Judge;
use support::load::Load;
use support::reviews::{Case, cases};
use support::turns::{ROUNDS, Turns};

/// The figures that count.
const THROUGHPUT_RATIO: Target = Target::AtLeast(0.7);
const P99_RATIO: Target = Target::AtMost(1.5);
const RESIDENT_MB: Target = Target::AtMost(30.0);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(folder) = always_yes::asked_for() {
        return runtime.block_on(always_yes::serve(&folder));
    }
    runtime.block_on(bench())
}

async fn bench() -> anyhow::Result<()> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let judge = Judge::start(&policies).await?;
    let always_yes = AlwaysYes::start(&judge.folder.path().join("always-yes"))?;
    let (ours, theirs) = (judge.load().await?, Load::of_always_yes(&always_yes).await?);
    let cases = cases()?;
    check(&Http2::connect(judge.address, &judge.authority).await?, &cases).await?;

    let idle = judge.provost.resident_bytes()?;
    let mut turns: Vec<Turns> = cases.iter().map(|_| Turns::default()).collect();
    for round in 0..ROUNDS {
        for (case, turns) in cases.iter().zip(&mut turns) {
            turns.take(round, &case.reviews, &ours, &theirs).await?;
        }
    }
    let mut figures = Vec::new();
    for (case, turns) in cases.iter().zip(&turns) {
        let counts = case.name == "mixed";
        let targets = (counts.then_some(THROUGHPUT_RATIO), counts.then_some(P99_RATIO));
        figures.extend(turns.figures(case.name, targets.0, targets.1));
    }
    let loaded = judge.provost.resident_bytes()?;
    for (name, bytes) in [
        ("resident memory, idle", idle),
        ("resident memory, after load", loaded),
    ] {
        figures.push(Figure::alone(name, megabytes(bytes), "MB", Some(RESIDENT_MB)));
    }
    // A throughput that loses records would not count.
    let whole = f64::from(u8::from(judge.stop_and_verify().await?));
    figures.push(Figure::alone(
        "ledger whole, no record lost",
        whole,
        "",
        Some(Target::AtLeast(1.0)),
    ));
    publish("webhook", "ALWAYS YES", &figures)
}

/// A benchmark of wrong answers would be worth nothing.
async fn check(client: &Http2, cases: &[Case]) -> anyhow::Result<()> {
    for case in cases.iter().filter(|case| case.reviews.len() == 1) {
        let answer = client.post("/validate", case.reviews[0].clone()).await?.text();
        let allowed = answer.contains("\"allowed\":true");
        anyhow::ensure!(
            allowed == case.name.starts_with("good"),
            "{}: {answer}",
            case.name
        );
    }
    Ok(())
}
