//! Ledgers with times of the test's choosing.

use std::fs;
use std::path::Path;

use provost_evidence::chain::Chain;
use provost_evidence::event::Event;

/// Writes a chain into the ledger `directory`: each record a time and what happened then. Its name says when it booted,
/// as those of real chains do.
pub(crate) fn write_chain(directory: &Path, name: &str, records: Vec<(&str, Event)>) -> String {
    fs::create_dir_all(directory).unwrap();
    let digits: String = records[0].0.replace(['-', ':'], "");
    let boot = format!("{digits}-{name}");
    let mut chain = Chain::new(boot.as_str());
    let lines: String = records
        .into_iter()
        .map(|(time, event)| chain.seal(time.parse().unwrap(), event).unwrap())
        .collect();
    fs::write(directory.join(format!("{boot}.jsonl")), lines).unwrap();
    boot
}
