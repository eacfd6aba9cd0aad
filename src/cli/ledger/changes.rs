//! `provost ledger changes`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use provost_evidence::change::{Change, Counts, Reconciliation, State};
use provost_manifest::escape;

use crate::ledger::changes::changes;

const EXAMPLES: &str = "\
Examples:
  provost ledger changes --from 2026-11-24 --to 2026-11-25 ledger    a day
  provost ledger changes --all ledger                                also what no webhook of ours is asked about
  provost ledger changes -o json ledger | jq '.changes[] | select(.state == \"not_evaluated\")'";

/// Print each write and what became of it, as all witnesses together tell it
///
/// The apiserver's audit log tells who asked and what was answered; an admission, what was judged; a watch, that it
/// happened. Last come the counts of audit log and admissions, and each difference by its name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only changes from this time on (UTC), such as 2026-11-24 or 2026-11-24T11:14
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only changes before this time (UTC)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Also what no webhook of ours is asked about
    #[arg(long)]
    all: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// The ledger's directory
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    /// One object with all changes and counts
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        from,
        to,
        all,
        output,
        ledger,
    } = args;
    let mut found = changes(&ledger, from.as_deref(), to.as_deref())
        .with_context(|| format!("could not reconcile the ledger {}", ledger.display()))?;
    found
        .changes
        .retain(|change| all || change.state != State::NotAsked);
    let mut out = anstream::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
        Output::Table => {
            for line in table(&found) {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

fn table(found: &Reconciliation) -> Vec<String> {
    let head = [
        "TIME",
        "STATE",
        "WHO",
        "WHAT",
        "OBJECT",
        "POLICIES",
        "ANSWER",
        "WITNESSES",
        "WHY",
    ];
    let rows: Vec<[String; 9]> = [head.map(str::to_owned)]
        .into_iter()
        .chain(found.changes.iter().map(row))
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |row: &[String; 9]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter()
        .map(print)
        .chain([String::new()])
        .chain(tally(found))
        .collect()
}

fn row(change: &Change) -> [String; 9] {
    let dash = |text: &str| match text {
        "" => "-".to_owned(),
        text => escape::line(text).into_owned(),
    };
    let who = match (change.user.as_str(), change.impersonated.as_str()) {
        ("", _) => match change.manager.as_str() {
            "" => String::new(),
            manager => format!("(field manager {manager})"),
        },
        (user, "") => user.to_owned(),
        (user, other) => format!("{user} as {other}"),
    };
    let witnesses: Vec<_> = change.witnesses.iter().map(|source| source.name()).collect();
    [
        dash(&change.time),
        change.state.name().to_owned(),
        dash(&who),
        dash(&change.verb),
        dash(&change.object.describe()),
        dash(&change.verdict),
        match change.code {
            0 => "-".to_owned(),
            code => code.to_string(),
        },
        witnesses.join("+"),
        match change.reason.as_str() {
            "" => String::new(),
            reason => escape::line(reason).into_owned(),
        },
    ]
}

/// The counts of both, and each difference by its name.
fn tally(found: &Reconciliation) -> Vec<String> {
    let Counts {
        audited_writes,
        admitted,
        both,
        not_evaluated,
        refused_after_admission,
        admitted_without_audit,
        observed_not_admitted,
        denied,
        refused,
        not_asked,
        dry_runs,
        repeated,
    } = found.counts;
    let mut lines = Vec::new();
    if found.has_audit {
        lines.push(format!(
            "{audited_writes} writes in the audit log, {admitted} let in by the webhook, {both} of them the same."
        ));
        if found.counts.agree() {
            lines.push("The counts of both agree.".to_owned());
        } else {
            lines.push("The counts of both differ by:".to_owned());
        }
        for (count, what) in [
            (not_evaluated, "written without any evaluation"),
            (refused_after_admission, "let in and refused afterwards"),
            (
                admitted_without_audit,
                "let in, of which the audit log does not tell",
            ),
        ] {
            if count > 0 {
                lines.push(format!("  {count} {what}"));
            }
        }
    } else {
        lines.push(format!(
            "{admitted} let in by the webhook. There is no audit log: who asked rests on the webhook, and what happened on \
             watches."
        ));
    }
    for (count, what) in [
        (denied, "refused by policies"),
        (refused, "refused before anybody was asked"),
        (
            observed_not_admitted,
            "seen by a watch, and told of by nobody else",
        ),
        (
            not_asked,
            "of which no webhook of ours is asked (--all lists them)",
        ),
        (dry_runs, "dry runs, not listed"),
        (repeated, "audit events that came more than once"),
    ] {
        if count > 0 {
            lines.push(format!("Beside these: {count} {what}."));
        }
    }
    lines
}
