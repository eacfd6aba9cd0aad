//! `provost test`.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::Timestamp;
use provost_manifest::escape::{line, shorten};
use provost_policy::{
    Fault, Found, RuleResult,
    suite::{Actual, Row},
};
use serde_json::{Map, Value, json};

use crate::policies::suite::{self, Outcome};

const EXAMPLES: &str = "\
Examples:
  provost test policies/
  provost test policies/require-labels/.kyverno-test/kyverno-test.yaml
  provost test . -o json | jq -c 'select(.ok == false)'

A result is as expected where it is equal. A rule that says nothing of an object meets an
expected pass or skip, but is unverified. A rule that Provost does not do is unsupported,
neither right nor wrong, and does not change the exit code.

Exit code: 0 no result is other than expected, 1 some is or a policy is invalid, 2 something
could not be judged.";

/// How many lines explain one result.
const MAX_VIOLATIONS: usize = 10;
/// How many characters of a message or a value are shown.
const MAX_CHARS: usize = 200;

/// Run the policy tests of a folder
///
/// Every kyverno-test.yaml below the folder is run as it stands, in hidden folders too: its values, user, exceptions and
/// mocked context hold, no cluster is asked and nothing is downloaded.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Folder that holds the suites, or the file of one
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A line for each suite, and each result that is not as expected.
    Table,
    /// For programs: one JSON object a line for each expected entry, object and rule.
    Json,
}

/// How many results came out how.
#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    unverified: usize,
    unsupported: usize,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { folder, output } = args;
    let files = suite::find(&folder)?;
    anyhow::ensure!(
        !files.is_empty(),
        "there is no {} below {}",
        suite::FILE_NAME,
        folder.display()
    );
    let now = Timestamp::now();
    let outcomes: Vec<Outcome> = files.iter().map(|file| suite::run(&folder, file, now)).collect();
    let mut stdout = BufWriter::new(anstream::stdout().lock());
    let printed = match output {
        Form::Table => print_table(&outcomes, &mut stdout),
        Form::Json => print_json(&outcomes, &mut stdout),
    };
    match printed.and_then(|()| stdout.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    print_faults(&outcomes);
    Ok(exit_code(&outcomes))
}

