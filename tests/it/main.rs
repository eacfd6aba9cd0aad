//! The integration tests: one module per room.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on ends the test"
)]

mod app_commands;
mod app_health;
mod app_project;
mod architecture;
mod check;
mod check_cluster;
mod check_forms;
mod check_input;
mod ci;
mod diff;
mod documentation;
mod git_https;
mod git_signatures;
mod git_ssh;
mod git_sync;
mod help;
mod install;
mod install_clients;
mod ledger;
mod ledger_read;
mod ledger_recorder;
mod ledger_tamper;
mod policies;
mod policies_admission;
mod policies_global;
mod policies_security;
mod policies_shipped;
mod policy;
mod real_input;
mod record_hour;
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
mod rollback;
mod suites;
mod support;
mod sync;
mod sync_drift;
mod sync_edits;
mod sync_errors;
mod sync_faults;
mod sync_faults_room;
mod sync_faults_sources;
mod sync_hooks;
mod sync_ignored;
mod sync_lease;
mod sync_modes;
mod sync_operation;
mod sync_policy;
mod sync_project;
mod sync_secrets;
mod sync_waves;
mod webhook;
mod webhook_classes;
mod webhook_deadline;
mod webhook_in_force;
mod webhook_rotation;
mod webhook_service;
