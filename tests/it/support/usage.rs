//! What a process that runs has used, as the kernel tells it.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};

/// How long its threads ran, all together.
pub(crate) fn time_of(process: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    // utime and stime, in hundredths of a second on every Linux that we run on.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// The most memory that it has held, in bytes, since [`forget_most_bytes`].
pub(crate) fn most_bytes(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let most = field(&status, "VmHWM:").context("no VmHWM in /proc/PID/status")?;
    let kibibytes: u64 = most.trim_end_matches(" kB").parse()?;
    ensure!(kibibytes > 0, "{process} holds nothing: {status}");
    Ok(kibibytes * 1024)
}

/// Has the kernel count the most from what the process holds now.
pub(crate) fn forget_most_bytes(process: u32) -> anyhow::Result<()> {
    Ok(fs::write(format!("/proc/{process}/clear_refs"), "5")?)
}

/// A field of /proc/PID/status.
pub(crate) fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name).map(str::trim))
}
