//! A full disk under the agent: it says so, keeps up what is there, and goes on when there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::support::agent::LIMIT;
use crate::support::process::{Process, rounds};

/// The disk's size: a mirror and the rendered history fit, and little more.
const SIZE: &str = "size=6m";

/// The bound on a file in bytes: a log and a ledger fit, and a commit's large file does not.
const BOUND: &str = "100000";

/// A disk that can be filled.
enum Disk {
    /// A file system of its own in memory, which root may make.
    Own(PathBuf),
    /// A bound on the size of what the process writes, which anybody may set for theirs.
    Bound,
}

// === impl Disk ===

impl Disk {
    /// As for who is not root, where that can be tried.
    fn bound() -> Option<Self> {
        let is_there = Command::new("prlimit").arg("--version").output().is_ok();
        is_there.then_some(Self::Bound)
    }

    fn under(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(folder)
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        Ok(if is_mounted {
            Self::Own(folder.to_owned())
        } else {
            Self::Bound
        })
    }

    fn fill(&self, pid: u32) -> anyhow::Result<()> {
        match self {
            Self::Own(folder) => {
                // To the last byte: it ends with an error.
                let zeros = std::fs::write(folder.join("filler"), vec![0; 16 << 20]);
                anyhow::ensure!(zeros.is_err(), "the disk is larger than it should be");
                Ok(())
            }
            Self::Bound => bound(pid, BOUND),
        }
    }

    fn free(&self, pid: u32) -> anyhow::Result<()> {
        match self {
            Self::Own(folder) => Ok(std::fs::remove_file(folder.join("filler"))?),
            Self::Bound => bound(pid, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Own(folder) = self {
            // Even while the agent still has files on it.
            let _ = Command::new("umount").arg("--lazy").arg(folder).status();
        }
    }
}

fn bound(pid: u32, bytes: &str) -> anyhow::Result<()> {
    let status = Command::new("prlimit")
        .arg(format!("--fsize={bytes}:unlimited"))
        .args(["--pid", &pid.to_string()])
        .status()
        .context("running prlimit")?;
    anyhow::ensure!(status.success(), "prlimit failed");
    Ok(())
}

/// A ConfigMap that takes room: text that hardly gets smaller when it is packed.
fn large(value: &str) -> String {
    let mut text = String::new();
    let mut random = crate::support::random::Random::of_seed(1);
    while text.len() < 300_000 {
        text.push_str(&random.below(usize::MAX).to_string());
    }
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: large}}, data: {{A: '{value}', text: '{text}{value}'}}}}\n"
    )
}

async fn fill_the_disk(times: usize, disk: impl FnOnce(&Path) -> anyhow::Result<Disk>) -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Process::make_ready(cluster, "full").await?;
    let disk = disk(&agent.folder.path().join("state"))?;
    agent.run().await?;
    agent.project().await?;
    agent.stranger().await?;
    let first = agent.commit(&[("app/large.yaml".to_owned(), &large("first"))])?;
    agent.application("my-app", "app").await?;
    agent.wait_synced("my-app", &first).await?;
    let before = agent.parts().await?;
    for time in 0..times {
        let pid = agent.pid()?;
        disk.fill(pid)?;
        let value = format!("{time}");
        let more = large(&format!("more {time}"));
        let commit = agent.commit(&[
            ("app/large.yaml".to_owned(), &large(&value)),
            ("app/README.md".to_owned(), &more),
        ])?;
        agent
            .wait_status("my-app", "what is full", LIMIT, |status| {
                let conditions = status["conditions"].to_string();
                conditions.contains("No space left on device") || conditions.contains("File too large")
            })
            .await?;
        let now = agent.parts().await?;
        assert_eq!(
            now.keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>(),
            "time {time}"
        );
        assert_ne!(now["large"].1, value, "it was never read, time {time}");
        assert_eq!(agent.pid()?, pid);
        assert!(agent.is_running()?, "the agent ended: {}", agent.log());
        disk.free(pid)?;
        agent.wait_synced("my-app", &commit).await?;
        let after = agent.parts().await?;
        assert_eq!(after["large"].1, value, "time {time}");
        for (name, (uid, _)) in &before {
            assert_eq!(&after[name].0, uid, "time {time}: {name} was made anew");
        }
    }
    let stopped = agent.stop().await;
    drop(disk);
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_nothing_is_lost_by_it() -> anyhow::Result<()> {
    fill_the_disk(1, Disk::under).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_may_not_grow_are_an_error_and_no_end() -> anyhow::Result<()> {
    if Disk::bound().is_none() {
        harness::progress::note("SKIPPED: there is no prlimit to bound the agent's files with");
        return Ok(());
    }
    fill_the_disk(1, |_| Ok(Disk::Bound)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: make soak runs it"]
async fn soak_a_full_disk_is_said_and_nothing_is_lost_by_it() -> anyhow::Result<()> {
    fill_the_disk(rounds(), Disk::under).await
}
