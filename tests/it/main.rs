//! The integration tests: one module per room.

mod architecture;
mod documentation;
mod ledger;
mod real_input;
mod report;
mod report_cluster;
mod report_history;
mod report_real_input;
mod support;
mod sync;
mod webhook;
