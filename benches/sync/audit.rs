//! What the apiserver says that the agent asked of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// Requests, counted by verb and resource; the lease's and watches left out.
#[derive(Debug, Default)]
pub(crate) struct Requests(BTreeMap<String, u64>);

// === impl Requests ===

impl Requests {
    /// Those of `user` in the audit log beyond its first `skipped` bytes.
    pub(crate) fn read(log: &Path, user: &str, skipped: u64) -> anyhow::Result<Self> {
        let text = std::fs::read(log).context("reading the audit log")?;
        let text = text.get(usize::try_from(skipped)?..).unwrap_or_default();
        let mut requests = Self::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // The last line may be half written.
            let Ok(event) = serde_json::from_slice::<Value>(line) else {
                continue;
            };
            let resource = event["objectRef"]["resource"].as_str().unwrap_or("discovery");
            let verb = event["verb"].as_str().unwrap_or_default();
            if event["user"]["username"] != user || resource == "leases" || verb == "watch" {
                continue;
            }
            let is_dry = event["requestURI"]
                .as_str()
                .is_some_and(|uri| uri.contains("dryRun"));
            let dry = if is_dry { "dry-run " } else { "" };
            let what = match resource {
                "applications" | "inventories" => format!("{verb} {resource}"),
                _ => format!("{dry}{verb} objects"),
            };
            *requests.0.entry(what).or_default() += 1;
        }
        Ok(requests)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn by_kind(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, count)| (what.as_str(), *count))
    }
}
