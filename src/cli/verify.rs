//! `provost verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use provost_evidence::count::{counted, number};
use provost_evidence::verify::ChainReport;
use provost_manifest::escape;
use serde_json::{Value, json};

use crate::ledger::verify::{LedgerReport, Verdict, verify};

const EXAMPLES: &str = "\
Examples:
  provost verify ~/.local/state/provost/ledger          every chain in a ledger
  provost verify ledger/20261124T111432.250Z-1f0c9a3b.jsonl    one chain
  provost verify -o json ledger | jq .result            for a program

Exit codes:
  0  whole: every record is as it was written, from boot to end
  1  damaged: a record was changed, removed, moved or added afterwards
  2  it could not be read, so nothing is known
  3  whole but with gaps: records that were never written, such as a chain without its end";

/// Verify that a ledger is whole
///
/// Checks the hash chain of every file: no record was changed, removed, moved or added after it was written. Needs
/// nothing but the files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The ledger's directory, or the file of one chain
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,

    /// How to print what was found
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { ledger, output } = args;
    let report = verify(&ledger)?;
    match output {
        Output::Text => anstream::print!("{}", text(&report)),
        Output::Json => anstream::println!("{:#}", json(&report)),
    }
    Ok(ExitCode::from(match report.verdict() {
        Verdict::Whole => 0,
        Verdict::Damaged => 1,
        Verdict::WholeWithGaps => 3,
    }))
}

/// The most important first: damage, then gaps, then how much was looked at and what this can't show.
fn text(report: &LedgerReport) -> String {
    let mut lines = Vec::new();
    for (file, chain) in &report.chains {
        for finding in &chain.findings {
            lines.push(format!(
                "bad   {}:{}  {}",
                name(file),
                finding.line,
                finding.damage
            ));
        }
        if chain.more_findings > 0 {
            lines.push(format!(
                "bad   {}  {} more",
                name(file),
                number(chain.more_findings)
            ));
        }
    }
    for (file, chain) in &report.chains {
        for gap in &chain.gaps {
            lines.push(format!("gap   {}:{}  {}", name(file), gap.line, gap.cause));
        }
        if chain.more_gaps > 0 {
            lines.push(format!("gap   {}  {} more", name(file), number(chain.more_gaps)));
        }
    }
    let looked_at = format!(
        "{} in {}",
        counted(report.records(), "ledger record"),
        counted(report.chains.len() as u64, "chain")
    );
    lines.push(match report.verdict() {
        Verdict::Damaged => format!(
            "bad   {looked_at}: {}",
            counted(report.findings(), "damaged place")
        ),
        _ if report.gaps() == 0 => format!("ok    {looked_at}; no gaps"),
        _ => format!(
            "ok    {looked_at}; {}, declared or seen",
            counted(report.gaps(), "gap")
        ),
    });
    lines.push(
        "warn  integrity only, origin not shown: nothing is signed, so who can write these files could have \
         written a whole chain anew"
            .to_owned(),
    );
    lines.push(String::new());
    lines.join("\n")
}

fn json(report: &LedgerReport) -> Value {
    let chains: Vec<Value> = report
        .chains
        .iter()
        .map(|(file, chain)| chain_json(&file.to_string_lossy(), chain))
        .collect();
    json!({
        "result": match report.verdict() {
            Verdict::Whole => "whole",
            Verdict::WholeWithGaps => "gaps",
            Verdict::Damaged => "damaged",
        },
        "records": report.records(),
        "origin": "not shown",
        "chains": chains,
    })
}

fn chain_json(file: &str, chain: &ChainReport) -> Value {
    let finding =
        |line: u64, kind: &str, message: String| json!({"line": line, "kind": kind, "message": message});
    let damage = chain
        .findings
        .iter()
        .map(|found| finding(found.line, found.damage.name(), found.damage.to_string()));
    let gaps = chain
        .gaps
        .iter()
        .map(|gap| finding(gap.line, gap.cause.name(), gap.cause.to_string()));
    json!({
        "file": file,
        "boot": chain.boot,
        "records": chain.records,
        "head": chain.head.map(|head| head.to_string()),
        "firstTime": chain.first_time,
        "lastTime": chain.last_time,
        "damage": damage.collect::<Vec<_>>(),
        "moreDamage": chain.more_findings,
        "gaps": gaps.collect::<Vec<_>>(),
        "moreGaps": chain.more_gaps,
    })
}

/// A file's name may hold anything.
fn name(file: &Path) -> String {
    escape::line(&file.to_string_lossy()).into_owned()
}
