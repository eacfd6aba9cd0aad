//! What the benchmarks share: reviews, load, the server to compare with, and figures.

pub(crate) mod always_yes;
pub(crate) mod figures;
#[path = "../../tests/it/support/https.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
pub(crate) mod https;
pub(crate) mod judge;
pub(crate) mod load;
pub(crate) mod reviews;
pub(crate) mod turns;
