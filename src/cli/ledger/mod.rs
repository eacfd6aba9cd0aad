//! `provost ledger`.

mod changes;
mod export;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use provost_evidence::count::counted;
use provost_manifest::escape;

use crate::config;
use crate::ledger::identities::{self, Identities};
use crate::ledger::read::{Entry, Filter, Position, Summary, read};
use crate::ledger::{DIGEST_KEY_FILE, IDENTITIES_FILE, digest_key};

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
  provost ledger export --into /var/log/provost.jsonl -f ledger      until it is interrupted
  provost ledger export --into https://siem.example.com/ingest --token-file token --position siem.position -f ledger";

const FORGET_EXAMPLES: &str = "\
Examples:
  provost ledger forget alice                                 in the map below the state directory
  provost ledger forget alice --identities identities.jsonl   in another one";

const ROTATE_EXAMPLES: &str = "\
Examples:
  provost ledger rotate-key                            the key below the state directory
  provost ledger rotate-key --digest-key digest.key    another one";

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
    /// Hand each record on to a file or a SIEM, as JSON lines; the next run goes on where this one ends
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(export::Args),
    /// Erase a user's name from the identity map; the records, which hold a pseudonym, stay whole
    #[command(after_help = FORGET_EXAMPLES)]
    Forget {
        /// The name
        #[arg(value_name = "USER")]
        user: String,
        /// The identity map [default: below the state directory]
        #[arg(long, value_name = "FILE")]
        identities: Option<PathBuf>,
    },
    /// Make a new key for pseudonyms and the digests of Secrets; processes use it from their next start on
    #[command(after_help = ROTATE_EXAMPLES)]
    RotateKey {
        /// The file of the keys [default: below the state directory]
        #[arg(long, value_name = "FILE")]
        digest_key: Option<PathBuf>,
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
    /// Map of who is behind the pseudonyms: names are shown as text, and --user finds them
    #[arg(long, value_name = "FILE")]
    identities: Option<PathBuf>,
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
            let (filter, output) = (what.filter.into_filter()?, what.output);
            let mut position = Position::default();
            read(&what.ledger, &filter, &mut position, |entry| {
                print(entry, &filter.identities, output)
            })
            .with_context(|| unread(&what.ledger))?;
        }
        Command::Changes(args) => changes::run(args)?,
        Command::Export(args) => export::run(args)?,
        Command::Forget { user, identities } => {
            let map = beside(identities, IDENTITIES_FILE, "--identities")?;
            let forgotten = identities::forget(&map, &user, jiff::Timestamp::now())?;
            anyhow::ensure!(forgotten > 0, "{} does not name {user:?}", map.display());
            anstream::println!("Forgotten: {}.", counted(forgotten as u64, "pseudonym"));
        }
        Command::RotateKey { digest_key: file } => {
            let keys = digest_key::rotate(&beside(file, DIGEST_KEY_FILE, "--digest-key")?)?;
            anstream::println!(
                "Key {} follows {}. Processes use it from their next start on.",
                keys.key.id(),
                keys.previous.as_deref().unwrap_or("none")
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unread(ledger: &Path) -> String {
    format!("could not read the ledger {}", ledger.display())
}

/// The file that was named, or else the one below the state directory.
fn beside(named: Option<PathBuf>, name: &str, option: &str) -> anyhow::Result<PathBuf> {
    named
        .or_else(|| Some(config::state_directory()?.join(name)))
        .with_context(|| format!("there is no state directory: give {option} FILE"))
}

fn tail(lines: usize, follow: bool, what: What) -> anyhow::Result<()> {
    let (filter, output, ledger) = (what.filter.into_filter()?, what.output, what.ledger);
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
    let people = &filter.identities;
    last.iter().try_for_each(|entry| print(entry, people, output))?;
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(POLL_INTERVAL);
        read(&ledger, &filter, &mut position, |entry| {
            print(entry, people, output)
        })
        .with_context(|| unread(&ledger))?;
    }
}

/// As JSON a record is what was sealed, with its pseudonyms.
fn print(entry: &Entry, people: &Identities, output: Output) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", entry.text),
        Output::Text => writeln!(out, "{}", line(entry, people)),
    }
}

/// Time, kind, verdict, object, user, and the rest; what stands there may be anybody's text.
fn line(entry: &Entry, people: &Identities) -> String {
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
        dash(people.resolve(&user)),
        escape::line(&detail)
    )
    .trim_end()
    .to_owned()
}

// === impl FilterArgs ===

impl FilterArgs {
    fn into_filter(self) -> anyhow::Result<Filter> {
        let Self {
            object,
            user,
            from,
            to,
            verdict,
            kind,
            identities,
        } = self;
        let identities = identities.as_deref().map(Identities::load).transpose()?;
        Ok(Filter {
            object,
            user,
            from,
            to,
            verdict,
            kind,
            identities: identities.unwrap_or_default(),
        })
    }
}
