//! The integration tests: one module per room.

mod ledger;
mod support;
mod webhook;
