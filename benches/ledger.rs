//! `make bench-webhook`: what the ledger costs the webhook, how many admissions a second it takes, and how long a
//! million records take to verify.
//!
//! The webhook runs with and without a ledger in turns, so that whatever else the machine does concerns both. Prints a
//! table, and writes target/bench/ledger.json.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use more of it")]
mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use provost::ledger::{Destination, Ledger};
use provost_evidence::chain::Chain;
use provost_evidence::event::{Admission, Boot, End, Event};

use support::figures::{Figure, Target, megabytes, publish};
use support::judge::Judge;
use support::reviews::cases;
use support::turns::Turns;

/// Alternated runs.
const ROUNDS: usize = 5;
/// How many times slower the webhook's p99 may be with a ledger.
const P99_RATIO: Target = Target::AtMost(1.1);
/// Admissions a second that it takes, and for how long they come.
const ADMISSIONS: Target = Target::AtLeast(5_000.0);
const OFFERED: u32 = 5_500;
const SECONDS: u32 = 4;
/// What is verified, and what that may cost.
const RECORDS: u64 = 1_000_000;
const CHAINS: u64 = 4;
const VERIFY_SECONDS: Target = Target::AtMost(10.0);
const VERIFY_MB: Target = Target::AtMost(64.0);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut figures = runtime.block_on(beside_none())?;
    figures.extend(taken()?);
    figures.extend(verified()?);
    publish("ledger", "NO LEDGER", &figures)
}

/// The webhook with a ledger and without one.
async fn beside_none() -> anyhow::Result<Vec<Figure>> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let with = Judge::start(&policies).await?;
    let without = Judge::start_without_ledger(&policies).await?;
    let (ours, theirs) = (with.load().await?, without.load().await?);
    let cases = cases()?;
    let mixed = cases
        .iter()
        .find(|case| case.name == "mixed")
        .context("no mixed case")?;
    let mut turns = Turns::default();
    for round in 0..ROUNDS {
        turns.take(round, &mixed.reviews, &ours, &theirs).await?;
    }
    let mut figures = turns.figures("webhook", None, Some(P99_RATIO)).to_vec();
    let whole = f64::from(u8::from(with.stop_and_verify().await?));
    figures.push(Figure::alone(
        "ledger whole, no record lost",
        whole,
        "",
        Some(Target::AtLeast(1.0)),
    ));
    Ok(figures)
}

fn admission(number: u64) -> Event {
    Event::Admission(Admission {
        uid: format!("0f5b3a0e-7d52-4c1c-9c1e-{number:012x}"),
        operation: "UPDATE".into(),
        group: "apps".into(),
        version: "v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: format!("my-app-{number}"),
        user: "system:serviceaccount:shop:ci".into(),
        verdict: "denied".into(),
        policy_set: "e0ae9eba31772c5ee469b41a3d5f2ddd12db365d86976ba879f814362f9ae041".into(),
        rules: vec!["require-team-label/check fail".into()],
        ..Admission::default()
    })
}

/// How many admissions a second are written by the one thread that writes, and whether one is lost.
fn taken() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let ledger = Ledger::open(&Destination::Directory(folder.path().to_owned()), Boot::default())?;
    let total = OFFERED * SECONDS;
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..total {
        let due = Duration::from_secs_f64(f64::from(number) / f64::from(OFFERED));
        while started.elapsed() < due {
            std::thread::sleep(Duration::from_micros(500));
        }
        let appended = Instant::now();
        ledger.append(admission(number.into()));
        longest = longest.max(appended.elapsed());
    }
    ledger.close("measured")?;
    let per_second = f64::from(total) / started.elapsed().as_secs_f64();
    let lost = f64::from(u32::try_from(ledger.lost())?);
    Ok(vec![
        Figure::alone("admissions taken", per_second, "1/s", Some(ADMISSIONS)),
        Figure::alone("admissions lost", lost, "", Some(Target::AtMost(0.0))),
        Figure::alone("longest append", longest.as_secs_f64() * 1e3, "ms", None),
    ])
}

/// `provost verify` of a million records, as a process of its own.
fn verified() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    for index in 0..CHAINS {
        let boot = format!("2026112{index}T000000.000Z-0000000{index}");
        let mut chain = Chain::new(boot.clone());
        let mut file = BufWriter::new(File::create(folder.path().join(format!("{boot}.jsonl")))?);
        let start: Timestamp = format!("2026-11-2{index}T00:00:00Z").parse()?;
        file.write_all(chain.seal(start, Event::Boot(Boot::default()))?.as_bytes())?;
        for number in 0..RECORDS / CHAINS - 2 {
            file.write_all(chain.seal(start, admission(number))?.as_bytes())?;
        }
        file.write_all(chain.seal(start, Event::End(End::default()))?.as_bytes())?;
        file.flush()?;
    }
    let started = Instant::now();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_provost"))
        .arg("verify")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let status = format!("/proc/{}/status", verify.id());
    let mut peak = 0;
    while verify.try_wait()?.is_none() {
        // Gone between the two: what was seen last counts.
        peak = peak.max(fs::read_to_string(&status).map_or(0, |text| peak_bytes(&text)));
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = started.elapsed();
    let output = verify.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(
        text.contains("ok    1,000,000 ledger records in 4 chains; no gaps"),
        "{text}"
    );
    Ok(vec![
        Figure::alone(
            "a million records verified",
            took.as_secs_f64(),
            "s",
            Some(VERIFY_SECONDS),
        ),
        Figure::alone("  most memory meanwhile", megabytes(peak), "MB", Some(VERIFY_MB)),
    ])
}

/// The most that the process has had in memory.
fn peak_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
