//! `provost verify`, of a ledger or of a bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use provost_evidence::count::{counted, number};
use provost_evidence::note::VerifierKey;
use provost_evidence::timestamp::Authority;
use provost_manifest::escape;
use serde_json::{Value, json};

use crate::ledger::verify::{LedgerReport, Options, Verdict, VerifiedChain, verify};
use crate::ledger::{CheckpointFinding, CheckpointReport, Findings, anchor};
use crate::report::check::{Mark, check, is_bundle};

const EXAMPLES: &str = "\
Examples:
  provost verify ~/.local/state/provost/ledger          every chain and checkpoint of a ledger
  provost verify --trust shop.pub --anchor audit.git ledger    who signed it, and what others keep of it
  provost verify --trust shop.pub --timestamp-ca ca.pem ledger     and when it was there, as an authority outside says
  provost verify ledger/20261124T111432.250Z-1f0c9a3b.jsonl    one file of a chain
  provost verify --trust audit.pub evidence             a bundle of `provost report --bundle`
  provost verify -o json ledger | jq .result            for a program

Exit codes:
  0  whole: every record is as it was written, from boot to end; every table is what the bundle's inputs give
  1  damaged: a record, checkpoint or file was changed, removed, moved or added afterwards
  2  it could not be read, so nothing is known
  3  whole but with gaps: records that were never written, such as a chain without its end";

/// Verify that a ledger or a bundle is whole, who signed it, and since when others can tell
///
/// Of a ledger it checks the hash chain of every file, the signed checkpoints, and the anchor that others keep: no record
/// was changed, removed, moved or added after it was written. A bundle's tables it makes again from the facts, and the
/// facts from the commits and the ledger in it. Needs nothing but the files, and no network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The directory of a ledger or of a bundle, or one file of a chain
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,

    /// Public key of the recorder, NAME+ID+BASE64, or a file with it; without one, the origin is not shown. After a
    /// change of keys give the first one
    #[arg(long, value_name = "KEY")]
    trust: Vec<String>,

    /// Clone of the repository that keeps the checkpoints, as PATH or PATH#BRANCH [default branch: provost-anchor]
    #[arg(long, value_name = "REPO")]
    anchor: Option<anchor::Address>,

    /// Certificates (PEM) of the authority whose timestamps are believed; without them none is looked at
    #[arg(long, value_name = "FILE")]
    timestamp_ca: Option<PathBuf>,

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
    let Args {
        ledger,
        trust,
        anchor,
        timestamp_ca,
        output,
    } = args;
    let trust = trust
        .iter()
        .map(|key| read_key(key))
        .collect::<anyhow::Result<_>>()?;
    let timestamp_authority = timestamp_ca.as_deref().map(read_authority).transpose()?;
    let options = Options {
        trust,
        anchor,
        timestamp_authority,
    };
    if is_bundle(&ledger) {
        return run_bundle(&ledger, &options, output);
    }
    let report = verify(&ledger, &options)?;
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

fn run_bundle(folder: &Path, options: &Options, output: Output) -> anyhow::Result<ExitCode> {
    let checked = check(folder, options)?;
    let of_ledger = checked.ledger.as_ref().map(LedgerReport::verdict);
    let (code, result) = match of_ledger {
        _ if checked.is_damaged() => (1, "damaged"),
        Some(Verdict::Damaged) => (1, "damaged"),
        Some(Verdict::WholeWithGaps) => (3, "gaps"),
        Some(Verdict::Whole) | None => (0, "whole"),
    };
    let word = |mark: Mark| match mark {
        Mark::Bad => "bad",
        Mark::Ok => "ok",
        Mark::Warn => "warn",
    };
    match output {
        Output::Text => {
            for (mark, line) in &checked.lines {
                anstream::println!("{:<5} {}", word(*mark), escape::line(line));
            }
            if let Some(ledger) = &checked.ledger {
                anstream::print!("{}", text(ledger));
            }
        }
        Output::Json => {
            let lines: Vec<Value> = checked
                .lines
                .iter()
                .map(|(mark, line)| json!({"mark": word(*mark), "message": line}))
                .collect();
            let bundle =
                json!({"result": result, "bundle": lines, "ledger": checked.ledger.as_ref().map(json)});
            anstream::println!("{bundle:#}");
        }
    }
    Ok(ExitCode::from(code))
}

/// A key, or the file that has it.
fn read_key(text: &str) -> anyhow::Result<VerifierKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let file = fs::read_to_string(text).with_context(|| format!("could not read the key {text:?}"))?;
    file.trim()
        .parse()
        .with_context(|| format!("could not use the key in {text:?}"))
}

fn read_authority(path: &Path) -> anyhow::Result<Authority> {
    let pem =
        fs::read(path).with_context(|| format!("could not read the certificates {}", path.display()))?;
    Authority::from_pem(&pem).with_context(|| format!("{} names no authority of timestamps", path.display()))
}

