//! `make bench-sync`: from a push until every Application is synced, beside `kubectl apply --server-side` of the same
//! objects; what a commit that touches one of them costs, what a pass that finds nothing costs, and one Application of
//! many objects.
//!
//! kubectl comes as it is. It asks one thing at a time, but nothing holds it back: the kubectl of this control plane makes
//! a client for each object, so that its client-side rate limit never counts two of them together (600 objects in 4 s,
//! and not one request that waited). What bounds both is the processor time of the control plane, which is printed too.
//!
//! The agent is a process of its own, on the same machine as the control plane. `cargo bench --bench sync -- 100` takes
//! that many Applications instead of 1,000. Prints a table, and writes target/bench/sync.json.

#[path = "sync/audit.rs"]
mod audit;
#[path = "support/figures.rs"]
#[expect(dead_code, reason = "the other benchmarks use more of it")]
mod figures;
#[path = "sync/manifests.rs"]
mod manifests;
#[path = "sync/measured.rs"]
mod measured;
#[path = "sync/processor.rs"]
mod processor;
#[path = "sync/push.rs"]
mod push;

use std::time::Duration;

use audit::Requests;
use figures::{Figure, Target, megabytes, publish};
use harness::User;
use measured::Measured;

/// How many Applications there are, where nobody says otherwise.
const APPLICATIONS: usize = 1_000;
/// How many objects each has.
const OBJECTS: usize = 4;
/// How many pushes bring nothing.
const EMPTY_PUSHES: usize = 5;
/// How long each of them is watched.
const QUIET: Duration = Duration::from_secs(2);

/// The figures that count.
const TIME_RATIO: Target = Target::AtMost(0.6);
const RESIDENT_MB: Target = Target::AtMost(104.8);
const REQUESTS_AN_OBJECT: Target = Target::AtMost(3.0);
const ONE_COMMIT_SECONDS: Target = Target::AtMost(1.0);
const NO_REQUESTS: Target = Target::AtMost(0.0);
/// Memory for four times the objects, over that for one time.
const GROWTH: Target = Target::AtMost(4.0);

fn main() -> anyhow::Result<()> {
    let number = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    tokio::runtime::Runtime::new()?.block_on(bench(number.unwrap_or(APPLICATIONS)))
}

/// How many requests each object took: ours, of which kind, and kubectl's.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 objects")]
fn requests_an_object(ours: &Requests, theirs: &Requests, objects: usize) -> Vec<Figure> {
    let each = |count: u64| count as f64 / objects as f64;
    let mut figures = vec![Figure::alone(
        "requests an object",
        each(ours.total()),
        "",
        Some(REQUESTS_AN_OBJECT),
    )];
    for (what, count) in ours.by_kind() {
        figures.push(Figure::alone(&format!("  {what}"), each(count), "", None));
    }
    let theirs = each(theirs.total());
    figures.push(Figure::alone("  kubectl, all together", theirs, "", None));
    figures
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 objects")]
async fn bench(applications: usize) -> anyhow::Result<()> {
    let objects = applications * OBJECTS;
    let mut measured = Measured::start(applications).await?;
    let mut figures = Vec::new();

    let before = (measured.processor_time()?, measured.control_plane_time()?);
    let ours = measured.sync_all().await?;
    let busy = measured.processor_time()?.saturating_sub(before.0);
    let served = measured.control_plane_time()?.saturating_sub(before.1);
    let resident = measured.provost.resident_bytes()?;
    let requests = measured.requests_until_rest().await?;
    measured.skip_what_was_asked()?;
    let before = (processor::time_of("self")?, measured.control_plane_time()?);
    let theirs = measured.kubectl_apply().await?;
    let busy_there = processor::time_of("self")?.saturating_sub(before.0);
    let served_there = measured.control_plane_time()?.saturating_sub(before.1);
    let requests_there = measured.requests_of(User::Admin)?;
    let (seconds, beside) = (ours.as_secs_f64(), theirs.as_secs_f64());
    let name = format!("push to all of {applications} synced");
    figures.push(Figure::beside(
        &name,
        seconds,
        "s",
        beside,
        seconds / beside,
        Some(TIME_RATIO),
    ));
    for (what, ours, theirs) in [
        ("  processor time, renders included", busy, busy_there),
        ("  processor time of the control plane", served, served_there),
    ] {
        let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
        figures.push(Figure::beside(what, ours, "s", theirs, ours / theirs, None));
    }
    figures.extend(requests_an_object(&requests, &requests_there, objects));
    let resident = megabytes(resident);
    figures.push(Figure::alone(
        "resident memory, all synced",
        resident,
        "MB",
        Some(RESIDENT_MB),
    ));
    figures.push(Figure::alone(
        "  before there was an Application",
        megabytes(measured.idle),
        "MB",
        None,
    ));

    let quiet = measured.quiet(EMPTY_PUSHES, QUIET).await?;
    figures.push(Figure::alone(
        "requests of pushes that bring nothing",
        quiet.total() as f64,
        "",
        Some(NO_REQUESTS),
    ));
    let (one, requests) = measured.touch_one().await?;
    figures.push(Figure::alone(
        "push to one of them applied",
        one.as_secs_f64(),
        "s",
        Some(ONE_COMMIT_SECONDS),
    ));
    for (what, count) in requests.by_kind() {
        figures.push(Figure::alone(&format!("  {what}"), count as f64, "", None));
    }
    drop(measured);

    let few = measured::one_application(applications * 5 / 4).await?;
    let many = measured::one_application(applications * 5).await?;
    for large in [&few, &many] {
        let name = format!("one Application of {} objects", large.objects);
        figures.push(Figure::alone(&name, large.took.as_secs_f64(), "s", None));
        figures.push(Figure::alone(
            "  memory beyond idle",
            large.grown_megabytes(),
            "MB",
            None,
        ));
    }
    let growth = many.grown_megabytes() / few.grown_megabytes();
    figures.push(Figure::alone(
        "memory, four times the objects",
        growth,
        "x",
        Some(GROWTH),
    ));
    publish("sync", "KUBECTL", &figures)
}
