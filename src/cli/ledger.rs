//! `provost ledger`.

mod changes;

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use provost_manifest::escape;

use crate::ledger::read::{Entry, Filter, Position, Summary, read};

const EXAMPLES: &str = "\
Examples:
  Who was refused what, since a day
    provost ledger show --verdict denied --from 2026-11-24 ledger

  What happens to an object, as it happens
    provost ledger tail -f --object \"Deployment shop/my-app\" ledger

  Hand each record on once, as JSON lines
    provost ledger export --into /var/log/provost.jsonl ledger";

const TAIL_EXAMPLES: &str = "\
Examples:
  provost ledger tail -n 50 ledger                  the last records
  provost ledger tail -f --verdict denied ledger    what is refused, as it happens";

const SHOW_EXAMPLES: &str = "\
Examples:
  provost ledger show --object shop/my-app ledger                     all that is known of an object
  provost ledger show --from 2026-11-24 --to 2026-11-25 ledger        a day
  provost ledger show --kind policy_change -o json ledger | jq .event  for a program";

const EXPORT_EXAMPLES: &str = "\
Examples:
  provost ledger export --into provost.jsonl ledger                  what is new since the last run
  provost ledger export --into /var/log/provost.jsonl -f ledger      until it is interrupted";

/// How often a ledger that is followed is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Read a ledger: what was recorded, by object, user, time and verdict
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the last records, and with -f those that follow
    #[command(after_help = TAIL_EXAMPLES)]
    Tail {
        /// How many of the last records
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16))]
        lines: u16,
        /// Go on until interrupted
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        what: What,
    },
    /// Print all records
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        what: What,
    },
    Changes(changes::Args),
    /// Append each record to a file once, as JSON lines; the next run goes on where this one ends
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// The file
        #[arg(long, value_name = "FILE")]
        into: PathBuf,
        /// The file that says how far it went [default: FILE with .position at the end]
        #[arg(long, value_name = "FILE")]
        position: Option<PathBuf>,
        /// Go on until interrupted
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        filter: FilterArgs,
        /// The ledger's directory
        #[arg(value_name = "LEDGER")]
        ledger: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct What {
    #[command(flatten)]
    filter: FilterArgs,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// The ledger's directory
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only of this object: "Deployment shop/my-app", shop/my-app or my-app
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// Only what this user asked for
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only from this time on (UTC), such as 2026-11-24 or 2026-11-24T11:14
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this time (UTC)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only what went this way: allowed, denied, warned, exempt; succeeded, failed; "put back", reported
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<String>,
    /// Only records of this kind: admission, policy_change, sync, drift, policies, heartbeat, gap, …
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    /// One record a line, as it was sealed
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Tail { lines, follow, what } => tail(usize::from(lines), follow, what)?,
        Command::Show { what } => {
            let (filter, output) = (what.filter.into_filter(), what.output);
            let mut position = Position::default();
            read(&what.ledger, &filter, &mut position, |entry| print(entry, output))
                .with_context(|| unread(&what.ledger))?;
        }
        Command::Changes(args) => changes::run(args)?,
        Command::Export {
            into: to,
            position,
            follow,
            filter,
            ledger,
        } => {
            let position = position.unwrap_or_else(|| {
                let mut name = to.clone().into_os_string();
                name.push(".position");
                name.into()
            });
            let filter = filter.into_filter();
            loop {
                export(&ledger, &filter, &to, &position)?;
                if !follow {
                    break;
                }
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unread(ledger: &Path) -> String {
    format!("could not read the ledger {}", ledger.display())
}

fn tail(lines: usize, follow: bool, what: What) -> anyhow::Result<()> {
    let (filter, output, ledger) = (what.filter.into_filter(), what.output, what.ledger);
    let mut position = Position::default();
    let mut last = VecDeque::with_capacity(lines);
    read(&ledger, &filter, &mut position, |entry| {
        last.push_back(entry.clone());
        if last.len() > lines {
            last.pop_front();
        }
        Ok::<_, io::Error>(())
    })
    .with_context(|| unread(&ledger))?;
    last.iter().try_for_each(|entry| print(entry, output))?;
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(POLL_INTERVAL);
        read(&ledger, &filter, &mut position, |entry| print(entry, output))
            .with_context(|| unread(&ledger))?;
    }
}

/// The position is written after the records: what was written between the two when the process ended comes twice, and
/// nothing is left out.
fn export(ledger: &Path, filter: &Filter, to: &Path, position_file: &Path) -> anyhow::Result<()> {
    let mut position = match fs::read_to_string(position_file) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} does not say how far the export went", position_file.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Position::default(),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", position_file.display()));
        }
    };
    let before = position.clone();
    let failed = || format!("could not write {}", to.display());
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(to)
        .with_context(failed)?;
    let mut file = io::BufWriter::new(file);
    let outcome = read(ledger, filter, &mut position, |entry| {
        writeln!(file, "{}", entry.text)
    });
    outcome.with_context(failed)?;
    let file = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .with_context(failed)?;
    if position != before {
        file.sync_data().with_context(failed)?;
        let folder = position_file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut new = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        serde_json::to_writer(&mut new, &position)?;
        new.as_file().sync_all()?;
        new.persist(position_file)
            .with_context(|| format!("could not write {}", position_file.display()))?;
    }
    Ok(())
}

fn print(entry: &Entry, output: Output) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", entry.text),
        Output::Text => writeln!(out, "{}", line(entry)),
    }
}

/// Time, kind, verdict, object, user, and the rest; what stands there may be anybody's text.
fn line(entry: &Entry) -> String {
    let Summary {
        verdict,
        object,
        user,
        detail,
    } = entry.summary();
    let dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            escape::line(text).into_owned()
        }
    };
    format!(
        "{:24}  {:13}  {:9}  {:32}  {:24}  {}",
        escape::line(&entry.time),
        escape::line(&entry.kind),
        dash(&verdict),
        dash(&object),
        dash(&user),
        escape::line(&detail)
    )
    .trim_end()
    .to_owned()
}

// === impl FilterArgs ===

impl FilterArgs {
    fn into_filter(self) -> Filter {
        let Self {
            object,
            user,
            from,
            to,
            verdict,
            kind,
        } = self;
        Filter {
            object,
            user,
            from,
            to,
            verdict,
            kind,
        }
    }
}