fn exit_code(outcomes: &[Outcome]) -> ExitCode {
    if outcomes
        .iter()
        .any(|outcome| !outcome.verdict.unjudged.is_empty())
    {
        ExitCode::from(2)
    } else if outcomes.iter().all(|outcome| outcome.verdict.holds()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

// === for programs ===

fn print_json(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    for outcome in outcomes {
        for row in &outcome.verdict.rows {
            writeln!(out, "{}", row_json(&outcome.suite, row))?;
        }
    }
    Ok(())
}

fn row_json(suite: &str, row: &Row) -> Value {
    let mut object = Map::new();
    let texts = [
        ("suite", suite),
        ("policy", &row.policy),
        ("rule", &row.rule),
        ("kind", &row.kind),
        ("namespace", &row.namespace),
        ("name", &row.name),
        ("expected", row.expected.word()),
        ("actual", row.actual.word()),
    ];
    for (key, text) in texts {
        object.insert(key.to_owned(), Value::from(text));
    }
    object.insert("ok".to_owned(), json!(row.ok()));
    if row.unverified() {
        object.insert("unverified".to_owned(), Value::from(true));
    }
    if let Some(reason) = row.actual.reason() {
        object.insert("reason".to_owned(), Value::from(reason));
    }
    Value::Object(object)
}

// === for people ===

fn print_table(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["SUITE", "AS EXPECTED", "NOT", "UNVERIFIED", "UNSUPPORTED", ""]);
    for outcome in outcomes {
        let count = Count::of(std::slice::from_ref(outcome));
        table.add_row([
            line(&outcome.suite).into_owned(),
            count.right.to_string(),
            count.wrong.to_string(),
            count.unverified.to_string(),
            count.unsupported.to_string(),
            word(outcome).to_owned(),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if (1..=4).contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{}", table.trim_fmt())?;
    for outcome in outcomes {
        for row in outcome.verdict.rows.iter().filter(|row| row.ok() == Some(false)) {
            print_difference(outcome, row, out)?;
        }
    }
    print_unsupported(outcomes, out)?;
    let count = Count::of(outcomes);
    writeln!(
        out,
        "\n{} of {}: {} as expected, {} not, {} unverified, {} unsupported.",
        plural(count.all(), "result"),
        plural(outcomes.len(), "suite"),
        count.right,
        count.wrong,
        count.unverified,
        count.unsupported,
    )
}

fn word(outcome: &Outcome) -> &'static str {
    let verdict = &outcome.verdict;
    if !verdict.unjudged.is_empty() {
        "not judged"
    } else if !verdict.invalid.is_empty() {
        "invalid policy"
    } else if !verdict.holds() {
        "not as expected"
    } else if verdict.rows.is_empty() {
        "expects nothing"
    } else if verdict.rows.iter().any(|row| row.ok().is_some()) {
        "ok"
    } else {
        "unsupported"
    }
}

/// An expectation against what came out, and why it came out.
fn print_difference(outcome: &Outcome, row: &Row, out: &mut impl Write) -> io::Result<()> {
    let place = row
        .place
        .as_ref()
        .map_or_else(|| line(&outcome.suite).into_owned(), ToString::to_string);
    let namespace = match row.namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    let object = format!("{} {namespace}{}", row.kind, row.name);
    writeln!(
        out,
        "\n{place}: {}/{} on {}",
        line(&row.policy),
        line(&row.rule),
        line(&object)
    )?;
    writeln!(out, "  - expected {}", row.expected.word())?;
    writeln!(out, "  + actual   {}", row.actual.word())?;
    match &row.actual {
        Actual::Judged(result) => print_why(result, out),
        Actual::None => writeln!(out, "    the rule does not concern the object"),
        Actual::Unsupported(reason) | Actual::Absent(reason) => writeln!(out, "    {}", cut(reason)),
    }
}

fn print_why(result: &RuleResult, out: &mut impl Write) -> io::Result<()> {
    if !result.message.is_empty() {
        writeln!(out, "    {}", cut(&result.message))?;
    }
    for violation in result.violations.iter().take(MAX_VIOLATIONS) {
        let found = match &violation.found {
            Found::Missing => "missing".to_owned(),
            Found::Value(value) => format!("is {}", cut(&value.to_string())),
            Found::Computed { expression, value } => {
                format!("{} is {}", cut(expression), cut(&value.to_string()))
            }
            Found::Hidden => "is a secret, not shown".to_owned(),
        };
        writeln!(
            out,
            "    {}   {found}   needs {}",
            cut(&violation.path.to_string()),
            cut(&violation.accepted.0)
        )?;
    }
    match result.violations.len().saturating_sub(MAX_VIOLATIONS) {
        0 => Ok(()),
        more => writeln!(out, "    and {more} more"),
    }
}

/// What is unsupported, by its reasons, the most frequent first.
fn print_unsupported(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for row in outcomes.iter().flat_map(|outcome| &outcome.verdict.rows) {
        if let Actual::Unsupported(reason) = &row.actual {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let mut reasons: Vec<(&str, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if !reasons.is_empty() {
        writeln!(out, "\nUnsupported:")?;
    }
    for (reason, count) in reasons {
        writeln!(out, "  {count:>5}  {}", cut(reason))?;
    }
    Ok(())
}

/// What is wrong with suites and policies, and what is probably not meant: each with its place.
fn print_faults(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let verdict = &outcome.verdict;
        let print = |faults: &[Fault], note: &str| {
            for fault in faults {
                anstream::eprint!("{}", fault.render(note));
            }
        };
        let suite = line(&outcome.suite);
        print(&verdict.unjudged, &format!("Suite {suite} could not be judged."));
        print(
            &verdict.invalid,
            &format!("Suite {suite} fails: a policy of it is invalid."),
        );
        for notice in &verdict.notices {
            anstream::eprintln!("warning: {notice}");
        }
    }
}

fn cut(text: &str) -> String {
    shorten(&line(text.trim()), MAX_CHARS).into_owned()
}

fn plural(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

// === impl Count ===

impl Count {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut count = Self::default();
        for row in outcomes.iter().flat_map(|outcome| &outcome.verdict.rows) {
            let field = match row.ok() {
                None => &mut count.unsupported,
                Some(false) => &mut count.wrong,
                Some(true) if row.unverified() => &mut count.unverified,
                Some(true) => &mut count.right,
            };
            *field += 1;
        }
        count
    }

    fn all(&self) -> usize {
        self.right + self.wrong + self.unverified + self.unsupported
    }
}
