//! Turns: ours and the other's, one after the other within each round, so that whatever else the machine does concerns
//! both. Each figure is the median over the rounds.

use std::time::Duration;

use super::figures::{Figure, Target, median};
use super::load::{Load, Measured};

/// Rounds.
pub(crate) const ROUNDS: usize = 7;
/// How long a server is loaded in a round with one kind of review.
const TURN: Duration = Duration::from_secs(1);

/// The turns of one case, of ours and of the other.
#[derive(Default)]
pub(crate) struct Turns {
    pub(crate) ours: Vec<Measured>,
    theirs: Vec<Measured>,
}

// === impl Turns ===

impl Turns {
    /// One turn each; who goes first changes from round to round.
    pub(crate) async fn take(
        &mut self,
        round: usize,
        reviews: &[Vec<u8>],
        ours: &Load,
        theirs: &Load,
    ) -> anyhow::Result<()> {
        for us in [round.is_multiple_of(2), !round.is_multiple_of(2)] {
            let (load, measured) = if us {
                (ours, &mut self.ours)
            } else {
                (theirs, &mut self.theirs)
            };
            measured.push(load.run(reviews, TURN).await?);
        }
        Ok(())
    }

    /// Throughput, latency and processor time; the targets are for the ratios of the first two.
    pub(crate) fn figures(&self, case: &str, throughput: Option<Target>, p99: Option<Target>) -> [Figure; 4] {
        let figure = |name: &str, unit, value: fn(&Measured) -> f64, target| {
            // Turns of one round saw the same machine: the ratio is taken within it.
            let pairs = self.ours.iter().zip(&self.theirs);
            let ratio = median(pairs.map(|(us, them)| value(us) / value(them)));
            let (ours, theirs) = (self.ours.iter().map(value), self.theirs.iter().map(value));
            Figure::beside(
                &format!("{case}: {name}"),
                median(ours),
                unit,
                median(theirs),
                ratio,
                target,
            )
        };
        [
            figure("throughput", "reviews/s", |turn| turn.per_second, throughput),
            figure("p50", "ms", |turn| turn.p50_millis, None),
            figure("p99", "ms", |turn| turn.p99_millis, p99),
            figure("processor time", "µs", |turn| turn.cpu_micros, None),
        ]
    }
}
