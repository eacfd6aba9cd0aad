//! `provost ledger export`: each record to a file or a SIEM, and how far that went.
//!
//! The position is written after the records: what was handed on between the two when the process ended comes twice, and
//! nothing is left out. `boot` and `seq` in each line tell a receiver what it has already.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::POLL_INTERVAL;
use crate::ledger::http::Endpoint;
use crate::ledger::read::{Entry, Filter, Position, read};

/// Records and bytes that are posted at once, at most; one record may be longer.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 1024 * 1024;
/// How long it waits after a failure; twice as long after each one that follows.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);
/// Without -f it gives up after so many failures in a row.
const ATTEMPTS: u32 = 5;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file, or the URL of a SIEM that takes JSON lines by POST
    #[arg(long, value_name = "FILE|URL")]
    into: String,
    /// File with a token that is shown to the SIEM (Authorization: Bearer)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The file that says how far it went; needed with a URL [default: FILE with .position at the end]
    #[arg(long, value_name = "FILE")]
    position: Option<PathBuf>,
    /// Go on until interrupted
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    filter: super::FilterArgs,
    /// The ledger's directory
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,
}

/// Where records go.
enum Sink {
    File(PathBuf),
    Siem(Endpoint),
}

/// Records that are handed on together.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    records: usize,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let sink = sink(&args)?;
    let position_file = match (args.position, &sink) {
        (Some(file), _) => file,
        (None, Sink::File(file)) => {
            let mut name = file.clone().into_os_string();
            name.push(".position");
            name.into()
        }
        (None, Sink::Siem(endpoint)) => {
            anyhow::bail!("where it ended has to be kept: give --position FILE for the export to {endpoint}")
        }
    };
    let filter = args.filter.into_filter()?;
    let patience = (!args.follow).then_some(ATTEMPTS);
    loop {
        export(&args.ledger, &filter, &sink, &position_file, patience)?;
        if !args.follow {
            return Ok(());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn sink(args: &Args) -> anyhow::Result<Sink> {
    if !args.into.contains("://") {
        anyhow::ensure!(
            args.token_file.is_none(),
            "--token-file is for a URL; --into names a file"
        );
        return Ok(Sink::File(args.into.clone().into()));
    }
    // The text of the URL stays out of every message.
    let endpoint: Endpoint = args
        .into
        .parse()
        .map_err(|error| anyhow::anyhow!("--into is no URL: {error}"))?;
    let Some(file) = &args.token_file else {
        return Ok(Sink::Siem(endpoint));
    };
    let token = fs::read_to_string(file).with_context(|| format!("could not read the token in {file:?}"))?;
    let endpoint = endpoint.with_token(&token);
    endpoint
        .map(Sink::Siem)
        .with_context(|| format!("the token in {file:?} holds what no HTTP header can"))
}

fn export(
    ledger: &Path,
    filter: &Filter,
    sink: &Sink,
    position_file: &Path,
    patience: Option<u32>,
) -> anyhow::Result<()> {
    let mut position = load(position_file)?;
    let before = position.clone();
    // As far as what was handed on goes.
    let mut done = position.clone();
    let mut batch = Batch::default();
    read::<anyhow::Error>(ledger, filter, &mut position, |entry| {
        if batch.is_full() {
            sink.hand_on(&batch, patience)?;
            save(position_file, &done)?;
            batch = Batch::default();
        }
        batch.add(entry);
        done.pass(entry);
        Ok(())
    })
    .with_context(|| super::unread(ledger))?;
    if batch.records > 0 {
        sink.hand_on(&batch, patience)?;
    }
    if position != before {
        save(position_file, &position)?;
    }
    Ok(())
}

fn load(file: &Path) -> anyhow::Result<Position> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} does not say how far the export went", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Position::default()),
        Err(error) => Err(error).with_context(|| format!("could not read {}", file.display())),
    }
}

/// Whole or not at all.
fn save(file: &Path, position: &Position) -> anyhow::Result<()> {
    let write = || {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut new = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        serde_json::to_writer(&mut new, position)?;
        new.as_file().sync_all()?;
        new.persist(file).map(|_| ()).map_err(|error| error.error)
    };
    write().with_context(|| format!("could not write {}", file.display()))
}

// === impl Batch ===

impl Batch {
    fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS || self.lines.len() >= BATCH_BYTES
    }

    fn add(&mut self, entry: &Entry) {
        self.lines.extend_from_slice(entry.text.as_bytes());
        self.lines.push(b'\n');
        self.records += 1;
    }
}

// === impl Sink ===

impl Sink {
    /// Returns once the other side has it; after `patience` failures in a row, where there is an end to it.
    fn hand_on(&self, batch: &Batch, patience: Option<u32>) -> anyhow::Result<()> {
        let endpoint = match self {
            Self::File(path) => {
                return append(path, &batch.lines)
                    .with_context(|| format!("could not write {}", path.display()));
            }
            Self::Siem(endpoint) => endpoint,
        };
        let mut delay = FIRST_RETRY;
        let mut failures = 0;
        loop {
            let Err(error) = endpoint.post("application/x-ndjson", batch.lines.clone()) else {
                return Ok(());
            };
            failures += 1;
            if patience.is_some_and(|patience| failures >= patience) {
                return Err(error)
                    .context("the export did not go on; the next one goes on where this one ended");
            }
            anstream::eprintln!("warning: {error}; it is tried again in {} s.", delay.as_secs());
            thread::sleep(delay);
            delay = (delay * 2).min(LAST_RETRY);
        }
    }
}

fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(lines)?;
    file.sync_data()
}
