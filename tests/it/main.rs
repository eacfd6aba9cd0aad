//! The integration tests: one module per room.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on ends the test"
)]

mod app_health;
mod app_project;
mod architecture;
mod check;
mod documentation;
mod help;
mod install;
mod ledger;
mod policies;
mod policies_shipped;
mod policy;
mod real_input;
mod render;
mod report;
mod report_cluster;
mod report_history;
mod report_real_input;
mod suites;
mod support;
mod sync;
mod sync_drift;
mod sync_errors;
mod webhook;
mod webhook_service;
