//! `provost app health`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use comfy_table::{Table, presets::NOTHING};
use provost_delivery::health::{self, Health, IGNORE_ANNOTATION, Status, rules::Rules};
use provost_manifest::{
    diagnostic::Diagnostic,
    escape::line,
    list,
    object::{GroupVersionKind, ObjectKey},
    yaml,
};
use serde_json::{Value, json};

use crate::policies::folder;

const EXAMPLES: &str = "\
Examples:
  kubectl -n shop get deployments,pods,ingresses -o json | provost app health -f -
  provost app health -f live.yaml --rules health.yaml
  provost app health -f live.yaml -o json | jq -r 'select(.status == \"Degraded\").name'
  until kubectl -n shop get deployments -o json | provost app health -f - --exit-code; do sleep 5; done

Health is one of Healthy, Suspended, Progressing, Missing, Degraded and Unknown, from best to worst. Rules of one's own
are a list in YAML of {group, kind, rules: [{status, when, message}]}; when and message are CEL over `object`, and the
first rule whose when is true decides. Where none does, the built-in ones do.

Exit code: 0 the health of every object is told, 2 something cannot be read. With --exit-code, 0 only if all that counts
is Healthy or Suspended; otherwise 1 something is Missing, Degraded or Unknown, 3 something is still Progressing.";

/// Tell how objects are doing, as the agent would
///
/// Reads live objects, as `kubectl get -o yaml` or `-o json` prints them, lists too, and judges each by the health rule
/// of its kind.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// File of objects, or folder of them; "-" reads the standard input; may be given often
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filenames: Vec<PathBuf>,
    /// File of health rules that come before the built-in ones; may be given often
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Say by the exit code how the whole is doing
    #[arg(long)]
    exit_code: bool,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One line for each object, and one for the whole.
    Text,
    /// For programs: one JSON object a line {kind, namespace, name, status, message}.
    Json,
}

/// What was found out.
#[derive(Default)]
struct Findings {
    judged: Vec<Judged>,
    is_unread: bool,
}

struct Judged {
    kind: String,
    namespace: String,
    name: String,
    health: Health,
    /// Whether it counts in the health of the whole.
    counts: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        filenames,
        rules,
        exit_code,
        output,
    } = args;
    let Some(rules) = read_rules(&rules)? else {
        return Ok(ExitCode::from(2));
    };
    let mut findings = Findings::default();
    for path in &filenames {
        if path == Path::new("-") {
            let text = read_bounded(io::stdin().lock()).context("cannot read the standard input")?;
            findings.judge(&text, "stdin", &rules);
            continue;
        }
        let files = if path.is_dir() {
            folder::files(path)?
        } else {
            vec![path.clone()]
        };
        for file in files {
            let name = file.display().to_string();
            let text = File::open(&file)
                .and_then(read_bounded)
                .with_context(|| format!("cannot read {name}"))?;
            findings.judge(&text, &name, &rules);
        }
    }
    match output {
        Form::Text => findings.print_text(),
        Form::Json => findings.print_json(),
    }
    Ok(findings.exit_code(exit_code))
}

/// `None` where a file of rules was refused, and why is printed.
pub(in crate::cli) fn read_rules(files: &[PathBuf]) -> anyhow::Result<Option<Rules>> {
    let mut rules = Rules::default();
    let mut is_refused = false;
    for file in files {
        let name = file.display().to_string();
        let text = folder::read_bounded(file).with_context(|| format!("cannot read {name}"))?;
        match Rules::parse(&text, &name) {
            Ok(more) => rules.extend(more),
            Err(flaws) => {
                is_refused = true;
                for flaw in flaws {
                    anstream::eprintln!("{flaw}");
                }
            }
        }
    }
    Ok((!is_refused).then_some(rules))
}

fn read_bounded(reader: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let most = yaml::MAX_STREAM_BYTES;
    reader.take(most as u64 + 1).read_to_string(&mut text)?;
    if text.len() > most {
        let message = format!("it has more than the {most} bytes that are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

// === impl Findings ===

impl Findings {
    fn judge(&mut self, text: &str, file: &str, rules: &Rules) {
        for document in yaml::parse_stream(text) {
            let mut document = match document {
                Ok(document) => document,
                Err(error) => {
                    self.complain(&Diagnostic::of_yaml(&error, file, text));
                    continue;
                }
            };
            for item in list::flatten(document.value.take()) {
                if GroupVersionKind::of(&item.object).is_some() {
                    self.judged.push(Judged::of(&item.object, rules));
                } else {
                    let position = document.positions().nearest(&item.path);
                    let message = "no Kubernetes object: apiVersion or kind is missing";
                    self.complain(&Diagnostic::error(message).at(file, text, position));
                }
            }
        }
    }

    fn complain(&mut self, diagnostic: &Diagnostic) {
        self.is_unread = true;
        anstream::eprintln!("{diagnostic}");
    }

    /// How all that counts is doing; what could not be read may be anything.
    fn worst(&self) -> Status {
        if self.is_unread {
            return Status::Unknown;
        }
        let counted = self.judged.iter().filter(|judged| judged.counts);
        health::worst(counted.map(|judged| judged.health.status))
    }

    fn print_text(&self) {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["OBJECT", "HEALTH", "WHY"]);
        for judged in &self.judged {
            let name = match judged.namespace.as_str() {
                "" => format!("{} {}", judged.kind, judged.name),
                namespace => format!("{} {namespace}/{}", judged.kind, judged.name),
            };
            let mut why = line(&judged.health.message).into_owned();
            if !judged.counts {
                let separator = if why.is_empty() { "" } else { " " };
                why = format!("{why}{separator}(does not count: a hook, or {IGNORE_ANNOTATION} is true)");
            }
            table.add_row([line(&name).into_owned(), judged.health.status.to_string(), why]);
        }
        anstream::println!("{}", table.trim_fmt());
        let objects = match self.judged.len() {
            1 => "1 object".to_owned(),
            many => format!("{many} objects"),
        };
        let but = if self.is_unread {
            ": something could not be read"
        } else {
            ""
        };
        anstream::println!("{objects}, as a whole {}{but}.", self.worst());
    }

    fn print_json(&self) {
        for judged in &self.judged {
            let object = json!({
                "kind": judged.kind,
                "namespace": judged.namespace,
                "name": judged.name,
                "status": judged.health.status,
                "message": judged.health.message,
            });
            anstream::println!("{object}");
        }
    }

    fn exit_code(&self, is_asked_for: bool) -> ExitCode {
        if self.is_unread {
            return ExitCode::from(2);
        }
        match self.worst() {
            _ if !is_asked_for => ExitCode::SUCCESS,
            Status::Healthy | Status::Suspended => ExitCode::SUCCESS,
            Status::Progressing => ExitCode::from(3),
            Status::Missing | Status::Degraded | Status::Unknown => ExitCode::from(1),
        }
    }
}

// === impl Judged ===

impl Judged {
    fn of(object: &Value, rules: &Rules) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        // What will have a name when it is made has only the beginning of one.
        let name = ObjectKey::of(object).map_or_else(|| text(&metadata["generateName"]), |key| key.name);
        Self {
            kind: text(&object["kind"]),
            namespace: text(&metadata["namespace"]),
            name,
            health: rules.assess(object),
            counts: health::counts(object),
        }
    }
}
