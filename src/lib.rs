//! Provost keeps order in a Kubernetes cluster and keeps the record: an admission webhook, a sync agent and an
//! evidence reporter in one binary. ARCHITECTURE.md draws the rooms and the arrows between them.

// floor 1: adapters
pub mod api;
pub mod cluster;
pub mod config;
pub mod forge;
pub mod git;
pub mod ledger;
pub mod render;
pub mod server;
pub mod telemetry;
// floor 2: shared
pub mod policies;
// floor 3: features
pub mod applications;
pub mod install;
pub mod recorder;
pub mod report;
pub mod sync;
pub mod webhook;
// floor 4: composition
pub mod cli;
pub mod serve;
