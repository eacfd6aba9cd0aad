//! A real control plane on loopback, and what tests, demo and benchmarks need around it.
//!
//! ```no_run
//! # use harness::User;
//! #[tokio::test]
//! async fn a_config_map_can_be_made() -> anyhow::Result<()> {
//!     let cluster = harness::cluster_or_skip!(); // shared; harness::cluster_or_skip!(own) for a fresh one
//!     let namespace = cluster.namespace("config").await?;
//!     cluster.kubectl(User::Developer, &["-n", &namespace, "create", "configmap", "a"], "").await?.success()?;
//!     Ok(())
//! }
//! ```
//!
//! The programs are built once from deploy/local (see [`binaries`]); without Go the cluster tests say that they are
//! skipped, or fail where `PROVOST_TEST_REQUIRE_CLUSTER=1`. An ambient KUBECONFIG is never used; another cluster
//! serves only where `PROVOST_TEST_KUBECONFIG` names a file and `PROVOST_TEST_DESTRUCTIVE` repeats its context.

use std::process::ExitCode;

pub mod balancer;
pub mod binaries;
mod cluster;
mod control_plane;
pub mod folder;
pub mod git;
pub mod git_https;
pub mod git_ssh;
pub mod gitea;
pub mod guard;
mod identity;
pub mod port;
pub mod progress;
pub mod provost;
pub mod replicas;
pub mod settings;
mod setup;
mod wait;
pub mod writers;

pub use cluster::{Cluster, Output};
pub use folder::Folder;
pub use identity::{User, WEBHOOK_CLIENT};
pub use provost::Provost;
pub use wait::{wait_for, wait_until};

/// Why the cluster tests cannot run here; `None` where they can.
pub fn skip_reason() -> Option<String> {
    match settings::foreign_cluster() {
        Ok(Some(_)) => None,
        Ok(None) => binaries::missing(),
        Err(refusal) => Some(format!("{refusal:#}")),
    }
}

/// Says loudly that `test` is skipped, or fails where the cluster tests are required. Called by [`cluster_or_skip!`].
#[doc(hidden)]
pub fn skip(test: &str, reason: &str) {
    assert!(
        !settings::cluster_required(),
        "cluster tests are required here, but: {reason}"
    );
    progress::note(&format!("SKIPPED: {test}: no cluster: {reason}"));
}

/// Says loudly that `test` is skipped, or fails where the cluster tests are required. Called by [`gitea_or_skip!`].
#[doc(hidden)]
pub fn skip_gitea(test: &str, reason: &str) {
    assert!(
        !settings::cluster_required(),
        "the tests with a forge are required here, but: {reason}"
    );
    progress::note(&format!("SKIPPED: {test}: no forge: {reason}"));
}

/// Runs a program of the harness. An error is printed as one line, its causes after it; a build that goes on in the
/// background is not waited for (it ends with the process).
pub fn run(program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| {
            let outcome = runtime.block_on(program);
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What a skipped test returns.
#[doc(hidden)]
pub trait Skipped {
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// The shared cluster, or with `own` a fresh one; without one the test says loudly that it is skipped and returns.
#[macro_export]
macro_rules! cluster_or_skip {
    () => {
        $crate::cluster_or_skip!(shared)
    };
    ($which:ident) => {{
        if let Some(reason) = $crate::skip_reason() {
            $crate::skip(module_path!(), &reason);
            return $crate::Skipped::skipped();
        }
        $crate::Cluster::$which()
            .await
            .expect("a control plane for the test")
    }};
}

/// A fresh Gitea server; where it neither is there nor can be built the test says loudly that it is skipped and
/// returns.
#[macro_export]
macro_rules! gitea_or_skip {
    () => {{
        if let Some(reason) = $crate::gitea::missing() {
            $crate::skip_gitea(module_path!(), &reason);
            return $crate::Skipped::skipped();
        }
        $crate::gitea::Gitea::start().await.expect("a forge for the test")
    }};
}
