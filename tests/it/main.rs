//! The integration tests: one module per room.

mod architecture;
mod ledger;
