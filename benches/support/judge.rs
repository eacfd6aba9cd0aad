//! A `provost serve --standalone` under measurement.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use harness::{Folder, Provost};

use super::load::Load;

const SOON: Duration = Duration::from_secs(20);

/// The running webhook.
pub(crate) struct Judge {
    pub(crate) provost: Provost,
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    /// Holds certificates and the ledger.
    pub(crate) folder: Folder,
}

// === impl Judge ===

impl Judge {
    /// Starts it with the policies of a folder, its ledger on.
    pub(crate) async fn start(policies: &Path) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let ledger = ledger_of(&folder);
        Self::start_in(folder, policies, &ledger).await
    }

    /// The same without a ledger.
    #[allow(dead_code, reason = "one benchmark compares with it")]
    pub(crate) async fn start_without_ledger(policies: &Path) -> anyhow::Result<Self> {
        Self::start_in(Folder::new()?, policies, "none").await
    }

    async fn start_in(folder: Folder, policies: &Path, ledger: &str) -> anyhow::Result<Self> {
        let certs = folder.path().join("certs");
        let policies = policies.display().to_string();
        let args = [
            "serve",
            "--standalone",
            "--listen",
            "127.0.0.1:0",
            "--policies",
            &policies,
        ];
        let kept = ["--certs", &certs.display().to_string(), "--ledger", ledger];
        let mut provost = Provost::start(&[&args[..], &kept[..]].concat(), &[])?;
        let line = provost.wait_for_line("  listens on  ", SOON).await?;
        provost.wait_for_line("Ready.", SOON).await?;
        Ok(Self {
            provost,
            address: line.rsplit(' ').next().unwrap_or_default().parse()?,
            authority: fs::read_to_string(certs.join("ca.crt"))?,
            folder,
        })
    }

    pub(crate) async fn load(&self) -> anyhow::Result<Load> {
        Load::connect(self.provost.pid(), self.address, &self.authority).await
    }

    /// Whether its ledger is whole once it has stopped in good order.
    pub(crate) async fn stop_and_verify(self) -> anyhow::Result<bool> {
        anyhow::ensure!(self.provost.stop().await? == 0, "provost did not stop cleanly");
        let verified = harness::provost::provost(self.folder.path(), &["verify", &ledger_of(&self.folder)])?;
        Ok(verified.code == 0)
    }
}

fn ledger_of(folder: &Folder) -> String {
    folder.path().join("ledger").display().to_string()
}
