//! Judging a request: asks the engine, fetches what it needs, asks again.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use provost_policy::{
    DEFAULT_TIMEOUT_SECONDS, Deadline, FailureAction, Inputs, Outcome, Part, Request, RuleResult, Status,
    evaluate_part,
};
use tokio::time::timeout_at;

use super::{Fetcher, Snapshot};

/// How often the engine may ask for more: chains of inputs that need each other are short.
pub const MAX_ROUNDS: usize = 8;
/// How many things are fetched for one request at a time.
const FETCHES_AT_ONCE: usize = 8;
/// How long one rule may take at most, in each round: forty times what its steps take where nothing is amiss.
pub const RULE_DEADLINE: Duration = Duration::from_secs(1);
/// How long an apiserver waits at most.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long whoever asks waits for the verdict, all judgements of one request together. The default is what an apiserver
/// waits where no policy says otherwise, from now.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    begin: Instant,
    wait: Duration,
}

/// Judges `request` by the snapshot's policies. Whatever cannot be fetched makes the rule that needs it an error.
pub async fn judge(
    snapshot: &Snapshot,
    request: &Request<'_>,
    fetcher: &Fetcher,
    seed: u64,
) -> Vec<RuleResult> {
    let patience = Patience::default();
    judge_part(snapshot, Part::default(), request, fetcher, patience, seed).await
}

/// As [`judge`], by a part of the policies.
pub async fn judge_part(
    snapshot: &Snapshot,
    part: Part,
    request: &Request<'_>,
    fetcher: &Fetcher,
    patience: Patience,
    seed: u64,
) -> Vec<RuleResult> {
    let now = Timestamp::now();
    let mut inputs = Inputs::new();
    let fetched_by = patience.fetched_by().into();
    let deadline = Deadline {
        clock: Instant::now,
        rule: patience.for_a_rule(),
        end: patience.judged_by(),
    };
    for _ in 0..MAX_ROUNDS {
        match evaluate_part(&snapshot.set, part, Some(deadline), request, &inputs, now, seed) {
            Outcome::Done(results) => return results,
            Outcome::Needs(keys) => {
                let fetch = async |key| {
                    let input =
                        timeout_at(fetched_by, fetcher.fetch(&key, request.user, &snapshot.globals)).await;
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

// === impl Patience ===

impl Patience {
    /// Whoever asked at `begin` waits so long, or at most [`MAX_WAIT`].
    pub fn new(begin: Instant, wait: Duration) -> Self {
        let wait = wait.min(MAX_WAIT);
        Self { begin, wait }
    }

    /// How long one rule may take.
    pub fn for_a_rule(self) -> Duration {
        RULE_DEADLINE.min(self.wait * 2 / 5)
    }

    /// When all that rules need has to be there.
    fn fetched_by(self) -> Instant {
        self.begin + self.wait * 3 / 5
    }

    /// When all rules have to be judged: what is left then ends in errors, in time for an answer.
    fn judged_by(self) -> Instant {
        self.begin + self.wait * 4 / 5
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new(
            Instant::now(),
            Duration::from_secs(DEFAULT_TIMEOUT_SECONDS.into()),
        )
    }
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
        overran: false,
        properties: Vec::new(),
    }
}
