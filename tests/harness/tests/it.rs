//! The harness against itself: what is started works, and nothing of it stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::guard::{Grace, Guarded};
use harness::{Folder, User, cluster_or_skip, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn workloads_become_ready_on_the_fake_node() -> anyhow::Result<()> {
    let cluster = cluster_or_skip!();
    let namespace = cluster.namespace("workloads").await?;
    let kubectl = async |args: &[&str]| {
        cluster
            .kubectl(User::Developer, &[&["-n", &namespace], args].concat(), "")
            .await
    };
    kubectl(&["create", "deployment", "web", "--image=nginx", "--replicas=3"])
        .await?
        .success()?;
    kubectl(&["create", "job", "once", "--image=busybox"])
        .await?
        .success()?;
    kubectl(&[
        "wait",
        "deployment/web",
        "--for=condition=Available",
        "--timeout=30s",
    ])
    .await?
    .success()?;
    kubectl(&["wait", "job/once", "--for=condition=Complete", "--timeout=30s"])
        .await?
        .success()?;
    let daemon = r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": {"metadata": {"labels": {"app": "agent"}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}}}"#;
    cluster
        .kubectl(User::Developer, &["-n", &namespace, "apply", "-f", "-"], daemon)
        .await?
        .success()?;
    kubectl(&["rollout", "status", "daemonset/agent", "--timeout=30s"])
        .await?
        .success()?;
    Ok(())
}

#[tokio::test]
async fn each_user_is_somebody_to_the_apiserver_and_to_its_audit_log() -> anyhow::Result<()> {
    let cluster = cluster_or_skip!();
    for (user, name) in [
        (User::Admin, "admin"),
        (User::Developer, "dana"),
        (User::Agent, "provost-agent"),
    ] {
        let answer = cluster
            .kubectl(
                user,
                &["auth", "whoami", "-o=jsonpath={.status.userInfo.username}"],
                "",
            )
            .await?;
        assert_eq!(answer.success()?, name);
    }
    let refused = cluster
        .kubectl(User::Developer, &["delete", "node", "node-1"], "")
        .await?;
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .stderr
            .contains("User \"dana\" cannot delete resource \"nodes\""),
        "{}",
        refused.stderr
    );
    let log = cluster.audit_log()?;
    wait_until("the audit log names who was refused", SOON, async || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .any(|line| line.contains(r#""verb":"delete""#) && line.contains(r#""username":"dana""#))
    })
    .await
}

#[tokio::test]
async fn the_apiserver_of_an_own_cluster_can_go_and_come_back() -> anyhow::Result<()> {
    let cluster = cluster_or_skip!(own);
    let namespace = cluster.namespace("before").await?;
    cluster.stop_apiserver().await?;
    let gone = cluster
        .kubectl(User::Admin, &["get", "namespace", &namespace], "")
        .await?;
    assert!(gone.stderr.contains("refused"), "{}", gone.stderr);
    cluster.start_apiserver().await?;
    cluster
        .kubectl(User::Admin, &["get", "namespace", &namespace], "")
        .await?
        .success()?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_a_control_plane_whose_parent_was_killed() -> anyhow::Result<()> {
    let Some(mut local) = LocalCluster::start().await? else {
        return Ok(());
    };
    let data = local.data.clone();
    assert!(processes_with(&data).len() >= 5, "the five programs run");
    local.process.signal("KILL")?;
    assert_eq!(local.process.stop()?, 128 + 9);
    wait_until("every process has ended", SOON, async || {
        processes_with(&data).is_empty()
    })
    .await?;
    wait_until("the data folder is removed", SOON, async || !data.exists()).await
}

#[tokio::test]
async fn local_cluster_ends_with_ctrl_c_and_leaves_nothing() -> anyhow::Result<()> {
    let Some(mut local) = LocalCluster::start().await? else {
        return Ok(());
    };
    local.process.signal("INT")?;
    wait_until("it has ended", SOON, async || {
        matches!(local.process.ended(), Ok(Some(0)))
    })
    .await?;
    assert_eq!(processes_with(&local.data), Vec::<String>::new());
    assert!(!local.data.exists());
    Ok(())
}

#[tokio::test]
async fn a_guarded_process_tells_its_exit_code() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let mut process = Guarded::start(
        "exit",
        Command::new("sh").args(["-c", "exit 7"]),
        Grace::None,
        &folder,
    )?;
    wait_until("it has ended", SOON, async || {
        matches!(process.ended(), Ok(Some(7)))
    })
    .await?;
    assert!(
        process
            .check()
            .unwrap_err()
            .to_string()
            .contains("exit ended with code 7")
    );
    Ok(())
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_when_its_grace_has_passed() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let grace = Grace::Term(Duration::from_millis(300));
    let mut process = Guarded::start(
        "stubborn",
        Command::new("sh").args(["-c", script]),
        grace,
        &folder,
    )?;
    wait_until("it is ready", SOON, async || process.log_tail() == "ready\n").await?;
    assert_eq!(process.stop()?, 128 + 9);
    Ok(())
}

#[tokio::test]
async fn a_process_that_heeds_sigterm_ends_by_itself() -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut process = Guarded::start(
        "willing",
        Command::new("sh").args(["-c", script]),
        Grace::Term(SOON),
        &folder,
    )?;
    wait_until("it is ready", SOON, async || process.log_tail() == "ready\n").await?;
    assert_eq!(process.stop()?, 3);
    Ok(())
}

/// `local-cluster` as a user starts it.
struct LocalCluster {
    process: Guarded,
    /// The control plane's data folder.
    data: PathBuf,
    _folder: Folder,
}

// === impl LocalCluster ===

impl LocalCluster {
    async fn start() -> anyhow::Result<Option<Self>> {
        if let Some(reason) = harness::skip_reason() {
            harness::skip(module_path!(), &reason);
            return Ok(None);
        }
        let folder = Folder::new()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-cluster"));
        command
            .env_remove("PROVOST_TEST_KUBECONFIG")
            .env_remove("PROVOST_TEST_DESTRUCTIVE");
        let process = Guarded::start("local-cluster", &command, Grace::Term(SOON), &folder)?;
        let data = wait_for(
            "local-cluster says how to use it",
            Duration::from_mins(2),
            async || {
                let text = process.log_tail();
                let line = text
                    .lines()
                    .find_map(|line| line.split_once("export KUBECONFIG="));
                let kubeconfig = line.map(|(_, path)| PathBuf::from(path));
                kubeconfig
                    .and_then(|path| path.parent().map(PathBuf::from))
                    .ok_or(text)
            },
        )
        .await?;
        Ok(Some(Self {
            process,
            data,
            _folder: folder,
        }))
    }
}

/// Command lines of the running processes that name `folder`.
fn processes_with(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let command_line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries
        .filter_map(command_line)
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder)).collect()
}
