//! How much an evaluation may do: steps against endless work, bytes against data that grows without end, and behind
//! both the clock, for what takes longer than its steps let expect.

use std::time::{Duration, Instant};

use crate::error::EvalError;

/// Steps that one rule's evaluation may take by default: some 25 milliseconds.
pub const DEFAULT_STEPS: u64 = 1_000_000;
/// Bytes that one rule's evaluation may build by default, all its results together.
pub const DEFAULT_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes of text cost one step: reading text is fast, but not free.
const BYTES_PER_STEP: usize = 64;
/// After how many steps the clock is looked at: what ends sooner, as nearly all does, never looks.
const STEPS_PER_LOOK: u64 = 4_096;

/// What is left to spend. One budget is shared by all expressions of an evaluation.
#[derive(Clone, Debug)]
pub struct Budget {
    steps: u64,
    bytes: usize,
    /// With fewer steps left than this, the clock is looked at; 0 where there is none.
    look_below: u64,
    watch: Option<Watch>,
    stopped: Option<Stop>,
}

/// How long rules may take, by a clock that the caller brings: these rooms read none.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The clock.
    pub clock: fn() -> Instant,
    /// How long one rule may take.
    pub rule: Duration,
    /// When all rules of a request have to be done.
    pub end: Instant,
}

/// A deadline, and when the evaluation was first seen at work.
#[derive(Clone, Copy, Debug)]
struct Watch {
    deadline: Deadline,
    begin: Option<Instant>,
}

/// Why an evaluation was stopped. It stays stopped, whatever is made of the error.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Steps,
    Bytes,
    Clock,
}

// === impl Budget ===

impl Budget {
    /// A budget of so many steps and bytes.
    pub fn new(steps: u64, bytes: usize) -> Self {
        Self {
            steps,
            bytes,
            look_below: 0,
            watch: None,
            stopped: None,
        }
    }

    /// The same, with a deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Deadline) -> Self {
        Self {
            look_below: self.steps.saturating_sub(STEPS_PER_LOOK),
            watch: Some(Watch {
                deadline,
                begin: None,
            }),
            ..self
        }
    }

    /// A whole budget for a further part of the same work: what was spent is back, and the clock runs on. So all
    /// parts together take no longer than one may.
    #[must_use]
    pub fn renewed(&self) -> Self {
        let renewed = Self::default();
        Self {
            look_below: match self.watch {
                Some(_) => renewed.steps.saturating_sub(STEPS_PER_LOOK),
                None => 0,
            },
            watch: self.watch,
            ..renewed
        }
    }

    /// The steps that are left.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The bytes that are left.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Why the evaluation had to stop, if it had to, also where the error was taken for an answer on its way.
    pub fn stopped(&self) -> Option<EvalError> {
        self.stopped.map(Stop::error)
    }

    /// Whether it was the deadline that stopped the evaluation.
    pub fn overran(&self) -> bool {
        matches!(self.stopped, Some(Stop::Clock))
    }

    /// Spends one step.
    pub fn step(&mut self) -> Result<(), EvalError> {
        self.spend(1)
    }

    /// Spends the steps for reading so many bytes of text.
    pub fn read(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.spend((bytes / BYTES_PER_STEP) as u64)
    }

    /// Spends steps.
    pub fn spend(&mut self, steps: u64) -> Result<(), EvalError> {
        match self.steps.checked_sub(steps) {
            Some(left) if left >= self.look_below => {
                self.steps = left;
                Ok(())
            }
            Some(left) => {
                self.steps = left;
                self.look()
            }
            None => Err(self.stop(Stop::Steps)),
        }
    }

    /// Spends bytes, before they are allocated where their number is known before.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        if let Some(left) = self.bytes.checked_sub(bytes) {
            self.bytes = left;
            Ok(())
        } else {
            Err(self.stop(Stop::Bytes))
        }
    }

    /// Looks at the clock.
    #[cold]
    fn look(&mut self) -> Result<(), EvalError> {
        self.look_below = self.steps.saturating_sub(STEPS_PER_LOOK);
        let Some(Watch { deadline, begin }) = &mut self.watch else {
            return Ok(());
        };
        let now = (deadline.clock)();
        let begin = *begin.get_or_insert(now);
        if now >= deadline.end || now.saturating_duration_since(begin) >= deadline.rule {
            Err(self.stop(Stop::Clock))
        } else {
            Ok(())
        }
    }

    /// Nothing can be spent any more.
    #[cold]
    fn stop(&mut self, why: Stop) -> EvalError {
        self.steps = 0;
        self.bytes = 0;
        self.look_below = 0;
        self.stopped.get_or_insert(why).error()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(DEFAULT_STEPS, DEFAULT_BYTES)
    }
}

