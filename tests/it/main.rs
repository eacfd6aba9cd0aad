//! The integration tests: one module per room.

mod architecture;
mod ledger;
mod support;
mod webhook;
