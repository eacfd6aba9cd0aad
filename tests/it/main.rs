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
mod policies_admission;
mod policies_global;
mod policies_security;
mod policies_shipped;
mod policy;
mod real_input;
mod render;
mod render_cache;
mod render_helm;
mod render_jail;
mod render_kustomize;
mod render_sync;
mod report;
mod report_cluster;
mod report_history;
mod report_real_input;
mod suites;
mod support;
mod sync;
mod sync_drift;
mod sync_errors;
mod sync_faults;
mod sync_hooks;
mod sync_ignored;
mod sync_lease;
mod sync_operation;
mod sync_policy;
mod sync_waves;
mod webhook;
mod webhook_service;
