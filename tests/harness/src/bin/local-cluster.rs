//! Brings up a local control plane by hand: builds its programs the first time, starts it, says how to use it, and
//! holds it until Ctrl-C.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use harness::binaries::Binaries;
use harness::progress::Progress;
use harness::{Cluster, User, gitea};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: local-cluster [--build-only]";

fn main() -> ExitCode {
    harness::run(run())
}

async fn run() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => hold().await,
        ["--build-only"] => {
            let binaries = tokio::task::spawn_blocking(|| Binaries::build(&Progress::shown())).await??;
            writeln!(
                stdout(),
                "The local control plane's programs are in {}",
                binaries.folder().display()
            )?;
            let forge = tokio::task::spawn_blocking(|| gitea::Program::build(&Progress::shown())).await??;
            writeln!(stdout(), "Gitea is in {}", forge.folder().display())?;
            Ok(())
        }
        _ => bail!(USAGE),
    }
}

async fn hold() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let cluster = tokio::select! {
        cluster = Cluster::own() => cluster?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
        _ = terminated.recv() => return Ok(()),
    };
    writeln!(stdout(), "{}", instructions(&cluster)?)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    drop(cluster);
    writeln!(stdout(), "Stopped; nothing is left of it.")?;
    Ok(())
}

fn instructions(cluster: &Cluster) -> anyhow::Result<String> {
    let kubeconfig = |user| cluster.kubeconfig(user).display().to_string();
    Ok(format!(
        "A control plane serves at {url}\n\n\
         As administrator:   export KUBECONFIG={admin}\n\
         As the developer:   export KUBECONFIG={developer}\n\
         As Provost's agent: export KUBECONFIG={agent}\n\
         Programs:           export PATH={programs}:$PATH\n\
         Audit log:          {audit}\n\n\
         It ends with this program (Ctrl-C), and nothing of it stays.",
        url = cluster.server_url(),
        admin = kubeconfig(User::Admin),
        developer = kubeconfig(User::Developer),
        agent = kubeconfig(User::Agent),
        programs = cluster.binaries().folder().display(),
        audit = cluster.audit_log()?.display(),
    ))
}