// === impl Stop ===

impl Stop {
    fn error(self) -> EvalError {
        match self {
            Self::Steps => EvalError::FuelExhausted,
            Self::Bytes => EvalError::AllocationExhausted,
            Self::Clock => EvalError::DeadlineExceeded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(rule: Duration, clock: fn() -> Instant) -> Deadline {
        Deadline {
            clock,
            rule,
            end: Instant::now() + Duration::from_hours(1),
        }
    }

    #[test]
    fn a_deadline_stops_what_has_steps_left() {
        let mut budget = Budget::default().with_deadline(deadline(Duration::ZERO, Instant::now));
        let spent = (0..DEFAULT_STEPS).take_while(|_| budget.step().is_ok()).count();
        assert_eq!(spent as u64, STEPS_PER_LOOK);
        assert!(budget.overran());
        assert_eq!(budget.step(), Err(EvalError::DeadlineExceeded));
        assert_eq!(budget.allocate(1), Err(EvalError::DeadlineExceeded));
        assert_eq!(budget.stopped(), Some(EvalError::DeadlineExceeded));
    }

    #[test]
    fn the_end_of_the_request_stops_a_rule_that_has_time_left() {
        let past = Deadline {
            end: Instant::now(),
            ..deadline(Duration::from_hours(1), Instant::now)
        };
        let mut budget = Budget::default().with_deadline(past);
        assert_eq!(budget.spend(STEPS_PER_LOOK + 1), Err(EvalError::DeadlineExceeded));
    }

    #[test]
    fn a_renewed_budget_has_its_steps_back_and_no_more_time() {
        thread_local! {
            static NOW: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
        }
        let begin = Instant::now();
        let clock = || NOW.get().unwrap_or_else(Instant::now);
        let limit = Duration::from_secs(1);
        let mut budget = Budget::default().with_deadline(deadline(limit, clock));
        NOW.set(Some(begin));
        assert_eq!(budget.spend(STEPS_PER_LOOK + 1), Ok(()), "the clock is looked at");
        NOW.set(Some(begin + limit / 2));
        let mut renewed = budget.renewed();
        assert_eq!(renewed.steps(), DEFAULT_STEPS);
        assert_eq!(renewed.spend(STEPS_PER_LOOK + 1), Ok(()));
        NOW.set(Some(begin + limit));
        let mut again = renewed.renewed();
        assert_eq!(again.spend(STEPS_PER_LOOK + 1), Err(EvalError::DeadlineExceeded));
        assert_eq!(Budget::new(1, 1).renewed().steps(), DEFAULT_STEPS);
    }

    #[test]
    fn what_ends_soon_never_looks_at_the_clock() {
        let never: fn() -> Instant = || unreachable!("the clock was looked at");
        let mut budget = Budget::default().with_deadline(deadline(Duration::ZERO, never));
        for _ in 0..STEPS_PER_LOOK {
            assert_eq!(budget.step(), Ok(()));
        }
        assert_eq!(budget.stopped(), None);
    }

    #[test]
    fn a_budget_that_is_used_up_stays_so() {
        let mut budget = Budget::new(10, 10);
        assert_eq!(budget.spend(11), Err(EvalError::FuelExhausted));
        assert_eq!(budget.allocate(1), Err(EvalError::FuelExhausted));
        assert_eq!(budget.stopped(), Some(EvalError::FuelExhausted));
        assert!(!budget.overran());

        let mut budget = Budget::new(10, 10);
        assert_eq!(budget.spend(10), Ok(()), "a budget may be spent whole");
        assert_eq!(budget.stopped(), None);
    }
}
