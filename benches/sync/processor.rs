//! Who was on a processor for how long, by /proc.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// The process and those that it has waited for.
pub(crate) fn time_of(process: &str) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    // utime, stime, cutime and cstime, in hundredths of a second on every Linux that we run on.
    let ticks = fields.split_whitespace().skip(11).take(4).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// All processes together that were started with a file of this folder, such as a control plane's; `but` is left out.
pub(crate) fn time_of_all_in(folder: &Path, but: u32) -> anyhow::Result<Duration> {
    let wanted = folder.display().to_string();
    let mut total = Duration::ZERO;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_other = name.parse::<u32>().is_ok_and(|id| id != but);
        let command = std::fs::read_to_string(format!("/proc/{name}/cmdline"));
        if is_other && command.is_ok_and(|command| command.contains(&wanted)) {
            // One that has ended meanwhile counts for nothing.
            total += time_of(&name).unwrap_or_default();
        }
    }
    Ok(total)
}