/// The most important first: damage, then gaps, then how much was looked at and what this can't show.
fn text(report: &LedgerReport) -> String {
    let mut lines = Vec::new();
    for chain in &report.chains {
        let found = &chain.report;
        for finding in &found.findings {
            lines.push(format!(
                "bad   {}  {}",
                place(chain, finding.line),
                finding.damage
            ));
        }
        if found.more_findings > 0 {
            lines.push(format!(
                "bad   {}  {} more",
                place(chain, 1),
                number(found.more_findings)
            ));
        }
    }
    for removed in &report.removed {
        lines.push(format!(
            "bad   {}  the chain is gone: checkpoint {} saw {} of it",
            escape::line(&removed.name),
            removed.checkpoint,
            counted(removed.count, "record")
        ));
    }
    found_in_checkpoints(&mut lines, "bad ", &report.checkpoints.findings);
    for chain in &report.chains {
        for gap in &chain.report.gaps {
            lines.push(format!("gap   {}  {}", place(chain, gap.line), gap.cause));
        }
        if chain.report.more_gaps > 0 {
            lines.push(format!(
                "gap   {}  {} more",
                place(chain, 1),
                number(chain.report.more_gaps)
            ));
        }
    }
    for overlap in &report.overlaps {
        lines.push(format!(
            "gap   {}  two chains of this writer from {}: two processes of one name, or a clock that was set back ({} \
             and {})",
            escape::line(&overlap.writer),
            escape::line(&overlap.since),
            escape::line(&overlap.one),
            escape::line(&overlap.other)
        ));
    }
    found_in_checkpoints(&mut lines, "gap ", &report.checkpoints.gaps);
    lines.push(summary(report));
    lines.extend(checkpoint_lines(&report.checkpoints, report.records()));
    lines.push(String::new());
    lines.join("\n")
}

fn summary(report: &LedgerReport) -> String {
    let looked_at = format!(
        "{} in {}",
        counted(report.records(), "ledger record"),
        counted(report.chains.len() as u64, "chain")
    );
    match report.verdict() {
        Verdict::Damaged => format!(
            "bad   {looked_at}: {}",
            counted(report.findings(), "damaged place")
        ),
        _ if report.gaps() == 0 => format!("ok    {looked_at}; no gaps"),
        _ => format!(
            "ok    {looked_at}; {}, declared or seen",
            counted(report.gaps(), "gap")
        ),
    }
}

fn found_in_checkpoints(lines: &mut Vec<String>, word: &str, findings: &Findings) {
    for CheckpointFinding { place, message, .. } in &findings.kept {
        lines.push(format!(
            "{word}  {}  {}",
            escape::line(place),
            escape::line(message)
        ));
    }
    if findings.more > 0 {
        lines.push(format!("{word}  checkpoints  {} more", number(findings.more)));
    }
}

/// What the checkpoints and the anchor show, and what they do not.
fn checkpoint_lines(report: &CheckpointReport, records: u64) -> Vec<String> {
    let (Some(origin), Some(last)) = (&report.origin, &report.last_time) else {
        let why = match &report.trusted {
            Some(_) => "no checkpoint that a trusted key signed, so who can write these files could have",
            None => "nothing is signed, so who can write these files could have",
        };
        return vec![format!(
            "warn  integrity only, origin not shown: {why} written a whole chain anew"
        )];
    };
    let origin = escape::line(origin);
    let last = escape::line(last);
    let checkpoints = counted(report.count, "checkpoint");
    let mut lines = vec![match &report.trusted {
        Some(keys) => format!(
            "ok    {checkpoints} of {origin}, signed by {keys}: {} of {} until {last}",
            number(report.covered),
            counted(records, "record")
        ),
        None => format!(
            "warn  integrity only, origin not shown: no --trust key was given for the {checkpoints} of {origin}, so who \
             can write these files could have written everything anew"
        ),
    }];
    if report.trusted.is_none() && !report.anchor_given && !report.authority_given {
        return lines;
    }
    if report.thinned > 0 {
        lines.push(format!(
            "ok    {} not kept any more, as later ones say",
            are(report.thinned, "older checkpoint")
        ));
    }
    if report.uncovered > 0 {
        lines.push(format!(
            "warn  {} newer than checkpoint {}: who can write these files could have rewritten them",
            are(report.uncovered, "record"),
            report.count.saturating_sub(1)
        ));
    }
    lines.extend(anchor_lines(report));
    lines.extend(timestamp_lines(report));
    lines
}

fn anchor_lines(report: &CheckpointReport) -> Vec<String> {
    let Some(anchored) = &report.anchored else {
        return match (report.anchor_given, report.authority_given) {
            (true, _) => vec!["bad   the anchor has no checkpoint of this ledger".to_owned()],
            (false, false) => {
                vec![
                    "warn  no --anchor was given: the key's holder could have rewritten everything"
                        .to_owned(),
                ]
            }
            (false, true) => Vec::new(),
        };
    };
    let mut lines = vec![format!(
        "ok    anchored in {}: {} until {} (checkpoint {}, commit {})",
        escape::line(&anchored.address),
        counted(anchored.records, "record"),
        escape::line(&anchored.time),
        anchored.checkpoint,
        anchored.commit.get(..7).unwrap_or(&anchored.commit)
    )];
    lines.extend(after(report, anchored.records, "anchored", &anchored.time));
    lines
}

