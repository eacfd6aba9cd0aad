//! How long to wait before a failed sync is tried again.
//!
//! It is tried for ever. `syncPolicy.retry` says how long the waits are and, by `limit`, how many tries come at that
//! pace; after them every try waits the longest time. A new commit, a changed spec or a success starts anew.

use provost_manifest::duration::Duration;

/// The first wait where nothing is said: 5 seconds.
const FIRST_SECONDS: i64 = 5;
/// The longest wait where nothing is said: 3 minutes.
const LONGEST_SECONDS: i64 = 180;
/// The wait when the fast tries are used up, at least: 5 minutes.
const SLOW_SECONDS: i64 = 300;
/// What a wait is multiplied by where nothing is said.
const FACTOR: i64 = 2;
/// How many fast tries there are where nothing is said.
const LIMIT: u32 = 5;

/// `syncPolicy.retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many tries come fast; `None` for all of them (`limit: -1`).
    pub limit: Option<u32>,
    /// The first wait.
    pub first: Duration,
    /// What each further wait is multiplied by; 1 or more.
    pub factor: i64,
    /// The longest wait among the fast tries.
    pub longest: Duration,
    /// Whether a try looks for a newer commit first, as is always done here.
    pub refresh: bool,
}

/// The first wait where an Application has no `retry` at all: 1 second.
const FIRST_UNSAID_SECONDS: i64 = 1;
/// The longest wait where an Application has no `retry` at all: 5 minutes.
const LONGEST_UNSAID_SECONDS: i64 = 300;

/// How long to wait after that many failures in a row, where an Application has no `retry` at all.
pub fn unsaid_wait(failures: u32) -> Duration {
    let doubled = FIRST_UNSAID_SECONDS << failures.saturating_sub(1).min(10);
    seconds(doubled.min(LONGEST_UNSAID_SECONDS))
}

// === impl Retry ===

impl Retry {
    /// How long to wait after that many failures in a row.
    pub fn wait(&self, failures: u32) -> Duration {
        let longest = self.longest.max(self.first);
        if self.limit.is_some_and(|limit| failures > limit) {
            return longest.max(seconds(SLOW_SECONDS));
        }
        let mut wait = self.first;
        for _ in 1..failures {
            if wait >= longest || self.factor <= 1 {
                break;
            }
            wait = wait
                .nanos()
                .checked_mul(self.factor)
                .map_or(longest, Duration::from_nanos);
        }
        wait.min(longest)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            limit: Some(LIMIT),
            first: seconds(FIRST_SECONDS),
            factor: FACTOR,
            longest: seconds(LONGEST_SECONDS),
            refresh: false,
        }
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, 5)]
    #[case(1, 5)]
    #[case(2, 10)]
    #[case(5, 80)]
    // The fast tries are used up.
    #[case(6, 300)]
    #[case(u32::MAX, 300)]
    fn where_nothing_is_said(#[case] failures: u32, #[case] expected: i64) {
        assert_eq!(Retry::default().wait(failures), seconds(expected));
    }

    #[rstest]
    #[case(0, 1)]
    #[case(1, 1)]
    #[case(4, 8)]
    #[case(9, 256)]
    #[case(u32::MAX, 300)]
    fn without_any_retry_the_first_wait_is_short(#[case] failures: u32, #[case] expected: i64) {
        assert_eq!(unsaid_wait(failures), seconds(expected));
    }

    #[test]
    fn without_a_limit_the_longest_wait_is_the_cap() {
        let retry = Retry {
            limit: None,
            ..Retry::default()
        };
        assert_eq!(retry.wait(50), seconds(180));
    }

    proptest! {
        #[test]
        fn a_wait_never_gets_shorter_and_has_a_bound(
            first in 0_i64..1_000, factor in 1_i64..1_000_000, longest in 0_i64..10_000, limit in proptest::option::of(0_u32..20), failures in 0_u32..1_000,
        ) {
            let retry = Retry { limit, first: seconds(first), factor, longest: seconds(longest), refresh: false };
            prop_assert!(retry.wait(failures) <= retry.wait(failures + 1));
            prop_assert!(retry.wait(failures) <= seconds(10_000));
        }
    }
}
