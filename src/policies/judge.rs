//! Judging a request: asks the engine, fetches what it needs, asks again.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use provost_policy::{FailureAction, Inputs, Outcome, Request, RuleResult, Status, evaluate};
use tokio::time::{Instant, timeout_at};

use super::{Fetcher, Snapshot};

/// How often the engine may ask for more: chains of inputs that need each other are short.
pub const MAX_ROUNDS: usize = 8;
/// How many things are fetched for one request at a time.
const FETCHES_AT_ONCE: usize = 8;
/// How long all fetches of one request may take together. The apiserver gives us ten seconds.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(6);

/// Judges `request` by the snapshot's policies. Whatever cannot be fetched makes the rule that needs it an error.
pub async fn judge(
    snapshot: &Snapshot,
    request: &Request<'_>,
    fetcher: &Fetcher,
    seed: u64,
) -> Vec<RuleResult> {
    let now = Timestamp::now();
    let mut inputs = Inputs::new();
    let deadline = Instant::now() + FETCH_DEADLINE;
    for _ in 0..MAX_ROUNDS {
        match evaluate(&snapshot.set, request, &inputs, now, seed) {
            Outcome::Done(results) => return results,
            Outcome::Needs(keys) => {
                let fetch = async |key| {
                    let input =
                        timeout_at(deadline, fetcher.fetch(&key, request.user, &snapshot.globals)).await;
                    (
                        key,
                        input.unwrap_or_else(|_| Err("it was not fetched in time".to_owned())),
                    )
                };
                let mut arriving =
                    stream::iter(keys.into_iter().map(fetch)).buffer_unordered(FETCHES_AT_ONCE);
                while let Some((key, input)) = arriving.next().await {
                    inputs.insert(key, input);
                }
            }
        }
    }
    vec![gave_up()]
}

/// The result where an evaluation asks without end: an error that denies, since nothing was judged.
fn gave_up() -> RuleResult {
    RuleResult {
        policy: "provost".into(),
        rule: "judge".into(),
        status: Status::Error,
        action: FailureAction::Enforce,
        fails_closed: true,
        message: format!("the policies still asked for more inputs after {MAX_ROUNDS} rounds"),
        violations: Vec::new(),
        properties: Vec::new(),
    }
}