fn timestamp_lines(report: &CheckpointReport) -> Vec<String> {
    if !report.authority_given {
        return Vec::new();
    }
    let Some(timestamped) = &report.timestamped else {
        return vec![
            "warn  no timestamp of this authority: when the record was there, nobody outside says".to_owned(),
        ];
    };
    let mut lines = vec![format!(
        "ok    timestamped by {}, at {}: {} (checkpoint {}, {} in all)",
        escape::line(&timestamped.by),
        escape::line(&timestamped.time),
        counted(timestamped.records, "record"),
        timestamped.checkpoint,
        counted(timestamped.count, "timestamp")
    )];
    lines.extend(after(
        report,
        timestamped.records,
        "timestamped",
        &timestamped.time,
    ));
    lines
}

/// What those outside do not show yet.
fn after(report: &CheckpointReport, shown: u64, word: &str, time: &str) -> Option<String> {
    let after = (report.covered + report.uncovered).saturating_sub(shown);
    (after > 0).then(|| {
        format!(
            "warn  {} not {word} (after {}): the key's holder could have rewritten them",
            are(after, "record"),
            escape::line(time)
        )
    })
}

fn are(count: u64, what: &str) -> String {
    format!(
        "{} {}",
        counted(count, what),
        if count == 1 { "is" } else { "are" }
    )
}

fn json(report: &LedgerReport) -> Value {
    let checkpoints = &report.checkpoints;
    let origin = if checkpoints.trusted.is_some() {
        checkpoints.origin.as_deref()
    } else {
        None
    };
    json!({
        "result": match report.verdict() {
            Verdict::Whole => "whole",
            Verdict::WholeWithGaps => "gaps",
            Verdict::Damaged => "damaged",
        },
        "records": report.records(),
        "origin": origin.unwrap_or("not shown"),
        "chains": report.chains.iter().map(chain_json).collect::<Vec<_>>(),
        "removed": report.removed.iter().map(|removed| json!({
            "chain": removed.name,
            "records": removed.count,
            "checkpoint": removed.checkpoint,
        })).collect::<Vec<_>>(),
        "overlaps": report.overlaps.iter().map(|overlap| json!({
            "writer": overlap.writer,
            "chains": [overlap.one, overlap.other],
            "since": overlap.since,
        })).collect::<Vec<_>>(),
        "checkpoints": {
            "count": checkpoints.count,
            "lastTime": checkpoints.last_time,
            "covered": checkpoints.covered,
            "uncovered": checkpoints.uncovered,
            "thinned": checkpoints.thinned,
            "damage": findings_json(&checkpoints.findings),
            "gaps": findings_json(&checkpoints.gaps),
        },
        "anchored": checkpoints.anchored.as_ref().map(|anchored| json!({
            "address": anchored.address,
            "commit": anchored.commit,
            "checkpoint": anchored.checkpoint,
            "time": anchored.time,
            "records": anchored.records,
        })),
        "timestamped": checkpoints.timestamped.as_ref().map(|timestamped| json!({
            "by": timestamped.by,
            "time": timestamped.time,
            "checkpoint": timestamped.checkpoint,
            "records": timestamped.records,
        })),
    })
}

fn findings_json(findings: &Findings) -> Value {
    findings
        .kept
        .iter()
        .map(|found| json!({"place": found.place, "kind": found.kind, "message": found.message}))
        .collect()
}

fn chain_json(verified: &VerifiedChain) -> Value {
    let chain = &verified.report;
    let finding = |line: u64, kind: &str, message: String| {
        let (file, line) = verified.place(line);
        json!({"file": file.to_string_lossy(), "line": line, "kind": kind, "message": message})
    };
    let damage = chain
        .findings
        .iter()
        .map(|found| finding(found.line, found.damage.name(), found.damage.to_string()));
    let gaps = chain
        .gaps
        .iter()
        .map(|gap| finding(gap.line, gap.cause.name(), gap.cause.to_string()));
    json!({
        "files": verified.files.iter().map(|(path, _)| path.to_string_lossy()).collect::<Vec<_>>(),
        "writer": chain.writer,
        "boot": chain.boot,
        "records": chain.records,
        "first": chain.first,
        "head": chain.head.map(|head| head.to_string()),
        "firstTime": chain.first_time,
        "lastTime": chain.last_time,
        "damage": damage.collect::<Vec<_>>(),
        "moreDamage": chain.more_findings,
        "gaps": gaps.collect::<Vec<_>>(),
        "moreGaps": chain.more_gaps,
    })
}

/// File and line. A file's name may hold anything.
fn place(chain: &VerifiedChain, line: u64) -> String {
    let (file, line) = chain.place(line);
    format!("{}:{line}", name(file))
}

fn name(file: &Path) -> String {
    escape::line(&file.to_string_lossy()).into_owned()
}
