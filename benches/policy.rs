//! `make bench-policy`: what judging costs. In process: evaluations a second on one core, and allocations for each. End
//! to end: the webhook with 3, 30 and 300 policies beside a server that always says yes. And `provost check` of a
//! thousand manifests and more.
//!
//! Prints a table, and writes target/bench/policy.json.

#[path = "policy/allocations.rs"]
mod allocations;
#[path = "policy/policies.rs"]
mod policies;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::Folder;
use provost_manifest::object::GroupVersionKind;
use provost_policy::{Inputs, Operation, Outcome, Policy, PolicySet, Request, evaluate};
use serde_json::{Value, json};

use support::always_yes::{self, AlwaysYes};
use support::figures::{Figure, Target, median, megabytes, publish};
use support::judge::Judge;
use support::load::Load;
use support::reviews;
use support::turns::{ROUNDS, Turns};

/// How long one object is judged over and over.
const TURN: Duration = Duration::from_secs(1);
/// Manifests that `provost check` reads, about a megabyte of YAML.
const MANIFESTS: usize = 2_000;
/// Runs of `provost check`; the figure is the median.
const RUNS: usize = 5;
const CHECK_SECONDS: Target = Target::AtMost(0.15);
const CHECK_MB: Target = Target::AtMost(60.0);
/// Throughput with 300 policies of which ten match, beside the server that always says yes.
const THROUGHPUT_RATIO: Target = Target::AtLeast(0.6);
/// Processor time of a review with 300 policies of which ten match, beside that with 3.
const GROWTH: Target = Target::AtMost(1.5);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(folder) = always_yes::asked_for() {
        return runtime.block_on(always_yes::serve(&folder));
    }
    let mut figures = in_process()?;
    figures.extend(runtime.block_on(end_to_end())?);
    figures.extend(check()?);
    publish("policy", "BESIDE", &figures)
}

/// A hundred policies, ten of which concern Pods and their controllers.
fn in_process() -> anyhow::Result<Vec<Figure>> {
    let mut parsed = Vec::new();
    for (name, text) in policies::texts(100) {
        let policy = Policy::parse(&text, &name);
        ensure!(policy.faults.is_empty(), "{name}: {:?}", policy.faults);
        parsed.extend(policy.policies);
    }
    let (set, faults) = PolicySet::compile(parsed);
    ensure!(faults.is_empty(), "{faults:?}");
    let custom = json!({
        "apiVersion": "example.com/v1", "kind": "Kind50", "metadata": {"name": "one", "namespace": "shop"},
        "spec": {"replicas": 3, "owner": "shop", "ports": [{"port": 80}, {"port": 443}]},
    });
    let objects = [
        ("Pod", reviews::object("pod.json")?),
        ("Deployment", reviews::object("deployment.json")?),
        ("custom resource", custom),
    ];
    let mut figures = Vec::new();
    for (name, object) in &objects {
        let judged = judge(&set, object)?;
        figures.push(Figure::alone(
            &format!("in process, 100 policies: {name}"),
            judged.per_second,
            "evaluations/s",
            None,
        ));
        let allocations = format!("in process, 100 policies: {name}, allocations");
        figures.push(Figure::alone(&allocations, judged.allocations, "each", None));
    }
    Ok(figures)
}

struct Judged {
    per_second: f64,
    allocations: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of one second")]
fn judge(set: &PolicySet, object: &Value) -> anyhow::Result<Judged> {
    let kind = GroupVersionKind::of(object).context("the object has a kind")?;
    let request = Request {
        operation: Operation::Create,
        kind: &kind,
        subresource: "",
        namespace: "shop",
        name: "one",
        object: Some(object),
        old_object: None,
        user: None,
        dry_run: false,
        review: None,
    };
    let (inputs, now) = (Inputs::new(), jiff::Timestamp::UNIX_EPOCH);
    let (mut count, before, start) = (0_u64, allocations::count(), Instant::now());
    while start.elapsed() < TURN {
        let outcome = evaluate(set, &request, &inputs, now, count);
        ensure!(
            matches!(outcome, Outcome::Done(_)),
            "the policies ask for something"
        );
        count += 1;
    }
    Ok(Judged {
        per_second: count as f64 / start.elapsed().as_secs_f64(),
        allocations: (allocations::count() - before) as f64 / count as f64,
    })
}

async fn end_to_end() -> anyhow::Result<Vec<Figure>> {
    let folder = Folder::new()?;
    let always_yes = AlwaysYes::start(&folder.path().join("always-yes"))?;
    let theirs = Load::of_always_yes(&always_yes).await?;
    let mixed = reviews::cases()?.into_iter().find(|case| case.name == "mixed");
    let mixed = mixed.context("there is a mixed case")?.reviews;
    let mut judges = Vec::new();
    for count in [3, 30, 300] {
        let policies = folder.path().join(count.to_string());
        fs::create_dir(&policies)?;
        for (name, text) in policies::texts(count) {
            fs::write(policies.join(name), text)?;
        }
        let judge = Judge::start(&policies).await?;
        let load = judge.load().await?;
        judges.push((count, judge, load, Turns::default()));
    }
    for round in 0..ROUNDS {
        for (_, _, load, turns) in &mut judges {
            turns.take(round, &mixed, load, &theirs).await?;
        }
    }
    let mut figures = Vec::new();
    for (count, judge, _, turns) in &judges {
        let target = (*count == 300).then_some(THROUGHPUT_RATIO);
        figures.extend(turns.figures(&format!("{count} policies"), target, None));
        let resident = megabytes(judge.provost.resident_bytes()?);
        figures.push(Figure::alone(
            &format!("{count} policies: resident memory"),
            resident,
            "MB",
            None,
        ));
    }
    if let [(_, _, _, few), _, (_, _, _, many)] = judges.as_slice() {
        let cpu = |turns: &Turns| median(turns.ours.iter().map(|turn| turn.cpu_micros));
        let (few, many) = (cpu(few), cpu(many));
        figures.push(Figure::beside(
            "300 policies beside 3: processor time",
            many,
            "µs",
            few,
            many / few,
            Some(GROWTH),
        ));
    }
    for (_, judge, ..) in judges {
        ensure!(judge.stop_and_verify().await?, "a ledger is not whole");
    }
    Ok(figures)
}

/// `provost check` of many manifests against the three policies of the repository.
fn check() -> anyhow::Result<Vec<Figure>> {
    let folder = Folder::new()?;
    let manifests = folder.path().join("manifests.yaml");
    let text: String = (0..MANIFESTS).map(policies::deployment).collect();
    fs::write(&manifests, &text)?;
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        let mut child = Command::new(harness::provost::provost_binary()?)
            .arg("check")
            .arg(&manifests)
            .arg("--policies")
            .arg(&policies)
            .stdout(Stdio::null())
            .spawn()?;
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_bytes(child.id()).unwrap_or(0));
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        seconds.push(start.elapsed().as_secs_f64());
        peaks.push(megabytes(peak));
        ensure!(status.success(), "provost check ended with {status}");
    }
    let name = format!(
        "check of {MANIFESTS} Deployments ({:.1} MB)",
        megabytes(text.len() as u64)
    );
    Ok(vec![
        Figure::alone(&name, median(seconds.into_iter()), "s", Some(CHECK_SECONDS)),
        Figure::alone(
            &format!("{name}: peak memory"),
            median(peaks.into_iter()),
            "MB",
            Some(CHECK_MB),
        ),
    ])
}

/// The most memory that a running process has had.
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
