//! The integration tests: one module per room.

mod architecture;
mod ledger;
mod report;
mod report_cluster;
mod report_history;
mod report_real_input;
mod support;
mod webhook;
